//! Names in directories.

use std::os::fd::BorrowedFd as Descriptor;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno as HostErrno;
use vnode_core::fs::{Access, NewInode, NewKind};
use vnode_core::{Errno, FileType, Result};

use super::super::names::{create_file, for_access, link_named, mode, read_link_at};
use super::super::stat::Stat;
use super::super::{errno, uninterrupted};
use super::darwin::{leaving_atime, make_special, stat_named};
use super::held::{AsFd, BorrowedFd, Named, OwnedFd};
use super::opened;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a directory by its path on the host, links followed: the embedder's own, never a guest's.
pub(crate) fn open_root(path: &[u8]) -> Result<OwnedFd> {
    leaving_atime(DIRECTORY, true, |flags| rustix::fs::openat(CWD, path, flags, Mode::empty()))
}

/// The inode that a name stands for.
pub(crate) fn find(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    /// Times that it is looked at anew, because it was given to something else before it was opened.
    const TRIES: u32 = 16;
    let dir = opened(&dir)?;
    for _ in 0..TRIES {
        let stat = stat_named(dir, name)?;
        let found = match stat.attr.kind {
            FileType::Directory => open(dir, name, DIRECTORY | OFlags::NOFOLLOW, FileType::Directory),
            // Writing alone may be allowed.
            FileType::Regular => match open(dir, name, for_access(Access::READ), FileType::Regular) {
                Err(Errno::ACCES) => open(dir, name, for_access(Access::WRITE), FileType::Regular),
                found => found,
            },
            FileType::Symlink => find_link(dir, name, &stat),
            _ => return Named::hold(dir, name, &stat, None),
        };
        match found {
            Ok(Some(found)) => return Ok(found),
            Err(Errno::ACCES | Errno::PERM) => return Named::hold(dir, name, &stat, None),
            // It is something else since.
            Ok(None) | Err(Errno::LOOP | Errno::NOTDIR | Errno::OPNOTSUPP | Errno::NXIO | Errno::INVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::STALE)
}

/// Holds what was seen to be a link, if it is the same before and after its target is read.
fn find_link(dir: Descriptor<'_>, name: &[u8], seen: &Stat) -> Result<Option<OwnedFd>> {
    let target = read_link_at(BorrowedFd::Opened(dir), name)?;
    if stat_named(dir, name)?.id != seen.id {
        return Ok(None);
    }
    Named::hold(dir, name, seen, Some(target)).map(Some)
}

/// Opens what was seen to be of a kind, if it is of that kind still.
fn open(dir: Descriptor<'_>, name: &[u8], flags: OFlags, kind: FileType) -> Result<Option<OwnedFd>> {
    let found = leaving_atime(flags, true, |flags| rustix::fs::openat(dir, name, flags, Mode::empty()))?;
    let is_that = super::attributes::stat(found.as_fd())?.attr.kind == kind;
    Ok(is_that.then_some(found))
}

/// The directory above.
pub(crate) fn find_above(dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    find(dir, b"..")
}

/// There is no such call.
///
/// # Errors
/// `ENOSYS`.
pub(crate) fn find_run(_: BorrowedFd<'_>, _: &[u8], _: bool) -> Result<OwnedFd> {
    Err(Errno::NOSYS)
}

/// Makes anything but a regular file that is to be opened.
///
/// # Errors
/// `EOPNOTSUPP`: FIFOs, sockets and devices, which can't be made relative to a directory on all that is called macOS.
pub(crate) fn create(dir: BorrowedFd<'_>, name: &[u8], new: &NewInode<'_>) -> Result<()> {
    let bits = new.mode.raw();
    let at = opened(&dir)?;
    match new.kind {
        NewKind::Regular => create_file(dir, name, bits, Access::WRITE).map(drop),
        NewKind::Directory => uninterrupted(|| rustix::fs::mkdirat(at, name, mode(bits))).map_err(errno),
        NewKind::Symlink(target) => uninterrupted(|| rustix::fs::symlinkat(target, at, name)).map_err(errno),
        NewKind::Fifo | NewKind::Socket | NewKind::CharDevice(_) | NewKind::BlockDevice(_) => {
            make_special(at, name, new)
        }
    }
}

/// Makes another name for an inode that is held by a name.
///
/// # Errors
/// `ESTALE`: it is held by a descriptor, from which no name can be told.
pub(crate) fn link(inode: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let BorrowedFd::Named(named) = inode else { return Err(Errno::STALE) };
    let (from, old) = named.place()?;
    link_named(inode, BorrowedFd::Opened(from), old, dir, name)
}

/// An error of `unlink(2)` as Linux would give it.
pub(crate) fn told_of_remove(dir: BorrowedFd<'_>, name: &[u8], error: HostErrno) -> Errno {
    let is_dir = || super::attributes::stat_at(dir, name).is_ok_and(|stat| stat.attr.kind.is_dir());
    match error {
        HostErrno::PERM if is_dir() => Errno::ISDIR,
        error => errno(error),
    }
}

/// The target of a symbolic link.
pub(crate) fn read_link(link: BorrowedFd<'_>) -> Result<Arc<[u8]>> {
    match link {
        BorrowedFd::Named(named) => named.target().cloned().ok_or(Errno::INVAL),
        BorrowedFd::Opened(_) => Err(Errno::INVAL),
    }
}
