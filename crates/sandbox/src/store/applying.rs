//! Bringing what a sandbox has to the directories that it shows.

use std::path::PathBuf;

use vnode_core::Cx;

use super::chosen::{Chosen, check, chosen, is_at};
use super::error::StoreError;
use super::overlap::Changed;
use super::record::{Lower, MountRecord, Record, fresh_id, root_of};
use super::sandbox::{Mounted, Sandbox};
use crate::apply::{
    self, Applied, ApplyError, ApplyOptions, Conflict, Owner, Pending, Plan, Progress, Selection,
};
use crate::clock::as_root;
use crate::view::View;

/// The choices for [`Sandbox::apply`].
#[derive(Clone, Copy, Default)]
pub struct Applying<'a> {
    /// Only what is at these paths of the guest's, or below them; nothing: everything. Of no path nothing is applied. They are
    /// absolute, without `.`, `..` and empty names.
    pub paths: Option<&'a [Vec<u8>]>,
    /// Whether what was changed in the directories meanwhile is overwritten.
    pub force: bool,
    /// Told how far it is.
    pub progress: Option<&'a dyn Fn(Progress)>,
}

/// Something of a mount of a sandbox, and where the guest sees that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// Where the mount is, starting with `/`.
    pub guest: Vec<u8>,
    /// What of it.
    pub what: T,
}

/// An apply of a mount's changes that was interrupted.
struct Interrupted {
    directory: PathBuf,
    /// Which generation of the sandbox's it was of.
    generation: u64,
    /// Whether everything was applied.
    placed: bool,
}

/// Applies that were interrupted when everything was applied, by mount.
pub(super) struct Placed(Vec<(usize, Interrupted)>);

/// What is applied of a mount.
struct Part {
    index: usize,
    mounted: Mounted,
    changes: Vec<crate::Change>,
    selection: Selection,
}

