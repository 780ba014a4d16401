//! Making an inode that is like another one of another filesystem.

use vnode_core::fs::{Access, Filesystem, LinkTarget, NewInode, NewKind};
use vnode_core::{Attr, Cx, Errno, FileType, FilesystemRef, Mode, Result, SetAttr, SetTime};

use crate::content;
use crate::guards::{On, copy_xattrs};
use crate::layers::{Real, RealAt};

/// What has a program run as its owner.
const SET_ID: Mode = Mode::SETUID.union(Mode::SETGID);

/// Makes an empty inode like another one that has these attributes. Its owner may do with it what is to be done until it
/// is in its place, and it runs as nobody yet: [`fill`] gives it the rest. Access control lists are not inherited but
/// where a filesystem has them inherited.
///
/// # Errors
/// Those of both. `EPERM`: a link that leads by no text.
pub fn make_like(
    own: &Cx<'_>,
    (from, inode): On<'_>,
    attr: &Attr,
    (to, at): (&FilesystemRef, RealAt<'_>),
) -> Result<Real> {
    let target;
    let kind = match attr.kind {
        FileType::Regular => NewKind::Regular,
        FileType::Directory => NewKind::Directory,
        FileType::Symlink => match from.readlink(own, inode)? {
            LinkTarget::Text(text) => {
                target = text;
                NewKind::Symlink(&target)
            }
            LinkTarget::Jump(_) => return Err(Errno::PERM),
        },
        FileType::Fifo => NewKind::Fifo,
        FileType::Socket => NewKind::Socket,
        FileType::CharDevice => NewKind::CharDevice(attr.rdev),
        FileType::BlockDevice => NewKind::BlockDevice(attr.rdev),
    };
    let mode = match attr.kind {
        FileType::Symlink => attr.mode,
        FileType::Directory => attr.mode | Mode::RWXU,
        _ => (attr.mode - SET_ID) | Mode::RUSR | Mode::WUSR,
    };
    create_for(own, to, at, NewInode { kind, mode, uid: attr.uid, gid: attr.gid })
}

/// Gives a new inode the content up to `size`, extended attributes, mode, owner and times of the one that it is like, as
/// far as the process may: whoever isn't root keeps what he makes, and then it doesn't run as him.
///
/// # Errors
/// Those of both. `EINTR`: `cx` is canceled.
pub fn fill(
    cx: &Cx<'_>,
    own: &Cx<'_>,
    (from, inode): On<'_>,
    attr: &Attr,
    (to, copy): On<'_>,
    size: u64,
) -> Result<()> {
    if attr.kind == FileType::Regular {
        let (source, target) = (from.open(own, inode, Access::READ)?, to.open(own, copy, Access::WRITE)?);
        content::copy(cx, own, &*source, &*target, size)?;
    }
    let guards = copy_xattrs(own, (from, inode), (to, copy))?;
    let made = to.getattr(own, copy)?;
    let other = |is: u32, should: u32| (is != should).then_some(should);
    let set = SetAttr {
        mode: (made.mode != attr.mode && !attr.kind.is_symlink()).then_some(attr.mode),
        uid: other(made.uid, attr.uid),
        gid: other(made.gid, attr.gid),
        atime: Some(SetTime::To(attr.atime)),
        mtime: Some(SetTime::To(attr.mtime)),
        size: None,
    };
    set_or_keep_own(own, (to, copy), &set)?;
    // A change of the owner takes capabilities, one of the mode changes lists.
    guards.set(own, (to, copy))
}

/// Sets attributes, or as much of them as one may who isn't root: what has another owner is his own from now on, and
/// doesn't run as him.
///
/// # Errors
/// Those of the filesystem.
pub fn set_or_keep_own(own: &Cx<'_>, to: On<'_>, set: &SetAttr) -> Result<()> {
    match to.0.setattr(own, to.1, set) {
        // Whoever isn't root can't give away what is his, nor may he have it run as himself; `EINVAL` in a user namespace
        // without such a user.
        Err(Errno::PERM | Errno::INVAL) => keep_own(own, to, set),
        set => set,
    }
}

fn keep_own(own: &Cx<'_>, (fs, inode): On<'_>, set: &SetAttr) -> Result<()> {
    let try_set = |set: SetAttr| match fs.setattr(own, inode, &set) {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::INVAL) => Ok(false),
        Err(errno) => Err(errno),
    };
    let none = SetAttr::default();
    let mut same = true;
    if set.uid.is_some() || set.gid.is_some() {
        same = try_set(SetAttr { uid: set.uid, gid: set.gid, ..none })?;
        // The group may be one of his.
        let _ = same || try_set(SetAttr { gid: set.gid, ..none })?;
    }
    let is_dir = inode.kind().is_dir();
    if let Some(mode) = set.mode
        && !((same || is_dir) && try_set(SetAttr { mode: Some(mode), ..none })?)
    {
        let forbidden = if is_dir { Mode::SETUID } else { SET_ID };
        fs.setattr(own, inode, &SetAttr { mode: Some(mode - forbidden), ..none })?;
    }
    fs.setattr(own, inode, &SetAttr { atime: set.atime, mtime: set.mtime, ..none })
}

/// Makes an inode, of the overlay's own owner if it can't have another.
pub(crate) fn create_for(
    own: &Cx<'_>,
    fs: &FilesystemRef,
    at: RealAt<'_>,
    new: NewInode<'_>,
) -> Result<Real> {
    match fs.create(own, at, new) {
        // In a user namespace there may be no such user.
        Err(Errno::PERM | Errno::INVAL) if (new.uid, new.gid) != (0, 0) => {
            fs.create(own, at, NewInode { uid: 0, gid: 0, ..new })
        }
        made => made,
    }
}
