//! A filesystem that loses what was not synced.

mod control;
mod image;
mod journal;
mod recovered;
#[cfg(test)]
mod tests;

use core::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use vnode_core::fs::{
    Access, Allocate, At, File, Filesystem, Inode, NewInode, OpenedNew, Remove, Rename, SeekFor,
};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Errno, Result};

pub use control::CrashControl;
pub use recovered::Recovered;

use image::Record;
use journal::Journal;

use crate::call::{Call, Op};
use crate::forward::forward;
use crate::hook::{Hook, HookedFile};

/// `F` on a medium that holds what was synced, and a loss of power at a chosen call: from then on every call is `EIO`,
/// and [`Crash::recovered`] has what the medium held.
///
/// The strictest medium that POSIX allows, but for one thing: what it keeps is in order.
///
/// | what | is on the medium |
/// | --- | --- |
/// | what `F` held at first | from the start |
/// | a file's content and size | as at the last `fsync(2)` or `fdatasync(2)` of it; nothing if there was none |
/// | its mode, owner, times, extended attributes | as at its last `fsync(2)`; as it was made if there was none |
/// | a name in a directory | when the directory was synced after it was made: syncing the file is not enough |
/// | a name's removal or move | when the directory was synced after it |
/// | a link's target, a device's number | with its name |
/// | mode, owner, times of what can't be opened to be synced: links, FIFOs, devices | as at the last sync of a directory that it is in |
/// | an unlinked file, what no name on the medium leads to | gone |
///
/// * A change is there whole or not at all: a rename is in both directories or in neither, a sync has each write whole.
/// * A change is never there without those before it that touched the same directory's names, or gave or took a name
///   of the same inode; a removed directory's own names count, and so do moves of directories from one into another,
///   which come in their order; and with a move or a link into a directory come the names that lead there. So nothing
///   that has a name all the time loses it, and directories stay a tree.
/// * What was not synced is not there: nothing reaches the medium by itself.
///
/// Changes of names and syncs are made one at a time. What was changed and not synced is remembered in memory, and
/// so is the medium: this is for tests.
///
/// ```
/// use vnode_adapt::Crash;
/// use vnode_core::fs::{At, Filesystem, NewInode, NewKind};
/// use vnode_core::{Clock, Credentials, Cx, Errno, Mode, Name, Timespec};
/// use vnode_memory::Memory;
///
/// # struct Epoch;
/// # impl Clock for Epoch { fn now(&self) -> Timespec { Timespec::EPOCH } }
/// let (who, clock) = (Credentials::root(), Epoch);
/// let cx = Cx::new(&who, &clock);
/// let fs = Crash::new(&cx, Memory::new())?;
/// let root = fs.root();
/// let new = NewInode { kind: NewKind::Directory, mode: Mode::RWXU, uid: 0, gid: 0 };
/// let at = |name| Name::new(name).map(|name| At { dir: &root, name });
/// fs.create(&cx, at(b"kept")?, new)?;
/// fs.sync(&cx, &root, false)?;
/// fs.create(&cx, at(b"lost")?, new)?;
///
/// fs.control().crash();
/// assert_eq!(fs.lookup(&cx, at(b"kept")?).unwrap_err(), Errno::IO);
/// let after = Memory::new();
/// fs.recovered().write_into(&cx, &after)?;
/// let root = after.root();
/// let at = |name| Name::new(name).map(|name| At { dir: &root, name });
/// assert!(after.lookup(&cx, at(b"kept")?).is_ok());
/// assert_eq!(after.lookup(&cx, at(b"lost")?).unwrap_err(), Errno::NOENT);
/// # Ok::<(), Errno>(())
/// ```
pub struct Crash<F: Filesystem> {
    fs: Arc<F>,
    hook: Powered<F::Inode>,
}

impl<F: Filesystem> fmt::Debug for Crash<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crash").field("control", &self.hook.control).finish_non_exhaustive()
    }
}

/// Lets calls through while there is power.
struct Powered<I: ?Sized> {
    control: CrashControl,
    /// Held shared while content or attributes change, alone while names change and while something is synced.
    journal: Arc<RwLock<Journal<I>>>,
}

impl<I: ?Sized> Clone for Powered<I> {
    fn clone(&self) -> Self {
        Powered { control: self.control.clone(), journal: self.journal.clone() }
    }
}

