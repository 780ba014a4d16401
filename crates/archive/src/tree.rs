//! The tree of names: immutable once it is made, so that no lookup takes a lock.

use std::sync::Arc;

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

    /// What a name in a directory stands for.
    ///
    /// # Errors
    /// `ENOENT`.
    #[inline]
    pub(crate) fn find(&self, directory: &Directory, name: &[u8]) -> Result<&Arc<Node>> {
        let entries = self.entries_of(directory);
        let found = entries.binary_search_by(|entry| self.name(entry).cmp(name));
        let entry = found.ok().and_then(|at| entries.get(at)).ok_or(Errno::NOENT)?;
        self.node(entry.node)
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