impl core::fmt::Debug for Applying<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Applying")
            .field("paths", &self.paths)
            .field("force", &self.force)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// That something was changed at each of the guest's paths, or below it.
    ///
    /// # Errors
    /// [`StoreError::Path`], [`StoreError::Unchanged`].
    pub(super) fn check_paths(&self, paths: &[Vec<u8>]) -> Result<(), StoreError> {
        as_root(|cx| self.parts(cx, Some(paths))).map(drop)
    }

    /// What [`apply`](Self::apply) would do. Changes nothing.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), but conflicts, which are in the plans.
    pub fn plan(&self, options: &Applying<'_>) -> Result<Vec<At<Plan>>, StoreError> {
        self.check_applied()?;
        as_root(|cx| self.plan_parts(cx, &self.parts(cx, options.paths)?, options))
    }

    fn plan_parts(
        &self,
        cx: &Cx<'_>,
        parts: &[Part],
        options: &Applying<'_>,
    ) -> Result<Vec<At<Plan>>, StoreError> {
        let plan = |part: &Part| {
            let choices = ApplyOptions {
                selection: part.selection.clone(),
                force: options.force,
                ..ApplyOptions::default()
            };
            let plan = part.mounted.view.plan(cx, &part.changes, &choices);
            let plan = plan.map_err(|error| self.about(part.index, error))?;
            Ok(At { guest: part.mounted.guest.clone(), what: plan })
        };
        let mut plans = parts.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
        for (at, twice) in plans.iter_mut().zip(self.changed_twice(parts)?) {
            at.what.conflicts.extend(twice);
        }
        Ok(plans)
    }

    /// What is changed by way of several mounts that show the same directory, or one in the other's, of each part.
    fn changed_twice(&self, parts: &[Part]) -> Result<Vec<Vec<Conflict>>, StoreError> {
        let mut all = Vec::new();
        for part in parts {
            let lowers = self.mount(part.index)?.mount.lowers.as_slice();
            all.push(match lowers {
                [Lower::Directory(directory)] => Changed::of(directory, &part.changes),
                _ => Changed::default(),
            });
        }
        let twice = |(index, own): (usize, &Changed)| {
            let others = all.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
            own.met_by(&others.collect::<Vec<_>>())
        };
        Ok(all.iter().enumerate().map(twice).collect())
    }

    /// Brings what was changed to the directories of the host, which must be as the sandbox first saw them where something is
    /// changed. Then it is no change of the sandbox's any more. None of its views may be open.
    ///
    /// An apply of it that was interrupted is completed first.
    ///
    /// # Errors
    /// [`StoreError::Conflicts`]: nothing was applied. [`StoreError::Apply`]: of the mounts before that one all was
    /// applied. [`StoreError::Path`], [`StoreError::Unchanged`], [`StoreError::InUse`], and those of the host: nothing was applied.
    pub fn apply(&mut self, options: &Applying<'_>) -> Result<Vec<At<Applied>>, StoreError> {
        self.check_unused()?;
        let mut done = self.complete(options)?;
        self.check_whole()?;
        if let Some(paths) = options.paths {
            self.check_paths(paths)?;
            self.flatten()?;
        }
        let parts = as_root(|cx| {
            let parts = self.parts(cx, options.paths)?;
            // Before anything is applied anywhere.
            let plans = self.plan_parts(cx, &parts, options)?.into_iter();
            let conflicts = plans.map(|At { guest, what }| At { guest, what: what.conflicts });
            let conflicts: Vec<_> = conflicts.filter(|at| !at.what.is_empty()).collect();
            if conflicts.is_empty() || options.force {
                Ok(parts)
            } else {
                Err(StoreError::Conflicts(conflicts))
            }
        })?;
        for Part { index, mounted, changes, selection } in parts {
            let owner = Some(self.owner(index));
            let next = self.next(index)?;
            let settled = |applied: &Applied| self.settle(index, applied, &mounted.view, &next);
            let choices = ApplyOptions {
                selection,
                force: options.force,
                owner,
                progress: options.progress,
                settled: Some(&settled),
            };
            let applied = as_root(|cx| mounted.view.apply(cx, &changes, &choices));
            let applied = applied.map_err(|error| self.about(index, error))?;
            done.push(At { guest: mounted.guest.clone(), what: applied });
            drop((mounted, changes));
            self.reread()?;
            self.finish()?;
        }
        self.store.sweep()?;
        Ok(done)
    }

    /// What is applied of each mount.
    fn parts(&self, cx: &Cx<'_>, paths: Option<&[Vec<u8>]>) -> Result<Vec<Part>, StoreError> {
        let told = paths.unwrap_or_default();
        check(told)?;
        let parts = self.changed_parts(cx, paths)?;
        let fits = |path: &Vec<u8>| {
            let is_at =
                |part: &Part| part.changes.iter().any(|change| is_at(&part.mounted.guest, change, path));
            parts.iter().any(is_at)
        };
        match told.iter().find(|path| !fits(path)) {
            None => Ok(parts),
            Some(path) => Err(StoreError::Unchanged { path: path.clone() }),
        }
    }

    fn changed_parts(&self, cx: &Cx<'_>, paths: Option<&[Vec<u8>]>) -> Result<Vec<Part>, StoreError> {
        let mut parts = Vec::new();
        for (index, mount) in self.record.mounts.iter().enumerate() {
            let selection = match chosen(&self.record.mounts, mount, paths) {
                Chosen::Nothing => continue,
                Chosen::Everything => Selection::All,
                Chosen::Some(paths) => Selection::Only(paths),
            };
            let mounted = self.open_view(mount)?;
            let changes = mounted
                .view
                .changes(cx)
                .map_err(|errno| StoreError::Changes { guest: mount.mount.guest.clone(), errno })?;
            if !changes.is_empty() {
                parts.push(Part { index, mounted, changes, selection });
            }
        }
        Ok(parts)
    }

    /// What a mount's directory knows the changes by while they are applied.
    fn owner(&self, index: usize) -> Owner {
        let id = format!("{}.{index}", self.record.id);
        Owner { directory: self.path(), id, generation: self.record.generation }
    }

    /// What it is when all changes of a mount were applied.
    fn next(&self, index: usize) -> Result<Record, StoreError> {
        let mut record = self.record.clone();
        record.generation += 1;
        if let Some(mount) = record.mounts.get_mut(index) {
            mount.frozen.clear();
            mount.upper = fresh_id()?;
            mount.settled = false;
            // Whatever it was before.
            mount.root = root_of(&mount.mount);
        }
        Ok(record)
    }

    /// Has the changes that were applied no more. May be done again.
    fn settle(&self, index: usize, applied: &Applied, view: &View, next: &Record) -> Result<(), ApplyError> {
        let fails = |error: StoreError| ApplyError::Owner { why: error.to_string() };
        if applied.everything {
            return next.write_to_make_room(&self.dir, &self.path()).map_err(fails);
        }
        as_root(|cx| view.settle(cx, applied))?;
        let mut record = self.record.clone();
        record.generation += 1;
        if let Some(mount) = record.mounts.get_mut(index) {
            mount.settled = true;
        }
        record.write_to_make_room(&self.dir, &self.path()).map_err(fails)
    }

    /// Completes an apply of it that was interrupted, and removes what one left that was done, or never began.
    fn complete(&mut self, options: &Applying<'_>) -> Result<Vec<At<Applied>>, StoreError> {
        let mut done = Vec::new();
        for index in 0..self.record.mounts.len() {
            let Some(Interrupted { directory, generation, .. }) = self.pending(index)? else {
                self.tidy_up(index);
                continue;
            };
            let next = self.next(index)?;
            // It may have come further than that.
            let is_settled = generation < self.record.generation;
            let mounted = self.open_view(self.mount(index)?)?;
            let settled = |applied: &Applied| {
                if is_settled { Ok(()) } else { self.settle(index, applied, &mounted.view, &next) }
            };
            let choices = ApplyOptions {
                owner: Some(self.owner(index)),
                progress: options.progress,
                settled: Some(&settled),
                ..ApplyOptions::default()
            };
            let applied = as_root(|cx| apply::recover(cx, &directory, &choices));
            let applied = applied.map_err(|error| self.about(index, error))?;
            let guest = self.mount(index)?.mount.guest.clone();
            done.extend(applied.map(|applied| At { guest, what: applied }));
            drop(mounted);
            self.reread()?;
            self.finish()?;
        }
        Ok(done)
    }

    /// Removes what an apply left in a mount's directory without a journal. What can't be removed is in nobody's way.
    pub(super) fn tidy_up(&self, index: usize) {
        let mount = self.mount(index).map(|mount| mount.mount.lowers.as_slice());
        let Ok([Lower::Directory(directory)]) = mount else { return };
        if let Ok(Some(pending)) = apply::pending(directory)
            && !pending.committed
        {
            let _ = as_root(|cx| apply::recover(cx, directory, &ApplyOptions::default()));
        }
    }

    /// Undoes an apply of it that was interrupted: the directories are as they were before it. Tells in how many mounts there was
    /// one.
    ///
    /// # Errors
    /// [`StoreError::Apply`] with [`ApplyError::TooLate`]: everything was taken out of its place, and it can only be completed.
    /// Those of the host.
    pub fn abort(&mut self) -> Result<usize, StoreError> {
        let mut aborted = 0;
        for index in 0..self.record.mounts.len() {
            if self.pending(index)?.is_none() {
                continue;
            }
            let choices = ApplyOptions { owner: Some(self.owner(index)), ..ApplyOptions::default() };
            let view = self.open_view(self.mount(index)?)?.view;
            let undone = as_root(|cx| view.abort(cx, &choices));
            aborted += usize::from(undone.map_err(|error| self.about(index, error))?);
        }
        Ok(aborted)
    }

    /// That no apply of it was interrupted, and nothing is left to be done after one: then its views would show mixtures.
    ///
    /// # Errors
    /// [`StoreError::Interrupted`], [`StoreError::Full`].
    pub fn check_applied(&self) -> Result<(), StoreError> {
        self.check_whole()?;
        match self.interrupted()?.into_iter().next() {
            Some((_, Interrupted { directory, .. })) => Err(self.is_interrupted(directory)),
            None => Ok(()),
        }
    }

    /// That no apply of it was interrupted before everything was applied. Answers those that were after it.
    ///
    /// # Errors
    /// [`StoreError::Interrupted`].
    pub(super) fn check_placed(&self) -> Result<Placed, StoreError> {
        let interrupted = self.interrupted()?;
        match interrupted.iter().find(|(_, one)| !one.placed) {
            Some((_, one)) => Err(self.is_interrupted(one.directory.clone())),
            None => Ok(Placed(interrupted)),
        }
    }

    /// Forgets of applies of which everything was applied: what kept the changes has nothing to do with that any more.
    pub(super) fn forget(&self, Placed(applies): Placed) -> Result<(), StoreError> {
        for (index, Interrupted { directory, .. }) in applies {
            let choices = ApplyOptions { owner: Some(self.owner(index)), ..ApplyOptions::default() };
            let forgotten = as_root(|cx| apply::recover(cx, &directory, &choices));
            forgotten.map_err(|error| self.about(index, error))?;
        }
        Ok(())
    }

    /// By mount, the applies that were interrupted.
    fn interrupted(&self) -> Result<Vec<(usize, Interrupted)>, StoreError> {
        let mut found = Vec::new();
        for index in 0..self.record.mounts.len() {
            found.extend(self.pending(index)?.map(|one| (index, one)));
        }
        Ok(found)
    }

    fn is_interrupted(&self, directory: PathBuf) -> StoreError {
        StoreError::Interrupted { name: self.name().to_owned(), directory }
    }

    /// An apply of this sandbox to the directory of a mount that was interrupted after it began to change something.
    fn pending(&self, index: usize) -> Result<Option<Interrupted>, StoreError> {
        let [Lower::Directory(directory)] = self.mount(index)?.mount.lowers.as_slice() else {
            return Ok(None);
        };
        let pending = match apply::pending(directory) {
            // Whoever opens it tells why.
            Err(ApplyError::Directory(_)) => return Ok(None),
            pending => pending.map_err(|error| self.about(index, error))?,
        };
        let id = self.owner(index).id;
        let Some(Pending { owner: Some(owner), committed: true, placed }) = pending else { return Ok(None) };
        let interrupted = Interrupted { directory: directory.clone(), generation: owner.generation, placed };
        Ok((owner.id == id).then_some(interrupted))
    }

    pub(super) fn mount(&self, index: usize) -> Result<&MountRecord, StoreError> {
        self.record.mounts.get(index).ok_or(StoreError::Empty { what: "there is no mount" })
    }

    pub(super) fn about(&self, index: usize, error: ApplyError) -> StoreError {
        let error = match error {
            ApplyError::Interrupted { directory, owner } => match self.store.name_of(&owner.directory) {
                Some(name) => return StoreError::Interrupted { name, directory },
                None => ApplyError::Interrupted { directory, owner },
            },
            error => error,
        };
        let guest = self.mount(index).map(|mount| mount.mount.guest.clone()).unwrap_or_default();
        StoreError::Apply { guest, error }
    }
}
