//! Tar and zip archives as read-only filesystems of vnode.
//!
//! ```
//! use vnode_archive::Archive;
//! use vnode_core::{FilesystemRef, Namespace};
//!
//! # let tar = tar::Builder::new(Vec::new()).into_inner()?;
//! let archive = Archive::builder().bytes(tar)?;
//! assert_eq!(archive.usage().inodes, 1);
//! let namespace = Namespace::new(FilesystemRef::new::<Archive>(archive));
//! # let _ = namespace;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is read
//!
//! * tar: ustar, GNU and pax, with long names, nanoseconds, `user.` attributes, devices, and files with holes in all
//!   formats that GNU tar writes. Global pax headers hold for the members that follow. What is plain is read where it
//!   lies; what is compressed with gzip or zstd is unpacked once, when it is opened.
//! * zip: stored members are read where they lie, deflated ones are unpacked when they are opened first. Modes, links and
//!   owners are those of Info-ZIP. A program may stand before the archive.
//! * A layer of a container image, with its whiteouts as overlays understand them ([`ArchiveBuilder::layer`]).
//!
//! Names are what `tar(1)` unpacks: a later member takes the place of an earlier one, a directory only if it is empty.
//! Directories that no member tells of have the mode 0755 and belong to root. What leads out, or through what is no
//! directory, is an error that names the member ([`ArchiveError`]).
//!
//! `st_ino` is the place in the archive, the other times are that of the last change, and directories are listed by name.
//!
//! # When the file changes
//!
//! The names, attributes and the places of contents are in memory from the start. The bytes are the file's: what others
//! write into it is read, and reading what they cut off is `EIO`, but for what is left of the last page, which reads as
//! zeros. What was shared without a copy before that ([`File::in_place`](vnode_core::fs::File::in_place)) reads as zeros
//! there.
//! To be told of such a page a handler of `SIGBUS` is installed in the process, which hands on what is not an archive's.
//! Whoever installs another one later has to call the one that was there before.
//!
//! # Map
//!
//! * `archive` - [`Archive`], the filesystem; `builder` - its options, and what is what; `error`, `progress`.
//! * `tar` - headers, pax records, maps of holes; `zip` - the list of members; `compressed` - gzip and zstd.
//! * `member` - what both formats are read into; `index` - from members to the tree; `layer` - whiteouts.
//! * `tree` - all names and inodes; `node` - [`Node`], the inode; `run` - many names at once; `listing`.
//! * `content` - pieces and holes; `store` - where bytes lie; `mapping` - a file in memory (`unsafe` lives here).
//! * `packed` - deflated members; `spill` - a file for what is unpacked.
//! * `member_path` - [`Members`], for whoever copies an archive.
//!
//! # Invariants
//!
//! * The tree never changes once it is made: looking a name up takes no lock and allocates nothing. The table of names is
//!   hashed with a key that nobody knows.
//! * Every piece of content lies within its store, by checked sums, and pieces of a file don't overlap in it.
//! * What an archive makes vnode hold in memory is bounded: inodes and names, their text, the headers of one member, the
//!   list of members of a zip. What it makes vnode unpack is bounded too.
//! * Nothing recurses over the depth of the tree.
//!
//! # Lock order
//!
//! 1. A deflated member, while it is unpacked.
//! 2. The file for what is unpacked: to set aside a place in it.
//!
//! The lists of mappings are locked by nobody who holds anything else, and never by the handler.

mod archive;
mod builder;
mod compressed;
mod content;
mod error;
mod index;
mod layer;
mod listing;
mod mapping;
mod member;
mod member_path;
mod node;
mod packed;
mod progress;
mod run;
mod spill;
mod store;
mod tar;
mod tree;
mod zip;

pub use archive::{Archive, Usage};
pub use builder::ArchiveBuilder;
pub use error::{ArchiveError, PathProblem};
pub use member_path::{MemberPath, Members};
pub use node::Node;
pub use progress::Progress;
