"""What a Python program does to a filesystem. Run by `cargo xtask real python` with CPython for WASI on vnode
and with the machine's python3 on the kernel, each with an empty directory as its argument. Both must print the same.

Nothing printed depends on where the directory is, on the version of Python, or on what WASI has no words for
(permissions, owners, blocks).
"""

import errno
import glob
import os
import pathlib
import shutil
import sqlite3
import stat
import sys
import tarfile
import tempfile
import zipfile

BASE = os.path.abspath(sys.argv[1])


def say(*words):
    print(*(str(word).replace(BASE, "BASE") for word in words))


def attempt(what, call, *arguments, **named):
    """Says what the call gives, or the name of the error it ends with."""
    try:
        say(what, "->", call(*arguments, **named))
    except OSError as error:
        say(what, "->", errno.errorcode.get(error.errno, "refused"))


def kind(path):
    mode = os.lstat(path).st_mode
    for name in ("ISLNK", "ISDIR", "ISREG"):
        if getattr(stat, "S_" + name)(mode):
            return name[2:].lower()
    return "other"


def tree(top):
    """Every name below `top`, with what it is; links are not followed."""
    for root, dirs, files in os.walk(top):
        dirs.sort()
        for name in sorted(dirs + files):
            path = os.path.join(root, name)
            status = os.lstat(path)
            words = [" ", os.path.relpath(path, top), kind(path)]
            if kind(path) == "lnk":
                words += ["->", os.readlink(path)]
            elif kind(path) == "reg":
                words += [status.st_size, "bytes", status.st_nlink, "links"]
            else:
                words += [status.st_nlink, "links"]
            say(*words)


def links():
    say("# links")
    os.mkdir("d")
    pathlib.Path("d/file").write_text("inside\n")
    os.symlink("file", "d/relative")
    os.symlink(os.path.join(BASE, "d", "file"), "absolute")
    os.symlink(os.path.join(BASE, "d"), "directory", target_is_directory=True)
    os.symlink("nowhere", "dangling")
    os.symlink("loop", "loop")
    os.symlink("pong", "ping")
    os.symlink("ping", "pong")
    say(open("absolute").read(), open("directory/relative").read())
    say(os.path.realpath("directory/relative"), os.path.realpath("absolute"))
    say(os.path.exists("dangling"), os.path.lexists("dangling"), os.path.islink("dangling"))
    say(os.path.samefile("absolute", "d/file"), os.path.isdir("directory"), os.path.isfile("loop"))
    attempt("stat loop", os.stat, "loop")
    attempt("open ping", open, "ping")
    attempt("readlink file", os.readlink, "d/file")
    attempt("symlink over", os.symlink, "x", "dangling")
    attempt("mkdir on dangling", os.mkdir, "dangling")
    attempt("listdir through", lambda: sorted(os.listdir("directory")))
    attempt("strict resolve", lambda: pathlib.Path("dangling").resolve(strict=True))
    say(pathlib.Path("directory/../directory/file").resolve())
    with open("dangling", "w") as f:
        f.write("made through a link")
    say(open("nowhere").read(), kind("dangling"))
    for name in ("dangling", "nowhere", "loop"):
        os.unlink(name)
    tree(".")


