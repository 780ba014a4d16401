//! Listing a directory: one index of its names for all who list it, kept up to date by the overlay's own changes.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{DirEntry, DirStream, FIRST_COOKIE, Filesystem, Inode};
use vnode_core::{Cx, Errno, FileType, Name, Result};

use crate::layers::{Own, Piece, UPPER, at};
use crate::node::{Names, Node};
use crate::overlay::Shared;

/// How many entries are copied out of an index at once.
const BATCH: usize = 64;

#[derive(Clone)]
struct Item {
    name: Arc<[u8]>,
    ino: u64,
    kind: FileType,
}

#[derive(Default)]
struct Items {
    by_number: BTreeMap<u64, Item>,
    numbers: HashMap<Arc<[u8]>, u64>,
    next: u64,
}

/// The names of a directory in their order: a new one's number is higher than any before, and listed are the higher ones
/// first. Its lock is a leaf.
#[derive(Default)]
pub(crate) struct Index {
    items: Mutex<Items>,
    /// Whether the directory was read since its names were changed: a second time counts for nothing then.
    was_read: AtomicBool,
}

/// Some entries, copied out of an index.
#[derive(Default)]
struct Batch {
    entries: Vec<Listed>,
    /// Their names, one behind the other.
    names: Vec<u8>,
}

/// An entry whose name is in a batch.
struct Listed {
    number: u64,
    ino: u64,
    kind: FileType,
    /// Where the name ends.
    end: usize,
}

impl Batch {
    /// Takes what an index has below a cookie, in place of what was here; tells whether that may not be all.
    fn fill(&mut self, index: &Index, cookie: u64) -> bool {
        self.entries.clear();
        self.names.clear();
        let items = index.items.lock();
        let end = if cookie < FIRST_COOKIE { u64::MAX } else { cookie };
        for (&number, item) in items.by_number.range(..end).rev().take(BATCH) {
            self.names.extend_from_slice(&item.name);
            let (ino, kind, end) = (item.ino, item.kind, self.names.len());
            self.entries.push(Listed { number, ino, kind, end });
        }
        self.entries.len() == BATCH
    }

    /// The entries in order.
    fn iter(&self) -> impl Iterator<Item = DirEntry<'_>> {
        let mut start = 0;
        self.entries.iter().filter_map(move |&Listed { number, ino, kind, end }| {
            let name = self.names.get(start..end)?;
            start = end;
            Some(DirEntry { name, ino, kind, next: number })
        })
    }
}

impl Index {
    /// Of these, the first of which is listed first.
    fn of(items: Vec<Item>) -> Self {
        let mut all = Items { next: FIRST_COOKIE, ..Items::default() };
        for item in items.into_iter().rev() {
            all.insert(item);
        }
        Index { items: Mutex::new(all), was_read: AtomicBool::new(false) }
    }

    /// A name is there, now or still, for this inode.
    pub(crate) fn set(&self, name: Name<'_>, node: &Node) {
        let item = Item { name: name.as_bytes().into(), ino: node.ino(), kind: node.kind() };
        self.items.lock().insert(item);
        self.was_read.store(false, Ordering::Relaxed);
    }

    /// A name is gone.
    pub(crate) fn remove(&self, name: Name<'_>) {
        let mut items = self.items.lock();
        if let Some(number) = items.numbers.remove(name.as_bytes()) {
            items.by_number.remove(&number);
        }
        self.was_read.store(false, Ordering::Relaxed);
    }
}

impl Items {
    /// A name that is there keeps its number.
    fn insert(&mut self, item: Item) {
        let number = *self.numbers.entry(Arc::clone(&item.name)).or_insert_with(|| {
            self.next += 1;
            self.next - 1
        });
        self.by_number.insert(number, item);
    }
}

impl Shared {
    /// The index of a directory, made if nobody has one.
    fn index(&self, cx: &Cx<'_>, dir: &Arc<Node>) -> Result<Arc<Index>> {
        let mut names = dir.directory()?.names.write();
        if names.removed {
            return Err(Errno::NOENT);
        }
        if let Some(index) = names.index.upgrade() {
            return Ok(index);
        }
        let own = Own::during(cx);
        let index = Arc::new(Index::of(self.merged(&own.cx(), dir, &names)?));
        names.index = Arc::downgrade(&index);
        Ok(index)
    }

    /// The names of a directory in their order: first those that only the upper has, then those of the lowers. A name of
    /// a lower keeps its place there, the lowest if there are several, whatever the upper has under it: copying up
    /// changes no order.
    fn merged(&self, own: &Cx<'_>, dir: &Arc<Node>, names: &Names) -> Result<Vec<Item>> {
        // What each name stands for in the topmost layer that has it; nothing if that is a whiteout.
        let mut shown: HashMap<Arc<[u8]>, Option<Item>> = HashMap::new();
        let mut order: Vec<Vec<Item>> = Vec::new();
        let upper = dir.upper().map(|inode| Piece::plain(UPPER, Arc::clone(inode)));
        for piece in upper.iter().chain(&dir.lowers) {
            let entries = self.entries(own, piece.layer, &piece.inode)?;
            let dev = self.layers.fs(piece.layer).getattr(own, &piece.inode)?.dev;
            for entry in &entries {
                if !shown.contains_key(&entry.name) {
                    let item = self.item(own, (dir, names), (piece, dev), entry)?;
                    shown.insert(Arc::clone(&entry.name), item);
                }
            }
            order.push(entries);
        }
        let mut listed = Vec::new();
        for entries in order.into_iter().rev() {
            listed.extend(entries.into_iter().rev().filter_map(|entry| shown.remove(&entry.name).flatten()));
        }
        listed.reverse();
        Ok(listed)
    }

