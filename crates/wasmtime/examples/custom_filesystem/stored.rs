//! A filesystem with the content of its files in a store of the embedder's: a map of pages here, a database elsewhere.
//! Names and attributes are those of a memory filesystem within, whose inodes are this one's too.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Cx, Errno, FileType, NameBuf, Result, SetAttr, fs::*};
use vnode_memory::{Memory, Node};

const PAGE: u64 = 4096;
/// The most pages of a file.
const CAPACITY: usize = 1 << 16;
/// The pages of a file; what is not there is a hole.
type Pages = BTreeMap<u64, Box<[u8]>>;
type Store = Mutex<BTreeMap<InodeId, (Weak<Node>, Pages)>>;

fn zeros() -> Box<[u8]> {
    vec![0; PAGE as usize].into()
}

/// The filesystem.
#[derive(Default)]
pub(crate) struct Stored {
    names: Memory,
    store: Arc<Store>,
}

impl Stored {
    fn content(&self, of: &Arc<Node>) -> Content {
        Content(of.clone(), self.store.clone())
    }

    /// Forgets the content of files that are gone: no name and no open file has them.
    fn sweep(&self) {
        self.store.lock().retain(|_, (node, _)| node.strong_count() > 0);
    }
}

/// The content of a file. One lock for all makes each operation atomic.
struct Content(Arc<Node>, Arc<Store>);

impl Content {
    fn pages(&self) -> MappedMutexGuard<'_, Pages> {
        let new = || (Arc::downgrade(&self.0), Pages::new());
        MutexGuard::map(self.1.lock(), |store| &mut store.entry(self.0.id()).or_insert_with(new).1)
    }

    fn size(&self, cx: &Cx<'_>) -> Result<u64> {
        // Appending nothing tells where the end is.
        Ok(self.0.append(cx, &mut Source::from_slice(b""))?.1)
    }

    fn cut(&self, pages: &mut Pages, len: u64) {
        pages.split_off(&len.div_ceil(PAGE));
        if let Some(last) = pages.get_mut(&(len / PAGE)) {
            last[(len % PAGE) as usize..].fill(0);
        }
    }

    fn write(&self, cx: &Cx<'_>, pages: &mut Pages, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        let mut at = offset;
        while from.remaining() > 0 && (pages.len() < CAPACITY || pages.contains_key(&(at / PAGE))) {
            let page = pages.entry(at / PAGE).or_insert_with(zeros);
            at += from.take(&mut page[(at % PAGE) as usize..]) as u64;
        }
        if at == offset {
            return if from.remaining() > 0 { Err(Errno::NOSPC) } else { Ok(0) };
        }
        self.0.set_len(cx, self.size(cx)?.max(at))?; // The times follow.
        Ok((at - offset) as usize)
    }
}

impl File for Content {
    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        let (pages, end) = (self.pages(), self.size(cx)?.min(offset + into.remaining() as u64));
        let mut at = offset;
        while at < end {
            let (from, len) = ((at % PAGE) as usize, (end - at).min(PAGE - at % PAGE) as usize);
            at += match pages.get(&(at / PAGE)) {
                Some(page) => into.put(&page[from..from + len]) as u64,
                None => into.zero(len) as u64,
            };
        }
        self.0.read_at(cx, 0, &mut Sink::from_slice(&mut []))?; // The access time follows.
        Ok((at - offset) as usize)
    }
    fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        self.write(cx, &mut self.pages(), offset, from)
    }
    fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        let (mut pages, end) = (self.pages(), self.size(cx)?);
        let count = self.write(cx, &mut pages, end, from)?;
        Ok((count, end + count as u64))
    }
    fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()> {
        let mut pages = self.pages();
        self.0.set_len(cx, len).inspect(|()| self.cut(&mut pages, len))
    }
    fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        let (mut pages, all) = (self.pages(), offset / PAGE..(offset + len).div_ceil(PAGE));
        match how {
            Allocate::Extend if all.end - all.start <= (CAPACITY - pages.len()) as u64 => {}
            Allocate::Extend => return Err(Errno::NOSPC),
            _ => return Err(Errno::OPNOTSUPP),
        }
        let missing: Vec<_> = all.filter(|page| !pages.contains_key(page)).collect();
        pages.extend(missing.into_iter().map(|page| (page, zeros())));
        self.0.set_len(cx, self.size(cx)?.max(offset + len))
    }
    fn seek_data_or_hole(&self, cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64> {
        let (pages, size) = (self.pages(), self.size(cx)?);
        let found = match what {
            SeekFor::Data => pages.range(offset / PAGE..).next().map(|(page, _)| *page),
            SeekFor::Hole => (offset / PAGE..).find(|page| !pages.contains_key(page)),
        };
        found.filter(|_| offset < size).map(|page| (page * PAGE).clamp(offset, size)).ok_or(Errno::NXIO)
    }
}

impl Filesystem for Stored {
    type Inode = Node;
    fn caps(&self) -> Caps {
        Caps::SYMLINKS | Caps::HARDLINKS | Caps::EXCHANGE | Caps::SPECIAL
    }
    fn root(&self) -> Arc<Node> {
        self.names.root()
    }
    fn lookup(&self, cx: &Cx<'_>, at: At<'_, Node>) -> Result<Arc<Node>> {
        self.names.lookup(cx, at)
    }
    fn parent(&self, cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Arc<Node>> {
        self.names.parent(cx, dir)
    }
    fn name_of(&self, cx: &Cx<'_>, dir: &Arc<Node>, out: &mut NameBuf) -> Result<()> {
        self.names.name_of(cx, dir, out)
    }
    fn create(&self, cx: &Cx<'_>, at: At<'_, Node>, new: NewInode<'_>) -> Result<Arc<Node>> {
        self.names.create(cx, at, new)
    }
    fn link(&self, cx: &Cx<'_>, at: At<'_, Node>, target: &Arc<Node>) -> Result<()> {
        self.names.link(cx, at, target)
    }
    fn remove(&self, cx: &Cx<'_>, at: At<'_, Node>, what: Remove) -> Result<()> {
        self.names.remove(cx, at, what).inspect(|()| self.sweep())
    }
    fn rename(&self, cx: &Cx<'_>, from: At<'_, Node>, to: At<'_, Node>, how: Rename) -> Result<()> {
        self.names.rename(cx, from, to, how).inspect(|()| self.sweep())
    }
    fn readlink(&self, cx: &Cx<'_>, link: &Arc<Node>) -> Result<LinkTarget> {
        self.names.readlink(cx, link)
    }
    fn getattr(&self, cx: &Cx<'_>, inode: &Arc<Node>) -> Result<Attr> {
        self.names.getattr(cx, inode)
    }
    fn setattr(&self, cx: &Cx<'_>, inode: &Arc<Node>, set: &SetAttr) -> Result<()> {
        let Some(len) = set.size else { return self.names.setattr(cx, inode, set) };
        let content = self.content(inode);
        let mut pages = content.pages();
        // A file with content is changed even by the size that it has.
        let touched = if pages.is_empty() { Ok(()) } else { inode.set_len(cx, len) };
        touched.and_then(|()| self.names.setattr(cx, inode, set)).inspect(|()| content.cut(&mut pages, len))
    }
    fn open(&self, _: &Cx<'_>, inode: &Arc<Node>, _: Access) -> Result<Arc<dyn File>> {
        if inode.kind() == FileType::Regular { Ok(Arc::new(self.content(inode))) } else { Err(Errno::NXIO) }
    }
    fn open_dir(&self, cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Box<dyn DirStream>> {
        self.names.open_dir(cx, dir)
    }
}
