//! How a quota is made.

use std::sync::Arc;

use vnode_core::fs::Filesystem;
use vnode_core::{Clock, Credentials, Cx, Errno, Result, Timespec};

use super::counts::Counts;
use super::table::Table;
use super::{Quota, Shared, survey};

/// What a caller is told when there is no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exceeded {
    /// `ENOSPC`: the filesystem is full, as a small disk or a tmpfs with a size is.
    #[default]
    DiskFull,
    /// `EDQUOT`: the caller's share is used up, the filesystem itself may have room.
    QuotaUsed,
}

/// The choices for a [`Quota`]: see [`Quota::builder`].
#[derive(Clone, Debug, Default)]
pub struct QuotaBuilder {
    max_bytes: u64,
    max_inodes: u64,
    exceeded: Exceeded,
}

/// The clock of calls that set no time.
pub(super) struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

impl QuotaBuilder {
    /// At most so many bytes, rounded up to pages of 4096; 0, the default, for no limit.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// At most so many inodes, the root among them, each further name counting as one; 0, the default, for no limit.
    pub fn max_inodes(mut self, inodes: u64) -> Self {
        self.max_inodes = inodes;
        self
    }

    /// What a caller is told when there is no more; [`Exceeded::DiskFull`] by default.
    pub fn exceeded(mut self, exceeded: Exceeded) -> Self {
        self.exceeded = exceeded;
        self
    }

    /// Puts `fs` under the quota. What it holds is looked through once, and counts, even if it is over the limit.
    ///
    /// # Errors
    /// Those of looking at `fs`.
    pub fn build<F: Filesystem>(&self, fs: F) -> Result<Quota<F>> {
        let full = match self.exceeded {
            Exceeded::DiskFull => Errno::NOSPC,
            Exceeded::QuotaUsed => Errno::DQUOT,
        };
        let counts = Counts::new(self.max_bytes, self.max_inodes, full);
        let who = Credentials::root();
        survey::count(&Cx::new(&who, &Epoch).keeping_atime(), &fs, &counts)?;
        let names = parking_lot::RwLock::new(());
        Ok(Quota { shared: Arc::new(Shared { fs, counts, table: Table::new(), names }) })
    }
}
