//! The content of regular files, but for reading and writing.

use std::os::fd::BorrowedFd;

use rustix::fs::{FallocateFlags, SeekFrom};
use vnode_core::Result;
use vnode_core::fs::{Allocate, SeekFor};

use super::{errno, uninterrupted};

/// Sets the size; the times change even if it doesn't (`ftruncate(2)`).
pub(crate) fn set_len(file: BorrowedFd<'_>, len: u64) -> Result<()> {
    uninterrupted(|| rustix::fs::ftruncate(file, len)).map_err(errno)
}

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

/// The next data or hole (`lseek(2)`); moves the descriptor's own position.
pub(crate) fn seek_data_or_hole(file: BorrowedFd<'_>, what: SeekFor, offset: u64) -> Result<u64> {
    let to = match what {
        SeekFor::Data => SeekFrom::Data(offset),
        SeekFor::Hole => SeekFrom::Hole(offset),
    };
    uninterrupted(|| rustix::fs::seek(file, to)).map_err(errno)
}

/// The size; moves the descriptor's own position there.
pub(crate) fn seek_end(file: BorrowedFd<'_>) -> Result<u64> {
    uninterrupted(|| rustix::fs::seek(file, SeekFrom::End(0))).map_err(errno)
}

/// The descriptor's own position.
pub(crate) fn position(file: BorrowedFd<'_>) -> Result<u64> {
    uninterrupted(|| rustix::fs::tell(file)).map_err(errno)
}

/// The largest file that the process may write (`RLIMIT_FSIZE`).
pub(crate) fn size_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}
