//! Extended attributes, by the path in `/proc`: the calls by descriptor want one with content.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::io::Errno as HostErrno;
use vnode_core::fs::SetXattr;
use vnode_core::{Errno, Result};

use super::super::xattr::{filled, flags_of};
use super::super::{errno, uninterrupted};
use super::procfs;

fn told(error: HostErrno) -> Errno {
    match error {
        // There is no `/proc`.
        HostErrno::NOENT => Errno::STALE,
        error => errno(error),
    }
}

/// `getxattr(2)`.
pub(crate) fn get_xattr(inode: BorrowedFd<'_>, name: &[u8]) -> Result<Arc<[u8]>> {
    let path = procfs::path(inode)?;
    Ok(filled(|buffer| rustix::fs::getxattr(&path, name, buffer)).map_err(told)?.into())
}

/// `setxattr(2)`.
pub(crate) fn set_xattr(inode: BorrowedFd<'_>, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
    let flags = flags_of(how);
    let path = procfs::path(inode)?;
    uninterrupted(|| rustix::fs::setxattr(&path, name, value, flags)).map_err(told)
}

/// `listxattr(2)`: names, each with a zero byte behind it.
pub(crate) fn list_xattr(inode: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let path = procfs::path(inode)?;
    filled(|buffer| rustix::fs::listxattr(&path, buffer)).map_err(told)
}

/// `removexattr(2)`.
pub(crate) fn remove_xattr(inode: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let path = procfs::path(inode)?;
    uninterrupted(|| rustix::fs::removexattr(&path, name)).map_err(told)
}
