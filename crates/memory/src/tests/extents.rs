//! Content that files share, in one filesystem and in two.

use std::sync::Arc;

use proptest::prelude::*;
use vnode_core::fs::{Allocate, File};
use vnode_core::{Errno, Result};

use super::Fixture;
use crate::quota::PAGE;
use crate::{Memory, Node};

const CHUNK: u64 = 16 * PAGE;

/// Has one file take content from another, each in its filesystem.
fn take(
    fx: &Fixture,
    to: &Arc<Node>,
    offset: u64,
    from: &Arc<Node>,
    from_offset: u64,
    len: u64,
) -> Result<u64> {
    let to = fx.open(to);
    let cx = fx.cx();
    (**from).lend(&cx, &mut |from| to.copy_range(&cx, offset, from, from_offset, len))
}

fn shared(one: &Arc<Node>, two: &Arc<Node>) -> usize {
    let content = |file: &Arc<Node>| file.content().unwrap().read().clone();
    content(one).pages_shared_with(&content(two))
}

/// Bytes of which no two pages have the same.
fn bytes(len: u64) -> Vec<u8> {
    (0..len).map(|at| (at / PAGE * 7 + at % 251) as u8).collect()
}

#[test]
fn a_copy_shares_until_either_is_written_to() {
    let (lower, upper) = (Fixture::crowded(Memory::builder()), Fixture::crowded(Memory::builder()));
    let from = lower.file(&lower.root(), "from");
    let to = upper.file(&upper.root(), "to");
    let content = bytes(5 * CHUNK + 3 * PAGE + 5);
    lower.write(&from, 0, &content).unwrap();
    let len = content.len() as u64;
    let now = upper.tick();
    assert_eq!(take(&upper, &to, 0, &from, 0, u64::MAX), Ok(len));
    assert_eq!(shared(&to, &from), 5 * 16 + 4);
    assert_eq!(upper.read(&to, 0, content.len()), content);
    let attr = upper.attr(&to);
    assert_eq!((attr.size, attr.blocks, attr.mtime), (len, lower.attr(&from).blocks, now));
    upper.check(&[]);
    lower.check(&[]);

    let usage = upper.memory.usage();
    upper.write(&to, CHUNK + 1, b"upper").unwrap();
    lower.write(&from, 3 * CHUNK, b"lower").unwrap();
    assert_eq!(shared(&to, &from), 3 * 16 + 4);
    assert_eq!(upper.memory.usage(), usage);
    let changed = |at: u64, word: &[u8]| {
        let mut changed = content.clone();
        changed[at as usize..][..5].copy_from_slice(word);
        changed
    };
    assert_eq!(upper.read(&to, 0, content.len()), changed(CHUNK + 1, b"upper"));
    assert_eq!(lower.read(&from, 0, content.len()), changed(3 * CHUNK, b"lower"));
    upper.truncate(&to, 10).unwrap();
    assert_eq!(lower.read(&from, 0, content.len()), changed(3 * CHUNK, b"lower"));
    upper.check(&[]);
    lower.check(&[]);
    drop((from, lower));
    assert_eq!(upper.read(&to, 0, 99), &content[..10]);
    upper.unlink(&upper.root(), "to").unwrap();
    drop(to);
    upper.check(&[]);
}

#[test]
fn what_there_is_no_room_for_is_not_taken() {
    let lower = Fixture::default();
    let from = lower.file(&lower.root(), "from");
    lower.write(&from, 0, &bytes(3 * CHUNK)).unwrap();
    let upper = Fixture::new(Memory::builder().max_bytes(3 * CHUNK));
    let ballast = upper.file(&upper.root(), "ballast");
    upper.write(&ballast, 0, b"x").unwrap();
    let to = upper.file(&upper.root(), "to");
    let before = (upper.memory.usage(), upper.attr(&to));
    upper.tick();
    assert_eq!(take(&upper, &to, 0, &from, 0, 3 * CHUNK), Err(Errno::NOSPC));
    assert_eq!((upper.memory.usage(), upper.attr(&to)), before);
    upper.unlink(&upper.root(), "ballast").unwrap();
    drop(ballast);
    assert_eq!(take(&upper, &to, 0, &from, 0, 3 * CHUNK), Ok(3 * CHUNK));
    // What is counted is all that it can ever take: to write over it needs no room.
    upper.write(&to, 0, &bytes(CHUNK)).unwrap();
    assert_eq!(upper.write(&to, 3 * CHUNK, b"x"), Err(Errno::NOSPC));
    upper.check(&[]);
}

