//! Symbolic links for a filesystem that has none.

mod hidden;
mod link;
mod listing;
mod load;
mod names;
mod own;
mod probe;
mod record;
mod rename;
mod runs;
mod store;
mod table;
mod work;

use core::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, Inode, LinkTarget, NewInode, NewKind, OpenedNew, Remove,
    Rename, Run, RunEnd, SetXattr, Want,
};
use vnode_core::{Attr, Cx, Errno, FilesystemRef, Name, NameBuf, Result, SetAttr, StatFs};

use hidden::{Hidden, Log};
use link::{Link, Room};
use table::{Directory, Table};

/// An inode: the filesystem's own, or a [`Link`].
type Node = Arc<dyn Inode>;
type NodeAt<'a> = At<'a, dyn Inode>;

/// Bytes of memory that links kept in memory may take.
const MEMORY: u64 = 256 << 20;

/// Where [`SymlinkEmulation`] keeps links.
///
/// | | in memory | in hidden files |
/// | --- | --- | --- |
/// | a link is there | as long as the emulation | until it is removed |
/// | names that are special | none | `.vnode-symlinks` and `.vnode-symlinks-work`, in any case: not there, not listed, and `EINVAL` where they would be made |
/// | what takes room | memory, 256 MiB at most: `ENOSPC` then | 32 MiB of a hidden file at most, `ENOSPC` then; memory for the directories in use, `ENOMEM` from 256 MiB on |
/// | removing a link | always succeeds | may be `ENOSPC`, for it is written down |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// In memory: for as long as it lives. Links take 256 MiB at most, another one is `ENOSPC` then.
    InMemory,
    /// In a hidden file of each directory that has links: they are there when the filesystem is served again.
    HiddenFiles,
}

/// Symbolic links for a filesystem that has none: FAT, or an embedder's own.
///
/// A link is known by its directory's inode and its name, so a directory that is renamed takes its links along. It is
/// an inode of the emulation's own, all others are those of the filesystem within. Links have owners and times, hard
/// links where files can, extended attributes where files have such; a directory with links isn't empty. The walker
/// can't tell them from links of a filesystem that has some.
///
/// A directory that has links when its listing begins is listed as a whole: what stays is listed once, whatever becomes of
/// the rest. A listing that began when it had none doesn't see a link that takes a file's name.
///
/// What links there are is remembered. Of hidden files that another process changes too, what it changed is seen before a
/// link of that directory changes; two that change links of one directory at the same moment may lose one of the changes.
/// Otherwise nobody may change the filesystem but through the emulation.
///
/// # Hidden files
///
/// A directory with links has a file `.vnode-symlinks`, a log of what became of them, which goes with the last of them.
/// The root has a directory `.vnode-symlinks-work`, in which a file is written before it is renamed into place: from the
/// first one that is written until the emulation is dropped. Nobody sees it: the root's `mtime` stays, and a `ctime`
/// that moves, where the filesystem within has a clock of its own, isn't shown. Where no link changes, nothing is made.
///
/// * A change fails or succeeds as a whole, whatever call of the filesystem within fails. It may leave one thing: a link
///   that can't take the name of a file, in a directory that had no link, leaves that directory's `ctime`.
/// * A process that is killed in the middle of a change leaves what was before, what comes after, or a name too many:
///   a link that was on its way to another directory has its old name still, besides the new one or one that begins with
///   `.vnode-exchanged-`. No link loses its last name, and no file either.
/// * `fsync(2)` of a directory has its links on the medium. A loss of power leaves what a kill does of what was synced.
/// * Access times are as of the last change of a link: to write each read down would cost more than it says.
/// * The number of a link's names, its owner and its times stand in each directory that it has a name in. Those of which
///   nothing was looked at for long (1024 are remembered, and what is in use) don't hear of changes made elsewhere; once
///   both are looked at the later change counts.
/// * A hidden file that is damaged is `EIO` for names of its directory that are not those of files; one whose last
///   record is not whole ends before it. A name that somebody gave to a file in the meantime is the file's.
/// * A copy of a hidden file, made along with its directory by somebody else, makes hard links of the links in it.
/// * The names of links are bytes, where those of files are folded too ([`Caps::CASELESS`]).
///
/// ```
/// use vnode_adapt::{Keep, SymlinkEmulation};
/// use vnode_core::fs::{At, Filesystem, LinkTarget, NewInode, NewKind};
/// use vnode_core::{Clock, Credentials, Cx, FilesystemRef, Mode, Name, Timespec};
/// use vnode_memory::Memory;
///
/// # struct Epoch;
/// # impl Clock for Epoch { fn now(&self) -> Timespec { Timespec::EPOCH } }
/// let (who, clock) = (Credentials::root(), Epoch);
/// let cx = Cx::new(&who, &clock);
/// let within = FilesystemRef::new::<Memory>(Memory::new());
/// let name = Name::new(b"link")?;
///
/// let first = SymlinkEmulation::new(&cx, within.clone(), Keep::HiddenFiles)?;
/// let new = NewInode { kind: NewKind::Symlink(b"/to"), mode: Mode::RWXU, uid: 0, gid: 0 };
/// first.create(&cx, At { dir: &first.root(), name }, new)?;
/// drop(first);
///
/// let second = SymlinkEmulation::new(&cx, within, Keep::HiddenFiles)?;
/// let link = second.lookup(&cx, At { dir: &second.root(), name })?;
/// assert!(matches!(second.readlink(&cx, &link)?, LinkTarget::Text(text) if *text == *b"/to"));
/// # Ok::<(), vnode_core::Errno>(())
/// ```
pub struct SymlinkEmulation {
    shared: Arc<Shared>,
}

