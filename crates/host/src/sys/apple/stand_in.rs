//! What stands for `darwin` where this is compiled on Linux, so that all but that can be tested there.

use std::os::fd::BorrowedFd as Descriptor;

use rustix::fs::{
    AtFlags, FallocateFlags, FileType as HostType, OFlags, StatVfsMountFlags, Statx, StatxFlags,
    StatxTimestamp,
};
use vnode_core::fs::{Allocate, InodeId, NewInode, NewKind};
use vnode_core::{Attr, Errno, FileType, Mode, Result, StatFs, Timespec};

use super::super::names::mode;
use super::super::stat::Stat;
use super::super::{errno, uninterrupted};
use super::held::{AsFd, BorrowedFd, OwnedFd};
use super::opened;

/// Linux's `fchmodat(2)` knows no other way.
pub(super) const OF_A_NAME: AtFlags = AtFlags::empty();

pub(super) fn stat_named(dir: Descriptor<'_>, name: &[u8]) -> Result<Stat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    convert(&uninterrupted(|| rustix::fs::statx(dir, name, flags, WANTED)).map_err(errno)?)
}

pub(super) fn stat_opened(inode: Descriptor<'_>) -> Result<Stat> {
    convert(&uninterrupted(|| rustix::fs::statx(inode, c"", AtFlags::EMPTY_PATH, WANTED)).map_err(errno)?)
}

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// Each mount has a device number of its own on macOS, and here the number that it has on Linux besides.
fn convert(stat: &Statx) -> Result<Stat> {
    let kind = FileType::from_mode(stat.stx_mode.into()).ok_or(Errno::IO)?;
    let time = |time: StatxTimestamp| Timespec { sec: time.tv_sec, nsec: time.tv_nsec };
    let dev = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    let has_btime = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
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
        btime: has_btime.then(|| time(stat.stx_btime)),
        ..Attr::bare(stat.stx_ino, kind, Mode::from_raw(stat.stx_mode.into()))
    };
    let mount = dev ^ (stat.stx_mnt_id << 32);
    let device = if kind.is_dir() { mount } else { dev };
    Ok(Stat { attr, id: InodeId(device, stat.stx_ino), mount })
}

pub(crate) fn filesystem(inode: BorrowedFd<'_>) -> Result<StatFs> {
    let descriptor = opened(&inode)?;
    let kind = uninterrupted(|| rustix::fs::fstatfs(descriptor)).map_err(errno)?.f_type;
    let host = uninterrupted(|| rustix::fs::fstatvfs(descriptor)).map_err(errno)?;
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

pub(crate) fn folds_case(_: BorrowedFd<'_>) -> bool {
    false
}

pub(crate) fn sync(fd: impl AsFd, _data_only: bool) -> Result<()> {
    let fd = opened(&fd.as_fd())?;
    uninterrupted(|| rustix::fs::fsync(fd)).map_err(errno)
}

pub(crate) fn leaving_atime(
    flags: OFlags,
    keeps_atime: bool,
    open: impl Fn(OFlags) -> rustix::io::Result<std::os::fd::OwnedFd>,
) -> Result<OwnedFd> {
    let opened = match uninterrupted(|| open(if keeps_atime { flags | OFlags::NOATIME } else { flags })) {
        Err(rustix::io::Errno::PERM) if keeps_atime => uninterrupted(|| open(flags)),
        opened => opened,
    };
    opened.map(OwnedFd::Opened).map_err(errno)
}

pub(super) fn make_special(dir: Descriptor<'_>, name: &[u8], new: &NewInode<'_>) -> Result<()> {
    let (kind, device) = match new.kind {
        NewKind::Fifo => (HostType::Fifo, 0),
        NewKind::Socket => (HostType::Socket, 0),
        NewKind::CharDevice(device) => (HostType::CharacterDevice, device),
        NewKind::BlockDevice(device) => (HostType::BlockDevice, device),
        _ => return Err(Errno::INVAL),
    };
    uninterrupted(|| rustix::fs::mknodat(dir, name, kind, mode(new.mode.raw()), device.into())).map_err(errno)
}

pub(crate) fn allocate(file: BorrowedFd<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
    let flags = match how {
        Allocate::Extend => FallocateFlags::empty(),
        Allocate::KeepSize => FallocateFlags::KEEP_SIZE,
        Allocate::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        Allocate::ZeroRange => FallocateFlags::ZERO_RANGE,
    };
    let file = opened(&file)?;
    uninterrupted(|| rustix::fs::fallocate(file, flags, offset, len)).map_err(errno)
}
