//! Places and mounts: where in which filesystem something is, and how filesystems form one tree.
//!
//! The table of mounts is immutable; a change makes a new one and swaps it in. A walk takes one snapshot and
//! sees one state of the tree from beginning to end.

use core::any::Any;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::access::{self, May};
use crate::attr::{Attr, FileType};
use crate::cx::Cx;
use crate::erase::{FilesystemRef, Node};
use crate::errno::{Errno, Result};
use crate::fs::{Caps, Inode, InodeId};
use crate::path::{Name, NameBuf};
use crate::pinned::{Pinned, PinnedNode};

bitflags::bitflags! {
    /// How a mount restricts what its filesystem would allow (`mount(2)`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MountFlags: u32 {
        /// Nothing is changed through this mount: `EROFS`.
        const READ_ONLY = 1 << 0;
        /// Reading leaves access times.
        const NO_ATIME = 1 << 1;
    }
}

/// What a filesystem demands of every mount of it.
fn flags_of(fs: &FilesystemRef) -> MountFlags {
    if fs.caps().contains(Caps::READ_ONLY) { MountFlags::READ_ONLY } else { MountFlags::empty() }
}

/// Where a mount is: a name in a directory of the mount above.
#[derive(Clone)]
struct Point {
    dir: Pinned,
    name: NameBuf,
}

/// A filesystem, or a part of one, at a point of the tree.
#[derive(Clone)]
pub struct Mount {
    id: u64,
    fs: FilesystemRef,
    root: PinnedNode,
    flags: MountFlags,
    /// Nothing for the root of a namespace.
    point: Option<Point>,
    /// Whether the mount only stands for a directory that leads to other mounts.
    synthetic: bool,
}

impl Mount {
    /// The filesystem.
    pub fn filesystem(&self) -> &FilesystemRef {
        &self.fs
    }

    /// Its number, unique in its namespace.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether the whole filesystem is seen through the mount, not a part of it.
    pub(crate) fn shows_all(&self) -> bool {
        self.fs.any().root().id() == self.root.id()
    }

    /// The restrictions.
    pub fn flags(&self) -> MountFlags {
        self.flags
    }

    /// Whether reads leave access times.
    pub(crate) fn keeps_atime(&self) -> bool {
        self.flags.intersects(MountFlags::READ_ONLY | MountFlags::NO_ATIME)
    }

