//! Listings.

use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType as HostType, Mode, OFlags, RawDir, SeekFrom};
use vnode_core::{Errno, FileType, Result};

use super::{errno, uninterrupted};

/// Opens a directory for listing it, by its descriptor without content. Listing leaves its access time if asked so by
/// its owner.
pub(crate) fn open_directory(dir: BorrowedFd<'_>, keeps_atime: bool) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    leaving_atime(flags, keeps_atime, |flags| rustix::fs::openat(dir, c".", flags, Mode::empty()))
}

/// Opens with `O_NOATIME` if asked so, which only the owner may: without it else.
pub(super) fn leaving_atime(
    flags: OFlags,
    keeps_atime: bool,
    open: impl Fn(OFlags) -> rustix::io::Result<OwnedFd>,
) -> Result<OwnedFd> {
    if keeps_atime {
        match uninterrupted(|| open(flags | OFlags::NOATIME)) {
            Err(rustix::io::Errno::PERM) => {}
            opened => return opened.map_err(errno),
        }
    }
    uninterrupted(|| open(flags)).map_err(errno)
}

/// An entry of a listing.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) ino: u64,
    pub(crate) kind: FileType,
    /// Where the listing goes on behind it.
    pub(crate) next: u64,
}

/// How a piece of a listing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// There may be more.
    More,
    /// There is no more.
    End,
    /// Whoever takes the entries has enough.
    Enough,
}

/// Has a directory's listing go on at a position: 0, or one that an entry gave.
pub(crate) fn seek(dir: BorrowedFd<'_>, at: u64) -> Result<()> {
    uninterrupted(|| rustix::fs::seek(dir, SeekFrom::Start(at))).map(drop).map_err(errno)
}

/// Emits as many entries but `.` and `..` as a buffer holds, from where the descriptor stands. Unless all were taken, it
/// then stands further on than the last one that was.
pub(crate) fn list(
    dir: BorrowedFd<'_>,
    buffer: &mut [MaybeUninit<u8>],
    emit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
) -> Result<Piece> {
    let mut raw = RawDir::new(dir, buffer);
    loop {
        match raw.next() {
            None => return Ok(Piece::End),
            Some(Err(rustix::io::Errno::INTR)) => continue,
            Some(Err(error)) => return Err(errno(error)),
            Some(Ok(entry)) => {
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    let kind = match kind(dir, name, entry.file_type()) {
                        // It was removed since.
                        Err(Errno::NOENT) => continue,
                        kind => kind?,
                    };
                    let entry = Entry { name, ino: entry.ino(), kind, next: entry.next_entry_cookie() };
                    if emit(entry).is_break() {
                        return Ok(Piece::Enough);
                    }
                }
            }
        }
        if raw.is_buffer_empty() {
            return Ok(Piece::More);
        }
    }
}

/// The type of what a listing names.
fn kind(dir: BorrowedFd<'_>, name: &[u8], told: HostType) -> Result<FileType> {
    Ok(match told {
        HostType::RegularFile => FileType::Regular,
        HostType::Directory => FileType::Directory,
        HostType::Symlink => FileType::Symlink,
        HostType::Fifo => FileType::Fifo,
        HostType::Socket => FileType::Socket,
        HostType::CharacterDevice => FileType::CharDevice,
        HostType::BlockDevice => FileType::BlockDevice,
        // Some filesystems don't tell.
        HostType::Unknown => super::stat_at(dir, name)?.attr.kind,
    })
}
