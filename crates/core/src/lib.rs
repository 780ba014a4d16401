//! The core of vnode: path text, errno, attributes, the [`Filesystem`](fs::Filesystem) contract, mounts, THE
//! walker, and the POSIX operations. No operating system, no WebAssembly, no async.
//!
//! # The one rule
//!
//! Names are resolved in one function. Filesystems are told (directory, one validated name). Everything that a
//! symbolic link means - where it restarts, when it is followed, how many, what a trailing slash does, where it
//! may not lead - is in the walker and nowhere else.
//!
//! # Map
//!
//! | module | what |
//! | --- | --- |
//! | [`Errno`] | the only error below the syscall line |
//! | [`VPath`], [`Name`] | path text as it was spelled; one component that may be an entry's name |
//! | [`attr`] | types, modes, timestamps, attributes and changes to them |
//! | [`cx`] | what a call carries: credentials, clock, cancellation |
//! | [`access`] | who may do what |
//! | [`blocking`] | whether the calling thread may block; `gate` asks before a filesystem that may |
//! | [`io`] | where reads put bytes and writes take them: raw segments of guest memory |
//! | [`ranges`] | sets of numbers in long runs |
//! | [`fs`] | the contract with a filesystem; [`FilesystemRef`] is one of any type |
//! | `mount` | [`Place`], [`Mount`], [`Namespace`]: how filesystems form one tree |
//! | `walk` | the walker: three doors over one loop |
//! | [`ops`] | the operations, methods of [`Caller`]: walk, check, one call of a filesystem |
//!
//! # Invariants
//!
//! * A [`Place`] (mount, inode) is the only position. No path text is kept, joined or normalised.
//! * A failed operation changes nothing.
//! * Nothing here panics on what a caller passes; a walk takes at most 41 texts of at most 4095 bytes.
//! * A filesystem's `readlink` is called by the walker and the readlink operation only.
//!
//! # Locks, outermost first
//!
//! 1. `Namespace`'s mount writer: held while a new table is made; no filesystem is called under it.
//! 2. A [`FilesystemRef`]'s rename lock, one for all its mounts in all namespaces: written for a rename between
//!    directories, over the filesystem's call; read by a walk that was raced by such renames several times.
//! 3. The locks of filesystems; each documents its own order.
pub mod access;
pub mod attr;
pub mod blocking;
mod caller;
pub mod cx;
mod erase;
mod errno;
mod file;
pub mod fs;
mod gate;
mod in_place;
pub mod io;
mod mount;
mod mount_at;
pub mod ops;
mod path;
mod pinned;
pub mod ranges;
mod rename_lock;
mod run;
mod synthetic;
mod walk;

pub use attr::{Attr, FileType, Mode, SetAttr, SetTime, StatFs, Timespec};
pub use caller::{Caller, Follow, Policy};
pub use cx::{Cancel, Capabilities, Clock, Credentials, Cx};
pub use erase::FilesystemRef;
pub use errno::{Errno, Result};
pub use mount::{Mount, MountFlags, Namespace, Place};
pub use ops::{Listing, OpenFlags, OpenHow, OpenNode, Opened};
pub use path::{NAME_MAX, Name, NameBuf, PATH_MAX, VPath};
pub use pinned::Pinned;
