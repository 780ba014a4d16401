//! Making things in the work directory, where nobody sees them.

use core::cell::Cell;
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use vnode_core::fs::{Filesystem, NewInode, NewKind, Remove, Rename};
use vnode_core::{Cx, Errno, FilesystemRef, Mode, Name, Result};

use crate::layers::{Layers, Real, RealAt, at};
use crate::leave::with_leave;
use crate::linux;

/// How deep the remains of other runs are cleared away; more than that were never the overlay's.
const DEPTH: usize = 64;

/// A name of its own in the work directory. What is there when it is dropped is removed, as far as that can be done;
/// the rest is cleared away when the overlay is made the next time.
pub(crate) struct Temporary<'a> {
    layers: &'a Layers,
    cx: &'a Cx<'a>,
    name: String,
    /// Whether something may be there.
    taken: Cell<bool>,
}

/// The next number of a name in the work directory.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Layers {
    /// Makes something under a name of its own in the work directory.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn prepare<'a, T>(
        &'a self,
        cx: &'a Cx<'a>,
        make: impl FnOnce(RealAt<'_>) -> Result<T>,
    ) -> Result<(Temporary<'a>, T)> {
        let temporary = self.temporary(cx);
        let made = make(temporary.at()?)?;
        temporary.taken.set(true);
        Ok((temporary, made))
    }

    /// A name in the work directory that nothing has.
    pub(crate) fn temporary<'a>(&'a self, cx: &'a Cx<'a>) -> Temporary<'a> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Temporary { layers: self, cx, name: format!("#{number:x}"), taken: Cell::new(false) }
    }

    /// Makes a whiteout in the work directory.
    pub(crate) fn whiteout<'a>(&'a self, cx: &'a Cx<'a>) -> Result<Temporary<'a>> {
        let (temporary, _) = self.prepare(cx, |at| self.upper.fs.create(cx, at, WHITEOUT))?;
        Ok(temporary)
    }

    /// Checks that whiteouts can be made, which not every filesystem that has devices lets whoever likes.
    ///
    /// # Errors
    /// `EOPNOTSUPP`.
    pub(crate) fn check_whiteouts(&self, cx: &Cx<'_>) -> Result<()> {
        match self.whiteout(cx) {
            // They could be, if there were room.
            Ok(_) | Err(Errno::NOSPC | Errno::DQUOT) => Ok(()),
            Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) => Err(Errno::OPNOTSUPP),
            Err(errno) => Err(errno),
        }
    }

    /// Removes what is in a directory of the upper, and the directory.
    pub(crate) fn clear(&self, cx: &Cx<'_>, dir: &Real, depth: usize) -> Result<()> {
        for name in names_in(cx, &self.upper.fs, dir)? {
            self.remove_all(cx, at(dir, Name::new(&name)?), depth)?;
        }
        Ok(())
    }

    /// Removes a name of the upper with everything below it.
    fn remove_all(&self, cx: &Cx<'_>, at: RealAt<'_>, depth: usize) -> Result<()> {
        let fs = &self.upper.fs;
        let inode = fs.lookup(cx, at)?;
        if !inode.kind().is_dir() {
            return fs.remove(cx, at, Remove::File);
        }
        match fs.remove(cx, at, Remove::Directory) {
            Err(Errno::NOTEMPTY) => {}
            removed => return removed,
        }
        let depth = depth.checked_sub(1).ok_or(Errno::NOTEMPTY)?;
        with_leave(cx, fs, &[&inode], || self.clear(cx, &inode, depth))?;
        fs.remove(cx, at, Remove::Directory)
    }

    /// Removes what is left in the work directory of runs before this one, but for the index of Linux's overlayfs.
    ///
    /// # Errors
    /// `EINVAL`: Linux's overlayfs left something there that it must understand who uses the upper: that it may not have
    /// survived a crash (mount option `volatile`).
    pub(crate) fn clear_work(&self, cx: &Cx<'_>) -> Result<()> {
        if is_incompatible(cx, &self.upper.fs, &self.upper.work)? {
            return Err(Errno::INVAL);
        }
        for name in names_in(cx, &self.upper.fs, &self.upper.work)? {
            if *name != *linux::NAME {
                self.remove_all(cx, at(&self.upper.work, Name::new(&name)?), DEPTH)?;
            }
        }
        Ok(())
    }
}

