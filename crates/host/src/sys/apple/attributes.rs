//! Attributes of inodes.

use rustix::fs::AtFlags;
use vnode_core::{Mode, Result, SetTime};

use super::super::stat::{Stat, host_times, owners};
use super::super::{errno, names, uninterrupted};
use super::darwin::{OF_A_NAME, stat_named, stat_opened};
use super::held::BorrowedFd;
use super::opened;

/// Of what a name stands for; a link is not followed.
pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    stat_named(opened(&dir)?, name)
}

/// The same: there is no call that tells more.
pub(crate) fn look_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    stat_at(dir, name)
}

/// Of an inode.
pub(crate) fn stat(inode: BorrowedFd<'_>) -> Result<Stat> {
    match inode {
        BorrowedFd::Opened(descriptor) => stat_opened(descriptor),
        BorrowedFd::Named(named) => named.stat(),
    }
}

/// The same: there is no call that tells more.
pub(crate) fn look(inode: BorrowedFd<'_>) -> Result<Stat> {
    stat(inode)
}

/// Sets the permission bits of an inode.
pub(crate) fn set_mode(inode: BorrowedFd<'_>, mode: Mode) -> Result<()> {
    let mode = names::mode(mode.raw());
    match inode {
        BorrowedFd::Opened(descriptor) => uninterrupted(|| rustix::fs::fchmod(descriptor, mode)),
        BorrowedFd::Named(named) => {
            let (dir, name) = named.place()?;
            uninterrupted(|| rustix::fs::chmodat(dir, name, mode, OF_A_NAME))
        }
    }
    .map_err(errno)
}

/// Sets owner and group.
pub(crate) fn set_owner(inode: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    let (uid, gid) = owners(uid, gid)?;
    match inode {
        BorrowedFd::Opened(descriptor) => uninterrupted(|| rustix::fs::fchown(descriptor, uid, gid)),
        BorrowedFd::Named(named) => {
            let (dir, name) = named.place()?;
            uninterrupted(|| rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))
        }
    }
    .map_err(errno)
}

/// Sets times.
pub(crate) fn set_times(inode: BorrowedFd<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
    let times = host_times(atime, mtime);
    match inode {
        BorrowedFd::Opened(descriptor) => uninterrupted(|| rustix::fs::futimens(descriptor, &times)),
        BorrowedFd::Named(named) => {
            let (dir, name) = named.place()?;
            uninterrupted(|| rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW))
        }
    }
    .map_err(errno)
}
