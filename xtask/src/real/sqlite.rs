//! SQLite, built here from the source that the crate `libsqlite3-sys` bundles, with its Unix VFS over wasi-libc.
//! A driver of ours fills a database on vnode's memory filesystem; the file is taken out and read natively.

use super::{Lab, Scratch, same_text};
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

    // The driver tells what it sees on stderr and writes the database file to stdout.
    let guest = lab
        .vnode_run()
        .args(["--tmpfs", "/work", "--env", "SQLITE_TMPDIR=/work"])
        .arg(&module)
        .arg("/work")
        .stdin(Stdio::null())
        .output()?;
    let report = String::from_utf8_lossy(&guest.stderr).into_owned();
    if !guest.status.success() {
        bail!("the driver failed: {}\n{}", guest.status, report.trim_end());
    }
    let scratch = Scratch::new("sqlite")?;
    let database = scratch.0.join("taken-out.db");
    fs::write(&database, &guest.stdout)?;
    let mut native = Command::new("python3");
    let reread = output(native.arg(lab.root.join("xtask/real/reread.py")).arg(&database))?;
    same_text("the database", report.as_bytes(), &reread)?;
    Ok(format!("a database of {} bytes, made on vnode, reads the same natively", guest.stdout.len()))
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
