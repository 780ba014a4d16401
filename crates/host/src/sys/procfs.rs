//! What only `/proc` can do: a descriptor without content given its content, attributes by path.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::retry_on_intr;
use vnode_core::fs::Access;
use vnode_core::{Errno, Result};

use super::errno;

/// The path of the link that leads to what a descriptor stands for: that very inode, whatever it is called now.
pub(super) fn path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Opens the content of an inode, which must be a regular file.
///
/// # Errors
/// `ESTALE`: there is no `/proc`.
pub(crate) fn reopen(inode: BorrowedFd<'_>, access: Access) -> Result<OwnedFd> {
    let flags = match (access.contains(Access::READ), access.contains(Access::WRITE)) {
        (_, false) => OFlags::RDONLY,
        (false, true) => OFlags::WRONLY,
        (true, true) => OFlags::RDWR,
    };
    let path = path(inode);
    let open = || rustix::fs::openat(CWD, &path, flags | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
    match retry_on_intr(open) {
        Err(rustix::io::Errno::NOENT) => Err(Errno::STALE),
        opened => opened.map_err(errno),
    }
}

/// The bits that the process's umask takes off what is made, if `/proc` tells: to ask the kernel itself, it would have
/// to be changed for a moment.
pub(crate) fn process_umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}
