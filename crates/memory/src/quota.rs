//! What a filesystem uses of what it may.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use vnode_core::{Errno, Result};

use crate::slab::{Arena, Block};

/// Bytes in a page, the unit in which file content is stored and counted.
pub(crate) const PAGE: u64 = 4096;

/// From how many bytes in use on a filesystem takes blocks: a small one is not to cost a slab.
const BLOCKS_FROM: u64 = 4 << 20;

/// What all counts stay under when there is no limit, so that no sum of them overflows.
const CEILING: u64 = i64::MAX as u64;

/// A count with a limit.
pub(crate) struct Counter {
    used: AtomicU64,
    limit: u64,
}

impl Counter {
    fn new(limit: u64) -> Self {
        Counter { used: AtomicU64::new(0), limit }
    }

    /// Takes `amount`.
    ///
    /// # Errors
    /// `ENOSPC`: there is not so much left; nothing is taken.
    pub(crate) fn take(&self, amount: u64) -> Result<()> {
        let ceiling = if self.limit == 0 { CEILING } else { self.limit };
        let add = |used: u64| used.checked_add(amount).filter(|&sum| sum <= ceiling);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::NOSPC),
        }
    }

    /// Takes `count` times `each`, or as many as there is room for; answers how many.
    fn take_up_to(&self, count: u64, each: u64) -> u64 {
        if count > 0 && self.take(count.saturating_mul(each)).is_ok() {
            return count;
        }
        (0..count).take_while(|_| self.take(each).is_ok()).count() as u64
    }

    /// Takes one, for the root, whatever the limit.
    pub(crate) fn take_root(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives back `amount`, which was taken.
    pub(crate) fn give(&self, amount: u64) {
        if amount > 0 {
            self.used.fetch_sub(amount, Ordering::Relaxed);
        }
    }

    /// What is taken.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit; 0 for none.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

/// Bytes and inodes, and the blocks for many bytes.
pub(crate) struct Quota {
    pub(crate) bytes: Counter,
    pub(crate) inodes: Counter,
    arena: Arc<Arena>,
}

impl Quota {
    /// Limits, 0 for none; bytes are rounded up to pages.
    pub(crate) fn new(max_bytes: u64, max_inodes: u64) -> Self {
        let max_bytes = max_bytes.min(CEILING / PAGE * PAGE).next_multiple_of(PAGE);
        Quota {
            bytes: Counter::new(max_bytes),
            inodes: Counter::new(max_inodes.min(CEILING)),
            arena: Arc::default(),
        }
    }

    /// Takes room for `count` pages.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub(crate) fn take_pages(&self, count: u64) -> Result<()> {
        self.bytes.take(count.checked_mul(PAGE).ok_or(Errno::NOSPC)?)
    }

    /// Takes room for `count` pages, at most a chunk's, or as many as there is room for; answers how many.
    pub(crate) fn take_pages_up_to(&self, count: u64) -> u64 {
        self.bytes.take_up_to(count, PAGE)
    }

    /// A block, for pages that are counted; nothing while little is in use, or if the host gives no memory.
    pub(crate) fn block(&self) -> Option<Block> {
        if self.bytes.used() < BLOCKS_FROM { None } else { self.arena.take() }
    }

    /// Blocks that are in use, or free and perhaps resident.
    #[cfg(test)]
    pub(crate) fn resident_blocks(&self) -> usize {
        self.arena.resident()
    }

    /// Gives back room for `count` pages.
    pub(crate) fn give_pages(&self, count: u64) {
        self.bytes.give(count * PAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_exactly() {
        let quota = Quota::new(3 * PAGE - 1, 2);
        assert_eq!(quota.bytes.limit(), 3 * PAGE);
        assert_eq!(quota.take_pages(2), Ok(()));
        assert_eq!(quota.take_pages(2), Err(Errno::NOSPC));
        assert_eq!(quota.take_pages(1), Ok(()));
        assert_eq!(quota.bytes.take(1), Err(Errno::NOSPC));
        quota.give_pages(3);
        assert_eq!(quota.bytes.used(), 0);
        assert_eq!(quota.take_pages(u64::MAX), Err(Errno::NOSPC));
    }

    #[test]
    fn without_a_limit_sums_stay_in_range() {
        let quota = Quota::new(0, 0);
        assert_eq!(quota.bytes.take(CEILING), Ok(()));
        assert_eq!(quota.bytes.take(1), Err(Errno::NOSPC));
        assert_eq!(Quota::new(u64::MAX, 0).bytes.limit() % PAGE, 0);
    }
}
