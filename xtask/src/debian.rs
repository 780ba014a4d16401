//! Debian's packages, installed where that is possible.

use crate::process::{check, exists, is_root};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Whether all of these files are there.
pub(crate) fn has(parts: &[&str]) -> bool {
    parts.iter().all(|part| Path::new(part).exists())
}

/// Whether what is missing could be installed.
pub(crate) fn can_install() -> bool {
    is_root() && exists("apt-get")
}

/// Installs packages unless all of these files of theirs are there; `what` names them together.
pub(crate) fn ensure(what: &str, packages: &[&str], parts: &[&str]) -> Result<()> {
    if has(parts) {
        return Ok(());
    }
    let missing: Vec<&str> = parts.iter().copied().filter(|part| !Path::new(part).exists()).collect();
    if !can_install() {
        bail!(
            "{what} is not complete: no {}; install Debian's packages {}",
            missing.join(", "),
            packages.join(" ")
        );
    }
    println!("installing {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        check(command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q").args(arguments))
    };
    apt(&["update"])?;
    apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())?;
    if !has(parts) {
        bail!("installed {}, but {} are still not there", packages.join(" "), missing.join(", "));
    }
    Ok(())
}
