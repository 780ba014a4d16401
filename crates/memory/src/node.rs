//! The inode.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use vnode_core::fs::{Inode, InodeId, NewInode, NewKind};
use vnode_core::{Attr, Errno, FileType, Mode, Result, Timespec};

use crate::content::Content;
use crate::entries::Entries;
use crate::meta::{Meta, MetaLock};
use crate::place::{Above, Place};
use crate::quota::{PAGE, Quota};
use crate::rank::{CONTENT, ENTRIES, PLACE, RENAME, RankedMutex, RankedRwLock};

/// What Linux's tmpfs counts as the size of a directory entry (`BOGO_DIRENT_SIZE`), `.` and `..` included.
const DIRENT_SIZE: u64 = 20;

/// A symbolic link's target from this length on takes a page, as on Linux's tmpfs (`SHORT_SYMLINK_LEN`).
const LONG_TARGET: usize = 128;

/// What all inodes of a filesystem share.
pub(crate) struct Shared {
    pub(crate) quota: Quota,
    /// Held while something moves between directories.
    pub(crate) rename: RankedMutex<(), RENAME>,
    next_ino: AtomicU64,
}

impl Shared {
    pub(crate) fn new(quota: Quota) -> Arc<Self> {
        Arc::new(Shared { quota, rename: RankedMutex::new(()), next_ino: AtomicU64::new(1) })
    }
}

/// A directory's own.
pub(crate) struct Directory {
    pub(crate) entries: RankedRwLock<Entries, ENTRIES>,
    pub(crate) place: Box<RankedRwLock<Place, PLACE>>,
}

/// What an inode is besides its attributes.
pub(crate) enum Body {
    Regular(RankedRwLock<Content, CONTENT>),
    Directory(Directory),
    Symlink(Arc<[u8]>),
    /// A FIFO, a socket, a device with its number.
    Special(u32),
}

/// An inode of a [`Memory`](crate::Memory) filesystem.
pub struct Node {
    ino: u64,
    kind: FileType,
    pub(crate) meta: MetaLock,
    pub(crate) body: Body,
    pub(crate) shared: Arc<Shared>,
    btime: Timespec,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("ino", &self.ino).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Inode for Node {
    fn id(&self) -> InodeId {
        InodeId(self.ino, 0)
    }

    fn kind(&self) -> FileType {
        self.kind
    }
}

/// The pages that a new inode takes.
fn pages_of(new: &NewInode<'_>) -> u64 {
    u64::from(matches!(new.kind, NewKind::Symlink(target) if target.len() >= LONG_TARGET))
}

impl Node {
    /// Makes an inode, which has the place given if it is a directory.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        new: &NewInode<'_>,
        now: Timespec,
        place: impl FnOnce() -> Place,
    ) -> Result<Arc<Self>> {
        shared.quota.inodes.take(1)?;
        if let Err(error) = shared.quota.take_pages(pages_of(new)) {
            shared.quota.inodes.give(1);
            return Err(error);
        }
        Ok(Self::counted(shared, new, now, place))
    }

    /// Makes a root directory, for which there is always room.
    pub(crate) fn root(shared: &Arc<Shared>, new: &NewInode<'_>, now: Timespec) -> Arc<Self> {
        shared.quota.inodes.take_root();
        Self::counted(shared, new, now, Place::root)
    }

    /// Makes an inode that the quota has counted.
    fn counted(
        shared: &Arc<Shared>,
        new: &NewInode<'_>,
        now: Timespec,
        place: impl FnOnce() -> Place,
    ) -> Arc<Self> {
        let target = if let NewKind::Symlink(target) = new.kind { target } else { &[] };
        let body = match new.kind {
            NewKind::Regular => Body::Regular(RankedRwLock::new(Content::new())),
            NewKind::Directory => {
                let place = Box::new(RankedRwLock::new(place()));
                Body::Directory(Directory { entries: RankedRwLock::default(), place })
            }
            NewKind::Symlink(target) => Body::Symlink(target.into()),
            NewKind::Fifo | NewKind::Socket => Body::Special(0),
            NewKind::CharDevice(rdev) | NewKind::BlockDevice(rdev) => Body::Special(rdev),
        };
        let kind = new.kind.file_type();
        let meta = Meta {
            mode: if kind.is_symlink() { Mode::from_raw(0o777) } else { new.mode },
            uid: new.uid,
            gid: new.gid,
            nlink: if kind.is_dir() { 2 } else { 1 },
            size: if kind.is_dir() { 2 * DIRENT_SIZE } else { target.len() as u64 },
            pages: pages_of(new),
            atime: now,
            mtime: now,
            ctime: now,
            xattrs: None,
        };
        let ino = shared.next_ino.fetch_add(1, Ordering::Relaxed);
        Arc::new(Node { ino, kind, meta: MetaLock::new(meta), body, shared: shared.clone(), btime: now })
    }

