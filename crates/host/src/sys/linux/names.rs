//! Names in directories.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use vnode_core::fs::{NewInode, NewKind};
use vnode_core::{Errno, Result};

use super::super::names::{mode, read_link_at};
use super::super::{errno, uninterrupted};
use super::procfs;

/// An inode and nothing of its content: no device is touched, no FIFO waits.
const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

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

/// The target of a symbolic link, by its own descriptor.
pub(crate) fn read_link(link: BorrowedFd<'_>) -> Result<Arc<[u8]>> {
    match read_link_at(link, b"") {
        // So the kernel says of what is no link.
        Err(Errno::NOENT) => Err(Errno::INVAL),
        read => read,
    }
}

/// An error of `unlink(2)`.
pub(crate) fn told_of_remove(_: BorrowedFd<'_>, _: &[u8], error: rustix::io::Errno) -> Errno {
    errno(error)
}
