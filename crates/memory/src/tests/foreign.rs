//! Content that another filesystem has in memory: read there, copied when it is changed.

use std::sync::Arc;

use proptest::prelude::*;
use vnode_core::fs::{Allocate, File, InPlace, SharedBytes};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Errno, Result};

use super::Fixture;
use crate::quota::PAGE;
use crate::{Memory, Node};

const CHUNK: u64 = 16 * PAGE;

/// A file of another filesystem, with a hole before its bytes.
struct Foreign {
    hole: u64,
    bytes: SharedBytes,
}

impl Foreign {
    fn new(hole: u64, bytes: Vec<u8>) -> Self {
        Foreign { hole, bytes: SharedBytes::new(Arc::new(bytes)) }
    }

    /// Has a file take all of it.
    fn give(&self, fx: &Fixture, to: &Arc<Node>, offset: u64) -> Result<()> {
        let (cx, to) = (fx.cx(), fx.open(to));
        let mut done = 0;
        while done < self.hole + self.bytes.len() as u64 {
            done += to.copy_range(&cx, offset + done, self, done, u64::MAX)?;
        }
        Ok(())
    }
}

impl File for Foreign {
    fn read_at(&self, _: &Cx<'_>, _: u64, _: &mut Sink<'_>) -> Result<usize> {
        Err(Errno::IO)
    }

    fn write_at(&self, _: &Cx<'_>, _: u64, _: &mut Source<'_>) -> Result<usize> {
        Err(Errno::ROFS)
    }

    fn append(&self, _: &Cx<'_>, _: &mut Source<'_>) -> Result<(usize, u64)> {
        Err(Errno::ROFS)
    }

    fn set_len(&self, _: &Cx<'_>, _: u64) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn allocate(&self, _: &Cx<'_>, _: Allocate, _: u64, _: u64) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn in_place(&self, _: &Cx<'_>, offset: u64, len: u64) -> Result<InPlace> {
        if offset < self.hole {
            return Ok(InPlace::Hole(len.min(self.hole - offset)));
        }
        let start = (offset - self.hole) as usize;
        let end = self.bytes.len().min(start.saturating_add(len as usize));
        Ok(if start < end { InPlace::Bytes(self.bytes.part(start..end).unwrap()) } else { InPlace::Hole(0) })
    }
}

fn bytes(len: u64) -> Vec<u8> {
    (0..len).map(|at| (at / PAGE * 7 + at % 251) as u8).collect()
}

fn page_is_at(file: &Arc<Node>, page: u64, bytes: &[u8]) -> bool {
    file.content().unwrap().read().page_address(page) == Some(bytes[(page * PAGE) as usize..].as_ptr())
}

#[test]
fn it_is_read_in_place_until_it_is_changed() {
    let fx = Fixture::crowded(Memory::builder());
    let to = fx.file(&fx.root(), "to");
    let content = bytes(3 * CHUNK + 2 * PAGE + 5);
    let foreign = Foreign::new(0, content.clone());
    foreign.give(&fx, &to, 0).unwrap();
    assert_eq!((fx.attr(&to).size, fx.attr(&to).blocks), (content.len() as u64, (3 * 16 + 3) * 8));
    assert!((0..51).all(|page| page_is_at(&to, page, &foreign.bytes)));
    assert_eq!(fx.read(&to, 0, 1 << 20), content);
    let usage = fx.memory.usage();
    // Only the chunk is copied that is written to, whatever of it.
    fx.write(&to, CHUNK + 5, b"mine").unwrap();
    for page in 0..51 {
        assert_eq!(page_is_at(&to, page, &foreign.bytes), !(16..32).contains(&page), "{page}");
    }
    assert_eq!(fx.memory.usage(), usage);
    let mut changed = content.clone();
    changed[CHUNK as usize + 5..][..4].copy_from_slice(b"mine");
    assert_eq!(fx.read(&to, 0, 1 << 20), changed);
    assert_eq!(&foreign.bytes[..], content);
    fx.check(&[]);
}