def hard_links():
    say("# hard links")
    os.link("d/file", "hard")
    say(os.stat("hard").st_nlink, os.path.samefile("hard", "d/file"))
    # By descriptors: wasi-libc's linkat takes the second of two paths for both when it has to find the directory.
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.link("absolute", "hard-of-link", src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
    os.close(here)
    say(kind("hard-of-link"), os.lstat("absolute").st_nlink)
    attempt("link of a directory", os.link, "d", "x")
    attempt("link over", os.link, "hard", "absolute")
    os.unlink("d/file")
    say(os.stat("hard").st_nlink, os.path.exists("absolute"))
    os.rename("hard", "d/file")
    say(open("absolute").read())


def renames():
    say("# renames")
    os.makedirs("a/b/c")
    pathlib.Path("a/b/c/leaf").write_text("leaf")
    os.rename("a/b", "moved")
    say(open("moved/c/leaf").read(), sorted(os.listdir("a")))
    attempt("into itself", os.rename, "moved", "moved/c/x")
    attempt("over a full directory", os.rename, "a", "moved")
    attempt("file over directory", os.replace, "moved/c/leaf", "a")
    attempt("missing", os.rename, "none", "other")
    os.symlink("none", "broken")
    os.rename("broken", "a/broken")
    say(os.readlink("a/broken"))
    pathlib.Path("one").write_text("one")
    pathlib.Path("two").write_text("two")
    os.replace("one", "two")
    say(open("two").read(), os.path.exists("one"))
    os.renames("moved/c/leaf", "deep/er/leaf")
    say(os.path.exists("moved"), open("deep/er/leaf").read())
    tree(".")


def vectors():
    say("# vectors")
    fd = os.open("vector", os.O_RDWR | os.O_CREAT)
    say(os.writev(fd, [b"one", b"", b"two", b"three"]))
    say(os.lseek(fd, 0, os.SEEK_SET))
    first, second, third = bytearray(2), bytearray(7), bytearray(9)
    say(os.readv(fd, [first, second, third]), first, second, third)
    say(os.pwritev(fd, [b"A", b"BC"], 4), os.preadv(fd, [first, second], 3), first, second)
    say(os.pread(fd, 100, 0), os.pwrite(fd, b"!", 20), os.fstat(fd).st_size)
    os.posix_fallocate(fd, 10, 30)
    say(os.fstat(fd).st_size, os.pread(fd, 5, 30))
    attempt("fallocate nothing", os.posix_fallocate, fd, 0, 0)
    os.ftruncate(fd, 4)
    say(os.pread(fd, 100, 0))
    os.truncate("vector", 6)
    say(os.pread(fd, 100, 0))
    say(os.lseek(fd, 1 << 40, os.SEEK_SET) == 1 << 40, os.write(fd, b"x"), os.fstat(fd).st_size)
    os.fsync(fd)
    os.unlink("vector")
    say(os.fstat(fd).st_nlink, os.pread(fd, 3, 0))
    os.close(fd)
    attempt("closed", os.fstat, fd)


def times():
    say("# times")
    path = "two"
    os.utime(path, ns=(1_000_000_000_123_456_789, 1_500_000_000_987_654_321))
    say(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns)
    os.symlink(path, "timed")
    os.utime("timed", ns=(1, 2), follow_symlinks=False)
    say(os.lstat("timed").st_mtime_ns, os.stat("timed").st_mtime_ns)
    os.utime("timed", ns=(3, 4))
    say(os.lstat("timed").st_mtime_ns, os.stat(path).st_mtime_ns)
    with open(path) as f:
        os.utime(f.fileno(), ns=(5_000_000_007, 6_000_000_008))
    say(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns)
    os.utime(path)
    say(os.stat(path).st_mtime > 1_600_000_000)


def shells():
    say("# shutil")
    os.makedirs("src/sub")
    for i in range(50):
        pathlib.Path(f"src/f{i:02}").write_bytes(bytes([i]) * i * 100)
    os.symlink("../f01", "src/sub/up")
    os.symlink("missing", "src/sub/broken")
    os.symlink(os.path.join(BASE, "src"), "src/sub/top")
    shutil.copytree("src", "copy", symlinks=True)
    say(len(os.listdir("copy")), os.readlink("copy/sub/top"), os.readlink("copy/sub/broken"))
    say(open("copy/f49", "rb").read() == bytes([49]) * 4900)
    shutil.move("copy/sub", "elsewhere")
    say(sorted(os.listdir("elsewhere")), os.path.exists("copy/sub"))
    shutil.copy2("src/f10", "copied")
    say(os.stat("copied").st_mtime_ns == os.stat("src/f10").st_mtime_ns)
    shutil.copyfile("elsewhere/up", "link-copy", follow_symlinks=False)
    say(os.readlink("link-copy"))
    attempt("rmtree of a link", shutil.rmtree, "elsewhere/top")
    shutil.rmtree("copy")
    shutil.rmtree("elsewhere")
    say(os.path.exists("copy"), os.path.exists("src/f49"))
    say(sorted(glob.glob("src/f4?")), sorted(glob.glob("deep/**", recursive=True)), glob.glob("src/*/up"))
    say(sorted(str(path) for path in pathlib.Path("src").glob("sub/*")))
    say(sorted(entry.name for entry in os.scandir("src/sub") if entry.is_symlink()))


def archives():
    say("# archives")
    os.link("src/f05", "src/f05-again")
    os.utime("src/f07", ns=(1_234_567_890_000_000_000, 1_234_567_890_500_000_000))
    with tarfile.open("all.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.add("src")
    with tarfile.open("all.tar.gz") as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            if member.issym() or member.islnk() or member.isdir():
                say(" ", member.name, member.issym(), member.islnk(), member.linkname)
        os.mkdir("out")
        tar.extraction_filter = lambda member, _: member
        tar.extractall("out")
    say(os.stat("out/src/f05").st_nlink, os.readlink("out/src/sub/top"), os.stat("out/src/f07").st_mtime_ns)
    with zipfile.ZipFile("all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(50):
            archive.write(f"src/f{i:02}")
    with zipfile.ZipFile("all.zip") as archive:
        say(archive.testzip(), len(archive.namelist()))
        archive.extractall("unzipped")
    say(len(os.listdir("unzipped/src")), os.path.getsize("unzipped/src/f33"))
    shutil.make_archive("made", "tar", "out", "src/sub")
    say(os.path.isfile("made.tar"))


def temporaries():
    say("# tempfile")
    with tempfile.TemporaryDirectory(dir=".") as name:
        pathlib.Path(name, "x").write_text("x")
        os.symlink("x", os.path.join(name, "y"))
        say(os.path.isdir(name), sorted(os.listdir(name)))
    say(os.path.exists(name))
    with tempfile.NamedTemporaryFile(dir=".") as f:
        f.write(b"text")
        f.flush()
        say(os.path.getsize(f.name))
    say(os.path.exists(f.name))
    with tempfile.TemporaryFile(dir=".") as f:
        f.write(b"text")
        f.seek(0)
        say(f.read())


def database():
    say("# sqlite3")
    os.mkdir("db")
    os.symlink(os.path.join(BASE, "db"), "db-link")
    connection = sqlite3.connect("db-link/data.db")
    connection.execute("create table t (id integer primary key, text, number real)")
    with connection:
        connection.executemany("insert into t (text, number) values (?, ?)", ((f"row {i}", i / 7) for i in range(5000)))
    try:
        with connection:
            connection.execute("delete from t")
            raise RuntimeError("taken back")
    except RuntimeError as error:
        say(error)
    say(connection.execute("select count(*), sum(id), max(text) from t").fetchone())
    connection.execute("create index by_text on t (text)")
    with connection:
        connection.execute("delete from t where id % 3 = 0")
    connection.execute("vacuum")
    say(connection.execute("select id from t where text = 'row 4000'").fetchone())
    say(connection.execute("pragma integrity_check").fetchone())
    connection.close()
    say(sorted(os.listdir("db")), open("db/data.db", "rb").read(15))


def directories():
    say("# directories")
    os.mkdir("many")
    for i in range(2000):
        os.close(os.open(f"many/{i}", os.O_CREAT | os.O_WRONLY))
    say(len(os.listdir("many")), len(set(os.listdir("many"))))
    with os.scandir("many") as entries:
        for entry in entries:
            os.unlink(entry.path)
    say(os.listdir("many"))
    os.rmdir("many")
    attempt("rmdir full", os.rmdir, "src")
    attempt("rmdir file", os.rmdir, "two")
    attempt("listdir file", os.listdir, "two")
    attempt("below a file", os.stat, "two/x")
    attempt("slash after a file", os.stat, "two/")
    attempt("long name", os.mkdir, "n" * 256)
    attempt("exclusive", os.open, "two", os.O_RDONLY | os.O_CREAT | os.O_EXCL)
    attempt("directory wanted", os.open, "two", os.O_RDONLY | os.O_DIRECTORY)
    attempt("no link wanted", os.open, "timed", os.O_RDONLY | os.O_NOFOLLOW)
    os.mkdir("b\u00e9")
    os.mkdir(b"raw-\xff".decode("utf-8", "surrogateescape"))
    say(sorted(os.listdir(os.fsencode(".")))[:3])


def main():
    os.chdir(BASE)
    for step in (links, hard_links, renames, vectors, times, shells, archives, temporaries, database, directories):
        step()


main()
