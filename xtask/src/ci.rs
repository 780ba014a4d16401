//! What has to pass before a change is merged, in order, with the time that each step takes.

use crate::{debian, guests, instructions, process, publish, real, tidy};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Instant;

/// One step: its name, and what it does; what it gives, if anything, is to be the log's last line.
type Step = (&'static str, fn() -> Result<String>);

const STEPS: &[Step] = &[
    ("fmt", || cargo(&["fmt", "--all", "--check"], &[])),
    ("tidy", || tidy::run().map(|()| String::new())),
    ("guests", guests_are_built),
    ("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])),
    ("doc", || cargo(&["doc", "--workspace", "--no-deps", "--quiet"], &[("RUSTDOCFLAGS", "-D warnings")])),
    ("publish", || publish::packs().map(|()| String::new())),
    ("test", test),
    ("as macOS", as_macos),
    ("instructions", instructions_did_not_grow),
    // With the command that the tests have just built.
    ("real", || real::run_all(&process::target().join("debug/vnode")).map(|()| String::new())),
];

/// `cargo xtask ci`. The log ends with the number of tests.
pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    let mut closing = String::new();
    let mut times = Vec::new();
    for (name, step) in STEPS {
        println!("== {name}");
        let began = Instant::now();
        closing += &step().with_context(|| format!("ci stops at `{name}`"))?;
        let seconds = began.elapsed().as_secs();
        println!("== {name}: {seconds} s");
        times.push(format!("{name} {seconds}"));
    }
    println!("== all: {} s ({})", start.elapsed().as_secs(), times.join(", "));
    println!("{closing}");
    Ok(())
}

/// `cargo xtask diff [--minutes N]`: the differential tester, longer than in the tests.
pub(crate) fn diff(arguments: &[String]) -> Result<()> {
    let (overlay, rest): (Vec<_>, Vec<_>) =
        arguments.iter().map(String::as_str).partition(|word| *word == "--overlay");
    let minutes = match rest.as_slice() {
        [] => "1",
        ["--minutes", minutes] if minutes.parse::<u32>().is_ok() => minutes,
        _ => bail!("usage: cargo xtask diff [--overlay] [--minutes N]"),
    };
    let mut arguments =
        vec!["run", "--package", "vnode-conformance", "--bin", "vnode-diff", "--", "--minutes", minutes];
    arguments.extend(overlay);
    cargo(&arguments, &[]).map(|_| ())
}

/// The modules are what their sources say, where the toolchain is or can be installed.
fn guests_are_built() -> Result<String> {
    if !guests::toolchain_is_here() && !process::is_root() {
        println!("skipped: no toolchain for the guests, and only root can install it");
        return Ok(String::new());
    }
    guests::run(&["--check".to_owned()])?;
    Ok(String::new())
}

/// Calls take no more instructions than was agreed to, where callgrind is or can be installed.
fn instructions_did_not_grow() -> Result<String> {
    if !instructions::possible() {
        println!("skipped: no valgrind, and only root can install it");
        return Ok(String::new());
    }
    instructions::run(&["--check".to_owned()])?;
    Ok(String::new())
}

/// Host directories by the calls that macOS has, on Linux.
fn as_macos() -> Result<String> {
    let target = process::target().join("as-macos");
    let target = target.to_str().context("the target directory's name is no text")?;
    let arguments = ["test", "--package", "vnode-host", "--test", "attacks", "--target-dir", target];
    cargo(&arguments, &[("RUSTFLAGS", "--cfg vnode_as_macos")])
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
    process::check(process::cargo().args(arguments).envs(environment.iter().copied()))?;
    Ok(String::new())
}

/// What the test programs said of themselves, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// All tests; shows what they write and counts them.
fn test() -> Result<String> {
    // Some tests compare with a filesystem that has quotas, and are skipped without one.
    if debian::can_install() {
        debian::ensure("what makes a filesystem with quotas", &["btrfs-progs"], &["/usr/sbin/mkfs.btrfs"])?;
    }
    let mut command = process::cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run `cargo test`")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (out, err) = std::thread::scope(|scope| {
        let err = scope.spawn(|| stderr.map(|pipe| follow(pipe, std::io::stderr())));
        (stdout.map(|pipe| follow(pipe, std::io::stdout())), err.join().ok().flatten())
    });
    let mut tally = Tally::default();
    for part in [out, err].into_iter().flatten() {
        tally.passed += part.passed;
        tally.failed += part.failed;
        tally.skipped += part.skipped;
    }
    let status = child.wait()?;
    let Tally { passed, failed, skipped } = tally;
    let line = format!("{passed} passed, {failed} failed, {skipped} skipped");
    if !status.success() {
        bail!("`cargo test` failed: {status}; {line}");
    }
    if passed == 0 {
        bail!("no test was run");
    }
    Ok(line)
}

/// Passes every line on and counts what it tells.
fn follow(from: impl Read, mut to: impl Write) -> Tally {
    let mut tally = Tally::default();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let _ = to.write_all(&line).and_then(|()| to.write_all(b"\n"));
        tally.add(&String::from_utf8_lossy(&line));
    }
    tally
}

impl Tally {
    /// Adds what a line says: `test result: ok. 3 passed; 1 failed; ...` or `skipped: ...`.
    fn add(&mut self, line: &str) {
        if line.starts_with("skipped: ") {
            self.skipped += 1;
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let number = |word: &str| {
            let before = result.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
            before.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
        self.skipped += number("ignored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let log = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                   skipped: no root\ntest result: FAILED. 40 passed; 2 failed; 0 ignored; 0 measured\n";
        let mut shown = Vec::new();
        let tally = follow(log.as_bytes(), &mut shown);
        assert_eq!(tally, Tally { passed: 43, failed: 2, skipped: 2 });
        assert_eq!(shown, log.as_bytes());
    }
}
