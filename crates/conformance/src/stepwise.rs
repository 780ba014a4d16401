//! A filesystem that takes one name at a time: the same filesystem without
//! [`resolve_run`](vnode_core::fs::Filesystem::resolve_run), which is an optimisation and must not change what
//! any path means.

use std::sync::Arc;

use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, LinkTarget, NewInode, OpenedNew, Remove, Rename, SetXattr,
};
use vnode_core::{Attr, Cx, NameBuf, Result, SetAttr, StatFs};

use crate::forwarded::forward_the_rest;

/// `F`, one name at a time.
pub struct Stepwise<F>(pub F);

type Node<F> = Arc<<F as Filesystem>::Inode>;

impl<F: Filesystem> Filesystem for Stepwise<F> {
    type Inode = F::Inode;

    forward_the_rest!();

    fn caps(&self) -> Caps {
        self.0.caps() - Caps::RUNS
    }

    fn create(&self, cx: &Cx<'_>, at: At<'_, F::Inode>, new: NewInode<'_>) -> Result<Node<F>> {
        self.0.create(cx, at, new)
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Node<F>) -> Result<LinkTarget> {
        self.0.readlink(cx, link)
    }
}
