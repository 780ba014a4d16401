//! Families of processes, run by the vnode command: thousands of them, and unruly ones; what they leave behind is counted
//! from outside.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::native::{EmptyRoot, compile, is_root};
use support::{Module, Ran, vnode};

/// A process that doesn't end with the first one holds that up for so long.
const STUCK: Duration = Duration::from_millis(1900);

/// A guest that finds itself at `/bin`, and is not run yet.
struct Family {
    root: EmptyRoot,
    name: &'static str,
    options: Vec<String>,
}

/// `cargo xtask tidy` looks for these.
macro_rules! family {
    ($name:literal) => {
        Family::new($name)
    };
}

impl Family {
    fn new(name: &'static str) -> Family {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let root = EmptyRoot::new(name, &format!("family{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        root.give(name, &fs::read(support::guest(name)).unwrap());
        Family { root, name, options: vec!["--timeout=200s".to_owned()] }
    }

    fn with(mut self, option: &str) -> Family {
        // Each is given once.
        let name = option.split('=').next().unwrap().to_owned();
        self.options.retain(|known| !known.starts_with(&name));
        self.options.push(option.to_owned());
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = vnode();
        command.arg("run").args(&self.options).arg("--copy").arg(format!("{}::/", self.root.0.display()));
        command.arg(support::guest(self.name)).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let ran: Ran = self.command(arguments).output().unwrap().into();
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        ran
    }
}

/// A run that is looked at in between.
struct Watched {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    said: String,
}

/// What a process of the host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    threads: usize,
    descriptors: usize,
    kib: usize,
}

impl Held {
    /// Thousands of processes would have left thousands behind; two are what vnode begins once, when it is first needed.
    fn has_no_more_than(&self, earlier: &Held) -> bool {
        self.threads <= earlier.threads + 2 && self.descriptors <= earlier.descriptors + 2
    }
}

impl Watched {
    fn start(mut command: Command) -> Watched {
        let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = streams.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Watched { child, input, output, said: String::new() }
    }

    /// Reads up to a line; who wrote it waits for one.
    fn until(&mut self, line: &str) {
        let start = self.said.len();
        while !self.said[start..].ends_with(&format!("{line}\n")) {
            let got = self.output.read_line(&mut self.said).unwrap();
            assert!(got > 0, "it ended before \"{line}\": {}", &self.said[start..]);
        }
    }

