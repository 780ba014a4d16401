//! Making what is new where nobody sees it yet, whole and on the medium.

use vnode_core::Errno;
use vnode_core::fs::Filesystem as _;
use vnode_overlay::{fill, make_like, with_leave};

use super::Report;
use super::error::{Doing as _, Failure};
use super::journal::Slot;
use super::plan::{Content, Place, Staged};
use super::staging::Staging;
use super::tree::{Real, Tree, at};
use crate::paths::split;

/// Makes all of it.
pub(crate) fn stage(staging: &Staging<'_>, all: &[Staged], report: &mut Report<'_>) -> Result<(), Failure> {
    let slots = staging.directory(Slot::In(0).directory()).doing("look at", b"")?;
    let mut made: Vec<Real> = Vec::with_capacity(all.len());
    for one in all {
        staging.tree.cx.check_canceled().doing("copy", &one.path)?;
        let inode = make(staging.tree, &slots, one, &made).doing("copy", &one.path)?;
        made.push(inode);
        report.advance(one.like.attr.size);
    }
    // Last, for what is made in a directory changes it; what is in it first.
    for (one, inode) in all.iter().zip(&made).rev() {
        if one.content == Content::New && one.like.kind().is_dir() {
            finish(staging.tree, one, inode).doing("copy", &one.path)?;
        }
    }
    staging.tree.sync(&slots).doing("sync", b"")
}

fn make(tree: Tree<'_>, slots: &Real, one: &Staged, made: &[Real]) -> vnode_core::Result<Real> {
    let number;
    let (dir, name) = match one.place {
        Place::Slot(slot) => {
            number = Slot::In(slot).name();
            (slots, &number[..])
        }
        Place::Below(dir) => {
            let (_, name) = split(&one.path).ok_or(Errno::INVAL)?;
            (made.get(dir).ok_or(Errno::NOENT)?, name)
        }
    };
    if let Content::Link(first) = one.content {
        let first = made.get(first).ok_or(Errno::NOENT)?;
        match tree.link(first, (dir, name)) {
            // Where there are no links it is a copy.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {}
            linked => return linked.map(|()| std::sync::Arc::clone(first)),
        }
    }
    let (cx, like) = (&tree.cx.keeping_atime(), &one.like);
    let inode = make_like(cx, (&like.filesystem, &like.inode), &like.attr, (tree.fs, at(dir, name)?))?;
    if !inode.kind().is_dir() {
        finish(tree, one, &inode)?;
    }
    Ok(inode)
}

/// Gives what was made the rest, and brings it to the medium.
fn finish(tree: Tree<'_>, one: &Staged, inode: &Real) -> vnode_core::Result<()> {
    let (own, like) = (&tree.cx.keeping_atime(), &one.like);
    fill(tree.cx, own, (&like.filesystem, &like.inode), &like.attr, (tree.fs, inode), like.attr.size)?;
    with_leave(own, tree.fs, &[inode], || tree.fs.sync(own, inode, false))
}
