//! Reading, writing, seeking, listing.

use core::ops::ControlFlow;

use vnode_core::{FileType, Result};
use vnode_kernel::{Process, Whence};

use crate::decode;
use crate::layout;
use crate::memory::{GuestMemory, Segments};
use crate::outcome::Outcome;
use crate::serve::{Gave, observed};
use crate::show::Show;

/// The vectors of a call, and where it puts how many bytes it moved.
#[derive(Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) fd: u32,
    pub(crate) iovs: u32,
    pub(crate) iovs_len: u32,
    pub(crate) count: u32,
    pub(crate) goes_on: GoesOn,
}

/// Whether a call that goes by pieces goes on behind one that was moved whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoesOn {
    /// A write does, and a read that wants all.
    Always,
    /// A read does, unless it is of a stream: that gives what is there.
    InFiles,
    /// A look at what is there doesn't: it would see the same once more.
    Never,
}

impl Transfer {
    /// Whether a piece that was moved whole is followed by another one.
    fn may_go_on(&self, process: &Process) -> bool {
        match self.goes_on {
            GoesOn::Always => true,
            GoesOn::InFiles => {
                process.fd_state(self.fd).map(|(file, _)| file.kind()) == Ok(FileType::Regular)
            }
            GoesOn::Never => false,
        }
    }

    /// Moves bytes by `work`. `more` shows the arguments that are no vectors.
    pub(crate) fn run(
        self,
        process: &Process,
        memory: &GuestMemory<'_>,
        name: &'static str,
        work: impl FnOnce(&Segments<'_>) -> Result<usize>,
        more: impl FnOnce(&mut Show<'_>),
    ) -> Outcome {
        let run = || {
            let (segments, slot) = (memory.segments(self.iovs, self.iovs_len)?, memory.slot(self.count)?);
            let count = match work(&segments) {
                // What earlier pieces moved is moved.
                Err(_) if memory.skipped() > 0 => 0,
                result => result?,
            };
            let all = memory.moved(count, || self.may_go_on(process));
            slot.put((all as u32).to_le_bytes());
            Ok(Gave::Bytes(count))
        };
        observed(process, memory, name, run, |show| {
            let bytes = memory.segments(self.iovs, self.iovs_len).map_or(0, |segments| segments.total());
            more(show.fd(self.fd).any(bytes));
        })
    }
}

/// Reads at the position into all vectors (`readv(2)`).
pub fn fd_read(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nread: u32,
) -> Outcome {
    let transfer = Transfer { fd, iovs, iovs_len, count: nread, goes_on: GoesOn::InFiles };
    transfer.run(process, memory, "fd_read", |segments| process.read(fd, &mut segments.sink()), |_| {})
}

/// Reads at an offset into all vectors; the position stays (`preadv(2)`).
pub fn fd_pread(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nread: u32,
) -> Outcome {
    let transfer = Transfer { fd, iovs, iovs_len, count: nread, goes_on: GoesOn::InFiles };
    let from = offset.saturating_add(memory.skipped() as u64);
    let work = |segments: &Segments<'_>| process.pread(fd, from, &mut segments.sink());
    transfer.run(process, memory, "fd_pread", work, |show| {
        show.any(offset);
    })
}

/// Writes all vectors at the position, or at the end (`writev(2)`).
pub fn fd_write(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nwritten: u32,
) -> Outcome {
    let transfer = Transfer { fd, iovs, iovs_len, count: nwritten, goes_on: GoesOn::Always };
    transfer.run(process, memory, "fd_write", |segments| process.write(fd, &mut segments.source()), |_| {})
}

/// Writes all vectors at an offset; the position stays (`pwritev(2)`).
pub fn fd_pwrite(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nwritten: u32,
) -> Outcome {
    let transfer = Transfer { fd, iovs, iovs_len, count: nwritten, goes_on: GoesOn::Always };
    let from = offset.saturating_add(memory.skipped() as u64);
    let work = |segments: &Segments<'_>| process.pwrite(fd, from, &mut segments.source());
    transfer.run(process, memory, "fd_pwrite", work, |show| {
        show.any(offset);
    })
}

/// Moves the position (`lseek(2)`).
pub fn fd_seek(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    newoffset: u32,
) -> Outcome {
    fd_seek_as(process, memory, fd, offset, decode::whence(whence), newoffset)
}

/// [`fd_seek`] with whichever numbers `whence` had.
pub(crate) fn fd_seek_as(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    offset: i64,
    whence: Result<Whence>,
    newoffset: u32,
) -> Outcome {
    let run = || {
        let slot = memory.slot(newoffset)?;
        let position = process.seek(fd, offset, whence?)?;
        slot.put(position.to_le_bytes());
        Ok(Gave::Number(position))
    };
    observed(process, memory, "fd_seek", run, |show| {
        let whence = match whence {
            Ok(Whence::Set) => "SEEK_SET",
            Ok(Whence::Current) => "SEEK_CUR",
            Ok(Whence::End) => "SEEK_END",
            _ => "?",
        };
        show.fd(fd).any(offset).any(whence);
    })
}

/// The position (`lseek(fd, 0, SEEK_CUR)`).
pub fn fd_tell(process: &Process, memory: &GuestMemory<'_>, fd: u32, offset: u32) -> Outcome {
    let run = || {
        let slot = memory.slot(offset)?;
        let position = process.tell(fd)?;
        slot.put(position.to_le_bytes());
        Ok(Gave::Number(position))
    };
    observed(process, memory, "fd_tell", run, |show| {
        show.fd(fd);
    })
}

/// Fills the buffer with entries from a cookie on; the last is cut off where the buffer ends. A buffer that is not
/// filled says that there are no more (`getdents64(2)`).
pub fn fd_readdir(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    buf: u32,
    buf_len: u32,
    cookie: u64,
    bufused: u32,
) -> Outcome {
    let run = || {
        let (area, slot) = (memory.area(buf, buf_len)?, memory.slot(bufused)?);
        let mut used = 0;
        process.readdir(fd, cookie, &mut |entry| {
            used += area.put(used, &layout::dirent(&entry));
            used += area.put(used, entry.name);
            if used < area.len() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        slot.put((used as u32).to_le_bytes());
        Ok(Gave::Bytes(used))
    };
    observed(process, memory, "fd_readdir", run, |show| {
        show.fd(fd).any(buf_len).any(cookie);
    })
}
