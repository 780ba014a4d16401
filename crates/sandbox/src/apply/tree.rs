//! A filesystem that changes are brought to, by paths of plain names: each is looked up by itself, and no link is followed.

use core::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{At, Filesystem as _, Inode, Remove, Rename};
use vnode_core::{Attr, Cx, Errno, FileType, FilesystemRef, Name, Result, SetAttr};
use vnode_overlay::with_leave;

use crate::paths;

/// An inode of a filesystem of any type.
pub(crate) type Real = Arc<dyn Inode>;

/// Names with their types.
pub(crate) type Names = Vec<(Box<[u8]>, FileType)>;

/// A filesystem, and who calls it.
#[derive(Clone, Copy)]
pub(crate) struct Tree<'a> {
    pub(crate) cx: &'a Cx<'a>,
    pub(crate) fs: &'a FilesystemRef,
}

impl Tree<'_> {
    /// What a name stands for; nothing if there is no such name, or no such directory.
    pub(crate) fn lookup(&self, dir: &Real, name: &[u8]) -> Result<Option<Real>> {
        match self.fs.lookup(self.cx, at(dir, name)?) {
            Ok(inode) => Ok(Some(inode)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// What names lead to from a directory; nothing if one is missing, or leads on and is no directory.
    pub(crate) fn follow(&self, from: Real, path: &[u8]) -> Result<Option<Real>> {
        let mut here = from;
        for name in paths::names(path) {
            if !here.kind().is_dir() {
                return Ok(None);
            }
            match self.lookup(&here, name)? {
                Some(next) => here = next,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// What a path leads to from the root.
    pub(crate) fn find(&self, path: &[u8]) -> Result<Option<Real>> {
        self.follow(self.fs.root(), path)
    }

    /// The same if it is a directory.
    pub(crate) fn directory(&self, path: &[u8]) -> Result<Option<Real>> {
        Ok(self.find(path)?.filter(|inode| inode.kind().is_dir()))
    }

    pub(crate) fn attr(&self, inode: &Real) -> Result<Attr> {
        self.fs.getattr(self.cx, inode)
    }

    /// The names in a directory, with their types, in no order.
    pub(crate) fn list(&self, dir: &Real) -> Result<Names> {
        let mut names = Vec::new();
        self.fs.open_dir(self.cx, dir)?.list(self.cx, 0, &mut |entry| {
            names.push((entry.name.into(), entry.kind));
            ControlFlow::Continue(())
        })?;
        Ok(names)
    }

    /// Renames, also where the owner must let himself first.
    pub(crate) fn rename(
        &self,
        (from, old): (&Real, &[u8]),
        (to, new): (&Real, &[u8]),
        how: Rename,
    ) -> Result<()> {
        let rename = || self.fs.rename(self.cx, at(from, old)?, at(to, new)?, how);
        match rename() {
            Err(Errno::ACCES) => {}
            renamed => return renamed,
        }
        let moved = self.lookup(from, old)?.filter(|moved| moved.kind().is_dir());
        let inodes: Vec<_> = moved.iter().chain([from, to]).collect();
        with_leave(self.cx, self.fs, &inodes, rename)
    }

    /// Removes a name that is there. What is missing is removed.
    pub(crate) fn remove(&self, dir: &Real, name: &[u8], what: Remove) -> Result<()> {
        let remove = || self.fs.remove(self.cx, at(dir, name)?, what);
        match with_leave(self.cx, self.fs, &[dir], remove) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed,
        }
    }

    pub(crate) fn link(&self, target: &Real, (dir, name): (&Real, &[u8])) -> Result<()> {
        with_leave(self.cx, self.fs, &[dir], || self.fs.link(self.cx, at(dir, name)?, target))
    }

    pub(crate) fn set(&self, inode: &Real, set: &SetAttr) -> Result<()> {
        vnode_overlay::set_or_keep_own(self.cx, (self.fs, inode), set)
    }

    /// Brings an inode to the medium, if it is of a type that can be.
    pub(crate) fn sync(&self, inode: &Real) -> Result<()> {
        if !matches!(inode.kind(), FileType::Regular | FileType::Directory) {
            return Ok(());
        }
        with_leave(self.cx, self.fs, &[inode], || self.fs.sync(self.cx, inode, false))
    }

    /// Removes a name with all that is below it, however deep.
    pub(crate) fn remove_all(&self, dir: &Real, name: &[u8]) -> Result<()> {
        let Some(inode) = self.lookup(dir, name)? else { return Ok(()) };
        if !inode.kind().is_dir() {
            return self.remove(dir, name, Remove::File);
        }
        let mut open: Vec<(Real, Box<[u8]>, Names)> = Vec::new();
        let names = with_leave(self.cx, self.fs, &[&inode], || self.list(&inode))?;
        open.push((inode, name.into(), names));
        while let Some((here, _, left)) = open.last_mut() {
            let Some((name, _)) = left.pop() else {
                let Some((_, name, _)) = open.pop() else { break };
                let above = open.last().map_or(dir, |(above, ..)| above);
                self.remove(above, &name, Remove::Directory)?;
                continue;
            };
            let Some(inode) = self.lookup(here, &name)? else { continue };
            if inode.kind().is_dir() {
                let names = with_leave(self.cx, self.fs, &[&inode], || self.list(&inode))?;
                open.push((inode, name, names));
            } else {
                let here = Arc::clone(here);
                self.remove(&here, &name, Remove::File)?;
            }
        }
        Ok(())
    }
}

/// A name in a directory.
pub(crate) fn at<'a>(dir: &'a Real, name: &'a [u8]) -> Result<At<'a, dyn Inode>> {
    Ok(At { dir, name: Name::new(name)? })
}
