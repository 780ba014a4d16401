//! When content is in blocks, and that nobody notices.

use std::sync::Arc;

use vnode_core::Errno;
use vnode_core::fs::Allocate;

use super::Fixture;
use crate::quota::PAGE;
use crate::{Memory, Node};

const CHUNK: u64 = 16 * PAGE;

fn has_block(file: &Arc<Node>, chunk: u64) -> bool {
    file.content().unwrap().read().has_block(chunk)
}

#[test]
fn a_small_filesystem_has_no_blocks() {
    let fx = Fixture::default();
    let file = fx.file(&fx.root(), "f");
    let mib = vec![1; 1 << 20];
    for part in 0..5 {
        fx.write(&file, part << 20, &mib).unwrap();
    }
    let last = (5 << 20) / CHUNK - 1;
    assert!((0..last - 16).all(|chunk| !has_block(&file, chunk)));
    assert!((last - 15..=last).all(|chunk| has_block(&file, chunk)));
    // What is there stays where it is.
    fx.write(&file, 0, &mib).unwrap();
    assert!(!has_block(&file, 0));
    assert_eq!(fx.read(&file, 3 << 20, 2 << 20), vec![1; 2 << 20]);
    fx.check(&[]);
}

#[test]
fn many_pages_go_into_a_block_and_few_leave_it() {
    let fx = Fixture::crowded(Memory::builder());
    let file = fx.file(&fx.root(), "f");
    let mut model = vec![0; CHUNK as usize];
    for page in 0..14 {
        assert!(!has_block(&file, 0));
        let at = page * PAGE + 7;
        fx.write(&file, at, &[page as u8 + 1; 100]).unwrap();
        model[at as usize..][..100].fill(page as u8 + 1);
    }
    assert!(has_block(&file, 0));
    fx.truncate(&file, CHUNK).unwrap();
    assert_eq!(fx.read(&file, 0, model.len()), model);
    for page in [12, 4] {
        fx.allocate(&file, Allocate::PunchHole, page * PAGE, PAGE).unwrap();
        model[(page * PAGE) as usize..][..PAGE as usize].fill(0);
    }
    assert!(has_block(&file, 0));
    assert_eq!(fx.read(&file, 0, model.len()), model);
    fx.allocate(&file, Allocate::PunchHole, 9 * PAGE, PAGE).unwrap();
    model[9 * PAGE as usize..][..PAGE as usize].fill(0);
    assert!(!has_block(&file, 0));
    assert_eq!(fx.read(&file, 0, model.len()), model);
    fx.check(&[]);
}

#[test]
fn what_a_block_held_before_is_never_read() {
    let fx = Fixture::crowded(Memory::builder());
    let old = fx.file(&fx.root(), "old");
    fx.write(&old, 0, &vec![0xee; 4 << 20]).unwrap();
    fx.truncate(&old, 0).unwrap();
    let new = fx.file(&fx.root(), "new");
    let clean = |len: u64| fx.read(&new, 0, len as usize).iter().all(|&byte| byte < 2);
    // Within pages, and between them.
    fx.write(&new, PAGE + 100, &[1; 13 * PAGE as usize]).unwrap();
    assert!(has_block(&new, 0));
    assert!(clean(CHUNK));
    fx.truncate(&new, CHUNK).unwrap();
    assert!(clean(CHUNK));
    // A page that was dropped is as new.
    fx.allocate(&new, Allocate::PunchHole, 3 * PAGE, PAGE).unwrap();
    fx.write(&new, 3 * PAGE + 50, b"\x01").unwrap();
    fx.write(&new, 13 * PAGE + 4000, b"\x01").unwrap();
    assert!(clean(CHUNK));
    // Cut, and made longer again.
    fx.write(&new, CHUNK, &[1; CHUNK as usize]).unwrap();
    fx.truncate(&new, 2 * CHUNK - 3 * PAGE - 1000).unwrap();
    fx.truncate(&new, 3 * CHUNK).unwrap();
    assert!(has_block(&new, 1));
    assert!(clean(3 * CHUNK));
    let tail = fx.read(&new, 2 * CHUNK - 3 * PAGE - 1000, 9 * PAGE as usize);
    assert!(tail.iter().all(|&byte| byte == 0));
    // A copy has a block of its own as soon as it is written.
    let mut copy = new.content().unwrap().read().clone();
    fx.write(&new, 5 * PAGE, b"\x01").unwrap();
    fx.truncate(&new, 0).unwrap();
    let mut bytes = vec![9; 3 * CHUNK as usize];
    copy.read(0, &mut vnode_core::io::Sink::from_slice(&mut bytes));
    assert!(bytes.iter().all(|&byte| byte < 2));
    copy.release(&fx.root().shared.quota);
}

