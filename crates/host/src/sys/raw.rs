//! The calls that rustix has not, or only for memory that nobody else writes.
#![allow(unsafe_code)]

use core::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd as Descriptor};

use rustix::io::Errno as HostErrno;
use smallvec::SmallVec;
use vnode_core::io::{Segment, Sink, Source};
use vnode_core::{Errno, Result};

#[cfg(not(target_os = "linux"))]
use libc::{pread, preadv, pwritev};
#[cfg(target_os = "linux")]
use libc::{pread64 as pread, preadv64 as preadv, pwritev64 as pwritev};

use super::host::opened;
use super::{BorrowedFd, direct, errno, uninterrupted};

/// Segments that one call takes (`IOV_MAX`).
const SEGMENTS: usize = 1024;

type Vectors = SmallVec<[libc::iovec; 4]>;

pub(super) fn vectors(segments: impl Iterator<Item = Segment>) -> Vectors {
    let vector = |segment: Segment| libc::iovec { iov_base: segment.as_ptr().cast(), iov_len: segment.len() };
    segments.take(SEGMENTS).map(vector).collect()
}

/// The most bytes that the kernel moves at once (`MAX_RW_COUNT`).
const MOST: usize = 0x7fff_f000;

/// What one call moved.
pub(crate) struct Moved {
    /// Bytes.
    pub(crate) count: usize,
    /// As many as it was given: what it was not given, another call may move.
    pub(crate) whole: bool,
}

impl Moved {
    fn of(count: usize, given: impl Iterator<Item = usize>) -> Self {
        let given = given.fold(0usize, usize::saturating_add).min(MOST);
        Moved { count, whole: count >= given }
    }

    fn of_vectors(count: usize, vectors: &[libc::iovec]) -> Self {
        Moved::of(count, vectors.iter().map(|vector| vector.iov_len))
    }
}

/// The host's answer to a call, made again when a signal interrupted it.
pub(super) fn asked(call: impl Fn() -> libc::ssize_t) -> Result<usize> {
    let why = |_| HostErrno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(HostErrno::IO);
    uninterrupted(|| usize::try_from(call()).map_err(why)).map_err(errno)
}

/// An offset as the host takes it; those of the contract fit.
pub(super) fn offset_of(offset: u64) -> Result<i64> {
    i64::try_from(offset).map_err(|_| Errno::INVAL)
}

/// Reads at an offset, once: as much as there is, or as the host gives at once.
#[inline(always)]
pub(crate) fn read(file: BorrowedFd<'_>, offset: u64, into: &mut Sink<'_>) -> Result<Moved> {
    let (file, offset) = (opened(&file)?, offset_of(offset)?);
    let Some(one) = into.single() else { return read_vectors(file, offset, into) };
    // SAFETY: the segment is one of the sink, whose maker vouches that it is writable memory and used by no reference;
    // the kernel writes no more than its length.
    let read = || unsafe { direct::pread(file, one.as_ptr(), one.len(), offset) };
    let count = uninterrupted(read).map_err(errno)?;
    into.advance(count);
    Ok(Moved::of(count, core::iter::once(one.len())))
}

#[inline(never)]
fn read_vectors(file: Descriptor<'_>, offset: i64, into: &mut Sink<'_>) -> Result<Moved> {
    let (fd, vectors) = (file.as_raw_fd(), vectors(into.segments()));
    let count = match &vectors[..] {
        // A read of nothing is one for the access time.
        // SAFETY: no byte is written.
        [] => asked(|| unsafe { pread(fd, core::ptr::dangling_mut(), 0, offset) })?,
        // SAFETY: as in `read` for each vector; `vectors` has as many as are counted, at most `IOV_MAX`.
        all => asked(|| unsafe { preadv(fd, all.as_ptr(), all.len() as c_int, offset) })?,
    };
    into.advance(count);
    Ok(Moved::of_vectors(count, &vectors))
}

/// Writes at an offset, once.
#[inline(always)]
pub(crate) fn write(file: BorrowedFd<'_>, offset: u64, from: &mut Source<'_>) -> Result<Moved> {
    let (file, offset) = (opened(&file)?, offset_of(offset)?);
    let Some(one) = from.single() else { return write_vectors(file, offset, from) };
    // SAFETY: the segment is one of the source, whose maker vouches that it is readable memory; the kernel reads no
    // more than its length.
    let write = || unsafe { direct::pwrite(file, one.as_ptr().cast_const(), one.len(), offset) };
    let count = uninterrupted(write).map_err(errno)?;
    from.advance(count);
    Ok(Moved::of(count, core::iter::once(one.len())))
}

#[inline(never)]
fn write_vectors(file: Descriptor<'_>, offset: i64, from: &mut Source<'_>) -> Result<Moved> {
    let (fd, vectors) = (file.as_raw_fd(), vectors(from.segments()));
    let count = match &vectors[..] {
        [] => 0,
        // SAFETY: as in `write` for each vector; `vectors` has as many as are counted, at most `IOV_MAX`.
        all => asked(|| unsafe { pwritev(fd, all.as_ptr(), all.len() as c_int, offset) })?,
    };
    from.advance(count);
    Ok(Moved::of_vectors(count, &vectors))
}

/// Does something while the thread's signals wait.
#[cold]
pub(super) fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    let (mut all, mut before) = (no_signals(), no_signals());
    // SAFETY: both sets are initialized and ours; the mask is the thread's own.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
    }
    let done = work();
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, core::ptr::null_mut()) };
    done
}

pub(super) fn no_signals() -> libc::sigset_t {
    let mut set = core::mem::MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initializes the whole set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}
