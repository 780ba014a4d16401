//! A filesystem of the embedder's own, from nothing but the trait: a table of names, here a map, whose rows lead to
//! inodes. It has all of POSIX; extended attributes and holes it leaves out, and `vnode_adapt::Quota` around it
//! limits what it holds.
//!
//! Locks: the table of names, then one inode's record. Each operation on names holds the table to its end.

use std::collections::{BTreeMap, btree_map::Range};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::{cmp::Reverse, iter, ops::ControlFlow, time::SystemTime};

use parking_lot::Mutex;
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Cx, Errno, FileType, Mode, Name, NameBuf, Result, SetAttr, fs::*};

const ROOT: u64 = 1;
const PAGE: u64 = 4096;
/// Where the last page that can be written ends.
const MAX_END: u64 = (1 << 63) - PAGE;

/// An inode: there as long as a name or a holder has it.
pub(crate) struct Node {
    ino: u64,
    kind: FileType,
    record: Mutex<Record>,
}

struct Record {
    attr: Attr,
    target: Arc<[u8]>,
    /// A file's content; a page that is not there is zeros.
    pages: BTreeMap<u64, Box<[u8]>>,
    parent: Weak<Node>,
    /// What was the parent of a removed directory.
    held: Option<Arc<Node>>,
}

/// The cookie and inode of each name in a directory; newer names have greater cookies.
type Names = BTreeMap<(u64, Vec<u8>), (u64, Arc<Node>)>;

fn key(at: At<'_, Node>) -> (u64, Vec<u8>) {
    (at.dir.ino, at.name.as_bytes().to_vec())
}
fn entries(names: &Names, dir: u64) -> Range<'_, (u64, Vec<u8>), (u64, Arc<Node>)> {
    names.range((dir, vec![])..(dir + 1, vec![]))
}
fn check_vacant(names: &Names, at: At<'_, Node>) -> Result<()> {
    let removed = at.dir.record.lock().attr.nlink == 0;
    let there = if names.contains_key(&key(at)) { Err(Errno::EXIST) } else { Ok(()) };
    if removed { Err(Errno::NOENT) } else { there }
}
fn check_empty(names: &Names, node: &Node) -> Result<()> {
    if entries(names, node.ino).next().is_none() { Ok(()) } else { Err(Errno::NOTEMPTY) }
}
/// Makes a name stand for another inode, or for none; answers what it stood for.
fn put(cx: &Cx<'_>, names: &mut Names, at: At<'_, Node>, new: Option<(u64, Arc<Node>)>) -> Option<Arc<Node>> {
    let subdirs = |node: Option<&Arc<Node>>| u32::from(node.is_some_and(|node| node.kind.is_dir()));
    let more = subdirs(new.as_ref().map(|(_, node)| node));
    if let Some((_, node)) = &new {
        let mut record = node.record.lock();
        (record.attr.ctime, record.parent) = (cx.now(), Arc::downgrade(at.dir));
    }
    let old = match new {
        Some(new) => names.insert(key(at), new),
        None => names.remove(&key(at)),
    };
    let old = old.map(|(_, node)| node);
    let mut dir = at.dir.record.lock();
    dir.attr.nlink = dir.attr.nlink + more - subdirs(old.as_ref());
    dir.attr.changed(cx);
    old
}
/// A name of an inode is gone; a directory had but one.
fn unlinked(cx: &Cx<'_>, node: &Node) {
    let mut record = node.record.lock();
    record.attr.ctime = cx.now();
    if node.kind.is_dir() {
        (record.attr.nlink, record.held) = (0, record.parent.upgrade());
    } else {
        record.attr.nlink -= 1;
    }
}
fn is_above(node: &Arc<Node>, dir: &Arc<Node>) -> bool {
    iter::successors(Some(dir.clone()), |dir| dir.record.lock().parent.upgrade())
        .any(|dir| Arc::ptr_eq(&dir, node))
}

impl Inode for Node {
    fn id(&self) -> InodeId {
        InodeId(self.ino, 0)
    }
    fn kind(&self) -> FileType {
        self.kind
    }
}

impl Drop for Node {
    /// Lets go of removed directories above one another without recursion, however many there are.
    fn drop(&mut self) {
        let mut above = self.record.get_mut().held.take();
        while let Some(mut node) = above.and_then(Arc::into_inner) {
            above = node.record.get_mut().held.take();
        }
    }
}

