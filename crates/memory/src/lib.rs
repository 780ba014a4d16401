//! The memory filesystem of vnode: a tree of real inodes that behaves as Linux's tmpfs does.
//!
//! # Map
//!
//! * `memory` - [`Memory`], the [`Filesystem`](vnode_core::fs::Filesystem); `builder` - how one is made.
//! * `node` - [`Node`], the inode; `meta` - its attributes and times; `attributes` - changing them; `place` -
//!   where a directory is.
//! * `entries` - a directory's names; `listing` - reading them in order; `names` - making and removing them;
//!   `rename` - moving them; `run` - taking many names at once.
//! * `content` - a file's bytes, on `chunks` (what is stored) and `reserved` (what is only set aside);
//!   `chunk` - 64 KiB of them, on `page` (little of it) or `slab` (much of it); `extent` - what files share of them;
//!   `file` - the open file.
//! * `xattr` - extended attributes; `quota` - what is used of what there is; `load` - filling from outside.
//!
//! # Invariants
//!
//! * An inode number is never used twice.
//! * A directory is in at most one directory, under one name, and knows both. Until it is removed its parent
//!   holds it and it holds its parent weakly; afterwards it holds its last parent, and nothing is made in it.
//! * A name's number in its directory never changes while the name is there, and a new name's is higher than
//!   any before.
//! * No byte past the end of a file is stored other than zero.
//! * What the quota counts is what is stored: 4 KiB for each page of a file that is stored or set aside and
//!   for a symbolic link's target of 128 bytes or more, name and value and 64 bytes for each extended
//!   attribute; one inode for each inode, until its last holder lets it go, and one for each further name. It
//!   is counted before it is allocated.
//! * What files share counts for each of them, in the filesystem of each: when one of them is written to, the room for
//!   that is counted already.
//! * What content takes of the host's memory is bounded by the limit on bytes: a block has at least three quarters
//!   of its pages stored, and blocks that are free were in use, so all together are never more than 4/3 of the most
//!   that was ever counted, and 2 MiB. No more free ones are kept than are in use and 2 MiB.
//! * Nothing is read that was not written: what a block held before is overwritten or made zero page by page, as
//!   its pages are stored.
//!
//! # Where it is not tmpfs
//!
//! * `FALLOC_FL_ZERO_RANGE` works; tmpfs answers `EOPNOTSUPP`.
//! * `fallocate(2)` of more than the host has succeeds where there is no limit: what is set aside is counted,
//!   not allocated.
//! * Extended attributes count as bytes, on tmpfs as inodes. A write leaves `security.capability`.
//! * Where there is no memory for a page, a write stops as if there were no room (`ENOSPC`), and no process is
//!   killed.
//!
//! # Lock order
//!
//! Outermost first:
//!
//! 1. the rename lock: moves between directories;
//! 2. directories' entries: an ancestor before those below it; two that are not above one another only under
//!    the rename lock, in any order, and a directory to be replaced after both;
//! 3. a file's content;
//! 4. an inode's attributes: one at a time;
//! 5. a directory's place: one at a time;
//! 6. the slabs: for as long as it takes to find a block, map a slab, or take a block back.
//!
//! `rank` has the locks, and checks the order in debug builds.
//!
//! No callback is called and no inode is dropped for the last time with a directory's lock held, unless it is
//! a new one that was never seen.

mod attributes;
mod builder;
mod chunk;
mod chunks;
mod content;
mod entries;
mod extent;
mod file;
mod listing;
mod load;
mod memory;
mod meta;
mod names;
mod node;
mod page;
mod place;
mod quota;
mod rank;
mod rename;
mod reserved;
mod run;
mod slab;
#[cfg(test)]
mod tests;
mod xattr;

pub use builder::Builder;
pub use load::{Data, Entry, EntryKind, LoadError, PathProblem};
pub use memory::{Memory, Usage};
pub use node::Node;