impl<I: Inode + ?Sized> Hook for Powered<I> {
    fn around<T>(
        &self,
        cx: &Cx<'_>,
        call: &Call<'_>,
        forward: impl FnOnce(&Cx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.control.meet(call.op)?;
        let _changing = call.op.changes().then(|| self.journal.read());
        forward(cx)
    }
}

impl<I: Inode + ?Sized> Powered<I> {
    /// Makes a change with nothing else going on.
    fn alone<T>(&self, op: Op, change: impl FnOnce(&mut Journal<I>) -> Result<T>) -> Result<T> {
        self.control.meet(op)?;
        let mut journal = self.journal.write();
        // It may have gone while this call waited.
        self.control.check()?;
        change(&mut journal)
    }
}

impl<F: Filesystem> Crash<F> {
    /// A medium that holds what `fs` holds now, all of which is looked through.
    ///
    /// # Errors
    /// Those of looking at it.
    pub fn new(cx: &Cx<'_>, fs: F) -> Result<Self> {
        let journal = Arc::new(RwLock::new(Journal::of(&cx.keeping_atime(), &fs)?));
        Ok(Crash { fs: Arc::new(fs), hook: Powered { control: CrashControl::default(), journal } })
    }

    /// What takes the power away.
    pub fn control(&self) -> CrashControl {
        self.hook.control.clone()
    }

    /// The filesystem within, which keeps all that was done.
    pub fn inner(&self) -> &F {
        &self.fs
    }

    /// What the medium holds; before the crash, what it would leave now.
    pub fn recovered(&self) -> Recovered {
        Recovered::of(&self.hook.journal.read())
    }

    /// Brings everything to the medium, as unmounting does (`sync(2)`).
    ///
    /// # Errors
    /// Those of looking at what changed: some of it is on the medium then. `EIO`: the power is gone.
    pub fn sync_all(&self, cx: &Cx<'_>) -> Result<()> {
        self.hook.alone(Op::Sync, |journal| {
            journal.commit_all();
            for inode in journal.inodes() {
                journal.save(inode.id(), image::taken(cx, &*self.fs, &inode)?);
            }
            Ok(())
        })
    }

    fn opened(&self, file: Arc<dyn File>, inode: &Arc<F::Inode>) -> Arc<dyn File> {
        let id = inode.id();
        let file = SyncedFile { file, inode: inode.clone(), fs: self.fs.clone(), hook: self.hook.clone() };
        HookedFile::opened(Arc::new(file), id, &self.hook)
    }

    /// Makes an inode and notes its name.
    fn made<T>(
        &self,
        cx: &Cx<'_>,
        op: Op,
        (at, new): (At<'_, F::Inode>, NewInode<'_>),
        make: impl FnOnce() -> Result<T>,
        inode: impl FnOnce(&T) -> &Arc<F::Inode>,
    ) -> Result<T> {
        self.hook.alone(op, |journal| {
            let made = make()?;
            let inode = inode(&made);
            journal.made(at, inode.id(), Record::new(inode.clone(), cx.now(), &new));
            Ok(made)
        })
    }

