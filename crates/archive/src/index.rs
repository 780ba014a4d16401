//! From members in the order of the archive to the tree that they make.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use vnode_core::fs::Inode as _;
use vnode_core::{Errno, FileType, Mode, NAME_MAX, PATH_MAX, Timespec};

use crate::error::{ArchiveError, PathProblem, Wrong};
use crate::layer::{self, Whiteout};
use crate::member::{Kind, Member};
use crate::node::{Body, Directory, Meta, Node, Xattrs};
use crate::tree::{self, Entry, Tree, bytes_of};

/// Bytes of names, targets, attributes and maps of holes that all members together may have. They are in memory, and a
/// compressed archive needs few bytes for many of them.
const MAX_TEXT: u64 = 1 << 30;
/// The longest name of an extended attribute (`XATTR_NAME_MAX`).
const XATTR_NAME_MAX: usize = 255;
/// The longest value of one (`XATTR_SIZE_MAX`).
const XATTR_SIZE_MAX: usize = 65536;
/// The longest list of their names (`XATTR_LIST_MAX`).
const XATTR_LIST_MAX: usize = 65536;
/// The root's node.
const ROOT: u32 = 0;

/// A tree that is being made.
pub(crate) struct Index {
    nodes: Vec<Node>,
    /// Nodes that have no name any more.
    free: Vec<u32>,
    entries: Vec<Entry>,
    names: Vec<u8>,
    /// Entries by directory and name.
    table: HashTable<u32>,
    hasher: RandomState,
    max_inodes: u64,
    /// Bytes of text that there may still be.
    text_left: u64,
    is_layer: bool,
    /// Whiteouts by the directory that they are in, until the rest is known.
    whiteouts: Vec<(u32, Whiteout)>,
}

impl Index {
    pub(crate) fn new(max_inodes: u64, is_layer: bool) -> Index {
        let root = Node { ino: 1, nlink: 2, meta: unsaid(), body: Body::Directory(Directory::default()) };
        Index {
            nodes: vec![root],
            free: Vec::new(),
            entries: Vec::new(),
            names: Vec::new(),
            table: HashTable::new(),
            hasher: RandomState::new(),
            max_inodes: max_inodes.min(u64::from(u32::MAX) - 1),
            text_left: MAX_TEXT,
            is_layer,
            whiteouts: Vec::new(),
        }
    }

    /// Puts a member where its path says, as `tar(1)` unpacks it.
    ///
    /// # Errors
    /// [`ArchiveError`], naming the member. The tree is not to be used then.
    pub(crate) fn add(&mut self, member: Member) -> Result<(), ArchiveError> {
        let Member { path, kind, mode, uid, gid, mtime, xattrs } = member;
        let kept = matches!(kind, Kind::Directory | Kind::File(_) | Kind::Packed(_));
        self.xattrs(if kept { xattrs } else { Vec::new() })
            .and_then(|xattrs| self.place(&path, kind, Meta { mode, uid, gid, mtime, xattrs }))
            .map_err(|wrong| wrong.with(&path))
    }

