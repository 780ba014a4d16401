//! A sandbox that is open.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{RenameFlags, fsync, renameat_with};
use vnode_archive::Archive;
use vnode_core::{Errno, FilesystemRef};
use vnode_host::HostError;

use super::error::StoreError;
use super::record::{self, Lower, Mount, MountRecord, Record, fresh_id, now};
use super::{LOCK, Store, check_name, directory, names_in};
use crate::changes::Change;
use crate::clock::as_root;
use crate::error::ViewError;
use crate::lock::{Asked, Lock};
use crate::view::{Builder, View};
use vnode_overlay::Marks;

/// The most uppers of before forks that are looked through: each makes looking for a name slower.
const MOST_FROZEN: usize = 16;

/// A sandbox that is open: nobody else can have it.
#[derive(Debug)]
pub struct Sandbox {
    pub(super) store: Store,
    /// Empty as long as nobody knows it.
    name: String,
    /// What its directory is called then.
    first: Option<String>,
    pub(super) dir: OwnedFd,
    pub(super) record: Record,
    lock: Option<Lock>,
}

/// A view of a sandbox, and where it is.
#[derive(Debug)]
pub struct Mounted {
    /// Where the guest sees it, starting with `/`.
    pub guest: Vec<u8>,
    /// The view.
    pub view: View,
}

impl Mounted {
    /// What was changed in it: see [`View::changes`].
    ///
    /// # Errors
    /// [`StoreError::Changes`].
    pub fn changes(&self) -> Result<Vec<Change>, StoreError> {
        let changes = as_root(|cx| self.view.changes(cx));
        changes.map_err(|errno| StoreError::Changes { guest: self.guest.clone(), errno })
    }
}

impl Sandbox {
    pub(super) fn new(store: Store, name: String, dir: OwnedFd, lock: Lock, record: Record) -> Self {
        Sandbox { store, name, first: None, dir, record, lock: Some(lock) }
    }

    pub(super) fn at_first(mut self, name: String) -> Self {
        self.first = Some(name);
        self
    }

    /// Its name; empty before [`publish`](Self::publish).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it shows, and where.
    pub fn mounts(&self) -> impl ExactSizeIterator<Item = &Mount> {
        self.record.mounts.iter().map(|mount| &mount.mount)
    }

    /// For each of [`mounts`](Self::mounts): the directory for its changes, and those with changes from before a fork, the
    /// latest first: for [`Builder::changes_in`] and [`Builder::frozen`].
    pub fn directories(&self) -> impl ExactSizeIterator<Item = (PathBuf, Vec<PathBuf>)> {
        let upper = |id: &String| self.store.upper(id);
        self.record
            .mounts
            .iter()
            .map(move |mount| (upper(&mount.upper), mount.frozen.iter().map(upper).collect()))
    }

    /// What whoever made it keeps with it.
    pub fn note(&self) -> &serde_json::Value {
        &self.record.note
    }

    /// Keeps something else with it.
    ///
    /// # Errors
    /// Those of the host.
    pub fn set_note(&mut self, note: serde_json::Value) -> Result<(), StoreError> {
        self.change(|record| record.note = note)
    }

    /// Shows more.
    ///
    /// # Errors
    /// [`StoreError::Empty`], [`StoreError::Twice`], and those of the host.
    pub fn add(&mut self, mount: Mount) -> Result<(), StoreError> {
        let all: Vec<Mount> = self.mounts().cloned().chain([mount.clone()]).collect();
        record::check(&all)?;
        let added = MountRecord::new(mount)?;
        self.change(|record| record.mounts.push(added))
    }

    /// Shows something no more, and drops its changes. Tells whether it was shown. None of the views may be open.
    ///
    /// # Errors
    /// [`StoreError::Empty`]: it is all that is shown. [`StoreError::InUse`], [`StoreError::Interrupted`], and those of the
    /// host.
    pub fn remove(&mut self, guest: &[u8]) -> Result<bool, StoreError> {
        self.check_unused()?;
        self.check_applied()?;
        let Some(at) = self.record.mounts.iter().position(|mount| mount.mount.guest == guest) else {
            return Ok(false);
        };
        if self.record.mounts.len() == 1 {
            return Err(StoreError::Empty { what: "this is its only mount; delete it" });
        }
        let mut record = self.record.clone();
        record.generation += 1;
        record.mounts.remove(at);
        self.replace_to_make_room(record)?;
        self.store.sweep().map(|_| true)
    }