/// Whether Linux's overlayfs left a feature's name in `work/incompat`, in its work directory.
pub(crate) fn is_incompatible(cx: &Cx<'_>, fs: &FilesystemRef, work: &Real) -> Result<bool> {
    let mut dir = Arc::clone(work);
    for name in [&b"work"[..], b"incompat"] {
        match fs.lookup(cx, at(&dir, Name::new(name)?)) {
            Ok(inode) if inode.kind().is_dir() => dir = inode,
            // Without permissions: so Linux leaves it when it is empty.
            Ok(_) | Err(Errno::NOENT | Errno::ACCES) => return Ok(false),
            Err(errno) => return Err(errno),
        }
    }
    Ok(!names_in(cx, fs, &dir)?.is_empty())
}

/// The names in a directory of the upper.
pub(crate) fn names_in(cx: &Cx<'_>, fs: &FilesystemRef, dir: &Real) -> Result<Vec<Box<[u8]>>> {
    let mut names: Vec<Box<[u8]>> = Vec::new();
    fs.open_dir(cx, dir)?.list(cx, 0, &mut |entry| {
        names.push(entry.name.into());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// A whiteout is the character device 0:0.
pub(crate) const WHITEOUT: NewInode<'static> =
    NewInode { kind: NewKind::CharDevice(0), mode: Mode::empty(), uid: 0, gid: 0 };

impl Temporary<'_> {
    /// Where it is.
    pub(crate) fn at(&self) -> Result<RealAt<'_>> {
        Ok(at(&self.layers.upper.work, Name::new(self.name.as_bytes())?))
    }

    /// Puts it in its place, over what is there.
    pub(crate) fn put(&self, to: RealAt<'_>) -> Result<()> {
        self.moved(self.at()?, to, Rename::Replace, &[])?;
        self.taken.set(false);
        Ok(())
    }

    /// Puts a copy in its place, for which nobody but the overlay needs a permission.
    pub(crate) fn put_copy(&self, to: RealAt<'_>) -> Result<()> {
        self.moved(self.at()?, to, Rename::Replace, &[to.dir])?;
        self.taken.set(false);
        Ok(())
    }

    /// Exchanges it with what is in a place.
    pub(crate) fn exchange(&self, with: RealAt<'_>) -> Result<()> {
        self.moved(self.at()?, with, Rename::Exchange, &[])
    }

    /// Takes what is in a place away from there.
    pub(crate) fn take(&self, from: RealAt<'_>) -> Result<()> {
        self.moved(from, self.at()?, Rename::Replace, &[])?;
        self.taken.set(true);
        Ok(())
    }

    /// Renames. A directory can be moved only by who may write to it, what holds for its owner too.
    fn moved(&self, from: RealAt<'_>, to: RealAt<'_>, how: Rename, more: &[&Real]) -> Result<()> {
        let fs = &self.layers.upper.fs;
        let rename = || fs.rename(self.cx, from, to, how);
        match rename() {
            Err(Errno::ACCES) => {}
            renamed => return renamed,
        }
        let of = |at| fs.lookup(self.cx, at).ok().filter(|inode| inode.kind().is_dir());
        let moved = [of(from), of(to).filter(|_| how == Rename::Exchange)];
        let inodes: Vec<_> = moved.iter().flatten().chain(more.iter().copied()).collect();
        with_leave(self.cx, fs, &inodes, rename)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.taken.get()
            && let Ok(at) = self.at()
        {
            let _ = self.layers.remove_all(self.cx, at, DEPTH);
        }
    }
}
