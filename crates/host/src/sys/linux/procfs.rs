//! What only `/proc` can do: a descriptor without content given its content, attributes by path.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::LazyLock;

use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC};
use vnode_core::fs::Access;
use vnode_core::{Errno, Result};

use super::super::names::for_access;
use super::listing::leaving_atime;

/// The path of the link that leads to what a descriptor stands for: that very inode, whatever it is called now.
///
/// # Errors
/// `ESTALE`: there is no `/proc`. What is called so and isn't the kernel's may be a guest's, where the host's root is
/// served, with links of the guest's in it.
pub(super) fn path(fd: BorrowedFd<'_>) -> Result<String> {
    static IS_THE_KERNELS: LazyLock<bool> = LazyLock::new(|| {
        rustix::fs::statfs("/proc/self/fd").is_ok_and(|found| found.f_type as u64 == PROC_SUPER_MAGIC as u64)
    });
    if *IS_THE_KERNELS { Ok(format!("/proc/self/fd/{}", fd.as_raw_fd())) } else { Err(Errno::STALE) }
}

/// Opens the content of an inode, which must be a regular file.
///
/// # Errors
/// `ESTALE`: there is no `/proc`.
pub(crate) fn reopen(inode: BorrowedFd<'_>, access: Access, keeps_atime: bool) -> Result<OwnedFd> {
    let path = path(inode)?;
    // The last link is the one of `/proc`.
    let flags = for_access(access) - OFlags::NOFOLLOW;
    match leaving_atime(flags, keeps_atime, |flags| rustix::fs::openat(CWD, &path, flags, Mode::empty())) {
        Err(Errno::NOENT) => Err(Errno::STALE),
        opened => opened,
    }
}

/// The bits that the process's umask takes off what is made, if `/proc` tells: to ask the kernel itself, it would have
/// to be changed for a moment.
pub(crate) fn process_umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}