    /// Says that a guest has it now.
    ///
    /// # Errors
    /// Those of the host.
    pub fn note_use(&mut self) -> Result<(), StoreError> {
        match self.change(|record| record.used = now()) {
            // Whoever runs something may be about to make room.
            Err(error) if error.is_no_room() => Ok(()),
            noted => noted,
        }
    }

    /// Gives it its name, or another one.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Exists`], and those of the host.
    pub fn publish(&mut self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        let sandboxes = directory(&self.store.sandboxes())?;
        let path = self.store.sandboxes().join(name);
        let fails = StoreError::host("make", &path);
        match renameat_with(&sandboxes, self.entry(), &sandboxes, name, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => return Err(StoreError::Exists { name: name.to_owned() }),
            renamed => renamed.map_err(fails)?,
        }
        self.first = None;
        name.clone_into(&mut self.name);
        fsync(&sandboxes).map_err(fails)
    }

    /// What its directory is called.
    fn entry(&self) -> &str {
        self.first.as_deref().unwrap_or(&self.name)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.store.sandboxes().join(self.entry())
    }

    /// Changes the record, here and where it is kept, or neither.
    fn change(&mut self, how: impl FnOnce(&mut Record)) -> Result<(), StoreError> {
        let mut record = self.record.clone();
        how(&mut record);
        self.replace(record)
    }

    /// Has another record from now on.
    pub(super) fn replace(&mut self, record: Record) -> Result<(), StoreError> {
        record.write(&self.dir, &self.path())?;
        self.record = record;
        Ok(())
    }

    /// The same for a record by which something is kept no more.
    pub(super) fn replace_to_make_room(&mut self, record: Record) -> Result<(), StoreError> {
        record.write_to_make_room(&self.dir, &self.path())?;
        self.record = record;
        Ok(())
    }

    /// Reads the record again.
    pub(super) fn reread(&mut self) -> Result<(), StoreError> {
        self.record = Record::read(&self.dir, &self.path())?;
        Ok(())
    }

    /// Opens its views, to mount them in a guest's namespace, or to look at what was changed.
    ///
    /// # Errors
    /// [`StoreError::Interrupted`], [`StoreError::Full`], [`StoreError::View`], [`StoreError::Archive`].
    pub fn views(&self) -> Result<Vec<Mounted>, StoreError> {
        self.check_applied()?;
        self.record.mounts.iter().map(|mount| self.open_view(mount)).collect()
    }

    pub(super) fn open_view(&self, mount: &MountRecord) -> Result<Mounted, StoreError> {
        let MountRecord { mount, upper, frozen, root, .. } = mount;
        let mut builder: Option<Builder> = None;
        for lower in &mount.lowers {
            builder = Some(match (lower, builder) {
                (Lower::Directory(path), None) => View::of(path),
                (Lower::Directory(path), Some(builder)) => builder.over(path),
                (Lower::Archive { path, layer }, None) => View::of_filesystem(archive(path, *layer)?),
                (Lower::Archive { path, layer }, Some(builder)) => {
                    builder.over_filesystem(archive(path, *layer)?)
                }
            });
        }
        let builder = builder.ok_or(StoreError::Empty { what: "a mount has no directory and no archive" })?;
        let builder = frozen.iter().fold(builder, |builder, id| builder.frozen(self.store.upper(id)));
        let builder = if mount.user_xattr { builder.marks(Marks::User) } else { builder };
        let view = builder
            .no_links(true)
            .root(*root)
            .one_mount(mount.one_mount)
            .emulate_symlinks(mount.emulate_symlinks)
            .max_bytes(mount.max_bytes)
            .max_inodes(mount.max_inodes)
            .changes_in(self.store.upper(upper))
            .open()
            .map_err(|error| self.cant_open(&mount.guest, error))?;
        Ok(Mounted { guest: mount.guest.clone(), view })
    }

    fn cant_open(&self, guest: &[u8], error: ViewError) -> StoreError {
        match error {
            ViewError::Lower(HostError { path, errno: Errno::LOOP }) => {
                StoreError::Replaced { directory: path }
            }
            error => StoreError::View { guest: guest.to_vec(), error },
        }
    }

