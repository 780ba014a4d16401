//! Large and deep trees.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use vnode_core::fs::{Filesystem, NewKind};

use super::Fixture;
use crate::{Memory, Node};

/// Bytes of memory that the process holds.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn a_million_names_in_one_directory() {
    const COUNT: usize = 1_000_000;
    const ALONE: &str = "VNODE_TEST_WEIGHS";
    // In a process of its own: what other tests take at the same time would be weighed as well.
    if std::env::var_os(ALONE).is_none() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["tests::scale::a_million_names_in_one_directory", "--exact"]).env(ALONE, "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let fx = Fixture::new(Memory::builder().max_inodes(COUNT as u64 + 1));
    let root = fx.root();
    let before = resident();
    let begun = Instant::now();
    for number in 0..COUNT {
        fx.file(&root, &format!("entry-{number}"));
    }
    let made = begun.elapsed();
    let each = (resident() - before) / COUNT as u64;
    let begun = Instant::now();
    for number in (0..COUNT).step_by(7) {
        assert!(fx.lookup(&root, &format!("entry-{number}")).is_ok());
    }
    let found = begun.elapsed();
    let begun = Instant::now();
    let mut count = 0;
    fx.memory
        .open_dir(&fx.cx(), &root)
        .unwrap()
        .list(&fx.cx(), 0, &mut |entry| {
            count += 1;
            assert_eq!(entry.next, (COUNT - count + 3) as u64);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(count, COUNT);
    let listed = begun.elapsed();
    let begun = Instant::now();
    // The oldest first: every removal leaves a gap in front.
    for number in 0..COUNT / 4 {
        fx.unlink(&root, &format!("entry-{number}")).unwrap();
    }
    let removed = begun.elapsed();
    assert_eq!(fx.memory.usage().inodes, (COUNT - COUNT / 4 + 1) as u64);
    println!(
        "made {made:?}, a seventh found {found:?}, listed {listed:?}, a quarter removed {removed:?}; {each} bytes each"
    );
    assert!(each < 600, "{each} bytes for each entry and its inode");
}

#[test]
fn an_inode_is_small() {
    assert!(size_of::<Node>() <= 256, "{} bytes", size_of::<Node>());
}

#[test]
fn a_deep_tree_is_dropped_without_recursion() {
    const DEPTH: usize = 100_000;
    let fx = Fixture::default();
    let mut at = fx.root();
    let mut kept = None;
    for level in 0..DEPTH {
        at = fx.dir(&at, "d");
        if level == DEPTH / 2 {
            kept = Some(at.clone());
        }
    }
    drop(at);
    // Half of it is held when the filesystem goes, and outlives it.
    let kept = kept.unwrap();
    let Fixture { memory, clock, who } = fx;
    drop(memory);
    let cx = vnode_core::Cx::new(&who, &clock);
    let other = Memory::new();
    assert!(other.lookup(&cx, super::at(&kept, "d")).is_ok());
    assert_eq!(other.parent(&cx, &kept).err(), Some(vnode_core::Errno::NOENT));
    assert_eq!(kept.shared.quota.inodes.used(), (DEPTH - DEPTH / 2) as u64);
    let shared = kept.shared.clone();
    drop(kept);
    assert_eq!(shared.quota.inodes.used(), 0);
}

#[test]
fn a_chain_of_removed_directories_is_dropped_without_recursion() {
    const DEPTH: usize = 100_000;
    let fx = Fixture::default();
    let mut way: Vec<Arc<Node>> = vec![fx.root()];
    for _ in 0..DEPTH {
        way.push(fx.dir(way.last().unwrap(), "d"));
    }
    let deepest = way.pop().unwrap();
    while let Some(parent) = way.pop() {
        fx.rmdir(&parent, "d").unwrap();
    }
    assert_eq!(fx.memory.usage().inodes, DEPTH as u64 + 1, "each holds the one above");
    drop(deepest);
    assert_eq!(fx.memory.usage().inodes, 1);
}

#[test]
fn a_wide_file_is_found_at_once() {
    let fx = Fixture::default();
    let root = fx.root();
    let file = fx.file(&root, "f");
    // Every thousandth chunk, from the last to the first, and then all in between of the first few.
    for chunk in (0..2000u64).rev() {
        fx.write(&file, chunk * 1000 * 65536, &chunk.to_le_bytes()).unwrap();
    }
    for chunk in 0..5000u64 {
        fx.write(&file, chunk * 65536 + 8, &chunk.to_le_bytes()).unwrap();
    }
    for chunk in 0..2000u64 {
        assert_eq!(fx.read(&file, chunk * 1000 * 65536, 8), chunk.to_le_bytes());
    }
    for chunk in 0..5000u64 {
        assert_eq!(fx.read(&file, chunk * 65536 + 8, 8), chunk.to_le_bytes());
    }
    fx.check(&[]);
    assert_eq!(fx.attr(&file).blocks, (2000 + 5000 - 5) * 8);
    fx.truncate(&file, 65536 * 1000).unwrap();
    assert_eq!(fx.attr(&file).blocks, 1000 * 8);
    let special = fx.try_make(&root, "fifo", NewKind::Fifo).unwrap();
    assert!(special.content().is_err());
    fx.check(&[]);
}
