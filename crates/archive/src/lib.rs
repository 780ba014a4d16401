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
