//! What is on the medium, and which changes of names are not there yet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use vnode_core::fs::{At, Filesystem, Inode, InodeId};
use vnode_core::{Attr, Cx, Result};

use super::image::{self, Body, Key, Record};

/// Something that changes depend on the order of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Token {
    /// The names in a directory.
    Names(Key),
    /// An inode that got or lost a name.
    Node(Key),
    /// Which directory is below which.
    Shape,
    /// The names that lead to a directory: wanted where something that had a name moves into it.
    Way(Key),
}

/// A change of names, made whole or not at all.
#[derive(Debug, Default)]
struct Change {
    /// Names of directories, and what they stand for from now on.
    slots: Vec<(Key, Box<[u8]>, Option<Key>)>,
    /// What it touches besides the names of the slots' directories.
    touches: Vec<Token>,
    /// Whether it gives names to what had one already.
    moves: bool,
}

impl Change {
    fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.slots.iter().map(|(dir, ..)| Token::Names(*dir)).chain(self.touches.iter().copied())
    }

    /// The directories in which it names something to which `wanted` wants a way; of a move that goes, all in which it
    /// names something.
    fn leads_from(&self, wanted: &HashSet<Token>, goes: bool) -> impl Iterator<Item = Key> {
        let leads = move |key: Key| (goes && self.moves) || wanted.contains(&Token::Way(key));
        self.slots.iter().filter(move |(.., inode)| inode.is_some_and(leads)).map(|(dir, ..)| *dir)
    }

    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.slots.iter().flat_map(|(dir, _, inode)| [Some(*dir), *inode]).flatten()
    }
}

/// Records that may gather before those that nothing needs are looked for.
const SWEEP: usize = 256;

