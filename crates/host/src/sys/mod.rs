//! The host's system calls, each relative to a descriptor and by one name, or by several with no link among them.
//!
//! Nothing else in the crate calls the host. No call takes a path that a link could lead elsewhere: a name is one
//! component, never `.` or `..`, and is never followed.

mod attributes;
mod content;
mod directory;
mod names;
mod procfs;
mod raw;
mod xattr;

pub(crate) use attributes::{
    Stat, coarse_time, filesystem, folds_case, look, look_at, set_mode, set_owner, set_times, stat, stat_at,
    truncate,
};
pub(crate) use content::{allocate, position, seek_data_or_hole, seek_end, set_len, size_limit};
pub(crate) use directory::{Piece, list, open_directory, seek};
pub(crate) use names::{
    create, create_file, descriptor_limit, find, find_above, find_run, link, open_content, open_root,
    read_link, read_link_at, remove, rename, sync,
};
pub(crate) use procfs::{process_umask, reopen};
pub(crate) use raw::{Moved, append, read, write};
pub(crate) use xattr::{get_xattr, list_xattr, remove_xattr, set_xattr};

use vnode_core::Errno;

/// Makes a call of the host, and makes it again when a signal interrupts it, which no guest is told of. Of local
/// filesystems only few calls are interrupted, of those served by programs (FUSE) or over the network every one may be.
///
/// The second try has the thread's signals wait: the room for a large file begins anew when it is interrupted, and would
/// never end where signals come often.
pub(super) fn uninterrupted<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    match call() {
        Err(rustix::io::Errno::INTR) => raw::without_signals(|| rustix::io::retry_on_intr(&mut call)),
        answer => answer,
    }
}

/// An error of the host as ours.
pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    u16::try_from(error.raw_os_error()).ok().and_then(Errno::from_raw).unwrap_or(Errno::IO)
}
