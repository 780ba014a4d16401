//! Waiting: every wait of a guest goes through [`Wait`], so that every wait can be ended.
//!
//! A sleeping thread sits in one `poll(2)`: on host descriptors, if what it waits for is theirs, and on an
//! eventfd of its own, which [`WaitQueue::wake_all`] writes for what happens inside the process.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use smallvec::SmallVec;
use vnode_core::{Cancel, Errno, Result};

/// A thread that sleeps, as those who wake it see it.
struct Sleeper {
    event: OwnedFd,
}

impl Sleeper {
    fn new() -> Result<Arc<Self>> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|_| Errno::NFILE)?;
        Ok(Arc::new(Sleeper { event }))
    }

    fn wake(&self) {
        // Fails only if the counter is full, and then the sleeper is woken already.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    fn forget_wakes(&self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.event, &mut count);
    }

    /// The calling thread's; made when it first sleeps.
    fn of_this_thread() -> Result<Arc<Self>> {
        thread_local! {
            static SLEEPER: RefCell<Option<Arc<Sleeper>>> = const { RefCell::new(None) };
        }
        SLEEPER.with_borrow_mut(|own| match own {
            Some(sleeper) => Ok(Arc::clone(sleeper)),
            None => Ok(Arc::clone(own.insert(Sleeper::new()?))),
        })
    }
}

/// The threads that wait for something inside the process.
#[derive(Default)]
pub struct WaitQueue {
    sleepers: Mutex<SmallVec<[Arc<Sleeper>; 2]>>,
}

impl WaitQueue {
    /// A queue that nobody waits in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes all who wait, to look again at what they wait for. Call it after the change, without a lock that
    /// they need for looking.
    pub fn wake_all(&self) {
        for sleeper in self.sleepers.lock().iter() {
            sleeper.wake();
        }
    }

    fn enlist<'a>(&'a self, sleeper: &Arc<Sleeper>) -> Enlisted<'a> {
        self.sleepers.lock().push(Arc::clone(sleeper));
        Enlisted { queue: self, sleeper: Arc::clone(sleeper) }
    }
}

/// A place in a queue, left when dropped.
struct Enlisted<'a> {
    queue: &'a WaitQueue,
    sleeper: Arc<Sleeper>,
}

impl Drop for Enlisted<'_> {
    fn drop(&mut self) {
        let mut sleepers = self.queue.sleepers.lock();
        if let Some(at) = sleepers.iter().position(|sleeper| Arc::ptr_eq(sleeper, &self.sleeper)) {
            sleepers.swap_remove(at);
        }
    }
}

/// Ends a process's waits from outside.
#[derive(Default)]
pub struct Interruption {
    killed: AtomicBool,
    queue: WaitQueue,
}

impl Interruption {
    /// One that nothing has happened to.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every wait of the process, now and later, and its long calls with them. Guest code that runs is the
    /// engine's to stop.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.queue.wake_all();
    }

    /// Whether [`Interruption::kill`] was called.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }
}

impl Cancel for Interruption {
    fn is_canceled(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }
}

