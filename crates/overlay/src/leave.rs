//! What is the overlay's own of the upper but forbids its owner to look at it or to change it: the process may be no
//! root, and gives itself leave for as long as it takes.
//!
//! A process that is killed meanwhile leaves these inodes with more permissions of their owner's than they had.

use vnode_core::fs::Filesystem;
use vnode_core::{Cx, Errno, FilesystemRef, Mode, Result, SetAttr};

use crate::layers::Real;

/// Makes a call, and if it fails with `EACCES` once more with all permissions of the owner's on these inodes, which get
/// their own back.
///
/// # Errors
/// Those of the call.
pub fn with_leave<T>(
    own: &Cx<'_>,
    fs: &FilesystemRef,
    inodes: &[&Real],
    call: impl Fn() -> Result<T>,
) -> Result<T> {
    match call() {
        Err(Errno::ACCES) => {}
        done => return done,
    }
    let set =
        |inode: &Real, mode| fs.setattr(own, inode, &SetAttr { mode: Some(mode), ..SetAttr::default() });
    let mut lifted = Vec::new();
    for inode in inodes {
        let Ok(attr) = fs.getattr(own, inode) else { continue };
        let needed = needed(inode);
        if !attr.mode.contains(needed) && set(inode, attr.mode | needed).is_ok() {
            lifted.push((inode, attr.mode));
        }
    }
    if lifted.is_empty() {
        return Err(Errno::ACCES);
    }
    let done = call();
    for (inode, mode) in lifted.into_iter().rev() {
        // What was removed needs none.
        let _ = set(inode, mode);
    }
    done
}

/// What the owner must be allowed to.
pub(crate) fn needed(inode: &Real) -> Mode {
    if inode.kind().is_dir() { Mode::RWXU } else { Mode::RUSR | Mode::WUSR }
}
