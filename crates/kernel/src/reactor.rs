//! The one thread that sleeps for all attempts: until a time comes, or a host descriptor is ready.
//!
//! It is started when first needed and stays. Its list is short-lived by nature, so it is looked through whole each time.

use core::sync::atomic::{AtomicU64, Ordering};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};
use smallvec::SmallVec;
use vnode_core::{Errno, Result};

use crate::wait::{Sleeper, sleep};

/// Descriptors of the host, duplicates that belong to the wait.
pub(crate) type Descriptors = SmallVec<[(OwnedFd, PollFlags); 2]>;

struct Entry {
    number: u64,
    until: Option<Instant>,
    descriptors: Descriptors,
    sleeper: Arc<Sleeper>,
}

/// A place in the reactor's list, left when dropped.
pub(crate) struct Registered {
    reactor: Arc<Reactor>,
    number: u64,
}

struct Reactor {
    entries: Mutex<Vec<Arc<Entry>>>,
    next: AtomicU64,
    /// What the thread sleeps by.
    own: Arc<Sleeper>,
}

static REACTOR: Mutex<Option<Arc<Reactor>>> = Mutex::new(None);

/// Wakes `sleeper` at a time, or when one of the descriptors is ready.
///
/// # Errors
/// `ENFILE`, `ENOMEM`: the host has no descriptor or no thread for it.
pub(crate) fn register(
    until: Option<Instant>,
    descriptors: Descriptors,
    sleeper: &Arc<Sleeper>,
) -> Result<Registered> {
    let reactor = Reactor::the()?;
    let number = reactor.next.fetch_add(1, Ordering::Relaxed);
    let entry = Entry { number, until, descriptors, sleeper: Arc::clone(sleeper) };
    reactor.entries.lock().push(Arc::new(entry));
    reactor.own.wake();
    Ok(Registered { reactor, number })
}

impl Drop for Registered {
    fn drop(&mut self) {
        if self.reactor.remove(self.number) {
            // The thread lets go of the descriptors, which may be the last of a pipe's end.
            self.reactor.own.wake();
        }
    }
}

impl Reactor {
    fn the() -> Result<Arc<Reactor>> {
        let mut reactor = REACTOR.lock();
        if let Some(reactor) = &*reactor {
            return Ok(Arc::clone(reactor));
        }
        let own = Sleeper::thread()?;
        let new = Arc::new(Reactor { entries: Mutex::default(), next: AtomicU64::new(0), own });
        let running = Arc::clone(&new);
        let thread = std::thread::Builder::new().name("vnode-reactor".into()).spawn(move || running.run());
        thread.map_err(|_| Errno::NOMEM)?;
        Ok(Arc::clone(reactor.insert(new)))
    }

    /// Whether what was removed has descriptors.
    fn remove(&self, number: u64) -> bool {
        let mut entries = self.entries.lock();
        let at = entries.iter().position(|entry| entry.number == number);
        let entry = at.map(|at| entries.swap_remove(at));
        // Its descriptors are closed without the lock.
        drop(entries);
        entry.is_some_and(|entry| !entry.descriptors.is_empty())
    }

    fn run(&self) {
        loop {
            self.own.forget_wakes();
            let entries = self.entries.lock().clone();
            for number in self.sleep(&entries) {
                self.remove(number);
            }
        }
    }

    /// Sleeps until something comes, wakes who waits for it, and answers their numbers.
    fn sleep(&self, entries: &[Arc<Entry>]) -> Vec<u64> {
        let own = self.own.as_fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = own.into_iter().collect();
        let ours = fds.len();
        for entry in entries {
            let descriptors = entry.descriptors.iter();
            fds.extend(descriptors.map(|(fd, flags)| PollFd::from_borrowed_fd(fd.as_fd(), *flags)));
        }
        let next = entries.iter().filter_map(|entry| entry.until).min();
        let limit = next.map(|next| next.saturating_duration_since(Instant::now()));
        if sleep(&mut fds, limit).is_err() {
            // The host is out of memory: those who wait look themselves, and come back.
            std::thread::sleep(core::time::Duration::from_millis(10));
        }
        let now = Instant::now();
        let mut ready = fds.get(ours..).unwrap_or_default().iter().map(|fd| !fd.revents().is_empty());
        let mut woken = Vec::new();
        for entry in entries {
            let by_descriptor =
                entry.descriptors.iter().fold(false, |any, _| ready.next() == Some(true) || any);
            if by_descriptor || entry.until.is_some_and(|until| until <= now) {
                entry.sleeper.wake();
                woken.push(entry.number);
            }
        }
        woken
    }
}
