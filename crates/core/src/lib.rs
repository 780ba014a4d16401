//! The core of vnode: path text, errno, attributes, the [`Filesystem`](fs::Filesystem) trait, mounts, the
//! walker, and the POSIX operations. No operating system, no WebAssembly, no async.
pub mod access;
pub mod attr;
mod caller;
pub mod cx;
mod erase;
mod errno;
pub mod fs;
pub mod io;
mod mount;
pub mod ops;
mod path;
mod rename_lock;
mod run;
mod walk;

pub use attr::{Attr, FileType, Mode, SetAttr, SetTime, StatFs, Timespec};
pub use caller::{Caller, Follow, Policy};
pub use cx::{Cancel, Capabilities, Clock, Credentials, Cx};
pub use erase::FilesystemRef;
pub use errno::{Errno, Result};
pub use mount::{Mount, MountFlags, Namespace, Place};
pub use ops::{Listing, OpenFlags, OpenHow, OpenNode, Opened};
pub use path::{NAME_MAX, Name, NameBuf, PATH_MAX, VPath};
