//! Bringing the changes of a view to the directory that it shows.
//!
//! # How
//!
//! All that is new is made in a directory `.vnode-apply` in the directory's root, `in/`, whole and on the medium; then what
//! is to be done is written to `journal` there. Until then nothing was changed, and what is found of an apply that came no
//! further is removed. From then on all of it will be done, by whoever finds the journal if need be: by renames and
//! changes of attributes that may be done again. What leaves its place is moved to `out/`; when all of it is there, `moved`
//! says so; then all comes to its place, which `placed` says; and what is left in `out/` is removed. Until `moved` is there
//! all can be put back, and is if something can't be taken out.
//!
//! A file is the old one or the new one at every moment; what is renamed is nowhere else but in `out/` on its way. Every
//! call takes one name in a directory that was reached by names that are directories, so no link leads anywhere.

mod check;
mod error;
mod execute;
mod items;
mod journal;
mod leaving;
mod links;
mod permitted;
mod plan;
mod recovery;
mod renames;
mod rest;
mod sealed;
mod selection;
mod stage;
mod staging;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vnode_adapt::{Keep, SymlinkEmulation};
use vnode_core::fs::Filesystem as _;
use vnode_core::{Cx, FilesystemRef};
use vnode_host::Host;

pub use error::{ApplyError, Conflict, ConflictKind};
pub use recovery::{abort, pending, recover, recover_on};
pub use selection::Selection;

pub(crate) use journal::Witness;

use check::Records;
use error::{Doing as _, Failure};
use execute::Execution;
use journal::{Bytes, Journal, Rest};
use plan::{Planner, Steps};
use selection::Chosen;
use staging::Staging;
use tree::Tree;

use crate::changes::{Change, ChangeKind};
use crate::mounts::Mounts;
use crate::paths::shown;
use crate::user::User;
use crate::view::{Directory, View};

/// The choices for applying changes.
#[derive(Default)]
pub struct ApplyOptions<'a> {
    /// Which changes.
    pub selection: Selection,
    /// Whether what is in the way is overwritten, and what is unknown in a directory that goes is removed.
    pub force: bool,
    /// Whose changes they are, for whoever finds that it was interrupted.
    pub owner: Option<Owner>,
    /// Told how far it is.
    pub progress: Option<&'a dyn Fn(Progress)>,
    /// Called when everything is in its place and on the medium, and before it is forgotten that it was done: to clear what
    /// kept the changes. If it fails, so does the apply, with [`ApplyError::Owner`]; then, or if the process ends before it
    /// is done, whoever completes the apply for the same owner calls it again.
    pub settled: Option<&'a Settled<'a>>,
}

/// What is called when everything is in its place: see [`ApplyOptions::settled`].
pub type Settled<'a> = dyn Fn(&Applied) -> Result<(), ApplyError> + 'a;

impl fmt::Debug for ApplyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplyOptions { selection, force, owner, .. } = self;
        let mut debug = f.debug_struct("ApplyOptions");
        debug
            .field("selection", selection)
            .field("force", force)
            .field("owner", owner)
            .finish_non_exhaustive()
    }
}

/// Whose changes are applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Where they are kept. When that is gone, nobody is left to complete it but whoever finds it.
    pub directory: PathBuf,
    /// By what the owner knows them.
    pub id: String,
    /// Which of them.
    pub generation: u64,
}

/// How far an apply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of content, and one for each thing to be done.
    pub total: u64,
    /// So many of them are done.
    pub done: u64,
}

/// One thing that is done to the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: ChangeKind,
    /// Where it is then, or was if it is removed.
    pub path: Vec<u8>,
    /// Where it was, if it is renamed.
    pub from: Option<Vec<u8>>,
}

impl Operation {
    fn noted(&self) -> (char, Bytes, Option<Bytes>) {
        (self.kind.letter(), Bytes(self.path.clone()), self.from.clone().map(Bytes))
    }

    fn of_note((letter, path, from): &(char, Bytes, Option<Bytes>)) -> Option<Self> {
        const KINDS: [ChangeKind; 7] = [
            ChangeKind::Added,
            ChangeKind::Removed,
            ChangeKind::Renamed,
            ChangeKind::TypeChanged,
            ChangeKind::Modified,
            ChangeKind::Attributes,
            ChangeKind::Relinked,
        ];
        let kind = KINDS.into_iter().find(|kind| kind.letter() == *letter)?;
        Some(Operation { kind, path: path.0.clone(), from: from.as_ref().map(|from| from.0.clone()) })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shown(&self.path);
        match (self.kind, &self.from) {
            (ChangeKind::Added, _) => write!(f, "add {path}"),
            (ChangeKind::Removed, _) => write!(f, "remove {path}"),
            (ChangeKind::Renamed, Some(from)) => write!(f, "rename {} to {path}", shown(from)),
            (ChangeKind::Renamed, None) => write!(f, "rename to {path}"),
            (ChangeKind::TypeChanged | ChangeKind::Modified, _) => write!(f, "replace {path}"),
            (ChangeKind::Attributes, _) => write!(f, "change the attributes of {path}"),
            (ChangeKind::Relinked, _) => write!(f, "change the hard links of {path}"),
        }
    }
}

