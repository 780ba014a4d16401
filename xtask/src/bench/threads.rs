//! Two threads beside each other, on one filesystem but in directories of their own.

use crate::process;
use anyhow::{Context, Result};
use std::process::Command;

/// How long each measurement takes.
const MILLISECONDS: &str = "400";

/// How many times the operations of one thread two make: the median of the rounds. Nothing on a machine with one
/// processor.
pub(super) fn gain(rounds: u32) -> Result<Option<f64>> {
    if std::thread::available_parallelism().map_or(1, |count| count.get()) < 2 {
        return Ok(None);
    }
    let calls = process::built_calls()?;
    let operations = |threads: &str| -> Result<f64> {
        let written = process::output(Command::new(&calls).args(["scale", threads, MILLISECONDS]))?;
        String::from_utf8_lossy(&written).trim().parse().context("vnode-calls wrote no number")
    };
    let mut gains = Vec::new();
    for _ in 0..rounds {
        let one = operations("1")?;
        gains.push(operations("2")? / one);
    }
    gains.sort_by(f64::total_cmp);
    Ok(Some(super::report::quantile(&gains, 0.5)))
}
