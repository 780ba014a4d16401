//! Filling a filesystem from outside: a host tree, an archive.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::Arc;

use thiserror::Error;
use vnode_core::fs::{Inode, NewInode, NewKind, SetXattr};
use vnode_core::io::Source;
use vnode_core::{Capabilities, Clock, Credentials, Cx, Errno, FileType, Mode, Name, PATH_MAX, Timespec};

use crate::builder::time_of_day;
use crate::entries::Entries;
use crate::memory::Memory;
use crate::names::retire;
use crate::node::Node;
use crate::place::Place;
use crate::quota::PAGE;

/// Bytes read at once from a file's content.
const PIECE: usize = 64 * 1024;

/// The content of a file to be loaded. Pages of zeros become holes.
pub enum Data<'a> {
    /// These bytes.
    Bytes(Cow<'a, [u8]>),
    /// What this reads, until its end; 64 KiB are held at a time.
    Reader(Box<dyn Read + 'a>),
}

/// What an entry is.
pub enum EntryKind<'a> {
    /// A directory. One that is there keeps its entries and takes the entry's attributes.
    Directory,
    /// A regular file.
    File(Data<'a>),
    /// A symbolic link with its target: 1 to 4095 bytes, no NUL.
    Symlink(Cow<'a, [u8]>),
    /// Another name for what an earlier entry made, by that one's path. The other attributes of this entry are
    /// not used.
    HardLink(Cow<'a, [u8]>),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character device (`makedev(3)`).
    CharDevice(u32),
    /// A block device.
    BlockDevice(u32),
}

/// Something to be loaded.
pub struct Entry<'a> {
    /// Where it goes, from the root: names with slashes between them. `.` and empty names between slashes mean
    /// nothing, as in any path, so `./a` is `a` and `.` is the root. `..`, a slash at the front and NUL are errors.
    pub path: Cow<'a, [u8]>,
    /// What it is.
    pub kind: EntryKind<'a>,
    /// Permission bits.
    pub mode: Mode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of the content; also taken for the last read.
    pub mtime: Timespec,
    /// Extended attributes: names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why a filesystem could not be filled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The source of the entries failed.
    #[error("can't read the entries: {0}")]
    Source(#[source] io::Error),
    /// The path of an entry can't be.
    #[error("{}: {problem}", path.escape_ascii())]
    Path {
        /// The entry's path.
        path: Vec<u8>,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// An entry can't be made.
    #[error("{}: {action}: {errno}", path.escape_ascii())]
    Entry {
        /// The entry's path.
        path: Vec<u8>,
        /// What failed.
        action: &'static str,
        /// Why.
        errno: Errno,
    },
    /// A file's content can't be read.
    #[error("{}: can't read the content: {error}", path.escape_ascii())]
    Content {
        /// The entry's path.
        path: Vec<u8>,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// What is wrong with an entry's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathProblem {
    /// There is none.
    #[error("the path is empty")]
    Empty,
    /// It starts with a slash.
    #[error("the path is absolute")]
    Absolute,
    /// It has a `..`.
    #[error("the path has a `..`")]
    DotDot,
    /// It has a NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
    /// A name has more than 255 bytes.
    #[error("a name in the path is longer than 255 bytes")]
    TooLong,
    /// Something on the way is no directory; symbolic links are not followed.
    #[error("the path leads through something that is no directory")]
    NotDirectory,
    /// It is the root, which is a directory.
    #[error("the path is the root's, and the entry is no directory")]
    Root,
    /// What a hard link is to is not there.
    #[error("it is a hard link to a path that no earlier entry made")]
    NoTarget,
}

/// The time at which a load began.
struct Fixed(Timespec);

impl Clock for Fixed {
    fn now(&self) -> Timespec {
        self.0
    }
}

impl Memory {
    /// Fills the filesystem with entries, in their order.
    ///
    /// Directories that are missing on the way are made with mode 0755 and the owner of the root. A later entry
    /// replaces an earlier one of the same path, as `tar(1)` does: a directory only if it is empty. Symbolic
    /// links are never followed.
    ///
    /// It is meant for a filesystem that nobody uses yet: on an error, the entries before stay.
    ///
    /// ```
    /// use vnode_core::{Mode, Timespec};
    /// use vnode_memory::{Data, Entry, EntryKind, Memory};
    ///
    /// let entry = |path: &'static str, kind| Entry {
    ///     path: path.as_bytes().into(),
    ///     kind,
    ///     mode: Mode::from_raw(0o644),
    ///     uid: 0,
    ///     gid: 0,
    ///     mtime: Timespec::EPOCH,
    ///     xattrs: Vec::new(),
    /// };
    /// let memory = Memory::new();
    /// memory.load([
    ///     Ok(entry("etc/motd", EntryKind::File(Data::Bytes(b"hello\n".into())))),
    ///     Ok(entry("etc/issue", EntryKind::Symlink(b"motd".into()))),
    /// ])?;
    /// assert_eq!(memory.usage().inodes, 4);
    /// # Ok::<(), vnode_memory::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// [`LoadError`], naming the entry.
    pub fn load<'a>(
        &self,
        entries: impl IntoIterator<Item = io::Result<Entry<'a>>>,
    ) -> Result<(), LoadError> {
        let who = Credentials { capabilities: Capabilities::all(), ..Credentials::root() };
        let clock = Fixed(time_of_day());
        let mut loader = Loader { cx: Cx::new(&who, &clock), memory: self, piece: Vec::new() };
        for entry in entries {
            let mut entry = entry.map_err(LoadError::Source)?;
            loader.add(&mut entry)?;
        }
        Ok(())
    }
}

struct Loader<'m> {
    cx: Cx<'m>,
    memory: &'m Memory,
    piece: Vec<u8>,
}

/// What is wrong with one entry, before its path is told.
enum Wrong {
    Path(PathProblem),
    Errno(&'static str, Errno),
    Content(io::Error),
}

impl Wrong {
    fn with(self, path: &[u8]) -> LoadError {
        let path = path.to_vec();
        match self {
            Wrong::Path(problem) => LoadError::Path { path, problem },
            Wrong::Errno(action, errno) => LoadError::Entry { path, action, errno },
            Wrong::Content(error) => LoadError::Content { path, error },
        }
    }
}

/// The names of a path.
fn names(path: &[u8]) -> Result<Vec<Name<'_>>, PathProblem> {
    match path.first() {
        None => return Err(PathProblem::Empty),
        Some(b'/') => return Err(PathProblem::Absolute),
        Some(_) if path.contains(&0) => return Err(PathProblem::Nul),
        Some(_) => {}
    }
    let components = path.split(|&byte| byte == b'/').filter(|&name| !matches!(name, b"" | b"."));
    components
        .map(|name| match name {
            b".." => Err(PathProblem::DotDot),
            name => Name::new(name).map_err(|_| PathProblem::TooLong),
        })
        .collect()
}

/// Reads until `piece` is full or the end is reached.
fn fill(reader: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = piece.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

impl Loader<'_> {
    fn add(&mut self, entry: &mut Entry<'_>) -> Result<(), LoadError> {
        let path = core::mem::take(&mut entry.path);
        self.place(&path, entry).map_err(|wrong| wrong.with(&path))
    }

    fn place(&mut self, path: &[u8], entry: &mut Entry<'_>) -> Result<(), Wrong> {
        let names = names(path).map_err(Wrong::Path)?;
        let Some((&name, above)) = names.split_last() else {
            if !matches!(entry.kind, EntryKind::Directory) {
                return Err(Wrong::Path(PathProblem::Root));
            }
            let root = self.memory.root_node().clone();
            return self.dress(&root, entry);
        };
        let parent = self.parent(above)?;
        let old = self.find(&parent, name);
        if let (EntryKind::Directory, Some(old)) = (&entry.kind, &old)
            && old.kind().is_dir()
        {
            return self.dress(old, entry);
        }
        let node = match &mut entry.kind {
            EntryKind::HardLink(target) => {
                let target = self.target(target)?;
                if old.is_some_and(|old| Arc::ptr_eq(&old, &target)) {
                    return Ok(());
                }
                return self.link(&parent, name, target);
            }
            _ => self.make(&parent, name, entry)?,
        };
        self.insert(&parent, name, node)
    }

    /// The directory that `names` lead to, made where it is missing.
    fn parent(&self, names: &[Name<'_>]) -> Result<Arc<Node>, Wrong> {
        let mut at = self.memory.root_node().clone();
        for &name in names {
            at = match self.find(&at, name) {
                Some(node) if node.kind().is_dir() => node,
                Some(_) => return Err(Wrong::Path(PathProblem::NotDirectory)),
                None => {
                    let owner = self.memory.root_node().attr();
                    let mode = Mode::from_raw(0o755);
                    let new = NewInode { kind: NewKind::Directory, mode, uid: owner.uid, gid: owner.gid };
                    let node = self.new_node(&at, name, &new)?;
                    self.insert(&at, name, node.clone())?;
                    node
                }
            };
        }
        Ok(at)
    }

    fn find(&self, dir: &Arc<Node>, name: Name<'_>) -> Option<Arc<Node>> {
        let entries = dir.directory().ok()?.entries.read();
        entries.get(name.as_bytes()).cloned()
    }

    fn new_node(&self, parent: &Arc<Node>, name: Name<'_>, new: &NewInode<'_>) -> Result<Arc<Node>, Wrong> {
        Node::new(&parent.shared, new, self.cx.now(), || Place::linked(parent, name.as_bytes()))
            .map_err(|errno| Wrong::Errno("can't make it", errno))
    }

    /// Makes the node of an entry, whole but for its name.
    fn make(
        &mut self,
        parent: &Arc<Node>,
        name: Name<'_>,
        entry: &mut Entry<'_>,
    ) -> Result<Arc<Node>, Wrong> {
        let kind = match &entry.kind {
            EntryKind::Directory => NewKind::Directory,
            EntryKind::File(_) | EntryKind::HardLink(_) => NewKind::Regular,
            EntryKind::Symlink(target) => {
                if target.is_empty() || target.len() > PATH_MAX || target.contains(&0) {
                    return Err(Wrong::Errno("can't link to such a target", Errno::INVAL));
                }
                NewKind::Symlink(target)
            }
            EntryKind::Fifo => NewKind::Fifo,
            EntryKind::Socket => NewKind::Socket,
            EntryKind::CharDevice(device) => NewKind::CharDevice(*device),
            EntryKind::BlockDevice(device) => NewKind::BlockDevice(*device),
        };
        let new = NewInode { kind, mode: entry.mode, uid: entry.uid, gid: entry.gid };
        let node = self.new_node(parent, name, &new)?;
        if let EntryKind::File(data) = &mut entry.kind {
            match data {
                Data::Bytes(bytes) => self.put(&node, 0, bytes)?,
                Data::Reader(reader) => self.copy(&node, reader.as_mut())?,
            }
        }
        self.dress(&node, entry)?;
        Ok(node)
    }

    /// Takes all that a reader gives.
    fn copy(&mut self, node: &Node, reader: &mut dyn Read) -> Result<(), Wrong> {
        let mut piece = core::mem::take(&mut self.piece);
        piece.resize(PIECE, 0);
        let mut offset = 0;
        let result = loop {
            let count = match fill(reader, &mut piece) {
                Ok(0) => break Ok(()),
                Ok(count) => count,
                Err(error) => break Err(Wrong::Content(error)),
            };
            if let Err(wrong) = self.put(node, offset, piece.get(..count).unwrap_or_default()) {
                break Err(wrong);
            }
            offset += count as u64;
        };
        self.piece = piece;
        result
    }

    /// Puts bytes at `offset`, which is a multiple of the size of a page. What is zero becomes a hole.
    fn put(&self, node: &Node, offset: u64, bytes: &[u8]) -> Result<(), Wrong> {
        let fails = |errno| Wrong::Errno("can't keep the content", errno);
        let quota = &node.shared.quota;
        let mut content = node.content().map_err(fails)?.write();
        for (page, at) in bytes.chunks(PAGE as usize).zip((offset..).step_by(PAGE as usize)) {
            if page.iter().all(|&byte| byte == 0) {
                continue;
            }
            let written = content.write(quota, at, &mut Source::from_slice(page)).map_err(fails)?;
            if written < page.len() {
                return Err(fails(Errno::NOSPC));
            }
        }
        content.set_size(quota, offset + bytes.len() as u64).map_err(fails)?;
        node.content_changed(&self.cx, &content);
        Ok(())
    }

    /// Gives a node the attributes of its entry.
    fn dress(&self, node: &Node, entry: &Entry<'_>) -> Result<(), Wrong> {
        for (name, value) in &entry.xattrs {
            node.set_xattr(&self.cx, name, value, SetXattr::Any)
                .map_err(|errno| Wrong::Errno("can't set an extended attribute", errno))?;
        }
        let mut meta = node.meta.write();
        if node.kind() != FileType::Symlink {
            meta.mode = entry.mode;
        }
        meta.uid = entry.uid;
        meta.gid = entry.gid;
        meta.atime = entry.mtime;
        meta.mtime = entry.mtime;
        meta.ctime = self.cx.now();
        Ok(())
    }

    /// The node that a hard link is to.
    fn target(&self, path: &[u8]) -> Result<Arc<Node>, Wrong> {
        let missing = || Wrong::Path(PathProblem::NoTarget);
        let mut at = self.memory.root_node().clone();
        for name in names(path).map_err(Wrong::Path)? {
            at = self.find(&at, name).ok_or_else(missing)?;
        }
        if at.kind().is_dir() { Err(Wrong::Errno("can't link to a directory", Errno::PERM)) } else { Ok(at) }
    }

    fn link(&self, parent: &Arc<Node>, name: Name<'_>, target: Arc<Node>) -> Result<(), Wrong> {
        let fails = |errno| Wrong::Errno("can't link it", errno);
        let mut meta = target.meta.write();
        let nlink = meta.nlink.checked_add(1).ok_or(fails(Errno::MLINK))?;
        target.shared.quota.inodes.take(1).map_err(fails)?;
        meta.nlink = nlink;
        meta.ctime = self.cx.now();
        drop(meta);
        self.insert(parent, name, target.clone()).inspect_err(|_| target.unlinked(self.cx.now()))
    }

    /// Gives a node its name, in place of what had it, leaving the directory's times.
    fn insert(&self, parent: &Arc<Node>, name: Name<'_>, node: Arc<Node>) -> Result<(), Wrong> {
        let fails = |errno| Wrong::Errno("can't take its place", errno);
        let mut entries = parent.directory().map_err(fails)?.entries.write();
        let old = Self::enter(&mut entries, parent, name, node).map_err(fails)?;
        parent.entries_counted(&mut parent.meta.write(), &entries);
        drop(entries);
        if let Some(old) = old {
            old.unlinked(self.cx.now());
        }
        Ok(())
    }

    fn enter(
        entries: &mut Entries,
        parent: &Arc<Node>,
        name: Name<'_>,
        node: Arc<Node>,
    ) -> Result<Option<Arc<Node>>, Errno> {
        let Some(position) = entries.position(name.as_bytes()) else {
            entries.make_room(node.kind().is_dir())?;
            entries.insert(name.as_bytes(), node);
            return Ok(None);
        };
        if let Some(old) = entries.node(position)
            && old.kind().is_dir()
        {
            retire(old, parent)?;
        }
        Ok(entries.replace(position, node))
    }
}