    fn xattrs(&mut self, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Xattrs, Wrong> {
        let action = "can't set an extended attribute";
        let (mut kept, mut list) = (Xattrs::new(), 0);
        for (name, value) in xattrs {
            if name.len() > XATTR_NAME_MAX {
                return Err(Wrong::Errno(action, Errno::RANGE));
            }
            list += name.len() + 1;
            if value.len() > XATTR_SIZE_MAX || list > XATTR_LIST_MAX {
                return Err(Wrong::Errno(action, Errno::TOOBIG));
            }
            self.take_text(name.len() + value.len() + size_of::<(Box<[u8]>, Arc<[u8]>)>())?;
            set_xattr(&mut kept, &name, &value);
        }
        Ok(kept)
    }

    fn place(&mut self, path: &[u8], kind: Kind, meta: Meta) -> Result<(), Wrong> {
        let names = names(path).map_err(Wrong::Path)?;
        let Some((name, above)) = names.split_last() else {
            if !matches!(kind, Kind::Directory) {
                return Err(Wrong::Path(PathProblem::Root));
            }
            self.dress(ROOT, meta);
            return Ok(());
        };
        if self.is_layer && names.iter().any(|name| layer::is_left_out(name)) {
            return Ok(());
        }
        let (name, above) = (*name, above);
        let parent = self.parent(above)?;
        if self.is_layer
            && let Some(whiteout) = layer::whiteout(name).map_err(Wrong::Path)?
        {
            self.take_text(size_of::<(u32, Whiteout)>() + name.len())?;
            self.whiteouts.push((parent, whiteout));
            return Ok(());
        }
        let old = self.find(parent, name);
        if matches!(kind, Kind::Directory)
            && let Some(old) = old
            && self.is_dir(old)
        {
            self.dress(old, meta);
            return Ok(());
        }
        if let Kind::HardLink(target) = &kind {
            let target = self.target(target)?;
            if old == Some(target) {
                return Ok(());
            }
            self.enter(parent, name, target)?;
            if let Some(node) = self.node_mut(target) {
                node.nlink += 1;
            }
            return Ok(());
        }
        let node = self.make(kind, meta)?;
        self.enter(parent, name, node)
    }

    /// The directory that `names` lead to, made where it is missing.
    fn parent(&mut self, names: &[&[u8]]) -> Result<u32, Wrong> {
        let mut at = ROOT;
        for name in names {
            at = match self.find(at, name) {
                Some(node) if self.is_dir(node) => node,
                Some(_) => return Err(Wrong::Path(PathProblem::NotDirectory)),
                None if self.is_layer && name.starts_with(layer::PREFIX) => {
                    return Err(Wrong::Path(PathProblem::Whiteout));
                }
                None => {
                    let node = self.new_node(Body::Directory(Directory::default()), unsaid())?;
                    self.enter(at, name, node)?;
                    node
                }
            };
        }
        Ok(at)
    }

    fn find(&self, dir: u32, name: &[u8]) -> Option<u32> {
        self.entry(dir, name).map(|entry| entry.node)
    }

    fn entry(&self, dir: u32, name: &[u8]) -> Option<&Entry> {
        let hash = tree::hash(&self.hasher, dir, name);
        let found = self.table.find(hash, |&at| self.stands_for(at, dir, name))?;
        self.entries.get(*found as usize)
    }

    fn stands_for(&self, at: u32, dir: u32, name: &[u8]) -> bool {
        let entry = self.entries.get(at as usize);
        entry.is_some_and(|entry| entry.dir == dir && bytes_of(&self.names, entry) == name)
    }

    fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        self.nodes.get_mut(node as usize)
    }

    fn is_dir(&self, node: u32) -> bool {
        self.kind(node) == Some(FileType::Directory)
    }

    fn kind(&self, node: u32) -> Option<FileType> {
        self.nodes.get(node as usize).map(Node::kind)
    }

    /// Makes the node of a member, whole but for its name.
    fn make(&mut self, kind: Kind, meta: Meta) -> Result<u32, Wrong> {
        let size = match &kind {
            Kind::File(content) => content.size(),
            Kind::Packed(packed) => packed.size(),
            _ => 0,
        };
        // What an offset reaches.
        if i64::try_from(size).is_err() {
            return Err(Wrong::Errno("can't make a file of its size", Errno::FBIG));
        }
        let body = match kind {
            Kind::Directory => Body::Directory(Directory { is_member: true, ..Directory::default() }),
            Kind::File(content) => {
                self.take_text(usize::try_from(content.map_len()).unwrap_or(usize::MAX))?;
                Body::File(content)
            }
            Kind::Packed(packed) => Body::Packed(Box::new(packed)),
            Kind::Symlink(target) => {
                if target.is_empty() || target.len() > PATH_MAX || target.contains(&0) {
                    return Err(Wrong::Errno("can't link to such a target", Errno::INVAL));
                }
                self.take_text(target.len())?;
                Body::Symlink(target.into())
            }
            // Settled before: it makes no node.
            Kind::HardLink(_) => return Err(Wrong::Path(PathProblem::NoTarget)),
            Kind::Fifo => Body::Fifo,
            Kind::CharDevice(device) => Body::CharDevice(device),
            Kind::BlockDevice(device) => Body::BlockDevice(device),
        };
        let mode = if matches!(body, Body::Symlink(_)) { Mode::from_raw(0o777) } else { meta.mode };
        self.new_node(body, Meta { mode, ..meta })
    }

