//! The directories that have links.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use vnode_core::Name;
use vnode_core::fs::InodeId;

use super::Node;
use super::hidden::Log;
use super::link::Link;
use super::listing::Index;

/// Up to so many directories are known without a look at which of them to forget.
const FEW: usize = 1024;

/// Up to so many bytes of links are known without a look at which directories to forget.
const LITTLE: u64 = 64 << 20;

/// A name of a link.
pub(super) struct Entry {
    pub(super) link: Arc<Link>,
    /// Later ones have higher numbers.
    pub(super) born: u64,
}

/// The names of links in a directory.
#[derive(Default)]
pub(super) struct Names {
    by_name: BTreeMap<Box<[u8]>, Entry>,
    born: u64,
}

impl Names {
    pub(super) fn get(&self, name: Name<'_>) -> Option<&Arc<Link>> {
        self.by_name.get(name.as_bytes()).map(|entry| &entry.link)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.by_name.iter().map(|(name, entry)| (&**name, entry))
    }
}

/// A directory of the filesystem within, and the links in it.
pub(super) struct Directory {
    /// Held, for the table knows it by its identity.
    pub(super) inode: Node,
    /// Changed while the emulation's names are held alone, read while they are held.
    names: RwLock<Names>,
    /// The index of those who list it.
    pub(super) index: Mutex<Weak<Index>>,
    /// Its hidden file, where links are kept in such.
    pub(super) log: Mutex<Log>,
}

impl Directory {
    pub(super) fn new(inode: &Node, log: Log) -> Arc<Self> {
        Arc::new(Directory {
            inode: Arc::clone(inode),
            names: RwLock::default(),
            index: Mutex::default(),
            log: Mutex::new(log),
        })
    }

    pub(super) fn get(&self, name: Name<'_>) -> Option<Arc<Link>> {
        self.names.read().get(name).cloned()
    }

    pub(super) fn has_links(&self) -> bool {
        !self.names.read().is_empty()
    }

    /// Looks at the names.
    pub(super) fn with<T>(&self, look: impl FnOnce(&Names) -> T) -> T {
        look(&self.names.read())
    }

    /// Gives a link a name, which may be another's.
    pub(super) fn put(self: &Arc<Self>, name: Name<'_>, link: &Arc<Link>) {
        link.named_in(self);
        let mut names = self.names.write();
        names.born += 1;
        let entry = Entry { link: Arc::clone(link), born: names.born };
        if let Some(old) = names.by_name.insert(name.as_bytes().into(), entry) {
            old.link.unnamed_in(self);
        }
    }

    /// Takes a name away.
    pub(super) fn remove(self: &Arc<Self>, name: Name<'_>) {
        if let Some(old) = self.names.write().by_name.remove(name.as_bytes()) {
            old.link.unnamed_in(self);
        }
    }

    /// Forgets all names: the directory is known anew, or no longer.
    pub(super) fn clear(&self) {
        let names = core::mem::take(&mut *self.names.write());
        for entry in names.by_name.into_values() {
            entry.link.unnamed_in(self);
        }
    }

    /// The index, if somebody lists the directory.
    pub(super) fn index(&self) -> Option<Arc<Index>> {
        self.index.lock().upgrade()
    }

    /// Whether forgetting it loses nothing that its hidden file doesn't have: nobody holds it or a link in it.
    fn is_idle(self: &Arc<Self>) -> bool {
        let unheld = Arc::strong_count(self) == 1 && self.index.lock().strong_count() == 0;
        let settled = || {
            let log = self.log.lock();
            !log.unsettled && log.first.is_empty()
        };
        let names_hold_it = |entry: &Entry| Arc::strong_count(&entry.link) <= entry.link.names() as usize;
        unheld && settled() && self.names.read().by_name.values().all(names_hold_it)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The directories that are known to have links, or to have none; and the links that somebody holds.
#[derive(Default)]
pub(super) struct Table {
    directories: HashMap<InodeId, Arc<Directory>>,
    links: HashMap<u64, Weak<Link>>,
    /// How many directories were added since idle ones were last forgotten, and how many were left then.
    added: usize,
    left: usize,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.directories.is_empty()
    }

    pub(super) fn get(&self, id: InodeId) -> Option<Arc<Directory>> {
        self.directories.get(&id).cloned()
    }

    /// Adds a directory, unless it is there already, and answers the one that is there then.
    pub(super) fn add(&mut self, id: InodeId, directory: Arc<Directory>) -> Arc<Directory> {
        self.added += 1;
        Arc::clone(self.directories.entry(id).or_insert(directory))
    }

    /// Whether it is time to look for directories to forget, of which `used` bytes are held.
    pub(super) fn is_due(&self, used: u64) -> bool {
        let many = self.directories.len() >= FEW || used > LITTLE;
        many && self.added > (self.left / 2).max(16)
    }

    /// Forgets the directories that nobody holds and that `forget` allows; they are to be dropped without the lock.
    pub(super) fn forget_idle(&mut self, forget: impl Fn(&Directory) -> bool) -> Vec<Arc<Directory>> {
        let idle = self.directories.extract_if(|_, known| known.is_idle() && forget(known));
        let idle: Vec<_> = idle.map(|(_, known)| known).collect();
        self.links.retain(|_, link| link.strong_count() > 0);
        (self.added, self.left) = (0, self.directories.len());
        idle
    }

    /// Forgets a directory, which was removed or has nothing more.
    pub(super) fn forget(&mut self, id: InodeId) -> Option<Arc<Directory>> {
        self.directories.remove(&id)
    }

    /// The link of a number that somebody holds.
    pub(super) fn link(&self, number: u64) -> Option<Arc<Link>> {
        self.links.get(&number)?.upgrade()
    }

    /// Knows a link by its number.
    pub(super) fn know(&mut self, link: &Arc<Link>) {
        if self.links.len() >= 2 * FEW && self.links.len() == self.links.capacity() {
            self.links.retain(|_, link| link.strong_count() > 0);
        }
        self.links.insert(link.number(), Arc::downgrade(link));
    }
}
