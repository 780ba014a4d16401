//! Attributes of inodes.

use std::os::fd::BorrowedFd;

use rustix::fs::{
    AtFlags, Gid, StatVfsMountFlags, Statx, StatxFlags, StatxTimestamp, Timespec as HostTime, Timestamps, Uid,
};
use vnode_core::fs::InodeId;
use vnode_core::{Attr, Errno, FileType, Mode, Result, SetTime, StatFs, Timespec};

use super::{errno, procfs, raw, uninterrupted};

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

/// Of what a name stands for, in three quarters of the time of [`stat_at`]: without the mount and the time of its making,
/// and so without the identity of a directory.
pub(crate) fn look_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    convert_short(&uninterrupted(|| rustix::fs::statat(dir, name, flags)).map_err(errno)?)
}

/// The same of an inode.
pub(crate) fn look(inode: BorrowedFd<'_>) -> Result<Stat> {
    convert_short(&uninterrupted(|| rustix::fs::fstat(inode)).map_err(errno)?)
}

/// A device number as the kernel has it itself, in 32 bits.
fn short_device(dev: u64) -> u64 {
    u64::from(rustix::fs::major(dev)) << 20 | u64::from(rustix::fs::minor(dev))
}

fn convert_short(stat: &rustix::fs::Stat) -> Result<Stat> {
    let kind = FileType::from_mode(stat.st_mode).ok_or(Errno::IO)?;
    let time = |sec: i64, nsec: u64| Timespec { sec, nsec: u32::try_from(nsec).unwrap_or(0) };
    let attr = Attr {
        dev: stat.st_dev,
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        // The kernel's own numbers of devices have 32 bits.
        rdev: stat.st_rdev as u32,
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        ..Attr::bare(stat.st_ino, kind, Mode::from_raw(stat.st_mode))
    };
    let device = short_device(stat.st_dev);
    Ok(Stat { attr, id: InodeId(device, stat.st_ino), mount: device })
}

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// Of what a name stands for; a link is not followed.
pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    convert(&uninterrupted(|| rustix::fs::statx(dir, name, flags, WANTED)).map_err(errno)?)
}

/// Of an inode.
pub(crate) fn stat(inode: BorrowedFd<'_>) -> Result<Stat> {
    convert(&uninterrupted(|| rustix::fs::statx(inode, c"", AtFlags::EMPTY_PATH, WANTED)).map_err(errno)?)
}

fn convert(stat: &Statx) -> Result<Stat> {
    let has = |flag: StatxFlags| stat.stx_mask & flag.bits() != 0;
    let kind = FileType::from_mode(u32::from(stat.stx_mode)).ok_or(Errno::IO)?;
    let dev = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    let device = short_device(dev);
    // The kernel's own numbers of mounts have 32 bits, too.
    let mount = device ^ if has(StatxFlags::MNT_ID) { stat.stx_mnt_id << 32 } else { 0 };
    let attr = Attr {
        dev,
        nlink: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        rdev: rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor) as u32,
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        blksize: stat.stx_blksize,
        atime: time(stat.stx_atime),
        mtime: time(stat.stx_mtime),
        ctime: time(stat.stx_ctime),
        btime: has(StatxFlags::BTIME).then(|| time(stat.stx_btime)),
        ..Attr::bare(stat.stx_ino, kind, Mode::from_raw(u32::from(stat.stx_mode)))
    };
    let id = InodeId(if kind.is_dir() { mount } else { device }, stat.stx_ino);
    Ok(Stat { attr, id, mount })
}

fn time(time: StatxTimestamp) -> Timespec {
    Timespec { sec: time.tv_sec, nsec: time.tv_nsec }
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

/// Sets the permission bits of an inode, which is no link.
pub(crate) fn set_mode(inode: BorrowedFd<'_>, mode: Mode) -> Result<()> {
    match raw::set_mode(inode, mode.raw()) {
        // Linux before 6.6.
        Err(Errno::NOSYS) => {
            let mode = rustix::fs::Mode::from_raw_mode(mode.raw());
            let path = procfs::path(inode)?;
            uninterrupted(|| rustix::fs::chmod(&path, mode)).map_err(errno)
        }
        set => set,
    }
}

/// Sets owner and group.
pub(crate) fn set_owner(inode: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    // The number that means "leave it" belongs to nobody.
    if uid == Some(u32::MAX) || gid == Some(u32::MAX) {
        return Err(Errno::INVAL);
    }
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    uninterrupted(|| rustix::fs::chownat(inode, "", uid, gid, AtFlags::EMPTY_PATH)).map_err(errno)
}

/// Sets times.
pub(crate) fn set_times(inode: BorrowedFd<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
    let host = |time| match time {
        None => HostTime { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        Some(SetTime::Now) => HostTime { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        Some(SetTime::To(Timespec { sec, nsec })) => HostTime { tv_sec: sec, tv_nsec: nsec.into() },
    };
    let times = Timestamps { last_access: host(atime), last_modification: host(mtime) };
    match uninterrupted(|| rustix::fs::utimensat(inode, "", &times, AtFlags::EMPTY_PATH)) {
        // Linux before 5.8.
        Err(rustix::io::Errno::INVAL) => {
            let path = procfs::path(inode)?;
            uninterrupted(|| rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty()))
        }
        set => set,
    }
    .map_err(errno)
}

/// Sets the size of a regular file, whose times only change if the size does (`truncate(2)`).
pub(crate) fn truncate(inode: BorrowedFd<'_>, len: u64) -> Result<()> {
    match raw::truncate(&procfs::path(inode)?, len) {
        // There is no `/proc`.
        Err(Errno::NOENT) => Err(Errno::STALE),
        truncated => truncated,
    }
}

/// What the filesystem that an inode is in has and has left.
pub(crate) fn filesystem(inode: BorrowedFd<'_>) -> Result<StatFs> {
    let kind = uninterrupted(|| rustix::fs::fstatfs(inode)).map_err(errno)?.f_type;
    let host = uninterrupted(|| rustix::fs::fstatvfs(inode)).map_err(errno)?;
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(StatFs {
        kind: kind as u64,
        block_size: small(host.f_frsize),
        blocks: host.f_blocks,
        blocks_free: host.f_bfree,
        blocks_available: host.f_bavail,
        files: host.f_files,
        files_free: host.f_ffree,
        name_max: small(host.f_namemax),
        read_only: host.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

/// Whether a directory's filesystem folds the case of names, as far as is known.
pub(crate) fn folds_case(dir: BorrowedFd<'_>) -> bool {
    /// MSDOS and VFAT, exFAT, NTFS (two drivers), SMB (two versions): `statfs(2)`, `linux/magic.h`.
    const FOLDING: [u64; 6] = [0x4d44, 0x2011_bab0, 0x5346_544e, 0x7366_746e, 0xff53_4d42, 0xfe53_4d42];
    /// `FS_CASEFOLD_FL`: a directory of ext4 or f2fs that does.
    const CASEFOLD: u32 = 0x4000_0000;
    let by_kind = rustix::fs::fstatfs(dir).is_ok_and(|stat| FOLDING.contains(&(stat.f_type as u64)));
    by_kind
        || super::open_directory(dir, true)
            .is_ok_and(|dir| rustix::fs::ioctl_getflags(dir).is_ok_and(|flags| flags.bits() & CASEFOLD != 0))
}
