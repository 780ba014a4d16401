//! `vnode sandbox discard`, `unmount`, `delete` and `prune`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vnode_sandbox::{Kept, Store, StoreError};

use super::{failure, list, session};
use crate::failure::{Failure, say};
use crate::mounts::GuestPath;

/// `vnode sandbox discard`.
pub(super) fn discard(store: &Store, name: &str, paths: &[Vec<u8>]) -> Result<(), Failure> {
    let mut sandbox = store.open(name).map_err(failure)?;
    let discarded = if paths.is_empty() { sandbox.discard() } else { sandbox.discard_some(paths) };
    discarded.map_err(failure)
}

/// `vnode sandbox unmount`.
pub(super) fn unmount(store: &Store, name: &str, guest: &GuestPath) -> Result<(), Failure> {
    let mut sandbox = store.open(name).map_err(failure)?;
    if session::unmount(&mut sandbox, guest)? {
        return Ok(());
    }
    Err(Failure::setup(format!(
        "sandbox {name} has no mount at {guest}; vnode sandbox show {name} lists them"
    )))
}

/// `vnode sandbox delete`: as many as can be.
pub(super) fn delete(store: &Store, names: &[String], force: bool) -> Result<(), Failure> {
    let mut failed = None;
    for name in names {
        let deleted = if force { store.delete_interrupted(name) } else { store.delete(name) };
        let Err(error) = deleted else { continue };
        if let Some(before) = failed.replace(failure(error)) {
            say(before);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// `vnode sandbox prune`.
pub(super) fn prune(store: &Store, unused_for: Option<Duration>, dry_run: bool) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let is_old = |kept: &Kept| {
        kept.process.is_none() && unused_for.is_some_and(|time| now.saturating_sub(kept.used) >= time)
    };
    for name in store.names().map_err(failure)? {
        let kept = match store.look(&name) {
            Ok(kept) if is_old(&kept) => kept,
            Ok(_) => continue,
            Err(error) => {
                say(error);
                continue;
            }
        };
        let about = format!("{name}, unused for {}, {}", list::age(kept.used), list::size(kept.storage.0));
        if dry_run {
            list::print(&format!("would delete {about}\n"))?;
            continue;
        }
        match store.delete(&name) {
            Ok(()) => list::print(&format!("deleted {about}\n"))?,
            // It came into use meanwhile, or somebody else deleted it.
            Err(StoreError::InUse { .. } | StoreError::Missing { .. }) => {}
            // The others are to go all the same.
            Err(error) => say(error),
        }
    }
    if !dry_run {
        let swept = store.sweep().map_err(failure)?;
        if swept.uppers > 0 {
            list::print(&format!(
                "removed what {} interrupted commands left, {}\n",
                swept.uppers,
                list::size(swept.bytes)
            ))?;
        }
    }
    Ok(())
}
