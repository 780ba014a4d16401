//! A filesystem that holds no more than so many bytes and inodes.

mod builder;
mod counts;
mod file;
mod node;
mod survey;
mod table;
mod xattr;

use core::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, Inode, LinkTarget, NewInode, NewKind, OpenedNew, Remove,
    Rename, Run, RunEnd, SetXattr, Want,
};
use vnode_core::{Attr, Cx, Errno, NameBuf, Result, SetAttr, StatFs};

pub use builder::{Exceeded, QuotaBuilder};
pub use node::QuotaNode;

use counts::{Counter, Counts, PAGE};
use file::QuotaFile;
use table::Table;

/// `F` with a limit on the bytes and inodes that it holds.
///
/// It counts as Linux's tmpfs does, whatever `F` counts:
///
/// | what | counts as |
/// | --- | --- |
/// | a page of 4096 bytes of a file that was written or set aside (`fallocate(2)`) | 4096 bytes, until it is truncated away or made a hole |
/// | a symbolic link's target of 128 bytes or more | 4096 bytes |
/// | an extended attribute | its name and value and 64 bytes |
/// | an inode | one inode, until it has neither a name nor a holder: an open file keeps all that it takes |
/// | each further name of an inode | one inode |
///
/// The room for a call is taken before `F` is called, and what wasn't used is given back, so that however many threads
/// call at once, the limit holds and the sum is exact when they are done. A write is cut at the limit, and fails when
/// there is no room for its first byte; everything else is done whole or not at all.
///
/// What `F` itself has no room for it says itself. Nobody may change `F` but through the quota. The nodes of files
/// whose content was changed are kept in memory until they are removed.
///
/// ```
/// use vnode_adapt::{Exceeded, Quota};
/// use vnode_core::FilesystemRef;
/// use vnode_memory::Memory;
///
/// // Over a filesystem of a type that is only known at run time.
/// let chosen = FilesystemRef::new::<Memory>(Memory::new());
/// let quota = Quota::<FilesystemRef>::builder()
///     .max_bytes(16 << 20)
///     .max_inodes(1000)
///     .exceeded(Exceeded::QuotaUsed)
///     .build(chosen)?;
/// assert_eq!((quota.usage().bytes, quota.usage().inodes), (0, 1));
/// # Ok::<(), vnode_core::Errno>(())
/// ```
pub struct Quota<F: Filesystem> {
    shared: Arc<Shared<F>>,
}

/// What a quota and all its nodes share.
pub(crate) struct Shared<F: Filesystem> {
    fs: F,
    counts: Counts,
    table: Table<F>,
    /// Held shared while a name is added, alone while one goes: which inode loses its last name is known then.
    names: RwLock<()>,
}

/// What is used of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaUsage {
    /// Bytes.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

impl<F: Filesystem> fmt::Debug for Quota<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota").field("counts", &self.shared.counts).finish_non_exhaustive()
    }
}

impl<F: Filesystem> Drop for Quota<F> {
    fn drop(&mut self) {
        self.shared.table.close();
    }
}

type Node<F> = Arc<QuotaNode<F>>;

/// A name that goes, and whether its inode goes with it.
struct Victim<F: Filesystem> {
    node: Node<F>,
    last: bool,
}

impl<F: Filesystem> Quota<F> {
    /// The choices for a quota.
    pub fn builder() -> QuotaBuilder {
        QuotaBuilder::default()
    }

    /// What is used.
    pub fn usage(&self) -> QuotaUsage {
        let counts = &self.shared.counts;
        QuotaUsage { bytes: counts.bytes.used(), inodes: counts.inodes.used() }
    }

    /// The filesystem within. Change it through the quota only.
    pub fn inner(&self) -> &F {
        &self.shared.fs
    }

    fn node(&self, inode: Arc<F::Inode>) -> Node<F> {
        self.shared.table.node(inode, &self.shared)
    }

    /// Why a name can't be made for which there is no room: what else is wrong with it goes first.
    fn refused(&self, cx: &Cx<'_>, at: At<'_, QuotaNode<F>>) -> Errno {
        let fs = &self.shared.fs;
        match fs.lookup(cx, within(at)) {
            Ok(_) => Errno::EXIST,
            Err(Errno::NOENT) => match fs.getattr(cx, &at.dir.inode) {
                Ok(attr) if attr.nlink == 0 => Errno::NOENT,
                Ok(_) => self.shared.counts.full,
                Err(errno) => errno,
            },
            Err(errno) => errno,
        }
    }

