//! Why changes were not applied.

use core::fmt;
use std::path::PathBuf;

use vnode_core::Errno;
use vnode_host::HostError;

use super::Owner;
use crate::paths::shown;

/// What keeps changes from being applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The directory is not as it was when it was first touched: nothing was changed.
    #[error("{} in the directory changed meanwhile: {}", count(.0.len()), list(.0))]
    Conflicts(Vec<Conflict>),
    /// This user may not change some of what is to be changed: nothing was.
    #[error("{} can't be changed by this user: {}; nothing was changed", count(.0.len()), list_paths(.0))]
    Denied(Vec<Vec<u8>>),
    /// Some of what is to be changed, or where that is, is immutable or append-only (`chattr(1)`): nothing was.
    #[error(
        "{} can't be changed, being immutable or append-only: {}; see chattr(1); nothing was changed",
        count(.0.len()),
        list_paths(.0)
    )]
    Sealed(Vec<Vec<u8>>),
    /// Another apply to the directory was interrupted, and its owner is to complete it: nothing was changed.
    #[error(
        "an apply of {} to {} was interrupted; complete that first", owner.id, directory.display()
    )]
    Interrupted {
        /// The directory.
        directory: PathBuf,
        /// Whose it is.
        owner: Owner,
    },
    /// What is to leave its place in the directory was all taken out, and new things may be in place.
    #[error("the apply to {} has come too far to be undone; apply again to complete it", directory.display())]
    TooLate {
        /// The directory.
        directory: PathBuf,
    },
    /// Something new is where an apply that is undone took something from. What could be put back was.
    #[error(
        "{} is new since something was taken from there, which can't be put back so; rename it, and abort again",
        shown(path)
    )]
    InTheWay {
        /// What is new.
        path: Vec<u8>,
    },
    /// Another apply to the directory goes on: nothing was changed.
    #[error("something else is being applied to {}; wait until that ends", directory.display())]
    Busy {
        /// The directory.
        directory: PathBuf,
    },
    /// A call failed: nothing was changed.
    #[error("can't {operation} {}: {errno}; nothing was changed", shown(path))]
    Filesystem {
        /// Where, from the directory.
        path: Vec<u8>,
        /// What was tried.
        operation: &'static str,
        /// `ENOSPC`: no room; `EACCES`, `EROFS`, `EIO` and others. `EINTR`: canceled.
        errno: Errno,
    },
    /// A call failed after some changes were made. The rest is written down, and applying again completes it.
    #[error(
        "can't {operation} {}: {errno}; some changes were made, apply again to complete them",
        shown(path)
    )]
    Unfinished {
        /// Where, from the directory.
        path: Vec<u8>,
        /// What was tried.
        operation: &'static str,
        /// Why.
        errno: Errno,
    },
    /// A call failed while an apply was undone. Aborting again goes on with that.
    #[error("can't {operation} {}: {errno}; not all was undone, abort again", shown(path))]
    Undoing {
        /// Where, from the directory.
        path: Vec<u8>,
        /// What was tried.
        operation: &'static str,
        /// Why.
        errno: Errno,
    },
    /// The view doesn't show one directory of the host.
    #[error("the changes are not of one directory of the host; there is none to apply them to")]
    NotOneDirectory,
    /// The path of the directory leads to another one than when the view was opened: nothing was changed.
    #[error("{} is another directory by now than the one that was changed", directory.display())]
    OtherDirectory {
        /// The path.
        directory: PathBuf,
    },
    /// The directory, or what was changed, has another `.vnode-apply`, which is where an apply prepares what it does.
    #[error("{} is in the way of applying, and nothing that an apply made; rename it", shown(path))]
    Reserved {
        /// What is in the way.
        path: Vec<u8>,
    },
    /// What an interrupted apply seems to have left isn't this user's alone, or was made elsewhere: it may have come with the
    /// directory.
    #[error(
        "{}/.vnode-apply wasn't made here by this user ({why}), so it isn't completed; look at it, and remove it",
        directory.display()
    )]
    Untrusted {
        /// The directory.
        directory: PathBuf,
        /// What says so.
        why: &'static str,
    },
    /// Something would be moved to where another filesystem is mounted, or from there: nothing was changed.
    #[error("{} is on another filesystem than the directory; nothing can be moved there", shown(path))]
    OtherMount {
        /// What is.
        path: Vec<u8>,
    },
    /// What an interrupted apply wrote down can't be read: it was another version, or is damaged.
    #[error("what an interrupted apply wrote to .vnode-apply can't be read: {why}")]
    Journal {
        /// Why.
        why: String,
    },
    /// Everything was applied, and who owns the changes could not clear them: applying again does that.
    #[error("everything was applied, but what kept the changes can't be cleared: {why}; apply again")]
    Owner {
        /// Why not.
        why: String,
    },
    /// The directory can't be served.
    #[error("{0}")]
    Directory(HostError),
    /// The links that are kept for the directory can't be found out.
    #[error("can't emulate symbolic links in {}: {errno}", path.display())]
    Links {
        /// Which directory.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
}

