//! `cargo xtask bench`: what filesystem calls cost a guest, as ratios to the same calls of a native program.
//!
//! One C program, `guests/src/bench.c`, is the guest and, built by the host's compiler, its native twin, which
//! works on the kernel's tmpfs. Both are run for each operation in turn, round after round, so that whatever else
//! the machine does meets both. An operation's ratio is the median of its rounds' ratios. What the calls gave must
//! be the same everywhere, or there is no result.
//!
//! With `--processes` it is `guests/src/rates.c`, whose twin is linked statically, as a module is: children and pipes.
//!
//! With `--overlay` it is `guests/src/layers.c`, and what it is compared with is the kernel's overlayfs, of the same layers:
//! directories of tmpfs. Each run has layers of its own, made by `vnode-layers` (`benches/`).
//!
//! Besides, two threads in directories of their own are compared with one ([`threads`]). With `--host` the guest works on
//! a directory of the same tmpfs.

mod report;
mod runners;
mod targets;
mod threads;

use crate::process;
use anyhow::{Context, Result, bail};
use report::Report;
use runners::Runner;
use std::io::Write as _;
use std::path::PathBuf;
pub(crate) use targets::Kind;
use targets::Over;

/// The operations of `guests/src/bench.c`.
pub(crate) const OPERATIONS: &[(&str, Kind)] = &[
    ("stat-1", Kind::Metadata),
    ("stat-12", Kind::Metadata),
    ("stat-missing", Kind::Metadata),
    ("stat-link", Kind::Metadata),
    ("stat-chain-8", Kind::Metadata),
    ("fstat", Kind::Metadata),
    ("open-close", Kind::Metadata),
    ("readlink", Kind::Metadata),
    ("symlink-unlink", Kind::Metadata),
    ("create-close-unlink", Kind::Metadata),
    ("mkdir-rmdir", Kind::Metadata),
    ("rename", Kind::Metadata),
    ("readdir-entry", Kind::Metadata),
    ("pread-4k", Kind::SmallIo),
    ("pwrite-4k", Kind::SmallIo),
    ("write-1", Kind::SmallIo),
    ("append-64", Kind::SmallIo),
    ("write-64m", Kind::Sequential),
    ("read-64m", Kind::Sequential),
];

/// The operations of `guests/src/rates.c`.
const PROCESS_OPERATIONS: &[(&str, Kind)] =
    &[("spawn-wait", Kind::Process), ("pipe-64k", Kind::Process), ("pipe-byte", Kind::Process)];

/// The operations of `guests/src/layers.c`.
const LAYER_OPERATIONS: &[(&str, Kind)] = &[
    ("stat-1", Kind::Metadata),
    ("stat-12", Kind::Metadata),
    ("stat-upper", Kind::Metadata),
    ("stat-missing", Kind::Metadata),
    ("stat-first", Kind::Metadata),
    ("open-close", Kind::Metadata),
    ("readlink", Kind::Metadata),
    ("readdir-entry", Kind::Metadata),
    ("pread-4k", Kind::SmallIo),
    ("create-close-unlink", Kind::Change),
    ("copy-up-4k", Kind::Change),
    ("copy-up-1g", Kind::Change),
];

struct Options {
    rounds: u32,
    percent: u32,
    json: bool,
    check: bool,
    over: Over,
    vnode: Option<PathBuf>,
    only: Vec<String>,
}

/// All of them.
const ALL: &[&[(&str, Kind)]] = &[OPERATIONS, PROCESS_OPERATIONS, LAYER_OPERATIONS];

