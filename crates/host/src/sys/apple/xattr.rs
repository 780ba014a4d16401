//! Extended attributes of what can be opened.

use std::os::fd::BorrowedFd as Descriptor;
use std::sync::Arc;

use vnode_core::fs::SetXattr;
use vnode_core::{Errno, Result};

use super::super::xattr::{filled, flags_of};
use super::super::{errno, uninterrupted};
use super::held::BorrowedFd;

/// # Errors
/// `EOPNOTSUPP`: links, special files and what the process may not read; no call takes them by a name.
fn described<'a>(inode: &BorrowedFd<'a>) -> Result<Descriptor<'a>> {
    super::opened(inode).map_err(|_| Errno::OPNOTSUPP)
}

/// `fgetxattr(2)`.
pub(crate) fn get_xattr(inode: BorrowedFd<'_>, name: &[u8]) -> Result<Arc<[u8]>> {
    let inode = described(&inode)?;
    Ok(filled(|buffer| rustix::fs::fgetxattr(inode, name, buffer)).map_err(errno)?.into())
}

/// `fsetxattr(2)`.
pub(crate) fn set_xattr(inode: BorrowedFd<'_>, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
    let inode = described(&inode)?;
    uninterrupted(|| rustix::fs::fsetxattr(inode, name, value, flags_of(how))).map_err(errno)
}

/// `flistxattr(2)`: names, each with a zero byte behind it; none of what no call takes.
pub(crate) fn list_xattr(inode: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let Ok(inode) = described(&inode) else { return Ok(Vec::new()) };
    filled(|buffer| rustix::fs::flistxattr(inode, buffer)).map_err(errno)
}

/// `fremovexattr(2)`.
pub(crate) fn remove_xattr(inode: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let inode = described(&inode)?;
    uninterrupted(|| rustix::fs::fremovexattr(inode, name)).map_err(errno)
}
