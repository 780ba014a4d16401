//! The developer's commands of vnode, run as `cargo xtask COMMAND`.
//!
//! | module | what |
//! | --- | --- |
//! | [`guests`] | builds the C programs of `guests/` that tests and demonstrations run |
//! | [`tidy`] | the rules of the architecture that no compiler checks |
//! | [`real`] | programs that others wrote, compared with themselves on the kernel |
//! | [`mod@bench`] | what calls cost a guest, as ratios to a native program's |
//! | [`sandboxes`] | how long the commands for sandboxes take |
//! | [`instructions`] | how many instructions calls take, kept from growing |
//! | [`race`] | guests on a directory of the host that others change, for longer than in the tests |
//! | [`fuzz`], [`mutants`] | what takes longer: fuzzers, and broken rules that tests must notice |
//! | [`ci`] | everything that has to pass, in order |
//! | [`process`], [`tools`], [`debian`] | starting other programs, installing those that developers need |

#![allow(clippy::print_stdout, reason = "these commands talk to a developer on a terminal")]

mod bench;
mod ci;
mod debian;
mod fuzz;
mod guests;
mod instructions;
mod mutants;
mod process;
mod publish;
mod race;
mod real;
mod sandboxes;
mod tidy;
mod tools;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
The developer's commands of vnode.

cargo xtask guests [--check]   Build guests/src into guests/built. --check: fail if a committed file differs.
cargo xtask tidy               Check the rules of the architecture, the sources and the documents.
cargo xtask real [--release] [python] [esbuild] [sqlite]
                               Run programs that others wrote on vnode and compare them with the kernel.
cargo xtask diff [--overlay] [--minutes N]
                               Apply random operations to vnode and to the kernel, or to overlays of both; compare.
cargo xtask race [--minutes N] Swap directories of the host under guests; nothing outside may be reached.
cargo xtask bench [--host|--overlay|--processes] [--check] [--json] [--rounds N] [--percent P] [--vnode PATH] [OPERATION...]
                               Measure what calls cost a guest, against the same program on the kernel's tmpfs.
cargo xtask sandboxes [--check] [--rounds N] [--vnode PATH]
                               Measure diff, apply and fork of sandboxes over a large tree, and of many changes.
cargo xtask instructions [--check] [--bless] [OPERATION...]
                               Count the instructions of calls under callgrind; compare with benches/instructions.txt.
cargo xtask fuzz [--build] [--seconds N] [TARGET...]
                               Run the fuzzers, 60 seconds each; --build only builds them.
cargo xtask mutants [--kernel] [ARGUMENTS OF cargo mutants...]
                               Break the walker, the mounts and renames one by one; tests must notice.
cargo xtask publish --dry-run [--no-verify]
                               Pack the published crates and build them from what was packed; upload nothing.
cargo xtask ci                 Everything that has to pass before a change is merged.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    if rest.iter().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return Ok(());
    }
    match command {
        "guests" => guests::run(rest),
        "tidy" => tidy::run(),
        "real" => real::run(rest),
        "sandboxes" => sandboxes::run(rest),
        "bench" => bench::run(rest),
        "instructions" => instructions::run(rest),
        "diff" => ci::diff(rest),
        "race" => race::run(rest),
        "fuzz" => fuzz::run(rest),
        "mutants" => mutants::run(rest),
        "publish" => publish::run(rest),
        "ci" => ci::run(),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no command {other:?}; `cargo xtask help` lists them"),
    }
}
