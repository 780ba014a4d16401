//! The calls that rustix has not, or only for memory that nobody else writes.
#![allow(unsafe_code)]

use core::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd as Descriptor};

use vnode_core::Result;
use vnode_core::io::Source;

use super::super::raw::{asked, vectors};

/// Writes at the descriptor's own position, or at the end if it is open for appending.
pub(super) fn write_on(file: Descriptor<'_>, from: &mut Source<'_>) -> Result<usize> {
    let (fd, vectors) = (file.as_raw_fd(), vectors(from.segments()));
    if vectors.is_empty() {
        return Ok(0);
    }
    // SAFETY: the vectors are segments of the source, whose maker vouches that they are readable memory, as many as are
    // counted, at most `IOV_MAX`; the kernel reads no more than their lengths.
    let count = asked(|| unsafe { libc::writev(fd, vectors.as_ptr(), vectors.len() as c_int) })?;
    from.advance(count);
    Ok(count)
}

/// Whether a directory's filesystem folds the case of names; not if it doesn't tell.
#[cfg(target_os = "macos")]
pub(super) fn folds_case(dir: Descriptor<'_>) -> bool {
    // SAFETY: the call takes a descriptor and a number, and changes no memory.
    unsafe { libc::fpathconf(dir.as_raw_fd(), libc::_PC_CASE_SENSITIVE) == 0 }
}
