//! A test in a process of its own.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Tells the process which test it is for.
const VARIABLE: &str = "VNODE_HOST_ATTACK";

/// No test takes as long.
const TIME: Duration = Duration::from_secs(120);

/// Runs a test of this program again in a process of its own that `launcher` starts: a command that ends by executing
/// what its arguments name. Answers whether that was done; in that process it is not, and the test is to go on.
pub(crate) fn was_done(test: &str, launcher: &[&str]) -> bool {
    if std::env::var(VARIABLE).is_ok_and(|this| this == test) {
        return false;
    }
    let program = std::env::current_exe().unwrap();
    let mut words = launcher.iter().map(std::ffi::OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", test, "--nocapture", "--test-threads=1"]).env(VARIABLE, test);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (out, err) = std::thread::scope(|scope| {
        let out = scope.spawn(move || read(&mut out));
        let err = scope.spawn(move || read(&mut err));
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > TIME {
                child.kill().unwrap();
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        (out.join().unwrap(), err.join().unwrap())
    });
    let status = child.wait().unwrap();
    assert!(status.success() && out.contains("1 passed"), "{launcher:?}: {status}\n{out}\n{err}");
    err.lines().filter_map(|line| line.strip_prefix("skipped: ")).for_each(skipped);
    true
}

/// Whether this is a process that a test runs in by itself.
pub(crate) fn is_apart() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Says what isn't tried here, to whoever runs the tests and not only to who has this one fail.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// A launcher for a shell's command before the test.
pub(crate) fn after(command: &str) -> [&str; 3] {
    ["sh", "-c", command]
}

/// A launcher for mounts of the test's own, if the process may make such.
pub(crate) fn mounts() -> Option<Vec<&'static str>> {
    let launcher = vec!["unshare", "--mount", "--propagation", "private"];
    let may = Command::new(launcher[0]).args(&launcher[1..]).arg("true").stderr(Stdio::null()).status();
    if may.is_ok_and(|status| status.success()) {
        return Some(launcher);
    }
    skipped("only root can mount");
    None
}

/// Runs a command of the system.
pub(crate) fn run(command: &str, arguments: &[&std::ffi::OsStr]) {
    let status = Command::new(command).args(arguments).status().unwrap();
    assert!(status.success(), "{command} {arguments:?}: {status}");
}

pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped("takes root");
    }
    root
}
