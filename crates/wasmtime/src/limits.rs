//! What a guest's program may use of the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::ResourceLimiter;

/// What a guest's program may use. Open files and the sizes of filesystems are limited elsewhere: by
/// [`GuestBuilder::open_files`](crate::GuestBuilder::open_files), and by each filesystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, all memories together, those of the processes that it spawns too, and of what the host
    /// keeps of its stack for `setjmp`; growing further answers -1 to the guest. A memory that threads share counts with
    /// what it has from the start: nothing can be asked when it grows, so each may grow to this by itself.
    pub memory: Option<u64>,
    /// Elements of tables, all tables together, those of the processes that it spawns too.
    pub table_elements: Option<u64>,
    /// Time that the guest may take, running or waiting.
    pub time: Option<Duration>,
}

/// What all processes of a guest use of one resource.
#[derive(Debug)]
struct Pool {
    limit: u64,
    used: AtomicU64,
}

/// Counts one resource against its limit.
#[derive(Debug)]
struct Meter {
    pool: Arc<Pool>,
    /// What this process uses.
    own: u64,
}

impl Meter {
    fn new(limit: Option<u64>) -> Meter {
        let pool = Pool { limit: limit.unwrap_or(u64::MAX), used: AtomicU64::new(0) };
        Meter { pool: Arc::new(pool), own: 0 }
    }

    /// That of another process.
    fn beside(&self) -> Meter {
        Meter { pool: Arc::clone(&self.pool), own: 0 }
    }

    /// Whether one of the things counted may grow. What the engine then fails to allocate stays counted: it tells
    /// of failures that it didn't ask for before, too, and giving those back would let a guest past its limit.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let growth = desired.saturating_sub(current) as u64;
        let grown = |used: u64| used.checked_add(growth).filter(|&used| used <= self.pool.limit);
        let may = self.pool.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        self.own += if may { growth } else { 0 };
        may
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// Tells Wasmtime what a store may still use.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: Meter,
    tables: Meter,
    /// The most bytes that the host has kept for the guest at a time, which are counted as its memory.
    kept: u64,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Limiter {
        Limiter { memory: Meter::new(limits.memory), tables: Meter::new(limits.table_elements), kept: 0 }
    }

    /// That of a process beside it: what both use together is limited.
    pub(crate) fn beside(&self) -> Limiter {
        Limiter { memory: self.memory.beside(), tables: self.tables.beside(), kept: 0 }
    }

    /// Whether a memory that threads share may be there.
    pub(crate) fn shared_memory(&mut self, bytes: u64) -> bool {
        self.memory.grow(0, usize::try_from(bytes).unwrap_or(usize::MAX), None)
    }

    /// Whether the host may keep so many bytes for the guest, of which there may be `most`.
    pub(crate) fn host_memory(&mut self, bytes: u64, most: u64) -> bool {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let may = bytes <= self.kept || self.memory.grow(size(self.kept), size(bytes), Some(size(most)));
        self.kept = if may { self.kept.max(bytes) } else { self.kept };
        may
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.memory.grow(current, desired, maximum))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.tables.grow(current, desired, maximum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_counted_over_all() {
        let mut meter = Meter::new(Some(10));
        assert!(meter.grow(0, 4, None) && meter.grow(0, 5, None));
        assert!(!meter.grow(4, 6, None), "one over");
        assert!(!meter.grow(4, 5, Some(4)), "over its own maximum");
        assert!(meter.grow(4, 5, Some(5)), "what was refused is not counted");
        let mut free = Meter::new(None);
        assert!(free.grow(0, usize::MAX, None));
        assert!(!free.grow(0, 1, None), "the sum can't be told any more");
    }

    #[test]
    fn processes_share_what_there_is() {
        let mut first = Meter::new(Some(10));
        assert!(first.grow(0, 6, None));
        let mut second = first.beside();
        assert!(!second.grow(0, 5, None) && second.grow(0, 4, None));
        drop(first);
        assert!(second.grow(4, 10, None), "what one had is given back");
        assert!(!second.beside().grow(0, 1, None));
    }
}
