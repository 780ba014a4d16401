//! Attributes of inodes.

use core::ffi::{CStr, c_char};
use std::os::fd::BorrowedFd as Descriptor;

use rustix::fs::{AtFlags, StatVfsMountFlags};
use rustix::path::Arg as _;
use vnode_core::fs::InodeId;
use vnode_core::{Attr, Errno, FileType, Mode, Result, SetTime, StatFs, Timespec};

use super::super::direct::{self, HostStat};
use super::super::stat::{Stat, host_times, owners};
use super::super::{errno, names, uninterrupted};
use super::held::BorrowedFd;
use super::{opened, raw};

/// Of what a name stands for; a link is not followed.
pub(crate) fn stat_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    look_named(opened(&dir)?, name)
}

/// The same: there is no call that tells more.
pub(crate) fn look_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    stat_at(dir, name)
}

/// Of an inode.
pub(crate) fn stat(inode: BorrowedFd<'_>) -> Result<Stat> {
    match inode {
        BorrowedFd::Opened(descriptor) => {
            let mut stat = direct::blank();
            uninterrupted(|| direct::fstat(descriptor, &mut stat)).map_err(errno)?;
            convert(&stat)
        }
        BorrowedFd::Named(named) => named.stat(),
    }
}

/// The same: there is no call that tells more.
pub(crate) fn look(inode: BorrowedFd<'_>) -> Result<Stat> {
    stat(inode)
}

pub(super) fn look_named(dir: Descriptor<'_>, name: &[u8]) -> Result<Stat> {
    let mut stat = direct::blank();
    let look =
        |name: &CStr| uninterrupted(|| direct::fstatat(dir, name, libc::AT_SYMLINK_NOFOLLOW, &mut stat));
    name.into_with_c_str(look).map_err(errno)?;
    convert(&stat)
}

/// A mount has a device number of its own.
fn convert(stat: &HostStat) -> Result<Stat> {
    let kind = FileType::from_mode(stat.st_mode.into()).ok_or(Errno::IO)?;
    let time = |sec: i64, nsec: i64| Timespec { sec, nsec: u32::try_from(nsec).unwrap_or(0) };
    let device = u64::from(stat.st_dev as u32);
    let attr = Attr {
        dev: device,
        nlink: stat.st_nlink.into(),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: linux_device(stat.st_rdev as u32),
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        btime: Some(time(stat.st_birthtime, stat.st_birthtime_nsec)),
        ..Attr::bare(stat.st_ino, kind, Mode::from_raw(stat.st_mode.into()))
    };
    Ok(Stat { attr, id: InodeId(device, stat.st_ino), mount: device })
}

/// A device's number as Linux puts it together: macOS has 8 bits of major and 24 of minor, of which 20 fit.
fn linux_device(device: u32) -> u32 {
    let (major, minor) = (device >> 24, device & 0x00ff_ffff);
    (minor & 0xff) | (major << 8) | ((minor & 0x000f_ff00) << 12)
}

/// Sets the permission bits of an inode.
pub(crate) fn set_mode(inode: BorrowedFd<'_>, mode: Mode) -> Result<()> {
    let mode = names::mode(mode.raw());
    match inode {
        BorrowedFd::Opened(descriptor) => uninterrupted(|| rustix::fs::fchmod(descriptor, mode)),
        BorrowedFd::Named(named) => {
            let (dir, name) = named.place()?;
            uninterrupted(|| rustix::fs::chmodat(dir, name, mode, AtFlags::SYMLINK_NOFOLLOW))
        }
    }
    .map_err(errno)
}

/// Sets owner and group.
pub(crate) fn set_owner(inode: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    let (uid, gid) = owners(uid, gid)?;
    match inode {
        BorrowedFd::Opened(descriptor) => uninterrupted(|| rustix::fs::fchown(descriptor, uid, gid)),
        BorrowedFd::Named(named) => {
            let (dir, name) = named.place()?;
            uninterrupted(|| rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))
        }
    }
    .map_err(errno)
}

/// Sets times.
pub(crate) fn set_times(inode: BorrowedFd<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
    let times = host_times(atime, mtime);
    match inode {
        BorrowedFd::Opened(descriptor) => uninterrupted(|| rustix::fs::futimens(descriptor, &times)),
        BorrowedFd::Named(named) => {
            let (dir, name) = named.place()?;
            uninterrupted(|| rustix::fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW))
        }
    }
    .map_err(errno)
}

/// What the filesystem that an inode is in has and has left.
pub(crate) fn filesystem(inode: BorrowedFd<'_>) -> Result<StatFs> {
    let descriptor = opened(&inode)?;
    let host = uninterrupted(|| rustix::fs::fstatfs(descriptor)).map_err(errno)?;
    // Its counts have 32 bits only.
    let posix = uninterrupted(|| rustix::fs::fstatvfs(descriptor)).map_err(errno)?;
    Ok(StatFs {
        kind: kind_number(&host.f_fstypename).unwrap_or(host.f_type.into()),
        block_size: host.f_bsize,
        blocks: host.f_blocks,
        blocks_free: host.f_bfree,
        blocks_available: host.f_bavail,
        files: host.f_files,
        files_free: host.f_ffree,
        name_max: u32::try_from(posix.f_namemax).unwrap_or(u32::MAX),
        read_only: posix.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

/// The number that Linux has for a kind of filesystem (`linux/magic.h`), where it knows it too.
fn kind_number(name: &[c_char]) -> Option<u64> {
    const NUMBERS: [(&str, u64); 7] = [
        ("apfs", 0x4253_584e),
        ("hfs", 0x482b),
        ("msdos", 0x4d44),
        ("exfat", 0x2011_bab0),
        ("nfs", 0x6969),
        ("smbfs", 0xff53_4d42),
        ("ntfs", 0x5346_544e),
    ];
    let name = name.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0);
    NUMBERS.iter().find(|(known, _)| name.clone().eq(known.bytes())).map(|&(_, number)| number)
}

/// Whether a directory's filesystem folds the case of names, as far as is known.
pub(crate) fn folds_case(dir: BorrowedFd<'_>) -> bool {
    opened(&dir).is_ok_and(raw::folds_case)
}
