//! What Linux alone has: inodes opened without their content, `/proc`, several names in one call, and more.

mod attributes;
mod content;
mod handles;
mod listing;
mod names;
mod procfs;
mod raw;
mod xattr;

pub(crate) use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) use super::raw::write;
pub(crate) use attributes::{
    filesystem, folds_case, look, look_at, set_mode, set_owner, set_times, stat, stat_at, truncate,
};
pub(crate) use content::{allocate, copy_range, share_all, sync};
pub(crate) use handles::{filesystem_uuid, handle};
pub(crate) use listing::{Listing, open_directory};
pub(crate) use names::{create, find, find_above, find_run, link, open_root, read_link};
pub(crate) use procfs::{process_umask, reopen};
pub(crate) use raw::{append, past_limit};
pub(crate) use xattr::{get_xattr, list_xattr, remove_xattr, set_xattr};

pub(super) use listing::leaving_atime;
pub(super) use names::told_of_remove;

use vnode_core::Result;

/// The descriptor by which an inode is held: there always is one.
#[inline(always)]
pub(super) fn opened<'a>(inode: &BorrowedFd<'a>) -> Result<BorrowedFd<'a>> {
    Ok(*inode)
}
