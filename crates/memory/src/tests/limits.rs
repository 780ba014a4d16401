//! Limits: what is counted is what is stored, after every operation; what fails changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use vnode_core::fs::{Allocate, Filesystem, Inode, NewKind, Rename, SetXattr};
use vnode_core::{Attr, Errno, Result, SetAttr, StatFs};

use super::{Fixture, at};
use crate::node::Body;
use crate::{Memory, Node, Usage};

#[derive(Clone, Debug)]
enum Step {
    Make(usize, usize, u8),
    Link((usize, usize), (usize, usize)),
    Unlink(usize, usize),
    Rmdir(usize, usize),
    Rename((usize, usize), (usize, usize), usize),
    Write(usize, usize, u64, usize),
    Allocate(usize, usize, usize, u64, u64),
    Truncate(usize, usize, u64),
    SetSize(usize, usize, u64),
    Xattr(usize, usize, usize, usize),
    RemoveXattr(usize, usize, usize),
    Hold(usize, usize),
    Let,
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const RENAMES: [Rename; 3] = [Rename::Replace, Rename::NoReplace, Rename::Exchange];
const ALLOCATES: [Allocate; 4] =
    [Allocate::Extend, Allocate::KeepSize, Allocate::PunchHole, Allocate::ZeroRange];
const XATTRS: [&[u8]; 2] = [b"user.a", b"trusted.b"];

fn step() -> impl Strategy<Value = Step> {
    let dir = 0usize..4;
    let name = 0..NAMES.len();
    let place = (dir.clone(), name.clone());
    let bytes = 0u64..60_000;
    prop_oneof![
        4 => (dir.clone(), name.clone(), 0u8..5).prop_map(|(dir, name, kind)| Step::Make(dir, name, kind)),
        2 => (place.clone(), place.clone()).prop_map(|(from, to)| Step::Link(from, to)),
        2 => place.clone().prop_map(|(dir, name)| Step::Unlink(dir, name)),
        2 => place.clone().prop_map(|(dir, name)| Step::Rmdir(dir, name)),
        4 => (place.clone(), place.clone(), 0usize..3).prop_map(|(from, to, how)| Step::Rename(from, to, how)),
        5 => (place.clone(), bytes.clone(), 0usize..30_000)
            .prop_map(|((dir, name), offset, len)| Step::Write(dir, name, offset, len)),
        3 => (place.clone(), 0usize..4, bytes.clone(), 1u64..60_000)
            .prop_map(|((dir, name), how, offset, len)| Step::Allocate(dir, name, how, offset, len)),
        2 => (place.clone(), bytes.clone()).prop_map(|((dir, name), size)| Step::Truncate(dir, name, size)),
        1 => (place.clone(), bytes).prop_map(|((dir, name), size)| Step::SetSize(dir, name, size)),
        1 => (place.clone(), 0usize..2, 0usize..5000)
            .prop_map(|((dir, name), which, len)| Step::Xattr(dir, name, which, len)),
        1 => (place.clone(), 0usize..2).prop_map(|((dir, name), which)| Step::RemoveXattr(dir, name, which)),
        1 => place.prop_map(|(dir, name)| Step::Hold(dir, name)),
        1 => Just(Step::Let),
    ]
}

/// A filesystem with four directories to work in, one below the other, and what is held open.
struct Play {
    fx: Fixture,
    dirs: Vec<Arc<Node>>,
    held: Vec<Arc<Node>>,
}

/// All that can be seen of an inode.
type Seen = (Attr, Vec<(String, u64, u64)>, Option<Vec<u8>>, Vec<(Box<[u8]>, Vec<u8>)>);

impl Play {
    fn new() -> Self {
        let fx = Fixture::new(Memory::builder().max_bytes(40 * 4096).max_inodes(16));
        let mut dirs = vec![fx.root()];
        for name in &NAMES[..3] {
            let dir = fx.dir(&dirs[dirs.len() - 1], name);
            dirs.push(dir);
        }
        Play { fx, dirs, held: Vec::new() }
    }

