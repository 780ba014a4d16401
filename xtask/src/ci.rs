//! What has to pass before a change is merged, in order, with the time that each step takes.

use crate::{guests, process, real, tidy};
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

/// One step: its name, and what it does.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("fmt", || cargo(&["fmt", "--all", "--check"], &[])),
    ("tidy", tidy::run),
    ("guests", guests_are_built),
    ("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])),
    ("doc", || cargo(&["doc", "--workspace", "--no-deps", "--quiet"], &[("RUSTDOCFLAGS", "-D warnings")])),
    ("real", || real::run(&[])),
    ("test", || cargo(&["test", "--workspace"], &[])),
];

/// `cargo xtask ci`. The tests come last, so that their count is what the log ends with.
pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    let mut times = Vec::new();
    for (name, step) in STEPS {
        println!("== {name}");
        let began = Instant::now();
        step().with_context(|| format!("ci stops at `{name}`"))?;
        let seconds = began.elapsed().as_secs();
        println!("== {name}: {seconds} s");
        times.push(format!("{name} {seconds}"));
    }
    eprintln!("== all: {} s ({})", start.elapsed().as_secs(), times.join(", "));
    Ok(())
}

/// `cargo xtask diff [--minutes N]`: the differential tester, longer than in the tests.
pub(crate) fn diff(arguments: &[String]) -> Result<()> {
    let minutes = match arguments {
        [] => "1",
        [flag, minutes] if flag == "--minutes" && minutes.parse::<u32>().is_ok() => minutes,
        _ => bail!("usage: cargo xtask diff [--minutes N]"),
    };
    cargo(&["run", "-p", "vnode-conformance", "--bin", "vnode-diff", "--", "--minutes", minutes], &[])
}

/// The modules are what their sources say, where the toolchain is or can be installed.
fn guests_are_built() -> Result<()> {
    if !guests::toolchain_is_here() && !process::is_root() {
        println!("skipped: no toolchain for the guests, and only root can install it");
        return Ok(());
    }
    guests::run(&["--check".to_owned()])
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(program);
    process::check(command.current_dir(process::root()).args(arguments).envs(environment.iter().copied()))
}
