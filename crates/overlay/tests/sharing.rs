//! Copies that share content with what they were copied from, and are copies all the same.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use support::{Node, Tree, as_root};
use vnode_adapt::{Fault, FaultControl, Faults, Op, Quota};
use vnode_core::fs::{Access, Allocate, File, Filesystem, NewKind, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Errno, FilesystemRef, Result, SetAttr};
use vnode_memory::Memory;

const CHUNK: u64 = 64 << 10;
const MIB: u64 = 1 << 20;

/// A memory filesystem with a limit on bytes.
fn limited(bytes: u64) -> Tree {
    Tree(FilesystemRef::new::<Memory>(Memory::builder().max_bytes(bytes).build()))
}

/// Makes a file of `size` bytes, a power of two of MiB, out of one MiB: no page is a hole, and the host's memory has few.
fn large(tree: &Tree, path: &str, size: u64) -> Node {
    let node = tree.make(path, NewKind::Regular).unwrap();
    let file = tree.open(&node, Access::WRITE).unwrap();
    let first: Vec<u8> = (0..MIB).map(|at| (at / 4096 + at % 251) as u8).collect();
    as_root(|cx| file.write_at(cx, 0, &mut Source::from_slice(&first))).unwrap();
    let mut len = MIB;
    while len < size {
        let taken = as_root(|cx| file.lend(cx, &mut |same| file.copy_range(cx, len, same, 0, len)));
        assert_eq!(taken, Ok(len));
        len *= 2;
    }
    node
}

fn read_at(file: &dyn File, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let read = as_root(|cx| file.read_at(cx, offset, &mut Sink::from_slice(&mut bytes))).unwrap();
    bytes.truncate(read);
    bytes
}

fn write_at(tree: &Tree, path: &str, offset: u64, bytes: &[u8]) -> Result<usize> {
    let file = tree.open(&tree.node(path)?, Access::READ | Access::WRITE)?;
    as_root(|cx| file.write_at(cx, offset, &mut Source::from_slice(bytes)))
}

fn used_blocks(tree: &Tree) -> u64 {
    let stat = as_root(|cx| tree.0.statfs(cx)).unwrap();
    stat.blocks - stat.blocks_free
}

/// Bytes of the process that are in memory.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let numbers = std::fs::read_to_string("/proc/self/statm").unwrap();
    numbers.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
#[cfg(target_os = "linux")]
fn a_large_file_takes_what_is_written_to_its_copy() {
    const SIZE: u64 = 1 << 30;
    let (lower, upper) = (Tree::memory(), limited(4 << 30));
    let below = lower.open(&large(&lower, "f", SIZE), Access::READ).unwrap();
    let overlay = Tree::over(&[&lower], &upper);
    let (before, counted) = (resident(), used_blocks(&upper));
    write_at(&overlay, "f", 512 * MIB + 5, b"changed").unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * MIB, "{grown} bytes more are resident");
    // It counts as if it were all the upper's own; `meta` is another block.
    let more = used_blocks(&upper) - counted;
    assert!((SIZE / 4096..SIZE / 4096 + 3).contains(&more), "{more} blocks more count");
    let copy = overlay.open(&overlay.node("f").unwrap(), Access::READ).unwrap();
    let old = read_at(&*below, 512 * MIB, 4096);
    let mut new = old.clone();
    new[5..12].copy_from_slice(b"changed");
    assert_eq!(read_at(&*copy, 512 * MIB, 4096), new);
    assert_eq!(read_at(&*below, 512 * MIB, 4096), old);
    for at in [0, 512 * MIB - 4096, 513 * MIB, SIZE - 4096] {
        assert_eq!(read_at(&*copy, at, 4096), read_at(&*below, at, 4096));
    }
    assert_eq!(overlay.attr("f").unwrap().size, SIZE);
    // What the lower's holder does to it is not seen in the copy.
    write_at(&lower, "f", 0, b"lower").unwrap();
    assert_ne!(read_at(&*copy, 0, 5), b"lower");
}

/// What is in the root, with all that is told of it.
fn names(tree: &Tree) -> Vec<(String, Attr)> {
    tree.list("").unwrap().into_iter().map(|name| (name.clone(), tree.attr(&name).unwrap())).collect()
}

#[test]
fn what_the_upper_has_no_room_for_is_not_copied() {
    let lower = Tree::memory();
    large(&lower, "f", 4 * MIB);
    let upper = limited(3 * MIB);
    let overlay = Tree::over(&[&lower], &upper);
    overlay.write("small", "x").unwrap();
    let before = (names(&overlay), used_blocks(&upper));
    assert_eq!(write_at(&overlay, "f", 0, b"x"), Err(Errno::NOSPC));
    assert_eq!((names(&overlay), used_blocks(&upper)), before);
    // What is dropped needs no room.
    let node = overlay.node("f").unwrap();
    as_root(|cx| overlay.open(&node, Access::WRITE)?.set_len(cx, 2 * MIB)).unwrap();
    write_at(&overlay, "f", 7, b"x").unwrap();
    assert!(used_blocks(&upper) - before.1 - 2 * MIB / 4096 < 3);
}

/// Memory under a decorator whose calls are counted, and fail when told to.
fn counted() -> (Tree, FaultControl) {
    let faults = Faults::new(FilesystemRef::new::<Memory>(Memory::new()));
    let control = faults.control();
    (Tree(FilesystemRef::new::<Faults<FilesystemRef>>(faults)), control)
}

