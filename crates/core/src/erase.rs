//! Filesystems of any type behind one: what a mount holds.
//!
//! The inode type is erased here, once. The cast back is the one place that turns a `dyn Inode` into the
//! filesystem's own type, and it checks that it is.
#![allow(unsafe_code)]

use core::any::Any;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use crate::attr::{Attr, SetAttr, StatFs};
use crate::cx::Cx;
use crate::errno::{Errno, Result};
use crate::fs::{
    Access, At, Caps, DirStream, File, Filesystem, Inode, LinkTarget, NewInode, OpenedNew, Remove, Rename,
    Run, RunEnd, SetXattr, Want,
};
use crate::gate::Gate;
use crate::path::NameBuf;
use crate::rename_lock::RenameLock;

/// Any inode.
pub(crate) type Node = Arc<dyn Inode>;
/// A directory of any filesystem and a name in it.
pub(crate) type NodeAt<'a> = At<'a, dyn Inode>;

/// [`Filesystem`] without its inode type; the methods mean the same.
pub(crate) trait AnyFilesystem: Send + Sync {
    fn root(&self) -> Node;
    fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs>;
    fn lookup(&self, cx: &Cx<'_>, at: NodeAt<'_>) -> Result<Node>;
    fn parent(&self, cx: &Cx<'_>, dir: &Node) -> Result<Node>;
    fn name_of(&self, cx: &Cx<'_>, dir: &Node, out: &mut NameBuf) -> Result<()>;
    fn create(&self, cx: &Cx<'_>, at: NodeAt<'_>, new: NewInode<'_>) -> Result<Node>;
    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: NodeAt<'_>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<(Node, Arc<dyn File>)>;
    fn link(&self, cx: &Cx<'_>, at: NodeAt<'_>, target: &Node) -> Result<()>;
    fn remove(&self, cx: &Cx<'_>, at: NodeAt<'_>, what: Remove) -> Result<()>;
    fn rename(&self, cx: &Cx<'_>, from: NodeAt<'_>, to: NodeAt<'_>, how: Rename) -> Result<()>;
    fn readlink(&self, cx: &Cx<'_>, link: &Node) -> Result<LinkTarget>;
    fn getattr(&self, cx: &Cx<'_>, inode: &Node) -> Result<Attr>;
    fn setattr(&self, cx: &Cx<'_>, inode: &Node, set: &SetAttr) -> Result<()>;
    fn open(&self, cx: &Cx<'_>, inode: &Node, access: Access) -> Result<Arc<dyn File>>;
    fn open_dir(&self, cx: &Cx<'_>, dir: &Node) -> Result<Box<dyn DirStream>>;
    fn sync(&self, cx: &Cx<'_>, inode: &Node, data_only: bool) -> Result<()>;
    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<dyn Inode>>;
    fn open_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        access: Access,
    ) -> Result<RunEnd<dyn Inode>>;
    fn get_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<Arc<[u8]>>;
    fn set_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8], value: &[u8], how: SetXattr) -> Result<()>;
    fn list_xattr(&self, cx: &Cx<'_>, inode: &Node, emit: &mut dyn FnMut(&[u8])) -> Result<()>;
    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<()>;
}

/// A type of inode that a filesystem can have: every type that implements [`Inode`], and `dyn Inode` itself, so
/// that a [`FilesystemRef`] is a filesystem too. Nothing else can implement it.
pub trait Concrete: Inode {
    #[doc(hidden)]
    fn erase(self: Arc<Self>) -> Arc<dyn Inode>;

    /// The filesystem's own view of an inode.
    ///
    /// # Errors
    /// `EXDEV`: the inode is of another type of filesystem.
    #[doc(hidden)]
    fn view(node: &Arc<dyn Inode>) -> Result<View<'_, Self>>;
}

impl<I: Inode> Concrete for I {
    fn erase(self: Arc<Self>) -> Arc<dyn Inode> {
        self
    }

    fn view(node: &Arc<dyn Inode>) -> Result<View<'_, Self>> {
        let inode: &dyn Inode = &**node;
        if (inode as &dyn Any).type_id() != core::any::TypeId::of::<I>() {
            return Err(Errno::XDEV);
        }
        // SAFETY: the value behind `node` is an `I` (just checked), so the `Arc` was made as `Arc<I>` and unsized;
        // `as_ptr` then gives the address that `Arc::<I>::into_raw` would. The count is neither raised here nor
        // lowered later (`ManuallyDrop`), and the borrow keeps `node`, and so the value, alive.
        let arc = unsafe { Arc::from_raw(Arc::as_ptr(node).cast::<I>()) };
        Ok(View { arc: ManuallyDrop::new(arc), borrowed: core::marker::PhantomData })
    }
}

impl Concrete for dyn Inode {
    fn erase(self: Arc<Self>) -> Arc<dyn Inode> {
        self
    }

    fn view(node: &Arc<dyn Inode>) -> Result<View<'_, Self>> {
        // SAFETY: the pointer is that of `node`, an `Arc` of this very type. Count and borrow as above.
        let arc = unsafe { Arc::from_raw(Arc::as_ptr(node)) };
        Ok(View { arc: ManuallyDrop::new(arc), borrowed: core::marker::PhantomData })
    }
}

/// A borrowed `Arc` of a filesystem's own type of inode, made from an erased one without touching its count.
#[doc(hidden)]
pub struct View<'a, I: ?Sized> {
    arc: ManuallyDrop<Arc<I>>,
    borrowed: core::marker::PhantomData<&'a Node>,
}

impl<I: ?Sized> Deref for View<'_, I> {
    type Target = Arc<I>;

    fn deref(&self) -> &Arc<I> {
        &self.arc
    }
}

/// The filesystem's own view of an inode.
///
/// # Errors
/// `EXDEV`: the inode is of another type of filesystem.
fn concrete<I: Concrete + ?Sized>(node: &Node) -> Result<View<'_, I>> {
    I::view(node)
}

impl<F: Filesystem> AnyFilesystem for F {
    fn root(&self) -> Node {
        Filesystem::root(self).erase()
    }

    fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs> {
        Filesystem::statfs(self, cx)
    }

    fn lookup(&self, cx: &Cx<'_>, at: NodeAt<'_>) -> Result<Node> {
        Ok(Filesystem::lookup(self, cx, At { dir: &*concrete(at.dir)?, name: at.name })?.erase())
    }

    fn parent(&self, cx: &Cx<'_>, dir: &Node) -> Result<Node> {
        Ok(Filesystem::parent(self, cx, &*concrete(dir)?)?.erase())
    }

    fn name_of(&self, cx: &Cx<'_>, dir: &Node, out: &mut NameBuf) -> Result<()> {
        Filesystem::name_of(self, cx, &*concrete(dir)?, out)
    }

    fn create(&self, cx: &Cx<'_>, at: NodeAt<'_>, new: NewInode<'_>) -> Result<Node> {
        Ok(Filesystem::create(self, cx, At { dir: &*concrete(at.dir)?, name: at.name }, new)?.erase())
    }

    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: NodeAt<'_>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<(Node, Arc<dyn File>)> {
        let at = At { dir: &*concrete(at.dir)?, name: at.name };
        let (inode, file) = Filesystem::create_open(self, cx, at, new, access)?;
        Ok((inode.erase(), file))
    }

    fn link(&self, cx: &Cx<'_>, at: NodeAt<'_>, target: &Node) -> Result<()> {
        Filesystem::link(self, cx, At { dir: &*concrete(at.dir)?, name: at.name }, &*concrete(target)?)
    }

    fn remove(&self, cx: &Cx<'_>, at: NodeAt<'_>, what: Remove) -> Result<()> {
        Filesystem::remove(self, cx, At { dir: &*concrete(at.dir)?, name: at.name }, what)
    }

    fn rename(&self, cx: &Cx<'_>, from: NodeAt<'_>, to: NodeAt<'_>, how: Rename) -> Result<()> {
        let from = At { dir: &*concrete(from.dir)?, name: from.name };
        Filesystem::rename(self, cx, from, At { dir: &*concrete(to.dir)?, name: to.name }, how)
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Node) -> Result<LinkTarget> {
        Filesystem::readlink(self, cx, &*concrete(link)?)
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Node) -> Result<Attr> {
        Filesystem::getattr(self, cx, &*concrete(inode)?)
    }

    fn setattr(&self, cx: &Cx<'_>, inode: &Node, set: &SetAttr) -> Result<()> {
        Filesystem::setattr(self, cx, &*concrete(inode)?, set)
    }

    fn open(&self, cx: &Cx<'_>, inode: &Node, access: Access) -> Result<Arc<dyn File>> {
        Filesystem::open(self, cx, &*concrete(inode)?, access)
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Node) -> Result<Box<dyn DirStream>> {
        Filesystem::open_dir(self, cx, &*concrete(dir)?)
    }

    fn sync(&self, cx: &Cx<'_>, inode: &Node, data_only: bool) -> Result<()> {
        Filesystem::sync(self, cx, &*concrete(inode)?, data_only)
    }

    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<dyn Inode>> {
        Ok(Filesystem::resolve_run(self, cx, &*concrete(dir)?, run, want)?.map(Concrete::erase))
    }

    fn open_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        access: Access,
    ) -> Result<RunEnd<dyn Inode>> {
        Ok(Filesystem::open_run(self, cx, &*concrete(dir)?, run, access)?.map(Concrete::erase))
    }

    fn get_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<Arc<[u8]>> {
        Filesystem::get_xattr(self, cx, &*concrete(inode)?, name)
    }

    fn set_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
        Filesystem::set_xattr(self, cx, &*concrete(inode)?, name, value, how)
    }

