//! `vnode sandbox`: its commands and their help.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, Subcommand, ValueEnum};

use crate::diff::DiffArgs;
use crate::mounts::GuestPath;
use crate::quantity;

/// What is to be done with sandboxes.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Action {
    /// List the sandboxes: what they show, what they take on disk, by themselves and shared with forks, when they were used
    /// last
    #[command(visible_alias = "ls")]
    List {
        /// Write one JSON array, for programs
        #[arg(long)]
        json: bool,
    },
    /// Tell what is known of a sandbox
    Show {
        #[command(flatten)]
        of: Of,
        /// Write one JSON object, for programs
        #[arg(long)]
        json: bool,
    },
    /// Tell what guests changed in a sandbox
    #[command(long_about = DIFF_ABOUT)]
    Diff {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        diff: DiffArgs,
        /// End with 1 if there are changes
        #[arg(long)]
        exit_code: bool,
    },
    /// Bring the changes to the host's directories
    #[command(long_about = APPLY_ABOUT)]
    Apply(Apply),
    /// Drop the changes
    #[command(long_about = DISCARD_ABOUT)]
    Discard {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Make another sandbox with the same changes; what is changed in one from then on, the other doesn't see
    Fork {
        #[command(flatten)]
        of: Of,
        /// The new one's name
        #[arg(value_name = "NEW")]
        to: String,
    },
    /// Write the changes as a tar archive
    #[command(long_about = EXPORT_ABOUT)]
    Export(Export),
    /// Take a mount away, with what was changed there
    Unmount {
        #[command(flatten)]
        of: Of,
        /// Where the guest sees it
        #[arg(value_name = "GUEST", value_parser = guest_path())]
        guest: GuestPath,
    },
    /// Give a sandbox another name
    #[command(visible_alias = "mv")]
    Rename {
        #[command(flatten)]
        of: Of,
        /// Its new name
        #[arg(value_name = "NEW")]
        to: String,
    },
    /// Delete sandboxes with their changes
    #[command(visible_alias = "rm")]
    Delete {
        /// Their names
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// Also where an apply was interrupted: that is undone, or, if it came too far, completed by the next apply to the
        /// directory, of any sandbox
        #[arg(short, long)]
        force: bool,
    },
    /// Delete the sandboxes that nobody used for a time, and what interrupted commands left
    Prune {
        /// Delete sandboxes that were not used for so long (30d, 12h); without it none is
        #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
        unused_for: Option<Duration>,
        /// Only tell what would be deleted
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
}

/// Which sandbox.
#[derive(Clone, Debug, Args)]
pub(crate) struct Of {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Which of its changes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Chosen {
    /// Only these, and what is below them: paths of the guest's
    #[arg(value_name = "PATH", value_parser = guest_path(), action = ArgAction::Append)]
    paths: Vec<GuestPath>,
}

impl Chosen {
    /// The guest's paths, absolute; none for all.
    pub(crate) fn paths(&self) -> Vec<Vec<u8>> {
        self.paths.iter().map(|path| path.absolute().to_vec()).collect()
    }
}

/// See [`Action::Apply`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) of: Of,
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// Only tell what would be done
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Apply also where the host changed meanwhile: what it has there is lost
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Undo an apply that was interrupted, where that can be: the directory is as it was before it
    #[arg(long, conflicts_with_all = ["dry_run", "force", "json", "paths"])]
    pub(crate) abort: bool,
    /// Tell what was done, or would be, as one JSON object, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// See [`Action::Export`].
#[derive(Clone, Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) of: Of,
    /// What is written
    #[arg(long, value_name = "FORMAT", default_value = "oci")]
    pub(crate) format: Format,
    /// The file to write; stdout, if not given or -
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Leave out what matches, as in .gitignore (*.o, target/, /cache/**)
    #[arg(long, value_name = "PATTERN", action = ArgAction::Append)]
    pub(crate) exclude: Vec<String>,
    /// Keep the files' times; without it they are $SOURCE_DATE_EPOCH or 0, so that the same changes are the same bytes
    #[arg(long)]
    pub(crate) keep_times: bool,
    /// Of several mounts, the one at this place of the guest's
    #[arg(long, value_name = "GUEST", value_parser = guest_path())]
    pub(crate) mount: Option<GuestPath>,
}

/// What an export has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A layer of a container image: what is new or changed, and whiteouts (.wh.NAME) for what was removed
    Oci,
    /// What is new or changed
    Tar,
    /// Everything that the sandbox shows
    Tree,
}

fn guest_path() -> impl TypedValueParser<Value = GuestPath> {
    OsStringValueParser::new().try_map(|text| GuestPath::new(OsStr::new(&text)))
}

pub(crate) const ABOUT: &str = "\
Keep, see, apply and discard what guests changed.

A sandbox shows directories of the host, and keeps what guests change in them for itself: the host's files stay as they are \
until the changes are applied. It is made by vnode run --sandbox NAME, or --keep NAME, and later runs with that name \
go on with it. Everything of it is under $XDG_STATE_HOME/vnode (~/.local/state/vnode).";

pub(crate) const AFTER_HELP: &str = "\
Examples:
  vnode run --sandbox try --overlay . --cwd . tool.wasm --fix
      Run a program on a view of this directory. The directory stays as it is.
  vnode run --sandbox try tool.wasm --again
      Once more, on what it left. The mounts are the sandbox's.
  vnode sandbox diff try
      What it changed: a line for each path. -p shows it as a patch, --stat counts lines.
  vnode sandbox apply try src
      Bring what it did in src to the host's directory; without src, everything. What was changed on
      the host meanwhile is not overwritten: that is a conflict, and nothing is applied.
  vnode sandbox discard try
      Drop the rest. The sandbox is there, and shows what the host has.
  vnode sandbox fork try other
      A second sandbox with the same changes, at no cost.
  vnode sandbox export try -o layer.tar
      The changes as a layer of a container image.
  vnode run --overlay . --diff --keep try tool.wasm
      Without a name, changes are dropped at the end; --keep gives them one then.

Exit codes:
  0      done
  1      apply: conflicts, and nothing was applied; diff: changes, with --exit-code
  125    wrong usage, or it can't be done";

const DIFF_ABOUT: &str = "\
Tell what guests changed in a sandbox, in all runs since it was made, applied or discarded.

A line for each path: A added, D deleted, M content changed, m permissions, owner or attributes changed, T type changed, \
R renamed, L hard links changed and nothing else. Times alone are no change. \
A file that was changed by one of its hard links shows it by all of them: only the one is listed.";

const APPLY_ABOUT: &str = "\
Bring the changes to the host's directories, all of them or those at PATH and below. The sandbox shows what the directories \
have then.

First everything new is written beside its place, in .vnode-apply of the directory; then it is renamed into place. If that is \
interrupted, the same command completes it, or --abort undoes it if it hasn't come far. Where the host's files are not as the sandbox first saw them nothing is applied, and the \
conflicts are listed: choose other paths, or overwrite the host's with --force. Links are applied as links; nothing is ever \
written outside the directory.";

const DISCARD_ABOUT: &str = "\
Drop the changes, all of them or those at PATH and below: the sandbox shows what the host's directories have. Of a part of \
them, the others are copied: where there is no room for that, discard all or apply some.";

const EXPORT_ABOUT: &str = "\
Write the changes as a tar archive: the same changes are the same bytes.";
