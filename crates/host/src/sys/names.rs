//! Names in directories.

use std::sync::Arc;

use rustix::fs::{AtFlags, FileType as HostType, Mode, OFlags, RawMode, RenameFlags};
use vnode_core::fs::{Access, Remove, Rename};
use vnode_core::{Errno, FileType, PATH_MAX, Result};

use super::host::{find, leaving_atime, opened, told_of_remove};
use super::{BorrowedFd, OwnedFd, errno, stat, stat_at, uninterrupted};

/// For content: not through a link, never waiting, and no terminal becomes ours.
const CONTENT: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

pub(super) fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits as RawMode)
}

pub(super) fn for_access(access: Access) -> OFlags {
    CONTENT
        | match (access.contains(Access::READ), access.contains(Access::WRITE)) {
            (_, false) => OFlags::RDONLY,
            (false, true) => OFlags::WRONLY,
            (true, true) => OFlags::RDWR,
        }
}

/// So many levels go into a path.
pub(crate) const MOST_LEVELS: u32 = 300;

/// The directory so many levels above, at most [`MOST_LEVELS`], in one call.
pub(crate) fn find_up(dir: BorrowedFd<'_>, levels: u32) -> Result<OwnedFd> {
    static UP: [[u8; 3]; MOST_LEVELS as usize] = [*b"../"; MOST_LEVELS as usize];
    find(dir, UP.get(..levels as usize).ok_or(Errno::INVAL)?.as_flattened())
}

/// Opens the content of what a name stands for; what it is must be known, and checked again.
pub(crate) fn open_content(
    dir: BorrowedFd<'_>,
    name: &[u8],
    access: Access,
    keeps_atime: bool,
) -> Result<OwnedFd> {
    let dir = opened(&dir)?;
    leaving_atime(for_access(access), keeps_atime, |flags| {
        rustix::fs::openat(dir, name, flags, Mode::empty())
    })
}

/// Makes a regular file and opens it.
pub(crate) fn create_file(dir: BorrowedFd<'_>, name: &[u8], bits: u32, access: Access) -> Result<OwnedFd> {
    let (dir, flags) = (opened(&dir)?, for_access(access) | OFlags::CREATE | OFlags::EXCL);
    leaving_atime(flags, false, |flags| rustix::fs::openat(dir, name, flags, mode(bits)))
}

/// Removes a name.
pub(crate) fn remove(dir: BorrowedFd<'_>, name: &[u8], what: Remove) -> Result<()> {
    let flags = match what {
        Remove::File => AtFlags::empty(),
        Remove::Directory => AtFlags::REMOVEDIR,
    };
    let at = opened(&dir)?;
    uninterrupted(|| rustix::fs::unlinkat(at, name, flags)).map_err(|error| told_of_remove(dir, name, error))
}

/// Makes another name for an inode that has one already; what was made is looked at, for that name may have been given
/// to something else.
///
/// # Errors
/// `ESTALE`: it was.
pub(crate) fn link_named(
    inode: BorrowedFd<'_>,
    from: BorrowedFd<'_>,
    old: &[u8],
    to: BorrowedFd<'_>,
    new: &[u8],
) -> Result<()> {
    let id = stat(inode)?.id;
    if stat_at(from, old)?.id != id {
        return Err(Errno::STALE);
    }
    let (old_dir, new_dir) = (opened(&from)?, opened(&to)?);
    uninterrupted(|| rustix::fs::linkat(old_dir, old, new_dir, new, AtFlags::empty())).map_err(errno)?;
    let made = stat_at(to, new)?.id;
    if made == id {
        return Ok(());
    }
    // Another inode was linked if the old name is its, too.
    if stat_at(from, old).is_ok_and(|stat| stat.id == made) {
        // What fails is told of already.
        let _ = remove(to, new, Remove::File);
    }
    Err(Errno::STALE)
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
    let (from, to) = (opened(&from)?, opened(&to)?);
    uninterrupted(|| rustix::fs::renameat_with(from, old, to, new, flags)).map_err(errno)
}

/// The target of the symbolic link that a name stands for.
///
/// # Errors
/// `EINVAL`: it is no link. `EIO`: the target is longer than a path may be.
pub(crate) fn read_link_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Arc<[u8]>> {
    let (dir, mut buffer) = (opened(&dir)?, [0; PATH_MAX + 1]);
    let read = || rustix::fs::readlinkat_raw(dir, name, &mut buffer[..]);
    let len = uninterrupted(read).map_err(errno)?;
    match buffer.get(..len) {
        Some(target) if len <= PATH_MAX => Ok(target.into()),
        _ => Err(Errno::IO),
    }
}

/// The type of what a listing names.
pub(super) fn kind_of_entry(dir: BorrowedFd<'_>, name: &[u8], told: HostType) -> Result<FileType> {
    Ok(match told {
        HostType::RegularFile => FileType::Regular,
        HostType::Directory => FileType::Directory,
        HostType::Symlink => FileType::Symlink,
        HostType::Fifo => FileType::Fifo,
        HostType::Socket => FileType::Socket,
        HostType::CharacterDevice => FileType::CharDevice,
        HostType::BlockDevice => FileType::BlockDevice,
        // Some filesystems don't tell.
        HostType::Unknown => stat_at(dir, name)?.attr.kind,
    })
}
