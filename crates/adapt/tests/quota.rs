//! What a quota counts, and what it does at its limits. The memory filesystem below counts for itself: both must
//! agree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use support::On;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use vnode_adapt::{Events, Exceeded, Op, Quota, QuotaBuilder, QuotaUsage};
use vnode_core::fs::{Allocate, Filesystem, NewKind, Remove, Rename, SetXattr};
use vnode_core::{Errno, FilesystemRef};
use vnode_memory::Memory;

const PAGE: u64 = 4096;

/// A quota over a filesystem of a type that it doesn't know.
type Limited = On<Quota<FilesystemRef>>;

fn limited(builder: QuotaBuilder) -> (Limited, Arc<Memory>) {
    let memory = Arc::new(Memory::new());
    let quota = builder.build(FilesystemRef::new::<Memory>(memory.clone())).unwrap();
    (Limited::new(quota), memory)
}

fn pages_and_inodes(on: &Limited, memory: &Memory) -> (u64, u64) {
    let (QuotaUsage { bytes, inodes }, below) = (on.fs.usage(), memory.usage());
    assert_eq!((bytes, inodes), (below.bytes, below.inodes));
    assert_eq!(bytes % PAGE, 0);
    (bytes / PAGE, inodes)
}

#[test]
fn what_is_counted() {
    let (on, memory) = limited(Quota::<FilesystemRef>::builder());
    let count = || pages_and_inodes(&on, &memory);
    assert_eq!(count(), (0, 1));
    let f = on.open_new("f").unwrap();
    on.write(&f, 0, &[1; 5000]).unwrap();
    assert_eq!(count(), (2, 2));
    on.write(&f, 1 << 20, b"x").unwrap();
    on.append(&f, &[2; 4096]).unwrap();
    assert_eq!(count(), (4, 2));
    on.write(&f, 100, b"over").unwrap();
    on.allocate(&f, Allocate::Extend, 8192, 8192).unwrap();
    on.allocate(&f, Allocate::KeepSize, 2 << 20, 4096).unwrap();
    assert_eq!(count(), (7, 2));
    on.write(&f, 8192, b"set aside before").unwrap();
    on.allocate(&f, Allocate::PunchHole, 4096, 4096).unwrap();
    on.allocate(&f, Allocate::PunchHole, 100, 100).unwrap();
    assert_eq!(count(), (6, 2));
    on.truncate("f", 10_000).unwrap();
    assert_eq!(count(), (2, 2));
    on.truncate("f", 1 << 40).unwrap();
    on.link("f", "g").unwrap();
    assert_eq!(count(), (2, 3));
    on.unlink("f").unwrap();
    on.make("l", NewKind::Symlink(&[b'x'; 127])).unwrap();
    on.make("long", NewKind::Symlink(&[b'x'; 128])).unwrap();
    on.make("d", NewKind::Directory).unwrap();
    assert_eq!(count(), (3, 5));
    on.rename("g", "long", Rename::Replace).unwrap();
    assert_eq!(count(), (2, 4));
    // Still open.
    on.unlink("long").unwrap();
    assert_eq!(count(), (2, 4));
    on.write(&f, 1 << 30, &[3; 8192]).unwrap();
    assert_eq!(count(), (4, 4));
    drop(f);
    on.unlink("l").unwrap();
    on.rmdir("d").unwrap();
    assert_eq!(count(), (0, 1));
}

#[test]
fn what_is_set_aside_is_remembered_when_nobody_holds_the_file() {
    let (on, memory) = limited(Quota::<FilesystemRef>::builder());
    let count = || pages_and_inodes(&on, &memory).0;
    on.allocate(&on.open_new("f").unwrap(), Allocate::KeepSize, 0, 5 * PAGE).unwrap();
    on.write(&on.open("f").unwrap(), 0, b"in what is set aside").unwrap();
    assert_eq!(count(), 5);
    // Even the size that it has: what is set aside behind it goes.
    on.truncate("f", 20).unwrap();
    assert_eq!(count(), 1);
    on.allocate(&on.open("f").unwrap(), Allocate::KeepSize, 0, 3 * PAGE).unwrap();
    on.unlink("f").unwrap();
    assert_eq!(count(), 0);
}

