//! The directory in which hidden files are written before they are renamed into place.
//!
//! It is made when the first of them is to be written, and removed with the emulation. It is nothing that anybody sees, so
//! the root's times stay. Another process may remove it while it is empty: it is made again then.

use core::sync::atomic::{AtomicU64, Ordering};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{Access, At, Caps, File, Filesystem, NewInode, NewKind, Remove, Rename};
use vnode_core::{Attr, Cx, Errno, FilesystemRef, Mode, Name, Result, Timespec};

use super::own::{Own, leaving_times};
use super::{Node, NodeAt};
use crate::look;

/// The name of the directory, below the root.
pub(super) const WORK: &[u8] = b".vnode-symlinks-work";

/// Seconds that another process may take to write a file, before it counts as left behind.
const IN_WORK: i64 = 60;

/// How often it is made again, at most, when another process removes it.
const AGAIN: usize = 8;

/// A `ctime` of the root that is nobody's business.
#[derive(Clone, Copy)]
struct Marked {
    mtime: Timespec,
    ctime: Timespec,
    /// What it was before.
    before: Timespec,
}

/// The directory, which may not be there.
pub(super) struct Work {
    fs: FilesystemRef,
    /// It, where it is known to be there.
    dir: Mutex<Option<Node>>,
    /// What making or removing it did to the root's times, if they are by a clock that nobody can set.
    marked: Mutex<Option<Marked>>,
    /// Names there: no other process has the same.
    names: RandomState,
    next: AtomicU64,
}

impl Work {
    /// Finds the directory if somebody left it, and rids it of what was left there.
    ///
    /// # Errors
    /// `ENOTDIR`: its name is another file's. Those of looking.
    pub(super) fn open(cx: &Cx<'_>, fs: &FilesystemRef) -> Result<Self> {
        let own = Own::during(cx);
        let cx = &own.cx();
        let found = find(cx, fs)?;
        if let Some(dir) = &found
            && !fs.caps().contains(Caps::READ_ONLY)
        {
            sweep(cx, fs, dir)?;
        }
        let (names, next) = (RandomState::new(), AtomicU64::new(0));
        Ok(Work { fs: fs.clone(), dir: Mutex::new(found), marked: Mutex::new(None), names, next })
    }

    /// Whether it is known to be there.
    pub(super) fn is_there(&self) -> bool {
        self.dir.lock().is_some()
    }

    /// The root's attributes, as they are without it.
    pub(super) fn hide(&self, cx: &Cx<'_>, root: &mut Attr) {
        // A directory that nobody sees isn't counted. Who else has it may have removed it.
        let dir = self.dir.lock().clone();
        let is_there = |dir: &Node| self.fs.getattr(cx, dir).map_or(true, |attr| attr.nlink > 0);
        if root.nlink > 2 && dir.as_ref().is_some_and(is_there) {
            root.nlink -= 1;
        }
        self.hide_time(root);
    }

    fn hide_time(&self, root: &mut Attr) {
        match *self.marked.lock() {
            // Whatever else happens to the root gives it another time.
            Some(marked) if (marked.mtime, marked.ctime) == (root.mtime, root.ctime) => {
                root.ctime = marked.before;
            }
            _ => {}
        }
    }

    /// Makes or removes it, which leaves the root's times as far as that can be, and is not shown where it can't.
    fn unseen<T>(&self, cx: &Cx<'_>, root: &Node, change: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut before = self.fs.getattr(cx, root)?;
        self.hide_time(&mut before);
        let done = leaving_times(cx, &self.fs, root, change)?;
        if let Ok(Attr { mtime, ctime, .. }) = self.fs.getattr(cx, root)
            && mtime == before.mtime
        {
            *self.marked.lock() = Some(Marked { mtime, ctime, before: before.ctime });
        }
        Ok(done)
    }

