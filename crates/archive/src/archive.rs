//! An archive as a filesystem.

use core::fmt;
use std::path::Path;
use std::sync::Arc;

use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, LinkTarget, NewInode, Remove, Rename, Run, RunEnd,
    SetXattr, Want,
};
use vnode_core::{Attr, Cx, Errno, NAME_MAX, Name, NameBuf, Result, SetAttr, StatFs};

use crate::builder::ArchiveBuilder;
use crate::error::ArchiveError;
use crate::index::Index;
use crate::listing::Listing;
use crate::member_path::Members;
use crate::node::{Body, Node};
use crate::packed::Room;
use crate::run;
use crate::tree::Tree;

/// The unit of sizes in `statfs(2)`.
const BLOCK: u64 = 4096;
/// The namespaces of extended attributes that there may be.
const NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
/// The longest name of one (`XATTR_NAME_MAX`).
const XATTR_NAME_MAX: usize = 255;

/// A tar or zip archive: a filesystem that never changes.
pub struct Archive {
    tree: Arc<Tree>,
    root: Arc<Node>,
    room: Arc<Room>,
    usage: Usage,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

/// What an archive has, and took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Inodes.
    pub inodes: u64,
    /// Bytes of the content of files, without holes.
    pub bytes: u64,
    /// Bytes that compressed content was unpacked to so far.
    pub unpacked: u64,
}

impl Archive {
    /// How one is opened with other than the usual limits.
    pub fn builder<'a>() -> ArchiveBuilder<'a> {
        ArchiveBuilder::default()
    }

    /// Opens the archive that a file of the host holds.
    ///
    /// # Errors
    /// [`ArchiveError`], as [`ArchiveBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> core::result::Result<Archive, ArchiveError> {
        Archive::builder().open(path)
    }

    pub(crate) fn new(
        index: Index,
        room: Arc<Room>,
        unpacked: u64,
    ) -> core::result::Result<Archive, ArchiveError> {
        let (tree, inodes) = index.finish()?;
        let root =
            tree.node(0).map_err(|errno| ArchiveError::Read(std::io::Error::other(errno.text())))?.clone();
        let bytes = tree.nodes.iter().map(|node| match &node.body {
            Body::File(content) => content.stored(),
            Body::Packed(packed) => packed.size(),
            _ => 0,
        });
        let bytes = bytes.fold(0, u64::saturating_add);
        Ok(Archive { usage: Usage { inodes, bytes, unpacked }, tree: Arc::new(tree), root, room })
    }

    /// What it has, and took.
    pub fn usage(&self) -> Usage {
        let Usage { inodes, bytes, unpacked } = self.usage;
        Usage { inodes, bytes, unpacked: unpacked.saturating_add(self.room.unpacked()) }
    }

    /// What it holds, in the order in which the names were made, each directory before what is in it. Directories that no
    /// member told of are left out, and so is the root, unless a member told of it.
    pub fn members(&self) -> Members<'_> {
        Members::new(&self.tree)
    }
}

impl Filesystem for Archive {
    type Inode = Node;

    fn caps(&self) -> Caps {
        Caps::READ_ONLY | Caps::SYMLINKS | Caps::HARDLINKS | Caps::XATTR | Caps::SPECIAL | Caps::RUNS
    }

    fn root(&self) -> Arc<Node> {
        self.root.clone()
    }

    fn statfs(&self, _cx: &Cx<'_>) -> Result<StatFs> {
        Ok(StatFs {
            block_size: BLOCK as u32,
            blocks: self.usage.bytes.div_ceil(BLOCK),
            files: self.usage.inodes,
            name_max: NAME_MAX as u32,
            read_only: true,
            ..StatFs::default()
        })
    }

    fn lookup(&self, _cx: &Cx<'_>, at: At<'_, Node>) -> Result<Arc<Node>> {
        at.dir.directory()?;
        self.tree.find(at.dir.number(), at.name.as_bytes()).cloned()
    }

