//! The calls that rustix has not, or only for memory that nobody else writes.
#![allow(unsafe_code)]

use core::ffi::c_int;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd};

use vnode_core::io::Source;
use vnode_core::{Errno, Result};

use super::super::raw::{asked, no_signals, offset_of, vectors};

/// Writes at the end, once, whoever else writes there; the descriptor's own position is behind what was written.
///
/// `limited`: the process has a limit on the size of files, and somebody else may have brought the file to it since it
/// was looked at. The signal of that, which would end the process, is taken.
///
/// # Errors
/// `EFBIG`: the file is at that limit.
pub(crate) fn append(file: BorrowedFd<'_>, from: &mut Source<'_>, limited: bool) -> Result<usize> {
    if limited { past_limit(|| append_once(file, from)) } else { append_once(file, from) }
}

/// Makes a call that may be told a size past the process's limit; whether the file would grow to it, the kernel knows.
/// The signal of that is taken.
///
/// # Errors
/// `EFBIG`: it would. Those of the call.
pub(crate) fn past_limit<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    let masked = SizeSignal::mask();
    let came = call();
    masked.restore(matches!(came, Err(Errno::FBIG)));
    came
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
