//! The host's system calls, each relative to a descriptor and by one name, or by several with no link among them.
//!
//! Nothing else in the crate calls the host. No call takes a path that a link could lead elsewhere: a name is one
//! component, never `.` or `..`, and is never followed.

#[cfg(any(target_os = "macos", vnode_as_macos))]
mod apple;
mod content;
mod descriptors;
#[cfg_attr(vnode_as_macos, allow(dead_code, reason = "Linux tells more"))]
mod direct;
#[cfg(all(target_os = "linux", not(vnode_as_macos)))]
mod linux;
mod names;
mod raw;
mod stat;
mod xattr;

#[cfg(any(target_os = "macos", vnode_as_macos))]
use apple as host;
#[cfg(all(target_os = "linux", not(vnode_as_macos)))]
use linux as host;

pub(crate) use content::{position, seek_data_or_hole, seek_end, set_len, size_limit};
pub(crate) use descriptors::{descriptor_limit, make_room};
/// An inode, by what holds it: on Linux a descriptor.
pub(crate) use host::{AsFd, BorrowedFd, OwnedFd};
pub(crate) use host::{
    Listing, allocate, append, copy_range, create, filesystem, filesystem_uuid, find, find_above, find_run,
    folds_case, get_xattr, handle, link, list_xattr, look, look_at, open_directory, open_root, past_limit,
    process_umask, read_link, remove_xattr, reopen, set_mode, set_owner, set_times, set_xattr, share_all,
    stat, stat_at, sync, truncate, write,
};
pub(crate) use names::{
    MOST_LEVELS, create_file, find_up, link_named, open_content, read_link_at, remove, rename,
};
pub(crate) use raw::{Moved, read};
pub(crate) use stat::{Stat, coarse_time};

use vnode_core::Errno;

/// Makes a call of the host, and makes it again when a signal interrupts it, which no guest is told of. Of local
/// filesystems only few calls are interrupted, of those served by programs (FUSE) or over the network every one may be.
///
/// The second try has the thread's signals wait: the room for a large file begins anew when it is interrupted, and would
/// never end where signals come often.
#[inline(always)]
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    match call() {
        Err(rustix::io::Errno::INTR) => raw::without_signals(|| rustix::io::retry_on_intr(&mut call)),
        answer => answer,
    }
}

/// An error of the host as ours.
pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_host(error.raw_os_error())
}
