//! The inodes of `/proc`: what each stands for.

use std::sync::{Arc, Weak};

use vnode_core::fs::{Access, Inode, InodeId};
use vnode_core::{Errno, FileType, Mode, Result};

use crate::fd_table::Fd;
use crate::process::Process;
use crate::rights::Rights;

/// What an inode stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Root,
    SelfLink,
    Process,
    Fds,
    Fd(Fd),
    Environ,
    Status,
    Cmdline,
    Cwd,
    ProcessRoot,
    Exe,
}

/// What is in a process's directory, in the order of its listing.
pub(super) const IN_PROCESS: [(&[u8], Entry); 7] = [
    (b"fd", Entry::Fds),
    (b"environ", Entry::Environ),
    (b"status", Entry::Status),
    (b"cmdline", Entry::Cmdline),
    (b"cwd", Entry::Cwd),
    (b"root", Entry::ProcessRoot),
    (b"exe", Entry::Exe),
];

impl Entry {
    pub(super) fn kind(self) -> FileType {
        match self {
            Entry::Root | Entry::Process | Entry::Fds => FileType::Directory,
            Entry::Environ | Entry::Status | Entry::Cmdline => FileType::Regular,
            Entry::SelfLink | Entry::Fd(_) | Entry::Cwd | Entry::ProcessRoot | Entry::Exe => {
                FileType::Symlink
            }
        }
    }

    /// Its number among those of a process; descriptors' are above [`FDS`].
    fn number(self) -> u64 {
        match self {
            Entry::Root => 1,
            Entry::SelfLink => 2,
            Entry::Process => 3,
            Entry::Fds => 4,
            Entry::Environ => 5,
            Entry::Status => 6,
            Entry::Cmdline => 7,
            Entry::Cwd => 8,
            Entry::ProcessRoot => 9,
            Entry::Exe => 10,
            Entry::Fd(fd) => FDS + u64::from(fd),
        }
    }
}

/// Descriptors have under 20 bits ([`FD_LIMIT_MAX`](crate::FD_LIMIT_MAX)).
const FDS: u64 = 1 << 24;

/// An inode of [`Procfs`](super::Procfs).
pub struct ProcNode {
    entry: Entry,
    pid: u32,
    /// Nobody's, for what belongs to no process.
    process: Weak<Process>,
}

impl ProcNode {
    pub(super) fn root() -> Self {
        ProcNode { entry: Entry::Root, pid: 0, process: Weak::new() }
    }

    pub(super) fn self_link() -> Self {
        ProcNode { entry: Entry::SelfLink, pid: 0, process: Weak::new() }
    }

    pub(super) fn of(process: &Arc<Process>, entry: Entry) -> Self {
        ProcNode { entry, pid: process.pid(), process: Arc::downgrade(process) }
    }

    pub(super) fn entry(&self) -> Entry {
        self.entry
    }

    /// The process that it tells of.
    ///
    /// # Errors
    /// `ENOENT`: it is gone.
    pub(super) fn process(&self) -> Result<Arc<Process>> {
        self.process.upgrade().ok_or(Errno::NOENT)
    }

    pub(super) fn ino(&self) -> u64 {
        u64::from(self.pid) << 32 | self.entry.number()
    }

    /// The permission bits; a descriptor's are what it is open for.
    pub(super) fn mode(&self) -> Mode {
        Mode::from_raw(match self.entry {
            Entry::Root | Entry::Process => 0o555,
            Entry::Fds => 0o500,
            Entry::Environ => 0o400,
            Entry::Status | Entry::Cmdline => 0o444,
            Entry::SelfLink | Entry::Cwd | Entry::ProcessRoot | Entry::Exe => 0o777,
            Entry::Fd(fd) => {
                let open = self.process().and_then(|process| process.fds().get(fd, Rights::empty()));
                let access = open.map_or(Access::empty(), |file| file.access());
                let read = if access.contains(Access::READ) { 0o500 } else { 0 };
                read | if access.contains(Access::WRITE) { 0o300 } else { 0 }
            }
        })
    }
}

impl Inode for ProcNode {
    /// The address tells two processes apart that have one number, one after the other.
    fn id(&self) -> InodeId {
        InodeId(self.ino(), self.process.as_ptr() as usize as u64)
    }

    fn kind(&self) -> FileType {
        self.entry.kind()
    }
}
