//! Listings, by the kernel's own cookies.

use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, RawDir, SeekFrom};
use vnode_core::fs::{DirEntry, FIRST_COOKIE, LAST_COOKIE};
use vnode_core::{Cx, Errno, FileType, Result};

use super::super::names::kind_of_entry;
use super::super::{errno, uninterrupted};
use super::procfs;

/// Opens a directory for listing it, by its descriptor without content. Listing leaves its access time if asked so by
/// its owner.
pub(crate) fn open_directory(dir: BorrowedFd<'_>, keeps_atime: bool) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |from: BorrowedFd<'_>, name: &CStr| {
        leaving_atime(flags, keeps_atime, |flags| rustix::fs::openat(from, name, flags, Mode::empty()))
    };
    match open(dir, c".") {
        // To find "." in it takes the right to search it, which who may read it need not have.
        Err(Errno::ACCES) => match procfs::path(dir).map(CString::new) {
            Ok(Ok(path)) => open(CWD, &path),
            _ => Err(Errno::ACCES),
        },
        opened => opened,
    }
}

/// Opens with `O_NOATIME` if asked so, which only the owner may: without it else.
pub(crate) fn leaving_atime(
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

/// A listing on its way. Nothing is kept between calls but where it stands, so what is listed is what is there.
#[derive(Default)]
pub(crate) struct Listing {
    /// The cookie of the descriptor's own position, if that is known.
    stands_at: Option<u64>,
    buffer: Vec<MaybeUninit<u8>>,
}

/// What most callers take at once; more is read for those who take more.
const FIRST_PIECE: usize = 4096;
const LARGEST_PIECE: usize = 32_768;

/// The host's cookies begin at 0. A position at the very end of what there can be is as good as the end.
fn to_cookie(position: u64) -> u64 {
    position.saturating_add(FIRST_COOKIE).min(LAST_COOKIE)
}

fn to_position(cookie: u64) -> u64 {
    if cookie >= LAST_COOKIE { LAST_COOKIE } else { cookie.saturating_sub(FIRST_COOKIE) }
}

impl Listing {
    /// Lists a directory from a cookie on: one of an entry, or one below [`FIRST_COOKIE`] for the start.
    pub(crate) fn list(
        &mut self,
        dir: BorrowedFd<'_>,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.stands_at.take() != Some(cookie) || cookie < FIRST_COOKIE {
            seek(dir, to_position(cookie))?;
        }
        let mut size = FIRST_PIECE;
        let mut last = cookie;
        loop {
            if self.buffer.len() < size {
                self.buffer.resize(size, MaybeUninit::uninit());
            }
            let Some(buffer) = self.buffer.get_mut(..size) else { return Ok(()) };
            let piece = list(dir, buffer, &mut |entry| {
                last = to_cookie(entry.next);
                emit(DirEntry { name: entry.name, ino: entry.ino, kind: entry.kind, next: last })
            })?;
            match piece {
                Piece::Enough => return Ok(()),
                Piece::End => {
                    self.stands_at = Some(last);
                    return Ok(());
                }
                Piece::More => cx.check_canceled()?,
            }
            size = (size * 2).min(LARGEST_PIECE);
        }
    }
}

/// An entry of a listing.
struct Entry<'a> {
    name: &'a [u8],
    ino: u64,
    kind: FileType,
    /// Where the listing goes on behind it.
    next: u64,
}

/// How a piece of a listing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// There may be more.
    More,
    /// There is no more.
    End,
    /// Whoever takes the entries has enough.
    Enough,
}

/// Has a directory's listing go on at a position: 0, or one that an entry gave.
fn seek(dir: BorrowedFd<'_>, at: u64) -> Result<()> {
    uninterrupted(|| rustix::fs::seek(dir, SeekFrom::Start(at))).map(drop).map_err(errno)
}

/// Emits as many entries but `.` and `..` as a buffer holds, from where the descriptor stands. Unless all were taken, it
/// then stands further on than the last one that was.
fn list(
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
                    let kind = match kind_of_entry(dir, name, entry.file_type()) {
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