    fn list_xattr(&self, cx: &Cx<'_>, inode: &Node, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        Filesystem::list_xattr(self, cx, &*concrete(inode)?, emit)
    }

    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<()> {
        Filesystem::remove_xattr(self, cx, &*concrete(inode)?, name)
    }
}

/// A filesystem of any type, shared: what is mounted.
///
/// Mounted twice, it is one filesystem with one device number, as a bind mount is.
#[derive(Clone)]
pub struct FilesystemRef {
    fs: Arc<dyn AnyFilesystem>,
    caps: Caps,
    dev: u64,
    renames: Arc<RenameLock>,
}

static NEXT_DEV: AtomicU64 = AtomicU64::new(1);

impl FilesystemRef {
    /// Takes a filesystem, or a shared one that the caller goes on using.
    pub fn new<F: Filesystem>(fs: impl Into<Arc<F>>) -> Self {
        let fs: Arc<F> = fs.into();
        let caps = Filesystem::caps(&*fs);
        let fs: Arc<dyn AnyFilesystem> = match caps.contains(Caps::BLOCKING) {
            true => Arc::new(Gate(fs)),
            false => fs,
        };
        let dev = NEXT_DEV.fetch_add(1, Ordering::Relaxed);
        FilesystemRef { fs, caps, dev, renames: Arc::new(RenameLock::new()) }
    }