/// What the emulation and its listings share.
struct Shared {
    fs: FilesystemRef,
    /// Held alone while names or attributes of links change, or a directory goes; shared while anything is looked up, or
    /// another name changes.
    names: RwLock<()>,
    table: Mutex<Table>,
    room: Arc<Room>,
    /// Nothing if links are kept in memory.
    hidden: Option<Hidden>,
    numbers: link::Numbers,
}

/// What a name stands for.
enum Found {
    /// An inode of the filesystem within.
    Real(Node),
    Link(Arc<Link>),
}

impl fmt::Debug for SymlinkEmulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fs, keep) = (&self.shared.fs, self.keep());
        f.debug_struct("SymlinkEmulation").field("fs", fs).field("keep", &keep).finish_non_exhaustive()
    }
}

impl SymlinkEmulation {
    /// Gives `fs` symbolic links, kept as `keep` says. [`SymlinkEmulation::needed`] tells whether it has none itself.
    ///
    /// # Errors
    /// Of hidden files: those of looking for what a process left that was killed, `EACCES` or `EIO` say, and `ENOTDIR` if
    /// the name of the directory that they are written in is another file's. Nothing is made; a filesystem that is
    /// read-only has the links that it holds.
    pub fn new(cx: &Cx<'_>, fs: FilesystemRef, keep: Keep) -> Result<Self> {
        let (hidden, limit) = match keep {
            Keep::InMemory => (None, MEMORY),
            Keep::HiddenFiles => (Some(Hidden::open(cx, &fs)?), u64::MAX),
        };
        let shared = Shared {
            fs,
            names: RwLock::new(()),
            table: Mutex::default(),
            room: Arc::new(Room::new(limit)),
            numbers: link::Numbers::new(hidden.is_some()),
            hidden,
        };
        Ok(SymlinkEmulation { shared: Arc::new(shared) })
    }

    /// Whether `fs` has no symbolic links of its own: it says so ([`Caps::SYMLINKS`]), or to make one under a hidden name
    /// in its root, which is removed again, is `EPERM` (as of Linux's vfat), `EOPNOTSUPP` or `ENOSYS`. A filesystem that
    /// is read-only counts as one that has none: it may hold links in hidden files, and its own stay what they are. The
    /// attempt moves the root's `ctime` where the filesystem goes by a clock of its own; the `mtime` is put back.
    ///
    /// # Errors
    /// Every other error of the attempt: `ENOSPC`, `EACCES`, `EIO`.
    pub fn needed(cx: &Cx<'_>, fs: &FilesystemRef) -> Result<bool> {
        probe::needed(cx, fs)
    }

    /// `fs` itself where it has symbolic links, else the emulation of them over it.
    ///
    /// # Errors
    /// Those of [`SymlinkEmulation::needed`] and [`SymlinkEmulation::new`].
    pub fn over(cx: &Cx<'_>, fs: FilesystemRef, keep: Keep) -> Result<FilesystemRef> {
        if !SymlinkEmulation::needed(cx, &fs)? {
            return Ok(fs);
        }
        Ok(FilesystemRef::new::<SymlinkEmulation>(SymlinkEmulation::new(cx, fs, keep)?))
    }

    /// Where links are kept.
    pub fn keep(&self) -> Keep {
        if self.shared.hidden.is_some() { Keep::HiddenFiles } else { Keep::InMemory }
    }

    /// The filesystem within. Change it through the emulation only.
    pub fn inner(&self) -> &FilesystemRef {
        &self.shared.fs
    }
}

