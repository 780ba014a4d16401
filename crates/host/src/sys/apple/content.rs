//! The content of regular files.

use rustix::fs::{OFlags, SeekFrom};
use vnode_core::fs::Access;
use vnode_core::io::Source;
use vnode_core::{Errno, Result};

use super::super::content::{seek_end, size_limit};
use super::super::raw::{Moved, write as write_at};
use super::super::{errno, uninterrupted};
use super::held::{BorrowedFd, OwnedFd};
use super::opened;
use super::raw::write_on;

/// Opens the content of an inode anew, which macOS can't.
///
/// # Errors
/// `ESTALE`: always; it is found by the names that it was found by.
pub(crate) fn reopen(_: BorrowedFd<'_>, _: Access, _keeps_atime: bool) -> Result<OwnedFd> {
    Err(Errno::STALE)
}

/// The bits that the process's umask takes off what is made: to ask the kernel, it would have to be changed for a
/// moment.
pub(crate) fn process_umask() -> Option<u32> {
    None
}

/// Sets the size of a regular file, if it is open for writing.
///
/// # Errors
/// `ESTALE`: it isn't, and can't be opened again by its descriptor.
pub(crate) fn truncate(inode: BorrowedFd<'_>, len: u64) -> Result<()> {
    let file = opened(&inode).map_err(|_| Errno::STALE)?;
    let flags = uninterrupted(|| rustix::fs::fcntl_getfl(file)).map_err(errno)?;
    if !flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Err(Errno::STALE);
    }
    uninterrupted(|| rustix::fs::ftruncate(file, len)).map_err(errno)
}

/// Writes at an offset, once.
///
/// A file that was appended to is open for appending, and macOS appends whatever the offset: whoever calls this and
/// [`append`] on one descriptor has them wait for each other.
pub(crate) fn write(file: BorrowedFd<'_>, offset: u64, from: &mut Source<'_>) -> Result<Moved> {
    set_appending(file, false)?;
    write_at(file, offset, from)
}

/// Writes at the end, once, whoever else writes there; the descriptor's own position is behind what was written.
///
/// `limited`: the process has a limit on the size of files, whose signal would end it. Then the end is looked for before,
/// and others that append at the same time may write there, too.
///
/// # Errors
/// `EFBIG`: the file is at that limit.
pub(crate) fn append(file: BorrowedFd<'_>, from: &mut Source<'_>, limited: bool) -> Result<usize> {
    if !limited {
        set_appending(file, true)?;
        return write_on(opened(&file)?, from);
    }
    let end = seek_end(file)?;
    let room = size_limit().checked_sub(end).filter(|&room| room > 0).ok_or(Errno::FBIG)?;
    let mut part = from.first(usize::try_from(room).unwrap_or(usize::MAX));
    let count = write(file, end, &mut part)?.count;
    from.advance(count);
    let behind = SeekFrom::Start(end.saturating_add(count as u64));
    let file = opened(&file)?;
    uninterrupted(|| rustix::fs::seek(file, behind)).map_err(errno)?;
    Ok(count)
}

/// Sharing content by `fclonefileat(2)` makes a new file; of what is there none is shared.
///
/// # Errors
/// `EOPNOTSUPP`: always.
pub(crate) fn share_all(_from: BorrowedFd<'_>, _to: BorrowedFd<'_>) -> Result<()> {
    Err(Errno::OPNOTSUPP)
}

/// Bytes are read and written by whoever copies them.
///
/// # Errors
/// `EOPNOTSUPP`: always.
pub(crate) fn copy_range(
    _from: BorrowedFd<'_>,
    _from_offset: u64,
    _to: BorrowedFd<'_>,
    _offset: u64,
    _len: usize,
) -> Result<usize> {
    Err(Errno::OPNOTSUPP)
}

/// Has what is written go to the end (`O_APPEND`), or not.
fn set_appending(file: BorrowedFd<'_>, appending: bool) -> Result<()> {
    let file = opened(&file)?;
    let flags = uninterrupted(|| rustix::fs::fcntl_getfl(file)).map_err(errno)?;
    if flags.contains(OFlags::APPEND) == appending {
        return Ok(());
    }
    let mut wanted = flags;
    wanted.set(OFlags::APPEND, appending);
    uninterrupted(|| rustix::fs::fcntl_setfl(file, wanted)).map_err(errno)
}

/// A call that may be told a size past the process's limit is not made: the signal of that can't be taken again.
///
/// # Errors
/// `EFBIG`, also where the file would shrink.
pub(crate) fn past_limit<T>(_: impl FnOnce() -> Result<T>) -> Result<T> {
    Err(Errno::FBIG)
}
