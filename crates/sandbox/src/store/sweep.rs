//! Removes what nobody has any more.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, unlinkat};
use vnode_core::Errno;

use super::error::StoreError;
use super::record::{Record, is_id};
use super::{DEAD, LOCK, NEW, Store, directory, names_in, removal};
use crate::lock::{Asked, Lock};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Bytes of storage that it took.
    pub bytes: u64,
    /// How many uppers there were.
    pub uppers: u64,
}

impl Store {
    /// Removes the changes that no sandbox has, and what processes left that were ended while they made or deleted one.
    /// What is in use stays, and all changes do as long as a sandbox is there of which it can't be read what it has.
    ///
    /// # Errors
    /// Those of the host. What could be removed was.
    pub fn sweep(&self) -> Result<Swept, StoreError> {
        let Ok(own) = super::open(self.directory()) else { return Ok(Swept::default()) };
        let _all = self.lock(&own)?;
        self.sweep_sandboxes()?;
        match self.needed()? {
            Some(needed) => self.sweep_uppers(&needed),
            None => Ok(Swept::default()),
        }
    }

    /// Removes a sandbox that nobody could find, with what only it had: at a cost that doesn't grow with what others have.
    pub(super) fn drop_unnamed(&self, name: &str, record: &Record) -> Result<(), StoreError> {
        let own = super::open(self.directory()).map_err(StoreError::host("open", self.directory()))?;
        let _all = self.lock(&own)?;
        let path = self.sandboxes().join(name);
        remove(&self.sandboxes(), &path, name.as_bytes())?;
        let mut left: BTreeSet<String> = record.uppers().into_iter().map(str::to_owned).collect();
        left.retain(|id| self.upper(id).exists());
        // Whoever shares something is found soon.
        for record in self.records()? {
            if left.is_empty() {
                return Ok(());
            }
            let Some(record) = record else { return Ok(()) };
            record.uppers().into_iter().for_each(|id| {
                left.remove(id);
            });
        }
        left.iter().filter(|id| !self.is_held(id)).try_for_each(|id| self.remove_upper(id))
    }

    fn sweep_sandboxes(&self) -> Result<(), StoreError> {
        for name in names_in(&self.sandboxes())? {
            let is_left = [NEW, DEAD].iter().any(|start| name.as_bytes().starts_with(start.as_bytes()));
            let path = self.sandboxes().join(&name);
            if !is_left {
                continue;
            }
            let Ok(dir) = super::open(&path) else { continue };
            // Nobody is waited for.
            if let Ok(None) = Lock::seen(&dir, LOCK)
                && let Ok(Asked::Taken(_lock)) = Lock::ask(&dir, LOCK)
            {
                remove(&self.sandboxes(), &path, name.as_bytes())?;
            }
        }
        Ok(())
    }

    /// The uppers that sandboxes have; nothing if that can't be told of one.
    fn needed(&self) -> Result<Option<BTreeSet<String>>, StoreError> {
        let mut needed = BTreeSet::new();
        for record in self.records()? {
            let Some(record) = record else { return Ok(None) };
            needed.extend(record.uppers().into_iter().map(str::to_owned));
        }
        Ok(Some(needed))
    }

    /// What all sandboxes have, as far as it can be read.
    fn records(&self) -> Result<impl Iterator<Item = Option<Record>>, StoreError> {
        // Of one that is no more nobody has anything.
        let mut names = names_in(&self.sandboxes())?;
        names.retain(|name| !name.as_bytes().starts_with(DEAD.as_bytes()));
        Ok(names.into_iter().map(|name| {
            let path = self.sandboxes().join(&name);
            let dir = super::open(&path).ok()?;
            Record::read(&dir, &path).ok()
        }))
    }

    fn sweep_uppers(&self, needed: &BTreeSet<String>) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        for name in names_in(&self.directory().join("uppers"))? {
            let Some(id) = name.to_str().filter(|id| is_id(id) && !needed.contains(*id)) else { continue };
            if self.is_held(id) {
                continue;
            }
            swept.bytes += removal::storage(&self.upper(id));
            swept.uppers += 1;
            self.remove_upper(id)?;
        }
        Ok(swept)
    }

    /// Whether a view has an upper: it may have outlived its sandbox.
    fn is_held(&self, id: &str) -> bool {
        super::open(&self.upper(id)).is_ok_and(|dir| !matches!(Lock::seen(&dir, LOCK), Ok(None)))
    }

    fn remove_upper(&self, id: &str) -> Result<(), StoreError> {
        remove(&self.directory().join("uppers"), &self.upper(id), id.as_bytes())
    }
}

/// Removes a directory of the store.
fn remove(parent: &Path, path: &Path, name: &[u8]) -> Result<(), StoreError> {
    let host = |errno: Errno| StoreError::Host { action: "remove", path: path.to_owned(), errno };
    let above = directory(parent)?;
    match removal::clear(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(host(errno)),
    }
    match unlinkat(&above, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(StoreError::host("remove", path)(error)),
    }
}
