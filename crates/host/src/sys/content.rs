//! The content of regular files, but for reading and writing.

use rustix::fs::SeekFrom;
use vnode_core::Result;
use vnode_core::fs::SeekFor;

use super::host::opened;
use super::{BorrowedFd, errno, uninterrupted};

/// Sets the size; the times change even if it doesn't (`ftruncate(2)`).
pub(crate) fn set_len(file: BorrowedFd<'_>, len: u64) -> Result<()> {
    let file = opened(&file)?;
    uninterrupted(|| rustix::fs::ftruncate(file, len)).map_err(errno)
}

/// The next data or hole (`lseek(2)`); moves the descriptor's own position.
pub(crate) fn seek_data_or_hole(file: BorrowedFd<'_>, what: SeekFor, offset: u64) -> Result<u64> {
    let to = match what {
        SeekFor::Data => SeekFrom::Data(offset),
        SeekFor::Hole => SeekFrom::Hole(offset),
    };
    let file = opened(&file)?;
    uninterrupted(|| rustix::fs::seek(file, to)).map_err(errno)
}

/// The size; moves the descriptor's own position there.
pub(crate) fn seek_end(file: BorrowedFd<'_>) -> Result<u64> {
    let file = opened(&file)?;
    uninterrupted(|| rustix::fs::seek(file, SeekFrom::End(0))).map_err(errno)
}

/// The descriptor's own position.
pub(crate) fn position(file: BorrowedFd<'_>) -> Result<u64> {
    let file = opened(&file)?;
    uninterrupted(|| rustix::fs::tell(file)).map_err(errno)
}

/// The largest file that the process may write (`RLIMIT_FSIZE`).
pub(crate) fn size_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}
