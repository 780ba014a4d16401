//! The content of regular files.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FallocateFlags;
use vnode_core::Result;
use vnode_core::fs::Allocate;

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

/// Writes a directory or a file to the medium.
pub(crate) fn sync(fd: impl AsFd, data_only: bool) -> Result<()> {
    let fd = fd.as_fd();
    uninterrupted(|| if data_only { rustix::fs::fdatasync(fd) } else { rustix::fs::fsync(fd) }).map_err(errno)
}