    /// A node of no name yet.
    fn new_node(&mut self, body: Body, meta: Meta) -> Result<u32, Wrong> {
        let nlink = if matches!(body, Body::Directory(_)) { 2 } else { 1 };
        if let Some(index) = self.free.pop()
            && let Some(node) = self.node_mut(index)
        {
            *node = Node { ino: node.ino, nlink, meta, body };
            return Ok(index);
        }
        let index = self.nodes.len();
        self.nodes.push(Node { ino: index as u64 + 1, nlink, meta, body });
        u32::try_from(index).map_err(|_| self.too_many())
    }

    /// That there are no more inodes than there may be, nor names of them: links take names without nodes.
    fn check_count(&self) -> Result<(), Wrong> {
        let inodes = self.nodes.len() - self.free.len();
        let most = inodes.max(self.entries.len() + 1);
        if most as u64 > self.max_inodes { Err(self.too_many()) } else { Ok(()) }
    }

    fn too_many(&self) -> Wrong {
        Wrong::Archive(ArchiveError::TooMany { max_inodes: self.max_inodes })
    }

    fn take_text(&mut self, len: usize) -> Result<(), Wrong> {
        let left = self.text_left.checked_sub(len as u64);
        self.text_left = left.ok_or(Wrong::Archive(ArchiveError::TooLong { max_bytes: MAX_TEXT }))?;
        Ok(())
    }

    /// Gives a directory the attributes of a member.
    fn dress(&mut self, dir: u32, meta: Meta) {
        let Some(node) = self.node_mut(dir) else { return };
        let mut xattrs = core::mem::take(&mut node.meta.xattrs);
        for (name, value) in &meta.xattrs {
            set_xattr(&mut xattrs, name, value);
        }
        node.meta = Meta { xattrs, ..meta };
        if let Body::Directory(directory) = &mut node.body {
            directory.is_member = true;
        }
    }

    /// The node that a hard link is to.
    fn target(&self, path: &[u8]) -> Result<u32, Wrong> {
        let mut at = ROOT;
        for name in names(path).map_err(Wrong::Path)? {
            at = self.find(at, name).ok_or(Wrong::Path(PathProblem::NoTarget))?;
        }
        if self.is_dir(at) { Err(Wrong::Errno("can't link to a directory", Errno::PERM)) } else { Ok(at) }
    }

    /// Gives a node a name, in place of what had it.
    fn enter(&mut self, dir: u32, name: &[u8], node: u32) -> Result<(), Wrong> {
        let is_dir = self.is_dir(node);
        let hash = tree::hash(&self.hasher, dir, name);
        let (entries, names) = (&self.entries, &self.names);
        let stands_for = |at: &u32| {
            let entry = entries.get(*at as usize);
            entry.is_some_and(|entry| entry.dir == dir && bytes_of(names, entry) == name)
        };
        if let Some(&at) = self.table.find(hash, stands_for) {
            self.replace(at, node)?;
        } else {
            self.take_text(name.len())?;
            let order = u32::try_from(self.entries.len()).map_err(|_| self.too_many())?;
            let start = u32::try_from(self.names.len())
                .map_err(|_| Wrong::Archive(ArchiveError::TooLong { max_bytes: MAX_TEXT }))?;
            let name_len = u8::try_from(name.len()).map_err(|_| Wrong::Path(PathProblem::TooLong))?;
            self.names.extend_from_slice(name);
            self.entries.push(Entry { dir, node, name: start, name_len, order });
            let (entries, names, hasher) = (&self.entries, &self.names, &self.hasher);
            let again = |at: &u32| {
                entries
                    .get(*at as usize)
                    .map_or(0, |entry| tree::hash(hasher, entry.dir, bytes_of(names, entry)))
            };
            self.table.insert_unique(hash, order, again);
            if let Some(Body::Directory(directory)) = self.node_mut(dir).map(|node| &mut node.body) {
                directory.count += 1;
            }
        }
        self.check_count()?;
        if is_dir {
            if let Some(above) = self.node_mut(dir) {
                above.nlink += 1;
            }
            if let Some(Body::Directory(directory)) = self.node_mut(node).map(|node| &mut node.body) {
                directory.parent = dir;
            }
        }
        Ok(())
    }

