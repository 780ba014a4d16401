//! Why there is no view.

use std::path::{Path, PathBuf};

use vnode_core::Errno;
use vnode_host::HostError;

/// What keeps a view from being opened. Nothing was changed then, but that a directory may have been made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A directory to look at can't be served.
    #[error("{0}")]
    Lower(HostError),
    /// The links that are kept for a directory can't be found out.
    #[error("can't emulate symbolic links in {}: {errno}", path.display())]
    Links {
        /// Which directory.
        path: PathBuf,
        /// `EACCES`, `ENOSPC`, `EIO` and others of making a file there.
        errno: Errno,
    },
    /// There are more directories than an overlay takes, 255.
    #[error("{given} directories are too many; 255 can lie on one another")]
    TooMany {
        /// How many.
        given: usize,
    },
    /// The directory for changes can't be made or entered.
    #[error("can't keep changes in {}: {errno}", path.display())]
    Upper {
        /// Where.
        path: PathBuf,
        /// `ENOENT`: the directory that it would be in is missing. `ENOTDIR`, `EACCES`, `EROFS`, `ENOSPC` and others.
        errno: Errno,
    },
    /// A directory that kept changes before can't be read, or never kept any.
    #[error("can't read the changes kept in {}: {errno}", path.display())]
    Frozen {
        /// Where.
        path: PathBuf,
        /// `ENOENT`: it is missing, or no changes are in it. `ENOTDIR`, `EACCES` and others.
        errno: Errno,
    },
    /// The directory for changes has files that no overlay put there.
    #[error("{} has {found}, which no overlay made; give an empty directory or a new one", path.display())]
    NotAnUpper {
        /// Which directory.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// The directory for changes is one of those to look at, or in one of them, or around one.
    #[error(
        "{} and {} are in one another; keep changes elsewhere (sandboxes: XDG_STATE_HOME)", upper.display(),
        lower.display()
    )]
    Nested {
        /// The directory for changes.
        upper: PathBuf,
        /// The directory to look at.
        lower: PathBuf,
    },
    /// Another view has the directory for changes.
    #[error("{} is in use{}; wait until that ends, or give another directory", path.display(), by(*process))]
    InUse {
        /// Which directory.
        path: PathBuf,
        /// The process that has it, if it said so.
        process: Option<u32>,
    },
    /// The filesystem of the directory for changes can't hold what an overlay must keep.
    #[error(
        "{} is on a filesystem without extended attributes or device nodes, which keep what was deleted and renamed; \
         give a directory on ext4, xfs, btrfs or tmpfs, or keep changes in memory", path.display()
    )]
    Unfit {
        /// Which directory.
        path: PathBuf,
    },
    /// What the directory for changes has was made by a later version, or `meta` isn't what overlays write.
    #[error(
        "{} was made by another version of vnode, with other extended attributes, or its file meta is damaged; \
         give another directory", path.display()
    )]
    Version {
        /// Which directory.
        path: PathBuf,
    },
    /// What the directory for changes keeps was kept as root, in attributes that this process can't see.
    #[error(
        "{} was made by root, whose trusted.* attributes this process can't see: what was deleted would be back; \
         run vnode as root, or give another directory", path.display()
    )]
    Privileged {
        /// Which directory.
        path: PathBuf,
    },
    /// Linux's overlayfs has the directory for changes.
    #[error("{} is in use by the overlay mounted on {}; unmount that first", path.display(), at.display())]
    Mounted {
        /// Which directory.
        path: PathBuf,
        /// Where it is mounted.
        at: PathBuf,
    },
    /// Linux's overlayfs says that what the directory for changes has may not be whole (its mount option `volatile`).
    #[error(
        "{} was mounted as volatile and may have lost changes; if it was unmounted in order, remove {}",
        path.display(), mark.display()
    )]
    Volatile {
        /// Which directory.
        path: PathBuf,
        /// What says so.
        mark: PathBuf,
    },
    /// The overlay can't be made.
    #[error("can't make an overlay: {0}")]
    Overlay(Errno),
}

fn by(process: Option<u32>) -> String {
    process.map(|process| format!(" by process {process}")).unwrap_or_default()
}

impl ViewError {
    pub(crate) fn upper(path: &Path, errno: Errno) -> Self {
        ViewError::Upper { path: path.to_owned(), errno }
    }
}
