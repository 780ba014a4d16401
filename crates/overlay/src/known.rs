//! What names stand for, as far as that was found out lately: Linux's overlayfs has the kernel's cache of names for it.
//!
//! A bounded number of names, those of all directories together. An entry is put here with the directory's names locked,
//! shared at least, and goes with them locked alone, before they mean something else: so it is never stale.

use core::hash::BuildHasher as _;
use std::hash::RandomState;
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::Name;

use crate::node::Node;

/// How many sets there are, in which a name's hash tells where it may be.
const SETS: usize = 1 << 10;

/// How many there are where inodes hold what is scarce: descriptors of the host.
const FEW_SETS: usize = 1 << 7;

/// How many names are in a set.
const WAYS: usize = 8;

struct Entry {
    /// The directory, by its own number, which no other ever has.
    dir: u64,
    name: Box<[u8]>,
    /// Nothing: there is no such name.
    node: Option<Arc<Node>>,
}

#[derive(Default)]
struct Set {
    entries: Vec<Entry>,
    /// Which is the next to make room.
    next: usize,
}

impl Set {
    fn place(&self, dir: u64, name: &[u8]) -> Option<usize> {
        self.entries.iter().position(|entry| entry.dir == dir && *entry.name == *name)
    }
}

/// The names that are known. It holds their nodes. Its locks are leaves; no node is dropped under them.
pub(crate) struct Known {
    sets: Box<[Mutex<Set>]>,
    keys: RandomState,
}

impl Known {
    /// With room for fewer names where the layers' inodes hold what is scarce.
    pub(crate) fn new(scarce: bool) -> Self {
        let sets = if scarce { FEW_SETS } else { SETS };
        let sets = core::iter::repeat_with(Mutex::default).take(sets).collect();
        Known { sets, keys: RandomState::new() }
    }

    fn set(&self, dir: u64, name: &[u8]) -> Option<&Mutex<Set>> {
        let hash = self.keys.hash_one((dir, name)) as usize;
        self.sets.get(hash % self.sets.len())
    }

    /// What a name stands for, if that is known: a node, or nothing.
    pub(crate) fn get(&self, dir: u64, name: Name<'_>) -> Option<Option<Arc<Node>>> {
        let set = self.set(dir, name.as_bytes())?.lock();
        let entry = set.entries.get(set.place(dir, name.as_bytes())?)?;
        Some(entry.node.clone())
    }

    /// A name stands for this, or for nothing.
    pub(crate) fn put(&self, dir: u64, name: Name<'_>, node: Option<Arc<Node>>) {
        let Some(set) = self.set(dir, name.as_bytes()) else { return };
        let entry = Entry { dir, name: name.as_bytes().into(), node };
        let mut set = set.lock();
        let before = match set.place(dir, name.as_bytes()) {
            Some(at) => set.entries.get_mut(at).map(|place| core::mem::replace(place, entry)),
            None if set.entries.len() < WAYS => {
                set.entries.push(entry);
                None
            }
            None => {
                set.next = (set.next + 1) % WAYS;
                let at = set.next;
                set.entries.get_mut(at).map(|place| core::mem::replace(place, entry))
            }
        };
        drop(set);
        drop(before);
    }

    /// A name is to stand for something else.
    pub(crate) fn forget(&self, dir: u64, name: Name<'_>) {
        let Some(set) = self.set(dir, name.as_bytes()) else { return };
        let mut set = set.lock();
        let gone = set.place(dir, name.as_bytes()).map(|at| set.entries.swap_remove(at));
        drop(set);
        drop(gone);
    }

    /// Lets go of all nodes.
    pub(crate) fn clear(&self) {
        for set in &self.sets {
            let entries = core::mem::take(&mut set.lock().entries);
            drop(entries);
        }
    }
}
