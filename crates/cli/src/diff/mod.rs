//! What was changed, told as `git status --short` and `git diff` tell it.
//!
//! * `options` - which of the forms, in what colours, of which paths; `entry` - the changes of all mounts, by the guest's
//!   paths.
//! * `short` - a line for each; `patch` - with the content; `stat` - how many lines; `json` - for programs.
//! * `content` - what is in a file, as far as it is to be shown; `lines` - which lines differ; `quote` and `paint` - names
//!   and content made fit for a terminal.
//!
//! All of it is a guest's: names and targets are quoted, content has no control characters on a terminal, and what is read
//! at once is bounded.

mod content;
mod entry;
pub(crate) mod json;
mod lines;
mod options;
mod paint;
mod patch;
mod quote;
mod short;
mod stat;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use vnode_core::{Cx, Errno};
use vnode_sandbox::{Change, ChangeKind};

pub(crate) use entry::MountChanges;
#[cfg(test)]
pub(crate) use options::Colour;
pub(crate) use options::{DiffArgs, DiffOptions, Form};
pub(crate) use quote::word;

use paint::Paint;

/// Where the changes are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    /// No character of a file's may drive it.
    pub(crate) is_terminal: bool,
    /// How wide it is; 80 where nobody knows.
    pub(crate) columns: usize,
}

impl Screen {
    /// What a stream writes to.
    pub(crate) fn of(stream: &(impl io::IsTerminal + AsFd)) -> Screen {
        let width = rustix::termios::tcgetwinsize(stream).map(|size| usize::from(size.ws_col));
        let columns = width.ok().filter(|columns| *columns > 0).unwrap_or(80);
        Screen { is_terminal: stream.is_terminal(), columns }
    }
}

/// What kept changes from being told.
#[derive(Debug)]
pub(crate) enum DiffError {
    /// What was changed can't be read.
    Read {
        /// The guest's path, quoted.
        path: String,
        errno: Errno,
    },
    /// It can't be written down. `BrokenPipe`: who reads it has read enough.
    Write(io::Error),
}

impl fmt::Display for DiffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiffError::Read { path, errno } => write!(f, "can't read {path}: {errno}"),
            DiffError::Write(error) => write!(f, "can't write the changes: {error}"),
        }
    }
}

impl From<io::Error> for DiffError {
    fn from(error: io::Error) -> Self {
        DiffError::Write(error)
    }
}

/// Writes what was changed.
///
/// # Errors
/// A file that was changed can't be read; `out` can't be written to.
pub(crate) fn write(
    cx: &Cx<'_>,
    mounts: &[MountChanges<'_>],
    options: &DiffOptions,
    screen: Screen,
    out: &mut dyn io::Write,
) -> Result<(), DiffError> {
    let paint = Paint { colour: options.colour.is_on(screen.is_terminal), is_terminal: screen.is_terminal };
    let entries = entry::entries(mounts, &options.paths);
    let along = || entry::Along::of(mounts, &options.paths);
    match options.form {
        Form::Short => short::write(cx, entries, paint, out),
        Form::Patch => patch::write(cx, &along(), entries, paint, out),
        Form::Stat => stat::write(cx, &along(), entries, paint, screen.columns, out),
        Form::Json => json::write(cx, entries, out),
    }?;
    Ok(out.flush()?)
}

/// Whether there is anything to tell.
pub(crate) fn is_empty(mounts: &[MountChanges<'_>], paths: &[Vec<u8>]) -> bool {
    entry::entries(mounts, paths).next().is_none()
}

/// All of it in a few words: `3 added, 1 modified, 2 deleted`.
pub(crate) fn summary<'a>(changes: impl IntoIterator<Item = &'a Change>) -> String {
    let mut counts = BTreeMap::new();
    for change in changes {
        let (place, words) = match change.kind {
            ChangeKind::Added => (0, "added"),
            ChangeKind::Modified => (1, "modified"),
            ChangeKind::Removed => (2, "deleted"),
            ChangeKind::Renamed => (3, "renamed"),
            ChangeKind::TypeChanged => (4, "of another type"),
            ChangeKind::Attributes => (5, "with other attributes"),
            ChangeKind::Relinked => (6, "with other hard links"),
        };
        counts.entry((place, words)).and_modify(|count| *count += 1).or_insert(1_u64);
    }
    if counts.is_empty() {
        return "nothing changed".to_owned();
    }
    let told: Vec<String> =
        counts.into_iter().map(|((_, words), count)| format!("{count} {words}")).collect();
    told.join(", ")
}