impl Record {
    fn new(attr: Attr, target: &[u8]) -> Mutex<Self> {
        let (pages, parent, held) = (BTreeMap::new(), Weak::new(), None);
        Mutex::new(Record { attr, target: target.into(), pages, parent, held })
    }
    fn write(&mut self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        let mut at = offset;
        while from.remaining() > 0 && at < MAX_END {
            let page = self.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize].into());
            at += from.take(&mut page[(at % PAGE) as usize..]) as u64;
        }
        match at - offset {
            0 if from.remaining() > 0 => return Err(Errno::FBIG),
            0 => {}
            _ => self.grow(cx, at),
        }
        Ok((at - offset) as usize)
    }
    fn grow(&mut self, cx: &Cx<'_>, size: u64) {
        self.attr.size = self.attr.size.max(size);
        self.attr.blocks = self.pages.len() as u64 * PAGE / 512;
        self.attr.changed(cx);
    }
    fn cut(&mut self, size: u64) {
        self.pages.split_off(&size.div_ceil(PAGE));
        if let Some(last) = self.pages.get_mut(&(size / PAGE)) {
            last[(size % PAGE) as usize..].fill(0);
        }
        (self.attr.size, self.attr.blocks) = (size, self.pages.len() as u64 * PAGE / 512);
    }
}

impl File for Node {
    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        let mut record = self.record.lock();
        record.attr.accessed(cx);
        let (mut at, end) = (offset, record.attr.size.min(offset + into.remaining() as u64));
        while at < end {
            let (from, len) = ((at % PAGE) as usize, (end - at).min(PAGE - at % PAGE) as usize);
            at += match record.pages.get(&(at / PAGE)) {
                Some(page) => into.put(&page[from..from + len]) as u64,
                None => into.zero(len) as u64,
            };
        }
        Ok((at - offset) as usize)
    }
    fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        self.record.lock().write(cx, offset, from)
    }
    fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        let mut record = self.record.lock();
        let end = record.attr.size;
        Ok((record.write(cx, end, from)?, record.attr.size))
    }
    fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()> {
        let mut record = self.record.lock();
        record.cut(len);
        record.attr.changed(cx);
        Ok(())
    }
    fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        if how != Allocate::Extend {
            return Err(Errno::OPNOTSUPP);
        }
        // There is always room for the pages, so only the size changes.
        self.record.lock().grow(cx, offset + len);
        Ok(())
    }
}

struct Listing {
    names: Arc<Mutex<Names>>,
    dir: Arc<Node>,
}

