//! Where inodes of the upper were copied from that can't carry that: symbolic links and special files have no `user.`
//! attributes, and some filesystems have no attributes at all.
//!
//! It is known for as long as the overlay lasts, by what the upper tells of them: nothing is held for it.

use std::collections::HashMap;

use parking_lot::Mutex;
use vnode_core::{Attr, FileType, Timespec};

use crate::marks::Origin;

/// The device and the number of an inode of the upper.
pub(crate) type Key = (u64, u64);

/// What is to be found again.
#[derive(Clone, Copy)]
pub(crate) struct Copied {
    pub(crate) origin: Origin,
    /// As [`State::more_names`](crate::node::State::more_names).
    pub(crate) more_names: Option<i64>,
}

/// What tells an inode from one that got its number later.
type Born = (FileType, Option<Timespec>);

/// One entry for each such inode, until its last name is removed. Its lock is a leaf.
#[derive(Default)]
pub(crate) struct Unmarked {
    copies: Mutex<HashMap<Key, (Born, Copied)>>,
}

pub(crate) fn key(attr: &Attr) -> Key {
    (attr.dev, attr.ino)
}

fn born(attr: &Attr) -> Born {
    (attr.kind, attr.btime)
}

impl Unmarked {
    /// Remembers an inode of the upper.
    pub(crate) fn keep(&self, upper: &Attr, copied: Copied) {
        self.copies.lock().insert(key(upper), (born(upper), copied));
    }

    /// What is known of an inode of the upper.
    pub(crate) fn get(&self, upper: &Attr) -> Option<Copied> {
        let copies = self.copies.lock();
        copies.get(&key(upper)).filter(|(of, _)| *of == born(upper)).map(|(_, copied)| *copied)
    }

    /// Its names in lowers are so many more now.
    pub(crate) fn set_more_names(&self, key: Key, more: i64) {
        if let Some((_, copied)) = self.copies.lock().get_mut(&key) {
            copied.more_names = Some(more);
        }
    }

    /// It is gone, and its number may be given again.
    pub(crate) fn forget(&self, key: Key) {
        self.copies.lock().remove(&key);
    }
}
