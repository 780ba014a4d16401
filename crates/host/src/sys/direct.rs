//! The system calls that most of a guest's time goes to, made in place.
//!
//! A call by the C library returns through one more function or two, each of which the processor predicts wrong after
//! the kernel: a tenth of a short call's time. Some of its functions do more than the call, besides: `pread` prepares
//! for the thread to be canceled, and `fstat` is a `fstatat` in some versions.
#![allow(unsafe_code)]

use core::ffi::CStr;
use core::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::{Errno, Result};

/// Reads at an offset.
///
/// # Safety
/// `into` is writable for `len` bytes.
#[inline(always)]
pub(super) unsafe fn pread(fd: BorrowedFd<'_>, into: *mut u8, len: usize, offset: i64) -> Result<usize> {
    // SAFETY: as demanded.
    unsafe { system::pread(fd.as_raw_fd(), into, len, offset) }
}

/// Writes at an offset.
///
/// # Safety
/// `from` is readable for `len` bytes.
#[inline(always)]
pub(super) unsafe fn pwrite(fd: BorrowedFd<'_>, from: *const u8, len: usize, offset: i64) -> Result<usize> {
    // SAFETY: as demanded.
    unsafe { system::pwrite(fd.as_raw_fd(), from, len, offset) }
}

/// What the host tells of an inode.
#[cfg(any(target_pointer_width = "64", not(target_os = "linux")))]
pub(super) type HostStat = libc::stat;
#[cfg(all(target_pointer_width = "32", target_os = "linux"))]
pub(super) type HostStat = libc::stat64;

/// Nothing yet. The calls fill it where it is, for it is long.
#[inline(always)]
pub(super) fn blank() -> HostStat {
    // SAFETY: all its fields are numbers.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// The attributes of an inode.
#[inline(always)]
pub(super) fn fstat(inode: BorrowedFd<'_>, stat: &mut HostStat) -> Result<()> {
    // SAFETY: the call fills what is given to it for that.
    unsafe { system::fstat(inode.as_raw_fd(), stat) }.map(drop)
}

/// The same of what a name stands for.
#[inline(always)]
pub(super) fn fstatat(dir: BorrowedFd<'_>, name: &CStr, flags: i32, stat: &mut HostStat) -> Result<()> {
    // SAFETY: `name` is a string with its end, and as in `fstat`.
    unsafe { system::fstatat(dir.as_raw_fd(), name.as_ptr(), stat, flags) }.map(drop)
}

/// Nothing yet of all that Linux tells.
#[cfg(target_os = "linux")]
#[inline(always)]
pub(super) fn blank_statx() -> libc::statx {
    // SAFETY: all its fields are numbers.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// The type and the bytes of the handle by which Linux finds an inode again (`name_to_handle_at(2)`).
#[cfg(target_os = "linux")]
pub(super) fn file_handle(inode: BorrowedFd<'_>) -> Result<(i32, Box<[u8]>)> {
    /// As large as any (`MAX_HANDLE_SZ`).
    const ROOM: usize = 128;
    /// `struct file_handle` with its bytes.
    #[repr(C)]
    struct Handle {
        len: u32,
        kind: i32,
        bytes: [u8; ROOM],
    }
    let mut handle = Handle { len: ROOM as u32, kind: 0, bytes: [0; ROOM] };
    let (mut mount, name, to) = (0i32, c"".as_ptr(), &raw mut handle);
    let (call, fd) = (libc::SYS_name_to_handle_at, inode.as_raw_fd());
    // SAFETY: the name is a string with its end; there is as much room as is said, and room for a number.
    let done = unsafe { libc::syscall(call, fd, name, to, &raw mut mount, libc::AT_EMPTY_PATH) };
    if done != 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    let bytes = handle.bytes.get(..handle.len as usize).unwrap_or_default();
    Ok((handle.kind, bytes.into()))
}

/// The uuid of an open directory's filesystem; nothing if it has one of another length.
#[cfg(target_os = "linux")]
pub(super) fn filesystem_uuid(dir: BorrowedFd<'_>) -> Result<Option<[u8; 16]>> {
    /// `struct fsuuid2`.
    #[repr(C)]
    struct Uuid {
        len: u8,
        bytes: [u8; 16],
    }
    /// `_IOR(0x15, 0, struct fsuuid2)`.
    const GET: u32 = 0x8011_1500;
    let mut uuid = Uuid { len: 0, bytes: [0; 16] };
    // SAFETY: there is room for what the call fills.
    let done = unsafe { libc::syscall(libc::SYS_ioctl, dir.as_raw_fd(), GET, &raw mut uuid) };
    if done != 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok((uuid.len == 16).then_some(uuid.bytes))
}

/// All that Linux tells of what a name stands for; of an inode if the name is empty and the flags allow that.
#[cfg(target_os = "linux")]
#[inline(always)]
pub(super) fn statx(
    dir: BorrowedFd<'_>,
    name: &CStr,
    flags: i32,
    mask: u32,
    stat: &mut libc::statx,
) -> Result<()> {
    // SAFETY: as in `fstatat`.
    unsafe { system::statx(dir.as_raw_fd(), name.as_ptr(), flags, mask, stat) }.map(drop)
}

/// Where the calls are known: the arguments are those of the C library's functions, and its `struct stat` is the kernel's.
#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod system {
    use core::arch::asm;
    use core::ffi::{c_char, c_int, c_long};

    use super::{Errno, HostStat, Result};

    /// A system call of up to five arguments.
    ///
    /// # Safety
    /// As the call demands.
    #[inline(always)]
    unsafe fn call(number: c_long, fd: c_int, rest: [usize; 4]) -> Result<usize> {
        let answer: isize;
        let (fd, [second, third, fourth, fifth]) = (fd as isize, rest);
        // SAFETY: by the kernel's convention for calls on this processor; the memory it changes is the call's, for which
        // the caller answers.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") number as isize => answer,
                in("rdi") fd, in("rsi") second, in("rdx") third, in("r10") fourth, in("r8") fifth,
                lateout("rcx") _, lateout("r11") _,
                options(nostack, preserves_flags)
            );
        }
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            asm!(
                "svc 0",
                in("x8") number, inlateout("x0") fd => answer,
                in("x1") second, in("x2") third, in("x3") fourth, in("x4") fifth,
                options(nostack, preserves_flags)
            );
        }
        usize::try_from(answer).map_err(|_| Errno::from_raw_os_error(answer.wrapping_neg() as i32))
    }

    #[inline(always)]
    pub(super) unsafe fn pread(fd: c_int, into: *mut u8, len: usize, offset: i64) -> Result<usize> {
        // SAFETY: as the caller answers for.
        unsafe { call(libc::SYS_pread64, fd, [into.expose_provenance(), len, offset as usize, 0]) }
    }

    #[inline(always)]
    pub(super) unsafe fn pwrite(fd: c_int, from: *const u8, len: usize, offset: i64) -> Result<usize> {
        // SAFETY: as the caller answers for.
        unsafe { call(libc::SYS_pwrite64, fd, [from.expose_provenance(), len, offset as usize, 0]) }
    }

    #[inline(always)]
    pub(super) unsafe fn fstat(fd: c_int, stat: *mut HostStat) -> Result<usize> {
        // SAFETY: as the caller answers for; the arguments that the call hasn't are not looked at.
        unsafe { call(libc::SYS_fstat, fd, [stat.expose_provenance(), 0, 0, 0]) }
    }

    #[inline(always)]
    pub(super) unsafe fn fstatat(
        fd: c_int,
        name: *const c_char,
        stat: *mut HostStat,
        flags: c_int,
    ) -> Result<usize> {
        let (name, stat) = (name.expose_provenance(), stat.expose_provenance());
        // SAFETY: as the caller answers for.
        unsafe { call(libc::SYS_newfstatat, fd, [name, stat, flags as usize, 0]) }
    }

    #[inline(always)]
    pub(super) unsafe fn statx(
        fd: c_int,
        name: *const c_char,
        flags: c_int,
        mask: u32,
        stat: *mut libc::statx,
    ) -> Result<usize> {
        let (name, stat) = (name.expose_provenance(), stat.expose_provenance());
        // SAFETY: as the caller answers for.
        unsafe { call(libc::SYS_statx, fd, [name, flags as usize, mask as usize, stat]) }
    }
}

