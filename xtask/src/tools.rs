//! Programs for developers, installed from the registry under the target directory when they are first needed.

use crate::process;
use anyhow::Result;
use std::path::PathBuf;

/// Where they are.
fn home() -> PathBuf {
    process::target().join("tools")
}

/// The path of `program`, which the package of the same name installs; installed if it is not there.
pub(crate) fn installed(program: &str, version: &str) -> Result<PathBuf> {
    let path = home().join("bin").join(program);
    if path.exists() {
        return Ok(path);
    }
    eprintln!("xtask: installing {program} {version} into {}", home().display());
    let mut install = process::cargo();
    install.args(["install", "--locked", "--version", version, program, "--root"]).arg(home());
    process::check(install.arg("--target-dir").arg(home().join("build")))?;
    Ok(path)
}