/// What is worth to be told, and keeps nothing from being done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A file that is replaced has names outside the directory, which show what it was.
    LinkedOutside {
        /// The file.
        path: Vec<u8>,
    },
    /// A file is to run as its owner or group, whoever runs it.
    SetId {
        /// The file.
        path: Vec<u8>,
    },
    /// It is a device.
    Device {
        /// The device.
        path: Vec<u8>,
    },
    /// An apply of before, of another owner's that is gone, was completed first.
    Completed {
        /// How many things it did.
        changes: usize,
    },
    /// A file was changed after the apply began, which may have been interrupted. It was neither overwritten nor removed, but
    /// kept.
    Kept {
        /// The file.
        path: Vec<u8>,
        /// Where it is now.
        place: Vec<u8>,
    },
    /// Something came into the way while it was done. It was kept here.
    Left {
        /// Where.
        path: Vec<u8>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::LinkedOutside { path } => {
                write!(f, "{} has hard links outside the directory, which stay as they were", shown(path))
            }
            Warning::SetId { path } => write!(f, "{} runs as its owner or group", shown(path)),
            Warning::Device { path } => write!(f, "{} is a device", shown(path)),
            Warning::Completed { changes } => {
                write!(
                    f,
                    "an apply that was interrupted was completed first, {changes} changes that are not these"
                )
            }
            Warning::Kept { path, place } => {
                write!(
                    f,
                    "{} was changed meanwhile: what it was then is kept as {}",
                    shown(path),
                    shown(place)
                )
            }
            Warning::Left { path } => {
                write!(f, "what came into the way meanwhile was kept in {}", shown(path))
            }
        }
    }
}

/// What would be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By path.
    pub operations: Vec<Operation>,
    /// What is in the way; with `force` it is overwritten.
    pub conflicts: Vec<Conflict>,
    /// What is worth to be told.
    pub warnings: Vec<Warning>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// By path.
    pub operations: Vec<Operation>,
    /// What is worth to be told.
    pub warnings: Vec<Warning>,
    /// Whether all changes were applied, not only chosen ones.
    pub everything: bool,
    /// Whether it was an apply of before that was completed, and nothing else done.
    pub resumed: bool,
    /// Whose changes they are.
    pub owner: Option<Owner>,
    rest: Option<Rest>,
}

/// An apply that was interrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Whose changes they are.
    pub owner: Option<Owner>,
    /// Whether some are made: [`recover`] completes it. Else it removes what was prepared.
    pub committed: bool,
    /// Whether everything is in its place, and only what kept the changes is to be cleared.
    pub placed: bool,
}

/// Counts what is done.
pub(crate) struct Report<'a> {
    progress: Option<&'a dyn Fn(Progress)>,
    now: Progress,
}

impl<'a> Report<'a> {
    fn new(progress: Option<&'a dyn Fn(Progress)>, journal: &Journal, bytes: u64) -> Self {
        let steps = journal.outs.len() as u64 + journal.ins.len() as u64;
        Report { progress, now: Progress { total: steps.saturating_add(bytes), done: 0 } }
    }

    /// Another thing was done, of so many bytes.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.now.done = self.now.done.saturating_add(bytes).saturating_add(1).min(self.now.total);
        if let Some(progress) = self.progress {
            progress(self.now);
        }
    }
}

/// Where changes are applied.
struct Target<'a> {
    tree: Tree<'a>,
    /// The directory, if it is the one that the view is of.
    directory: Option<&'a Directory>,
}

impl Target<'_> {
    fn path(&self) -> Option<&Path> {
        self.directory.map(|directory| directory.path.as_path())
    }
}

impl View {
    /// What [`View::apply`] would do. Changes nothing.
    ///
    /// # Errors
    /// As [`View::apply`], but conflicts, which are in the plan.
    pub fn plan(
        &self,
        cx: &Cx<'_>,
        changes: &[Change],
        options: &ApplyOptions<'_>,
    ) -> Result<Plan, ApplyError> {
        let (directory, fs) = self.open_directory(cx)?;
        let target = Target { tree: Tree { cx, fs: &fs }, directory: Some(directory) };
        let Steps { operations, conflicts, warnings, .. } = self.steps(&target, changes, options)?;
        Ok(Plan { operations, conflicts, warnings })
    }

