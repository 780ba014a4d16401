//! The content of files.

use proptest::prelude::*;
use vnode_core::Errno;
use vnode_core::fs::{Allocate, SeekFor};
use vnode_core::io::Source;

use super::Fixture;
use crate::Memory;

const MAX: u64 = i64::MAX as u64;

/// A step on a file; offsets and lengths are scaled to lie around page and chunk boundaries.
#[derive(Clone, Debug)]
enum Step {
    Write(u64, usize),
    Append(usize),
    Truncate(u64),
    Allocate(u8, u64, u64),
    Read(u64, usize),
    Fork,
}

fn offset() -> impl Strategy<Value = u64> {
    let near = (0u64..40, -2i64..3).prop_map(|(page, by)| (page * 4096).saturating_add_signed(by));
    prop_oneof![near, 0u64..200_000, 0u64..5000]
}

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..300, Just(4096usize), 1usize..70_000]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (offset(), len()).prop_map(|(offset, len)| Step::Write(offset, len)),
        2 => len().prop_map(Step::Append),
        2 => offset().prop_map(Step::Truncate),
        3 => (0u8..4, offset(), len()).prop_map(|(how, offset, len)| Step::Allocate(how, offset, len as u64)),
        2 => (offset(), len()).prop_map(|(offset, len)| Step::Read(offset, len)),
        1 => Just(Step::Fork),
    ]
}

const HOW: [Allocate; 4] = [Allocate::Extend, Allocate::KeepSize, Allocate::PunchHole, Allocate::ZeroRange];

fn put(model: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if model.len() < offset + bytes.len() {
        model.resize(offset + bytes.len(), 0);
    }
    model[offset..offset + bytes.len()].copy_from_slice(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_file_is_its_bytes(crowded in any::<bool>(), steps in prop::collection::vec(step(), 1..40)) {
        let fx = if crowded { Fixture::crowded(Memory::builder()) } else { Fixture::default() };
        let root = fx.root();
        let file = fx.file(&root, "f");
        let mut model: Vec<u8> = Vec::new();
        let mut copies = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let fill = number as u8 + 1;
            match step {
                Step::Write(offset, len) => {
                    prop_assert_eq!(fx.write(&file, offset, &vec![fill; len]), Ok(len));
                    put(&mut model, offset as usize, &vec![fill; len]);
                }
                Step::Append(len) => {
                    let bytes = vec![fill; len];
                    let done = fx.open(&file).append(&fx.cx(), &mut Source::from_slice(&bytes));
                    model.extend_from_slice(&bytes);
                    prop_assert_eq!(done, Ok((len, model.len() as u64)));
                }
                Step::Truncate(size) => {
                    prop_assert_eq!(fx.truncate(&file, size), Ok(()));
                    model.resize(size as usize, 0);
                }
                Step::Allocate(how, offset, len) => {
                    let how = HOW[how as usize];
                    prop_assert_eq!(fx.allocate(&file, how, offset, len), Ok(()));
                    let (start, end) = (offset as usize, (offset + len) as usize);
                    if matches!(how, Allocate::Extend | Allocate::ZeroRange) && model.len() < end {
                        model.resize(end, 0);
                    }
                    if matches!(how, Allocate::PunchHole | Allocate::ZeroRange) && start < model.len() {
                        let end = end.min(model.len());
                        model[start..end].fill(0);
                    }
                }
                Step::Read(offset, len) => {
                    let start = (offset as usize).min(model.len());
                    let end = (start + len).min(model.len());
                    prop_assert_eq!(&fx.read(&file, offset, len), &model[start..end]);
                }
                Step::Fork => copies.push((file.content().unwrap().read().clone(), model.clone())),
            }
            prop_assert_eq!(fx.attr(&file).size, model.len() as u64);
            fx.check(&[]);
        }
        prop_assert_eq!(&fx.read(&file, 0, model.len() + 1), &model);
        for (copy, model) in copies {
            let mut bytes = vec![1; model.len()];
            copy.read(0, &mut vnode_core::io::Sink::from_slice(&mut bytes));
            prop_assert_eq!(bytes, model);
        }
        // Data and holes: every byte is in one of them, holes are zero, and both searches agree.
        let mut at = 0;
        let open = fx.open(&file);
        while at < model.len() as u64 {
            let hole = open.seek_data_or_hole(&fx.cx(), SeekFor::Hole, at).unwrap();
            prop_assert!(hole == at || open.seek_data_or_hole(&fx.cx(), SeekFor::Data, at) == Ok(at));
            let data = open.seek_data_or_hole(&fx.cx(), SeekFor::Data, hole).unwrap_or(model.len() as u64);
            prop_assert!(model[hole as usize..data as usize].iter().all(|&byte| byte == 0));
            prop_assert!(data > at || data == model.len() as u64 || hole > at);
            at = data.max(hole);
            if hole == data { break }
        }
    }
}

