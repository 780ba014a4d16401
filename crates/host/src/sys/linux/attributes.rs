//! Attributes of inodes.

use core::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, StatVfsMountFlags};
use rustix::path::Arg as _;
use vnode_core::fs::InodeId;
use vnode_core::{Attr, Errno, FileType, Mode, Result, SetTime, StatFs, Timespec};

use super::super::direct::{self, HostStat};
use super::super::stat::{Stat, host_times, owners};
use super::super::{errno, uninterrupted};
use super::{procfs, raw};

const NOFOLLOW: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;

/// Of what a name stands for, in three quarters of the time of [`stat_at`]: without the mount and the time of its making,
/// and so without the identity of a directory.
#[inline]
pub(crate) fn look_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    let mut stat = direct::blank();
    let look = |name: &CStr| uninterrupted(|| direct::fstatat(dir, name, NOFOLLOW, &mut stat));
    name.into_with_c_str(look).map_err(errno)?;
    convert_short(&stat)
}

/// The same of an inode.
#[inline]
pub(crate) fn look(inode: BorrowedFd<'_>) -> Result<Stat> {
    let mut stat = direct::blank();
    uninterrupted(|| direct::fstat(inode, &mut stat)).map_err(errno)?;
    convert_short(&stat)
}

/// A device number as the kernel has it itself, in 32 bits.
fn short_device(dev: u64) -> u64 {
    u64::from(rustix::fs::major(dev)) << 20 | u64::from(rustix::fs::minor(dev))
}

#[inline]
fn convert_short(stat: &HostStat) -> Result<Stat> {
    let kind = FileType::from_mode(stat.st_mode).ok_or(Errno::IO)?;
    let time = |sec: i64, nsec: i64| Timespec { sec, nsec: u32::try_from(nsec).unwrap_or(0) };
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

const WANTED: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;

/// Of what a name stands for; a link is not followed.
pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    let mut stat = direct::blank_statx();
    let look = |name: &CStr| uninterrupted(|| direct::statx(dir, name, NOFOLLOW, WANTED, &mut stat));
    name.into_with_c_str(look).map_err(errno)?;
    convert(&stat)
}

/// Of an inode.
pub(crate) fn stat(inode: BorrowedFd<'_>) -> Result<Stat> {
    let mut stat = direct::blank_statx();
    uninterrupted(|| direct::statx(inode, c"", libc::AT_EMPTY_PATH, WANTED, &mut stat)).map_err(errno)?;
    convert(&stat)
}

fn convert(stat: &libc::statx) -> Result<Stat> {
    let has = |flag: u32| stat.stx_mask & flag != 0;
    let kind = FileType::from_mode(u32::from(stat.stx_mode)).ok_or(Errno::IO)?;
    let dev = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    let device = short_device(dev);
    // The kernel's own numbers of mounts have 32 bits, too.
    let mount = device ^ if has(libc::STATX_MNT_ID) { stat.stx_mnt_id << 32 } else { 0 };
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
        btime: has(libc::STATX_BTIME).then(|| time(stat.stx_btime)),
        ..Attr::bare(stat.stx_ino, kind, Mode::from_raw(u32::from(stat.stx_mode)))
    };
    let id = InodeId(if kind.is_dir() { mount } else { device }, stat.stx_ino);
    Ok(Stat { attr, id, mount })
}

fn time(time: libc::statx_timestamp) -> Timespec {
    Timespec { sec: time.tv_sec, nsec: time.tv_nsec }
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
    let (uid, gid) = owners(uid, gid)?;
    uninterrupted(|| rustix::fs::chownat(inode, "", uid, gid, AtFlags::EMPTY_PATH)).map_err(errno)
}

/// Sets times.
pub(crate) fn set_times(inode: BorrowedFd<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
    let times = host_times(atime, mtime);
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
