//! The names in a directory.

use core::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;
use vnode_core::fs::{FIRST_COOKIE, Inode, LAST_COOKIE};
use vnode_core::{Errno, Result};

use crate::node::Node;

/// A name; short ones stand inline.
pub(crate) type EntryName = SmallVec<[u8; 24]>;

/// Up to here a directory is searched from front to back, and has no index.
const LINEAR: usize = 8;

/// A directory holds at most so many directories: its own count of links is two more.
pub(crate) const MAX_SUBDIRS: u32 = u32::MAX - 2;

/// A name, in the order of the numbers; without a node it is gone, and waits for the next compaction.
struct Slot {
    number: u64,
    node: Option<Arc<Node>>,
    name: EntryName,
    /// Of the name; only kept while there is an index.
    hash: u32,
}

/// The slots by name. The keys of the hash are random and the directory's own: nobody can know names that collide.
#[derive(Default)]
struct Index {
    hasher: ahash::RandomState,
    table: HashTable<u32>,
}

impl Index {
    fn hash_of(&self, name: &[u8]) -> u32 {
        let mut state = self.hasher.build_hasher();
        state.write(name);
        state.finish() as u32
    }
}

/// A directory's names: an array in the order of their numbers, and an index of it by name.
#[derive(Default)]
pub(crate) struct Entries {
    slots: Vec<Slot>,
    index: Option<Box<Index>>,
    live: usize,
    subdirs: u32,
    /// How many numbers were given.
    given: u64,
    removed: bool,
}

/// Where a name stands, until the directory changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position(usize);

