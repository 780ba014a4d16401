//! Content taken by one file of the host from another, without its bytes passing through the process.

use vnode_core::fs::SeekFor;
use vnode_core::{Cx, Errno, Result};

use crate::file::HostFile;
use crate::sys::{self, AsFd};

/// Bytes that the kernel copies at once: how long a call takes that nobody can cancel.
const AT_ONCE: u64 = 64 << 20;

/// [`File::copy_range`](vnode_core::fs::File::copy_range): all at once if the host's filesystem shares content between
/// files, else one piece of data, and the hole before it.
pub(crate) fn range(
    cx: &Cx<'_>,
    to: &HostFile,
    offset: u64,
    from: &HostFile,
    from_offset: u64,
    len: u64,
) -> Result<u64> {
    let size = sys::look(from.descriptor.as_fd())?.attr.size;
    let len = len.min(size.saturating_sub(from_offset));
    let end = offset.checked_add(len).ok_or(Errno::FBIG)?;
    // Past the process's limit there is a signal, which writing avoids.
    if end > to.largest || sys::look(to.descriptor.as_fd())?.attr.size > offset {
        return Err(Errno::OPNOTSUPP);
    }
    if len == 0 {
        return Ok(0);
    }
    to.will_change(cx)?;
    if offset == 0 && from_offset == 0 && len == size {
        match sys::share_all(from.descriptor.as_fd(), to.descriptor.as_fd()) {
            Err(Errno::OPNOTSUPP) => {}
            shared => return shared.map(|()| len),
        }
    }
    let stop = from_offset + len;
    let start = seek(from, SeekFor::Data, from_offset, stop)?;
    if start == stop {
        sys::set_len(to.descriptor.as_fd(), end)?;
        return Ok(len);
    }
    let hole = seek(from, SeekFor::Hole, start, stop)?;
    let count = usize::try_from((hole - start).min(AT_ONCE)).map_err(|_| Errno::FBIG)?;
    let before = start - from_offset;
    let copy =
        || sys::copy_range(from.descriptor.as_fd(), start, to.descriptor.as_fd(), offset + before, count);
    match copy()? {
        // Files whose size says nothing, as those of `/proc`, look as if they ended here.
        0 => Err(Errno::OPNOTSUPP),
        count => Ok(before + count as u64),
    }
}

/// Where the next data or hole is before `stop`, or `stop`.
fn seek(file: &HostFile, what: SeekFor, at: u64, stop: u64) -> Result<u64> {
    let _position = file.position.lock();
    match sys::seek_data_or_hole(file.descriptor.as_fd(), what, at) {
        Err(Errno::NXIO) => Ok(stop),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(if what == SeekFor::Data { at } else { stop }),
        sought => Ok(sought?.clamp(at, stop)),
    }
}
