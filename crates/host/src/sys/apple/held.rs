//! What an inode is held by.
//!
//! Linux opens an inode without its content (`O_PATH`); macOS doesn't. Directories and regular files are opened for
//! reading here. What can't be or must not be opened - links, FIFOs, sockets, devices, what the process may not read - is
//! held by the directory that it is in and its name there, and is `ESTALE` when that name stands for something else.
//!
//! The types are called as those of the standard library that they stand for on Linux.

use std::os::fd::{AsFd as _, BorrowedFd as Descriptor, OwnedFd as OwnedDescriptor};
use std::sync::Arc;

use vnode_core::fs::InodeId;
use vnode_core::{Errno, FileType, Result};

use super::super::stat::Stat;
use super::darwin::stat_named;

/// An inode that is held.
pub(crate) enum OwnedFd {
    Opened(OwnedDescriptor),
    Named(Box<Named>),
}

/// The same, borrowed.
#[derive(Clone, Copy)]
pub(crate) enum BorrowedFd<'a> {
    Opened(Descriptor<'a>),
    Named(&'a Named),
}

/// What holds an inode.
pub(crate) trait AsFd {
    fn as_fd(&self) -> BorrowedFd<'_>;
}

impl AsFd for OwnedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            OwnedFd::Opened(descriptor) => BorrowedFd::Opened(descriptor.as_fd()),
            OwnedFd::Named(named) => BorrowedFd::Named(named),
        }
    }
}

impl AsFd for BorrowedFd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        *self
    }
}

/// An inode by its name in a directory.
pub(crate) struct Named {
    dir: OwnedDescriptor,
    name: Box<[u8]>,
    id: InodeId,
    kind: FileType,
    /// Of a link, which leads to the same as long as it is there.
    target: Option<Arc<[u8]>>,
}

impl Named {
    /// Holds what a name was seen to stand for; of a link with its target.
    pub(super) fn hold(
        dir: Descriptor<'_>,
        name: &[u8],
        seen: &Stat,
        target: Option<Arc<[u8]>>,
    ) -> Result<OwnedFd> {
        let dir = dir.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        let named = Named { dir, name: name.into(), id: seen.id, kind: seen.attr.kind, target };
        Ok(OwnedFd::Named(Box::new(named)))
    }

    pub(super) fn target(&self) -> Option<&Arc<[u8]>> {
        self.target.as_ref()
    }

    /// The directory and the name.
    ///
    /// # Errors
    /// `ESTALE`: it stands for something else now, or for nothing. Somebody may give it to something else before the
    /// caller uses it, which is then something in the same directory that is not followed.
    pub(super) fn place(&self) -> Result<(Descriptor<'_>, &[u8])> {
        self.stat()?;
        Ok((self.dir.as_fd(), &self.name))
    }

    /// Its attributes.
    ///
    /// # Errors
    /// `ESTALE`, as of [`Self::place`].
    pub(super) fn stat(&self) -> Result<Stat> {
        match stat_named(self.dir.as_fd(), &self.name) {
            Ok(stat) if stat.id == self.id => Ok(stat),
            Ok(_) | Err(Errno::NOENT) => Err(Errno::STALE),
            Err(errno) => Err(errno),
        }
    }
}

/// The descriptor by which an inode is held.
///
/// # Errors
/// `EACCES`: it may not be opened. `ENOTDIR`: it is nothing that is opened.
pub(crate) fn opened<'a>(inode: &BorrowedFd<'a>) -> Result<Descriptor<'a>> {
    match *inode {
        BorrowedFd::Opened(descriptor) => Ok(descriptor),
        BorrowedFd::Named(named) => match named.kind {
            FileType::Directory | FileType::Regular => Err(Errno::ACCES),
            _ => Err(Errno::NOTDIR),
        },
    }
}
