//! Listing a directory that has links: one index of all its names for all who list it, kept up to date by the
//! emulation's own changes. A directory without links is listed by the filesystem within.

use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{DirEntry, DirStream, FIRST_COOKIE, Filesystem};
use vnode_core::{Cx, Errno, FileType, Name, Result};

use super::table::Directory;
use super::{Node, Shared, hidden};

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

impl Items {
    /// A name that is there keeps its number.
    fn insert(&mut self, item: Item) {
        let number = *self.numbers.entry(Arc::clone(&item.name)).or_insert_with(|| {
            self.next += 1;
            FIRST_COOKIE + self.next
        });
        self.by_number.insert(number, item);
    }
}

/// The names of a directory in their order: a new one's number is higher than any before, and listed are the higher ones
/// first.
#[derive(Default)]
pub(super) struct Index {
    items: Mutex<Items>,
    /// Held while a name of the filesystem within changes, so that the index changes in the same order.
    pub(super) changing: Mutex<()>,
    /// Whether the directory was read since its names were changed: a second time counts for nothing then.
    was_read: AtomicBool,
    removed: AtomicBool,
}

impl Index {
    /// A name is there, now or still.
    pub(super) fn set(&self, name: Name<'_>, ino: u64, kind: FileType) {
        self.items.lock().insert(Item { name: name.as_bytes().into(), ino, kind });
        self.was_read.store(false, Ordering::Relaxed);
    }

    /// A name is gone.
    pub(super) fn remove(&self, name: Name<'_>) {
        let mut items = self.items.lock();
        if let Some(number) = items.numbers.remove(name.as_bytes()) {
            items.by_number.remove(&number);
        }
        drop(items);
        self.was_read.store(false, Ordering::Relaxed);
    }

    /// The directory is gone.
    pub(super) fn set_removed(&self) {
        self.removed.store(true, Ordering::Relaxed);
    }

    /// Copies out the entries that follow a cookie.
    fn batch(&self, cookie: u64) -> Vec<(u64, Item)> {
        let end = if cookie < FIRST_COOKIE { u64::MAX } else { cookie };
        let items = self.items.lock();
        items.by_number.range(..end).rev().take(BATCH).map(|(number, item)| (*number, item.clone())).collect()
    }
}

impl Directory {
    /// Has those who list it see a name.
    pub(super) fn list(&self, name: Name<'_>, ino: u64, kind: FileType) {
        if let Some(index) = self.index() {
            index.set(name, ino, kind);
        }
    }

    /// Has those who list it see a name no more.
    pub(super) fn unlist(&self, name: Name<'_>) {
        if let Some(index) = self.index() {
            index.remove(name);
        }
    }
}

impl Shared {
    /// The index of a directory that has links, or is listed by one; nothing if the filesystem within can list it.
    fn index(&self, cx: &Cx<'_>, dir: &Node) -> Result<Option<Arc<Index>>> {
        let names = self.names.read();
        let known = self.links_in(cx, dir)?;
        match &known {
            Some(known) if known.has_links() => {}
            _ => return Ok(known.and_then(|known| known.index())),
        }
        drop((names, known));
        let _names = self.names.write();
        let Some(known) = self.links_in(cx, dir)? else { return Ok(None) };
        if let Some(index) = known.index() {
            return Ok(Some(index));
        }
        let index = Arc::new(self.indexed(cx, &known)?);
        *known.index.lock() = Arc::downgrade(&index);
        Ok(Some(index))
    }

    /// Links come first, the newest of them first of all, then what the filesystem within lists, in its order.
    fn indexed(&self, cx: &Cx<'_>, dir: &Directory) -> Result<Index> {
        let mut real = Vec::new();
        self.fs.open_dir(cx, &dir.inode)?.list(&cx.keeping_atime(), 0, &mut |entry| {
            if !self.hides(entry.name) {
                real.push(Item { name: entry.name.into(), ino: entry.ino, kind: entry.kind });
            }
            ControlFlow::Continue(())
        })?;
        let mut items = Items::default();
        real.into_iter().rev().for_each(|item| items.insert(item));
        dir.with(|names| {
            let mut links: Vec<_> = names.iter().collect();
            links.sort_by_key(|(_, entry)| entry.born);
            for (name, entry) in links {
                items.insert(Item { name: name.into(), ino: entry.link.number(), kind: FileType::Symlink });
            }
        });
        Ok(Index { items: Mutex::new(items), ..Index::default() })
    }

    fn hides(&self, name: &[u8]) -> bool {
        self.hidden.is_some() && hidden::is_reserved(name)
    }
}

/// How a directory is listed.
enum Way {
    Indexed(Arc<Index>),
    Within,
}

/// A directory's listing.
pub(super) struct Listing {
    shared: Arc<Shared>,
    dir: Node,
    within: Box<dyn DirStream>,
    /// Nothing before the first entry is asked for.
    way: Option<Way>,
}

impl Listing {
    pub(super) fn open(cx: &Cx<'_>, shared: &Arc<Shared>, dir: &Node) -> Result<Self> {
        let within = shared.fs.open_dir(cx, dir)?;
        Ok(Listing { shared: Arc::clone(shared), dir: Arc::clone(dir), within, way: None })
    }

    /// Lists what the filesystem within has.
    fn list_within(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let shared = &self.shared;
        self.within.list(cx, cookie, &mut |entry| {
            if shared.hides(entry.name) { ControlFlow::Continue(()) } else { emit(entry) }
        })
    }
}

impl DirStream for Listing {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        // From the start it may go another way: what has links now is listed by an index.
        if self.way.is_none() || (cookie < FIRST_COOKIE && !matches!(self.way, Some(Way::Indexed(_)))) {
            self.way = Some(self.shared.index(cx, &self.dir)?.map_or(Way::Within, Way::Indexed));
        }
        let Some(Way::Indexed(index)) = &self.way else { return self.list_within(cx, cookie, emit) };
        let index = Arc::clone(index);
        if index.removed.load(Ordering::Relaxed) {
            return Err(Errno::NOENT);
        }
        // Going on is no other read than beginning was, unless something changed meanwhile.
        if cookie < FIRST_COOKIE || !index.was_read.load(Ordering::Relaxed) {
            self.within.list(cx, 0, &mut |_| ControlFlow::Break(()))?;
            index.was_read.store(true, Ordering::Relaxed);
        }
        let mut cookie = cookie;
        while cookie != FIRST_COOKIE {
            let batch = index.batch(cookie);
            for (number, item) in &batch {
                cookie = *number;
                let entry = DirEntry { name: &item.name, ino: item.ino, kind: item.kind, next: cookie };
                if emit(entry).is_break() {
                    return Ok(());
                }
            }
            if batch.len() < BATCH {
                break;
            }
        }
        Ok(())
    }
}
