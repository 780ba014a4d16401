//! How a memory filesystem is made.

use std::time::{SystemTime, UNIX_EPOCH};

use vnode_core::{Mode, Timespec};

use crate::memory::Memory;

/// The choices for a new [`Memory`]: see [`Memory::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) max_bytes: u64,
    pub(crate) max_inodes: u64,
    pub(crate) mode: Mode,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) time: Option<Timespec>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder { max_bytes: 0, max_inodes: 0, mode: Mode::from_raw(0o755), uid: 0, gid: 0, time: None }
    }
}

impl Builder {
    /// At most so many bytes of content, rounded up to pages of 4096; 0, the default, for no limit.
    ///
    /// Counted are the pages of files, long symbolic link targets and extended attributes.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// At most so many inodes, the root among them, hard links counting as one each; 0, the default, for no
    /// limit.
    pub fn max_inodes(mut self, inodes: u64) -> Self {
        self.max_inodes = inodes;
        self
    }

    /// At most so many bytes, and an inode for each 1024 of them: a bound for all memory that a guest can make
    /// the filesystem use, give or take a small factor.
    pub fn bounded(self, bytes: u64) -> Self {
        self.max_bytes(bytes).max_inodes((bytes / 1024).max(64))
    }

    /// The root's permission bits; `0755` by default.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The root's owner and group; 0 and 0 by default.
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.uid = uid;
        self.gid = gid;
        self
    }

    /// The time of the root's making; that of [`Builder::build`] by default.
    pub fn time(mut self, time: Timespec) -> Self {
        self.time = Some(time);
        self
    }

    /// Makes the filesystem: an empty root directory.
    pub fn build(self) -> Memory {
        Memory::with(&self)
    }
}

/// The time of day.
pub(crate) fn time_of_day() -> Timespec {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(Timespec::EPOCH, Timespec::from)
}
