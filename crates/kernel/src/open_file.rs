//! Open files: what descriptors stand for (`open(2)`, "open file description").

use core::sync::atomic::{AtomicU16, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{Access, File};
use vnode_core::{Errno, FileType, Listing, Pinned, Place, Result};

use crate::devices::Device;
use crate::rights::{FdFlags, Rights};
use crate::stream::Stream;

/// What was opened.
pub(crate) enum What {
    /// A regular file's content.
    Regular { place: Pinned, file: Arc<dyn File> },
    /// A directory, with its listing from the time that one was asked for.
    Directory { place: Pinned, listing: Mutex<Option<Listing>> },
    /// A device of [`Devices`](crate::devices::Devices).
    Device { place: Pinned, device: Device },
    /// A stream, which is in no filesystem, and its number (`st_ino`).
    Stream { stream: Arc<dyn Stream>, ino: u64 },
}

impl What {
    pub(crate) fn of_directory(place: Place) -> Self {
        What::Directory { place: place.into(), listing: Mutex::new(None) }
    }
}

/// An open file, shared by all descriptors that were made from one another.
pub struct OpenFile {
    pub(crate) what: What,
    access: Access,
    flags: AtomicU16,
    /// The offset of the next read or write; of a directory, what `lseek` was told.
    pub(crate) position: Mutex<u64>,
    /// The path it was opened by, for the trace.
    shown_as: Option<Box<[u8]>>,
    /// How it was found, for `/proc`.
    origin: Option<Box<Origin>>,
}

/// How an open file was found.
pub(crate) struct Origin {
    /// The directory that the path started from.
    pub(crate) base: Pinned,
    pub(crate) path: Box<[u8]>,
    /// Whether the directory's descriptor handed on all rights: then the place itself is no more than the file.
    pub(crate) whole: bool,
}

impl OpenFile {
    pub(crate) fn new(what: What, access: Access, flags: FdFlags) -> Self {
        OpenFile {
            what,
            access,
            flags: AtomicU16::new(flags.bits()),
            position: Mutex::new(0),
            shown_as: None,
            origin: None,
        }
    }

    /// An open stream, with its number (`st_ino`): one of the tree's
    /// ([`Namespace::next_number`](vnode_core::Namespace::next_number)), the same for both ends of a pipe.
    pub fn stream(stream: Arc<dyn Stream>, ino: u64) -> Self {
        let access = stream.access();
        OpenFile::new(What::Stream { stream, ino }, access, FdFlags::empty())
    }

    /// An open directory.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn directory(place: Place) -> Result<Self> {
        if !place.kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        Ok(OpenFile::new(What::of_directory(place), Access::READ, FdFlags::empty()))
    }

    /// The same with a path that the trace shows.
    pub fn shown_as(mut self, path: &[u8]) -> Self {
        self.shown_as = Some(path.into());
        self
    }

    /// The path that the trace shows.
    pub fn shown(&self) -> Option<&[u8]> {
        self.shown_as.as_deref()
    }

    /// The same with how it was found.
    pub(crate) fn found_by(mut self, origin: Origin) -> Self {
        self.origin = Some(Box::new(origin));
        self
    }

    /// How it was found, if that was noted.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }

    /// Its type.
    pub fn kind(&self) -> FileType {
        match &self.what {
            What::Regular { .. } => FileType::Regular,
            What::Directory { .. } => FileType::Directory,
            What::Device { place, .. } => place.kind(),
            What::Stream { stream, .. } => stream.kind(),
        }
    }

    /// Where it is, unless it is a stream.
    pub fn place(&self) -> Option<&Place> {
        match &self.what {
            What::Regular { place, .. } | What::Directory { place, .. } | What::Device { place, .. } => {
                Some(place)
            }
            What::Stream { .. } => None,
        }
    }

    /// The stream, also that behind a terminal's device.
    pub(crate) fn as_stream(&self) -> Option<&Arc<dyn Stream>> {
        match &self.what {
            What::Stream { stream, .. } => Some(stream),
            What::Device { device, .. } => device.stream(),
            What::Regular { .. } | What::Directory { .. } => None,
        }
    }

    /// The rights for all that it can be used for. Only terminals are like streams among the devices, for that is how
    /// C libraries know them; the others can be sought.
    pub fn rights(&self) -> Rights {
        let kind = match &self.what {
            What::Device { .. } if self.as_stream().is_none() => FileType::Regular,
            _ => self.kind(),
        };
        Rights::of(kind, self.access)
    }

    /// The directory that a path starts from.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub(crate) fn base(&self) -> Result<&Place> {
        match &self.what {
            What::Directory { place, .. } => Ok(place),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// What it was opened for.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Its status flags (`F_GETFL`).
    pub fn flags(&self) -> FdFlags {
        FdFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Sets its status flags (`F_SETFL`).
    pub fn set_flags(&self, flags: FdFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// The error that POSIX has for using what is open in a way that its type or access mode never allows, if
    /// one of the `missing` rights is of that sort. The numbers are Linux's.
    pub(crate) fn why_never(&self, missing: Rights) -> Option<Errno> {
        let never = missing - self.rights();
        let is_stream = self.as_stream().is_some();
        [
            (Rights::PATHS, Errno::NOTDIR),
            (Rights::FD_READDIR, if self.kind().is_dir() { Errno::BADF } else { Errno::NOTDIR }),
            (Rights::FD_SEEK | Rights::FD_TELL | Rights::FD_ADVISE, Errno::SPIPE),
            (Rights::FD_READ | Rights::FD_WRITE, Errno::BADF),
            (Rights::FD_ALLOCATE, if is_stream { Errno::SPIPE } else { Errno::BADF }),
            (Rights::FD_SYNC | Rights::FD_DATASYNC | Rights::FD_FILESTAT_SET_SIZE, Errno::INVAL),
            (Rights::FD_FILESTAT_SET_TIMES, Errno::INVAL),
            (Rights::SOCK_SHUTDOWN | Rights::SOCK_ACCEPT, Errno::NOTSOCK),
        ]
        .into_iter()
        .find_map(|(rights, errno)| never.intersects(rights).then_some(errno))
    }
}