#[test]
fn what_can_t_be_shared_is_left_to_the_caller() {
    let fx = Fixture::default();
    let (from, to) = (fx.file(&fx.root(), "from"), fx.file(&fx.root(), "to"));
    fx.write(&from, 0, &bytes(2 * CHUNK)).unwrap();
    for (offset, from_offset) in [(1, 0), (0, 1), (PAGE, PAGE)] {
        assert_eq!(take(&fx, &to, offset, &from, from_offset, CHUNK), Err(Errno::OPNOTSUPP));
    }
    fx.write(&to, 0, b"x").unwrap();
    assert_eq!(take(&fx, &to, 0, &from, 0, CHUNK), Err(Errno::OPNOTSUPP));
    assert_eq!(take(&fx, &to, CHUNK, &from, 2 * CHUNK, CHUNK), Ok(0));
    assert_eq!(fx.attr(&to).size, 1);
    let huge = i64::MAX as u64 / CHUNK * CHUNK;
    assert_eq!(take(&fx, &to, huge, &from, 0, 2 * CHUNK), Err(Errno::FBIG));
    // A file takes from itself.
    assert_eq!(take(&fx, &from, 2 * CHUNK, &from, 0, u64::MAX), Ok(2 * CHUNK));
    assert_eq!(fx.read(&from, 0, 1 << 20), [bytes(2 * CHUNK), bytes(2 * CHUNK)].concat());
    fx.check(&[]);
}

/// A piece of a file: where, and how long.
type Piece = (u64, u64);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 96 }) })]

    #[test]
    fn an_extent_reads_as_what_it_was_taken_from(
        pieces in prop::collection::vec((0u64..60, 1u64..40_000), 0..8),
        set_aside in prop::option::of((0u64..80, 1u64..20)),
        (first, len) in (0u64..5, 0u64..400_000),
        (at, tail) in (0u64..3, 0u64..400_000),
        crowded: bool,
    ) {
        let make = if crowded { Fixture::crowded } else { Fixture::new };
        let fx = make(Memory::builder());
        let (from, to) = (fx.file(&fx.root(), "from"), fx.file(&fx.root(), "to"));
        let mut model = Vec::new();
        for &(page, len) in &pieces as &[Piece] {
            let offset = (page * PAGE) as usize;
            let piece = bytes(len);
            fx.write(&from, offset as u64, &piece).unwrap();
            model.resize(model.len().max(offset + piece.len()), 0);
            model[offset..][..piece.len()].copy_from_slice(&piece);
        }
        if let Some((page, pages)) = set_aside {
            fx.allocate(&to, Allocate::KeepSize, page * PAGE, pages * PAGE).unwrap();
        }
        let from_offset = first * CHUNK;
        let rest = model.get(from_offset as usize..).unwrap_or_default();
        let expected = &rest[..rest.len().min(len as usize)];
        prop_assert_eq!(take(&fx, &to, at * CHUNK, &from, from_offset, len), Ok(expected.len() as u64));
        let mut whole = vec![0; if expected.is_empty() { 0 } else { (at * CHUNK) as usize }];
        whole.extend_from_slice(expected);
        prop_assert_eq!(&fx.read(&to, 0, 1 << 20), &whole);
        fx.check(&[]);
        // Nothing shows up behind the end, and the other stays as it is.
        fx.truncate(&to, whole.len() as u64 + tail).unwrap();
        whole.resize(whole.len() + tail as usize, 0);
        prop_assert_eq!(&fx.read(&to, 0, 1 << 20), &whole);
        fx.write(&to, 0, &vec![0xff; whole.len()]).unwrap();
        prop_assert_eq!(&fx.read(&from, 0, 1 << 20), &model);
        fx.check(&[]);
    }
}