    /// Serves the directory that it is of, for changes to be applied to it.
    fn open_directory(&self, cx: &Cx<'_>) -> Result<(&Directory, FilesystemRef), ApplyError> {
        let directory = self.directory.as_ref().ok_or(ApplyError::NotOneDirectory)?;
        let host = directory.host()?;
        if !self.is_of(&host) {
            return Err(ApplyError::OtherDirectory { directory: directory.path.clone() });
        }
        Ok((directory, directory.with_links(cx, host)?))
    }

    /// Brings changes, those of [`View::changes`], to the directory of the host that the view shows. Nobody may change the
    /// view meanwhile, and after it the view shows mixtures: it is to be opened anew.
    ///
    /// If an apply to the directory was interrupted it is completed first; if that was one of the same owner's, no more
    /// is done.
    ///
    /// # Errors
    /// See [`ApplyError`]. Nothing was changed then, but for `Unfinished`, which the next apply completes, and for what
    /// [`ApplyOptions::settled`] fails with, which it calls again.
    pub fn apply(
        &self,
        cx: &Cx<'_>,
        changes: &[Change],
        options: &ApplyOptions<'_>,
    ) -> Result<Applied, ApplyError> {
        let (directory, fs) = self.open_directory(cx)?;
        self.apply_on(&Target { tree: Tree { cx, fs: &fs }, directory: Some(directory) }, changes, options)
    }

    /// The same to any filesystem that is as what the view is of. Whether it is so is checked only as far as names are
    /// there, and nobody else may apply to it meanwhile.
    ///
    /// # Errors
    /// As [`View::apply`].
    pub fn apply_to(
        &self,
        cx: &Cx<'_>,
        target: &FilesystemRef,
        changes: &[Change],
        options: &ApplyOptions<'_>,
    ) -> Result<Applied, ApplyError> {
        self.apply_on(&Target { tree: Tree { cx, fs: target }, directory: None }, changes, options)
    }

    fn apply_on(
        &self,
        target: &Target<'_>,
        changes: &[Change],
        options: &ApplyOptions<'_>,
    ) -> Result<Applied, ApplyError> {
        let mut before = None;
        if let Some(staging) = Staging::find(target.tree, target.path())? {
            let journal = staging.journal()?;
            before = settle_before(&staging, journal, target, options)?;
            if let Some(applied) =
                before.take_if(|applied| applied.owner == options.owner && applied.owner.is_some())
            {
                return Ok(applied);
            }
        }
        let mut steps = self.steps(target, changes, options)?;
        if !steps.conflicts.is_empty() && !options.force {
            return Err(ApplyError::Conflicts(steps.conflicts));
        }
        if let Some(before) = before.filter(|before| !before.operations.is_empty()) {
            steps.warnings.push(Warning::Completed { changes: before.operations.len() });
            steps.warnings.extend(before.warnings);
        }
        let moved = steps.journal.moved.clone();
        let done = carry_out(target, steps, options);
        if let (Err(ApplyError::Filesystem { .. }), Some(_)) = (&done, target.directory) {
            // Then they count as changed to whoever tries again: no more than that.
            let _ = self.renew(target.tree, &moved);
        }
        done
    }

    fn steps(
        &self,
        target: &Target<'_>,
        changes: &[Change],
        options: &ApplyOptions<'_>,
    ) -> Result<Steps, ApplyError> {
        let cx = target.tree.cx;
        let before = self.before().doing("look at", b"")?;
        let now = self.now();
        let Chosen { items, not_renamed, everything } = selection::chosen(changes, &options.selection);
        let mut planner = Planner::new(target.tree, &now, &before, items);
        planner.not_renamed = not_renamed;
        planner.force = options.force;
        planner.host = target.path();
        if target.directory.is_some() {
            planner.user = User::of_process();
            planner.mounted = target.path().map(|path| Mounts::now().inside(path)).unwrap_or_default();
            planner.records = Some(Records::new(self.touched(cx).doing("read what was touched of", b"")?));
        }
        let mut steps = planner.plan()?;
        if let Some(root) = target.directory.and_then(|directory| directory.root)
            && Witness::of(&target.tree.attr(&target.tree.fs.root()).doing("look at", b"")?) != root
        {
            steps.conflicts.insert(0, Conflict { path: Vec::new(), kind: ConflictKind::OtherDirectory });
        }
        steps.journal.owner = options.owner.clone();
        steps.journal.emulated = target.directory.is_some_and(|directory| directory.emulation);
        if everything {
            steps.journal.rest = None;
        }
        Ok(steps)
    }
}