    /// Has an entry stand for another node. What it stood for loses a name.
    fn replace(&mut self, entry: u32, node: u32) -> Result<(), Wrong> {
        let Some(entry) = self.entries.get_mut(entry as usize) else { return Ok(()) };
        let (dir, old) = (entry.dir, entry.node);
        if let Some(Body::Directory(directory)) = self.nodes.get(old as usize).map(|node| &node.body)
            && directory.count > 0
        {
            return Err(Wrong::Errno("can't take its place", Errno::NOTEMPTY));
        }
        entry.node = node;
        if self.is_dir(old)
            && let Some(above) = self.node_mut(dir)
        {
            above.nlink -= 1;
        }
        let is_dir = self.is_dir(old);
        if let Some(old_node) = self.node_mut(old) {
            old_node.nlink = if is_dir { 0 } else { old_node.nlink.saturating_sub(1) };
            if old_node.nlink == 0 {
                // What it held of memory goes.
                (old_node.body, old_node.meta.xattrs) = (Body::Fifo, Xattrs::new());
                self.free.push(old);
            }
        }
        Ok(())
    }

    /// The tree, and how many inodes it has.
    ///
    /// # Errors
    /// [`ArchiveError::TooMany`], of whiteouts.
    pub(crate) fn finish(mut self) -> Result<(Tree, u64), ArchiveError> {
        self.apply_whiteouts().map_err(|wrong| wrong.with(b"."))?;
        let Index { mut nodes, free, mut entries, names, mut table, hasher, .. } = self;
        let inodes = (nodes.len() - free.len()) as u64;
        entries.sort_unstable_by(|a, b| {
            a.dir.cmp(&b.dir).then_with(|| bytes_of(&names, a).cmp(bytes_of(&names, b)))
        });
        for (at, entry) in (0..).zip(&entries) {
            if let Some(Body::Directory(directory)) =
                nodes.get_mut(entry.node as usize).map(|node| &mut node.body)
            {
                directory.entry = Some(at);
            }
        }
        let hash_of = |at: &u32| {
            let entry = entries.get(*at as usize);
            entry.map_or(0, |entry| tree::hash(&hasher, entry.dir, bytes_of(&names, entry)))
        };
        table.clear();
        for at in (0..).zip(&entries).map(|(at, _)| at) {
            table.insert_unique(hash_of(&at), at, hash_of);
        }
        let mut start = 0;
        for same in entries.chunk_by(|a, b| a.dir == b.dir) {
            let dir = same.first().map_or(ROOT, |entry| entry.dir);
            if let Some(Body::Directory(directory)) = nodes.get_mut(dir as usize).map(|node| &mut node.body) {
                directory.first = start;
            }
            start = start.saturating_add(u32::try_from(same.len()).unwrap_or(u32::MAX));
        }
        let nodes = nodes.into_iter().map(Arc::new).collect();
        Ok((Tree { nodes, entries: entries.into(), names: names.into(), table, hasher }, inodes))
    }

    /// A whiteout is of what is below the layer: what the layer itself has under the name stays, and if that is a
    /// directory, nothing below shows through it.
    fn apply_whiteouts(&mut self) -> Result<(), Wrong> {
        for (dir, whiteout) in core::mem::take(&mut self.whiteouts) {
            let opaque = match whiteout {
                Whiteout::Opaque => Some(dir),
                Whiteout::Name(name) => match self.find(dir, &name) {
                    Some(node) => Some(node).filter(|&node| self.is_dir(node)),
                    None => {
                        let node = self.new_node(Body::CharDevice(0), unsaid())?;
                        self.enter(dir, &name, node)?;
                        None
                    }
                },
            };
            if let Some(node) = opaque.and_then(|node| self.node_mut(node)) {
                for name in layer::OPAQUE {
                    set_xattr(&mut node.meta.xattrs, name, b"y");
                }
            }
        }
        Ok(())
    }
}

/// The attributes of what no member tells of.
fn unsaid() -> Meta {
    Meta { mode: Mode::from_raw(0o755), uid: 0, gid: 0, mtime: Timespec::EPOCH, xattrs: Xattrs::new() }
}

fn set_xattr(xattrs: &mut Xattrs, name: &[u8], value: &[u8]) {
    match xattrs.binary_search_by(|(there, _)| (**there).cmp(name)) {
        Ok(at) => {
            if let Some((_, there)) = xattrs.get_mut(at) {
                *there = value.into();
            }
        }
        Err(at) => xattrs.insert(at, (name.into(), value.into())),
    }
}

/// The names of a path.
fn names(path: &[u8]) -> Result<Vec<&[u8]>, PathProblem> {
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
            name if name.len() > NAME_MAX => Err(PathProblem::TooLong),
            name => Ok(name),
        })
        .collect()
}
