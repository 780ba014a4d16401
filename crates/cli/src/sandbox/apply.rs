//! `vnode sandbox apply`.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use vnode_cli::text::shown;
use vnode_sandbox::{Applying, At, ChangeKind, Conflict, Operation, Progress, Store, StoreError, Warning};

use super::options::Apply;
use super::{failure, list};
use crate::diff::json::{self, Moved, Place};
use crate::diff::word;
use crate::failure::{Failure, say};

/// What `apply` ends with when nothing was applied because of conflicts.
const CONFLICTS: u8 = 1;
/// Shorter work shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was done, or would be, for programs.
#[derive(Default, Serialize)]
struct Report {
    /// Whether it was done.
    applied: bool,
    operations: Vec<Told>,
    conflicts: Vec<Clash>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Told {
    kind: &'static str,
    #[serde(flatten)]
    place: Moved,
}

#[derive(Serialize)]
struct Clash {
    #[serde(flatten)]
    place: Place,
    why: String,
}

/// What is to be told, in the order of the mounts, with the guest's paths.
#[derive(Default)]
struct Outcome {
    operations: Vec<Operation>,
    conflicts: Vec<Conflict>,
    warnings: Vec<String>,
}

/// `vnode sandbox apply`.
pub(super) fn apply(store: &Store, options: &Apply) -> Result<ExitCode, Failure> {
    let mut sandbox = store.open(&options.of.name).map_err(failure)?;
    let (chosen, force) = (options.chosen.paths(), options.force);
    let paths = (!chosen.is_empty()).then_some(chosen.as_slice());
    if options.abort {
        let aborted = sandbox.abort().map_err(failure)?;
        if !options.quiet {
            say(if aborted == 0 { "no apply was interrupted" } else { "the interrupted apply was undone" });
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut outcome = Outcome::default();
    if options.dry_run {
        let plans = sandbox.plan(&Applying { paths, force, progress: None }).map_err(failure)?;
        for At { guest, what } in &plans {
            outcome.add(guest, &what.operations, &what.warnings);
            outcome.add_conflicts(guest, &what.conflicts);
        }
    } else {
        // What is overwritten is to be told. Where an apply was interrupted that is completed first, and nothing else.
        if force && let Ok(plans) = sandbox.plan(&Applying { paths, force, progress: None }) {
            plans.iter().for_each(|At { guest, what }| outcome.add_conflicts(guest, &what.conflicts));
        }
        let bar = Bar::new(options.quiet);
        let applying = Applying { paths, force, progress: Some(&|progress| bar.show(progress)) };
        let applied = sandbox.apply(&applying);
        bar.clear();
        match applied {
            Ok(all) => {
                all.iter().for_each(|At { guest, what }| outcome.add(guest, &what.operations, &what.warnings))
            }
            Err(StoreError::Conflicts(all)) => {
                all.iter().for_each(|At { guest, what }| outcome.add_conflicts(guest, what));
            }
            Err(error) => return Err(failure(error)),
        }
    }
    let is_refused = !outcome.conflicts.is_empty() && !force;
    if options.json {
        outcome.print_json(!options.dry_run && !is_refused)?;
    } else {
        outcome.tell(options, is_refused)?;
    }
    Ok(if is_refused { ExitCode::from(CONFLICTS) } else { ExitCode::SUCCESS })
}

impl Outcome {
    fn add(&mut self, guest: &[u8], operations: &[Operation], warnings: &[Warning]) {
        self.operations.extend(operations.iter().map(|operation| Operation {
            path: in_mount(guest, &operation.path),
            from: operation.from.as_ref().map(|from| in_mount(guest, from)),
            ..operation.clone()
        }));
        let place = shown(OsStr::from_bytes(guest));
        self.warnings.extend(warnings.iter().map(|warning| match warning {
            Warning::Completed { .. } => format!("in {place}: {warning}"),
            _ => in_place(guest, warning).to_string(),
        }));
    }

    fn add_conflicts(&mut self, guest: &[u8], conflicts: &[Conflict]) {
        let conflict =
            |conflict: &Conflict| Conflict { path: in_mount(guest, &conflict.path), ..conflict.clone() };
        self.conflicts.extend(conflicts.iter().map(conflict));
    }

    fn print_json(&self, applied: bool) -> Result<(), Failure> {
        let operation = |operation: &Operation| {
            let place = Moved::new(&operation.path, operation.from.as_deref());
            Told { kind: json::kind(operation.kind), place }
        };
        let conflict =
            |conflict: &Conflict| Clash { place: Place::new(&conflict.path), why: conflict.kind.to_string() };
        list::print_json(&Report {
            applied,
            operations: self.operations.iter().map(operation).collect(),
            conflicts: self.conflicts.iter().map(conflict).collect(),
            warnings: self.warnings.clone(),
        })
    }

    fn tell(&self, options: &Apply, is_refused: bool) -> Result<(), Failure> {
        if options.dry_run {
            list::print(&self.operations.iter().map(|operation| line(operation) + "\n").collect::<String>())?;
        }
        self.warnings.iter().for_each(say);
        let conflicts: String = self
            .conflicts
            .iter()
            .map(|conflict| format!("\n  {} ({})", word(&conflict.path), conflict.kind))
            .collect();
        if is_refused {
            say(format_args!(
                "nothing was applied: the host changed meanwhile what is to be changed{conflicts}\n\
                 choose other paths, or overwrite what the host has with --force"
            ));
        } else if !conflicts.is_empty() {
            let does = if options.dry_run { "would overwrite" } else { "overwrote" };
            say(format_args!("--force {does} what the host changed meanwhile:{conflicts}"));
        }
        if !is_refused && !options.quiet && !options.dry_run {
            say(match self.operations.len() {
                0 => "there is nothing to apply".to_owned(),
                1 => "1 change applied".to_owned(),
                count => format!("{count} changes applied"),
            });
        }
        Ok(())
    }
}

/// What is done to one path, in a line.
fn line(Operation { kind, path, from }: &Operation) -> String {
    let path = word(path);
    match (kind, from) {
        (ChangeKind::Added, _) => format!("add {path}"),
        (ChangeKind::Removed, _) => format!("remove {path}"),
        (ChangeKind::Renamed, Some(from)) => format!("rename {} to {path}", word(from)),
        (ChangeKind::Renamed, None) => format!("rename to {path}"),
        (ChangeKind::TypeChanged | ChangeKind::Modified, _) => format!("replace {path}"),
        (ChangeKind::Attributes, _) => format!("change the attributes of {path}"),
        (ChangeKind::Relinked, _) => format!("change the hard links of {path}"),
    }
}

/// A warning with the guest's paths.
fn in_place(guest: &[u8], warning: &Warning) -> Warning {
    let mut warning = warning.clone();
    let (path, place) = match &mut warning {
        Warning::Kept { path, place } => (Some(path), Some(place)),
        Warning::LinkedOutside { path }
        | Warning::SetId { path }
        | Warning::Device { path }
        | Warning::Left { path } => (Some(path), None),
        _ => (None, None),
    };
    for path in [path, place].into_iter().flatten() {
        *path = in_mount(guest, path);
    }
    warning
}

/// The guest's path of what is in a mount.
fn in_mount(guest: &[u8], path: &[u8]) -> Vec<u8> {
    [guest.strip_suffix(b"/").unwrap_or(guest), path].concat()
}

/// A bar on a terminal for what takes long; nothing elsewhere.
struct Bar {
    hidden: bool,
    start: Instant,
    bar: OnceCell<ProgressBar>,
}

impl Bar {
    fn new(quiet: bool) -> Bar {
        Bar {
            hidden: quiet || !vnode_cli::text::takes_progress(),
            start: Instant::now(),
            bar: OnceCell::new(),
        }
    }

    fn show(&self, Progress { total, done }: Progress) {
        if self.hidden || self.start.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_init(|| {
            let style = ProgressStyle::with_template("vnode: applying {wide_bar} {percent}%");
            ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_position(done);
    }

    fn clear(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