impl Shared {
    /// Whether a name is the emulation's own, in whatever case: the filesystem may fold it.
    fn reserves(&self, name: Name<'_>) -> bool {
        self.hidden.is_some() && hidden::is_reserved(name.as_bytes())
    }

    /// The links of a directory, if it may have any. The names are held.
    ///
    /// # Errors
    /// Of hidden files: `EIO`, and those of reading.
    fn links_in(&self, cx: &Cx<'_>, dir: &Node) -> Result<Option<Arc<Directory>>> {
        let table = self.table.lock();
        if self.hidden.is_none() && table.is_empty() {
            return Ok(None);
        }
        let known = table.get(dir.id());
        drop(table);
        match (&self.hidden, known) {
            (None, known) => Ok(known),
            (Some(_), Some(known)) => Ok(Some(known)),
            (Some(hidden), None) => self.load(cx, hidden, dir).map(Some),
        }
    }

    /// The same directory, to be given links.
    fn directory(&self, cx: &Cx<'_>, dir: &Node) -> Result<Arc<Directory>> {
        match self.links_in(cx, dir)? {
            Some(known) => Ok(known),
            None => Ok(self.add(Directory::new(dir, Log::default()))),
        }
    }

    /// Knows a directory from now on; answers the one that is known already if there is one.
    fn add(&self, directory: Arc<Directory>) -> Arc<Directory> {
        if self.table.lock().is_due(self.room.used()) {
            self.sweep();
        }
        let id = directory.inode.id();
        self.table.lock().add(id, directory)
    }

    /// Forgets directories that nobody holds and that can be known again.
    fn sweep(&self) {
        let in_files = self.hidden.is_some();
        let idle = self.table.lock().forget_idle(|known| in_files || !known.has_links());
        drop(idle);
    }

    /// Forgets a directory that was removed.
    fn removed(&self, dir: &Node) {
        let gone = self.table.lock().forget(dir.id());
        if let Some(index) = gone.as_ref().and_then(|gone| gone.index()) {
            index.set_removed();
        }
        drop(gone);
    }

    /// The link that a name stands for.
    fn link_at(&self, cx: &Cx<'_>, at: NodeAt<'_>) -> Result<Option<Arc<Link>>> {
        Ok(self.links_in(cx, at.dir)?.and_then(|known| known.get(at.name)))
    }

    /// What a name stands for. The names are held.
    ///
    /// # Errors
    /// Those of looking it up, but `ENOENT`.
    fn find(&self, cx: &Cx<'_>, at: NodeAt<'_>) -> Result<Option<Found>> {
        if self.reserves(at.name) {
            return Ok(None);
        }
        // What is real is no link: nothing of links is to be looked at for it.
        match self.fs.lookup(cx, at) {
            Ok(node) => Ok(Some(Found::Real(node))),
            Err(Errno::NOENT) => Ok(self.link_at(cx, at)?.map(Found::Link)),
            Err(errno) => Err(errno),
        }
    }

    /// The number of an inode in listings.
    fn ino(&self, cx: &Cx<'_>, node: &Node) -> u64 {
        match link::of(node) {
            Some(link) => link.number(),
            None => self.fs.getattr(cx, node).map_or(node.id().0, |attr| attr.ino),
        }
    }

    /// Whether a directory was removed.
    fn is_removed(&self, cx: &Cx<'_>, dir: &Node) -> Result<bool> {
        Ok(self.fs.getattr(cx, dir)?.nlink == 0)
    }
}

impl Filesystem for SymlinkEmulation {
    type Inode = dyn Inode;

    fn caps(&self) -> Caps {
        self.shared.fs.caps() | Caps::SYMLINKS
    }

    fn root(&self) -> Node {
        self.shared.fs.root()
    }

    fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs> {
        self.shared.fs.statfs(cx)
    }

    fn lookup(&self, cx: &Cx<'_>, at: NodeAt<'_>) -> Result<Node> {
        let _names = self.shared.names.read();
        match self.shared.find(cx, at)? {
            Some(Found::Real(node)) => Ok(node),
            Some(Found::Link(link)) => Ok(link),
            None => Err(Errno::NOENT),
        }
    }

    fn parent(&self, cx: &Cx<'_>, dir: &Node) -> Result<Node> {
        self.shared.fs.parent(cx, dir)
    }

    fn name_of(&self, cx: &Cx<'_>, dir: &Node, out: &mut NameBuf) -> Result<()> {
        self.shared.fs.name_of(cx, dir, out)
    }

