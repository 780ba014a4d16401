//! An operation, as both vnode and the model are told it, and what it comes to.

use vnode_core::fs::{Access, Allocate, Rename};
use vnode_core::{FileType, OpenFlags, Policy};

use crate::input::Input;

/// Directories and files that are held open at once.
pub const SLOTS: usize = 6;

/// A path and the held directory that it starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Which of the held places.
    pub slot: usize,
    /// The text.
    pub path: Vec<u8>,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the system call of its name")]
pub enum Op {
    Stat {
        at: At,
        follow: bool,
    },
    /// Holds what a path leads to in a slot.
    Hold {
        at: At,
        follow: bool,
        slot: usize,
    },
    /// Makes a held directory the root.
    Chroot {
        slot: usize,
    },
    Readlink {
        at: At,
    },
    Getcwd {
        slot: usize,
    },
    List {
        slot: usize,
    },
    Mkdir {
        at: At,
    },
    Mknod {
        at: At,
    },
    Symlink {
        text: Vec<u8>,
        at: At,
    },
    Link {
        old: At,
        new: At,
        follow: bool,
    },
    Unlink {
        at: At,
    },
    Rmdir {
        at: At,
    },
    Rename {
        old: At,
        new: At,
        how: Rename,
    },
    Truncate {
        at: At,
        len: u64,
    },
    Open {
        at: At,
        flags: OpenFlags,
        access: Access,
        slot: usize,
    },
    Close {
        slot: usize,
    },
    Write {
        slot: usize,
        offset: u64,
        bytes: Vec<u8>,
    },
    Append {
        slot: usize,
        bytes: Vec<u8>,
    },
    Read {
        slot: usize,
        offset: u64,
        len: usize,
    },
    SetLen {
        slot: usize,
        len: u64,
    },
    Allocate {
        slot: usize,
        how: Allocate,
        offset: u64,
        len: u64,
    },
    SeekData {
        slot: usize,
        offset: u64,
    },
    SeekHole {
        slot: usize,
        offset: u64,
    },
}

/// What an operation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// What is there.
    Found(Found),
    /// Bytes: a target, a path, content.
    Bytes(Vec<u8>),
    /// Names of a directory, sorted.
    Names(Vec<Vec<u8>>),
    /// A count or an offset.
    Number(u64),
}

/// What is told of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one it is, in the system's own terms.
    pub id: (u64, u64),
    /// Its type.
    pub kind: FileType,
    /// `st_nlink`.
    pub nlink: u32,
    /// `st_size`, but of a directory.
    pub size: u64,
}

fn at(input: &mut Input<'_>) -> At {
    At { slot: usize::from(input.byte()) % SLOTS, path: input.text() }
}

fn slot(input: &mut Input<'_>) -> usize {
    usize::from(input.byte()) % SLOTS
}

fn flags(input: &mut Input<'_>) -> OpenFlags {
    OpenFlags::from_bits_truncate(u32::from(input.byte())) - OpenFlags::PATH
}

fn access(input: &mut Input<'_>) -> Access {
    input.of([Access::READ, Access::WRITE, Access::READ | Access::WRITE, Access::empty()])
}

/// A place in a file, likely at an edge of what content is kept in, and below `limit`.
fn offset(input: &mut Input<'_>, limit: u64) -> u64 {
    const EDGES: [u64; 14] =
        [0, 1, 63, 511, 4095, 4096, 8192, 12_288, 65_535, 65_536, 131_072, 1 << 32, 1 << 62, i64::MAX as u64];
    let edge = input.of(EDGES);
    edge.saturating_add(u64::from(input.byte())).min(limit)
}

fn content(input: &mut Input<'_>) -> Vec<u8> {
    let count = input.of([0, 1, 2, 7, 64, 4096, 4097, 70_000]);
    let fill = input.byte();
    (0..count).map(|index| if index % 1000 == 7 { index as u8 } else { fill }).collect()
}

/// Past it no offset may be.
const END: u64 = i64::MAX as u64;
/// What is reserved stays small, for it is counted.
const RESERVED: u64 = 1 << 33;

