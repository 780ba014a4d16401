//! `cargo xtask mutants`: the rules that everything leans on are broken one by one, and some test must notice.
//! `.cargo/mutants.toml` says what is changed; `docs/TESTING.md` what is known to survive.

use crate::{process, tools};
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

const VERSION: &str = "27.1.0";
/// A mutant may never end: the tests take some ten seconds, on a busy machine three times as long.
const TEST_SECONDS: &str = "60";
const BUILD_SECONDS: &str = "900";
/// KiB of memory that a mutant may take: one that never ends may also never stop allocating.
const MEMORY: u64 = 12 << 20;
/// The tests run alone: a comparison with the kernel takes ten times as long and notices little more.
const ALONE: &str = "VNODE_TEST_ALONE";
/// cargo-mutants ends with this if mutants survived.
const SURVIVORS: i32 = 2;

/// `cargo xtask mutants [--kernel] [ARGUMENTS...]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (with_kernel, rest) = match arguments.split_first() {
        Some((first, rest)) if first == "--kernel" => (true, rest),
        _ => (false, arguments),
    };
    let program = tools::installed("cargo-mutants", VERSION)?;
    let out = process::target().join("mutants");
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")]);
    command.arg(program).args(["mutants", "--workspace", "--baseline", "skip", "--timeout", TEST_SECONDS]);
    command.args(["--build-timeout", BUILD_SECONDS, "--output"]).arg(&out).args(rest);
    command.current_dir(process::root()).stdin(Stdio::null()).env_remove("CARGO_TARGET_DIR");
    if !with_kernel {
        command.env(ALONE, "1");
    }
    let status = command.status().context("cannot run cargo-mutants")?;
    let lists = out.join("mutants.out");
    match status.code() {
        Some(0) => Ok(()),
        Some(SURVIVORS) => bail!(
            "some mutants survived: {}; docs/TESTING.md says which may, and why",
            lists.join("missed.txt").display()
        ),
        _ => bail!("cargo-mutants failed: {status}; its logs are in {}", lists.display()),
    }
}
