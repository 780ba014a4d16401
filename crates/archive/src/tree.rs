//! The tree of names: immutable once it is made, so that no lookup takes a lock.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use vnode_core::{Errno, Result};

use crate::node::{Body, Directory, Node};

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The directory's node.
    pub(crate) dir: u32,
    /// The node that it stands for.
    pub(crate) node: u32,
    /// Where its bytes start.
    pub(crate) name: u32,
    /// How many it has.
    pub(crate) name_len: u8,
    /// Which was made before which.
    pub(crate) order: u32,
}

/// All names and inodes of an archive.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The first is the root. Some stand for nothing.
    pub(crate) nodes: Box<[Arc<Node>]>,
    /// By directory, and in it by name.
    pub(crate) entries: Box<[Entry]>,
    /// The bytes of all names.
    pub(crate) names: Box<[u8]>,
    /// Places of entries, by directory and name.
    pub(crate) table: HashTable<u32>,
    pub(crate) hasher: RandomState,
}

impl Tree {
    pub(crate) fn node(&self, index: u32) -> Result<&Arc<Node>> {
        self.nodes.get(index as usize).ok_or(Errno::IO)
    }

    pub(crate) fn name(&self, entry: &Entry) -> &[u8] {
        bytes_of(&self.names, entry)
    }

    /// The entries of a directory, by name.
    #[inline]
    pub(crate) fn entries_of(&self, directory: &Directory) -> &[Entry] {
        let first = directory.first as usize;
        self.entries.get(first..first + directory.count as usize).unwrap_or_default()
    }

    /// What a name in a directory, which is the node of that number, stands for.
    ///
    /// # Errors
    /// `ENOENT`.
    #[inline]
    pub(crate) fn find(&self, dir: u32, name: &[u8]) -> Result<&Arc<Node>> {
        let entry = |at: &u32| self.entries.get(*at as usize);
        let stands_for =
            |at: &u32| entry(at).is_some_and(|entry| entry.dir == dir && self.name(entry) == name);
        let found = self.table.find(hash(&self.hasher, dir, name), stands_for);
        self.node(found.and_then(entry).ok_or(Errno::NOENT)?.node)
    }

    /// The path of an entry from the root, without a slash at the front.
    pub(crate) fn path(&self, entry: &Entry) -> Vec<u8> {
        let mut names = vec![self.name(entry)];
        let mut at = entry.dir;
        while let Some(Body::Directory(directory)) = self.nodes.get(at as usize).map(|node| &node.body)
            && let Some(entry) = directory.entry.and_then(|entry| self.entries.get(entry as usize))
        {
            names.push(self.name(entry));
            at = entry.dir;
        }
        names.reverse();
        names.join(&b'/')
    }
}

/// An entry's name, of the bytes of all of them.
#[inline]
pub(crate) fn bytes_of<'a>(names: &'a [u8], entry: &Entry) -> &'a [u8] {
    let start = entry.name as usize;
    names.get(start..start + entry.name_len as usize).unwrap_or_default()
}

/// By what a name in a directory is found.
#[inline]
pub(crate) fn hash(hasher: &RandomState, dir: u32, name: &[u8]) -> u64 {
    hasher.hash_one((dir, name))
}