/// The medium, and what is not on it yet.
pub(super) struct Journal<I: ?Sized> {
    root: Key,
    /// Every inode that is on the medium or may come there, as it is there.
    records: HashMap<Key, Record<I>>,
    /// The record of each inode. An identity that is used again means the inode that was made last.
    keys: HashMap<InodeId, Key>,
    next: u64,
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
        let mut journal = Journal {
            root: Key(0),
            records: HashMap::new(),
            keys: HashMap::new(),
            next: 0,
            pending: Vec::new(),
            sweep_at: SWEEP,
        };
        journal.enter(root.id(), image::taken(cx, fs, &root)?);
        let mut found = vec![root];
        while let Some(dir) = found.pop() {
            for (name, child) in image::children(cx, fs, &dir)? {
                let key = match journal.key(child.id()) {
                    Some(key) => key,
                    None => {
                        let key = journal.enter(child.id(), image::taken(cx, fs, &child)?);
                        found.extend(child.kind().is_dir().then_some(child));
                        key
                    }
                };
                journal.set(journal.key(dir.id()), name, Some(key));
            }
        }
        Ok(journal)
    }

    fn enter(&mut self, id: InodeId, record: Record<I>) -> Key {
        let key = Key(self.next);
        self.next += 1;
        self.keys.insert(id, key);
        self.records.insert(key, record);
        key
    }

    fn key(&self, id: InodeId) -> Option<Key> {
        self.keys.get(&id).copied()
    }

    fn set(&mut self, dir: Option<Key>, name: Box<[u8]>, inode: Option<Key>) {
        let record = dir.and_then(|dir| self.records.get_mut(&dir));
        let Some(Record { body: Body::Directory(names), .. }) = record else { return };
        match inode {
            Some(inode) => names.insert(name, inode),
            None => names.remove(&name),
        };
    }

    /// A new inode has a name; neither is on the medium.
    pub(super) fn made(&mut self, at: At<'_, I>, id: InodeId, record: Record<I>) {
        if self.records.len() >= self.sweep_at {
            self.sweep();
        }
        let key = self.enter(id, record);
        let mut change = Change::default();
        self.slot(&mut change, at, Some(key));
        self.pending.push(change);
    }

    /// An inode has another name.
    pub(super) fn linked(&mut self, at: At<'_, I>, target: &I) {
        let mut change = Change { moves: true, ..Change::default() };
        let key = self.key(target.id());
        self.slot(&mut change, at, key);
        change.touches.extend(key.map(Token::Node));
        self.pending.push(change);
    }

    /// A name is gone.
    pub(super) fn removed(&mut self, at: At<'_, I>, victim: &I) {
        let mut change = Change::default();
        self.slot(&mut change, at, None);
        self.loses(&mut change, victim);
        self.pending.push(change);
    }

    /// A name moved, and what the new one stood for is gone, or has the old one (`exchanged`).
    pub(super) fn renamed(
        &mut self,
        (from, to): (At<'_, I>, At<'_, I>),
        old: &I,
        new: Option<&I>,
        exchanged: bool,
    ) {
        let mut change = Change { moves: true, ..Change::default() };
        let back = new.filter(|_| exchanged).and_then(|new| self.key(new.id()));
        self.slot(&mut change, from, back);
        let key = self.key(old.id());
        self.slot(&mut change, to, key);
        change.touches.extend([key, back].into_iter().flatten().map(Token::Node));
        if let Some(replaced) = new.filter(|_| !exchanged) {
            self.loses(&mut change, replaced);
        }
        let moves = |inode: &I| inode.kind().is_dir();
        if from.dir.id() != to.dir.id() && (moves(old) || new.is_some_and(moves)) {
            change.touches.push(Token::Shape);
        }
        self.pending.push(change);
    }

    fn slot(&self, change: &mut Change, at: At<'_, I>, inode: Option<Key>) {
        if let Some(dir) = self.key(at.dir.id()) {
            change.slots.push((dir, at.name.as_bytes().into(), inode));
        }
    }

    /// An inode loses a name; with a directory its own names go, too.
    fn loses(&self, change: &mut Change, inode: &I) {
        let Some(key) = self.key(inode.id()) else { return };
        change.touches.push(Token::Node(key));
        if inode.kind().is_dir() {
            change.touches.push(Token::Names(key));
        }
    }

    /// An inode has no name any more: it is not held.
    pub(super) fn nameless(&mut self, inode: &I) {
        let key = self.key(inode.id());
        if let Some(record) = key.and_then(|key| self.records.get_mut(&key)) {
            record.inode = None;
        }
    }

    /// Brings the names of a directory to the medium, with every change that came before and touched the same: the last
    /// change that has a slot there, and, backwards, whatever touches what those that go touch, and whatever leads to
    /// where they move something.
    pub(super) fn commit(&mut self, dir: InodeId) {
        let Some(dir) = self.key(dir) else { return };
        let mut wanted = HashSet::from([Token::Names(dir)]);
        let mut goes = vec![false; self.pending.len()];
        let mut above = None;
        for (change, goes) in self.pending.iter().zip(&mut goes).rev() {
            let leads = change.leads_from(&wanted, false).next().is_some();
            if !leads && !change.tokens().any(|token| wanted.contains(&token)) {
                continue;
            }
            *goes = true;
            let from: Vec<_> = change.leads_from(&wanted, true).collect();
            wanted.extend(change.tokens());
            for dir in from {
                let above = above.get_or_insert_with(|| self.above());
                let mut way = Some(dir);
                while let Some(dir) = way.filter(|dir| wanted.insert(Token::Way(*dir))) {
                    way = above.get(&dir).copied();
                }
            }
        }
        let mut left = Vec::new();
        for (change, goes) in core::mem::take(&mut self.pending).into_iter().zip(goes) {
            if goes { self.apply(change) } else { left.push(change) }
        }
        self.pending = left;
    }

    /// The directory on the medium that each other one is in.
    fn above(&self) -> HashMap<Key, Key> {
        let names = self.records.iter().flat_map(|(dir, record)| record.names().map(|names| (*dir, names)));
        let pairs = names.flat_map(|(dir, names)| names.values().map(move |inode| (*inode, dir)));
        pairs
            .filter(|(inode, _)| self.record(*inode).is_some_and(|record| record.names().is_some()))
            .collect()
    }

    /// Brings all names to the medium.
    pub(super) fn commit_all(&mut self) {
        for change in core::mem::take(&mut self.pending) {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        for (dir, name, inode) in change.slots {
            self.set(Some(dir), name, inode);
        }
    }

    /// The links and special files in a directory, on the medium and by changes that are not there yet.
    pub(super) fn unopenable_in(&self, dir: InodeId) -> Vec<Arc<I>> {
        let Some(dir) = self.key(dir) else { return Vec::new() };
        let names = self.record(dir).and_then(Record::names).into_iter().flat_map(BTreeMap::values);
        let slots = self.pending.iter().flat_map(|change| &change.slots);
        let coming = slots.filter(|(into, ..)| *into == dir).filter_map(|(_, _, inode)| inode.as_ref());
        let records = names.chain(coming).filter_map(|key| self.record(*key));
        let unopenable = records.filter(|record| matches!(record.body, Body::Symlink(_) | Body::Special));
        unopenable.filter_map(|record| record.inode.clone()).collect()
    }

    /// Replaces what the medium holds of an inode; the names in a directory stay as they are there.
    pub(super) fn save(&mut self, id: InodeId, mut record: Record<I>) {
        let Some(old) = self.keys.get(&id).and_then(|key| self.records.get_mut(key)) else { return };
        if let (Body::Directory(new), Body::Directory(names)) = (&mut record.body, &mut old.body) {
            *new = core::mem::take(names);
        }
        // What has no name isn't held, whoever syncs it.
        record.inode = old.inode.take();
        *old = record;
    }

    /// Replaces the content of a file, and with it the size, and nothing else.
    pub(super) fn save_content(&mut self, id: InodeId, record: Record<I>) {
        let Some(old) = self.keys.get(&id).and_then(|key| self.records.get_mut(key)) else { return };
        old.attr = Attr { size: record.attr.size, ..old.attr };
        old.body = record.body;
    }

    /// Every inode that has a name.
    pub(super) fn inodes(&self) -> Vec<Arc<I>> {
        self.records.values().filter_map(|record| record.inode.clone()).collect()
    }

    /// What a name on the medium leads to, each directory before what is in it.
    pub(super) fn reached(&self) -> Vec<Key> {
        let mut seen = HashSet::from([self.root]);
        let mut order = vec![self.root];
        let mut at = 0;
        while let Some(key) = order.get(at) {
            at += 1;
            let names = self.record(*key).and_then(Record::names);
            let children: Vec<_> = names.into_iter().flat_map(BTreeMap::values).copied().collect();
            order.extend(children.into_iter().filter(|child| seen.insert(*child)));
        }
        order
    }

    pub(super) fn record(&self, key: Key) -> Option<&Record<I>> {
        self.records.get(&key)
    }

    /// Drops the records that no name leads to or may come to lead to.
    fn sweep(&mut self) {
        let mut needed: HashSet<Key> = self.reached().into_iter().collect();
        needed.extend(self.pending.iter().flat_map(Change::keys));
        self.records.retain(|key, _| needed.contains(key));
        self.keys.retain(|_, key| needed.contains(key));
        self.sweep_at = self.records.len() * 2 + SWEEP;
    }
}
