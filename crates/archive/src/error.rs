//! What can be wrong with an archive.

use std::io;

use thiserror::Error;
use vnode_core::Errno;

/// Why an archive can't be opened. Each says in a sentence what is wrong, and with which member if it is one's.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file can't be read, or its compressed content not be put anywhere.
    #[error("{0}")]
    Read(#[source] io::Error),
    /// It is a file, but no archive.
    #[error("it is neither a tar archive nor a zip archive")]
    NoArchive,
    /// It is compressed with a program whose format vnode doesn't know.
    #[error("it is compressed with {program}; unpack it first ({program} -d)")]
    Compressed {
        /// The program that unpacks it.
        program: &'static str,
    },
    /// What is compressed is more than [`ArchiveBuilder::max_bytes`](crate::ArchiveBuilder::max_bytes) allows.
    #[error("it unpacks to more than {max_bytes} bytes")]
    TooLarge {
        /// How much is allowed.
        max_bytes: u64,
    },
    /// There are more names than [`ArchiveBuilder::max_inodes`](crate::ArchiveBuilder::max_inodes) allows.
    #[error("it has more than {max_inodes} files")]
    TooMany {
        /// How many are allowed.
        max_inodes: u64,
    },
    /// The names, targets, attributes and maps of all members together take too much memory.
    #[error("the names and attributes of its files take more than {} MiB", max_bytes >> 20)]
    TooLong {
        /// How much is allowed.
        max_bytes: u64,
    },
    /// The path of a member can't be.
    #[error("{}: {problem}", path.escape_ascii())]
    Path {
        /// The member's path.
        path: Vec<u8>,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// A member can't be what it says.
    #[error("{}: {what}", path.escape_ascii())]
    Member {
        /// The member's path.
        path: Vec<u8>,
        /// What is wrong with it.
        what: String,
    },
    /// Who was told of the progress had it end.
    #[error("interrupted")]
    Interrupted,
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        ArchiveError::Read(error)
    }
}

/// What is wrong with a member's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathProblem {
    /// There is none.
    #[error("the path is empty")]
    Empty,
    /// It starts with a slash.
    #[error("the path is absolute")]
    Absolute,
    /// It has a `..`.
    #[error("the path has a `..`")]
    DotDot,
    /// It has a NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
    /// A name has more than 255 bytes.
    #[error("a name in the path is longer than 255 bytes")]
    TooLong,
    /// Something on the way is no directory; symbolic links are not followed.
    #[error("the path leads through something that is no directory")]
    NotDirectory,
    /// It is the root, which is a directory.
    #[error("the path is the root's, and the entry is no directory")]
    Root,
    /// What a hard link is to is not there.
    #[error("it is a hard link to a path that no earlier entry made")]
    NoTarget,
    /// A name begins with `.wh.` where that can't be: an image's layer has whiteouts there, of one name each.
    #[error("a name in the path begins with `.wh.`, and is no whiteout of a name")]
    Whiteout,
}

/// What is wrong with a member, before its path is told.
pub(crate) enum Wrong {
    Path(PathProblem),
    Errno(&'static str, Errno),
    /// It is the whole archive's, not one member's.
    Archive(ArchiveError),
}

impl Wrong {
    pub(crate) fn with(self, path: &[u8]) -> ArchiveError {
        let path = || path.to_vec();
        match self {
            Wrong::Path(problem) => ArchiveError::Path { path: path(), problem },
            Wrong::Errno(action, errno) => {
                ArchiveError::Member { path: path(), what: format!("{action}: {errno}") }
            }
            Wrong::Archive(error) => error,
        }
    }
}
