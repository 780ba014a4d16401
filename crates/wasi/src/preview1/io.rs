//! Reading, writing, seeking, listing.

use core::ops::ControlFlow;

use vnode_core::Result;
use vnode_kernel::{Process, Whence};

use crate::decode;
use crate::layout;
use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::{Gave, observed};

/// Reads at the position into all vectors (`readv(2)`).
pub fn fd_read(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nread: u32,
) -> Outcome {
    let run = || {
        let (segments, slot) = (memory.segments(iovs, iovs_len)?, memory.slot(nread)?);
        let count = process.read(fd, &mut segments.sink())?;
        slot.put((count as u32).to_le_bytes());
        Ok(Gave::Bytes(count))
    };
    observed(process, memory, "fd_read", run, |show| {
        let bytes = memory.segments(iovs, iovs_len).map_or(0, |segments| segments.total());
        show.fd(fd).any(bytes);
    })
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
    let run = || {
        let (segments, slot) = (memory.segments(iovs, iovs_len)?, memory.slot(nread)?);
        let count = process.pread(fd, offset, &mut segments.sink())?;
        slot.put((count as u32).to_le_bytes());
        Ok(Gave::Bytes(count))
    };
    observed(process, memory, "fd_pread", run, |show| {
        let bytes = memory.segments(iovs, iovs_len).map_or(0, |segments| segments.total());
        show.fd(fd).any(bytes).any(offset);
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
    let run = || {
        let (segments, slot) = (memory.segments(iovs, iovs_len)?, memory.slot(nwritten)?);
        let count = process.write(fd, &mut segments.source())?;
        slot.put((count as u32).to_le_bytes());
        Ok(Gave::Bytes(count))
    };
    observed(process, memory, "fd_write", run, |show| {
        let bytes = memory.segments(iovs, iovs_len).map_or(0, |segments| segments.total());
        show.fd(fd).any(bytes);
    })
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
    let run = || {
        let (segments, slot) = (memory.segments(iovs, iovs_len)?, memory.slot(nwritten)?);
        let count = process.pwrite(fd, offset, &mut segments.source())?;
        slot.put((count as u32).to_le_bytes());
        Ok(Gave::Bytes(count))
    };
    observed(process, memory, "fd_pwrite", run, |show| {
        let bytes = memory.segments(iovs, iovs_len).map_or(0, |segments| segments.total());
        show.fd(fd).any(bytes).any(offset);
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