    /// What an entry of a layer's directory, on this device, is in the merged one; nothing if it is a whiteout.
    fn item(
        &self,
        own: &Cx<'_>,
        (dir, names): (&Arc<Node>, &Names),
        (piece, dev): (&Piece, u64),
        entry: &Item,
    ) -> Result<Option<Item>> {
        // What is a copy has the number of what it was copied from.
        if self.layers.is_change(piece.layer) {
            match self.find(own, dir, names, Name::new(&entry.name)?) {
                Ok(node) => {
                    return Ok(Some(Item { ino: node.ino(), kind: node.kind(), ..entry.clone() }));
                }
                Err(Errno::NOENT) => return Ok(None),
                // It is there, and may not be looked at.
                Err(Errno::ACCES) if piece.layer != UPPER => {}
                Err(errno) => return Err(errno),
            }
        }
        let ino = self.layers.shown_ino(piece.layer, dev, entry.ino);
        Ok((!self.hides(own, piece, entry)?).then(|| Item { ino, ..entry.clone() }))
    }

    /// Whether an entry of a layer is a whiteout.
    fn hides(&self, own: &Cx<'_>, dir: &Piece, entry: &Item) -> Result<bool> {
        let may_be = match entry.kind {
            FileType::CharDevice => true,
            FileType::Regular => dir.has_xattr_whiteouts,
            _ => false,
        };
        if !may_be {
            return Ok(false);
        }
        let inode = self.layers.fs(dir.layer).lookup(own, at(&dir.inode, Name::new(&entry.name)?))?;
        self.is_lower_whiteout(own, dir, &inode)
    }

    /// The entries of a layer's directory.
    fn entries(&self, own: &Cx<'_>, layer: u8, dir: &crate::layers::Real) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        self.layers.fs(layer).open_dir(own, dir)?.list(own, 0, &mut |entry| {
            items.push(Item { name: entry.name.into(), ino: entry.ino, kind: entry.kind });
            ControlFlow::Continue(())
        })?;
        Ok(items)
    }

    /// Whether a directory has no names. Looks at no more of them than it takes to know.
    pub(crate) fn is_empty(&self, cx: &Cx<'_>, dir: &Arc<Node>) -> Result<bool> {
        let own = Own::during(cx);
        let own = own.cx();
        let mut whiteouts: HashSet<Box<[u8]>> = HashSet::new();
        let upper = dir.upper().map(|inode| Piece::plain(UPPER, Arc::clone(inode)));
        for piece in upper.iter().chain(&dir.lowers) {
            if self.has_names(&own, piece, &mut whiteouts)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a layer's directory has names that are no whiteouts, nor hidden by those above, which are added to.
    fn has_names(&self, own: &Cx<'_>, dir: &Piece, whiteouts: &mut HashSet<Box<[u8]>>) -> Result<bool> {
        let (mut found, mut failed) = (false, Ok(()));
        self.layers.fs(dir.layer).open_dir(own, &dir.inode)?.list(own, 0, &mut |entry| {
            if whiteouts.contains(entry.name) {
                return ControlFlow::Continue(());
            }
            let item = Item { name: entry.name.into(), ino: entry.ino, kind: entry.kind };
            match self.hides(own, dir, &item) {
                Ok(true) => {
                    whiteouts.insert(entry.name.into());
                    return ControlFlow::Continue(());
                }
                Ok(false) => found = true,
                Err(errno) => failed = Err(errno),
            }
            ControlFlow::Break(())
        })?;
        failed.map(|()| found)
    }

    /// Counts a listing as a read of the directory.
    fn listed(&self, cx: &Cx<'_>, dir: &Node) -> Result<()> {
        let Some(upper) = dir.upper() else { return Ok(()) };
        if cx.keeps_atime() {
            return Ok(());
        }
        let mut stream = self.layers.upper.fs.open_dir(cx, upper)?;
        stream.list(cx, 0, &mut |_| ControlFlow::Break(()))
    }
}

/// A directory's listing.
pub(crate) struct Listing {
    shared: Arc<Shared>,
    dir: Arc<Node>,
    index: Option<Arc<Index>>,
    batch: Batch,
}

impl Listing {
    pub(crate) fn open(shared: &Arc<Shared>, dir: &Arc<Node>) -> Result<Self> {
        dir.directory()?;
        Ok(Listing { shared: Arc::clone(shared), dir: Arc::clone(dir), index: None, batch: Batch::default() })
    }
}

impl DirStream for Listing {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.dir.directory()?.names.read().removed {
            return Err(Errno::NOENT);
        }
        let index = match &self.index {
            Some(index) => Arc::clone(index),
            None => Arc::clone(self.index.insert(self.shared.index(cx, &self.dir)?)),
        };
        // Going on is no other read than beginning was, unless something changed meanwhile.
        if cookie < FIRST_COOKIE || !index.was_read.load(Ordering::Relaxed) {
            self.shared.listed(cx, &self.dir)?;
            index.was_read.store(true, Ordering::Relaxed);
        }
        let mut cookie = cookie;
        while cookie != FIRST_COOKIE {
            let more = self.batch.fill(&index, cookie);
            for entry in self.batch.iter() {
                cookie = entry.next;
                if emit(entry).is_break() {
                    return Ok(());
                }
            }
            if !more {
                break;
            }
        }
        Ok(())
    }
}
