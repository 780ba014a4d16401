//! What keeps a sandbox from being opened or changed.

use std::path::{Path, PathBuf};

use vnode_core::Errno;

use super::applying::At;
use crate::apply::{ApplyError, Conflict};
use crate::encoded::encode;
use crate::error::ViewError;

/// What keeps a sandbox from being opened or changed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No sandbox can have this name.
    #[error(
        "\"{name}\" is no name for a sandbox; write 1 to 64 letters, digits, \"-\", \"_\" and \".\", beginning with a letter \
         or a digit"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// There is one of this name.
    #[error(
        "there is a sandbox {name} already; take another name, or delete it (vnode sandbox delete {name})"
    )]
    Exists {
        /// Its name.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no sandbox {name}{}", others(others_there))]
    Missing {
        /// The name.
        name: String,
        /// Those that are there.
        others_there: Vec<String>,
    },
    /// Another process has it, or a view of it is still open in this one.
    #[error("sandbox {name} is in use{}; wait until that ends", by(*process))]
    InUse {
        /// Its name.
        name: String,
        /// The process that has it, if it said so.
        process: Option<u32>,
    },
    /// An apply of it was begun and not completed.
    #[error(
        "an apply of sandbox {name} to {} was interrupted; complete it first: vnode sandbox apply {name}",
        directory.display()
    )]
    Interrupted {
        /// Its name.
        name: String,
        /// The directory that it was applied to.
        directory: PathBuf,
    },
    /// What is kept of it isn't as it is written.
    #[error("{} is damaged: {why}; restore it, or delete the sandbox", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It was made by a later version.
    #[error("{} was written by a later version of vnode, in format {version}; use that", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The format's number.
        version: u32,
    },
    /// Some of its changes were applied, and there is no room to put the others in order.
    #[error(
        "there is no room in {} for what is left of sandbox {name} after a part was applied; make some, discard \
         all of it or delete it",
        directory.display()
    )]
    Full {
        /// Its name.
        name: String,
        /// Where sandboxes are kept.
        directory: PathBuf,
    },
    /// There is nothing that it could show: a mount without a directory or an archive, or no mount.
    #[error("a sandbox needs something to show: {what}")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// A directory that it shows was replaced by a symbolic link, or one that that is in: it leads to another one.
    #[error(
        "{} was replaced by a link, or a directory that it is in; put it back, or delete the sandbox",
        directory.display()
    )]
    Replaced {
        /// The directory.
        directory: PathBuf,
    },
    /// A path of the guest's isn't absolute, or has empty names, `.` or `..` in it.
    #[error(
        "{} is no path of a guest: write an absolute one, without \"//\", \".\", \"..\" and a slash at the end",
        encode(path)
    )]
    Path {
        /// The path.
        path: Vec<u8>,
    },
    /// A directory or an archive that it is to show is told by a path that isn't absolute, which means another one elsewhere.
    #[error("{} is not absolute", path.display())]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// Two of its mounts are at one place.
    #[error("two mounts are on {}", encode(guest))]
    Twice {
        /// Where.
        guest: Vec<u8>,
    },
    /// It is not known where sandboxes are kept.
    #[error("there is no place for sandboxes; set XDG_STATE_HOME or HOME to an absolute path")]
    NoHome,
    /// A file or directory of it can't be read or written.
    #[error("can't {action} {}: {errno}", path.display())]
    Host {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// `EACCES`, `ENOSPC`, `EROFS`, `EIO` and others.
        errno: Errno,
    },
    /// One of its views can't be opened.
    #[error("{}: {error}", encode(guest))]
    View {
        /// Where it is mounted.
        guest: Vec<u8>,
        /// Why not.
        error: ViewError,
    },
    /// Nothing was changed at a path that was given, nor below it.
    #[error("nothing was changed at {}", encode(path))]
    Unchanged {
        /// The guest's path.
        path: Vec<u8>,
    },
    /// It can't be told what was changed.
    #[error("{}: can't tell what was changed: {errno}", encode(guest))]
    Changes {
        /// Where it is mounted.
        guest: Vec<u8>,
        /// Why not.
        errno: Errno,
    },
    /// The directories were changed since the sandbox first saw them, where it changed something.
    #[error("the host changed meanwhile what is to be applied")]
    Conflicts(Vec<At<Vec<Conflict>>>),
    /// Changes can't be applied.
    #[error("{}: {error}", encode(guest))]
    Apply {
        /// Where they are mounted.
        guest: Vec<u8>,
        /// Why not.
        error: ApplyError,
    },
    /// An archive that it shows can't be served.
    #[error("can't serve {}: {why}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

fn by(process: Option<u32>) -> String {
    process.map(|process| format!(" by process {process}")).unwrap_or_default()
}

fn others(names: &[String]) -> String {
    const MOST: usize = 5;
    match names {
        [] => "; there are none yet".to_owned(),
        [one] => format!("; there is {one}"),
        names if names.len() <= MOST => format!("; there are {}", names.join(", ")),
        names => {
            let first = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("; there are {first} and {} more (vnode sandbox list)", names.len() - MOST)
        }
    }
}

impl StoreError {
    /// Whether there was no room for what is to be kept: `ENOSPC`, `EDQUOT`.
    pub(super) fn is_no_room(&self) -> bool {
        let errno = match self {
            StoreError::Host { errno, .. } | StoreError::Changes { errno, .. } => *errno,
            StoreError::Apply { error: ApplyError::Filesystem { errno, .. }, .. } => *errno,
            _ => return false,
        };
        matches!(errno, Errno::NOSPC | Errno::DQUOT)
    }

    /// What to turn a failed call of the host's into.
    pub(super) fn host<E: Into<rustix::io::Errno>>(
        action: &'static str,
        path: &Path,
    ) -> impl Fn(E) -> StoreError + Copy {
        let path = path.as_os_str();
        move |error| StoreError::Host {
            action,
            path: PathBuf::from(path),
            errno: Errno::from_host(error.into().raw_os_error()),
        }
    }
}
