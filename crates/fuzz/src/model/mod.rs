//! A filesystem as simple as can be: maps of names, and of the bytes that are not zero. Nothing is ever freed,
//! nothing is fast, nothing is shared.
//!
//! * [`resolve`]: what a path means.
//! * [`content`]: what a file holds.
//! * [`run`]: the operations, with Linux's errors in Linux's order, for a caller whom no mode stops.

pub mod content;
pub mod resolve;
pub mod run;

use std::collections::BTreeMap;

use vnode_core::{FileType, NAME_MAX, Policy};

use crate::op::{Found, SLOTS};
use content::Content;

/// An inode: its index.
pub type Id = usize;

/// The root directory of the filesystem.
pub const ROOT: Id = 0;

/// What an inode is.
#[derive(Clone, Debug)]
pub enum What {
    /// A directory: the one above, and its names.
    Directory(Id, BTreeMap<Vec<u8>, Id>),
    /// A regular file.
    File(Content),
    /// A symbolic link.
    Link(Vec<u8>),
}

/// An inode with the number of its names; the root has one.
#[derive(Clone, Debug)]
struct Node {
    what: What,
    names: u32,
}

/// The filesystem, and a process on it.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: Vec<Node>,
    /// The process's root directory.
    root: Id,
    /// The places that it holds.
    held: [Id; SLOTS],
    /// The files that it has open.
    open: [Option<Id>; SLOTS],
    /// How far its paths may lead.
    pub policy: Policy,
}

impl Default for Model {
    fn default() -> Self {
        let root = Node { what: What::Directory(ROOT, BTreeMap::new()), names: 1 };
        Model {
            nodes: vec![root],
            root: ROOT,
            held: [ROOT; SLOTS],
            open: [None; SLOTS],
            policy: Policy::Posix,
        }
    }
}

impl Model {
    /// What an inode is.
    pub fn what(&self, id: Id) -> &What {
        &self.nodes[id].what
    }

    fn entries(&self, dir: Id) -> Option<&BTreeMap<Vec<u8>, Id>> {
        match self.what(dir) {
            What::Directory(_, entries) => Some(entries),
            _ => None,
        }
    }

    fn is_dir(&self, id: Id) -> bool {
        self.entries(id).is_some()
    }

    /// Whether nothing has a name for it any more.
    pub fn is_removed(&self, id: Id) -> bool {
        self.nodes[id].names == 0
    }

    fn above(&self, dir: Id) -> Id {
        match self.what(dir) {
            What::Directory(above, _) => *above,
            _ => dir,
        }
    }

    fn lookup(&self, dir: Id, name: &[u8]) -> Option<Id> {
        debug_assert!(name.len() <= NAME_MAX);
        self.entries(dir)?.get(name).copied()
    }

    fn make(&mut self, dir: Id, name: &[u8], what: What) -> Id {
        let id = self.nodes.len();
        self.nodes.push(Node { what, names: 0 });
        self.enter(dir, name, id);
        id
    }

    fn enter(&mut self, dir: Id, name: &[u8], id: Id) {
        if let What::Directory(_, entries) = &mut self.nodes[dir].what {
            entries.insert(name.to_vec(), id);
        }
        if let What::Directory(above, _) = &mut self.nodes[id].what {
            *above = dir;
        }
        self.nodes[id].names += 1;
    }

    fn leave(&mut self, dir: Id, name: &[u8]) -> Option<Id> {
        let What::Directory(_, entries) = &mut self.nodes[dir].what else { return None };
        let id = entries.remove(name)?;
        self.nodes[id].names -= 1;
        Some(id)
    }

    /// What `stat` tells of it.
    pub fn found(&self, id: Id) -> Found {
        let names = self.nodes[id].names;
        let (kind, nlink, size) = match self.what(id) {
            What::Directory(_, entries) => {
                let directories = entries.values().filter(|&&id| self.is_dir(id)).count() as u32;
                (FileType::Directory, if names == 0 { 0 } else { 2 + directories }, 0)
            }
            What::File(content) => (FileType::Regular, names, content.len()),
            What::Link(text) => (FileType::Symlink, names, text.len() as u64),
        };
        Found { id: (0, id as u64), kind, nlink, size }
    }

    /// Names of everything that has some, the root counting as one: what inodes are counted by.
    pub fn count_names(&self) -> u64 {
        self.nodes.iter().map(|node| u64::from(node.names)).sum()
    }

    /// The names in a directory.
    pub fn names_in(&self, dir: Id) -> Vec<(Vec<u8>, Id)> {
        let entries = self.entries(dir).into_iter().flatten();
        entries.map(|(name, &id)| (name.clone(), id)).collect()
    }
}