#[test]
fn extended_attributes_count_exactly() {
    let (on, memory) = limited(Quota::<FilesystemRef>::builder().max_bytes(4096));
    let f = on.make("f", NewKind::Regular).unwrap();
    let set = |name: &[u8], value: &[u8], how| on.fs.set_xattr(&on.cx(), &f, name, value, how);
    set(b"user.a", &[1; 1000], SetXattr::Any).unwrap();
    assert_eq!(on.fs.usage().bytes, 6 + 1000 + 64);
    assert_eq!(set(b"user.b", &[1; 4000], SetXattr::Any), Err(Errno::NOSPC));
    // What is wrong anyway goes first.
    assert_eq!(set(b"user.a", &[1; 4000], SetXattr::Create), Err(Errno::EXIST));
    assert_eq!(set(b"user.b", &[1; 4000], SetXattr::Replace), Err(Errno::NODATA));
    set(b"user.a", &[1; 4026], SetXattr::Replace).unwrap();
    assert_eq!((on.fs.usage().bytes, memory.usage().bytes), (4096, 4096));
    set(b"user.a", b"", SetXattr::Replace).unwrap();
    on.fs.remove_xattr(&on.cx(), &f, b"user.a").unwrap();
    assert_eq!((on.fs.usage().bytes, memory.usage().bytes), (0, 0));
    set(b"user.a", b"goes with the file", SetXattr::Any).unwrap();
    on.unlink("f").unwrap();
    drop(f);
    assert_eq!((on.fs.usage().bytes, memory.usage().bytes), (0, 0));
}

#[test]
fn a_write_is_cut_at_the_limit_and_then_fails() {
    for exceeded in [Exceeded::DiskFull, Exceeded::QuotaUsed] {
        let full = if exceeded == Exceeded::DiskFull { Errno::NOSPC } else { Errno::DQUOT };
        let (on, memory) = limited(Quota::<FilesystemRef>::builder().max_bytes(3 * PAGE).exceeded(exceeded));
        let f = on.open_new("f").unwrap();
        assert_eq!(on.write(&f, 100, &[1; 20_000]), Ok(3 * 4096 - 100));
        assert_eq!(on.write(&f, 3 * PAGE, b"x"), Err(full));
        assert_eq!(on.append(&f, b"x"), Err(full));
        // There is room where there is something already.
        assert_eq!(on.write(&f, 4096, &[2; 10_000]), Ok(8192));
        assert_eq!(on.allocate(&f, Allocate::KeepSize, 0, 4 * PAGE), Err(full));
        assert_eq!(on.make("l", NewKind::Symlink(&[b'x'; 200])).unwrap_err(), full);
        assert_eq!(on.lookup("l").unwrap_err(), Errno::NOENT);
        // A hole in the middle: the part before it, the hole, nothing after it.
        on.allocate(&f, Allocate::PunchHole, 4096, 4096).unwrap();
        let g = on.open_new("g").unwrap();
        assert_eq!(on.write(&g, 0, &[3; 5000]), Ok(4096));
        assert_eq!(on.write(&f, 0, &[4; 12_288]), Ok(4096));
        assert_eq!(on.write(&f, 8192, &[4; 4096]), Ok(4096));
        assert_eq!(pages_and_inodes(&on, &memory), (3, 3));
        assert_eq!(on.read(&f, 3 * PAGE - 1, 10), Ok(vec![4]));
    }
}

#[test]
fn no_inode_too_many_and_what_is_wrong_anyway_goes_first() {
    let (on, memory) = limited(Quota::<FilesystemRef>::builder().max_inodes(3).exceeded(Exceeded::QuotaUsed));
    on.make("a", NewKind::Regular).unwrap();
    let d = on.make("d", NewKind::Directory).unwrap();
    assert_eq!(on.make("b", NewKind::Fifo).unwrap_err(), Errno::DQUOT);
    assert_eq!(on.link("a", "b"), Err(Errno::DQUOT));
    assert_eq!(on.open_new("b").err(), Some(Errno::DQUOT));
    assert_eq!(on.make("a", NewKind::Directory).unwrap_err(), Errno::EXIST);
    assert_eq!(on.link("a", "d"), Err(Errno::EXIST));
    on.rmdir("d").unwrap();
    assert_eq!(on.make_in(&d, "x", NewKind::Regular).unwrap_err(), Errno::NOENT);
    // The removed directory counts while it is held.
    assert_eq!(on.make("b", NewKind::Regular).unwrap_err(), Errno::DQUOT);
    drop(d);
    on.make("b", NewKind::Regular).unwrap();
    assert_eq!(pages_and_inodes(&on, &memory), (0, 3));
}