/// By the C library.
#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod system {
    use core::ffi::{c_char, c_int};

    use super::{Errno, HostStat, Result};

    #[cfg(not(target_os = "linux"))]
    use libc::{fstat as libc_fstat, fstatat as libc_fstatat, pread as libc_pread, pwrite as libc_pwrite};
    #[cfg(target_os = "linux")]
    use libc::{
        fstat64 as libc_fstat, fstatat64 as libc_fstatat, pread64 as libc_pread, pwrite64 as libc_pwrite,
    };

    fn answer(number: isize) -> Result<usize> {
        let error = |_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
        usize::try_from(number).map_err(error)
    }

    pub(super) unsafe fn pread(fd: c_int, into: *mut u8, len: usize, offset: i64) -> Result<usize> {
        // SAFETY: as the caller answers for.
        answer(unsafe { libc_pread(fd, into.cast(), len, offset) })
    }

    pub(super) unsafe fn pwrite(fd: c_int, from: *const u8, len: usize, offset: i64) -> Result<usize> {
        // SAFETY: as the caller answers for.
        answer(unsafe { libc_pwrite(fd, from.cast(), len, offset) })
    }

    pub(super) unsafe fn fstat(fd: c_int, stat: *mut HostStat) -> Result<usize> {
        // SAFETY: as the caller answers for.
        answer(unsafe { libc_fstat(fd, stat) } as isize)
    }

    pub(super) unsafe fn fstatat(
        fd: c_int,
        name: *const c_char,
        stat: *mut HostStat,
        flags: c_int,
    ) -> Result<usize> {
        // SAFETY: as the caller answers for.
        answer(unsafe { libc_fstatat(fd, name, stat, flags) } as isize)
    }

    #[cfg(target_os = "linux")]
    pub(super) unsafe fn statx(
        fd: c_int,
        name: *const c_char,
        flags: c_int,
        mask: u32,
        stat: *mut libc::statx,
    ) -> Result<usize> {
        // SAFETY: as the caller answers for.
        answer(unsafe { libc::syscall(libc::SYS_statx, fd, name, flags, mask, stat) } as isize)
    }
}
