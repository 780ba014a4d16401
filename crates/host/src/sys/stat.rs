//! What is known of an inode, and what of it can be set.

use rustix::fs::{Gid, Timespec as HostTime, Timestamps, Uid};
use vnode_core::fs::InodeId;
use vnode_core::{Attr, Errno, Result, SetTime, Timespec};

/// What is known of an inode.
#[derive(Clone, Copy)]
pub(crate) struct Stat {
    /// The attributes, with the host's device number.
    pub(crate) attr: Attr,
    /// The device and the inode; of a directory also the mount of the host that it is seen through.
    pub(crate) id: InodeId,
    /// The device and the mount.
    pub(crate) mount: u64,
}

/// The time that the host gives to what is made now, or one a little before it.
pub(crate) fn coarse_time() -> Timespec {
    #[cfg(target_os = "linux")]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::RealtimeCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Realtime;
    let now = rustix::time::clock_gettime(CLOCK);
    Timespec { sec: now.tv_sec, nsec: u32::try_from(now.tv_nsec).unwrap_or(0) }
}

/// An owner and a group as the host takes them.
///
/// # Errors
/// `EINVAL`: the number that means "leave it", which belongs to nobody.
pub(super) fn owners(uid: Option<u32>, gid: Option<u32>) -> Result<(Option<Uid>, Option<Gid>)> {
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(Errno::INVAL);
    }
    Ok((uid.map(Uid::from_raw), gid.map(Gid::from_raw)))
}

/// Times as the host takes them.
pub(super) fn host_times(atime: Option<SetTime>, mtime: Option<SetTime>) -> Timestamps {
    let host = |time| match time {
        None => HostTime { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        Some(SetTime::Now) => HostTime { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        Some(SetTime::To(Timespec { sec, nsec })) => HostTime { tv_sec: sec, tv_nsec: nsec.into() },
    };
    Timestamps { last_access: host(atime), last_modification: host(mtime) }
}