#[test]
fn decorated_layers_share_too() {
    let ((lower, below), (upper, above)) = (counted(), counted());
    large(&lower, "f", MIB);
    let quota = Quota::<FilesystemRef>::builder().max_bytes(2 * MIB).build(upper.0).unwrap();
    let quota = Arc::new(quota);
    let upper = Tree(FilesystemRef::new::<Quota<FilesystemRef>>(Arc::clone(&quota)));
    // An overlay as a lower hands on what its own layer has.
    let inner = Tree::over(&[&lower], &Tree::memory());
    let overlay = Tree::over(&[&inner], &upper);
    let (reads, lent) = (below.calls_of(Op::Read), below.calls_of(Op::Lend));
    for (op, control) in [(Op::CopyRange, &above), (Op::Lend, &below)] {
        let before = (names(&overlay), quota.usage());
        control.arm(Fault::fail(Errno::IO).on(op));
        assert_eq!(write_at(&overlay, "f", 0, b"x"), Err(Errno::IO));
        assert_eq!((names(&overlay), quota.usage()), before, "{op}");
    }
    let (writes, pages) = (above.calls_of(Op::Write), quota.usage().bytes);
    write_at(&overlay, "f", 0, b"x").unwrap();
    // The byte, and a line of what the overlay keeps for itself; the file's content would be four.
    assert!(above.calls_of(Op::Write) - writes <= 2);
    assert_eq!((below.calls_of(Op::Lend) - lent, above.calls_of(Op::CopyRange)), (3, 2));
    assert!(quota.usage().bytes - pages >= MIB);
    assert_eq!(below.calls_of(Op::Read), reads);
}

#[test]
fn a_quota_has_no_room_for_what_is_shared_either() {
    let lower = Tree::memory();
    large(&lower, "f", 2 * MIB);
    let builder = Quota::<FilesystemRef>::builder().max_bytes(MIB);
    let quota = Arc::new(builder.build(FilesystemRef::new::<Memory>(Memory::new())).unwrap());
    let overlay =
        Tree::over(&[&lower], &Tree(FilesystemRef::new::<Quota<FilesystemRef>>(Arc::clone(&quota))));
    let before = (names(&overlay), quota.usage());
    assert_eq!(write_at(&overlay, "f", 0, b"x"), Err(Errno::NOSPC));
    assert_eq!((names(&overlay), quota.usage()), before);
}

/// Where data begins and ends, to the end of the file.
fn data(file: &dyn File) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Ok(start) = as_root(|cx| file.seek_data_or_hole(cx, SeekFor::Data, at)) {
        at = as_root(|cx| file.seek_data_or_hole(cx, SeekFor::Hole, start)).unwrap();
        found.push((start, at));
    }
    found
}

#[test]
fn holes_stay_holes() {
    let (lower, upper) = (Tree::memory(), Tree::memory());
    let node = large(&lower, "f", MIB);
    let file = lower.open(&node, Access::READ | Access::WRITE).unwrap();
    let holes = [(0, 4096), (2 * CHUNK, 3 * CHUNK), (10 * CHUNK + 8192, 4096)];
    for (at, len) in holes {
        as_root(|cx| file.allocate(cx, Allocate::PunchHole, at, len)).unwrap();
    }
    as_root(|cx| file.set_len(cx, MIB + 5 * CHUNK + 77)).unwrap();
    let overlay = Tree::over(&[&lower], &upper);
    let node = overlay.node("f").unwrap();
    let attr = overlay.attr_of(&node).unwrap();
    as_root(|cx| overlay.0.setattr(cx, &node, &SetAttr { uid: Some(7), ..SetAttr::default() })).unwrap();
    let copy = overlay.open(&node, Access::READ).unwrap();
    assert_eq!(data(&*copy), data(&*file));
    assert_eq!(data(&*copy).len(), 3);
    let copied = overlay.attr_of(&node).unwrap();
    assert_eq!((copied.size, copied.blocks, copied.mtime), (attr.size, attr.blocks, attr.mtime));
    assert_eq!(read_at(&*copy, 0, 2 << 20), read_at(&*file, 0, 2 << 20));
}

#[test]
fn a_file_cut_short_has_nothing_behind_its_end() {
    for len in [0, 1, 4096, CHUNK - 1, CHUNK, 3 * CHUNK + 4097] {
        let lower = Tree::memory();
        let node = large(&lower, "f", MIB);
        let whole = read_at(&*lower.open(&node, Access::READ).unwrap(), 0, MIB as usize);
        let overlay = Tree::over(&[&lower], &Tree::memory());
        let node = overlay.node("f").unwrap();
        let file = overlay.open(&node, Access::READ | Access::WRITE).unwrap();
        as_root(|cx| file.set_len(cx, len)).unwrap();
        assert_eq!(overlay.attr_of(&node).unwrap().blocks, len.div_ceil(4096) * 8);
        as_root(|cx| file.set_len(cx, MIB)).unwrap();
        let mut expected = whole.clone();
        expected[len as usize..].fill(0);
        assert_eq!(read_at(&*file, 0, MIB as usize), expected, "cut to {len}");
        assert_eq!(
            read_at(&*lower.open(&lower.node("f").unwrap(), Access::READ).unwrap(), 0, MIB as usize),
            whole
        );
    }
}
