//! Names in directories.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use vnode_core::fs::{Access, NewInode, NewKind, Remove, Rename};
use vnode_core::{Errno, PATH_MAX, Result};

use super::directory::leaving_atime;
use super::{errno, procfs, uninterrupted};

/// An inode and nothing of its content: no device is touched, no FIFO waits.
const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// For content: not through a link, never waiting, and no terminal becomes ours.
const CONTENT: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits)
}

pub(super) fn for_access(access: Access) -> OFlags {
    CONTENT
        | match (access.contains(Access::READ), access.contains(Access::WRITE)) {
            (_, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (true, true) => OFlags::RDWR,
        }
}

/// Opens a directory by its path on the host, links followed: the embedder's own, never a guest's.
pub(crate) fn open_root(path: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    uninterrupted(|| rustix::fs::openat(CWD, path, flags, Mode::empty())).map_err(errno)
}

/// The inode that a name stands for, without its content.
pub(crate) fn find(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    uninterrupted(|| rustix::fs::openat(dir, name, PATH_ONLY, Mode::empty())).map_err(errno)
}

/// The directory above.
pub(crate) fn find_above(dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    find(dir, b"..")
}

/// The inode that names with slashes between them lead to, with no link on the way, in one call. The last name may be
/// a link; it is not followed.
///
/// # Errors
/// `ELOOP`: a name that is not the last is a link. `ENOSYS`: the kernel has no such call.
pub(crate) fn find_run(dir: BorrowedFd<'_>, names: &[u8], same_mount: bool) -> Result<OwnedFd> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    resolve.set(ResolveFlags::NO_XDEV, same_mount);
    let open = || rustix::fs::openat2(dir, names, PATH_ONLY, Mode::empty(), resolve);
    uninterrupted(open).map_err(errno)
}

/// Opens the content of what a name stands for; what it is must be known, and checked again.
pub(crate) fn open_content(
    dir: BorrowedFd<'_>,
    name: &[u8],
    access: Access,
    keeps_atime: bool,
) -> Result<OwnedFd> {
    leaving_atime(for_access(access), keeps_atime, |flags| {
        rustix::fs::openat(dir, name, flags, Mode::empty())
    })
}

/// Makes a regular file and opens it.
pub(crate) fn create_file(dir: BorrowedFd<'_>, name: &[u8], bits: u32, access: Access) -> Result<OwnedFd> {
    let flags = for_access(access) | OFlags::CREATE | OFlags::EXCL;
    uninterrupted(|| rustix::fs::openat(dir, name, flags, mode(bits))).map_err(errno)
}

/// Makes anything but a regular file that is to be opened.
pub(crate) fn create(dir: BorrowedFd<'_>, name: &[u8], new: &NewInode<'_>) -> Result<()> {
    let node = |kind, dev| rustix::fs::mknodat(dir, name, kind, mode(new.mode.raw()), dev);
    uninterrupted(|| match new.kind {
        NewKind::Regular => node(FileType::RegularFile, 0),
        NewKind::Directory => rustix::fs::mkdirat(dir, name, mode(new.mode.raw())),
        NewKind::Symlink(target) => rustix::fs::symlinkat(target, dir, name),
        NewKind::Fifo => node(FileType::Fifo, 0),
        NewKind::Socket => node(FileType::Socket, 0),
        NewKind::CharDevice(dev) => node(FileType::CharacterDevice, dev.into()),
        NewKind::BlockDevice(dev) => node(FileType::BlockDevice, dev.into()),
    })
    .map_err(errno)
}

/// Makes another name for an inode.
pub(crate) fn link(inode: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    match uninterrupted(|| rustix::fs::linkat(inode, "", dir, name, AtFlags::EMPTY_PATH)) {
        // Without a privilege, Linux before 6.10 has no such call.
        Err(rustix::io::Errno::NOENT) => {
            let path = procfs::path(inode)?;
            let link = || rustix::fs::linkat(CWD, &path, dir, name, AtFlags::SYMLINK_FOLLOW);
            uninterrupted(link).map_err(errno)
        }
        linked => linked.map_err(errno),
    }
}

/// Removes a name.
pub(crate) fn remove(dir: BorrowedFd<'_>, name: &[u8], what: Remove) -> Result<()> {
    let flags = match what {
        Remove::File => AtFlags::empty(),
        Remove::Directory => AtFlags::REMOVEDIR,
    };
    uninterrupted(|| rustix::fs::unlinkat(dir, name, flags)).map_err(errno)
}

/// Renames.
pub(crate) fn rename(
    from: BorrowedFd<'_>,
    old: &[u8],
    to: BorrowedFd<'_>,
    new: &[u8],
    how: Rename,
) -> Result<()> {
    let flags = match how {
        Rename::Replace => RenameFlags::empty(),
        Rename::NoReplace => RenameFlags::NOREPLACE,
        Rename::Exchange => RenameFlags::EXCHANGE,
    };
    uninterrupted(|| rustix::fs::renameat_with(from, old, to, new, flags)).map_err(errno)
}

/// The target of a symbolic link, by its own descriptor.
pub(crate) fn read_link(link: BorrowedFd<'_>) -> Result<Arc<[u8]>> {
    match read_link_at(link, b"") {
        // So the kernel says of what is no link.
        Err(Errno::NOENT) => Err(Errno::INVAL),
        read => read,
    }
}

/// The target of the symbolic link that a name stands for.
///
/// # Errors
/// `EINVAL`: it is no link. `EIO`: the target is longer than a path may be.
pub(crate) fn read_link_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Arc<[u8]>> {
    let mut buffer = [0; PATH_MAX + 1];
    let read = || rustix::fs::readlinkat_raw(dir, name, &mut buffer[..]);
    let len = uninterrupted(read).map_err(errno)?;
    match buffer.get(..len) {
        Some(target) if len <= PATH_MAX => Ok(target.into()),
        _ => Err(Errno::IO),
    }
}

/// Writes a directory or a file to the medium.
pub(crate) fn sync(fd: impl AsFd, data_only: bool) -> Result<()> {
    let fd = fd.as_fd();
    uninterrupted(|| if data_only { rustix::fs::fdatasync(fd) } else { rustix::fs::fsync(fd) }).map_err(errno)
}

/// How many descriptors the process may have.
pub(crate) fn descriptor_limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