impl Op {
    /// The paths that it is told.
    pub fn paths(&self) -> Vec<&[u8]> {
        match self {
            Op::Stat { at, .. }
            | Op::Hold { at, .. }
            | Op::Readlink { at }
            | Op::Mkdir { at }
            | Op::Mknod { at }
            | Op::Symlink { at, .. }
            | Op::Unlink { at }
            | Op::Rmdir { at }
            | Op::Truncate { at, .. }
            | Op::Open { at, .. } => vec![&at.path],
            Op::Link { old, new, .. } | Op::Rename { old, new, .. } => vec![&old.path, &new.path],
            _ => Vec::new(),
        }
    }

    /// An operation that only looks, or only makes: under any policy, over mounts.
    pub fn of_paths(input: &mut Input<'_>) -> (Policy, Op) {
        let policy = input.of([Policy::Posix, Policy::Beneath, Policy::Strict]);
        let op = match input.byte() % 16 {
            0 | 1 => Op::Mkdir { at: at(input) },
            2 => Op::Mknod { at: at(input) },
            3..=5 => Op::Symlink { text: input.text(), at: at(input) },
            6 => Op::Hold { at: at(input), follow: input.flag(), slot: slot(input) },
            7 => Op::Chroot { slot: slot(input) },
            8 => Op::Readlink { at: at(input) },
            9 => Op::Getcwd { slot: slot(input) },
            10 => Op::Open { at: at(input), flags: flags(input), access: access(input), slot: slot(input) },
            11 => Op::List { slot: slot(input) },
            _ => Op::Stat { at: at(input), follow: input.flag() },
        };
        (policy, op)
    }

    /// Any operation.
    pub fn of_sequences(input: &mut Input<'_>) -> Op {
        match input.byte() % 32 {
            0..=2 => Op::Mkdir { at: at(input) },
            3 => Op::Mknod { at: at(input) },
            4 | 5 => Op::Symlink { text: input.text(), at: at(input) },
            6 | 7 => Op::Link { old: at(input), new: at(input), follow: input.flag() },
            8 => Op::Unlink { at: at(input) },
            9 => Op::Rmdir { at: at(input) },
            10..=13 => Op::Rename {
                old: at(input),
                new: at(input),
                how: input.of([Rename::Replace, Rename::NoReplace, Rename::Exchange]),
            },
            14 => Op::Truncate { at: at(input), len: offset(input, END) },
            15..=17 => {
                Op::Open { at: at(input), flags: flags(input), access: access(input), slot: slot(input) }
            }
            18 => Op::Close { slot: slot(input) },
            19 | 20 => {
                let (slot, bytes) = (slot(input), content(input));
                Op::Write { slot, offset: offset(input, END - bytes.len() as u64), bytes }
            }
            21 => Op::Append { slot: slot(input), bytes: content(input) },
            22 => {
                let (slot, len) = (slot(input), input.of([0, 1, 100, 4096, 70_000]));
                Op::Read { slot, offset: offset(input, END - len as u64), len }
            }
            23 => Op::SetLen { slot: slot(input), len: offset(input, END) },
            24 => {
                let how = input.of([
                    Allocate::Extend,
                    Allocate::KeepSize,
                    Allocate::PunchHole,
                    Allocate::ZeroRange,
                ]);
                let slot = slot(input);
                Op::Allocate {
                    slot,
                    how,
                    offset: offset(input, RESERVED),
                    len: offset(input, RESERVED).max(1),
                }
            }
            25 => Op::SeekData { slot: slot(input), offset: offset(input, END) },
            26 => Op::SeekHole { slot: slot(input), offset: offset(input, END) },
            27 => Op::Hold { at: at(input), follow: input.flag(), slot: slot(input) },
            28 => Op::Readlink { at: at(input) },
            29 => Op::Getcwd { slot: slot(input) },
            30 => Op::List { slot: slot(input) },
            _ => Op::Stat { at: at(input), follow: input.flag() },
        }
    }
}
