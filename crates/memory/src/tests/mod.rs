//! Tests of the filesystem as a whole, through its trait.

mod blocks;
mod data;
mod extents;
mod foreign;
mod hashing;
mod kernel;
mod limits;
mod loads;
mod names;
mod renames;
mod runs;
mod scale;
mod threads;
mod times;
mod xattrs;

use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vnode_core::fs::{
    Access, Allocate, At, File, Filesystem, Inode, LinkTarget, NewInode, NewKind, Remove, Rename,
};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Clock, Credentials, Cx, Mode, Name, Result, SetAttr, Timespec};

use crate::builder::Builder;
use crate::content::Content;
use crate::node::{Body, Node};
use crate::{Memory, Usage};

/// A clock that is set by hand, in seconds.
pub(super) struct Manual(AtomicU64);

impl Clock for Manual {
    fn now(&self) -> Timespec {
        Timespec { sec: self.0.load(Ordering::Relaxed) as i64, nsec: 0 }
    }
}

/// A filesystem, who uses it, and when.
pub(super) struct Fixture {
    pub(super) memory: Memory,
    pub(super) clock: Manual,
    pub(super) who: Credentials,
}

impl Default for Fixture {
    fn default() -> Self {
        Fixture::new(Memory::builder())
    }
}

impl Fixture {
    pub(super) fn new(builder: Builder) -> Self {
        let memory = builder.time(Timespec { sec: 1000, nsec: 0 }).build();
        let clock = Manual(AtomicU64::new(1000));
        Fixture { memory, clock, who: Credentials::root() }
    }

    /// A filesystem with so much in use that files get blocks, of which some were used before.
    pub(super) fn crowded(builder: Builder) -> Self {
        let fx = Self::new(builder);
        let ballast = fx.file(&fx.root(), "ballast");
        fx.allocate(&ballast, Allocate::Extend, 0, 4 << 20).unwrap();
        let before = fx.file(&fx.root(), "before");
        fx.write(&before, 0, &[0xa5; 8 * 65536]).unwrap();
        assert!((0..8).all(|chunk| before.content().unwrap().read().has_block(chunk)));
        fx.unlink(&fx.root(), "before").unwrap();
        fx
    }

    /// A second passes; answers the time after it.
    pub(super) fn tick(&self) -> Timespec {
        self.clock.0.fetch_add(1, Ordering::Relaxed);
        self.clock.now()
    }

