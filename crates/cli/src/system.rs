//! What a POSIX process finds in its tree without being given it: `/dev`, `/proc`, `/tmp`.
//!
//! Only a guest of WASIX does. One of preview 1 sees what the mount options say, and nothing else.

use std::sync::Arc;

use vnode_core::{Errno, FilesystemRef, Follow, MountFlags, Namespace, Result};
use vnode_kernel::devices::Devices;
use vnode_kernel::procfs::Procfs;
use vnode_kernel::{Files, ProcessTable};
use vnode_memory::Memory;

use crate::failure::Failure;
use crate::mounts::Mount;

/// What the system's filesystems tell and give.
pub(crate) struct System {
    /// The processes of `/proc`.
    pub(crate) processes: Arc<ProcessTable>,
}

/// Mounts `/dev` and `/proc` over whatever the tree has there, which isn't touched. A mount of the user's own at the
/// same place wins.
///
/// # Errors
/// It can't be.
pub(crate) fn mount(
    namespace: &Namespace,
    mounts: &[Mount],
    system: &System,
) -> std::result::Result<(), Failure> {
    let flags = MountFlags::empty();
    for (point, filesystem) in [
        ("/dev", FilesystemRef::new(Devices::new())),
        ("/proc", FilesystemRef::new(Procfs::new(Arc::clone(&system.processes)))),
    ] {
        if !is_taken(mounts, point) {
            mounted(point, namespace.mount_at(point.as_bytes(), &filesystem, flags).map(drop))?;
        }
    }
    Ok(())
}

/// Mounts a filesystem at `/tmp` if the tree has nothing of that name.
///
/// # Errors
/// It can't be.
pub(crate) fn mount_tmp(
    namespace: &Arc<Namespace>,
    mounts: &[Mount],
    tmp: &Arc<Memory>,
) -> std::result::Result<bool, Failure> {
    let there = Files::of(namespace).attr("/tmp", Follow::No);
    if is_taken(mounts, "/tmp") || there != Err(Errno::NOENT) {
        return Ok(false);
    }
    let tmp = FilesystemRef::new::<Memory>(Arc::clone(tmp));
    mounted("/tmp", namespace.mount_at(b"/tmp", &tmp, MountFlags::empty()).map(drop))?;
    Ok(true)
}

fn is_taken(mounts: &[Mount], point: &str) -> bool {
    mounts.iter().any(|mount| mount.guest.absolute() == point.as_bytes())
}

/// A tree in which the name is that of a file, or of a link that leads nowhere, keeps it.
fn mounted(point: &str, result: Result<()>) -> std::result::Result<(), Failure> {
    match result {
        Ok(()) | Err(Errno::NOTDIR | Errno::NOENT) => Ok(()),
        Err(errno) => Err(Failure::setup(format!("can't mount on {point}: {errno}"))),
    }
}