    /// The same filesystem, taken for one that may block whatever it says of itself ([`Caps::BLOCKING`]): of an
    /// asynchronous embedder's guests, other threads than the executor's make its calls.
    pub fn that_may_block(self) -> FilesystemRef {
        let (caps, dev, renames) = (self.caps | Caps::BLOCKING, self.dev, Arc::clone(&self.renames));
        FilesystemRef { fs: Arc::new(Gate(Arc::new(self))), caps, dev, renames }
    }

    /// What it can do.
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// The number that its inodes have as `st_dev`, unless it tells another.
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// The lock around moves of its directories, in whichever namespace.
    pub(crate) fn renames(&self) -> &RenameLock {
        &self.renames
    }

    /// Whether both are the same filesystem.
    pub fn is(&self, other: &FilesystemRef) -> bool {
        self.dev == other.dev
    }

    pub(crate) fn any(&self) -> &dyn AnyFilesystem {
        &*self.fs
    }

    /// The attributes with the device number filled in.
    pub(crate) fn getattr(&self, cx: &Cx<'_>, inode: &Node) -> Result<Attr> {
        let mut attr = self.fs.getattr(cx, inode);
        if let Ok(attr) = &mut attr {
            self.fill_dev(attr);
        }
        attr
    }

    /// Fills the device number in where the filesystem gave none.
    pub(crate) fn fill_dev(&self, attr: &mut Attr) {
        if attr.dev == 0 {
            attr.dev = self.dev;
        }
    }
}

