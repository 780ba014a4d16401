//! The crates that are published, lowest first, packed and built as the registry would have them.

use crate::process;
use anyhow::{Result, bail};

/// Each after all that it depends on.
const CRATES: &[&str] = &[
    "vnode-core",
    "vnode-memory",
    "vnode-adapt",
    "vnode-host",
    "vnode-overlay",
    "vnode-archive",
    "vnode-sandbox",
    "vnode-kernel",
    "vnode-wasi",
    "vnode-wasmtime",
    "vnode-cli",
];

/// `cargo xtask publish --dry-run [--no-verify]`: everything but the upload. Uploading is done by hand, with the same
/// crates.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [dry] if dry == "--dry-run" => pack(&[]),
        [dry, quick] if dry == "--dry-run" && quick == "--no-verify" => pack(&["--no-verify"]),
        _ => bail!("usage: cargo xtask publish --dry-run [--no-verify]"),
    }
}

/// Packs the crates together, so that each finds those below it though no registry has them; without `--no-verify`
/// each is built from what was packed.
fn pack(flags: &[&str]) -> Result<()> {
    let mut command = process::cargo();
    command.args(["publish", "--dry-run", "--allow-dirty", "--quiet"]).args(flags);
    for name in CRATES {
        command.args(["--package", name]);
    }
    process::output(&mut command)?;
    println!("{} crates can be published, in this order: {}", CRATES.len(), CRATES.join(", "));
    Ok(())
}

/// What cargo says where it can't reach a registry.
const UNREACHABLE: &[&str] = &[
    "Could not resolve",
    "Couldn't resolve",
    "Couldn't connect",
    "failed to connect",
    "timed out",
    "--offline",
];

/// For CI: that the crates pack, without building them once more.
pub(crate) fn packs() -> Result<()> {
    match pack(&["--no-verify"]) {
        Err(error) if UNREACHABLE.iter().any(|words| format!("{error:#}").contains(words)) => {
            println!("skipped: packing the crates asks a registry, which can't be reached");
            Ok(())
        }
        result => result,
    }
}
