//! The filesystem.

use core::fmt;
use std::sync::Arc;

use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, LinkTarget, NewInode, NewKind, Remove, Rename, Run,
    RunEnd, SetXattr, Want,
};
use vnode_core::{Attr, Cx, Errno, NAME_MAX, Name, NameBuf, Result, SetAttr, StatFs};

use crate::builder::{Builder, time_of_day};
use crate::listing::Listing;
use crate::node::{Body, Node, Shared};
use crate::place::Above;
use crate::quota::{PAGE, Quota};
use crate::{names, rename, run};

/// The number of Linux's tmpfs among filesystems (`TMPFS_MAGIC`).
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// A filesystem in memory; see the [crate's documentation](crate).
///
/// ```
/// use std::sync::Arc;
/// use vnode_core::FilesystemRef;
/// use vnode_memory::Memory;
///
/// let memory = Arc::new(Memory::builder().bounded(64 << 20).build());
/// let mounted = FilesystemRef::new::<Memory>(memory.clone());
/// assert_eq!(memory.usage().inodes, 1);
/// # drop(mounted);
/// ```
pub struct Memory {
    root: Arc<Node>,
    shared: Arc<Shared>,
}

/// What a filesystem uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes, as they count against [`Builder::max_bytes`].
    pub bytes: u64,
    /// Inodes, as they count against [`Builder::max_inodes`].
    pub inodes: u64,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty filesystem without limits.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// The choices for a new filesystem.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn with(choices: &Builder) -> Self {
        let shared = Shared::new(Quota::new(choices.max_bytes, choices.max_inodes));
        let new =
            NewInode { kind: NewKind::Directory, mode: choices.mode, uid: choices.uid, gid: choices.gid };
        let now = choices.time.unwrap_or_else(time_of_day);
        let root = Node::root(&shared, &new, now);
        Memory { root, shared }
    }

    pub(crate) fn root_node(&self) -> &Arc<Node> {
        &self.root
    }

    /// What is used.
    pub fn usage(&self) -> Usage {
        let quota = &self.shared.quota;
        Usage { bytes: quota.bytes.used(), inodes: quota.inodes.used() }
    }
}

impl Filesystem for Memory {
    type Inode = Node;

    fn caps(&self) -> Caps {
        Caps::SYMLINKS | Caps::HARDLINKS | Caps::EXCHANGE | Caps::XATTR | Caps::SPECIAL | Caps::RUNS
    }

    fn root(&self) -> Arc<Node> {
        self.root.clone()
    }

    /// As Linux's tmpfs: without a limit, the counts are 0.
    fn statfs(&self, _cx: &Cx<'_>) -> Result<StatFs> {
        let Quota { bytes, inodes, .. } = &self.shared.quota;
        let blocks_free = bytes.limit().saturating_sub(bytes.used()) / PAGE;
        Ok(StatFs {
            kind: TMPFS_MAGIC,
            block_size: PAGE as u32,
            blocks: bytes.limit() / PAGE,
            blocks_free,
            blocks_available: blocks_free,
            files: inodes.limit(),
            files_free: inodes.limit().saturating_sub(inodes.used()),
            name_max: NAME_MAX as u32,
            read_only: false,
        })
    }

    fn lookup(&self, _cx: &Cx<'_>, at: At<'_, Node>) -> Result<Arc<Node>> {
        let entries = at.dir.directory()?.entries.read();
        entries.get(at.name.as_bytes()).cloned().ok_or(Errno::NOENT)
    }

    fn parent(&self, _cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Arc<Node>> {
        match &dir.directory()?.place.read().above {
            Above::Root => Ok(dir.clone()),
            Above::Linked(parent) => parent.upgrade().ok_or(Errno::NOENT),
            Above::Removed(parent) => Ok(parent.clone()),
        }
    }

    fn name_of(&self, _cx: &Cx<'_>, dir: &Arc<Node>, out: &mut NameBuf) -> Result<()> {
        let place = dir.directory()?.place.read();
        match &place.above {
            Above::Root => *out = NameBuf::new(),
            Above::Linked(_) => out.set(Name::new(&place.name)?),
            Above::Removed(_) => return Err(Errno::NOENT),
        }
        Ok(())
    }

    fn create(&self, cx: &Cx<'_>, at: At<'_, Node>, new: NewInode<'_>) -> Result<Arc<Node>> {
        names::create(cx, at, &new)
    }

    fn link(&self, cx: &Cx<'_>, at: At<'_, Node>, target: &Arc<Node>) -> Result<()> {
        names::link(cx, at, target)
    }

    fn remove(&self, cx: &Cx<'_>, at: At<'_, Node>, what: Remove) -> Result<()> {
        names::remove(cx, at, what)
    }

    fn rename(&self, cx: &Cx<'_>, from: At<'_, Node>, to: At<'_, Node>, how: Rename) -> Result<()> {
        rename::rename(cx, from, to, how)
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Arc<Node>) -> Result<LinkTarget> {
        let Body::Symlink(target) = &link.body else { return Err(Errno::INVAL) };
        link.meta.accessed(cx);
        Ok(LinkTarget::Text(target.clone()))
    }

    fn getattr(&self, _cx: &Cx<'_>, inode: &Arc<Node>) -> Result<Attr> {
        Ok(inode.attr())
    }

    fn setattr(&self, cx: &Cx<'_>, inode: &Arc<Node>, set: &SetAttr) -> Result<()> {
        inode.set_attr(cx, set)
    }

    fn open(&self, _cx: &Cx<'_>, inode: &Arc<Node>, _access: Access) -> Result<Arc<dyn File>> {
        match &inode.body {
            Body::Regular(_) => Ok(inode.clone()),
            _ => Err(Errno::NXIO),
        }
    }

    fn open_dir(&self, _cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Box<dyn DirStream>> {
        Ok(Box::new(Listing::new(dir)?))
    }

    fn sync(&self, _cx: &Cx<'_>, _inode: &Arc<Node>, _data_only: bool) -> Result<()> {
        Ok(())
    }

    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Node>,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<Node>> {
        run::resolve(cx, dir, run, want)
    }

    fn get_xattr(&self, _cx: &Cx<'_>, inode: &Arc<Node>, name: &[u8]) -> Result<Arc<[u8]>> {
        inode.get_xattr(name)
    }

    fn set_xattr(
        &self,
        cx: &Cx<'_>,
        inode: &Arc<Node>,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<()> {
        inode.set_xattr(cx, name, value, how)
    }

    fn list_xattr(&self, _cx: &Cx<'_>, inode: &Arc<Node>, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        inode.xattr_names().iter().for_each(|name| emit(name));
        Ok(())
    }

    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Arc<Node>, name: &[u8]) -> Result<()> {
        inode.remove_xattr(cx, name)
    }
}
