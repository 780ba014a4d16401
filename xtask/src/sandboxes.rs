//! `cargo xtask sandboxes`: how long the commands for a sandbox take whose directory is large and whose changes are few, and the other
//! way round. A native program that finds the differences of two such trees is there for comparison.
//!
//! All of it is on the kernel's tmpfs: syncing costs nothing there.

use crate::{bench, process};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const USAGE: &str = "usage: cargo xtask sandboxes [--check] [--rounds N] [--vnode PATH]";

/// Directories of the large tree, and files in each.
const DIRECTORIES: usize = 100;
const FILES: usize = 1000;
/// Changes of the other one.
const CHANGES: usize = 10_000;

/// Where everything is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = PathBuf::from(format!("/dev/shm/vnode-sandboxes-{}", std::process::id()));
        fs::create_dir_all(path.join("host"))
            .with_context(|| format!("cannot make {}: is /dev/shm a tmpfs here?", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A command that was timed, and what it must not take longer than.
struct Timed {
    what: &'static str,
    target: Option<Duration>,
    times: Vec<Duration>,
}

impl Timed {
    fn new(what: &'static str, target: Option<u64>) -> Self {
        Timed { what, target: target.map(Duration::from_millis), times: Vec::new() }
    }

    fn time(&mut self, command: &mut Command) -> Result<()> {
        let start = Instant::now();
        process::output(command)?;
        self.times.push(start.elapsed());
        Ok(())
    }

    fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }

    fn missed(&self) -> bool {
        self.target.is_some_and(|target| self.median() > target)
    }

    fn line(&self) -> String {
        let target =
            self.target.map(|target| format!("to reach: {} ms", target.as_millis())).unwrap_or_default();
        format!("{:<44} {:>8.1} ms   {target}", self.what, self.median().as_secs_f64() * 1000.0)
    }
}

/// The command over a directory of the host.
struct Sandboxes<'a> {
    vnode: &'a Path,
    scratch: &'a Path,
}

impl Sandboxes<'_> {
    fn vnode(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.vnode);
        command.args(words).current_dir(self.scratch.join("host"));
        command.env("XDG_STATE_HOME", self.scratch.join("state")).stdin(Stdio::null());
        command
    }

    /// Runs the guest that does what these words say in a sandbox.
    fn change(&self, sandbox: &str, steps: &str) -> Result<()> {
        let guest = process::root().join("guests/built/files.wasm");
        let mut command = self.vnode(&["run", "--quiet", "--sandbox", sandbox, "--overlay", ".::/data"]);
        command.args(["--max-open-files", "20000"]).arg(guest).args(steps.split_whitespace());
        process::output(&mut command).map(drop)
    }
}

/// `cargo xtask sandboxes`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut check, mut rounds, mut vnode) = (false, 9, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--check" => check = true,
            "--rounds" => rounds = words.next().and_then(|text| text.parse().ok()).context(USAGE)?,
            "--vnode" => vnode = Some(words.next().map(PathBuf::from).context(USAGE)?),
            _ => bail!("{USAGE}"),
        }
    }
    let vnode = vnode.map_or_else(bench::built_vnode, Ok)?;
    let scratch = Scratch::new()?;
    let rows = measure(&Sandboxes { vnode: &vnode, scratch: &scratch.0 }, rounds)?;
    for row in &rows {
        println!("{}", row.line());
    }
    let missed: Vec<&str> = rows.iter().filter(|row| row.missed()).map(|row| row.what).collect();
    if check && !missed.is_empty() {
        bail!("over the target: {}", missed.join(", "));
    }
    Ok(())
}

fn measure(sandboxes: &Sandboxes<'_>, rounds: usize) -> Result<Vec<Timed>> {
    let host = sandboxes.scratch.join("host");
    for directory in 0..DIRECTORIES {
        let directory = host.join(format!("d{directory}"));
        fs::create_dir(&directory)?;
        for file in 0..FILES {
            fs::write(directory.join(format!("f{file}")), "as it was\n")?;
        }
    }
    let mut nothing = Timed::new("vnode --version", None);
    let mut native = Timed::new("diff -r of two such trees, natively", None);
    let mut diff = Timed::new("diff: 100,000 files, 10 changes", Some(50));
    let mut apply = Timed::new("apply: the same", Some(100));
    let mut fork = Timed::new("fork: 10,000 changes", Some(50));
    let mut diff_many = Timed::new("diff: 10,000 changes", None);
    let mut apply_many = Timed::new("apply: 10,000 changes", None);

    // They are the same: `diff` ends with 0 then.
    let (copy, copy_of_host) = (sandboxes.scratch.join("copy"), sandboxes.scratch.join("copy2"));
    for copy in [&copy, &copy_of_host] {
        process::output(Command::new("cp").arg("-a").arg(&host).arg(copy))?;
    }
    for round in 0..rounds {
        let steps: Vec<String> =
            (0..10).map(|file| format!("write /data/d{file}/f{file} changed{round}")).collect();
        sandboxes.change("few", &steps.join(" : "))?;
        nothing.time(&mut sandboxes.vnode(&["--version"]))?;
        native.time(Command::new("diff").arg("-r").arg(&copy).arg(&copy_of_host))?;
        diff.time(&mut sandboxes.vnode(&["sandbox", "diff", "few"]))?;
        apply.time(&mut sandboxes.vnode(&["sandbox", "apply", "few"]))?;
    }
    sandboxes.change("many", &format!("mkdir /data/new : hold /data/new/f {CHANGES}"))?;
    for round in 0..rounds {
        let name = format!("fork{round}");
        // Something to freeze each time.
        sandboxes.change("many", &format!("write /data/new/f1 changed{round}"))?;
        fork.time(&mut sandboxes.vnode(&["sandbox", "fork", "many", &name]))?;
        diff_many.time(&mut sandboxes.vnode(&["sandbox", "diff", &name]))?;
    }
    apply_many.time(&mut sandboxes.vnode(&["sandbox", "apply", "many"]))?;
    Ok(vec![nothing, native, diff, apply, fork, diff_many, apply_many])
}