    fn held(&self) -> Held {
        let of = format!("/proc/{}", self.child.id());
        let count = |what: &str| fs::read_dir(format!("{of}/{what}")).unwrap().count();
        let status = fs::read_to_string(format!("{of}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib = resident.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        Held { threads: count("task"), descriptors: count("fd"), kib }
    }

    /// What it has when no more threads and descriptors go away: those of a process that has ended take a moment.
    fn settled(&self, enough: impl Fn(&Held) -> bool) -> Held {
        let start = Instant::now();
        let mut held = self.held();
        while !enough(&held) && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
            held = self.held();
        }
        held
    }

    fn go_on(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// Reads the rest: the code, all that it printed, and what stands on stderr.
    fn end(mut self) -> Ran {
        self.output.read_to_string(&mut self.said).unwrap();
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Ran { code: self.child.wait().unwrap().code(), stdout: self.said, stderr }
    }
}

/// 234 commands, of which 202 are processes of their own.
const BLOCK: &str = "
mkdir d; cd d
for i in 1 2 3 4 5 6 7 8 9 10; do
  mkdir a b
  echo text $i > a/one; cat a/one >> a/two
  cat a/* | sort | wc
  ln -s ../a/one b/link; cat b/link; readlink b/link
  mv a/one a/three; cat b/link 2>&1 | wc; echo $?
  ls a b | sort | head 2
  cd a; pwd; cp two ../b; cd ..
  rm -r a b
  sleep 1 & wait $!
done
cd ..; rmdir d
";

/// A script that runs the block so many times, and waits for a line twice: when it is warm, and at the end.
fn thousands(blocks: usize, warm: usize) -> String {
    let mut script = "mkdir /work; cd /work\n".to_owned();
    for block in 0..blocks {
        if block == warm {
            script += "echo warm; read LINE\n";
        }
        script += BLOCK;
    }
    script + "echo done; read LINE; echo over; exit 3\n"
}

#[test]
fn a_script_of_thousands_of_commands_leaves_nothing_behind() {
    let script = thousands(27, 4);
    let shell = family!("shell").with("--stats=json");
    fs::write(shell.root.0.join("script"), &script).unwrap();
    let mut run = Watched::start(shell.command(&["/script"]));
    run.until("warm");
    let warm = run.held();
    run.go_on();
    run.until("done");
    let done = run.settled(|held| held.has_no_more_than(&warm));
    run.go_on();
    let ran = run.end();
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(done.has_no_more_than(&warm), "{warm:?} {done:?}");
    assert!(done.kib <= warm.kib + (3 << 10), "{warm:?} {done:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    let calls = report["by_call"].as_array().unwrap();
    let spawns = calls.iter().find(|call| call["call"] == "proc_spawn3").unwrap();
    assert!(spawns["calls"].as_u64().unwrap() > 5000, "{spawns}");

    if !is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: only root can confine a native program by chroot");
        return;
    }
    let program = match compile("shell", true) {
        Ok(program) => program,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "skipped: the shell is not compared with the kernel: {why}");
            return;
        }
    };
    let root = EmptyRoot::new("shell", "thousands-kernel");
    root.give("shell", &fs::read(&program).unwrap());
    fs::write(root.0.join("script"), &script).unwrap();
    let mut command = Command::new(&program);
    let output =
        support::run_with_input(command.env_clear().env("GUEST_ROOT", &root.0).arg("/script"), b"\n\n");
    let _ = fs::remove_file(program);
    assert_eq!(output.code, Some(3), "{}", output.stderr);
    assert!(output.stdout == ran.stdout, "{} and {} bytes", output.stdout.len(), ran.stdout.len());
}

#[test]
fn a_child_that_traps_is_a_signal_to_its_parent() {
    let ran = family!("unruly").run(&["traps"]);
    let said = "unreachable: signal 6\nstack: signal 6\nbounds: signal 6\nwell: status 3\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), said), "{ran:?}");
    let trap = "vnode: /bin/unruly (process 2): wasm trap: wasm `unreachable` instruction executed";
    assert!(ran.stderr.contains(trap), "{ran:?}");
}

#[test]
fn there_are_only_so_many_processes_and_all_end_with_the_first() {
    let start = Instant::now();
    let ran = family!("unruly").run(&["bomb"]);
    let said = "EAGAIN\nhost_wait(-1, &status, 1) = 0\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), said), "{ran:?}");
    assert_eq!(ran.stderr, "");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn room_for_processes_comes_back() {
    for (family, room) in [
        (family!("unruly"), 63),
        (family!("unruly").with("--max-processes=1024"), 1023),
        (family!("unruly").with("--max-processes=2"), 1),
        (family!("unruly").with("--max-processes=20"), 19),
    ] {
        let ran = family.run(&["refill"]);
        let said = format!("{room}, then EAGAIN\nall ended: 1\n").repeat(3);
        assert_eq!((ran.code, ran.stdout), (Some(0), said), "{}", ran.stderr);
    }
}

#[test]
fn nobody_is_lost_who_is_killed_while_it_begins_or_whose_parent_is_gone() {
    for _ in 0..3 {
        let ran = family!("unruly").with("--max-processes=1024").run(&["storms"]);
        let said = "ECHILD, storms: 4, others, if not those of who was killed: 1\n";
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), said, ""));
    }
}

#[test]
fn the_first_may_end_while_others_begin() {
    let unruly = family!("unruly").with("--max-processes=1024");
    for milliseconds in ["1", "5", "10", "20", "40", "80"] {
        let start = Instant::now();
        let ran = unruly.run(&["storms", milliseconds]);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(5), "", ""), "{milliseconds}");
        assert!(start.elapsed() < STUCK, "{milliseconds}: {:?}", start.elapsed());
    }
}

#[test]
fn a_signal_reaches_all_of_a_family_or_all_others() {
    let ran = family!("group").run(&["/work"]);
    let said = "# to all\n\
        host_kill(0, 0) = 0\n\
        host_kill(0, USR1) = 0\n\
        its own: 1\n\
        first: status 4\n\
        second: status 4\n\
        # to all but the first and the sender\n\
        host_kill(-1, USR2) = 0\n\
        its own: 0\n\
        sender: status 6\n\
        first: status 5\n\
        second: status 5\n\
        its own: 0\n\
        # with nobody else\n\
        host_kill(0, 0) = 0\n\
        host_kill(-1, 0) = ESRCH\n\
        host_kill(-1, USR2) = ESRCH\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), said, ""));
}

#[test]
fn whoever_is_left_ends_with_the_first() {
    let start = Instant::now();
    let ran = family!("unruly").run(&["leaves"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(5), "leaves\n", ""), "{ran:?}");
    assert!(start.elapsed() < STUCK, "{:?}", start.elapsed());
}

#[test]
fn the_time_limit_ends_children_that_loop() {
    let start = Instant::now();
    let ran = family!("unruly").with("--timeout=500ms").run(&["loops"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(124), "looping\n"), "{ran:?}");
    assert!(ran.stderr.contains("ended after 500ms (--timeout)"), "{ran:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_thousand_executions_leave_nothing_behind() {
    let unruly = family!("unruly");
    let mut run = Watched::start(unruly.command(&["again", "1000"]));
    run.until("begun");
    let begun = run.held();
    run.go_on();
    run.until("over");
    let over = run.settled(|held| held.has_no_more_than(&begun));
    run.go_on();
    let ran = run.end();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(9), ""), "{ran:?}");
    assert!(over.has_no_more_than(&begun), "{begun:?} {over:?}");
    assert!(over.kib <= begun.kib + (4 << 10), "{begun:?} {over:?}");
}

/// A module that imports WASIX, with this in it.
fn module(body: &str) -> Vec<u8> {
    let import = r#"(import "wasix_32v1" "proc_id" (func (param i32) (result i32)))"#;
    wat::parse_str(format!("(module {import} {body})")).unwrap()
}

#[test]
fn what_is_no_program_is_not_run() {
    let unruly = family!("unruly");
    let whole = fs::read(unruly.root.0.join("bin/unruly")).unwrap();
    let mut files: Vec<(String, Vec<u8>, &str)> = Vec::new();
    for length in [0, 1, 4, 7, 8, 9, 20, 100, 1000, whole.len() / 2, whole.len() - 1] {
        // The header alone is a module, without anything that could be run.
        files.push((format!("cut{length}"), whole[..length].to_vec(), "ENOEXEC"));
    }
    for (index, at) in (8..whole.len()).step_by(whole.len() / 12).enumerate() {
        let mut broken = whole.clone();
        broken[at..(at + 64).min(whole.len())].fill(0xff);
        files.push((format!("broken{index}"), broken, ""));
    }
    let memory = r#"(memory (export "memory") 1)"#;
    files.push(("text".to_owned(), b"(module)".to_vec(), "ENOEXEC"));
    files.push(("version".to_owned(), b"\0asm\x02\0\0\0".to_vec(), "ENOEXEC"));
    files.push(("component".to_owned(), b"\0asm\x0d\0\x01\0".to_vec(), "ENOEXEC"));
    files.push(("nostart".to_owned(), module(memory), "ENOEXEC"));
    let other = r#"(func (export "_start") (param i32))"#;
    files.push(("parameter".to_owned(), module(&format!("{memory} {other}")), "ENOEXEC"));
    let unknown =
        format!(r#"(module (import "nowhere" "nothing" (func)) {memory} (func (export "_start")))"#);
    files.push(("unknown".to_owned(), wat::parse_str(unknown).unwrap(), "ENOEXEC"));
    let start = r#"(func (export "_start"))"#;
    files.push(("good".to_owned(), module(&format!("{memory} {start}")), "status 0"));
    let trap = r#"(func $s unreachable) (start $s)"#;
    files.push(("trap".to_owned(), module(&format!("{memory} {start} {trap}")), "signal 6"));
    let endless = r#"(func (export "_start") (call 1))"#;
    files.push(("endless".to_owned(), module(&format!("{memory} {endless}")), "signal 6"));

    for (name, content, _) in &files {
        unruly.root.give(name, content);
    }
    let paths: Vec<String> = files.iter().map(|(name, ..)| format!("/bin/{name}")).collect();
    let arguments: Vec<&str> = ["runs"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let ran = unruly.run(&arguments);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), files.len(), "{ran:?}");
    for ((name, _, expected), line) in files.iter().zip(lines) {
        assert!(line.starts_with(&format!("/bin/{name}: ")) && line.ends_with(expected), "{name}: {line}");
    }
}

#[test]
fn a_program_that_is_no_guest_of_wasix_is_run_all_the_same() {
    let root = family!("unruly");
    let plain = Module::new(support::PRINT_ARGS);
    root.root.give("plain", &wat::parse_bytes(&fs::read(plain.path()).unwrap()).unwrap());
    let ran = root.run(&["runs", "/bin/plain"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "/bin/plain\0/bin/plain: status 0\n"), "{ran:?}");
}

/// Runs a guest to this code, and answers the lines of its trace.
fn traced(family: Family, arguments: &[&str], code: i32) -> Vec<String> {
    let file = family.root.0.join("trace");
    let family = family.with(&format!("--trace={}", file.display()));
    let ran = family.run(arguments);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_trace_shows_who_spawns_and_executes_whom_and_how_each_ends() {
    let lines = traced(family!("spawn"), &["/work"], 0);
    for part in ["proc_spawn3(\"/bin/spawn\", [", "+++ exited with 7 +++", "+++ killed by signal 9 +++"] {
        // Lines tell the process once there were two.
        let told = lines.iter().any(|line| line.starts_with("[pid ") && line.contains(part));
        assert!(told, "{part}: {lines:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("[pid 2] ")), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "[pid 1] +++ exited with 0 +++");

    let lines = traced(family!("unruly"), &["again", "3"], 9);
    let executed = "proc_exec4(\"/bin/unruly\", [\"/bin/unruly\", \"again\", \"2\"]) = 0 <";
    assert!(lines.iter().any(|line| line.starts_with(executed)), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "+++ exited with 9 +++");
}
