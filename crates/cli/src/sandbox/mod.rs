//! Sandboxes: `vnode sandbox`, and `vnode run` in one.
//!
//! * `options` - the commands' options and help; `list` - `list` and `show`; `change` - what changes sandboxes; `apply`,
//!   `export`.
//! * `session` - the sandbox of a run, and what is told when it ends.

mod apply;
mod change;
mod export;
mod list;
mod options;
mod session;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use vnode_core::Cx;
use vnode_sandbox::{Mounted, Sandbox, Store, StoreError, as_root};

use crate::diff::{self, DiffError, DiffOptions, MountChanges, Screen};
use crate::failure::Failure;

pub(crate) use options::{ABOUT, AFTER_HELP, Action};
pub(crate) use session::{Changed, Session};

/// What `diff --exit-code` ends with if there are changes.
const DIFFERS: u8 = 1;

/// Does what is asked for; answers the exit code.
///
/// # Errors
/// It can't be done.
pub(crate) fn run(action: Action) -> Result<ExitCode, Failure> {
    let store = Store::of_user().map_err(failure)?;
    let done = |()| ExitCode::SUCCESS;
    match action {
        Action::List { json } => list::list(&store, json).map(done),
        Action::Show { of, json } => list::show(&store, &of.name, json).map(done),
        Action::Diff { of, diff, exit_code } => {
            let differs = self::diff(&store, &of.name, &DiffOptions::from(&diff))?;
            Ok(if differs && exit_code { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS })
        }
        Action::Discard { of, chosen } => change::discard(&store, &of.name, &chosen.paths()).map(done),
        Action::Fork { of, to } => {
            store.open(&of.name).and_then(|mut of| of.fork(&to)).map_err(failure).map(|_| ExitCode::SUCCESS)
        }
        Action::Unmount { of, guest } => change::unmount(&store, &of.name, &guest).map(done),
        Action::Rename { of, to } => store.rename(&of.name, &to).map_err(failure).map(done),
        Action::Delete { names, force } => change::delete(&store, &names, force).map(done),
        Action::Prune { unused_for, dry_run } => change::prune(&store, unused_for, dry_run).map(done),
        Action::Apply(options) => apply::apply(&store, &options),
        Action::Export(options) => export::export(&store, &options).map(done),
    }
}

fn failure(error: StoreError) -> Failure {
    let hint = match error {
        StoreError::Unchanged { .. } => "; vnode sandbox diff tells what was",
        _ => "",
    };
    Failure::setup(format!("{error}{hint}"))
}

/// Where changes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Stdout,
    Stderr,
}

/// Tells changes; whoever closes the pipe has read enough.
fn tell(
    cx: &Cx<'_>,
    mounts: &[MountChanges<'_>],
    options: &DiffOptions,
    output: Output,
) -> Result<(), DiffError> {
    let (screen, out): (Screen, Box<dyn Write>) = match output {
        Output::Stdout => (Screen::of(&std::io::stdout()), Box::new(std::io::stdout().lock())),
        Output::Stderr => (Screen::of(&std::io::stderr()), Box::new(std::io::stderr().lock())),
    };
    let mut out = std::io::BufWriter::new(out);
    let told = diff::write(cx, mounts, options, screen, &mut out).and_then(|()| Ok(out.flush()?));
    match told {
        Err(DiffError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}

/// `vnode sandbox diff`; answers whether there was something to tell.
fn diff(store: &Store, name: &str, options: &DiffOptions) -> Result<bool, Failure> {
    let sandbox = store.open(name).map_err(failure)?;
    let views = sandbox.views().map_err(failure)?;
    for path in &options.paths {
        check_mounted(&sandbox, path)?;
    }
    let changes = views.iter().map(Mounted::changes).collect::<Result<Vec<_>, _>>().map_err(failure)?;
    as_root(|cx| {
        let mounts: Vec<_> = views
            .iter()
            .zip(&changes)
            .map(|(mounted, changes)| MountChanges { mount: &mounted.guest, changes })
            .collect();
        tell(cx, &mounts, options, Output::Stdout).map_err(|error| Failure::setup(error.to_string()))?;
        Ok(!diff::is_empty(&mounts, &options.paths))
    })
}

/// Refuses a path of the guest's at and below which no mount of the sandbox has anything.
fn check_mounted(sandbox: &Sandbox, path: &[u8]) -> Result<(), Failure> {
    let is_in = |path: &[u8], dir: &[u8]| {
        let rest = path.strip_prefix(dir.strip_suffix(b"/").unwrap_or(dir));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    if sandbox.mounts().any(|mount| is_in(path, &mount.guest) || is_in(&mount.guest, path)) {
        return Ok(());
    }
    let shown = |path: &[u8]| vnode_cli::text::shown(OsStr::from_bytes(path));
    let mounts: Vec<String> = sandbox.mounts().map(|mount| shown(&mount.guest)).collect();
    Err(Failure::setup(format!(
        "{} is in none of the mounts of sandbox {}: {}",
        shown(path),
        sandbox.name(),
        mounts.join(", ")
    )))
}
