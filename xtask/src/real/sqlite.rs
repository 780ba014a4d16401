//! SQLite, built here from the source that the crate `libsqlite3-sys` bundles, with its Unix VFS over wasi-libc.
//! A driver of ours fills a database on vnode's memory filesystem, and the file is taken out; and another in a
//! directory of the host, where it lies. Both are read natively.

use super::{Lab, On, Scratch, same_text};
use crate::guests::{compiler, ensure_toolchain, linker};
use crate::process::{cargo, check, exists, output};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const CRATE: &str = "libsqlite3-sys";
const VERSION: &str = "0.35.0";
const SOURCE: &str = "vendor/libsqlite3-sys/sqlite3/sqlite3.c";

/// WASI has one process, no shared libraries and no shared memory.
const DEFINITIONS: &[&str] = &[
    "-DSQLITE_THREADSAFE=0",
    "-DSQLITE_OMIT_LOAD_EXTENSION",
    "-DSQLITE_OMIT_WAL",
    "-DSQLITE_ENABLE_DBSTAT_VTAB",
    "-DLONGDOUBLE_TYPE=double",
    "-D_WASI_EMULATED_GETPID",
];

pub(super) fn run(lab: &Lab) -> Result<String> {
    if !exists("python3") {
        bail!("no python3 to read the database with: install it");
    }
    let dir = lab.fetched("sqlite", SOURCE, |dir| fetch(lab, dir))?;
    let module = dir.join("sqlite.wasm");
    let driver = lab.root.join("xtask/real/sqlite.c");
    let newer = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    if newer(&module) < newer(&driver) {
        ensure_toolchain()?;
        build(lab, &dir, &driver, &module).context("cannot build SQLite for WASI")?;
    }

    let mut bytes = 0;
    for on in On::ALL {
        bytes = on_vnode(lab, &module, on).with_context(|| format!("on {}", on.name()))?;
    }
    Ok(format!("a database of {bytes} bytes, made on vnode, reads the same natively"))
}

/// Has a database made and read natively; gives its size.
fn on_vnode(lab: &Lab, module: &Path, on: On) -> Result<usize> {
    let given = Scratch::new("sqlite-given")?;
    let work = format!("{}::/work", given.0.display());
    let mut vnode = lab.vnode_run();
    vnode.args(match on {
        On::Memory => ["--tmpfs", "/work"],
        On::Host => ["--dir", &work],
    });
    vnode.args(["--env", "SQLITE_TMPDIR=/work"]).arg(module).arg("/work");
    // The driver tells what it sees on stderr and writes the database file to stdout.
    let guest = vnode.stdin(Stdio::null()).output()?;
    let report = String::from_utf8_lossy(&guest.stderr).into_owned();
    if !guest.status.success() {
        bail!("the driver failed: {}\n{}", guest.status, report.trim_end());
    }
    let scratch = Scratch::new("sqlite")?;
    let database = match on {
        On::Memory => {
            let path = scratch.0.join("taken-out.db");
            fs::write(&path, &guest.stdout)?;
            path
        }
        // It lies there, and is what the guest read of it.
        On::Host => given.0.join("data.db"),
    };
    if fs::read(&database)? != guest.stdout {
        bail!("the file on the host is not what the guest reads");
    }
    let mut native = Command::new("python3");
    let reread = output(native.arg(lab.root.join("xtask/real/reread.py")).arg(&database))?;
    same_text("the database", report.as_bytes(), &reread)?;
    Ok(guest.stdout.len())
}

/// Lets cargo fetch the crate with its sources.
fn fetch(lab: &Lab, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("src"))?;
    fs::write(dir.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\n{CRATE} = \"={VERSION}\"\n"
    );
    fs::write(dir.join("Cargo.toml"), manifest)?;
    let mut cargo = cargo();
    output(cargo.current_dir(dir).args(["vendor", "--quiet"]))
        .with_context(|| lab.store.display().to_string())?;
    Ok(())
}

fn build(lab: &Lab, dir: &Path, driver: &Path, module: &Path) -> Result<()> {
    let library = dir.join("sqlite3.o");
    if !library.exists() {
        check(compiler(&lab.root).args(DEFINITIONS).arg("-w").arg(dir.join(SOURCE)).arg("-o").arg(&library))?;
    }
    let object = dir.join("driver.o");
    let headers = dir.join("vendor/libsqlite3-sys/sqlite3");
    check(
        compiler(&lab.root).args(["-Wall", "-Wextra", "-I"]).arg(headers).arg(driver).arg("-o").arg(&object),
    )?;
    check(linker(&lab.root).arg(&object).arg(&library).arg("-lwasi-emulated-getpid").arg("-o").arg(module))
}
