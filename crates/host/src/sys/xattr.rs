//! Extended attributes, by the path in `/proc`: the calls by descriptor want one with content.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::fs::XattrFlags;
use rustix::io::Errno as HostErrno;
use vnode_core::fs::SetXattr;
use vnode_core::{Errno, Result};

use super::{errno, procfs, uninterrupted};

/// The longest value, and the longest list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const MOST: usize = 65_536;

/// What a call of the kind that fills a buffer gives, in a buffer of the size that it asks for.
fn filled(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match uninterrupted(|| call(&mut buffer)) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            Err(HostErrno::RANGE) if buffer.len() < MOST => buffer.resize(MOST, 0),
            Err(error) => return Err(told(error)),
        }
    }
}

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
    Ok(filled(|buffer| rustix::fs::getxattr(&path, name, buffer))?.into())
}

/// `setxattr(2)`.
pub(crate) fn set_xattr(inode: BorrowedFd<'_>, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
    let flags = match how {
        SetXattr::Any => XattrFlags::empty(),
        SetXattr::Create => XattrFlags::CREATE,
        SetXattr::Replace => XattrFlags::REPLACE,
    };
    let path = procfs::path(inode)?;
    uninterrupted(|| rustix::fs::setxattr(&path, name, value, flags)).map_err(told)
}

/// `listxattr(2)`: names, each with a zero byte behind it.
pub(crate) fn list_xattr(inode: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let path = procfs::path(inode)?;
    filled(|buffer| rustix::fs::listxattr(&path, buffer))
}

/// `removexattr(2)`.
pub(crate) fn remove_xattr(inode: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let path = procfs::path(inode)?;
    uninterrupted(|| rustix::fs::removexattr(&path, name)).map_err(told)
}
