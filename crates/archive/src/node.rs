//! Inodes. A file is its own open file, so that opening allocates nothing.

use std::sync::Arc;

use vnode_core::fs::{File, InPlace, Inode, InodeId, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Cx, Errno, FileType, Mode, Result, Timespec};

use crate::content::{Content, blocks_of};
use crate::packed::Packed;

/// From this length on the target of a symbolic link takes a page on Linux's tmpfs (`SHORT_SYMLINK_LEN`).
const LONG_TARGET: usize = 128;
/// What Linux's tmpfs counts as the size of a directory entry (`BOGO_DIRENT_SIZE`), `.` and `..` included.
const DIRENT_SIZE: u64 = 20;

/// The inode of an [`Archive`](crate::Archive).
#[derive(Debug)]
pub struct Node {
    /// One more than its place among the nodes.
    pub(crate) ino: u64,
    pub(crate) nlink: u32,
    pub(crate) meta: Meta,
    pub(crate) body: Body,
}

/// What every member says of itself.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) mode: Mode,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timespec,
    pub(crate) xattrs: Xattrs,
}

/// Extended attributes: names with their namespaces, and values.
pub(crate) type Xattrs = Vec<(Box<[u8]>, Arc<[u8]>)>;

/// What an inode is.
#[derive(Debug)]
pub(crate) enum Body {
    Directory(Directory),
    /// A file that is read where it lies.
    File(Content),
    /// A file that is unpacked when it is opened first.
    Packed(Box<Packed>),
    Symlink(Arc<[u8]>),
    Fifo,
    CharDevice(u32),
    BlockDevice(u32),
}

/// A directory: its entries are some that follow one another in the tree's list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Directory {
    /// The first of its entries.
    pub(crate) first: u32,
    /// How many there are.
    pub(crate) count: u32,
    /// The node above; the root's is itself.
    pub(crate) parent: u32,
    /// Its own entry there; the root has none.
    pub(crate) entry: Option<u32>,
    /// A member told its attributes; otherwise it was made for what is in it.
    pub(crate) is_member: bool,
}

impl Node {
    /// Its attributes.
    #[inline]
    pub(crate) fn attr(&self) -> Attr {
        let Meta { mode, uid, gid, mtime, .. } = self.meta;
        let (size, blocks) = match &self.body {
            Body::Directory(directory) => (DIRENT_SIZE * (2 + u64::from(directory.count)), 0),
            Body::File(content) => (content.size(), content.blocks()),
            Body::Packed(packed) => (packed.size(), blocks_of(packed.size())),
            Body::Symlink(target) if target.len() < LONG_TARGET => (target.len() as u64, 0),
            Body::Symlink(target) => (target.len() as u64, blocks_of(target.len() as u64)),
            _ => (0, 0),
        };
        let rdev = match self.body {
            Body::CharDevice(rdev) | Body::BlockDevice(rdev) => rdev,
            _ => 0,
        };
        Attr {
            nlink: self.nlink,
            uid,
            gid,
            rdev,
            size,
            blocks,
            atime: mtime,
            mtime,
            ctime: mtime,
            ..Attr::bare(self.ino, self.kind(), mode)
        }
    }

    /// Its place among the nodes.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        (self.ino - 1) as u32
    }

    /// Its entries, of a directory.
    pub(crate) fn directory(&self) -> Result<&Directory> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// Its content, of a regular file: unpacked now if it is packed.
    ///
    /// # Errors
    /// `EIO`: it can't be unpacked. `ENXIO`: not a regular file.
    pub(crate) fn content(&self) -> Result<&Content> {
        match &self.body {
            Body::File(content) => Ok(content),
            Body::Packed(packed) => packed.content(),
            _ => Err(Errno::NXIO),
        }
    }
}

impl Inode for Node {
    fn id(&self) -> InodeId {
        InodeId(self.ino, 0)
    }

    #[inline]
    fn kind(&self) -> FileType {
        match self.body {
            Body::Directory(_) => FileType::Directory,
            Body::File(_) | Body::Packed(_) => FileType::Regular,
            Body::Symlink(_) => FileType::Symlink,
            Body::Fifo => FileType::Fifo,
            Body::CharDevice(_) => FileType::CharDevice,
            Body::BlockDevice(_) => FileType::BlockDevice,
        }
    }
}

impl File for Node {
    fn read_at(&self, _cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        self.content()?.read(offset, into)
    }

    fn write_at(&self, _cx: &Cx<'_>, _offset: u64, _from: &mut Source<'_>) -> Result<usize> {
        Err(Errno::ROFS)
    }

    fn append(&self, _cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        // To append nothing asks where the end is.
        if from.remaining() > 0 { Err(Errno::ROFS) } else { Ok((0, self.content()?.size())) }
    }

    fn set_len(&self, _cx: &Cx<'_>, _len: u64) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn seek_data_or_hole(&self, _cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64> {
        self.content()?.seek(what, offset)
    }

    fn lend(&self, _cx: &Cx<'_>, take: &mut dyn FnMut(&dyn File) -> Result<u64>) -> Result<u64> {
        take(self)
    }

    fn in_place(&self, _cx: &Cx<'_>, offset: u64, len: u64) -> Result<InPlace> {
        self.content()?.in_place(offset, len)
    }
}