    /// Fails where nothing may be changed.
    ///
    /// # Errors
    /// `EROFS`: the mount is read-only.
    pub(crate) fn want_write(&self) -> Result<()> {
        if self.flags.contains(MountFlags::READ_ONLY) { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// The directory that the mount point is in.
    pub(crate) fn above(&self) -> Option<&Place> {
        self.point.as_ref().map(|point| &*point.dir)
    }

    /// The name of the mount point.
    pub(crate) fn point_name(&self) -> Option<&NameBuf> {
        self.point.as_ref().map(|point| &point.name)
    }
}

/// The only kind of position: an inode as seen through a mount.
///
/// A working directory, a root and a preopen are places: they follow renames and survive removal.
#[derive(Clone)]
pub struct Place {
    pub(crate) mount: Arc<Mount>,
    pub(crate) node: Node,
}

impl Place {
    /// The type of what is here.
    pub fn kind(&self) -> FileType {
        self.node.kind()
    }

    /// Its inode, if it is of this type: how whoever made a filesystem knows what is its own.
    pub fn inode_as<I: Inode>(&self) -> Option<&I> {
        let inode: &dyn Inode = &*self.node;
        (inode as &dyn Any).downcast_ref()
    }

    /// Another inode of the same filesystem, seen through the same mount. One of another filesystem is refused by
    /// every call that is made with it (`EXDEV`), if their types differ.
    pub fn with_inode(&self, inode: Arc<dyn Inode>) -> Place {
        self.sibling(inode)
    }

    /// The mount through which it is seen.
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// The attributes (`fstat(2)`).
    ///
    /// # Errors
    /// `EIO`, as the filesystem answers.
    pub fn attr(&self, cx: &Cx<'_>) -> Result<Attr> {
        self.mount.fs.getattr(cx, &self.node)
    }

    /// Checks the caller against what is here (`inode_permission` in Linux).
    ///
    /// # Errors
    /// `EROFS`: it would be written, and its filesystem is read-only as a whole, which is found before its mode
    /// is looked at; that of the mount is found after. `EACCES`. `EIO`.
    pub(crate) fn check(&self, cx: &Cx<'_>, may: May) -> Result<()> {
        self.check_medium(may)?;
        access::check(cx, &self.attr(cx)?, may)
    }

    /// The same with its attributes at hand.
    pub(crate) fn check_attr(&self, cx: &Cx<'_>, may: May, attr: &Attr) -> Result<()> {
        self.check_medium(may)?;
        access::check(cx, attr, may)
    }

    fn check_medium(&self, may: May) -> Result<()> {
        let never = self.mount.fs.caps().contains(Caps::READ_ONLY);
        if may.contains(May::WRITE) && self.is_on_medium() && never { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// Whether writing what is here writes to its filesystem: not so for FIFOs, sockets and devices.
    pub(crate) fn is_on_medium(&self) -> bool {
        matches!(self.kind(), FileType::Regular | FileType::Directory | FileType::Symlink)
    }

    /// Whether both are the same inode seen through the same mount.
    pub fn is(&self, other: &Place) -> bool {
        self.mount.id == other.mount.id && self.node.id() == other.node.id()
    }

    /// Whether this is the root of its mount.
    pub(crate) fn is_mount_root(&self) -> bool {
        self.node.id() == self.mount.root.id()
    }

    /// The same place through a copy of its mount, whose references are counted apart.
    ///
    /// Every open file counts as one. Threads that share the count hand it from processor to processor, so each
    /// process works through places of its own.
    pub fn counted_apart(&self) -> Place {
        Place { mount: Arc::new(Mount::clone(&self.mount)), node: Arc::clone(&self.node) }
    }

    /// Another inode of the same mount.
    pub(crate) fn sibling(&self, node: Node) -> Place {
        Place { mount: Arc::clone(&self.mount), node }
    }

    /// The filesystem's number and the inode, which identify what is here whatever the mount, as long as somebody holds it.
    pub fn identity(&self) -> (u64, InodeId) {
        (self.mount.fs.dev(), self.node.id())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("mount", &self.mount.id)
            .field("node", &self.node.id())
            .field("kind", &self.node.kind())
            .finish()
    }
}

/// The mounts on one name, the visible one last.
#[derive(Clone)]
struct Stack {
    name: NameBuf,
    mounts: Vec<Arc<Mount>>,
}

impl Stack {
    fn top(&self) -> Option<&Arc<Mount>> {
        self.mounts.last()
    }
}

/// One state of the tree of mounts.
#[derive(Clone, Default)]
pub(crate) struct MountTable {
    /// By mount and directory; each stack's mounts hold the directory, so its identity stays valid.
    points: HashMap<(u64, InodeId), Vec<Stack>>,
    /// By filesystem and directory, whatever the mount: names that may not be removed, with how many mounts.
    busy: HashMap<(u64, InodeId), Vec<NameBuf>>,
}

impl MountTable {
    /// Whether some name of a filesystem is a mount point.
    pub(crate) fn has_points_on(&self, fs: &FilesystemRef) -> bool {
        self.busy.keys().any(|&(dev, _)| dev == fs.dev())
    }

    /// Whether nothing is mounted but the root.
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The mount on a name, if there is one.
    pub(crate) fn at(&self, dir: &Place, name: &[u8]) -> Option<Place> {
        if self.points.is_empty() {
            return None;
        }
        let stacks = self.points.get(&(dir.mount.id, dir.node.id()))?;
        let mount = stacks.iter().find(|stack| stack.name.as_bytes() == name)?.top()?;
        Some(Place { mount: Arc::clone(mount), node: Arc::clone(&mount.root) })
    }

    /// Whether some mount point has this name: runs of names stop before it.
    pub(crate) fn names_a_point(&self, name: &[u8]) -> bool {
        self.points.values().flatten().any(|stack| stack.name.as_bytes() == name)
    }

    /// Whether a name of a directory is a mount point, seen through whichever mount: it can't be removed.
    pub(crate) fn is_busy(&self, dir: &Place, name: &[u8]) -> bool {
        self.busy.get(&dir.identity()).is_some_and(|names| names.iter().any(|busy| busy.as_bytes() == name))
    }

    /// Whether a directory has a mount point in it: it can't be removed, for it is not empty.
    pub(crate) fn has_points_in(&self, dir: &Place) -> bool {
        self.busy.contains_key(&dir.identity())
    }

    /// The mounts in a directory, oldest first, each with its name and number.
    pub(crate) fn points_in(&self, dir: &Place) -> Vec<(u64, NameBuf, Place)> {
        let Some(stacks) = self.points.get(&(dir.mount.id, dir.node.id())) else { return Vec::new() };
        let mut points: Vec<_> = stacks
            .iter()
            .filter_map(|stack| {
                let first = stack.mounts.first()?;
                let top = stack.top()?;
                let root = Place { mount: Arc::clone(top), node: Arc::clone(&top.root) };
                Some((first.id, stack.name.clone(), root))
            })
            .collect();
        points.sort_by_key(|point| point.0);
        points
    }

    fn push(&mut self, mount: Arc<Mount>) {
        let Some(point) = &mount.point else { return };
        let name = point.name.clone();
        self.busy.entry(point.dir.identity()).or_default().push(name.clone());
        let stacks = self.points.entry((point.dir.mount.id, point.dir.node.id())).or_default();
        match stacks.iter_mut().find(|stack| stack.name == name) {
            Some(stack) => stack.mounts.push(mount),
            None => stacks.push(Stack { name, mounts: vec![mount] }),
        }
    }

    fn pop(&mut self, mount: &Mount) -> Result<()> {
        let point = mount.point.as_ref().ok_or(Errno::BUSY)?;
        let key = (point.dir.mount.id, point.dir.node.id());
        let stacks = self.points.get_mut(&key).ok_or(Errno::INVAL)?;
        let at = stacks.iter().position(|stack| stack.name == point.name).ok_or(Errno::INVAL)?;
        if stacks[at].top().is_none_or(|top| top.id != mount.id) {
            return Err(Errno::BUSY);
        }
        stacks[at].mounts.pop();
        if stacks[at].mounts.is_empty() {
            stacks.remove(at);
        }
        if stacks.is_empty() {
            self.points.remove(&key);
        }
        let identity = point.dir.identity();
        if let Some(names) = self.busy.get_mut(&identity) {
            if let Some(at) = names.iter().position(|name| *name == point.name) {
                names.remove(at);
            }
            if names.is_empty() {
                self.busy.remove(&identity);
            }
        }
        Ok(())
    }

    fn has_mounts_on(&self, mount: &Mount) -> bool {
        self.points.keys().any(|&(id, _)| id == mount.id)
    }
}

/// A tree of mounts: all that its processes can reach.
///
/// ```
/// use vnode_core::{FilesystemRef, MountFlags, Namespace};
/// use vnode_memory::Memory;
///
/// let ns = Namespace::new(FilesystemRef::new(Memory::new()));
/// let data = FilesystemRef::new(Memory::new());
/// // Directories that lead there need not be in any filesystem.
/// let place = ns.mount_at(b"/var/lib/data", &data, MountFlags::READ_ONLY)?;
/// assert!(place.kind().is_dir());
/// # Ok::<(), vnode_core::Errno>(())
/// ```
pub struct Namespace {
    root: Place,
    table: ArcSwap<MountTable>,
    writer: Mutex<()>,
    next_id: AtomicU64,
    next_number: AtomicU64,
}

impl Namespace {
    /// A namespace with `fs` as its root.
    pub fn new(fs: FilesystemRef) -> Self {
        Namespace::with_flags(fs, MountFlags::empty())
    }

    /// A namespace with `fs` as its root, restricted.
    pub fn with_flags(fs: FilesystemRef, flags: MountFlags) -> Self {
        let root = fs.any().root();
        let flags = flags | flags_of(&fs);
        let pinned = PinnedNode::new(Arc::clone(&root));
        let mount = Arc::new(Mount { id: 0, fs, root: pinned, flags, point: None, synthetic: false });
        Namespace {
            root: Place { mount, node: root },
            table: ArcSwap::from_pointee(MountTable::default()),
            writer: Mutex::new(()),
            next_id: AtomicU64::new(1),
            next_number: AtomicU64::new(1),
        }
    }

    /// The root directory.
    pub fn root(&self) -> &Place {
        &self.root
    }

    /// A number that nothing else of this tree has, from 1 up: for what its processes make that is in no filesystem, as
    /// pipes are (`get_next_ino` in Linux).
    pub fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<MountTable>> {
        self.table.load()
    }

    /// Mounts a filesystem on a name of a directory; the name need not be there. On a name that has a mount, the
    /// new one hides it. Answers the new mount's root.
    ///
    /// # Errors
    /// * `ENOTDIR`: `dir` is not a directory.
    pub fn mount(&self, dir: &Place, name: Name<'_>, fs: &FilesystemRef, flags: MountFlags) -> Result<Place> {
        self.attach(dir, name, fs, fs.any().root(), flags, false)
    }

    /// Mounts what is at `source`, a file or a directory, on a name of a directory as well (`MS_BIND`). What is
    /// mounted below `source` is not seen through the new mount.
    ///
    /// # Errors
    /// * `ENOTDIR`: `dir` is not a directory.
    pub fn bind(&self, dir: &Place, name: Name<'_>, source: &Place, flags: MountFlags) -> Result<Place> {
        self.attach(dir, name, &source.mount.fs, Arc::clone(&source.node), source.mount.flags | flags, false)
    }

    pub(crate) fn mount_synthetic(&self, dir: &Place, name: Name<'_>, fs: &FilesystemRef) -> Result<Place> {
        self.attach(dir, name, fs, fs.any().root(), MountFlags::READ_ONLY, true)
    }

    fn attach(
        &self,
        dir: &Place,
        name: Name<'_>,
        fs: &FilesystemRef,
        root: Node,
        flags: MountFlags,
        synthetic: bool,
    ) -> Result<Place> {
        if !dir.kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let point = Some(Point { dir: dir.clone().into(), name: name.into() });
        let flags = flags | flags_of(fs);
        let mount = Arc::new(Mount {
            id,
            fs: fs.clone(),
            root: PinnedNode::new(Arc::clone(&root)),
            flags,
            point,
            synthetic,
        });
        let _writer = self.writer.lock();
        let mut table = MountTable::clone(&self.table.load());
        table.push(Arc::clone(&mount));
        self.table.store(Arc::new(table));
        Ok(Place { mount, node: root })
    }

    /// Takes a mount off the tree. Who holds a place in it keeps it.
    ///
    /// # Errors
    /// * `EINVAL`: `place` is not a mount's root, or not mounted any more.
    /// * `EBUSY`: it is the namespace's root, another mount hides it, or mounts are on it.
    pub fn unmount(&self, place: &Place) -> Result<()> {
        if !place.is_mount_root() {
            return Err(Errno::INVAL);
        }
        let _writer = self.writer.lock();
        let mut table = MountTable::clone(&self.table.load());
        if table.has_mounts_on(&place.mount) {
            return Err(Errno::BUSY);
        }
        table.pop(&place.mount)?;
        self.table.store(Arc::new(table));
        Ok(())
    }

    /// Whether a place is a directory that only leads to mounts below it.
    pub fn is_synthetic(&self, place: &Place) -> bool {
        place.mount.synthetic
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("root", &self.root).finish_non_exhaustive()
    }
}
