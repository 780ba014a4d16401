//! Starting other programs: what was run is named in every error.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The cargo that runs this, at the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo.current_dir(root());
    cargo
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// `vnode-calls`, guest calls without an engine, built as what is released.
pub(crate) fn built_calls() -> Result<PathBuf> {
    check(cargo().args(["build", "--quiet", "--release", "--package", "vnode-benches"]))?;
    Ok(target().join("release/vnode-calls"))
}

/// What puts layers together for a benchmark, built as it is released.
pub(crate) fn built_layers() -> Result<PathBuf> {
    let words = ["build", "--release", "--package", "vnode-benches", "--features", "engine"];
    check(cargo().args(words).args(["--bin", "vnode-layers"]))?;
    Ok(target().join("release/vnode-layers"))
}

/// Runs `command` with the terminal's streams; fails unless it ends with 0.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Runs `command` with nothing to read and gives what it wrote; fails unless it ends with 0.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let shown = show(command);
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        let wrote = String::from_utf8_lossy(&stdout);
        let tail: Vec<&str> = wrote.lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("`{shown}` failed: {status}\n{}\n{}", tail.join("\n"), said.trim_end());
    }
    Ok(stdout)
}

/// Whether `program` can be started at all.
pub(crate) fn exists(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    let mut id = Command::new("id");
    output(id.arg("-u")).is_ok_and(|uid| uid.trim_ascii() == b"0")
}

/// The program and its arguments, as one would type them; long ones are cut.
fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(300) {
        line.truncate(at);
        line.push_str(" ...");
    }
    line
}
