//! Applies that were interrupted.

use std::path::Path;

use vnode_core::{Credentials, Cx, FilesystemRef};
use vnode_overlay::Touched;

use super::check::Records;
use super::error::{ApplyError, Doing as _, Failure};
use super::execute::Execution;
use super::journal::{Known, Was};
use super::staging::{PLACED, Staging};
use super::tree::Tree;
use super::{Applied, ApplyOptions, Pending, Report, Target, check_owner, complete};
use crate::clock::Now;
use crate::view::{Directory, View};

/// Whether an apply to a directory was interrupted. One look-up, if there was none.
///
/// # Errors
/// See [`ApplyError`]. `Busy`: it goes on.
pub fn pending(directory: &Path) -> Result<Option<Pending>, ApplyError> {
    let (who, now) = (Credentials::root(), Now);
    let cx = Cx::new(&who, &now);
    let plain = Directory::plain(directory);
    let fs = plain.open(&cx)?;
    let Some(staging) = Staging::find(Tree { cx: &cx, fs: &fs }, Some(directory))? else { return Ok(None) };
    let journal = staging.journal()?;
    Ok(Some(match journal {
        Some(journal) => {
            let placed = staging.has(PLACED).doing("look at", b"")?;
            Pending { owner: journal.owner, committed: true, placed }
        }
        None => Pending { owner: None, committed: false, placed: false },
    }))
}

/// Completes an apply to a directory that was interrupted, or removes what it had prepared if that was all. Answers what was
/// applied; nothing if nothing was. Of the options only `owner`, `progress` and `settled` count.
///
/// # Errors
/// See [`ApplyError`]. `Interrupted`: it is another owner's.
pub fn recover(
    cx: &Cx<'_>,
    directory: &Path,
    options: &ApplyOptions<'_>,
) -> Result<Option<Applied>, ApplyError> {
    let Some(served) = found_in(cx, directory)? else { return Ok(None) };
    let fs = served.open(cx)?;
    recover_in(&Target { tree: Tree { cx, fs: &fs }, directory: Some(&served) }, options)
}

/// How a directory is to be served in which an apply was interrupted; nothing if none was.
fn found_in(cx: &Cx<'_>, directory: &Path) -> Result<Option<Directory>, ApplyError> {
    let mut served = Directory::plain(directory);
    let fs = served.open(cx)?;
    let Some(staging) = Staging::find(Tree { cx, fs: &fs }, Some(directory))? else { return Ok(None) };
    served.emulation = staging.journal()?.is_some_and(|journal| journal.emulated);
    Ok(Some(served))
}

/// The same of what [`View::apply_to`](crate::View::apply_to) changed.
///
/// # Errors
/// See [`ApplyError`].
pub fn recover_on(
    cx: &Cx<'_>,
    target: &FilesystemRef,
    options: &ApplyOptions<'_>,
) -> Result<Option<Applied>, ApplyError> {
    recover_in(&Target { tree: Tree { cx, fs: target }, directory: None }, options)
}

/// Undoes an apply to a directory that was interrupted, as long as that can be: until everything was taken out that is to
/// leave its place. Tells whether there was one. Of the options only `owner` counts. What was moved back has another time of
/// its last change (`st_ctime`) then, and is a conflict for views that touched it before, but not for the one of
/// [`View::abort`].
///
/// # Errors
/// See [`ApplyError`]. `Interrupted`: it is another owner's. `TooLate`: it can only be completed. `InTheWay`, `Undoing`: some of
/// it is still to be undone.
pub fn abort(cx: &Cx<'_>, directory: &Path, options: &ApplyOptions<'_>) -> Result<bool, ApplyError> {
    let Some(served) = found_in(cx, directory)? else { return Ok(false) };
    let fs = served.open(cx)?;
    let target = Target { tree: Tree { cx, fs: &fs }, directory: Some(&served) };
    Ok(abort_in(&target, options)?.is_some())
}

/// Answers what was moved back; nothing if no apply was interrupted.
fn abort_in(target: &Target<'_>, options: &ApplyOptions<'_>) -> Result<Option<Vec<Known>>, ApplyError> {
    let Some(staging) = Staging::find(target.tree, target.path())? else { return Ok(None) };
    let Some(journal) = staging.journal()? else {
        return staging.discard().map(|()| Some(Vec::new())).map_err(Failure::before);
    };
    check_owner(&journal, target, options)?;
    let execution = Execution::new(&staging, &journal);
    if execution.is_moved()? {
        let directory = target.path().unwrap_or(Path::new("/")).to_owned();
        return Err(ApplyError::TooLate { directory });
    }
    execution.undo().map_err(Failure::undoing)?;
    Ok(Some(journal.moved))
}

impl View {
    /// Undoes an apply to the directory that it is of, as [`abort`] does, and counts what was moved back as unchanged, if it
    /// was that before.
    ///
    /// # Errors
    /// As [`abort`].
    pub fn abort(&self, cx: &Cx<'_>, options: &ApplyOptions<'_>) -> Result<bool, ApplyError> {
        let (directory, fs) = self.open_directory(cx)?;
        let target = Target { tree: Tree { cx, fs: &fs }, directory: Some(directory) };
        let Some(moved) = abort_in(&target, options)? else { return Ok(false) };
        // Else they count as changed to whoever tries again: no more than that.
        let _ = self.renew(target.tree, &moved);
        Ok(true)
    }

    /// Notes what was moved, and moved back, as it is now, if it was as it had been noted: the time of its last change is
    /// another one.
    pub(super) fn renew(&self, tree: Tree<'_>, moved: &[Known]) -> vnode_core::Result<()> {
        let records = Records::new(self.touched(tree.cx)?);
        let mut renewed = Vec::new();
        for Known { path, was } in moved {
            let (Some(was), Some(inode)) = (was, tree.find(&path.0)?) else { continue };
            let attr = tree.attr(&inode)?;
            let now = Was::of(&attr);
            if now.ctime == was.ctime || *was != (Was { ctime: was.ctime, ..now }) {
                continue;
            }
            let records = records.names_of(was.dev, was.ino).iter().filter_map(|name| records.at(name));
            let same = records.filter(|record| Was::touched(record) == *was);
            renewed.extend(same.map(|record| Touched { ctime: attr.ctime, ..record.clone() }));
        }
        self.note_touched(tree.cx, &renewed)
    }
}

fn recover_in(target: &Target<'_>, options: &ApplyOptions<'_>) -> Result<Option<Applied>, ApplyError> {
    let Some(staging) = Staging::find(target.tree, target.path())? else { return Ok(None) };
    let Some(journal) = staging.journal()? else {
        return staging.discard().map(|()| None).map_err(Failure::before);
    };
    check_owner(&journal, target, options)?;
    let mut report = Report::new(options.progress, &journal, 0);
    let settled = options.settled.filter(|_| journal.is_of(options.owner.as_ref()));
    complete(&staging, &journal, (&mut report, settled), Vec::new(), true).map(Some)
}
