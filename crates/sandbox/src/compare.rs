//! Whether two inodes are the same to whoever looks at them.

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::sync::Arc;

use vnode_core::fs::{Access, At, Filesystem as _, Inode, LinkTarget};
use vnode_core::io::Sink;
use vnode_core::{Attr, Cx, Errno, FileType, FilesystemRef, Name, Result};

/// Bytes that are compared at once.
const PIECE: usize = 64 << 10;

/// Names of extended attributes, and their values.
type Attributes = BTreeMap<Box<[u8]>, Arc<[u8]>>;

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
            if !inode.kind().is_dir() {
                return Ok(None);
            }
            inode = match filesystem.lookup(cx, At { dir: &inode, name: Name::new(name)? }) {
                Ok(inode) => inode,
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(errno),
            };
        }
        Found::new(cx, filesystem, inode).map(Some)
    }

    /// Its type.
    pub fn kind(&self) -> FileType {
        self.attr.kind
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

    /// Reads a file's content at `offset`; answers how many bytes, 0 at the end.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut [u8]) -> Result<usize> {
        self.filesystem.open(cx, &self.inode, Access::READ)?.read_at(cx, offset, &mut Sink::from_slice(into))
    }

    fn xattrs(&self, cx: &Cx<'_>) -> Result<Attributes> {
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

/// Whether permissions, owner and `user.*` attributes are the same. Times and numbers of links don't count.
pub(crate) fn same_attributes(cx: &Cx<'_>, old: &Found, new: &Found) -> Result<bool> {
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
    match old.kind() {
        FileType::Regular => same_bytes(cx, old, new),
        FileType::Symlink => Ok(old.target(cx)? == new.target(cx)?),
        FileType::CharDevice | FileType::BlockDevice => Ok(old.attr.rdev == new.attr.rdev),
        FileType::Directory | FileType::Fifo | FileType::Socket => Ok(true),
    }
}

/// Whatever times say: a guest can set those.
fn same_bytes(cx: &Cx<'_>, old: &Found, new: &Found) -> Result<bool> {
    if old.attr.size != new.attr.size {
        return Ok(false);
    }
    let open = |found: &Found| found.filesystem.open(cx, &found.inode, Access::READ);
    let (old_file, new_file) = (open(old)?, open(new)?);
    let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    loop {
        cx.check_canceled()?;
        let read = old_file.read_at(cx, at, &mut Sink::from_slice(&mut one))?;
        let also = new_file.read_at(cx, at, &mut Sink::from_slice(&mut other))?;
        if one.get(..read) != other.get(..also) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
        at += read as u64;
    }
}