/// A change that doesn't fit what the directory has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where, from the directory.
    pub path: Vec<u8>,
    /// What doesn't fit.
    pub kind: ConflictKind,
}

/// How a change doesn't fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConflictKind {
    /// It is not what it was when it was first touched.
    Changed,
    /// It is gone, or the directory is that it was in.
    Deleted,
    /// Something new is where something is to be put.
    Appeared,
    /// Something new is in a directory that is to be removed.
    NotEmpty,
    /// Nobody wrote down what was there when it was first touched.
    Unrecorded,
    /// It changed while the changes were prepared.
    ChangedJustNow,
    /// Another mount of the sandbox shows the same directory, and was changed there too.
    Twice,
    /// The directory itself is another one than when it was chosen.
    OtherDirectory,
}

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConflictKind::Changed => "changed since",
            ConflictKind::Deleted => "deleted since",
            ConflictKind::Appeared => "new since",
            ConflictKind::NotEmpty => "new in a directory to be removed",
            ConflictKind::Unrecorded => "made since, or not known to be as it was",
            ConflictKind::ChangedJustNow => "changed just now",
            ConflictKind::Twice => "changed by way of two mounts",
            ConflictKind::OtherDirectory => "another directory by now",
        })
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", shown(&self.path), self.kind)
    }
}

/// Conflicts that are named in a message.
const NAMED: usize = 5;

fn count(conflicts: usize) -> String {
    if conflicts == 1 { "1 name".to_owned() } else { format!("{conflicts} names") }
}

fn list(conflicts: &[Conflict]) -> String {
    let named: Vec<_> = conflicts.iter().take(NAMED).map(Conflict::to_string).collect();
    let more = if conflicts.len() > NAMED { ", ..." } else { "" };
    format!("{}{more}", named.join(", "))
}

impl ApplyError {
    /// It is written down what is to be done, whatever failed.
    pub(crate) fn after_all(self) -> Self {
        match self {
            ApplyError::Filesystem { path, operation, errno } => {
                ApplyError::Unfinished { path, operation, errno }
            }
            other => other,
        }
    }
}

fn list_paths(paths: &[Vec<u8>]) -> String {
    let named: Vec<_> = paths.iter().take(NAMED).map(|path| shown(path)).collect();
    let more = if paths.len() > NAMED { ", ..." } else { "" };
    format!("{}{more}", named.join(", "))
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    path: Vec<u8>,
    operation: &'static str,
    errno: Errno,
}

impl Failure {
    /// Before the changes were written down.
    pub(crate) fn before(self) -> ApplyError {
        let Failure { path, operation, errno } = self;
        ApplyError::Filesystem { path, operation, errno }
    }

    /// Whether the same call may be made later: for want of room, say.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self.errno,
            Errno::NOSPC
                | Errno::DQUOT
                | Errno::IO
                | Errno::INTR
                | Errno::NOMEM
                | Errno::NFILE
                | Errno::MFILE
        )
    }

    /// While what was done is undone.
    pub(crate) fn undoing(self) -> ApplyError {
        let Failure { path, operation, errno } = self;
        match errno {
            Errno::EXIST => ApplyError::InTheWay { path },
            _ => ApplyError::Undoing { path, operation, errno },
        }
    }

    /// After that.
    pub(crate) fn after(self) -> ApplyError {
        let Failure { path, operation, errno } = self;
        ApplyError::Unfinished { path, operation, errno }
    }
}

impl From<Failure> for ApplyError {
    fn from(failure: Failure) -> Self {
        failure.before()
    }
}

/// Says what was tried.
pub(crate) trait Doing<T> {
    /// The same, and what was tried if it failed.
    fn doing(self, operation: &'static str, path: &[u8]) -> Result<T, Failure>;
}

impl<T> Doing<T> for vnode_core::Result<T> {
    fn doing(self, operation: &'static str, path: &[u8]) -> Result<T, Failure> {
        self.map_err(|errno| Failure { path: path.to_vec(), operation, errno })
    }
}