#[test]
fn statfs_tells_the_lesser_limit() {
    let small = FilesystemRef::new::<Memory>(Memory::builder().max_bytes(10 * PAGE).build());
    let on =
        On::new(Quota::<FilesystemRef>::builder().max_bytes(100 * PAGE).max_inodes(7).build(small).unwrap());
    let f = on.open_new("f").unwrap();
    on.write(&f, 0, &[1; 8192]).unwrap();
    let space = on.fs.statfs(&on.cx()).unwrap();
    assert_eq!((space.blocks, space.blocks_free, space.blocks_available), (10, 8, 8));
    assert_eq!((space.files, space.files_free), (7, 5));
    let (on, _) = limited(Quota::<FilesystemRef>::builder().max_bytes(4 * PAGE));
    let space = on.fs.statfs(&on.cx()).unwrap();
    assert_eq!((space.blocks, space.blocks_free, space.files), (4, 4, 0));
}

#[test]
fn what_is_there_already_counts() {
    let memory = Arc::new(Memory::new());
    let before = On::<Memory>::new(memory.clone());
    let f = before.open_new("f").unwrap();
    before.write(&f, 0, &[1; 4097]).unwrap();
    before.write(&f, 1 << 30, b"x").unwrap();
    before.link("f", "g").unwrap();
    before.make("l", NewKind::Symlink(&[b'x'; 4000])).unwrap();
    let d = before.make("d", NewKind::Directory).unwrap();
    before.make_in(&d, "e", NewKind::Directory).unwrap();
    before.fs.set_xattr(&before.cx(), &d, b"user.a", b"value", SetXattr::Any).unwrap();
    let fs = FilesystemRef::new::<Memory>(memory.clone());
    let on = Limited::new(Quota::<FilesystemRef>::builder().max_bytes(PAGE).build(fs).unwrap());
    let (usage, below) = (on.fs.usage(), memory.usage());
    assert_eq!((usage.bytes, usage.inodes), (below.bytes, below.inodes));
    // Over the limit: what is there can be changed and removed, nothing added.
    let g = on.open("g").unwrap();
    assert_eq!(on.write(&g, 8192, b"x"), Err(Errno::NOSPC));
    assert_eq!(on.write(&g, 5, b"x"), Ok(1));
    on.truncate("g", 4096).unwrap();
    on.unlink("l").unwrap();
    on.unlink("f").unwrap();
    on.unlink("g").unwrap();
    drop((f, g));
    let (usage, below) = (on.fs.usage(), memory.usage());
    assert_eq!((usage.bytes, usage.inodes), (below.bytes, below.inodes));
    assert_eq!(usage.inodes, 3);
}

#[test]
fn a_node_outlives_its_quota() {
    let (on, memory) = limited(Quota::<FilesystemRef>::builder());
    let f = on.open_new("f").unwrap();
    drop(on.fs);
    let clock = On::<Memory>::new(Memory::new());
    clock.write(&f, 0, &[1; 4096]).unwrap();
    drop(f);
    // Nothing is held in a circle: the memory filesystem is the last that holds the file.
    assert_eq!(Arc::strong_count(&memory), 1);
}