/// The table takes the place from the low bits and a tag from the highest.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl Entries {
    /// Names.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Names of directories.
    pub(crate) fn subdirs(&self) -> u32 {
        self.subdirs
    }

    /// Whether the directory was removed.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed
    }

    /// The directory is removed: it is empty, and nothing is made in it any more.
    pub(crate) fn set_removed(&mut self) {
        self.removed = true;
    }

    /// Where a name stands.
    pub(crate) fn position(&self, name: &[u8]) -> Option<Position> {
        let is_it = |slot: &Slot| slot.node.is_some() && *slot.name == *name;
        match &self.index {
            None => self.slots.iter().position(is_it).map(Position),
            Some(index) => {
                let hash = index.hash_of(name);
                let same = |&at: &u32| {
                    self.slots.get(at as usize).is_some_and(|slot| slot.hash == hash && *slot.name == *name)
                };
                index.table.find(spread(hash), same).map(|&at| Position(at as usize))
            }
        }
    }

    /// The node of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<Node>> {
        self.node(self.position(name)?)
    }

    /// The node at a position.
    pub(crate) fn node(&self, at: Position) -> Option<&Arc<Node>> {
        self.slots.get(at.0)?.node.as_ref()
    }

    /// Checks that a name of a node can be added, and makes sure of the memory for it.
    ///
    /// # Errors
    /// `EMLINK`: the directory holds all the directories it can. `ENOSPC`: it holds all the names it can, or the
    /// host has no memory.
    pub(crate) fn make_room(&mut self, for_dir: bool) -> Result<()> {
        self.check_subdirs(for_dir)?;
        let full = self.slots.len() >= u32::MAX as usize || self.given >= LAST_COOKIE - FIRST_COOKIE;
        if full || self.slots.try_reserve(1).is_err() {
            return Err(Errno::NOSPC);
        }
        if self.index.is_none() && self.slots.len() >= LINEAR {
            let index = Box::<Index>::default();
            self.slots.iter_mut().for_each(|slot| slot.hash = index.hash_of(&slot.name));
            self.index = Some(index);
            self.rebuild_index();
        }
        let slots = &self.slots;
        if let Some(index) = &mut self.index {
            index.table.try_reserve(1, |&at| hash_at(slots, at)).map_err(|_| Errno::NOSPC)?;
        }
        Ok(())
    }

    /// Counts other directories than there are, and answers how many it counted.
    #[cfg(test)]
    pub(crate) fn pretend_subdirs(&mut self, count: u32) -> u32 {
        core::mem::replace(&mut self.subdirs, count)
    }

    /// Checks that another directory can be held.
    ///
    /// # Errors
    /// `EMLINK`.
    pub(crate) fn check_subdirs(&self, for_dir: bool) -> Result<()> {
        if for_dir && self.subdirs >= MAX_SUBDIRS { Err(Errno::MLINK) } else { Ok(()) }
    }

    /// Adds a name, which is not there, with the next number.
    pub(crate) fn insert(&mut self, name: &[u8], node: Arc<Node>) {
        let hash = self.index.as_ref().map_or(0, |index| index.hash_of(name));
        let number = FIRST_COOKIE + self.given;
        self.given += 1;
        self.live += 1;
        self.subdirs += u32::from(node.kind().is_dir());
        let at = self.slots.len() as u32;
        self.slots.push(Slot { number, node: Some(node), name: EntryName::from_slice(name), hash });
        let slots = &self.slots;
        if let Some(index) = &mut self.index {
            index.table.insert_unique(spread(hash), at, |&at| hash_at(slots, at));
        }
    }

    /// Gives a name another node, and answers the one it had; the number stays.
    pub(crate) fn replace(&mut self, at: Position, node: Arc<Node>) -> Option<Arc<Node>> {
        let slot = self.slots.get_mut(at.0)?;
        self.subdirs += u32::from(node.kind().is_dir());
        let old = slot.node.replace(node);
        self.subdirs -= old.as_ref().map_or(0, |node| u32::from(node.kind().is_dir()));
        old
    }

    /// Takes a name away. No position holds after that.
    pub(crate) fn take(&mut self, at: Position) -> Option<Arc<Node>> {
        let slot = self.slots.get_mut(at.0)?;
        let node = slot.node.take()?;
        slot.name = EntryName::new();
        let hash = slot.hash;
        self.live -= 1;
        self.subdirs -= u32::from(node.kind().is_dir());
        if let Some(index) = &mut self.index
            && let Ok(entry) = index.table.find_entry(spread(hash), |&there| there as usize == at.0)
        {
            entry.remove();
        }
        while self.slots.last().is_some_and(|slot| slot.node.is_none()) {
            self.slots.pop();
        }
        if self.slots.len() > 2 * self.live + 2 * LINEAR || self.slots.capacity() > 4 * self.slots.len() + 4 {
            self.compact();
        }
        Some(node)
    }

    /// Drops the slots of names that are gone, and gives back the room of a directory that was larger.
    fn compact(&mut self) {
        self.slots.retain(|slot| slot.node.is_some());
        if self.slots.capacity() > 4 * self.slots.len() {
            self.slots.shrink_to(2 * self.slots.len());
        }
        if self.slots.len() < LINEAR {
            self.index = None;
        }
        self.rebuild_index();
    }

    fn rebuild_index(&mut self) {
        let slots = &self.slots;
        let Some(index) = &mut self.index else { return };
        index.table.clear();
        if index.table.capacity() > 8 * slots.len() {
            index.table.shrink_to(2 * slots.len(), |_| 0);
        }
        for (at, slot) in slots.iter().enumerate() {
            if slot.node.is_some() {
                index.table.insert_unique(spread(slot.hash), at as u32, |&at| hash_at(slots, at));
            }
        }
    }

    /// The names with numbers below `cookie`, the highest first; all names if it is below the first number.
    pub(crate) fn below(&self, cookie: u64) -> impl Iterator<Item = (u64, &[u8], &Arc<Node>)> {
        let end = if cookie < FIRST_COOKIE {
            self.slots.len()
        } else {
            self.slots.partition_point(|slot| slot.number < cookie)
        };
        let slots = self.slots.get(..end).unwrap_or_default();
        slots.iter().rev().filter_map(|slot| Some((slot.number, &slot.name[..], slot.node.as_ref()?)))
    }

    /// The hash of a name, if there is an index.
    #[cfg(test)]
    pub(crate) fn hash_of(&self, name: &[u8]) -> Option<u32> {
        self.index.as_ref().map(|index| index.hash_of(name))
    }

    /// The names in the index, if there is one.
    #[cfg(test)]
    pub(crate) fn index_len(&self) -> Option<usize> {
        self.index.as_ref().map(|index| index.table.len())
    }

    /// Takes all nodes away, to be dropped.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Arc<Node>> {
        self.index = None;
        self.live = 0;
        self.subdirs = 0;
        core::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.node)
    }
}

fn hash_at(slots: &[Slot], at: u32) -> u64 {
    slots.get(at as usize).map_or(0, |slot| spread(slot.hash))
}