#[test]
fn a_hole_of_2_to_the_62_costs_nothing() {
    let fx = Fixture::new(Memory::builder().max_bytes(8 * 4096));
    let root = fx.root();
    let file = fx.file(&root, "f");
    assert_eq!(fx.write(&file, 1 << 62, b"end"), Ok(3));
    assert_eq!(fx.attr(&file).size, (1 << 62) + 3);
    assert_eq!(fx.attr(&file).blocks, 8);
    assert_eq!(fx.read(&file, (1 << 62) - 2, 9), b"\0\0end");
    let open = fx.open(&file);
    assert_eq!(open.seek_data_or_hole(&fx.cx(), SeekFor::Data, 5), Ok(1 << 62));
    assert_eq!(open.seek_data_or_hole(&fx.cx(), SeekFor::Hole, 1 << 62), Ok((1 << 62) + 3));
    assert_eq!(fx.truncate(&file, MAX), Ok(()));
    assert_eq!(fx.truncate(&file, MAX + 1), Err(Errno::FBIG));
    assert_eq!(fx.write(&file, MAX, b"x"), Err(Errno::FBIG));
    assert_eq!(fx.write(&file, MAX - 1, b"xy"), Ok(1));
    assert_eq!(fx.read(&file, MAX - 2, 10), b"\0x");
    assert_eq!(fx.allocate(&file, Allocate::PunchHole, 0, MAX), Ok(()));
    assert_eq!(fx.attr(&file).blocks, 8, "the last page is not wholly in the range");
    assert_eq!(fx.read(&file, MAX - 2, 10), b"\0\0");
    assert_eq!(fx.allocate(&file, Allocate::Extend, 0, MAX), Err(Errno::NOSPC));
    assert_eq!(fx.allocate(&file, Allocate::Extend, 1, MAX), Err(Errno::FBIG));
    assert_eq!(fx.truncate(&file, 0), Ok(()));
    assert_eq!(fx.memory.usage().bytes, 0);
    fx.check(&[]);
}

#[test]
fn setting_aside_any_range_is_cheap_without_a_limit() {
    let fx = Fixture::default();
    let root = fx.root();
    let file = fx.file(&root, "f");
    assert_eq!(fx.allocate(&file, Allocate::Extend, 0, 1 << 62), Ok(()));
    assert_eq!(fx.attr(&file).blocks, 1 << 53);
    assert_eq!(fx.write(&file, 1 << 40, b"x"), Ok(1));
    assert_eq!(fx.attr(&file).blocks, 1 << 53);
    let other = fx.file(&root, "g");
    assert_eq!(fx.allocate(&other, Allocate::KeepSize, 0, 1 << 62), Err(Errno::NOSPC));
    fx.check(&[]);
    assert_eq!(fx.truncate(&file, 10), Ok(()));
    assert_eq!(fx.attr(&file).blocks, 8);
    fx.check(&[]);
}

#[test]
fn writes_stop_where_room_ends() {
    let fx = Fixture::new(Memory::builder().max_bytes(5 * 4096));
    let root = fx.root();
    let file = fx.file(&root, "f");
    assert_eq!(fx.write(&file, 100, &[1; 30_000]), Ok(5 * 4096 - 100));
    assert_eq!(fx.attr(&file).size, 5 * 4096);
    assert_eq!(fx.write(&file, 5 * 4096, b"x"), Err(Errno::NOSPC));
    assert_eq!(fx.write(&file, 5 * 4096 - 1, b"xy"), Ok(1));
    assert_eq!(fx.attr(&file).size, 5 * 4096);
    assert_eq!(fx.write(&file, 0, &[2; 4096]), Ok(4096), "what is stored is overwritten without room");
    assert_eq!(fx.allocate(&file, Allocate::PunchHole, 4096, 4096), Ok(()));
    assert_eq!(fx.allocate(&file, Allocate::KeepSize, 1 << 30, 1), Ok(()));
    assert_eq!(fx.write(&file, 4096, b"x"), Err(Errno::NOSPC));
    assert_eq!(fx.write(&file, 1 << 30, b"x"), Ok(1), "room that was set aside is there");
    fx.check(&[]);
}

#[test]
fn copies_share_what_neither_has_written() {
    let fx = Fixture::default();
    let root = fx.root();
    let file = fx.file(&root, "f");
    fx.write(&file, 0, &[5; 10 * 65536]).unwrap();
    let copy = file.content().unwrap().read().clone();
    assert_eq!(file.content().unwrap().read().pages_shared_with(&copy), 160);
    fx.write(&file, 3 * 65536 + 9, b"x").unwrap();
    fx.allocate(&file, Allocate::PunchHole, 5 * 65536, 65536).unwrap();
    assert_eq!(file.content().unwrap().read().pages_shared_with(&copy), 8 * 16);
    fx.truncate(&file, 65536 + 1).unwrap();
    assert_eq!(file.content().unwrap().read().pages_shared_with(&copy), 16);
    fx.check(&[]);
}