#[test]
fn a_deep_chain_of_removed_directories_is_dropped_without_recursion() {
    const DEPTH: usize = 50_000;
    let (on, memory) = limited(Quota::<FilesystemRef>::builder());
    let mut chain = vec![on.fs.root()];
    for _ in 0..DEPTH {
        let dir = on.make_in(&chain[chain.len() - 1], "d", NewKind::Directory).unwrap();
        chain.push(dir);
    }
    while chain.len() > 2 {
        let deepest = chain.pop().unwrap();
        on.remove_in(&chain[chain.len() - 1], "d", Remove::Directory).unwrap();
        if chain.len() == DEPTH {
            // Held to the end: it holds the one above, which holds the one above that.
            chain.insert(0, deepest);
            chain.remove(1);
        }
    }
    on.rmdir("d").unwrap();
    drop(chain);
    assert_eq!(pages_and_inodes(&on, &memory), (0, 1));
}

/// Many threads make, write, cut, link, rename over and remove at once, near the limits; the sums are exact at the end.
#[test]
fn many_threads_at_once_and_the_sum_is_exact() {
    const LIMIT: u64 = 64;
    let (on, memory) = limited(Quota::<FilesystemRef>::builder().max_bytes(LIMIT * PAGE).max_inodes(40));
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let on = &on;
            scope.spawn(move || {
                let mut state = thread + 1;
                let mut random = |below: u64| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 33) % below
                };
                for _ in 0..600 {
                    let (one, other) = (format!("f{}", random(12)), format!("f{}", random(12)));
                    // Most fail now and then: for the others, or for the limits.
                    let _ = match random(7) {
                        0 => on.open_new(&one).map(drop),
                        1 => on.unlink(&one),
                        2 => on.link(&one, &other),
                        3 => on.rename(&one, &other, Rename::Replace),
                        4 => on.truncate(&one, random(30) * 1000),
                        _ => on.open(&one).and_then(|file| {
                            on.write(&file, random(40) * 1000, &vec![1; random(9000) as usize])?;
                            on.allocate(&file, Allocate::PunchHole, random(20) * 1000, 6000)?;
                            on.append(&file, &[2; 3000]).map(drop)
                        }),
                    };
                    assert!(on.fs.usage().bytes <= LIMIT * PAGE && on.fs.usage().inodes <= 40);
                }
            });
        }
    });
    pages_and_inodes(&on, &memory);
    for name in 0..12 {
        let _ = on.unlink(&format!("f{name}"));
    }
    assert_eq!(pages_and_inodes(&on, &memory), (0, 1));
}

/// Has a thread rest behind every call that looks at attributes.
struct Resting;

impl Subscriber for Resting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == Events::<Memory>::TARGET
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Looks(bool);
        impl Visit for Looks {
            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
            fn record_str(&mut self, field: &Field, value: &str) {
                self.0 |= field.name() == "op" && value == Op::Getattr.name();
            }
        }
        let mut looks = Looks(false);
        event.record(&mut looks);
        if looks.0 {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The last two names of an inode go at once, by renames over them: one of the two takes the last.
#[test]
fn two_threads_that_take_the_last_two_names() {
    const ROUNDS: usize = 50;
    let memory = Arc::new(Memory::new());
    let watched = Events::new(FilesystemRef::new::<Memory>(memory.clone()));
    let below = FilesystemRef::new::<Events<FilesystemRef>>(watched);
    let on = Limited::new(Quota::<FilesystemRef>::builder().build(below).unwrap());
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        for [own, taken] in [["x", "a"], ["y", "b"]] {
            let (on, barrier, memory) = (&on, &barrier, &memory);
            let rounds = move || {
                let mut wrong = 0;
                for _ in 0..ROUNDS {
                    if taken == "a" {
                        on.write(&on.open_new("a").unwrap(), 0, &[1; 4096]).unwrap();
                        on.link("a", "b").unwrap();
                    }
                    on.open_new(own).unwrap();
                    barrier.wait();
                    on.rename(own, taken, Rename::Replace).unwrap();
                    barrier.wait();
                    if taken == "a" {
                        let (above, below) = (on.fs.usage(), memory.usage());
                        wrong += usize::from((above.bytes, above.inodes) != (below.bytes, below.inodes));
                        on.unlink("a").unwrap();
                        on.unlink("b").unwrap();
                    }
                    barrier.wait();
                }
                // At the end, for the other thread waits in every round.
                assert_eq!(wrong, 0);
            };
            scope.spawn(move || tracing::subscriber::with_default(Resting, rounds));
        }
    });
}
