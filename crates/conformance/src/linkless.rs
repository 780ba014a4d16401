//! A filesystem without symbolic links, as Linux's vfat is: what [`SymlinkEmulation`](vnode_adapt::SymlinkEmulation)
//! gives links to.

use std::sync::Arc;

use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, LinkTarget, NewInode, NewKind, OpenedNew, Remove, Rename,
    Run, RunEnd, SetXattr, Want,
};
use vnode_core::{Attr, Cx, Errno, NameBuf, Result, SetAttr, StatFs};

use crate::forwarded::forward_the_rest;

/// `F` without symbolic links: to make one is `EPERM`, and nothing is one.
pub struct Linkless<F>(pub F);

type Node<F> = Arc<<F as Filesystem>::Inode>;

impl<F: Filesystem> Filesystem for Linkless<F> {
    type Inode = F::Inode;

    forward_the_rest!();

    fn caps(&self) -> Caps {
        self.0.caps() - Caps::SYMLINKS
    }

    fn create(&self, cx: &Cx<'_>, at: At<'_, F::Inode>, new: NewInode<'_>) -> Result<Node<F>> {
        match new.kind {
            NewKind::Symlink(_) => Err(Errno::PERM),
            _ => self.0.create(cx, at, new),
        }
    }

    fn readlink(&self, _: &Cx<'_>, _: &Node<F>) -> Result<LinkTarget> {
        Err(Errno::INVAL)
    }

    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node<F>,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<F::Inode>> {
        self.0.resolve_run(cx, dir, run, want)
    }

    fn open_run(
        &self,
        cx: &Cx<'_>,
        dir: &Node<F>,
        run: &mut Run<'_>,
        access: Access,
    ) -> Result<RunEnd<F::Inode>> {
        self.0.open_run(cx, dir, run, access)
    }
}
