//! What is used of what there is.

use core::sync::atomic::{AtomicU64, Ordering};

use vnode_core::{Errno, Result};

/// Bytes in a page, the unit in which file content is counted.
pub(super) const PAGE: u64 = 4096;

/// What all counts stay under when there is no limit, so that no sum of them overflows.
const CEILING: u64 = i64::MAX as u64;

/// A count with a limit.
#[derive(Debug)]
pub(super) struct Counter {
    used: AtomicU64,
    /// 0 for none.
    limit: u64,
    full: Errno,
}

impl Counter {
    fn new(limit: u64, full: Errno) -> Self {
        Counter { used: AtomicU64::new(0), limit: limit.min(CEILING), full }
    }

    fn ceiling(&self) -> u64 {
        if self.limit == 0 { CEILING } else { self.limit }
    }

    /// Takes `amount`.
    ///
    /// # Errors
    /// `ENOSPC` or `EDQUOT`: there is not so much left; nothing is taken.
    pub(super) fn take(&self, amount: u64) -> Result<()> {
        let add = |used: u64| used.checked_add(amount).filter(|&sum| sum <= self.ceiling());
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        if amount == 0 || taken.is_ok() { Ok(()) } else { Err(self.full) }
    }

    /// Takes as many times `unit` as there is room for, at most `count`; answers how many.
    fn take_some(&self, count: u64, unit: u64) -> u64 {
        let mut granted = 0;
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            granted = count.min(self.ceiling().saturating_sub(used) / unit);
            Some(used + granted * unit)
        });
        granted
    }

    /// Counts what was there before anybody was asked.
    pub(super) fn add(&self, amount: u64) {
        self.used.fetch_add(amount, Ordering::Relaxed);
    }

    /// Gives back `amount`, which was taken.
    pub(super) fn give(&self, amount: u64) {
        if amount > 0 {
            self.used.fetch_sub(amount, Ordering::Relaxed);
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }
}

/// Bytes and inodes.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) bytes: Counter,
    pub(super) inodes: Counter,
    /// What a caller is told when there is no more.
    pub(super) full: Errno,
}

impl Counts {
    /// Limits, 0 for none; bytes are rounded up to pages.
    pub(super) fn new(max_bytes: u64, max_inodes: u64, full: Errno) -> Self {
        let max_bytes = max_bytes.min(CEILING / PAGE * PAGE).next_multiple_of(PAGE);
        Counts { bytes: Counter::new(max_bytes, full), inodes: Counter::new(max_inodes, full), full }
    }

    /// Takes `count` pages.
    ///
    /// # Errors
    /// As [`Counter::take`].
    pub(super) fn take_pages(&self, count: u64) -> Result<()> {
        self.bytes.take(count.checked_mul(PAGE).ok_or(self.full)?)
    }

    /// Takes as many pages as there are, at most `count`; answers how many.
    pub(super) fn take_some_pages(&self, count: u64) -> u64 {
        self.bytes.take_some(count, PAGE)
    }

    pub(super) fn give_pages(&self, count: u64) {
        self.bytes.give(count * PAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_exactly() {
        let counts = Counts::new(3 * PAGE - 1, 2, Errno::DQUOT);
        assert_eq!(counts.take_pages(2), Ok(()));
        assert_eq!(counts.take_pages(2), Err(Errno::DQUOT));
        assert_eq!(counts.take_some_pages(2), 1);
        assert_eq!((counts.take_some_pages(2), counts.bytes.left()), (0, 0));
        assert_eq!(counts.take_pages(u64::MAX), Err(Errno::DQUOT));
        counts.give_pages(3);
        assert_eq!(counts.bytes.used(), 0);
    }

    #[test]
    fn what_was_there_may_be_over_the_limit() {
        let counts = Counts::new(PAGE, 0, Errno::NOSPC);
        counts.bytes.add(3 * PAGE);
        assert_eq!((counts.bytes.left(), counts.take_some_pages(1)), (0, 0));
        assert_eq!(counts.take_pages(0), Ok(()));
        assert_eq!(counts.take_pages(1), Err(Errno::NOSPC));
    }
}
