//! Filesystems made from a filesystem: decorators over any [`Filesystem`](vnode_core::fs::Filesystem), of a type that
//! is known or, as a [`FilesystemRef`](vnode_core::FilesystemRef), chosen at run time.
//!
//! | decorator | what it makes of a filesystem |
//! | --- | --- |
//! | [`ReadOnly`] | one that is never changed, as one that Linux mounts read-only as a whole |
//! | [`Quota`] | one that holds no more than so many bytes and inodes, exactly, whoever calls at once |
//! | [`Events`] | one each call of which is a `tracing` event |
//! | [`Faults`] | one that fails the Nth call, reads and writes short, when told to |
//! | [`Crash`] | one that loses what wasn't synced when the power goes |
//! | [`SymlinkEmulation`] | one that has symbolic links, of one that has none |
//!
//! They stack: each is put over the next, and what is mounted is the outermost.
//!
//! ```
//! use vnode_adapt::{Events, Faults, Quota, ReadOnly};
//! use vnode_core::FilesystemRef;
//! use vnode_memory::Memory;
//!
//! /// What a configuration asks for, the innermost first.
//! fn stack(layers: &[&str]) -> vnode_core::Result<FilesystemRef> {
//!     type Any = FilesystemRef;
//!     let mut fs = Any::new::<Memory>(Memory::new());
//!     for layer in layers {
//!         fs = match *layer {
//!             "quota" => Any::new::<Quota<Any>>(Quota::<Any>::builder().max_bytes(1 << 20).build(fs)?),
//!             "faults" => Any::new::<Faults<Any>>(Faults::new(fs)),
//!             "events" => Any::new::<Events<Any>>(Events::new(fs)),
//!             _ => Any::new::<ReadOnly<Any>>(ReadOnly::new(fs)),
//!         };
//!     }
//!     Ok(fs)
//! }
//!
//! let mounted = stack(&["faults", "quota", "events"])?;
//! # assert!(mounted.caps().contains(vnode_core::fs::Caps::SYMLINKS));
//! # Ok::<(), vnode_core::Errno>(())
//! ```
//!
//! # Map
//!
//! * `call` - [`Op`] and [`OpSet`], the calls as values; `hook` - what a decorator does with each, and the open files
//!   and listings that have it done; `forward` - the methods that go through the hook and on to the filesystem within.
//! * `look` - what a filesystem holds: names, extended attributes, data.
//! * `read_only`, `events`, `faults` - decorators that are a hook and little else.
//! * `quota` - [`Quota`]: `counts` - what is used; `node` - its own inode, which sees its last holder go; `table` - one
//!   node for each inode; `file`, `xattr` - what is counted for them; `survey` - counting what is there.
//! * `crash` - [`Crash`]: `journal` - the medium, and the changes that are not on it; `image` - an inode on the medium;
//!   `recovered` - what survived; `control` - when the power goes.
//! * `emulate` - [`SymlinkEmulation`]: `probe` - whether it is needed; `link` - the inode; `table` - the directories that
//!   have links; `names`, `rename` - what changes them; `listing` - links among all that a directory has; `runs` - of names;
//!   `store` - changes that last; `hidden` - the files in which they stand, `record` - as bytes, `load` - read again.
//!
//! # Invariants
//!
//! * A decorator's inodes are those of the filesystem within, not wrapped: all but [`Quota`]'s, which must see their last
//!   holder go; and the links of [`SymlinkEmulation`], which the filesystem within doesn't have.
//! * A name is a link's or the filesystem's within, never both.
//! * Every call of the contract goes through, runs of names too; a decorator that has nothing to do changes nothing.
//! * A call that a decorator refuses isn't made, and a call that fails within changes nothing here.
//! * What a quota has counted is never over its limit, but for what was there before it.
//! * What is on a crash's medium is a tree at every moment.
//!
//! # Lock order
//!
//! Outermost first; the locks of the filesystem within come between, where it says so:
//!
//! 1. `Quota`'s names: shared while a name is added, alone while one goes. `Crash`'s journal: shared while content or
//!    attributes change, alone while names change or something is synced. `SymlinkEmulation`'s names: alone while a link
//!    changes, a directory goes or anything is renamed, shared while anything is looked up or another name changes.
//! 2. `Quota`'s node: one at a time. `SymlinkEmulation`'s loading of a file, then a directory's log: one at a time; the
//!    order of an index, while a name of the filesystem within changes.
//! 3. The locks of the filesystem within.
//! 4. Leaves: `Quota`'s table, under which no node is dropped; `Faults`' list of faults; `Crash`'s countdown;
//!    `SymlinkEmulation`'s table, then a directory's log to see whether anybody needs it; its names of links, then a
//!    link's homes and state; the items of an index.
//!
//! No lock is held while the entries of a listing are handed out.

mod call;
mod crash;
mod emulate;
mod events;
mod faults;
mod forward;
mod hook;
mod look;
mod quota;
mod read_only;

pub use call::{Op, OpSet};
pub use crash::{Crash, CrashControl, Recovered};
pub use emulate::{Keep, SymlinkEmulation};
pub use events::Events;
pub use faults::{Fault, FaultControl, Faults};
pub use quota::{Exceeded, Quota, QuotaBuilder, QuotaNode, QuotaUsage};
pub use read_only::ReadOnly;
