# What the shell of the guests can do, told by what it prints.
mkdir /work; cd /work
# files, their names, and links
mkdir d e; cd d
pwd
echo one > a; echo two >> a; cat a
cat < a | sort | wc
echo "x y" 'a*b' \* "$HOME." $NONE end
touch f1 f2 g1 .hidden
echo f? ?1 * .h* none*
echo "*" '?' "f"? f\?
cd ..
echo d/f* */?1 /work/d/g*

ln -s d/a link; cat link; readlink link; ls link
ln -s nowhere dangling; ls; cat dangling; echo $?
mv d/a e; ls e; mv e/a e/b; ls e; cat link || echo broken

rm d/f1 d/f2 nothing 2>&1; echo $?
rmdir d 2>&1; rm -r d; ls
missing; echo $?
./e/b; echo $?

# variables
A=1; B="two words"; echo $A "$B" ${A}x $B
env PATH; env A; env NOTSET || echo unset

# compound commands
for i in 1 2 3; do echo n$i > e/n$i; done; ls e | sort
for f in e/n*; do if test -f $f; then cat $f; else echo no; fi; done
if false; then echo never; fi; echo $?
if false; then echo never; else echo otherwise; fi
N=0; while test $N != 5; do echo -n $N; add N 1; done; echo

# pipelines
true && echo yes || echo no
false && echo yes || echo no
seq 1000 | grep 99 | wc
yes | head 3 | wc
seq 100000 | wc
seq 20 | cat | cat | cat | cat | sort | head 2

# redirections
echo to stderr and out 2>&1 | cat
ls none 2>&1 | cat
ls none > err 2>&1; cat err
> empty; wc empty
cat < none; echo $?
echo x > /none/x; echo $?

# in the background
sleep 5000 &
kill 15 $!; wait $!; echo $?
sleep 10 & sleep 20 & wait; echo waited

# scripts
echo 'echo in $1 $2 $#; exit 7' > script; sh script a "b c"; echo $?
cat script | sh
echo "pwd; cd e; pwd; ls" | sh; pwd

# directories
mkdir deep; cd deep; mkdir b; cd b; pwd; cd ../..; pwd
cd none 2>&1; echo $?
cd e; mv ../e ../e2; pwd; cd ..; pwd; ls
cp e2/b copy; cat copy; cp copy e2; ls e2
test a = b; echo $?; test a != b; echo $?; test -d e2; echo $?; test -L link; echo $?

# the last one
exec echo last one
echo never
