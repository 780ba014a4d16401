//! What the kernel knows an inode by.

use std::os::fd::BorrowedFd;

use vnode_core::fs::FileHandle;

use crate::sys::direct;

/// `name_to_handle_at(2)`; nothing, if the filesystem has no such handles.
pub(crate) fn handle(inode: BorrowedFd<'_>) -> Option<FileHandle> {
    let (kind, id) = direct::file_handle(inode).ok()?;
    // No filesystem's is larger; overlays of the kernel keep no others.
    Some(FileHandle { kind: u8::try_from(kind).ok()?, id })
}

/// What the kernel tells a directory's filesystem from others by (`FS_IOC_GETFSUUID`, since Linux 6.9).
pub(crate) fn filesystem_uuid(dir: BorrowedFd<'_>) -> Option<[u8; 16]> {
    direct::filesystem_uuid(dir).ok().flatten()
}