    /// Takes the room for a name of a new inode, makes it, and gives the room back if that fails.
    fn making<T>(
        &self,
        cx: &Cx<'_>,
        at: At<'_, QuotaNode<F>>,
        pages: u64,
        make: impl FnOnce(At<'_, F::Inode>) -> Result<T>,
    ) -> Result<T> {
        let _names = self.shared.names.read();
        let counts = &self.shared.counts;
        if counts.inodes.take(1).is_err() {
            return Err(self.refused(cx, at));
        }
        let made = match counts.take_pages(pages) {
            Ok(()) => make(within(at)).inspect_err(|_| counts.give_pages(pages)),
            Err(_) => Err(self.refused(cx, at)),
        };
        made.inspect_err(|_| counts.inodes.give(1))
    }

    /// What a name stands for that is to go; nothing if it isn't there. Everything that may fail is done here.
    fn victim(&self, cx: &Cx<'_>, at: At<'_, QuotaNode<F>>) -> Result<Option<Victim<F>>> {
        let fs = &self.shared.fs;
        let inode = match fs.lookup(cx, within(at)) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            inode => inode?,
        };
        let node = self.node(inode);
        let last = node.kind().is_dir() || fs.getattr(cx, &node.inode)?.nlink <= 1;
        if last {
            let mut state = node.state.lock();
            node.ledger(cx, &mut state)?;
        }
        Ok(Some(Victim { node, last }))
    }

    /// A name is gone from `dir`.
    fn gone(&self, victim: &Victim<F>, dir: &Node<F>) {
        if victim.last {
            victim.node.removed_from(dir);
        } else {
            self.shared.counts.inodes.give(1);
        }
    }
}

/// The directory within.
fn within<'a, F: Filesystem>(at: At<'a, QuotaNode<F>>) -> At<'a, F::Inode> {
    At { dir: &at.dir.inode, name: at.name }
}

/// The lesser of a limit and of what the filesystem within has: total and free, each 0 for no limit.
fn lesser(counter: &Counter, unit: u64, total: u64, free: u64) -> (u64, u64) {
    if counter.limit() == 0 {
        return (total, free);
    }
    let (limit, left) = (counter.limit() / unit, counter.left() / unit);
    if total == 0 { (limit, left) } else { (limit.min(total), left.min(free)) }
}

impl<F: Filesystem> Filesystem for Quota<F> {
    type Inode = QuotaNode<F>;

    fn caps(&self) -> Caps {
        self.shared.fs.caps()
    }

    fn root(&self) -> Node<F> {
        self.node(self.shared.fs.root())
    }

    fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs> {
        let inner = self.shared.fs.statfs(cx)?;
        let Counts { bytes, inodes, .. } = &self.shared.counts;
        let block_size = if inner.block_size == 0 { PAGE as u32 } else { inner.block_size };
        let unit = u64::from(block_size);
        let (blocks, blocks_free) = lesser(bytes, unit, inner.blocks, inner.blocks_free);
        let (files, files_free) = lesser(inodes, 1, inner.files, inner.files_free);
        let (_, blocks_available) = lesser(bytes, unit, inner.blocks, inner.blocks_available);
        Ok(StatFs { block_size, blocks, blocks_free, blocks_available, files, files_free, ..inner })
    }

    fn lookup(&self, cx: &Cx<'_>, at: At<'_, QuotaNode<F>>) -> Result<Node<F>> {
        Ok(self.node(self.shared.fs.lookup(cx, within(at))?))
    }

    fn parent(&self, cx: &Cx<'_>, dir: &Node<F>) -> Result<Node<F>> {
        Ok(self.node(self.shared.fs.parent(cx, &dir.inode)?))
    }

    fn name_of(&self, cx: &Cx<'_>, dir: &Node<F>, out: &mut NameBuf) -> Result<()> {
        self.shared.fs.name_of(cx, &dir.inode, out)
    }

