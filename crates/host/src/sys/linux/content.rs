//! The content of regular files.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FallocateFlags;
use vnode_core::fs::Allocate;
use vnode_core::{Errno, Result};

use super::super::{errno, uninterrupted};

/// `fallocate(2)`.
pub(crate) fn allocate(file: BorrowedFd<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
    let flags = match how {
        Allocate::Extend => FallocateFlags::empty(),
        Allocate::KeepSize => FallocateFlags::KEEP_SIZE,
        Allocate::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        Allocate::ZeroRange => FallocateFlags::ZERO_RANGE,
    };
    uninterrupted(|| rustix::fs::fallocate(file, flags, offset, len)).map_err(errno)
}

/// Has a file share all content of another one, from the start (`FICLONE`).
///
/// # Errors
/// `EOPNOTSUPP`: these two can't.
pub(crate) fn share_all(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    uninterrupted(|| rustix::fs::ioctl_ficlone(to, from)).map_err(unsupported)
}

/// Has the kernel copy bytes, or share them where it can (`copy_file_range(2)`); answers how many.
///
/// # Errors
/// `EOPNOTSUPP`: not with these two, or this kernel.
pub(crate) fn copy_range(
    from: BorrowedFd<'_>,
    from_offset: u64,
    to: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> Result<usize> {
    let copy = || {
        let (mut from_offset, mut offset) = (from_offset, offset);
        rustix::fs::copy_file_range(from, Some(&mut from_offset), to, Some(&mut offset), len)
    };
    uninterrupted(copy).map_err(unsupported)
}

/// What says that it can't be done so, but perhaps otherwise.
fn unsupported(error: rustix::io::Errno) -> Errno {
    use rustix::io::Errno as Host;
    // `EBADF`: a file that is open for appending, say; `EPERM`, `ETXTBSY`: files that are in use or sealed; `ENOTTY`: a
    // filesystem that knows nothing of it.
    const CANNOT: [Host; 9] = [
        Host::XDEV,
        Host::INVAL,
        Host::OPNOTSUPP,
        Host::NOSYS,
        Host::NOTTY,
        Host::PERM,
        Host::TXTBSY,
        Host::BADF,
        Host::ISDIR,
    ];
    if CANNOT.contains(&error) { Errno::OPNOTSUPP } else { errno(error) }
}

/// Writes a directory or a file to the medium.
pub(crate) fn sync(fd: impl AsFd, data_only: bool) -> Result<()> {
    let fd = fd.as_fd();
    uninterrupted(|| if data_only { rustix::fs::fdatasync(fd) } else { rustix::fs::fsync(fd) }).map_err(errno)
}
