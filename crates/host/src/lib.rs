//! A directory of the host as a filesystem of vnode: confined, and as fast as the kernel lets it be.
//!
//! ```
//! use vnode_core::{FilesystemRef, Namespace};
//! use vnode_host::Host;
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path();
//! let fs = FilesystemRef::new::<Host>(Host::new(path)?);
//! let namespace = Namespace::new(fs);
//! # let _ = namespace;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is served
//!
//! The directory and all that is below it, mounts of the host included unless
//! [`HostBuilder::one_mount`] refuses them. Nothing is cached: what other programs change is seen at once, and what is
//! made here is made there, as the user that the process runs as.
//!
//! Symbolic links are text. Where one leads is the guest's affair: the walker of `vnode-core` follows it in the guest's
//! own tree, so an absolute one starts at the guest's root, and the host's kernel never follows any.
//!
//! FIFOs, sockets and devices are listed and have attributes. They are never opened: no guest waits for the other end of
//! a FIFO or drives a device.
//!
//! Names are the host's. Where its filesystem takes `a` and `A` for one name they are one for the guest as well, which
//! [`Caps::CASELESS`](vnode_core::fs::Caps::CASELESS) tells as far as it is known: of FAT, exFAT, NTFS, SMB, and of a
//! directory of ext4 or f2fs that folds case, if it is the one that is served. A mount point in such a directory has its
//! own spelling only: another leads to what the mount covers.
//!
//! # Map
//!
//! * `host` - [`Host`], the filesystem; `builder` - its options.
//! * `node` - [`HostNode`], an inode; `pool` - the descriptors, and which are closed when there are too many.
//! * `runs` - several names in one call; `climb` - the way up.
//! * `file`, `listing` - what inodes hold; `copy` - content that a file takes from another one.
//! * `sys` - all system calls: what all systems share, and `linux` and `apple`. What macOS lacks is in the README.
//!
//! # Invariants
//!
//! * Every call of the host is relative to a descriptor of a directory that was reached from the root by names, and names
//!   one entry that is not followed; or several, and fails if a link is among them (`openat2(2)`).
//! * `..` is taken only if what it leads to is below the root.
//! * What is opened for its content was seen to be a regular file before, and is seen to be one after.
//! * An inode without an open descriptor is found again by the way that it was found, and is the same inode, or is
//!   `ESTALE`.
//!
//! # Lock order
//!
//! 1. An inode's descriptor: shared by calls that use it; several at once. Whoever would close it doesn't wait.
//! 2. The pool's list of what can be closed.
//!
//! A file's own position is a lock of its own, under which no other is taken.

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!(
    "vnode-host serves directories of Linux and macOS only: of other systems, it doesn't know the calls that find a name \
     without following a link that leads out of the directory"
);

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod builder;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod climb;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod copy;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod file;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod host;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod listing;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod node;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod pool;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod runs;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod sys;

#[cfg(any(target_os = "linux", target_os = "macos"))]
pub use builder::{HostBuilder, HostError};
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub use host::Host;
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub use node::HostNode;