impl DirStream for Listing {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let before = if cookie < FIRST_COOKIE { LAST_COOKIE } else { cookie };
        let names = self.names.lock();
        let rows = entries(&names, self.dir.ino).filter(|(_, (number, _))| *number < before);
        let mut rows: Vec<_> =
            rows.map(|((_, name), (number, node))| (*number, name.clone(), node.clone())).collect();
        match &mut self.dir.record.lock().attr {
            removed if removed.nlink == 0 => return Err(Errno::NOENT),
            attr => attr.accessed(cx),
        }
        drop(names);
        rows.sort_unstable_by_key(|(number, ..)| Reverse(*number));
        for (next, name, Node { ino, kind, .. }) in
            rows.iter().map(|(next, name, node)| (*next, name, &**node))
        {
            if emit(DirEntry { name, ino: *ino, kind: *kind, next }).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The filesystem.
pub(crate) struct Table {
    names: Arc<Mutex<Names>>,
    root: Arc<Node>,
    last: AtomicU64,
}

impl Default for Table {
    fn default() -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().into();
        let bare = Attr::bare(ROOT, FileType::Directory, Mode::from_raw(0o755));
        let attr = Attr { nlink: 2, atime: now, mtime: now, ctime: now, btime: Some(now), ..bare };
        let root = Arc::new(Node { ino: ROOT, kind: attr.kind, record: Record::new(attr, b"") });
        Table { names: Arc::default(), root, last: AtomicU64::new(FIRST_COOKIE) }
    }
}

impl Table {
    /// The attributes and content of what a name in the root stands for: a look into the store, past all guests.
    pub(crate) fn row(&self, name: &[u8]) -> Option<(Attr, Vec<u8>)> {
        let names = self.names.lock();
        let record = names.get(&(ROOT, name.to_vec()))?.1.record.lock();
        let mut content: Vec<u8> = record.pages.values().flat_map(|page| page.iter().copied()).collect();
        content.truncate(record.attr.size as usize);
        Some((record.attr, content))
    }
}

impl Filesystem for Table {
    type Inode = Node;
    fn caps(&self) -> Caps {
        Caps::SYMLINKS | Caps::HARDLINKS | Caps::EXCHANGE | Caps::SPECIAL
    }
    fn root(&self) -> Arc<Node> {
        self.root.clone()
    }
    fn lookup(&self, _: &Cx<'_>, at: At<'_, Node>) -> Result<Arc<Node>> {
        self.names.lock().get(&key(at)).map(|(_, node)| node.clone()).ok_or(Errno::NOENT)
    }
    fn parent(&self, _: &Cx<'_>, dir: &Arc<Node>) -> Result<Arc<Node>> {
        let parent = dir.record.lock().parent.upgrade();
        if dir.ino == ROOT { Ok(dir.clone()) } else { parent.ok_or(Errno::NOENT) }
    }
    fn name_of(&self, cx: &Cx<'_>, dir: &Arc<Node>, out: &mut NameBuf) -> Result<()> {
        let names = self.names.lock();
        let mut rows = entries(&names, self.parent(cx, dir)?.ino);
        match rows.find(|(_, (_, node))| Arc::ptr_eq(node, dir)) {
            Some(((_, name), _)) => out.set(Name::new(name)?),
            None if dir.ino == ROOT => *out = NameBuf::new(),
            None => return Err(Errno::NOENT),
        }
        Ok(())
    }
    fn create(&self, cx: &Cx<'_>, at: At<'_, Node>, new: NewInode<'_>) -> Result<Arc<Node>> {
        let mut names = self.names.lock();
        check_vacant(&names, at)?;
        let ino = self.last.fetch_add(1, Relaxed);
        let target = if let NewKind::Symlink(target) = new.kind { target } else { b"" };
        let record = Record::new(new.attr(cx, ino), target);
        let node = Arc::new(Node { ino, kind: new.kind.file_type(), record });
        put(cx, &mut names, at, Some((ino, node.clone())));
        Ok(node)
    }
    fn link(&self, cx: &Cx<'_>, at: At<'_, Node>, target: &Arc<Node>) -> Result<()> {
        let mut names = self.names.lock();
        check_vacant(&names, at)?;
        match &mut target.record.lock().attr.nlink {
            0 => return Err(Errno::NOENT),
            nlink => *nlink = nlink.checked_add(1).ok_or(Errno::MLINK)?,
        }
        put(cx, &mut names, at, Some((self.last.fetch_add(1, Relaxed), target.clone())));
        Ok(())
    }
    fn remove(&self, cx: &Cx<'_>, at: At<'_, Node>, what: Remove) -> Result<()> {
        let mut names = self.names.lock();
        let (_, node) = names.get(&key(at)).cloned().ok_or(Errno::NOENT)?;
        match (what, node.kind.is_dir()) {
            (Remove::File, true) => return Err(Errno::ISDIR),
            (Remove::Directory, false) => return Err(Errno::NOTDIR),
            _ => check_empty(&names, &node)?,
        }
        put(cx, &mut names, at, None);
        unlinked(cx, &node);
        Ok(())
    }
    fn rename(&self, cx: &Cx<'_>, from: At<'_, Node>, to: At<'_, Node>, how: Rename) -> Result<()> {
        let mut names = self.names.lock();
        let (old_cookie, old) = names.get(&key(from)).cloned().ok_or(Errno::NOENT)?;
        let new = names.get(&key(to)).cloned();
        let above = new.as_ref().is_some_and(|(_, new)| is_above(new, from.dir));
        match (how, &new) {
            (_, None) if check_vacant(&names, to).is_err() => return Err(Errno::NOENT),
            (Rename::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (Rename::Exchange, None) => return Err(Errno::NOENT),
            _ if is_above(&old, to.dir) => return Err(Errno::INVAL),
            (_, Some(_)) if above => {
                return Err(if how == Rename::Exchange { Errno::INVAL } else { Errno::NOTEMPTY });
            }
            (_, Some((_, new))) if Arc::ptr_eq(&old, new) => return Ok(()),
            (Rename::Replace, Some((_, new))) => match (old.kind.is_dir(), new.kind.is_dir()) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                _ => check_empty(&names, new)?,
            },
            _ => {}
        }
        let back = new.clone().filter(|_| how == Rename::Exchange).map(|(_, new)| (old_cookie, new));
        put(cx, &mut names, from, back);
        let cookie = new.as_ref().map_or_else(|| self.last.fetch_add(1, Relaxed), |(cookie, _)| *cookie);
        let replaced = put(cx, &mut names, to, Some((cookie, old)));
        replaced.filter(|_| how == Rename::Replace).iter().for_each(|node| unlinked(cx, node));
        Ok(())
    }
    fn readlink(&self, cx: &Cx<'_>, link: &Arc<Node>) -> Result<LinkTarget> {
        let mut record = link.record.lock();
        record.attr.accessed(cx);
        if link.kind.is_symlink() { Ok(LinkTarget::Text(record.target.clone())) } else { Err(Errno::INVAL) }
    }
    fn getattr(&self, _: &Cx<'_>, inode: &Arc<Node>) -> Result<Attr> {
        let _whole = self.names.lock();
        Ok(inode.record.lock().attr)
    }
    fn setattr(&self, cx: &Cx<'_>, inode: &Arc<Node>, set: &SetAttr) -> Result<()> {
        let mut record = inode.record.lock();
        set.apply(cx, &mut record.attr);
        set.size.into_iter().for_each(|size| record.cut(size));
        Ok(())
    }
    fn open(&self, _: &Cx<'_>, inode: &Arc<Node>, _: Access) -> Result<Arc<dyn File>> {
        if inode.kind == FileType::Regular { Ok(inode.clone()) } else { Err(Errno::NXIO) }
    }
    fn open_dir(&self, _: &Cx<'_>, dir: &Arc<Node>) -> Result<Box<dyn DirStream>> {
        let listing = Listing { names: self.names.clone(), dir: dir.clone() };
        if dir.kind.is_dir() { Ok(Box::new(listing)) } else { Err(Errno::NOTDIR) }
    }
}
