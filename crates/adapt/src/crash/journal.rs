//! What is on the medium, and which changes of names are not there yet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use vnode_core::fs::{Filesystem, Inode, InodeId};
use vnode_core::{Attr, Cx, Result};

use super::image::{self, Body, Record};

/// Something that changes depend on the order of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Token {
    /// The names in a directory.
    Names(InodeId),
    /// An inode that got or lost a name.
    Node(InodeId),
    /// Which directory is below which.
    Shape,
}

/// A name of a directory, and what it stands for from now on.
pub(super) type Slot = (InodeId, Box<[u8]>, Option<InodeId>);

/// A change of names, made whole or not at all.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) slots: Vec<Slot>,
    /// What it touches besides the names of the slots' directories.
    pub(super) touches: Vec<Token>,
}

impl Change {
    fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.slots.iter().map(|(dir, ..)| Token::Names(*dir)).chain(self.touches.iter().copied())
    }

    fn inodes(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.slots.iter().flat_map(|(dir, _, inode)| [Some(*dir), *inode]).flatten()
    }
}

/// Records that may gather before those that nothing needs are looked for.
const SWEEP: usize = 256;

/// The medium, and what is not on it yet.
pub(super) struct Journal<I: ?Sized> {
    root: InodeId,
    /// Every inode that is on the medium or may come there, as it is there.
    records: HashMap<InodeId, Record<I>>,
    /// In the order in which they were made.
    pending: Vec<Change>,
    /// How many records there may be before a sweep.
    sweep_at: usize,
}

impl<I: Inode + ?Sized> Journal<I> {
    /// A medium that holds all that there is.
    ///
    /// # Errors
    /// Those of looking at it.
    pub(super) fn of<F: Filesystem<Inode = I>>(cx: &Cx<'_>, fs: &F) -> Result<Self> {
        let root = fs.root();
        let mut journal =
            Journal { root: root.id(), records: HashMap::new(), pending: Vec::new(), sweep_at: SWEEP };
        let mut found = vec![root];
        while let Some(inode) = found.pop() {
            if journal.records.contains_key(&inode.id()) {
                continue;
            }
            let mut record = image::taken(cx, fs, &inode)?;
            if let Body::Directory(names) = &mut record.body {
                for (name, child) in image::children(cx, fs, &inode)? {
                    names.insert(name, child.id());
                    found.push(child);
                }
            }
            journal.records.insert(inode.id(), record);
        }
        Ok(journal)
    }

    /// A new inode, whose record says what it was made with. No name on the medium leads to it yet.
    pub(super) fn born(&mut self, record: Record<I>) {
        if self.records.len() >= self.sweep_at {
            self.sweep();
        }
        self.records.insert(record.inode.id(), record);
    }

    /// A change of names was made; it is not on the medium.
    pub(super) fn changed(&mut self, change: Change) {
        self.pending.push(change);
    }

    /// Brings the names of a directory to the medium, with every change that came before and touched the same: the last
    /// change that has a slot there, and, backwards, whatever touches what those that go touch.
    pub(super) fn commit(&mut self, dir: InodeId) {
        let mut wanted = HashSet::from([Token::Names(dir)]);
        let mut goes = vec![false; self.pending.len()];
        for (change, goes) in self.pending.iter().zip(&mut goes).rev() {
            if change.tokens().any(|token| wanted.contains(&token)) {
                *goes = true;
                wanted.extend(change.tokens());
            }
        }
        let mut left = Vec::new();
        for (change, goes) in core::mem::take(&mut self.pending).into_iter().zip(goes) {
            if goes { self.apply(change) } else { left.push(change) }
        }
        self.pending = left;
    }

    /// The links and special files in a directory, on the medium and by changes that are not there yet.
    pub(super) fn unopenable_in(&self, dir: InodeId) -> Vec<Arc<I>> {
        let names = self.record(dir).and_then(Record::names).into_iter().flat_map(BTreeMap::values);
        let slots = self.pending.iter().flat_map(|change| &change.slots);
        let coming = slots.filter(|(into, ..)| *into == dir).filter_map(|(_, _, inode)| inode.as_ref());
        let records = names.chain(coming).filter_map(|id| self.record(*id));
        let unopenable = records.filter(|record| matches!(record.body, Body::Symlink(_) | Body::Special));
        unopenable.map(|record| record.inode.clone()).collect()
    }

    /// Brings all names to the medium.
    pub(super) fn commit_all(&mut self) {
        for change in core::mem::take(&mut self.pending) {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        for (dir, name, inode) in change.slots {
            let Some(Record { body: Body::Directory(names), .. }) = self.records.get_mut(&dir) else {
                continue;
            };
            match inode {
                Some(inode) => names.insert(name, inode),
                None => names.remove(&name),
            };
        }
    }

    /// Replaces what the medium holds of an inode; the names in a directory stay as they are there.
    pub(super) fn save(&mut self, mut record: Record<I>) {
        if let Some(old) = self.records.get_mut(&record.inode.id()) {
            if let (Body::Directory(new), Body::Directory(names)) = (&mut record.body, &mut old.body) {
                *new = core::mem::take(names);
            }
            *old = record;
        }
    }

    /// Replaces the content of a file, and with it the size, and nothing else.
    pub(super) fn save_content(&mut self, record: Record<I>) {
        if let Some(old) = self.records.get_mut(&record.inode.id()) {
            old.attr = Attr { size: record.attr.size, ..old.attr };
            old.body = record.body;
        }
    }

    /// Every inode that has a record.
    pub(super) fn inodes(&self) -> Vec<Arc<I>> {
        self.records.values().map(|record| record.inode.clone()).collect()
    }

    /// The inodes that a name on the medium leads to, the root first.
    pub(super) fn reached(&self) -> Vec<InodeId> {
        let mut seen = HashSet::from([self.root]);
        let mut order = vec![self.root];
        let mut at = 0;
        while let Some(id) = order.get(at) {
            at += 1;
            let names = self.record(*id).and_then(Record::names);
            let children: Vec<_> = names.into_iter().flat_map(BTreeMap::values).copied().collect();
            order.extend(children.into_iter().filter(|child| seen.insert(*child)));
        }
        order
    }

    pub(super) fn record(&self, id: InodeId) -> Option<&Record<I>> {
        self.records.get(&id)
    }

    /// Drops the records that no name leads to or may come to lead to.
    fn sweep(&mut self) {
        let mut needed: HashSet<InodeId> = self.reached().into_iter().collect();
        needed.extend(self.pending.iter().flat_map(Change::inodes));
        self.records.retain(|id, _| needed.contains(id));
        self.sweep_at = self.records.len() * 2 + SWEEP;
    }
}
