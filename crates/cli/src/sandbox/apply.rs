//! `vnode sandbox apply`.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use vnode_cli::text::{shown, without_controls};
use vnode_sandbox::{Applying, At, Conflict, Operation, Plan, Progress, Store, StoreError, Warning};

use super::options::Apply;
use super::{failure, list};
use crate::failure::{Failure, say};

/// What `apply` ends with when nothing was applied because of conflicts.
const CONFLICTS: u8 = 1;
/// Shorter work shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// `vnode sandbox apply`.
pub(super) fn apply(store: &Store, options: &Apply) -> Result<ExitCode, Failure> {
    let mut sandbox = store.open(&options.of.name).map_err(failure)?;
    let (paths, force) = (options.chosen.paths(), options.force);
    if options.dry_run {
        let plans = sandbox.plan(&Applying { paths: &paths, force, progress: None }).map_err(failure)?;
        return tell(&plans, force);
    }
    let bar = Bar::new(options.quiet);
    let applied =
        sandbox.apply(&Applying { paths: &paths, force, progress: Some(&|progress| bar.show(progress)) });
    bar.clear();
    let applied = match applied {
        Err(StoreError::Conflicts(conflicts)) => {
            tell_conflicts(&conflicts);
            return Ok(ExitCode::from(CONFLICTS));
        }
        applied => applied.map_err(failure)?,
    };
    let mut count = 0;
    for At { guest, what } in &applied {
        tell_warnings(guest, &what.warnings);
        count += what.operations.len();
    }
    if !options.quiet {
        say(match count {
            0 => "there is nothing to apply".to_owned(),
            1 => "1 change applied".to_owned(),
            count => format!("{count} changes applied"),
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what would be done.
fn tell(plans: &[At<Plan>], force: bool) -> Result<ExitCode, Failure> {
    let mut text = String::new();
    for At { guest, what } in plans {
        for operation in &what.operations {
            let operation = Operation {
                path: in_mount(guest, &operation.path),
                from: operation.from.as_ref().map(|from| in_mount(guest, from)),
                ..operation.clone()
            };
            text += &without_controls(&format!("{operation}"));
            text.push('\n');
        }
        tell_warnings(guest, &what.warnings);
    }
    list::print(&text)?;
    let conflicts =
        plans.iter().map(|At { guest, what }| At { guest: guest.clone(), what: what.conflicts.clone() });
    let conflicts: Vec<_> = conflicts.filter(|at| !at.what.is_empty()).collect();
    if conflicts.is_empty() || force {
        return Ok(ExitCode::SUCCESS);
    }
    tell_conflicts(&conflicts);
    Ok(ExitCode::from(CONFLICTS))
}

fn tell_conflicts(conflicts: &[At<Vec<Conflict>>]) {
    let mut text = "nothing was applied: the host changed meanwhile what is to be changed".to_owned();
    for At { guest, what } in conflicts {
        for conflict in what {
            let conflict = Conflict { path: in_mount(guest, &conflict.path), ..conflict.clone() };
            text += &format!("\n  {conflict}");
        }
    }
    say(text + "\nchoose other paths, or overwrite what the host has with --force");
}

fn tell_warnings(guest: &[u8], warnings: &[Warning]) {
    for warning in warnings {
        say(format_args!("in {}: {warning}", shown(OsStr::from_bytes(guest))));
    }
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