    fn node(&self, dir: usize, name: usize) -> Result<Arc<Node>> {
        self.fx.lookup(&self.dirs[dir], NAMES[name])
    }

    fn file(&self, dir: usize, name: usize) -> Result<Arc<Node>> {
        self.node(dir, name).and_then(|node| node.content().map(drop).map(|()| node.clone()))
    }

    fn take(&mut self, step: &Step) -> Result<()> {
        let fx = &self.fx;
        let place = |(dir, name): (usize, usize)| (&self.dirs[dir], NAMES[name]);
        match *step {
            Step::Make(dir, name, kind) => {
                let kind = match kind {
                    0 => NewKind::Directory,
                    1 => NewKind::Symlink(&[b't'; 200]),
                    2 => NewKind::Symlink(b"t"),
                    _ => NewKind::Regular,
                };
                fx.try_make(&self.dirs[dir], NAMES[name], kind).map(drop)
            }
            Step::Link(from, to) => {
                let target = self.node(from.0, from.1)?;
                fx.link(&self.dirs[to.0], NAMES[to.1], &target)
            }
            Step::Unlink(dir, name) => fx.unlink(&self.dirs[dir], NAMES[name]),
            Step::Rmdir(dir, name) => fx.rmdir(&self.dirs[dir], NAMES[name]),
            Step::Rename(from, to, how) => fx.rename(place(from), place(to), RENAMES[how]),
            Step::Write(dir, name, offset, len) => {
                fx.write(&self.file(dir, name)?, offset, &vec![len as u8 | 1; len]).map(drop)
            }
            Step::Allocate(dir, name, how, offset, len) => {
                fx.allocate(&self.file(dir, name)?, ALLOCATES[how], offset, len)
            }
            Step::Truncate(dir, name, size) => fx.truncate(&self.file(dir, name)?, size),
            Step::SetSize(dir, name, size) => {
                fx.set(&self.file(dir, name)?, SetAttr { size: Some(size), ..SetAttr::default() })
            }
            Step::Xattr(dir, name, which, len) => {
                let node = self.node(dir, name)?;
                fx.memory.set_xattr(&fx.cx(), &node, XATTRS[which], &vec![1; len], SetXattr::Any)
            }
            Step::RemoveXattr(dir, name, which) => {
                fx.memory.remove_xattr(&fx.cx(), &self.node(dir, name)?, XATTRS[which])
            }
            Step::Hold(dir, name) => {
                let node = self.node(dir, name)?;
                self.held.push(node);
                Ok(())
            }
            Step::Let => {
                self.held.clear();
                Ok(())
            }
        }
    }

