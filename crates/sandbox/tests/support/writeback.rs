//! A medium that some of what was changed reaches by itself.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};

use vnode_adapt::Crash;
use vnode_core::fs::{
    Access, At, Caps, DirStream, File, Filesystem, Inode, LinkTarget, NewInode, OpenedNew, Remove, Rename,
    SetXattr,
};
use vnode_core::{Attr, Cx, FilesystemRef, NameBuf, Result, SetAttr};

use super::random::Random;

type Node = Arc<dyn Inode>;

/// A [`Crash`] that after each change of names syncs one of the directories that were changed of late, or none: so names
/// come to the medium in any order that the medium may have.
pub(crate) struct WriteBack {
    crash: Arc<Crash<FilesystemRef>>,
    late: Mutex<(Random, Vec<Node>)>,
}

impl WriteBack {
    pub(crate) fn new(crash: Arc<Crash<FilesystemRef>>, seed: u64) -> Self {
        WriteBack { crash, late: Mutex::new((Random::new(seed), Vec::new())) }
    }

    fn changed<T>(&self, cx: &Cx<'_>, dirs: &[&Node], result: Result<T>) -> Result<T> {
        let synced = {
            let (random, late) = &mut *self.late.lock().unwrap();
            late.extend(dirs.iter().map(|dir| Arc::clone(dir)));
            let oldest = late.len().saturating_sub(20);
            late.drain(..oldest);
            if random.percent(30) { Some(Arc::clone(random.of(late))) } else { None }
        };
        if let Some(synced) = synced {
            let _ = self.crash.sync(cx, &synced, false);
        }
        result
    }
}

impl Filesystem for WriteBack {
    type Inode = dyn Inode;

    fn caps(&self) -> Caps {
        self.crash.caps()
    }

    fn root(&self) -> Node {
        self.crash.root()
    }

    fn lookup(&self, cx: &Cx<'_>, at: At<'_, dyn Inode>) -> Result<Node> {
        self.crash.lookup(cx, at)
    }

    fn parent(&self, cx: &Cx<'_>, dir: &Node) -> Result<Node> {
        self.crash.parent(cx, dir)
    }

    fn name_of(&self, cx: &Cx<'_>, dir: &Node, out: &mut NameBuf) -> Result<()> {
        self.crash.name_of(cx, dir, out)
    }

    fn create(&self, cx: &Cx<'_>, at: At<'_, dyn Inode>, new: NewInode<'_>) -> Result<Node> {
        self.changed(cx, &[at.dir], self.crash.create(cx, at, new))
    }

    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: At<'_, dyn Inode>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<OpenedNew<dyn Inode>> {
        self.changed(cx, &[at.dir], self.crash.create_open(cx, at, new, access))
    }

    fn link(&self, cx: &Cx<'_>, at: At<'_, dyn Inode>, target: &Node) -> Result<()> {
        self.changed(cx, &[at.dir], self.crash.link(cx, at, target))
    }

    fn remove(&self, cx: &Cx<'_>, at: At<'_, dyn Inode>, what: Remove) -> Result<()> {
        self.changed(cx, &[at.dir], self.crash.remove(cx, at, what))
    }

    fn rename(&self, cx: &Cx<'_>, from: At<'_, dyn Inode>, to: At<'_, dyn Inode>, how: Rename) -> Result<()> {
        self.changed(cx, &[from.dir, to.dir], self.crash.rename(cx, from, to, how))
    }

    fn readlink(&self, cx: &Cx<'_>, link: &Node) -> Result<LinkTarget> {
        self.crash.readlink(cx, link)
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Node) -> Result<Attr> {
        self.crash.getattr(cx, inode)
    }

    fn setattr(&self, cx: &Cx<'_>, inode: &Node, set: &SetAttr) -> Result<()> {
        self.changed(cx, &[inode], self.crash.setattr(cx, inode, set))
    }

    fn open(&self, cx: &Cx<'_>, inode: &Node, access: Access) -> Result<Arc<dyn File>> {
        self.crash.open(cx, inode, access)
    }

    fn open_dir(&self, cx: &Cx<'_>, dir: &Node) -> Result<Box<dyn DirStream>> {
        self.crash.open_dir(cx, dir)
    }

    fn sync(&self, cx: &Cx<'_>, inode: &Node, data_only: bool) -> Result<()> {
        self.crash.sync(cx, inode, data_only)
    }

    fn get_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<Arc<[u8]>> {
        self.crash.get_xattr(cx, inode, name)
    }

    fn set_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
        self.crash.set_xattr(cx, inode, name, value, how)
    }

    fn list_xattr(&self, cx: &Cx<'_>, inode: &Node, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.crash.list_xattr(cx, inode, emit)
    }

    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Node, name: &[u8]) -> Result<()> {
        self.crash.remove_xattr(cx, inode, name)
    }
}