#[test]
fn room_that_ends_in_a_block_is_used_to_the_page() {
    let fx = Fixture::crowded(Memory::builder().max_bytes((4 << 20) + 8 * CHUNK));
    let ballast = fx.lookup(&fx.root(), "ballast").unwrap();
    fx.allocate(&ballast, Allocate::Extend, 4 << 20, 8 * CHUNK - 15 * PAGE).unwrap();
    let file = fx.file(&fx.root(), "f");
    // Three pages are counted already: two in the range, one behind it.
    fx.allocate(&file, Allocate::KeepSize, 4 * PAGE, 2 * PAGE).unwrap();
    fx.allocate(&file, Allocate::KeepSize, 15 * PAGE, PAGE).unwrap();
    assert_eq!(fx.write(&file, 10, &[1; CHUNK as usize]), Ok((14 * PAGE - 10) as usize));
    assert!(has_block(&file, 0));
    fx.check(&[]);
    assert_eq!(fx.write(&file, 14 * PAGE, b"x"), Err(Errno::NOSPC));
    assert_eq!(fx.write(&file, 15 * PAGE, b"x"), Ok(1));
    assert_eq!(fx.write(&file, 14 * PAGE - 1, b"xy"), Ok(1));
    fx.allocate(&file, Allocate::PunchHole, 2 * PAGE, PAGE).unwrap();
    assert_eq!(fx.write(&file, 14 * PAGE, b"xyz"), Ok(3));
    fx.check(&[]);
    fx.truncate(&file, 0).unwrap();
    fx.check(&[]);
}

#[test]
fn a_copy_outlives_the_filesystem() {
    let fx = Fixture::crowded(Memory::builder());
    let file = fx.file(&fx.root(), "f");
    fx.write(&file, 0, &[7; 4 * CHUNK as usize]).unwrap();
    let copy = file.content().unwrap().read().clone();
    drop((file, fx));
    let mut bytes = vec![0; 4 * CHUNK as usize];
    copy.read(0, &mut vnode_core::io::Sink::from_slice(&mut bytes));
    assert!(bytes.iter().all(|&byte| byte == 7));
}

#[test]
fn the_arena_holds_no_more_than_is_counted_allows() {
    let fx = Fixture::crowded(Memory::builder());
    let file = fx.file(&fx.root(), "f");
    let slab = 32 * CHUNK;
    for part in 0..40 {
        fx.write(&file, part * slab, &vec![1; slab as usize]).unwrap();
    }
    // Three quarters of one block in each slab are all that stays.
    for part in 0..40 {
        let first = part * slab;
        fx.allocate(&file, Allocate::PunchHole, first + 12 * PAGE, slab - 12 * PAGE).unwrap();
    }
    fx.check(&[]);
    let held = fx.root().shared.quota.resident_blocks();
    assert!(held <= 2 * 40 + 32, "{held} blocks are held for 40");
    fx.unlink(&fx.root(), "f").unwrap();
    drop(file);
    assert!(fx.root().shared.quota.resident_blocks() <= 32);
}

/// Files that are made large enough for a block and cut to as little as one may hold: the host must not be made to hold
/// many times the limit.
#[test]
fn blocks_take_at_most_a_third_over_the_limit() {
    for (written, kept) in [(16, 12), (14, 12), (16, 4), (8, 4), (14, 1)] {
        let limit = 12 << 20;
        let fx = Fixture::crowded(Memory::builder().max_bytes(limit));
        let (mut files, mut most) = (Vec::new(), 0);
        loop {
            let file = fx.file(&fx.root(), &format!("f{}", files.len()));
            let full =
                fx.write(&file, 0, &vec![1; (written * PAGE) as usize]) != Ok((written * PAGE) as usize);
            most = most.max(fx.root().shared.quota.resident_blocks() as u64);
            if full {
                break;
            }
            fx.truncate(&file, kept * PAGE).unwrap();
            files.push(file);
        }
        assert!(files.len() as u64 > limit / (16 * PAGE) - 100, "{} files", files.len());
        assert!(most * CHUNK <= limit / 3 * 4 + (2 << 20), "{most} blocks for {written} cut to {kept}");
        fx.check(&[]);
    }
}