    /// Its number.
    pub(crate) fn ino(&self) -> u64 {
        self.ino
    }

    /// The directory in it.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub(crate) fn directory(&self) -> Result<&Directory> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// A regular file's content.
    ///
    /// # Errors
    /// `EINVAL`: not a regular file.
    pub(crate) fn content(&self) -> Result<&RankedRwLock<Content, CONTENT>> {
        match &self.body {
            Body::Regular(content) => Ok(content),
            _ => Err(Errno::INVAL),
        }
    }

    pub(crate) fn attr(&self) -> Attr {
        self.attr_of(&self.meta.read())
    }

    /// The attributes, of which `meta` are those that change.
    pub(crate) fn attr_of(&self, meta: &Meta) -> Attr {
        Attr {
            dev: 0,
            ino: self.ino,
            kind: self.kind,
            mode: meta.mode,
            nlink: meta.nlink,
            uid: meta.uid,
            gid: meta.gid,
            rdev: if let Body::Special(rdev) = self.body { rdev } else { 0 },
            size: meta.size,
            blocks: meta.pages * (PAGE / 512),
            blksize: PAGE as u32,
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: Some(self.btime),
        }
    }

    /// A directory's entries changed to these.
    pub(crate) fn entries_changed(&self, now: Timespec, entries: &Entries) {
        let mut meta = self.meta.write();
        meta.modified(now);
        self.entries_counted(&mut meta, entries);
    }

    /// A directory has these entries.
    pub(crate) fn entries_counted(&self, meta: &mut Meta, entries: &Entries) {
        meta.size = DIRENT_SIZE * (2 + entries.len() as u64);
        meta.nlink = 2 + entries.subdirs();
    }

    /// A name of it was taken away; a directory has only the one.
    pub(crate) fn unlinked(&self, now: Timespec) {
        let mut meta = self.meta.write();
        meta.ctime = now;
        meta.nlink = if self.kind.is_dir() { 0 } else { meta.nlink.saturating_sub(1) };
        if meta.nlink > 0 {
            self.shared.quota.inodes.give(1);
        }
    }
}

impl Directory {
    /// Takes away what it holds: directories are put into `pending`, all else is dropped.
    fn let_go(&mut self, pending: &mut Vec<Arc<Node>>) {
        pending.extend(self.entries.get_mut().drain().filter(|node| node.kind.is_dir()));
        if let Above::Removed(parent) = core::mem::replace(&mut self.place.get_mut().above, Above::Root) {
            pending.push(parent);
        }
    }
}

impl Drop for Node {
    /// Gives back what it took; lets go of a tree without recursion, however deep it is.
    fn drop(&mut self) {
        let quota = &self.shared.quota;
        let meta = self.meta.get_mut();
        if let Some(xattrs) = &meta.xattrs {
            quota.bytes.give(xattrs.cost());
        }
        quota.inodes.give(1);
        match &mut self.body {
            Body::Regular(content) => content.get_mut().release(quota),
            Body::Symlink(_) => quota.give_pages(meta.pages),
            Body::Special(_) => {}
            Body::Directory(directory) => {
                let mut pending = Vec::new();
                directory.let_go(&mut pending);
                while let Some(node) = pending.pop() {
                    if let Some(mut node) = Arc::into_inner(node)
                        && let Body::Directory(directory) = &mut node.body
                    {
                        directory.let_go(&mut pending);
                    }
                }
            }
        }
    }
}
