//! Tests that mount something: in a process of their own, whose mounts are nobody else's.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::path::Path;
use std::process::Command;

/// Runs a test of this program again, with the place in `variable`, where it can mount; not at all where nobody may.
pub(crate) fn alone(test: &str, variable: &str, place: &Path) {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private"]);
        unshare
    };
    let mount = format!("mount -t tmpfs tmpfs '{}'", place.display());
    if !unshare().args(["sh", "-c", &mount]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let mut alone = unshare();
    alone.arg(std::env::current_exe().unwrap()).args(["--exact", "--nocapture", test]);
    let output = alone.env(variable, place).output().unwrap();
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    print!("{}", told.concat());
    assert!(output.status.success() && told[0].contains("1 passed"), "{}", output.status);
}