    /// All that can be seen of all inodes that are there or held.
    fn seen(&self) -> BTreeMap<u64, Seen> {
        let mut seen = BTreeMap::new();
        let mut pending: Vec<_> = self.dirs.iter().chain(&self.held).cloned().collect();
        while let Some(node) = pending.pop() {
            if seen.contains_key(&node.ino()) {
                continue;
            }
            let mut names = Vec::new();
            if let Body::Directory(directory) = &node.body {
                for (number, name, child) in directory.entries.read().below(0) {
                    names.push((String::from_utf8_lossy(name).into_owned(), number, child.ino()));
                    pending.push(child.clone());
                }
            }
            let data = node.content().ok().map(|content| {
                let content = content.read();
                let mut bytes = vec![0; content.size() as usize];
                content.read(0, &mut vnode_core::io::Sink::from_slice(&mut bytes));
                bytes
            });
            let xattrs = node.xattr_names().into_iter().map(|name| {
                let value = node.get_xattr(&name).unwrap().to_vec();
                (name, value)
            });
            seen.insert(node.ino(), (self.fx.attr(&node), names, data, xattrs.collect()));
        }
        seen
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_fails_changes_nothing_and_what_is_counted_is_there(steps in prop::collection::vec(step(), 1..80)) {
        let mut play = Play::new();
        for step in &steps {
            let before = play.seen();
            play.fx.tick();
            if play.take(step).is_err() {
                prop_assert_eq!(play.seen(), before, "{:?}", step);
            }
            let held: Vec<_> = play.dirs.iter().chain(&play.held).collect();
            play.fx.check(&held);
        }
        play.held.clear();
        play.dirs.clear();
        let fx = play.fx;
        fx.check(&[]);
    }
}

#[test]
fn statfs_shows_the_limits_and_what_is_left() {
    let fx = Fixture::new(Memory::builder().max_bytes(10 * 4096 - 5).max_inodes(4));
    let root = fx.root();
    let file = fx.file(&root, "f");
    fx.write(&file, 4096, b"x").unwrap();
    let statfs = fx.memory.statfs(&fx.cx()).unwrap();
    let expected = StatFs {
        kind: 0x0102_1994,
        block_size: 4096,
        blocks: 10,
        blocks_free: 9,
        blocks_available: 9,
        files: 4,
        files_free: 2,
        name_max: 255,
        read_only: false,
    };
    assert_eq!(statfs, expected);
    let unlimited = Memory::new().statfs(&fx.cx()).unwrap();
    assert_eq!((unlimited.blocks, unlimited.blocks_free, unlimited.files), (0, 0, 0));
}

#[test]
fn inodes_and_names_run_out() {
    let fx = Fixture::new(Memory::builder().max_inodes(4));
    let root = fx.root();
    let file = fx.file(&root, "a");
    fx.link(&root, "b", &file).unwrap();
    fx.dir(&root, "c");
    assert_eq!(fx.memory.usage(), Usage { bytes: 0, inodes: 4 });
    assert_eq!(fx.try_make(&root, "d", NewKind::Regular).err(), Some(Errno::NOSPC));
    assert_eq!(fx.link(&root, "d", &file), Err(Errno::NOSPC));
    assert_eq!(fx.attr(&file).nlink, 2);
    assert_eq!(fx.try_make(&root, "a", NewKind::Regular).err(), Some(Errno::EXIST), "before ENOSPC");
    fx.rename((&root, "c"), (&root, "d"), Rename::Replace).unwrap();
    fx.unlink(&root, "a").unwrap();
    fx.link(&root, "a", &file).unwrap();
    fx.unlink(&root, "a").unwrap();
    fx.unlink(&root, "b").unwrap();
    // Without a name, but held: one inode.
    fx.file(&root, "e");
    assert_eq!(fx.try_make(&root, "f", NewKind::Regular).err(), Some(Errno::NOSPC));
    drop(file);
    fx.file(&root, "f");
    fx.check(&[]);
}

#[test]
fn a_long_link_needs_a_page() {
    let fx = Fixture::new(Memory::builder().max_bytes(4096));
    let root = fx.root();
    let long = [b'x'; 128];
    fx.try_make(&root, "a", NewKind::Symlink(&long)).unwrap();
    assert_eq!(fx.try_make(&root, "b", NewKind::Symlink(&long)).err(), Some(Errno::NOSPC));
    fx.try_make(&root, "b", NewKind::Symlink(&long[1..])).unwrap();
    fx.check(&[]);
    fx.unlink(&root, "a").unwrap();
    fx.check(&[]);
}

#[test]
fn inode_numbers_are_not_used_again() {
    let fx = Fixture::default();
    let root = fx.root();
    let mut last = 1;
    for _ in 0..100 {
        let ino = fx.file(&root, "f").ino();
        assert!(ino > last);
        last = ino;
        fx.unlink(&root, "f").unwrap();
    }
    let named = fx.file(&root, "g");
    assert_eq!(fx.memory.lookup(&fx.cx(), at(&root, "g")).unwrap().id(), named.id());
}
