//! What macOS alone has: its attributes, its filesystems, its way to write to the medium.

use core::ffi::{CStr, c_char};
use std::os::fd::BorrowedFd as Descriptor;

use rustix::fs::{AtFlags, OFlags, StatVfsMountFlags};
use rustix::io::Errno as HostErrno;
use rustix::path::Arg as _;
use vnode_core::fs::{Allocate, InodeId, NewInode};
use vnode_core::{Attr, Errno, FileType, Mode, Result, StatFs, Timespec};

use super::super::direct::{self, HostStat};
use super::super::stat::Stat;
use super::super::{errno, uninterrupted};
use super::held::{AsFd, BorrowedFd, OwnedFd};
use super::{opened, raw};

/// How `fchmodat(2)` takes a name.
pub(super) const OF_A_NAME: AtFlags = AtFlags::SYMLINK_NOFOLLOW;

/// The attributes of what a name stands for; a link is not followed.
pub(super) fn stat_named(dir: Descriptor<'_>, name: &[u8]) -> Result<Stat> {
    let mut stat = direct::blank();
    let look =
        |name: &CStr| uninterrupted(|| direct::fstatat(dir, name, libc::AT_SYMLINK_NOFOLLOW, &mut stat));
    name.into_with_c_str(look).map_err(errno)?;
    convert(&stat)
}

/// The attributes of what is opened.
pub(super) fn stat_opened(inode: Descriptor<'_>) -> Result<Stat> {
    let mut stat = direct::blank();
    uninterrupted(|| direct::fstat(inode, &mut stat)).map_err(errno)?;
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

/// Writes a directory or a file to the medium: the device's own memory, too, to which `fsync(2)` leaves it.
pub(crate) fn sync(fd: impl AsFd, _data_only: bool) -> Result<()> {
    let fd = opened(&fd.as_fd())?;
    match uninterrupted(|| rustix::fs::fcntl_fullfsync(fd)) {
        // A filesystem without that, over the network say.
        Err(HostErrno::NOTSUP | HostErrno::OPNOTSUPP | HostErrno::NOTTY | HostErrno::INVAL) => {
            uninterrupted(|| rustix::fs::fsync(fd)).map_err(errno)
        }
        synced => synced.map_err(errno),
    }
}

/// Opens; macOS has no way to have access times stay as they are.
pub(crate) fn leaving_atime(
    flags: OFlags,
    _keeps_atime: bool,
    open: impl Fn(OFlags) -> rustix::io::Result<std::os::fd::OwnedFd>,
) -> Result<OwnedFd> {
    uninterrupted(|| open(flags)).map(OwnedFd::Opened).map_err(errno)
}

/// Would make a FIFO, a socket or a device.
///
/// # Errors
/// `EOPNOTSUPP`: always. Only newer systems make them relative to a directory.
pub(super) fn make_special(_: Descriptor<'_>, _: &[u8], _: &NewInode<'_>) -> Result<()> {
    Err(Errno::OPNOTSUPP)
}

/// Reserves room, or gives it back.
///
/// # Errors
/// `EOPNOTSUPP`: always. `F_PREALLOCATE` fills no holes and leaves the size, which `ftruncate(2)` would then set, to less
/// if somebody wrote behind meanwhile; `F_PUNCHHOLE` takes whole blocks only.
pub(crate) fn allocate(_: BorrowedFd<'_>, _: Allocate, _: u64, _: u64) -> Result<()> {
    Err(Errno::OPNOTSUPP)
}