    pub(super) fn cx(&self) -> Cx<'_> {
        Cx::new(&self.who, &self.clock)
    }

    pub(super) fn root(&self) -> Arc<Node> {
        self.memory.root()
    }

    pub(super) fn try_make(&self, dir: &Arc<Node>, name: &str, kind: NewKind<'_>) -> Result<Arc<Node>> {
        let new = NewInode { kind, mode: Mode::from_raw(0o755), uid: 0, gid: 0 };
        self.memory.create(&self.cx(), at(dir, name), new)
    }

    pub(super) fn dir(&self, dir: &Arc<Node>, name: &str) -> Arc<Node> {
        self.try_make(dir, name, NewKind::Directory).unwrap()
    }

    pub(super) fn file(&self, dir: &Arc<Node>, name: &str) -> Arc<Node> {
        self.try_make(dir, name, NewKind::Regular).unwrap()
    }

    pub(super) fn open(&self, node: &Arc<Node>) -> Arc<dyn File> {
        self.memory.open(&self.cx(), node, Access::READ | Access::WRITE).unwrap()
    }

    pub(super) fn write(&self, node: &Arc<Node>, offset: u64, bytes: &[u8]) -> Result<usize> {
        self.open(node).write_at(&self.cx(), offset, &mut Source::from_slice(bytes))
    }

    pub(super) fn read(&self, node: &Arc<Node>, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0xee; len];
        let done = self.open(node).read_at(&self.cx(), offset, &mut Sink::from_slice(&mut bytes)).unwrap();
        bytes.truncate(done);
        bytes
    }

    pub(super) fn allocate(&self, node: &Arc<Node>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        self.open(node).allocate(&self.cx(), how, offset, len)
    }

    pub(super) fn truncate(&self, node: &Arc<Node>, size: u64) -> Result<()> {
        self.open(node).set_len(&self.cx(), size)
    }

    pub(super) fn attr(&self, node: &Arc<Node>) -> Attr {
        self.memory.getattr(&self.cx(), node).unwrap()
    }

    pub(super) fn set(&self, node: &Arc<Node>, set: SetAttr) -> Result<()> {
        self.memory.setattr(&self.cx(), node, &set)
    }

    pub(super) fn lookup(&self, dir: &Arc<Node>, name: &str) -> Result<Arc<Node>> {
        self.memory.lookup(&self.cx(), at(dir, name))
    }

    pub(super) fn link(&self, dir: &Arc<Node>, name: &str, target: &Arc<Node>) -> Result<()> {
        self.memory.link(&self.cx(), at(dir, name), target)
    }

    pub(super) fn unlink(&self, dir: &Arc<Node>, name: &str) -> Result<()> {
        self.memory.remove(&self.cx(), at(dir, name), Remove::File)
    }

    pub(super) fn rmdir(&self, dir: &Arc<Node>, name: &str) -> Result<()> {
        self.memory.remove(&self.cx(), at(dir, name), Remove::Directory)
    }

    pub(super) fn rename(&self, from: (&Arc<Node>, &str), to: (&Arc<Node>, &str), how: Rename) -> Result<()> {
        self.memory.rename(&self.cx(), at(from.0, from.1), at(to.0, to.1), how)
    }

    pub(super) fn target(&self, link: &Arc<Node>) -> Vec<u8> {
        match self.memory.readlink(&self.cx(), link).unwrap() {
            LinkTarget::Text(text) => text.to_vec(),
            LinkTarget::Jump(_) => panic!("a memory filesystem has no jumps"),
        }
    }

    /// Names and cookies from `cookie` on, at most `limit`.
    pub(super) fn list(&self, dir: &Arc<Node>, cookie: u64, limit: usize) -> Result<Vec<(String, u64)>> {
        let mut names = Vec::new();
        self.memory.open_dir(&self.cx(), dir)?.list(&self.cx(), cookie, &mut |entry| {
            names.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.next));
            if names.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(names)
    }

    pub(super) fn names(&self, dir: &Arc<Node>) -> Vec<String> {
        self.list(dir, 0, usize::MAX).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    /// Counts again what the quota has counted: what the tree holds, and `held`, which no name leads to.
    pub(super) fn check(&self, held: &[&Arc<Node>]) {
        let mut seen = BTreeMap::new();
        let mut links = 0;
        let mut pending = vec![self.root()];
        pending.extend(held.iter().map(|&node| node.clone()));
        while let Some(node) = pending.pop() {
            if seen.insert(node.ino(), node.clone()).is_some() {
                continue;
            }
            let nlink = self.attr(&node).nlink;
            if let Body::Directory(directory) = &node.body {
                let entries = directory.entries.read();
                assert_eq!(entries.len(), entries.below(0).count());
                assert!(entries.index_len().is_none_or(|len| len == entries.len()));
                let subdirs = entries.below(0).filter(|(_, _, node)| node.kind().is_dir()).count();
                assert!(nlink == 0 || nlink as usize == 2 + subdirs);
                pending.extend(entries.below(0).map(|(_, _, node)| node.clone()));
            } else {
                links += u64::from(nlink.saturating_sub(1));
            }
        }
        let bytes = seen.values().map(|node| stored_bytes(node)).sum();
        assert_eq!(self.memory.usage(), Usage { bytes, inodes: seen.len() as u64 + links });
    }
}

/// What an inode is to count as, by what it holds.
fn stored_bytes(node: &Node) -> u64 {
    let body = match &node.body {
        Body::Regular(content) => content.read().recount() * 4096,
        Body::Symlink(target) if target.len() >= 128 => 4096,
        _ => 0,
    };
    assert_eq!(node.attr().blocks, body / 512);
    body + node.meta.read().xattrs.as_ref().map_or(0, |xattrs| xattrs.cost())
}

impl Content {
    /// Counts the pages again; checks what holds for all content.
    fn recount(&self) -> u64 {
        let set_aside = self.set_aside_pages();
        let stored = self.stored_pages();
        for &page in &stored {
            assert!(self.byte_count(page) <= 4096);
            assert!(page * 4096 + self.byte_count(page) <= self.size(), "bytes past the end of the file");
            assert!(!set_aside.iter().any(|range| range.contains(&page)), "stored and set aside");
        }
        let pages = stored.len() as u64 + set_aside.iter().map(|range| range.end - range.start).sum::<u64>();
        assert_eq!(pages, self.pages());
        pages
    }
}

pub(super) fn at<'a>(dir: &'a Arc<Node>, name: &'a str) -> At<'a, Node> {
    At { dir, name: Name::new(name.as_bytes()).unwrap() }
}
