//! What must hold of a filesystem when nobody works on it: counted again, from its root.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{At, Filesystem, Inode};
use vnode_core::{Credentials, Cx, FileType, Name, NameBuf};
use vnode_memory::{Memory, Node, Usage};

use crate::world::Fixed;

/// What was found by names.
#[derive(Debug, Default)]
pub(crate) struct Account {
    directories: usize,
    files: usize,
    names: u64,
    bytes: u64,
    deepest: usize,
    removed: u64,
}

/// What was found of a file: its own count of links, and how many names lead to it.
struct Links {
    told: u32,
    found: u32,
}

impl Account {
    /// Counts a filesystem, checking each directory on the way: it is found once, `..` is where it was found, it
    /// knows its name, its count of links is that of its directories. `held` is a directory that somebody holds.
    fn of(memory: &Arc<Memory>, held: Option<&Arc<Node>>) -> Account {
        let who = Credentials::root();
        let cx = Cx::new(&who, &Fixed).keeping_atime();
        let mut account = Account::default();
        let mut directories = BTreeMap::new();
        let mut links: BTreeMap<u64, Links> = BTreeMap::new();
        let root = Filesystem::root(&**memory);
        let mut pending = vec![(root.clone(), root.clone(), Vec::new(), 0)];
        while let Some((directory, above, name, depth)) = pending.pop() {
            let attr = memory.getattr(&cx, &directory).unwrap();
            assert!(directories.insert(attr.ino, ()).is_none(), "directory {} is found twice", attr.ino);
            assert!(memory.parent(&cx, &directory).unwrap().id() == above.id(), "`..` of {name:?}");
            let mut told = NameBuf::new();
            memory.name_of(&cx, &directory, &mut told).unwrap();
            assert_eq!(told.as_bytes(), name);
            account.take(memory, &cx, &directory);
            account.deepest = account.deepest.max(depth);
            let mut subdirectories = 0;
            for name in names(memory, &cx, &directory) {
                let at = At { dir: &directory, name: Name::new(&name).unwrap() };
                let node = memory.lookup(&cx, at).unwrap();
                account.names += 1;
                if node.kind() == FileType::Directory {
                    subdirectories += 1;
                    pending.push((node, directory.clone(), name, depth + 1));
                    continue;
                }
                let attr = memory.getattr(&cx, &node).unwrap();
                let links = links.entry(attr.ino).or_insert_with(|| {
                    account.take(memory, &cx, &node);
                    Links { told: attr.nlink, found: 0 }
                });
                links.found += 1;
            }
            assert_eq!(attr.nlink, 2 + subdirectories, "links of {name:?}");
        }
        for (ino, Links { told, found }) in &links {
            assert_eq!(told, found, "links of {ino}");
        }
        // A removed directory holds the one that it was in.
        let mut above = held.cloned();
        while let Some(node) = above.take_if(|node| memory.getattr(&cx, node).unwrap().nlink == 0) {
            account.removed += 1;
            account.take(memory, &cx, &node);
            above = Some(memory.parent(&cx, &node).unwrap());
        }
        account.directories = directories.len();
        account.files = links.len();
        account
    }

    /// Counts, and compares with the filesystem's own account.
    pub(crate) fn checked(memory: &Arc<Memory>, held: Option<&Arc<Node>>) -> Account {
        let account = Account::of(memory, held);
        account.check(memory);
        println!("{account:?}");
        account
    }

    /// Whether there is nothing but the root.
    pub(crate) fn is_empty(&self) -> bool {
        self.names + self.removed == 0
    }

    /// Counts the bytes that an inode takes.
    fn take(&mut self, memory: &Memory, cx: &Cx<'_>, node: &Arc<Node>) {
        self.bytes += memory.getattr(cx, node).unwrap().blocks * 512;
        let mut names = Vec::new();
        memory.list_xattr(cx, node, &mut |name| names.push(name.to_vec())).unwrap();
        for name in names {
            let value = memory.get_xattr(cx, node, &name).unwrap();
            self.bytes += (name.len() + value.len() + 64) as u64;
        }
    }

    /// The filesystem's own account is the same: nothing is unreachable, nothing is counted twice or not at all.
    fn check(&self, memory: &Memory) {
        // The root has no name.
        let usage = Usage { bytes: self.bytes, inodes: self.names + 1 + self.removed };
        assert_eq!(memory.usage(), usage, "{self:?}");
    }
}

fn names(memory: &Memory, cx: &Cx<'_>, directory: &Arc<Node>) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    memory
        .open_dir(cx, directory)
        .unwrap()
        .list(cx, 0, &mut |entry| {
            names.push(entry.name.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "a name is listed twice");
    names
}
