//! Whether two inodes are the same to whoever looks at them.

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::sync::Arc;

use vnode_core::fs::{Access, At, File, Filesystem as _, Inode, LinkTarget, SeekFor};
use vnode_core::io::Sink;
use vnode_core::{Attr, Cx, Errno, FileType, FilesystemRef, Name, Result};

/// Bytes that are compared at once.
const PIECE: usize = 64 << 10;

/// Names of extended attributes, and their values.
pub type Attributes = BTreeMap<Box<[u8]>, Arc<[u8]>>;

/// An inode, as it is or as it was.
#[derive(Clone)]
pub struct Found {
    /// Where it is.
    pub filesystem: FilesystemRef,
    /// The inode.
    pub inode: Arc<dyn Inode>,
    /// Its attributes.
    pub attr: Attr,
}

impl core::fmt::Debug for Found {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Found").field("attr", &self.attr).finish_non_exhaustive()
    }
}

impl Found {
    pub(crate) fn new(cx: &Cx<'_>, filesystem: &FilesystemRef, inode: Arc<dyn Inode>) -> Result<Self> {
        let attr = filesystem.getattr(cx, &inode)?;
        Ok(Found { filesystem: filesystem.clone(), inode, attr })
    }

    /// What a path leads to, links not followed; nothing if there is no such thing.
    pub(crate) fn at(cx: &Cx<'_>, filesystem: &FilesystemRef, path: &[u8]) -> Result<Option<Self>> {
        let mut inode = filesystem.root();
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            inode = match below(cx, filesystem, &inode, name)? {
                Some(inode) => inode,
                None => return Ok(None),
            };
        }
        Found::new(cx, filesystem, inode).map(Some)
    }

    /// What a name in it stands for, if it is a directory that has such a name.
    ///
    /// # Errors
    /// Those of looking it up. `EINVAL`, `ENAMETOOLONG`: no name.
    pub fn child(&self, cx: &Cx<'_>, name: &[u8]) -> Result<Option<Found>> {
        match below(cx, &self.filesystem, &self.inode, name)? {
            Some(inode) => Found::new(cx, &self.filesystem, inode).map(Some),
            None => Ok(None),
        }
    }

    /// Its type.
    pub fn kind(&self) -> FileType {
        self.attr.kind
    }

    /// Which device it is, if it is one: major and minor number (`makedev(3)`).
    pub fn device(&self) -> Option<(u32, u32)> {
        let number = self.attr.rdev;
        match self.kind() {
            FileType::CharDevice | FileType::BlockDevice => {
                Some(((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00)))
            }
            _ => None,
        }
    }

    /// Where it leads, if it is a symbolic link.
    ///
    /// # Errors
    /// `EINVAL`: it is none. Those of reading it.
    pub fn target(&self, cx: &Cx<'_>) -> Result<Arc<[u8]>> {
        match self.filesystem.readlink(cx, &self.inode)? {
            LinkTarget::Text(text) => Ok(text),
            LinkTarget::Jump(_) => Err(Errno::INVAL),
        }
    }

    /// The names in a directory, in their order.
    ///
    /// # Errors
    /// `ENOTDIR`, and those of listing it.
    pub fn names(&self, cx: &Cx<'_>) -> Result<Vec<Box<[u8]>>> {
        let mut names = Vec::new();
        self.filesystem.open_dir(cx, &self.inode)?.list(cx, 0, &mut |entry| {
            names.push(entry.name.into());
            ControlFlow::Continue(())
        })?;
        names.sort_unstable();
        Ok(names)
    }

    /// A file's content, for reading.
    ///
    /// # Errors
    /// `ENXIO`: it is no regular file. Those of opening it.
    pub fn open(&self, cx: &Cx<'_>) -> Result<Arc<dyn File>> {
        self.filesystem.open(cx, &self.inode, Access::READ)
    }

    /// Reads a file's content at `offset`; answers how many bytes, 0 at the end. It is opened for each call: who reads on
    /// opens it once, with [`Found::open`].
    ///
    /// # Errors
    /// Those of reading it.
    pub fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut [u8]) -> Result<usize> {
        self.open(cx)?.read_at(cx, offset, &mut Sink::from_slice(into))
    }

    /// Its extended attributes, as far as they are its user's: `user.*`.
    ///
    /// # Errors
    /// Those of reading them.
    pub fn xattrs(&self, cx: &Cx<'_>) -> Result<Attributes> {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        match self.filesystem.list_xattr(cx, &self.inode, &mut |name| names.push(name.into())) {
            Err(Errno::OPNOTSUPP) => return Ok(Attributes::new()),
            listed => listed?,
        }
        let value =
            |name: Box<[u8]>| self.filesystem.get_xattr(cx, &self.inode, &name).map(|value| (name, value));
        names.into_iter().filter(|name| name.starts_with(b"user.")).map(value).collect()
    }
}

