//! The calls that rustix has not, or only for memory that nobody else writes.
#![allow(unsafe_code)]

use core::ffi::c_int;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno as HostErrno;
use smallvec::SmallVec;
use vnode_core::io::{Segment, Sink, Source};
use vnode_core::{Errno, Result};

use super::{errno, uninterrupted};

/// Segments that one call takes (`IOV_MAX`).
const SEGMENTS: usize = 1024;

type Vectors = SmallVec<[libc::iovec; 4]>;

fn vectors(segments: impl Iterator<Item = Segment>) -> Vectors {
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
fn asked(call: impl Fn() -> libc::ssize_t) -> Result<usize> {
    let why = |_| HostErrno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(HostErrno::IO);
    uninterrupted(|| usize::try_from(call()).map_err(why)).map_err(errno)
}

/// An offset as the host takes it; those of the contract fit.
fn offset_of(offset: u64) -> Result<libc::off64_t> {
    libc::off64_t::try_from(offset).map_err(|_| Errno::INVAL)
}

/// `pread(2)` itself: glibc's function prepares for the thread to be canceled, which takes a tenth of the time.
///
/// # Safety
/// As `libc::pread64`: `into` is writable for `len` bytes.
unsafe fn pread(fd: c_int, into: *mut libc::c_void, len: usize, offset: libc::off64_t) -> libc::ssize_t {
    // SAFETY: as demanded; where registers have 64 bits, the arguments are those of the system call.
    #[cfg(target_pointer_width = "64")]
    return unsafe { libc::syscall(libc::SYS_pread64, fd, into, len, offset) as libc::ssize_t };
    // SAFETY: as demanded.
    #[cfg(not(target_pointer_width = "64"))]
    return unsafe { libc::pread64(fd, into, len, offset) };
}

/// `pwrite(2)` itself.
///
/// # Safety
/// As `libc::pwrite64`: `from` is readable for `len` bytes.
unsafe fn pwrite(fd: c_int, from: *const libc::c_void, len: usize, offset: libc::off64_t) -> libc::ssize_t {
    // SAFETY: as demanded; as in `pread`.
    #[cfg(target_pointer_width = "64")]
    return unsafe { libc::syscall(libc::SYS_pwrite64, fd, from, len, offset) as libc::ssize_t };
    // SAFETY: as demanded.
    #[cfg(not(target_pointer_width = "64"))]
    return unsafe { libc::pwrite64(fd, from, len, offset) };
}

/// Reads at an offset, once: as much as there is, or as the host gives at once.
#[inline]
pub(crate) fn read(file: BorrowedFd<'_>, offset: u64, into: &mut Sink<'_>) -> Result<Moved> {
    let (fd, offset) = (file.as_raw_fd(), offset_of(offset)?);
    let Some(one) = into.single() else { return read_vectors(fd, offset, into) };
    // SAFETY: the segment is one of the sink, whose maker vouches that it is writable memory and used by no reference;
    // the kernel writes no more than its length.
    let count = asked(|| unsafe { pread(fd, one.as_ptr().cast(), one.len(), offset) })?;
    into.advance(count);
    Ok(Moved::of(count, core::iter::once(one.len())))
}

#[inline(never)]
fn read_vectors(fd: c_int, offset: libc::off64_t, into: &mut Sink<'_>) -> Result<Moved> {
    let vectors = vectors(into.segments());
    let count = match &vectors[..] {
        // A read of nothing is one for the access time.
        // SAFETY: no byte is written.
        [] => asked(|| unsafe { pread(fd, core::ptr::dangling_mut(), 0, offset) })?,
        // SAFETY: as in `read` for each vector; `vectors` has as many as are counted, at most `IOV_MAX`.
        all => asked(|| unsafe { libc::preadv64(fd, all.as_ptr(), all.len() as c_int, offset) })?,
    };
    into.advance(count);
    Ok(Moved::of_vectors(count, &vectors))
}

/// Writes at an offset, once.
#[inline]
pub(crate) fn write(file: BorrowedFd<'_>, offset: u64, from: &mut Source<'_>) -> Result<Moved> {
    let (fd, offset) = (file.as_raw_fd(), offset_of(offset)?);
    let Some(one) = from.single() else { return write_vectors(fd, offset, from) };
    // SAFETY: the segment is one of the source, whose maker vouches that it is readable memory; the kernel reads no
    // more than its length.
    let count = asked(|| unsafe { pwrite(fd, one.as_ptr().cast(), one.len(), offset) })?;
    from.advance(count);
    Ok(Moved::of(count, core::iter::once(one.len())))
}

#[inline(never)]
fn write_vectors(fd: c_int, offset: libc::off64_t, from: &mut Source<'_>) -> Result<Moved> {
    let vectors = vectors(from.segments());
    let count = match &vectors[..] {
        [] => 0,
        // SAFETY: as in `write` for each vector; `vectors` has as many as are counted, at most `IOV_MAX`.
        all => asked(|| unsafe { libc::pwritev64(fd, all.as_ptr(), all.len() as c_int, offset) })?,
    };
    from.advance(count);
    Ok(Moved::of_vectors(count, &vectors))
}

/// Writes at the end, once, whoever else writes there; the descriptor's own position is behind what was written.
///
/// `limited`: the process has a limit on the size of files, and somebody else may have brought the file to it since it
/// was looked at. The signal of that, which would end the process, is taken.
///
/// # Errors
/// `EFBIG`: the file is at that limit.
pub(crate) fn append(file: BorrowedFd<'_>, from: &mut Source<'_>, limited: bool) -> Result<usize> {
    let masked = limited.then(SizeSignal::mask);
    let appended = append_once(file, from);
    if let Some(masked) = masked {
        masked.restore(appended == Err(Errno::FBIG));
    }
    appended
}

fn append_once(file: BorrowedFd<'_>, from: &mut Source<'_>) -> Result<usize> {
    let fd = file.as_raw_fd();
    let vectors = vectors(from.segments());
    if vectors.is_empty() {
        return Ok(0);
    }
    let len = vectors.len() as c_int;
    // SAFETY: the vectors are segments of the source, as in `write`, as many as are counted, at most `IOV_MAX`.
    let count = asked(|| unsafe { libc::pwritev2(fd, vectors.as_ptr(), len, -1, libc::RWF_APPEND) })?;
    from.advance(count);
    Ok(count)
}

/// Does something while the thread's signals wait.
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

/// `SIGXFSZ` kept from the thread.
struct SizeSignal {
    set: libc::sigset_t,
    before: libc::sigset_t,
}

impl SizeSignal {
    fn mask() -> Self {
        let mut masked = SizeSignal { set: no_signals(), before: no_signals() };
        // SAFETY: both sets are initialized and this value's; the mask is the thread's own.
        unsafe {
            libc::sigaddset(&raw mut masked.set, libc::SIGXFSZ);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const masked.set, &raw mut masked.before);
        }
        masked
    }

    /// Takes the signal if it was sent, and has the thread's mask as before.
    fn restore(self, sent: bool) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: both sets are initialized; nothing is to be told of the signal.
        unsafe {
            if sent {
                libc::sigtimedwait(&raw const self.set, core::ptr::null_mut(), &raw const at_once);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, core::ptr::null_mut());
        }
    }
}

fn no_signals() -> libc::sigset_t {
    let mut set = core::mem::MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initializes the whole set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// `fchmodat2(2)` of what a descriptor stands for.
pub(super) fn set_mode(inode: BorrowedFd<'_>, mode: u32) -> Result<()> {
    let fd = inode.as_raw_fd();
    // SAFETY: the path is a string with its end, and empty; the call changes no memory of ours.
    let call = || unsafe { libc::syscall(libc::SYS_fchmodat2, fd, c"".as_ptr(), mode, libc::AT_EMPTY_PATH) };
    asked(|| call() as libc::ssize_t).map(drop)
}

/// `truncate(2)`.
pub(super) fn truncate(path: &str, len: u64) -> Result<()> {
    let (path, len) = (CString::new(path).map_err(|_| Errno::INVAL)?, offset_of(len)?);
    // SAFETY: the path is a string with its end; the call changes no memory of ours.
    asked(|| unsafe { libc::truncate64(path.as_ptr(), len) } as libc::ssize_t).map(drop)
}