    fn found(&self, cx: &Cx<'_>, at: At<'_, F::Inode>) -> Result<Option<Arc<F::Inode>>> {
        match self.fs.lookup(cx, at) {
            Ok(inode) => Ok(Some(inode)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// What a name stands for that is to go, and whether its inode goes with it. Everything that may fail is done here.
    fn victim(&self, cx: &Cx<'_>, at: At<'_, F::Inode>) -> Result<Option<Victim<F>>> {
        let Some(inode) = self.found(cx, at)? else { return Ok(None) };
        let last = inode.kind().is_dir() || self.fs.getattr(cx, &inode)?.nlink <= 1;
        Ok(Some(Victim { inode, last }))
    }
}

/// A name that goes, and whether it is the last of its inode.
struct Victim<F: Filesystem> {
    inode: Arc<F::Inode>,
    last: bool,
}

impl<F: Filesystem> Victim<F> {
    fn gone(&self, journal: &mut Journal<F::Inode>) {
        if self.last {
            journal.nameless(&self.inode);
        }
    }
}

impl<F: Filesystem> Filesystem for Crash<F> {
    type Inode = F::Inode;

    forward!(caps root statfs lookup parent name_of readlink resolve_run);
    forward!(getattr setattr get_xattr set_xattr list_xattr remove_xattr open_dir);

    fn create(&self, cx: &Cx<'_>, at: At<'_, F::Inode>, new: NewInode<'_>) -> Result<Arc<F::Inode>> {
        self.made(cx, Op::Create, (at, new), || self.fs.create(cx, at, new), |inode| inode)
    }

    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: At<'_, F::Inode>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<OpenedNew<F::Inode>> {
        let make = || self.fs.create_open(cx, at, new, access);
        let (inode, file) = self.made(cx, Op::CreateOpen, (at, new), make, |(inode, _)| inode)?;
        let file = self.opened(file, &inode);
        Ok((inode, file))
    }

    fn link(&self, cx: &Cx<'_>, at: At<'_, F::Inode>, target: &Arc<F::Inode>) -> Result<()> {
        self.hook.alone(Op::Link, |journal| {
            self.fs.link(cx, at, target)?;
            journal.linked(at, target);
            Ok(())
        })
    }

    fn remove(&self, cx: &Cx<'_>, at: At<'_, F::Inode>, what: Remove) -> Result<()> {
        self.hook.alone(Op::Remove, |journal| {
            let victim = self.victim(cx, at)?;
            self.fs.remove(cx, at, what)?;
            if let Some(victim) = &victim {
                journal.removed(at, &victim.inode);
                victim.gone(journal);
            }
            Ok(())
        })
    }

    fn rename(&self, cx: &Cx<'_>, from: At<'_, F::Inode>, to: At<'_, F::Inode>, how: Rename) -> Result<()> {
        self.hook.alone(Op::Rename, |journal| {
            let (old, new) = (self.found(cx, from)?, self.victim(cx, to)?);
            self.fs.rename(cx, from, to, how)?;
            let Some(old) = old else { return Ok(()) };
            if new.as_ref().is_some_and(|new| new.inode.id() == old.id()) {
                // Two names of one inode: nothing happened.
                return Ok(());
            }
            let other = new.as_ref().map(|new| &*new.inode);
            journal.renamed((from, to), &old, other, how == Rename::Exchange);
            if let Some(replaced) = new.filter(|_| how != Rename::Exchange) {
                replaced.gone(journal);
            }
            Ok(())
        })
    }

    fn open(&self, cx: &Cx<'_>, inode: &Arc<F::Inode>, access: Access) -> Result<Arc<dyn File>> {
        self.hook.control.meet(Op::Open)?;
        Ok(self.opened(self.fs.open(cx, inode, access)?, inode))
    }

    fn sync(&self, cx: &Cx<'_>, inode: &Arc<F::Inode>, data_only: bool) -> Result<()> {
        self.hook.alone(Op::Sync, |journal| {
            self.fs.sync(cx, inode, data_only)?;
            saved(cx, &*self.fs, journal, inode, data_only)
        })
    }
}

/// Brings an inode to the medium.
fn saved<F: Filesystem>(
    cx: &Cx<'_>,
    fs: &F,
    journal: &mut Journal<F::Inode>,
    inode: &Arc<F::Inode>,
    data_only: bool,
) -> Result<()> {
    let record = image::taken(cx, fs, inode)?;
    let id = inode.id();
    if inode.kind().is_dir() {
        let unopenable = journal.unopenable_in(id);
        let take = |inode: &Arc<F::Inode>| Ok((inode.id(), image::taken(cx, fs, inode)?));
        let taken: Result<Vec<_>> = unopenable.iter().map(take).collect();
        let taken = taken?;
        journal.commit(id);
        taken.into_iter().for_each(|(id, record)| journal.save(id, record));
        journal.save(id, record);
    } else if data_only {
        journal.save_content(id, record);
    } else {
        journal.save(id, record);
    }
    Ok(())
}

/// An open file whose sync reaches the medium.
struct SyncedFile<F: Filesystem> {
    file: Arc<dyn File>,
    inode: Arc<F::Inode>,
    fs: Arc<F>,
    hook: Powered<F::Inode>,
}

impl<F: Filesystem> File for SyncedFile<F> {
    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        self.file.read_at(cx, offset, into)
    }

    fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        self.file.write_at(cx, offset, from)
    }

    fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        self.file.append(cx, from)
    }

    fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()> {
        self.file.set_len(cx, len)
    }

    fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        self.file.allocate(cx, how, offset, len)
    }

    fn seek_data_or_hole(&self, cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64> {
        self.file.seek_data_or_hole(cx, what, offset)
    }

    fn copy_range(
        &self,
        cx: &Cx<'_>,
        offset: u64,
        from: &dyn File,
        from_offset: u64,
        len: u64,
    ) -> Result<u64> {
        self.file.copy_range(cx, offset, from, from_offset, len)
    }

    fn lend(&self, cx: &Cx<'_>, take: &mut dyn FnMut(&dyn File) -> Result<u64>) -> Result<u64> {
        self.file.lend(cx, take)
    }

    fn sync(&self, cx: &Cx<'_>, data_only: bool) -> Result<()> {
        let mut journal = self.hook.journal.write();
        self.hook.control.check()?;
        self.file.sync(cx, data_only)?;
        saved(cx, &*self.fs, &mut journal, &self.inode, data_only)
    }
}