/// A filesystem of a type that is not known is one as any other: a decorator's inner filesystem, chosen at run
/// time. Its inodes are those of the filesystem behind it; nothing is wrapped. `st_dev` is left to the mount of
/// the outermost.
impl Filesystem for FilesystemRef {
    type Inode = dyn Inode;

    fn caps(&self) -> Caps {
        self.caps
    }

    fn root(&self) -> Node {
        self.fs.root()
    }

    fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs> {
        self.fs.statfs(cx)
    }

    fn lookup(&self, cx: &Cx<'_>, at: NodeAt<'_>) -> Result<Node> {
        self.fs.lookup(cx, at)
    }

    fn parent(&self, cx: &Cx<'_>, dir: &Node) -> Result<Node> {
        self.fs.parent(cx, dir)
    }

    fn name_of(&self, cx: &Cx<'_>, dir: &Node, out: &mut NameBuf) -> Result<()> {
        self.fs.name_of(cx, dir, out)
    }

    fn create(&self, cx: &Cx<'_>, at: NodeAt<'_>, new: NewInode<'_>) -> Result<Node> {
        self.fs.create(cx, at, new)
    }

    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: NodeAt<'_>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<OpenedNew<dyn Inode>> {
        self.fs.create_open(cx, at, new, access)
    }

    fn link(&self, cx: &Cx<'_>, at: NodeAt<'_>, target: &Node) -> Result<()> {
        self.fs.link(cx, at, target)
    }

    fn remove(&self, cx: &Cx<'_>, at: NodeAt<'_>, what: Remove) -> Result<()> {
        self.fs.remove(cx, at, what)
    }

    fn rename(&self, cx: &Cx<'_>, from: NodeAt<'_>, to: NodeAt<'_>, how: Rename) -> Result<()> {
        self.fs.rename(cx, from, to, how)
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Node) -> Result<LinkTarget> {
        self.fs.readlink(cx, link)
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Node) -> Result<Attr> {
        self.fs.getattr(cx, inode)
    }

    fn setattr(&self, cx: &Cx<'_>, inode: &Node, set: &SetAttr) -> Result<()> {
        self.fs.setattr(cx, inode, set)
    }

    fn open(&self, cx: &Cx<'_>, inode: &Node, access: Access) -> Result<Arc<dyn File>> {
        self.fs.open(cx, inode, access)
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Node) -> Result<Box<dyn DirStream>> {
        self.fs.open_dir(cx, dir)
    }

    fn sync(&self, cx: &Cx<'_>, inode: &Node, data_only: bool) -> Result<()> {
        self.fs.sync(cx, inode, data_only)
    }

    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<dyn Inode>> {
        self.fs.resolve_run(cx, dir, run, want)
    }

    fn open_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        access: Access,
    ) -> Result<RunEnd<dyn Inode>> {
        self.fs.open_run(cx, dir, run, access)
    }

    fn get_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<Arc<[u8]>> {
        self.fs.get_xattr(cx, inode, name)
    }

    fn set_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
        self.fs.set_xattr(cx, inode, name, value, how)
    }

    fn list_xattr(&self, cx: &Cx<'_>, inode: &Node, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.fs.list_xattr(cx, inode, emit)
    }

    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<()> {
        self.fs.remove_xattr(cx, inode, name)
    }
}

impl core::fmt::Debug for FilesystemRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("FilesystemRef").field("dev", &self.dev).field("caps", &self.caps).finish()
    }
}
