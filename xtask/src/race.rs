//! `cargo xtask race`: guests on a directory of the host that is changed under them, for longer than in the tests.

use crate::process;
use anyhow::{Result, bail};

/// Read by `crates/host/tests/race`.
const SECONDS: &str = "VNODE_RACE_SECONDS";

/// `cargo xtask race [--minutes N]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let minutes: u64 = match arguments {
        [] => 1,
        [flag, minutes] if flag == "--minutes" => match minutes.parse() {
            Ok(minutes @ 1..=10_000) => minutes,
            _ => bail!("--minutes takes a number from 1 on"),
        },
        _ => bail!("usage: cargo xtask race [--minutes N]"),
    };
    let arguments = ["test", "--package", "vnode-host", "--test", "race", "--", "--nocapture"];
    process::check(process::cargo().args(arguments).env(SECONDS, (minutes * 60).to_string()))
}