const USAGE: &str = "\
usage: cargo xtask bench [--host|--overlay|--processes] [--rounds N] [--percent P] [--check] [--json] [--vnode PATH] [OPERATION...]

  --host        The guest works on a directory of the host (tmpfs), not in memory.
  --overlay     Layers, of memory and of the host (tmpfs), beside the kernel's overlayfs.
  --processes   What processes and pipes cost, in place of files.
  --rounds N    Rounds, of which each ratio is the median (9).
  --percent P   Repetitions in a round, in percent of the usual number (100).
  --check       Fail if a ratio is over its target.
  --json        Write the results as JSON.
  --vnode PATH  Measure this command instead of building it.";

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Options {
            rounds: 9,
            percent: 100,
            json: false,
            check: false,
            over: Over::Memory,
            vnode: None,
            only: Vec::new(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || -> Result<u32> {
                let value = words.next().and_then(|value| value.parse().ok()).filter(|&value| value > 0);
                value.with_context(|| format!("{word} needs a number from 1 on\n{USAGE}"))
            };
            match word.as_str() {
                "--rounds" => options.rounds = number()?,
                "--percent" => options.percent = number()?,
                "--json" => options.json = true,
                "--check" => options.check = true,
                "--host" => options.over = Over::Host,
                "--overlay" => options.over = Over::Layers,
                "--processes" => options.over = Over::Processes,
                "--vnode" => {
                    options.vnode = Some(words.next().map(PathBuf::from).context(USAGE)?);
                }
                name if ALL.iter().copied().flatten().any(|(known, _)| *known == name) => {
                    options.only.push(word.clone());
                }
                other => bail!("{other:?} is neither an option nor an operation\n{USAGE}"),
            }
        }
        Ok(options)
    }

    fn wants(&self, operation: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == operation)
    }
}

/// `cargo xtask bench`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let vnode = match &options.vnode {
        Some(path) => path.clone(),
        None if options.over == Over::Layers => process::built_layers()?,
        None => built_vnode()?,
    };
    let scratch = runners::Scratch::new()?;
    let runners = runners::all(&vnode, &scratch, options.over)?;
    if options.over == Over::Layers
        && let Err(error) = runners[0].run("stat-1", 1)
    {
        println!("skipped: there is nothing to compare with: {error:#}");
        return Ok(());
    }
    let mut report = measure(&runners, &options)?;
    if options.only.is_empty() && options.over == Over::Memory {
        report.two_threads = threads::gain(options.rounds)?;
    }
    let printed = if options.json { report.json()? + "\n" } else { report.table() };
    // Who reads it may have seen enough.
    let _closed = std::io::stdout().write_all(printed.as_bytes());
    let missed = report.missed();
    if options.check && !missed.is_empty() {
        bail!("over the target: {}", missed.join(", "));
    }
    Ok(())
}

/// The command, built as it is released.
pub(crate) fn built_vnode() -> Result<PathBuf> {
    process::check(process::cargo().args(["build", "--release", "--package", "vnode-cli"]))?;
    Ok(process::target().join("release/vnode"))
}

/// Runs every operation on every runner, in turn, and round after round.
fn measure(runners: &[Runner], options: &Options) -> Result<Report> {
    let operations = match options.over {
        Over::Memory | Over::Host => OPERATIONS,
        Over::Processes => PROCESS_OPERATIONS,
        Over::Layers => LAYER_OPERATIONS,
    };
    let wanted: Vec<_> = operations.iter().copied().filter(|(name, _)| options.wants(name)).collect();
    let mut report =
        Report::new(runners.iter().map(|runner| runner.name.clone()).collect(), &wanted, options.over);
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    for round in 1..=options.rounds {
        for (row, &(operation, kind)) in wanted.iter().enumerate() {
            if terminal {
                eprint!("\r\x1b[Kround {round} of {}: {operation}", options.rounds);
            }
            let mut digest = None;
            for (column, runner) in runners.iter().enumerate() {
                let run = || runner.run(operation, options.percent);
                // A virtual machine gives memory back that is not used for a while, and gets it anew page by page. The
                // first run has that done.
                let warmed = if kind == Kind::Sequential { run().map(drop) } else { Ok(()) };
                let sample = match warmed.and_then(|()| run()) {
                    Ok(sample) => sample,
                    // Only ours have to be able to do everything.
                    Err(error) if column > 1 => {
                        report.cannot(row, column, &error);
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                if *digest.get_or_insert(sample.digest) != sample.digest {
                    bail!("{operation} gave {} something else than it gave the kernel", runner.name);
                }
                report.add(row, column, sample.nanoseconds);
            }
        }
    }
    if terminal {
        eprint!("\r\x1b[K");
    }
    Ok(report)
}