    fn create(&self, cx: &Cx<'_>, at: At<'_, QuotaNode<F>>, new: NewInode<'_>) -> Result<Node<F>> {
        let pages = match new.kind {
            NewKind::Symlink(target) => survey::pages_of_target(target.len() as u64),
            _ => 0,
        };
        self.making(cx, at, pages, |at| Ok(self.node(self.shared.fs.create(cx, at, new)?)))
    }

    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: At<'_, QuotaNode<F>>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<OpenedNew<QuotaNode<F>>> {
        let (inode, file) = self.making(cx, at, 0, |at| self.shared.fs.create_open(cx, at, new, access))?;
        let node = self.node(inode);
        Ok((node.clone(), QuotaFile::opened(file, node)))
    }

    fn link(&self, cx: &Cx<'_>, at: At<'_, QuotaNode<F>>, target: &Node<F>) -> Result<()> {
        self.making(cx, at, 0, |at| self.shared.fs.link(cx, at, &target.inode))
    }

    fn remove(&self, cx: &Cx<'_>, at: At<'_, QuotaNode<F>>, what: Remove) -> Result<()> {
        let names = self.shared.names.write();
        let victim = self.victim(cx, at)?;
        self.shared.fs.remove(cx, within(at), what)?;
        if let Some(victim) = &victim {
            self.gone(victim, at.dir);
        }
        drop(names);
        Ok(())
    }

    fn rename(
        &self,
        cx: &Cx<'_>,
        from: At<'_, QuotaNode<F>>,
        to: At<'_, QuotaNode<F>>,
        how: Rename,
    ) -> Result<()> {
        let names = self.shared.names.write();
        let mut victim = if how == Rename::Replace { self.victim(cx, to)? } else { None };
        if let Some(replaced) = &victim
            && self.shared.fs.lookup(cx, within(from))?.id() == replaced.node.id()
        {
            // Two names of one inode: nothing happens.
            victim = None;
        }
        self.shared.fs.rename(cx, within(from), within(to), how)?;
        if let Some(victim) = &victim {
            self.gone(victim, to.dir);
        }
        drop(names);
        Ok(())
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Node<F>) -> Result<LinkTarget> {
        self.shared.fs.readlink(cx, &link.inode)
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Node<F>) -> Result<Attr> {
        self.shared.fs.getattr(cx, &inode.inode)
    }

    fn setattr(&self, cx: &Cx<'_>, inode: &Node<F>, set: &SetAttr) -> Result<()> {
        let change = || self.shared.fs.setattr(cx, &inode.inode, set);
        match set.size {
            Some(size) => inode.resize(cx, size, change),
            None => change(),
        }
    }

    fn open(&self, cx: &Cx<'_>, inode: &Node<F>, access: Access) -> Result<Arc<dyn File>> {
        let file = self.shared.fs.open(cx, &inode.inode, access)?;
        Ok(QuotaFile::opened(file, inode.clone()))
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Node<F>) -> Result<Box<dyn DirStream>> {
        self.shared.fs.open_dir(cx, &dir.inode)
    }

    fn sync(&self, cx: &Cx<'_>, inode: &Node<F>, data_only: bool) -> Result<()> {
        self.shared.fs.sync(cx, &inode.inode, data_only)
    }

    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node<F>,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<QuotaNode<F>>> {
        Ok(self.shared.fs.resolve_run(cx, &dir.inode, run, want)?.map(|inode| self.node(inode)))
    }

    fn get_xattr(&self, cx: &Cx<'_>, inode: &Node<F>, name: &[u8]) -> Result<Arc<[u8]>> {
        self.shared.fs.get_xattr(cx, &inode.inode, name)
    }

    fn set_xattr(
        &self,
        cx: &Cx<'_>,
        inode: &Node<F>,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<()> {
        let set = || self.shared.fs.set_xattr(cx, &inode.inode, name, value, how);
        inode.change_xattr(cx, name, Some((value, how)), set)
    }

    fn list_xattr(&self, cx: &Cx<'_>, inode: &Node<F>, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.shared.fs.list_xattr(cx, &inode.inode, emit)
    }

    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Node<F>, name: &[u8]) -> Result<()> {
        let remove = || self.shared.fs.remove_xattr(cx, &inode.inode, name);
        inode.change_xattr(cx, name, None, remove)
    }
}