    /// Writes a file, and has it take a name somewhere else. What fails leaves nothing.
    ///
    /// # Errors
    /// Those of making the directory and the file, of `write` and of the rename.
    pub(super) fn make(
        &self,
        cx: &Cx<'_>,
        (to, new): (NodeAt<'_>, NewInode<'_>),
        write: impl FnOnce(&dyn File) -> Result<()>,
    ) -> Result<Node> {
        let name = format!("{:016x}", self.names.hash_one(self.next.fetch_add(1, Ordering::Relaxed)));
        let name = Name::new(name.as_bytes())?;
        let had = self.is_there();
        let made = self.create_open(cx, name, new).and_then(|(dir, node, file)| {
            let at = At { dir: &dir, name };
            let written = write(&*file);
            drop(file);
            let renamed = written.and_then(|()| self.fs.rename(cx, at, to, Rename::Replace));
            renamed.map(|()| node).inspect_err(|_| {
                let _ = self.fs.remove(cx, at, Remove::File);
            })
        });
        if made.is_err() && !had {
            self.remove();
        }
        made
    }

    /// Makes a file there, and the directory where it is missing.
    fn create_open(
        &self,
        cx: &Cx<'_>,
        name: Name<'_>,
        new: NewInode<'_>,
    ) -> Result<(Node, Node, Arc<dyn File>)> {
        let mut again = 0;
        loop {
            let dir = self.needed(cx)?;
            match self.fs.create_open(cx, At { dir: &dir, name }, new, Access::WRITE) {
                Ok((node, file)) => return Ok((dir, node, file)),
                Err(Errno::NOENT | Errno::STALE) if again < AGAIN => {
                    again += 1;
                    *self.dir.lock() = None;
                }
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The directory, which is made if it isn't there.
    fn needed(&self, cx: &Cx<'_>) -> Result<Node> {
        let mut known = self.dir.lock();
        if let Some(dir) = &*known {
            return Ok(Arc::clone(dir));
        }
        let dir = match find(cx, &self.fs)? {
            Some(dir) => dir,
            None => {
                let root = self.fs.root();
                let new = new_inode(cx, &self.fs, &root, NewKind::Directory, 0o700)?;
                let at = At { dir: &root, name: Name::new(WORK)? };
                match self.unseen(cx, &root, || self.fs.create(cx, at, new)) {
                    // Another process was faster.
                    Err(Errno::EXIST) => find(cx, &self.fs)?.ok_or(Errno::EXIST)?,
                    made => made?,
                }
            }
        };
        *known = Some(Arc::clone(&dir));
        Ok(dir)
    }

    /// Removes it, if it is there and nothing is in it. What fails is nobody's error.
    fn remove(&self) {
        if self.fs.caps().contains(Caps::READ_ONLY) || self.dir.lock().take().is_none() {
            return;
        }
        let (root, own) = (self.fs.root(), Own::at(Timespec::EPOCH));
        // No call has it removed, so it has the time of the root's last change.
        let Ok(attr) = self.fs.getattr(&own.cx(), &root) else { return };
        let own = Own::at(attr.ctime);
        let cx = &own.cx();
        let Ok(name) = Name::new(WORK) else { return };
        let at = At { dir: &root, name };
        let _ = self.unseen(cx, &root, || self.fs.remove(cx, at, Remove::Directory));
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The directory, if it is there.
fn find(cx: &Cx<'_>, fs: &FilesystemRef) -> Result<Option<Node>> {
    match fs.lookup(cx, At { dir: &fs.root(), name: Name::new(WORK)? }) {
        Ok(dir) if dir.kind().is_dir() => Ok(Some(dir)),
        Ok(_) => Err(Errno::NOTDIR),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Removes what a process left that was killed.
fn sweep(cx: &Cx<'_>, fs: &FilesystemRef, dir: &Node) -> Result<()> {
    for name in look::names(cx, fs, dir)? {
        let at = At { dir, name: Name::new(&name)? };
        let Ok(node) = fs.lookup(cx, at) else { continue };
        if fs.getattr(cx, &node)?.mtime.sec.saturating_add(IN_WORK) < cx.now().sec {
            // Read-only, say: nothing will be written there then.
            let _ = fs.remove(cx, at, Remove::File);
        }
    }
    Ok(())
}

/// A file or directory of the emulation's own, whose owner is that of the directory it is for.
pub(super) fn new_inode(
    cx: &Cx<'_>,
    fs: &FilesystemRef,
    dir: &Node,
    kind: NewKind<'static>,
    mode: u32,
) -> Result<NewInode<'static>> {
    let Attr { uid, gid, .. } = fs.getattr(cx, dir)?;
    Ok(NewInode { kind, mode: Mode::from_raw(mode), uid, gid })
}