/// What tells a waiting thread to look again.
#[derive(Clone, Copy)]
pub enum Watch<'a> {
    /// Somebody wakes the queue.
    Queue(&'a WaitQueue),
    /// A host descriptor can be read.
    HostReadable(BorrowedFd<'a>),
    /// A host descriptor can be written.
    HostWritable(BorrowedFd<'a>),
    /// Nothing: it is always ready.
    Always,
}

/// What a waiting thread found when it looked.
pub enum Look<T> {
    /// What it waited for.
    Found(T),
    /// Nothing yet. It looks again when it is woken, or after so long.
    NotYet(Option<Duration>),
}

/// How a call may wait.
#[derive(Clone, Copy)]
pub struct Wait<'a> {
    interruption: &'a Interruption,
    blocking: bool,
}

impl<'a> Wait<'a> {
    /// A call that waits as long as it takes.
    pub fn blocking(interruption: &'a Interruption) -> Self {
        Wait { interruption, blocking: true }
    }

    /// A call that fails rather than wait (`O_NONBLOCK`).
    pub fn nonblocking(interruption: &'a Interruption) -> Self {
        Wait { interruption, blocking: false }
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    /// * `EAGAIN`: this call may not wait.
    /// * `EINTR`: the process is to end.
    /// * `ENFILE`, `ENOMEM`: the host has no means left to sleep.
    pub fn until<T>(&self, watches: &[Watch<'_>], mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
        match look()? {
            Look::Found(found) => return Ok(found),
            Look::NotYet(_) if !self.blocking => return Err(Errno::AGAIN),
            Look::NotYet(_) => {}
        }
        let sleeper = Sleeper::of_this_thread()?;
        let _killing = self.interruption.queue.enlist(&sleeper);
        let mut enlisted = SmallVec::<[Enlisted<'_>; 4]>::new();
        let mut fds = SmallVec::<[PollFd<'_>; 4]>::new();
        fds.push(PollFd::from_borrowed_fd(sleeper.event.as_fd(), PollFlags::IN));
        for watch in watches {
            match *watch {
                Watch::Queue(queue) => enlisted.push(queue.enlist(&sleeper)),
                Watch::HostReadable(fd) => fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN)),
                Watch::HostWritable(fd) => fds.push(PollFd::from_borrowed_fd(fd, PollFlags::OUT)),
                Watch::Always => {}
            }
        }
        loop {
            // First forget, then look: what happens after the look leaves a wake behind.
            sleeper.forget_wakes();
            if self.interruption.is_killed() {
                return Err(Errno::INTR);
            }
            let limit = match look()? {
                Look::Found(found) => return Ok(found),
                Look::NotYet(limit) => limit,
            };
            sleep(&mut fds, limit)?;
        }
    }
}

fn sleep(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> Result<()> {
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    });
    match poll(fds, limit.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(_) => Err(Errno::NOMEM),
    }
}

/// Whether a host descriptor is ready for one of `flags` now, and whether its other end is gone.
pub(crate) fn host_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> Option<PollFlags> {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        match poll(&mut fds, Some(&now)) {
            Ok(0) => return None,
            Ok(_) => return Some(fds[0].revents()),
            Err(rustix::io::Errno::INTR) => {}
            // Let the call itself find out what is wrong.
            Err(_) => return Some(flags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::time::Instant;

    #[test]
    fn a_kill_ends_a_wait_and_all_later_ones() {
        let interruption = Arc::new(Interruption::new());
        let killer = Arc::clone(&interruption);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            killer.kill();
        });
        let wait = Wait::blocking(&interruption);
        let start = Instant::now();
        assert_eq!(wait.until(&[], || Ok(Look::<()>::NotYet(None))), Err(Errno::INTR));
        assert!(start.elapsed() < Duration::from_secs(5));
        thread.join().unwrap();
        assert_eq!(wait.until(&[], || Ok(Look::<()>::NotYet(None))), Err(Errno::INTR));
        assert!(interruption.queue.sleepers.lock().is_empty());
    }

    #[test]
    fn a_queue_wakes_who_waits_in_it() {
        let interruption = Interruption::new();
        let state = Arc::new((WaitQueue::new(), AtomicU32::new(0)));
        let other = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for _ in 0..100 {
                other.1.fetch_add(1, Ordering::SeqCst);
                other.0.wake_all();
            }
        });
        let seen = Wait::blocking(&interruption).until(&[Watch::Queue(&state.0)], || {
            Ok(match state.1.load(Ordering::SeqCst) {
                100 => Look::Found(100),
                _ => Look::NotYet(None),
            })
        });
        thread.join().unwrap();
        assert_eq!(seen, Ok(100));
        assert!(state.0.sleepers.lock().is_empty());
    }

    #[test]
    fn a_wait_that_may_not_block_is_eagain() {
        let interruption = Interruption::new();
        let wait = Wait::nonblocking(&interruption);
        assert_eq!(wait.until(&[], || Ok(Look::<()>::NotYet(None))), Err(Errno::AGAIN));
        assert_eq!(wait.until(&[], || Ok(Look::Found(7))), Ok(7));
    }

    #[test]
    fn a_limit_makes_it_look_again() {
        let interruption = Interruption::new();
        let start = Instant::now();
        let waited = Wait::blocking(&interruption).until(&[], || {
            let waited = start.elapsed();
            let limit = Duration::from_millis(20);
            Ok(if waited >= limit { Look::Found(waited) } else { Look::NotYet(Some(limit - waited)) })
        });
        assert!(waited.unwrap() < Duration::from_secs(5));
    }
}