#[test]
fn it_takes_the_room_that_it_would_take_if_it_were_written() {
    let fx = Fixture::new(Memory::builder().max_bytes(2 * CHUNK));
    let to = fx.file(&fx.root(), "to");
    assert_eq!(Foreign::new(0, bytes(2 * CHUNK + 1)).give(&fx, &to, 0), Err(Errno::NOSPC));
    assert_eq!((fx.attr(&to).size, fx.memory.usage().bytes), (0, 0));
    Foreign::new(9 * CHUNK, bytes(2 * CHUNK)).give(&fx, &to, 0).unwrap();
    assert_eq!((fx.attr(&to).size, fx.memory.usage().bytes), (11 * CHUNK, 2 * CHUNK));
    fx.write(&to, 10 * CHUNK, &bytes(CHUNK)).unwrap();
    assert_eq!(fx.write(&to, 0, b"x"), Err(Errno::NOSPC));
    fx.check(&[]);
}

/// What is done to a file that has it.
#[derive(Clone, Copy, Debug)]
enum Change {
    Write(u64, u64),
    Truncate(u64),
    Punch(u64, u64),
    Zero(u64, u64),
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0u64..300_000;
    let len = prop_oneof![1u64..100, 1u64..200_000];
    prop_oneof![
        (at.clone(), len.clone()).prop_map(|(at, len)| Change::Write(at, len)),
        at.clone().prop_map(Change::Truncate),
        (at.clone(), len.clone()).prop_map(|(at, len)| Change::Punch(at, len)),
        (at, len).prop_map(|(at, len)| Change::Zero(at, len)),
    ]
}

fn apply(fx: &Fixture, file: &Arc<Node>, model: &mut Vec<u8>, change: Change) {
    let within = |model: &Vec<u8>, at: u64, len: u64| {
        let end = model.len().min((at + len) as usize);
        (at as usize).min(end)..end
    };
    match change {
        Change::Write(at, len) => {
            fx.write(file, at, &vec![0xee; len as usize]).unwrap();
            model.resize(model.len().max((at + len) as usize), 0);
            model[at as usize..][..len as usize].fill(0xee);
        }
        Change::Truncate(len) => {
            fx.truncate(file, len).unwrap();
            model.resize(len as usize, 0);
        }
        Change::Punch(at, len) => {
            fx.allocate(file, Allocate::PunchHole, at, len).unwrap();
            let range = within(model, at, len);
            model[range].fill(0);
        }
        Change::Zero(at, len) => {
            fx.allocate(file, Allocate::ZeroRange, at, len).unwrap();
            model.resize(model.len().max((at + len) as usize), 0);
            model[at as usize..][..len as usize].fill(0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 96 }) })]

    #[test]
    fn a_file_that_has_it_is_as_any(
        hole in 0u64..3,
        len in prop_oneof![0u64..9000, 0u64..300_000],
        changes in prop::collection::vec(change(), 0..8),
        crowded: bool,
    ) {
        let fx = if crowded { Fixture::crowded(Memory::builder()) } else { Fixture::new(Memory::builder()) };
        let to = fx.file(&fx.root(), "to");
        let content = bytes(len);
        let foreign = Foreign::new(hole * CHUNK, content.clone());
        foreign.give(&fx, &to, 0).unwrap();
        let mut model = vec![0; (hole * CHUNK) as usize];
        model.extend_from_slice(&content);
        // Another file shares what this one has.
        let other = fx.file(&fx.root(), "other");
        let cx = fx.cx();
        (*to).lend(&cx, &mut |to| fx.open(&other).copy_range(&cx, 0, to, 0, u64::MAX)).unwrap();
        let before = model.clone();
        for change in changes {
            apply(&fx, &to, &mut model, change);
            prop_assert_eq!(&fx.read(&to, 0, 1 << 20), &model);
            fx.check(&[]);
        }
        prop_assert_eq!(&fx.read(&other, 0, 1 << 20), &before);
        prop_assert_eq!(&foreign.bytes[..], &content[..]);
    }
}
