//! What an inode is held by.
//!
//! Linux opens an inode without its content (`O_PATH`); macOS doesn't. Directories and regular files are opened for
//! reading here. What can't be or must not be opened - links, FIFOs, sockets, devices, what the process may not read - is
//! held by the directory that it is in and its name there, and is `ESTALE` when that name stands for something else.
//!
//! The types are called as those of the standard library that they stand for on Linux.

use std::os::fd::{AsFd as _, BorrowedFd as Descriptor, OwnedFd as OwnedDescriptor};

use vnode_core::fs::InodeId;
use vnode_core::{Errno, Result};

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
}

impl Named {
    /// Holds what a name was seen to stand for.
    pub(super) fn hold(dir: Descriptor<'_>, name: &[u8], id: InodeId) -> Result<OwnedFd> {
        let dir = dir.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        Ok(OwnedFd::Named(Box::new(Named { dir, name: name.into(), id })))
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
/// `EACCES`: it is none that the process opens.
pub(crate) fn opened<'a>(inode: &BorrowedFd<'a>) -> Result<Descriptor<'a>> {
    match *inode {
        BorrowedFd::Opened(descriptor) => Ok(descriptor),
        BorrowedFd::Named(_) => Err(Errno::ACCES),
    }
}
