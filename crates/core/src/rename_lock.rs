//! What tells a walk that a directory moved while it went up.

use core::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::blocking;
use crate::errno::Result;

/// A lock around moves of directories, with a sequence that walks check without taking it
/// (`rename_lock` in Linux's `fs/dcache.c`).
pub(crate) struct RenameLock {
    sequence: AtomicU64,
    lock: RwLock<()>,
}

/// A move in progress.
pub(crate) struct Moving<'a> {
    sequence: &'a AtomicU64,
    _lock: RwLockWriteGuard<'a, ()>,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.sequence.fetch_add(1, Ordering::SeqCst);
    }
}

impl RenameLock {
    pub(crate) const fn new() -> Self {
        RenameLock { sequence: AtomicU64::new(0), lock: RwLock::new(()) }
    }

    /// Begins a move; it ends when the guard is dropped.
    ///
    /// # Errors
    /// As [`blocking::check`], while another one lasts: its filesystem may block.
    pub(crate) fn moving(&self) -> Result<Moving<'_>> {
        let lock = match self.lock.try_write() {
            Some(lock) => lock,
            None => {
                blocking::check()?;
                self.lock.write()
            }
        };
        self.sequence.fetch_add(1, Ordering::SeqCst);
        Ok(Moving { sequence: &self.sequence, _lock: lock })
    }

    /// Keeps directories where they are.
    ///
    /// # Errors
    /// As [`RenameLock::moving`].
    pub(crate) fn hold(&self) -> Result<RwLockReadGuard<'_, ()>> {
        match self.lock.try_read() {
            Some(lock) => Ok(lock),
            None => {
                blocking::check()?;
                Ok(self.lock.read())
            }
        }
    }

    /// The sequence to compare with later; odd while a directory moves.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// Whether nothing moved since `sequence` was read.
    pub(crate) fn unmoved_since(&self, sequence: u64) -> bool {
        sequence.is_multiple_of(2) && self.sequence.load(Ordering::SeqCst) == sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_seen_while_it_lasts_and_after() {
        let lock = RenameLock::new();
        let before = lock.sequence();
        assert!(lock.unmoved_since(before));
        let moving = lock.moving().unwrap();
        let during = lock.sequence();
        assert!(!lock.unmoved_since(before));
        assert!(!lock.unmoved_since(during));
        assert!(blocking::without(|| lock.moving().is_err()).is_none());
        assert!(blocking::without(|| lock.hold().is_err()).is_none());
        drop(moving);
        assert!(!lock.unmoved_since(during));
        assert!(lock.unmoved_since(lock.sequence()));
    }
}