    fn create(&self, cx: &Cx<'_>, at: NodeAt<'_>, new: NewInode<'_>) -> Result<Node> {
        match new.kind {
            NewKind::Symlink(target) => Ok(self.shared.create_link(cx, at, &new, target)?),
            _ => self.shared.making(cx, at, |fs| {
                let node = fs.create(cx, at, new)?;
                Ok((Arc::clone(&node), node))
            }),
        }
    }

    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: NodeAt<'_>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<OpenedNew<dyn Inode>> {
        self.shared.making(cx, at, |fs| {
            let (node, file) = fs.create_open(cx, at, new, access)?;
            Ok((Arc::clone(&node), (node, file)))
        })
    }

    fn link(&self, cx: &Cx<'_>, at: NodeAt<'_>, target: &Node) -> Result<()> {
        match link::shared(target) {
            Some(link) => self.shared.link(cx, at, &link),
            None => self.shared.making(cx, at, |fs| {
                fs.link(cx, at, target)?;
                Ok((Arc::clone(target), ()))
            }),
        }
    }

    fn remove(&self, cx: &Cx<'_>, at: NodeAt<'_>, what: Remove) -> Result<()> {
        self.shared.remove(cx, at, what)
    }

    fn rename(&self, cx: &Cx<'_>, from: NodeAt<'_>, to: NodeAt<'_>, how: Rename) -> Result<()> {
        self.shared.rename(cx, from, to, how)
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Node) -> Result<LinkTarget> {
        let Some(link) = link::of(link) else { return self.shared.fs.readlink(cx, link) };
        link.with_attr(|attr| attr.accessed(cx));
        Ok(LinkTarget::Text(Arc::clone(&link.target)))
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Node) -> Result<Attr> {
        if let Some(link) = link::of(inode) {
            return Ok(link.attr());
        }
        let mut attr = self.shared.fs.getattr(cx, inode)?;
        if let Some(hidden) = &self.shared.hidden
            && self.shared.fs.root().id() == inode.id()
        {
            hidden.hide(cx, &mut attr);
        }
        Ok(attr)
    }

    fn setattr(&self, cx: &Cx<'_>, inode: &Node, set: &SetAttr) -> Result<()> {
        let Some(link) = link::of(inode) else { return self.shared.fs.setattr(cx, inode, set) };
        self.shared.change(cx, link, |state| {
            let mut state = state.clone();
            set.apply(cx, &mut state.attr);
            Ok(state)
        })
    }

    fn open(&self, cx: &Cx<'_>, inode: &Node, access: Access) -> Result<Arc<dyn File>> {
        match link::of(inode) {
            Some(_) => Err(Errno::NXIO),
            None => self.shared.fs.open(cx, inode, access),
        }
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Node) -> Result<Box<dyn DirStream>> {
        match link::of(dir) {
            Some(_) => Err(Errno::NOTDIR),
            None => Ok(Box::new(listing::Listing::open(cx, &self.shared, dir)?)),
        }
    }

    fn sync(&self, cx: &Cx<'_>, inode: &Node, data_only: bool) -> Result<()> {
        if link::of(inode).is_some() {
            return Ok(());
        }
        if inode.kind().is_dir() {
            self.shared.sync_links(cx, inode)?;
        }
        self.shared.fs.sync(cx, inode, data_only)
    }

    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<dyn Inode>> {
        self.shared.run(cx, dir, run, |fs, run| fs.resolve_run(cx, dir, run, want))
    }

    fn open_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node,
        run: &mut Run<'_>,
        access: Access,
    ) -> Result<RunEnd<dyn Inode>> {
        self.shared.run(cx, dir, run, |fs, run| fs.open_run(cx, dir, run, access))
    }

    fn get_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<Arc<[u8]>> {
        let Some(link) = link::of(inode) else { return self.shared.fs.get_xattr(cx, inode, name) };
        self.shared.check_has_xattrs()?;
        link.state().xattr(name)
    }

    fn set_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
        let Some(link) = link::of(inode) else {
            return self.shared.fs.set_xattr(cx, inode, name, value, how);
        };
        self.shared.check_has_xattrs()?;
        self.shared.change(cx, link, |state| state.with_xattr(name, Some((value, how)), cx.now()))
    }

    fn list_xattr(&self, cx: &Cx<'_>, inode: &Node, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let Some(link) = link::of(inode) else { return self.shared.fs.list_xattr(cx, inode, emit) };
        self.shared.check_has_xattrs()?;
        // In the order in which Linux's tmpfs lists them.
        link.state().xattrs.keys().rev().for_each(|name| emit(name));
        Ok(())
    }

    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<()> {
        let Some(link) = link::of(inode) else { return self.shared.fs.remove_xattr(cx, inode, name) };
        self.shared.check_has_xattrs()?;
        self.shared.change(cx, link, |state| state.with_xattr(name, None, cx.now()))
    }
}
