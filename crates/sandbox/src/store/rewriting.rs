//! Putting the changes of a sandbox, or some of them, into a new upper: so that none of before forks are left, or none of those
//! that are to be dropped.

use std::collections::HashSet;

use vnode_core::Cx;

use super::chosen::{Chosen, chosen};
use super::error::StoreError;
use super::record::fresh_id;
use super::sandbox::Sandbox;
use crate::apply::{ApplyOptions, Selection};
use crate::changes::covered;
use crate::clock::as_root;

impl Sandbox {
    /// Drops the changes at some of the guest's paths, absolute, and below them (of no path, none): what the directories have is seen there. None of its
    /// views may be open.
    ///
    /// A directory that was renamed is there or here: dropping that drops the renames of all directories, and changes below
    /// one that stay are where it is on the host.
    ///
    /// # Errors
    /// [`StoreError::Path`], [`StoreError::Unchanged`], [`StoreError::InUse`], [`StoreError::Interrupted`], and those of the host.
    pub fn discard_some(&mut self, paths: &[Vec<u8>]) -> Result<(), StoreError> {
        self.check_unused()?;
        self.check_applied()?;
        self.check_paths(paths)?;
        if paths.is_empty() {
            return Ok(());
        }
        let mut record = self.record.clone();
        record.generation += 1;
        for (index, mount) in record.mounts.iter_mut().enumerate() {
            match chosen(&self.record.mounts, self.mount(index)?, Some(paths)) {
                Chosen::Nothing => continue,
                Chosen::Everything => mount.upper = fresh_id()?,
                Chosen::Some(paths) => mount.upper = self.rewrite(index, Selection::Except(paths))?,
            }
            mount.frozen.clear();
        }
        self.replace_to_make_room(record)?;
        self.store.sweep().map(drop)
    }

    /// Brings all that was kept before forks into the uppers of this sandbox alone.
    pub(super) fn flatten(&mut self) -> Result<(), StoreError> {
        if self.record.mounts.iter().all(|mount| mount.frozen.is_empty()) {
            return Ok(());
        }
        let mut record = self.record.clone();
        for (index, mount) in record.mounts.iter_mut().enumerate() {
            if !mount.frozen.is_empty() {
                mount.upper = self.rewrite(index, Selection::All)?;
                mount.frozen.clear();
            }
        }
        self.replace(record)
    }

    /// Brings what is left of changes of which some were applied into uppers of their own. What they were in knows of files with
    /// several names what isn't so any more.
    ///
    /// Where there is no room for that it is left for later: see [`check_whole`](Self::check_whole).
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        match self.bring_rest() {
            Err(error) if error.is_no_room() => Ok(()),
            finished => finished,
        }
    }

    /// That nothing is left to be finished.
    ///
    /// # Errors
    /// [`StoreError::Full`].
    pub(super) fn check_whole(&self) -> Result<(), StoreError> {
        if !self.record.mounts.iter().any(|mount| mount.settled) {
            return Ok(());
        }
        Err(StoreError::Full { name: self.name().to_owned(), directory: self.store.directory().to_owned() })
    }

    fn bring_rest(&mut self) -> Result<(), StoreError> {
        let mut record = self.record.clone();
        if !record.mounts.iter().any(|mount| mount.settled) {
            return Ok(());
        }
        for (index, mount) in record.mounts.iter_mut().enumerate().filter(|(_, mount)| mount.settled) {
            mount.upper = self.rewrite(index, Selection::All)?;
            mount.frozen.clear();
            mount.settled = false;
        }
        self.replace(record)
    }

    /// Makes an upper that has these changes of a mount's; answers its name. Nobody has it yet.
    fn rewrite(&self, index: usize, selection: Selection) -> Result<String, StoreError> {
        let mount = self.mount(index)?;
        let (mut fresh, upper) = (mount.clone(), fresh_id()?);
        fresh.frozen.clear();
        fresh.upper.clone_from(&upper);
        let fails = |errno| StoreError::Changes { guest: mount.mount.guest.clone(), errno };
        let from = self.open_view(mount)?.view;
        let to = self.open_view(&fresh)?.view;
        as_root(|cx: &Cx<'_>| {
            let changes = from.changes(cx).map_err(fails)?;
            let mut touched = from.touched(cx).map_err(fails)?;
            let known: HashSet<_> = touched.iter().map(|one| one.path.clone()).collect();
            let covered = covered(cx, &from.now()).map_err(fails)?;
            let choices = ApplyOptions { selection, ..ApplyOptions::default() };
            let applied = from.apply_to(cx, &to.filesystem, &changes, &choices);
            applied.map_err(|error| self.about(index, error))?;
            // What came to the host since was never seen by a guest; other names of files that it changed come up only now.
            let seen = to.touched(cx).map_err(fails)?.into_iter();
            touched.extend(seen.filter(|one| !known.contains(&one.path) && !covered.contains(&one.path)));
            to.replace_touched(cx, &touched).map_err(fails)
        })?;
        Ok(upper)
    }
}
