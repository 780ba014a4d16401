//! The process's table of descriptors.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};

/// How many descriptors the process may have.
pub(crate) fn descriptor_limit() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Has the kernel make the table large enough for so many, or as many as the process may have. It never makes it smaller.
pub(crate) fn make_room(count: usize) {
    let last = descriptor_limit().min(count).saturating_sub(1);
    let Ok(last) = i32::try_from(last) else { return };
    // What can't be made larger now is when that is needed.
    if let Ok(any) = rustix::fs::open("/", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = rustix::io::fcntl_dupfd_cloexec(&any, last);
    }
}
