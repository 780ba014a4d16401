//! An inode as it is on the medium.

use std::collections::BTreeMap;
use std::sync::Arc;

use vnode_core::fs::{Access, At, Filesystem, LinkTarget, NewInode, NewKind};
use vnode_core::io::Sink;
use vnode_core::{Attr, Cx, Errno, FileType, Name, Result, Timespec};

use crate::look;

/// Which record is meant: one for each inode that there ever was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(pub(super) u64);

/// Names in a directory, and the inodes that they stand for.
pub(super) type Names = BTreeMap<Box<[u8]>, Key>;

/// The pieces of a file that are data, each with its offset.
pub(super) type Pieces = Vec<(u64, Vec<u8>)>;

/// Extended attributes with their values.
pub(super) type Xattrs = Vec<(Box<[u8]>, Arc<[u8]>)>;

/// A name in a directory, and its inode.
pub(super) type Child<F> = (Box<[u8]>, Arc<<F as Filesystem>::Inode>);

/// What an inode is besides its attributes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    File(Arc<Pieces>),
    Directory(Names),
    Symlink(Arc<[u8]>),
    Special,
}

/// An inode as it is on the medium.
pub(super) struct Record<I: ?Sized> {
    /// Held as long as it has a name, so that its identity stays its own.
    pub(super) inode: Option<Arc<I>>,
    pub(super) attr: Attr,
    pub(super) body: Body,
    pub(super) xattrs: Xattrs,
}

impl<I: ?Sized> Record<I> {
    /// A new inode: empty, with the attributes that it is made with, and of no size.
    pub(super) fn new(inode: Arc<I>, now: Timespec, new: &NewInode<'_>) -> Self {
        let (body, rdev) = match new.kind {
            NewKind::Regular => (Body::File(Arc::default()), 0),
            NewKind::Directory => (Body::Directory(Names::new()), 0),
            NewKind::Symlink(target) => (Body::Symlink(target.into()), 0),
            NewKind::CharDevice(rdev) | NewKind::BlockDevice(rdev) => (Body::Special, rdev),
            NewKind::Fifo | NewKind::Socket => (Body::Special, 0),
        };
        let bare = Attr::bare(0, new.kind.file_type(), new.mode);
        let attr = Attr { uid: new.uid, gid: new.gid, rdev, atime: now, mtime: now, ctime: now, ..bare };
        Record { inode: Some(inode), attr, body, xattrs: Vec::new() }
    }

    /// The names, of a directory.
    pub(super) fn names(&self) -> Option<&Names> {
        if let Body::Directory(names) = &self.body { Some(names) } else { None }
    }
}

/// Takes an inode's present state. A directory's names are left out.
///
/// # Errors
/// Those of looking at it.
pub(super) fn taken<F: Filesystem>(cx: &Cx<'_>, fs: &F, inode: &Arc<F::Inode>) -> Result<Record<F::Inode>> {
    let cx = &cx.keeping_atime();
    let attr = fs.getattr(cx, inode)?;
    let body = match attr.kind {
        FileType::Regular => Body::File(Arc::new(pieces(cx, fs, inode, attr.size)?)),
        FileType::Directory => Body::Directory(Names::new()),
        FileType::Symlink => match fs.readlink(cx, inode)? {
            LinkTarget::Text(text) => Body::Symlink(text),
            LinkTarget::Jump(_) => return Err(Errno::OPNOTSUPP),
        },
        _ => Body::Special,
    };
    Ok(Record { inode: Some(inode.clone()), attr, body, xattrs: xattrs(cx, fs, inode)? })
}

/// The names in a directory and their inodes.
///
/// # Errors
/// Those of listing it.
pub(super) fn children<F: Filesystem>(cx: &Cx<'_>, fs: &F, dir: &Arc<F::Inode>) -> Result<Vec<Child<F>>> {
    let mut children = Vec::new();
    for name in look::names(cx, fs, dir)? {
        let child = fs.lookup(cx, At { dir, name: Name::new(&name)? })?;
        children.push((name, child));
    }
    Ok(children)
}

fn xattrs<F: Filesystem>(cx: &Cx<'_>, fs: &F, inode: &Arc<F::Inode>) -> Result<Xattrs> {
    let mut all = Vec::new();
    for name in look::xattr_names(cx, fs, inode)? {
        let value = fs.get_xattr(cx, inode, &name)?;
        all.push((name, value));
    }
    Ok(all)
}

/// The data of a file; the whole of it where the filesystem can't tell holes.
fn pieces<F: Filesystem>(cx: &Cx<'_>, fs: &F, inode: &Arc<F::Inode>, size: u64) -> Result<Pieces> {
    let file = fs.open(cx, inode, Access::READ)?;
    let mut pieces = Pieces::new();
    look::extents(cx, &*file, size, &mut |data| {
        let len = usize::try_from(data.end - data.start).map_err(|_| Errno::FBIG)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Errno::NOMEM)?;
        bytes.resize(len, 0);
        let mut sink = Sink::from_slice(&mut bytes);
        let mut done = 0;
        while done < len {
            match file.read_at(cx, data.start + done as u64, &mut sink)? {
                0 => break,
                more => done += more,
            }
        }
        pieces.push((data.start, bytes));
        Ok(())
    })?;
    Ok(pieces)
}