    /// Drops all changes: it shows what its directories have. None of its views may be open. What an apply brought to them, and
    /// only couldn't clear here, is there still.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Interrupted`], and those of the host.
    pub fn discard(&mut self) -> Result<(), StoreError> {
        self.check_unused()?;
        let placed = self.check_placed()?;
        let uppers = self.record.mounts.iter().map(|_| fresh_id()).collect::<Result<Vec<_>, _>>()?;
        let mut record = self.record.clone();
        record.generation += 1;
        for (mount, upper) in record.mounts.iter_mut().zip(uppers) {
            mount.frozen.clear();
            mount.upper = upper;
            mount.settled = false;
        }
        self.replace_to_make_room(record)?;
        self.forget(placed)?;
        self.store.sweep().map(drop)
    }

    /// Makes another sandbox that shows the same, at no cost of copying: what was changed until now is both's. None of
    /// this one's views may be open.
    ///
    /// Of more than 16 forks in a row with changes between them, those of before are put together: that copies.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Exists`], [`StoreError::InUse`], [`StoreError::Interrupted`], and those of the
    /// host.
    pub fn fork(&mut self, name: &str) -> Result<Sandbox, StoreError> {
        check_name(name)?;
        if self.store.has(name) {
            return Err(StoreError::Exists { name: name.to_owned() });
        }
        let mut other = self.fork_unnamed()?;
        other.publish(name)?;
        Ok(other)
    }

    /// The same, of which nothing is left when it is dropped, until it gets a name by [`publish`](Self::publish).
    ///
    /// # Errors
    /// As for [`fork`](Self::fork).
    pub fn fork_unnamed(&mut self) -> Result<Sandbox, StoreError> {
        self.check_unused()?;
        self.check_applied()?;
        if self.record.mounts.iter().any(|mount| mount.frozen.len() >= MOST_FROZEN) {
            self.flatten()?;
        }
        let mut frozen = Vec::new();
        for mount in &self.record.mounts {
            let mut mount = mount.clone();
            // Layers that have nothing would be looked through all the same.
            if has_changes(&self.store.upper(&mount.upper))? {
                mount.frozen.insert(0, core::mem::replace(&mut mount.upper, fresh_id()?));
            }
            frozen.push(mount);
        }
        self.change(|record| record.mounts.clone_from(&frozen))?;
        let mut other = Record::new(self.mounts().cloned().collect())?;
        other.note = self.record.note.clone();
        for (mount, from) in other.mounts.iter_mut().zip(frozen) {
            (mount.frozen, mount.root) = (from.frozen, from.root);
        }
        self.store.prepare_record(other)
    }

    /// That no view of it is open: then its changes can't be frozen or dropped.
    pub(super) fn check_unused(&self) -> Result<(), StoreError> {
        for mount in &self.record.mounts {
            let path = self.store.upper(&mount.upper);
            let Ok(dir) = super::open(&path) else { continue };
            let asked = Lock::ask(&dir, LOCK).map_err(StoreError::host("lock", &path.join(LOCK)))?;
            if let Asked::Busy(process) = asked {
                return Err(StoreError::InUse { name: self.name.clone(), process });
            }
        }
        Ok(())
    }

    /// Lets nobody find it any more.
    pub(super) fn bury(self) -> Result<(), StoreError> {
        self.store.move_away(self.entry())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(first) = &self.first {
            // What can't be removed now goes with the next sweep.
            drop(self.lock.take());
            let _ = self.store.drop_unnamed(first, &self.record);
        }
    }
}

/// An archive that is shown.
fn archive(path: &Path, layer: bool) -> Result<FilesystemRef, StoreError> {
    match Archive::builder().layer(layer).open(path) {
        Ok(archive) => Ok(FilesystemRef::new::<Archive>(archive)),
        Err(error) => Err(StoreError::Archive { path: path.to_owned(), why: error.to_string() }),
    }
}

/// Whether an upper has anything: names, or copies of files with several names that got none yet.
fn has_changes(upper: &Path) -> Result<bool, StoreError> {
    for part in ["upper", "index", "work/index"] {
        if !names_in(&upper.join(part))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
