//! Futexes: threads of a guest that wait until another says that a word of their memory changed (`futex(2)`).

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use vnode_core::{Errno, Result};

use crate::attempt::{self, Kept};
use crate::wait::{Interruption, Look, Wait, WaitQueue, Watch};

/// Those who wait in one memory, by the word's address.
#[derive(Default)]
pub(crate) struct Futexes {
    /// Each word's, first come first.
    waiting: Mutex<HashMap<u32, Vec<Arc<Waiter>>>>,
}

#[derive(Default)]
struct Waiter {
    woken: AtomicBool,
    queue: WaitQueue,
}

/// A waiter in the list; out of it when dropped.
struct Listed<'a> {
    futexes: &'a Futexes,
    address: u32,
    waiter: Arc<Waiter>,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.futexes.take(self.address, |waiters| waiters.retain(|other| !Arc::ptr_eq(other, &self.waiter)));
    }
}

impl Futexes {
    /// Changes a word's list, which goes when it is empty.
    fn take<T>(&self, address: u32, change: impl FnOnce(&mut Vec<Arc<Waiter>>) -> T) -> Option<T> {
        let mut waiting = self.waiting.lock();
        let waiters = waiting.get_mut(&address)?;
        let changed = change(waiters);
        if waiters.is_empty() {
            waiting.remove(&address);
        }
        Some(changed)
    }

    /// Waits until somebody wakes the word, or for so long (`FUTEX_WAIT`). `unchanged` tells whether the word has the
    /// value still; who changes it and wakes then is not missed.
    ///
    /// # Errors
    /// `EAGAIN`: it has not. `ETIMEDOUT`. `EINTR`: the process is to end. What `unchanged` says.
    pub(crate) fn wait(
        &self,
        stop: &Interruption,
        address: u32,
        timeout: Option<Duration>,
        unchanged: impl FnOnce() -> Result<bool>,
    ) -> Result<()> {
        let waiter = Arc::new(Waiter::default());
        let listed = Listed { futexes: self, address, waiter: Arc::clone(&waiter) };
        self.waiting.lock().entry(address).or_default().push(waiter);
        if !unchanged()? {
            return Err(Errno::AGAIN);
        }
        // A time that can't be counted to doesn't come.
        let kept = attempt::kept().until;
        let deadline = kept.or_else(|| timeout.and_then(|timeout| Instant::now().checked_add(timeout)));
        let waiter = &listed.waiter;
        let waited = Wait::blocking(stop).until(&[Watch::Queue(&waiter.queue)], || {
            if waiter.woken.load(Ordering::Acquire) {
                return Ok(Look::Found(()));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            match left {
                Some(Duration::ZERO) => Err(Errno::TIMEDOUT),
                left => Ok(Look::NotYet(left)),
            }
        });
        if waited == Err(Errno::INTR) {
            attempt::keep_time(Kept { until: deadline, ..Kept::default() }, stop);
        }
        waited
    }

    /// Wakes up to `count` of those who wait longest, and answers how many (`FUTEX_WAKE`).
    pub(crate) fn wake(&self, address: u32, count: usize) -> usize {
        let first = |waiters: &mut Vec<Arc<Waiter>>| {
            let count = count.min(waiters.len());
            waiters.drain(..count).collect::<Vec<_>>()
        };
        let woken = self.take(address, first).unwrap_or_default();
        for waiter in &woken {
            waiter.woken.store(true, Ordering::Release);
            waiter.queue.wake_all();
        }
        woken.len()
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_word_that_changed_is_not_waited_for() {
        let (futexes, stop) = (Futexes::default(), Interruption::new());
        assert_eq!(futexes.wait(&stop, 8, None, || Ok(false)), Err(Errno::AGAIN));
        assert_eq!(futexes.wait(&stop, 8, None, || Err(Errno::FAULT)), Err(Errno::FAULT));
        let soon = Some(Duration::from_millis(5));
        assert_eq!(futexes.wait(&stop, 8, soon, || Ok(true)), Err(Errno::TIMEDOUT));
        assert_eq!(futexes.wait(&stop, 8, Some(Duration::ZERO), || Ok(true)), Err(Errno::TIMEDOUT));
        assert_eq!(futexes.wake(8, usize::MAX), 0);
        assert!(futexes.waiting.lock().is_empty());
    }

    #[test]
    fn the_first_who_wait_are_woken_first() {
        let (futexes, stop) = (Futexes::default(), Interruption::new());
        let (woken, waiting) = (AtomicU32::new(0), || futexes.waiting.lock().get(&8).map_or(0, Vec::len));
        std::thread::scope(|scope| {
            for number in 0..3 {
                scope.spawn(|| {
                    assert_eq!(futexes.wait(&stop, 8, None, || Ok(true)), Ok(()));
                    woken.fetch_add(1, Ordering::SeqCst);
                });
                while waiting() <= number {
                    std::thread::yield_now();
                }
            }
            assert_eq!(futexes.wake(4, 1), 0, "another word");
            assert_eq!(futexes.wake(8, 1), 1);
            while woken.load(Ordering::SeqCst) < 1 {
                std::thread::yield_now();
            }
            assert_eq!(waiting(), 2);
            assert_eq!(futexes.wake(8, usize::MAX), 2);
        });
        assert_eq!(woken.into_inner(), 3);
        assert!(futexes.waiting.lock().is_empty());
    }

    #[test]
    fn a_kill_ends_the_wait() {
        let (futexes, stop) = (Futexes::default(), Interruption::new());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| futexes.wait(&stop, 8, None, || Ok(true)));
            while stop.waiting() == 0 {
                std::thread::yield_now();
            }
            stop.kill();
            assert_eq!(waits.join().unwrap(), Err(Errno::INTR));
        });
        assert!(futexes.waiting.lock().is_empty());
    }

    #[test]
    fn no_wake_is_lost() {
        let (futexes, stop, word) = (Futexes::default(), Interruption::new(), AtomicU32::new(0));
        const TIMES: u32 = 20_000;
        let turn = |mine: u32| {
            for now in (mine..TIMES).step_by(2) {
                loop {
                    let seen = word.load(Ordering::SeqCst);
                    if seen == now {
                        break;
                    }
                    let unchanged = || Ok(word.load(Ordering::SeqCst) == seen);
                    let _ = futexes.wait(&stop, 8, None, unchanged);
                }
                word.store(now + 1, Ordering::SeqCst);
                futexes.wake(8, 1);
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| turn(0));
            scope.spawn(|| turn(1));
        });
        assert_eq!(word.into_inner(), TIMES);
    }
}
