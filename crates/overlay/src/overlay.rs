//! The filesystem.

use core::any::Any;
use core::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, Inode, LinkTarget, NewInode, OpenedNew, Remove, Rename,
    Run, RunEnd, SetXattr, Want,
};
use vnode_core::{Attr, Cx, Errno, FileType, Name, NameBuf, Result, SetAttr, StatFs};

use crate::builder::Builder;
use crate::file::OverlayFile;
use crate::layers::Layers;
use crate::listing::Listing;
use crate::node::Node;
use crate::table::Table;
use crate::unmarked::Unmarked;

/// The number of Linux's overlayfs among filesystems (`OVERLAYFS_SUPER_MAGIC`).
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

/// What all that belongs to an overlay shares.
pub(crate) struct Shared {
    pub(crate) layers: Layers,
    pub(crate) table: Arc<Table>,
    /// Held while something moves between directories.
    pub(crate) renames: Mutex<()>,
    /// Copies whose origins the upper can't keep.
    pub(crate) unmarked: Unmarked,
    /// What is let go with the overlay.
    _held: Option<Arc<dyn Any + Send + Sync>>,
}

impl Shared {
    pub(crate) fn new(
        layers: Layers,
        table: Arc<Table>,
        held: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Arc<Self> {
        Arc::new(Shared {
            layers,
            table,
            renames: Mutex::new(()),
            unmarked: Unmarked::default(),
            _held: held,
        })
    }
}

/// One filesystem made of several: an upper, which takes all changes, over lowers, which are only read; see the
/// [crate's documentation](crate).
pub struct Overlay {
    shared: Arc<Shared>,
    root: Arc<Node>,
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("lowers", &self.shared.layers.lowers.len()).finish_non_exhaustive()
    }
}

impl Overlay {
    /// The choices for a new overlay.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(shared: Arc<Shared>, root: Arc<Node>) -> Self {
        Overlay { shared, root }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Shared {
    /// The nodes that are held for their names hold what holds them.
    fn drop(&mut self) {
        self.table.known.clear();
    }
}

impl Filesystem for Overlay {
    type Inode = Node;

    fn caps(&self) -> Caps {
        const OF_UPPER: Caps = Caps::SYMLINKS
            .union(Caps::HARDLINKS)
            .union(Caps::EXCHANGE)
            .union(Caps::XATTR)
            .union(Caps::SPECIAL);
        let layers = &self.shared.layers;
        let mut caps = layers.upper.fs.caps() & OF_UPPER | Caps::RUNS;
        caps.set(Caps::BLOCKING, layers.may_block());
        caps
    }

    fn root(&self) -> Arc<Node> {
        self.root.clone()
    }

    /// The upper's, for there is what can be written.
    fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs> {
        let upper = self.shared.layers.upper.fs.statfs(cx)?;
        Ok(StatFs { kind: OVERLAYFS_MAGIC, ..upper })
    }

    fn lookup(&self, cx: &Cx<'_>, at: At<'_, Node>) -> Result<Arc<Node>> {
        let names = at.dir.directory()?.names.read();
        self.shared.find(cx, at.dir, &names, at.name)
    }

    fn parent(&self, _cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Arc<Node>> {
        dir.directory()?;
        let place = dir.place.read();
        Ok(place.parent.clone().unwrap_or_else(|| Arc::clone(dir)))
    }

    fn name_of(&self, _cx: &Cx<'_>, dir: &Arc<Node>, out: &mut NameBuf) -> Result<()> {
        if dir.directory()?.names.read().removed {
            return Err(Errno::NOENT);
        }
        let place = dir.place.read();
        match &place.parent {
            Some(_) => out.set(Name::new(&place.name)?),
            None => *out = NameBuf::new(),
        }
        Ok(())
    }

    fn create(&self, cx: &Cx<'_>, at: At<'_, Node>, new: NewInode<'_>) -> Result<Arc<Node>> {
        Ok(self.shared.create(cx, at, &new, None)?.node)
    }

    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: At<'_, Node>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<OpenedNew<Node>> {
        let made = self.shared.create(cx, at, &new, Some(access))?;
        let file = made.file.ok_or(Errno::IO)?;
        let file = OverlayFile::opened(&self.shared, &made.node, access, true, file);
        Ok((made.node, file))
    }

    fn link(&self, cx: &Cx<'_>, at: At<'_, Node>, target: &Arc<Node>) -> Result<()> {
        self.shared.link(cx, at, target)
    }

    fn remove(&self, cx: &Cx<'_>, at: At<'_, Node>, what: Remove) -> Result<()> {
        self.shared.remove(cx, at, what)
    }

    fn rename(&self, cx: &Cx<'_>, from: At<'_, Node>, to: At<'_, Node>, how: Rename) -> Result<()> {
        self.shared.rename(cx, from, to, how)
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Arc<Node>) -> Result<LinkTarget> {
        self.shared.readlink(cx, link)
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Arc<Node>) -> Result<Attr> {
        self.shared.getattr(cx, inode)
    }

    fn setattr(&self, cx: &Cx<'_>, inode: &Arc<Node>, set: &SetAttr) -> Result<()> {
        self.shared.setattr(cx, inode, set)
    }

    fn open(&self, cx: &Cx<'_>, inode: &Arc<Node>, access: Access) -> Result<Arc<dyn File>> {
        if inode.kind() != FileType::Regular {
            return Err(Errno::NXIO);
        }
        OverlayFile::open(cx, &self.shared, inode, access)
    }

    fn open_dir(&self, _cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Box<dyn DirStream>> {
        Ok(Box::new(Listing::open(&self.shared, dir)?))
    }

    fn sync(&self, cx: &Cx<'_>, inode: &Arc<Node>, data_only: bool) -> Result<()> {
        let Some(upper) = inode.upper() else { return Ok(()) };
        self.shared.layers.meta_to_medium(cx)?;
        self.shared.layers.upper.fs.sync(cx, upper, data_only)
    }

    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Node>,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<Node>> {
        self.shared.resolve_run(cx, dir, run, want)
    }

    fn get_xattr(&self, cx: &Cx<'_>, inode: &Arc<Node>, name: &[u8]) -> Result<Arc<[u8]>> {
        self.shared.get_xattr(cx, inode, name)
    }

    fn set_xattr(
        &self,
        cx: &Cx<'_>,
        inode: &Arc<Node>,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<()> {
        self.shared.set_xattr(cx, inode, name, value, how)
    }

    fn list_xattr(&self, cx: &Cx<'_>, inode: &Arc<Node>, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.shared.list_xattr(cx, inode, emit)
    }

    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Arc<Node>, name: &[u8]) -> Result<()> {
        self.shared.remove_xattr(cx, inode, name)
    }
}