/// Deals with what an apply before left. Answers what was done, if something was.
fn settle_before(
    staging: &Staging<'_>,
    journal: Option<Journal>,
    target: &Target<'_>,
    options: &ApplyOptions<'_>,
) -> Result<Option<Applied>, ApplyError> {
    let Some(journal) = journal else {
        staging.discard()?;
        return Ok(None);
    };
    check_owner(&journal, target, options)?;
    let same = journal.is_of(options.owner.as_ref());
    let mut report = Report::new(options.progress, &journal, 0);
    let settled = options.settled.filter(|_| same);
    let applied = complete(staging, &journal, (&mut report, settled), Vec::new(), true)?;
    Ok(Some(applied))
}

/// Refuses to complete what another owner is to complete, who is still there.
fn check_owner(journal: &Journal, target: &Target<'_>, options: &ApplyOptions<'_>) -> Result<(), ApplyError> {
    let other = journal.owner.clone().filter(|_| !journal.is_of(options.owner.as_ref()));
    match other.filter(|owner| owner.directory.exists()) {
        Some(owner) => {
            let directory = target.path().unwrap_or(Path::new("/")).to_owned();
            Err(ApplyError::Interrupted { directory, owner })
        }
        None => Ok(()),
    }
}

/// Makes what is new, checks once more, writes down what is to be done, and does it.
fn carry_out(target: &Target<'_>, steps: Steps, options: &ApplyOptions<'_>) -> Result<Applied, ApplyError> {
    let Steps { mut journal, staged, expected, warnings, .. } = steps;
    if journal.is_empty() {
        let applied = applied(&journal, warnings, false);
        options.settled.map_or(Ok(()), |settled| settled(&applied))?;
        return Ok(applied);
    }
    let staging = Staging::make(target.tree, target.path())?;
    journal.witness = staging.witness().ok();
    let bytes = staged.iter().map(|one| one.like.attr.size.saturating_add(1)).fold(0, u64::saturating_add);
    let mut report = Report::new(options.progress, &journal, bytes);
    if target.directory.is_some() {
        journal.made_in = Some(staging.numbers().doing("look at", b"")?);
    }
    let mut prepared = || {
        stage::stage(&staging, &staged, &mut report)?;
        let conflicts = expected.differences(&target.tree).doing("look at", b"")?;
        if conflicts.is_empty() { staging.commit(&journal) } else { Err(ApplyError::Conflicts(conflicts)) }
    };
    if let Err(error) = prepared() {
        if staging.journal().is_ok_and(|journal| journal.is_some()) {
            return Err(error.after_all());
        }
        // What can't be removed now is when the next apply finds it.
        let _ = staging.discard();
        return Err(error);
    }
    complete(&staging, &journal, (&mut report, options.settled), warnings, false)
}

/// Does what is written down and isn't done.
fn complete(
    staging: &Staging<'_>,
    journal: &Journal,
    (report, settled): (&mut Report<'_>, Option<&Settled<'_>>),
    warnings: Vec<Warning>,
    resumed: bool,
) -> Result<Applied, ApplyError> {
    let execution = Execution::new(staging, journal);
    execution.place(report)?;
    let mut applied = applied(journal, warnings, resumed);
    if let Some(settled) = settled {
        settled(&applied).map_err(|error| match error {
            ApplyError::Owner { .. } => error,
            other => ApplyError::Owner { why: other.to_string() },
        })?;
    }
    applied.warnings.extend(execution.forget().map_err(Failure::after)?);
    Ok(applied)
}

fn applied(journal: &Journal, warnings: Vec<Warning>, resumed: bool) -> Applied {
    let operations = journal.changes.iter().filter_map(Operation::of_note).collect();
    Applied {
        operations,
        warnings,
        everything: journal.rest.is_none(),
        resumed,
        owner: journal.owner.clone(),
        rest: journal.rest.clone(),
    }
}

impl Directory {
    /// Serves it for changes to be applied to it.
    fn open(&self, cx: &Cx<'_>) -> Result<FilesystemRef, ApplyError> {
        self.with_links(cx, self.host()?)
    }

    fn host(&self) -> Result<FilesystemRef, ApplyError> {
        let is_root = rustix::process::geteuid().is_root();
        let host = Host::builder().one_mount(self.one_mount).no_links(self.no_links).devices(true);
        let host = host
            .owners(is_root)
            .set_id(true)
            .hide_guards(true)
            .open(&self.path)
            .map_err(ApplyError::Directory)?;
        Ok(FilesystemRef::new::<Host>(host))
    }

    /// As its links are shown. To find out about them is to make one.
    fn with_links(&self, cx: &Cx<'_>, host: FilesystemRef) -> Result<FilesystemRef, ApplyError> {
        if !self.emulation {
            return Ok(host);
        }
        SymlinkEmulation::over(cx, host, Keep::HiddenFiles)
            .map_err(|errno| ApplyError::Links { path: self.path.clone(), errno })
    }
}