/// What a name in a directory stands for; nothing if there is no such thing.
fn below(
    cx: &Cx<'_>,
    filesystem: &FilesystemRef,
    dir: &Arc<dyn Inode>,
    name: &[u8],
) -> Result<Option<Arc<dyn Inode>>> {
    if !dir.kind().is_dir() {
        return Ok(None);
    }
    match filesystem.lookup(cx, At { dir, name: Name::new(name)? }) {
        Ok(inode) => Ok(Some(inode)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether permissions, owner and `user.*` attributes are the same. Times and numbers of links don't count.
pub(crate) fn same_attributes(cx: &Cx<'_>, old: &Found, new: &Found) -> Result<bool> {
    if is_one(old, new) {
        return Ok(true);
    }
    let of = |attr: &Attr| (attr.mode, attr.uid, attr.gid);
    if of(&old.attr) != of(&new.attr) {
        return Ok(false);
    }
    if !matches!(old.kind(), FileType::Regular | FileType::Directory) {
        return Ok(true);
    }
    Ok(old.xattrs(cx)? == new.xattrs(cx)?)
}

/// Whether two of one type have the same content: bytes, where a link leads, the number of a device.
pub(crate) fn same_content(cx: &Cx<'_>, old: &Found, new: &Found) -> Result<bool> {
    if is_one(old, new) {
        return Ok(true);
    }
    match old.kind() {
        FileType::Regular => same_bytes(cx, old, new),
        FileType::Symlink => Ok(old.target(cx)? == new.target(cx)?),
        FileType::CharDevice | FileType::BlockDevice => Ok(old.attr.rdev == new.attr.rdev),
        FileType::Directory | FileType::Fifo | FileType::Socket => Ok(true),
    }
}

fn is_one(old: &Found, new: &Found) -> bool {
    Arc::ptr_eq(&old.inode, &new.inode)
}

/// Whatever times say: a guest can set those. What is a hole on both sides isn't read.
fn same_bytes(cx: &Cx<'_>, old: &Found, new: &Found) -> Result<bool> {
    if old.attr.size != new.attr.size {
        return Ok(false);
    }
    let (old_file, new_file) = (old.open(cx)?, new.open(cx)?);
    let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    // To ask for holes is worth it where there may be some: at the start, and behind zeros.
    let mut in_zeros = true;
    loop {
        cx.check_canceled()?;
        if in_zeros {
            let data = |file: &dyn File| data_from(cx, file, at, old.attr.size);
            at = data(&*old_file).min(data(&*new_file));
        }
        let read = old_file.read_at(cx, at, &mut Sink::from_slice(&mut one))?;
        let also = new_file.read_at(cx, at, &mut Sink::from_slice(&mut other))?;
        let piece = one.get(..read).unwrap_or_default();
        if Some(piece) != other.get(..also) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
        in_zeros = piece.iter().all(|&byte| byte == 0);
        at += read as u64;
    }
}

/// Where the first data is at or behind an offset, or the end of the file; the offset itself where nobody can tell.
pub(crate) fn data_from(cx: &Cx<'_>, file: &dyn File, at: u64, end: u64) -> u64 {
    match file.seek_data_or_hole(cx, SeekFor::Data, at) {
        Ok(data) => data.max(at),
        Err(Errno::NXIO) => end.max(at),
        Err(_) => at,
    }
}
