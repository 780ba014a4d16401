//! What macOS does otherwise than Linux: no inode is opened without its content, and there is no `/proc` by which one is
//! opened again. What that leaves undone is in the crate's head.

mod attributes;
mod content;
#[cfg(target_os = "macos")]
mod darwin;
#[cfg(not(target_os = "macos"))]
#[path = "stand_in.rs"]
mod darwin;
mod held;
mod listing;
mod names;
mod raw;
mod xattr;

pub(crate) use attributes::{look, look_at, set_mode, set_owner, set_times, stat, stat_at};
pub(crate) use content::{append, copy_range, past_limit, process_umask, reopen, share_all, truncate, write};
pub(crate) use darwin::{allocate, filesystem, folds_case, sync};
pub(crate) use held::{AsFd, BorrowedFd, OwnedFd};
pub(crate) use listing::{Listing, open_directory};
pub(crate) use names::{create, find, find_above, find_run, link, open_root, read_link};
pub(crate) use xattr::{get_xattr, list_xattr, remove_xattr, set_xattr};

pub(super) use darwin::leaving_atime;
pub(super) use held::opened;
pub(super) use names::told_of_remove;

use vnode_core::fs::FileHandle;

/// Only Linux has such.
pub(crate) fn handle(_: BorrowedFd<'_>) -> Option<FileHandle> {
    None
}

/// As above.
pub(crate) fn filesystem_uuid(_: BorrowedFd<'_>) -> Option<[u8; 16]> {
    None
}