    fn parent(&self, _cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Arc<Node>> {
        self.tree.node(dir.directory()?.parent).cloned()
    }

    fn name_of(&self, _cx: &Cx<'_>, dir: &Arc<Node>, out: &mut NameBuf) -> Result<()> {
        if let Some(entry) = dir.directory()?.entry {
            let entry = self.tree.entries.get(entry as usize).ok_or(Errno::IO)?;
            out.set(Name::new(self.tree.name(entry))?);
        }
        Ok(())
    }

    fn create(&self, _cx: &Cx<'_>, _at: At<'_, Node>, _new: NewInode<'_>) -> Result<Arc<Node>> {
        Err(Errno::ROFS)
    }

    fn link(&self, _cx: &Cx<'_>, _at: At<'_, Node>, _target: &Arc<Node>) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn remove(&self, _cx: &Cx<'_>, _at: At<'_, Node>, _what: Remove) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn rename(&self, _cx: &Cx<'_>, _from: At<'_, Node>, _to: At<'_, Node>, _how: Rename) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn readlink(&self, _cx: &Cx<'_>, link: &Arc<Node>) -> Result<LinkTarget> {
        match &link.body {
            Body::Symlink(target) => Ok(LinkTarget::Text(target.clone())),
            _ => Err(Errno::INVAL),
        }
    }

    fn getattr(&self, _cx: &Cx<'_>, inode: &Arc<Node>) -> Result<Attr> {
        Ok(inode.attr())
    }

    fn setattr(&self, _cx: &Cx<'_>, _inode: &Arc<Node>, _set: &SetAttr) -> Result<()> {
        Err(Errno::ROFS)
    }

    /// Unpacks a compressed member of a zip archive when it is opened first.
    fn open(&self, cx: &Cx<'_>, inode: &Arc<Node>, access: Access) -> Result<Arc<dyn File>> {
        if access.contains(Access::WRITE) {
            return Err(Errno::ROFS);
        }
        match &inode.body {
            Body::File(_) => {}
            Body::Packed(packed) => packed.unpack(&mut || cx.check_canceled())?,
            _ => return Err(Errno::NXIO),
        }
        Ok(inode.clone())
    }

    fn open_dir(&self, _cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Box<dyn DirStream>> {
        dir.directory()?;
        Ok(Box::new(Listing { tree: self.tree.clone(), dir: dir.clone() }))
    }

    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Node>,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<Node>> {
        run::resolve(&self.tree, cx, dir, run, want, None)
    }

    fn open_run(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Node>,
        run: &mut Run<'_>,
        access: Access,
    ) -> Result<RunEnd<Node>> {
        run::resolve(&self.tree, cx, dir, run, Want::Inode, Some(access))
    }

    fn get_xattr(&self, _cx: &Cx<'_>, inode: &Arc<Node>, name: &[u8]) -> Result<Arc<[u8]>> {
        check_name(name)?;
        let xattrs = &inode.meta.xattrs;
        let found = xattrs.binary_search_by(|(there, _)| (**there).cmp(name)).ok();
        found.and_then(|at| xattrs.get(at)).map(|(_, value)| value.clone()).ok_or(Errno::NODATA)
    }

    fn set_xattr(
        &self,
        _cx: &Cx<'_>,
        _inode: &Arc<Node>,
        _name: &[u8],
        _value: &[u8],
        _how: SetXattr,
    ) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn list_xattr(&self, _cx: &Cx<'_>, inode: &Arc<Node>, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        // As Linux's tmpfs lists them.
        inode.meta.xattrs.iter().rev().for_each(|(name, _)| emit(name));
        Ok(())
    }

    fn remove_xattr(&self, _cx: &Cx<'_>, _inode: &Arc<Node>, _name: &[u8]) -> Result<()> {
        Err(Errno::ROFS)
    }
}

/// Checks a name (`xattr_resolve_name` in Linux).
fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > XATTR_NAME_MAX {
        return Err(Errno::RANGE);
    }
    match NAMESPACES.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
        Some(b"") => Err(Errno::INVAL),
        Some(_) => Ok(()),
        None => Err(Errno::OPNOTSUPP),
    }
}
