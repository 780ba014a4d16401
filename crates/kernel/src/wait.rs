//! Waiting: every wait of a guest goes through [`Wait`], so that every wait can be ended.
//!
//! A sleeping thread sits in one `poll(2)`: on host descriptors, if what it waits for is theirs, and on an
//! [`Event`] of its own, which [`WaitQueue::wake_all`] writes for what happens inside the process. A call on a thread
//! that may not sleep leaves a [`Pending`] behind, which the same queues wake ([`Attempt`](crate::Attempt)).

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::Waker;
use core::time::Duration;
use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smallvec::SmallVec;
use vnode_core::{Cancel, Errno, Result, blocking};

use crate::attempt::{self, Pending};
use crate::event::Event;
use crate::reactor::{self, Descriptors};

/// Who sleeps, as those who wake him see him.
pub(crate) enum Sleeper {
    /// A thread, by what it polls.
    Thread(Event),
    /// A task of an executor.
    Task(Mutex<Task>),
}

#[derive(Default)]
pub(crate) struct Task {
    woken: bool,
    waker: Option<Waker>,
}

impl Sleeper {
    pub(crate) fn thread() -> Result<Arc<Self>> {
        Ok(Arc::new(Sleeper::Thread(Event::new()?)))
    }

    pub(crate) fn task() -> Arc<Self> {
        Arc::new(Sleeper::Task(Mutex::default()))
    }

    pub(crate) fn wake(&self) {
        match self {
            Sleeper::Thread(event) => event.signal(),
            Sleeper::Task(task) => {
                let mut task = task.lock();
                task.woken = true;
                let waker = task.waker.take();
                drop(task);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    /// Whether a task was woken; if not, `waker` will be.
    pub(crate) fn is_woken_or_wakes(&self, waker: &Waker) -> bool {
        let Sleeper::Task(task) = self else { return true };
        let mut task = task.lock();
        let old = if task.woken { task.waker.take() } else { task.waker.replace(waker.clone()) };
        let woken = task.woken;
        drop(task);
        // A waker is the executor's: it is dropped without our lock.
        drop(old);
        woken
    }

    /// What a thread polls.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Sleeper::Thread(event) => Some(event.as_fd()),
            Sleeper::Task(_) => None,
        }
    }

    pub(crate) fn forget_wakes(&self) {
        if let Sleeper::Thread(event) = self {
            event.clear();
        }
    }

    /// The calling thread's; made when it first sleeps.
    fn of_this_thread() -> Result<Arc<Self>> {
        thread_local! {
            static SLEEPER: RefCell<Option<Arc<Sleeper>>> = const { RefCell::new(None) };
        }
        SLEEPER.with_borrow_mut(|own| match own {
            Some(sleeper) => Ok(Arc::clone(sleeper)),
            None => Ok(Arc::clone(own.insert(Sleeper::thread()?))),
        })
    }
}

type Sleepers = Mutex<SmallVec<[Arc<Sleeper>; 2]>>;

/// Those who wait for something inside the process.
#[derive(Default)]
pub struct WaitQueue {
    sleepers: Arc<Sleepers>,
}

impl WaitQueue {
    /// A queue that nobody waits in.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes all who wait, to look again at what they wait for. Call it after the change, without a lock that
    /// they need for looking.
    pub fn wake_all(&self) {
        // Without the lock: a waker is somebody else's code.
        let sleepers = self.sleepers.lock().clone();
        for sleeper in sleepers {
            sleeper.wake();
        }
    }

    /// Wakes one of the threads that wait, where one can use what has come, and all tasks, which an executor may
    /// drop without having them look. Who was enlisted must wake the next one when he has left the queue, if there is
    /// something left for him.
    pub(crate) fn wake_one(&self) {
        let sleepers = self.sleepers.lock();
        let mut thread = None;
        let mut tasks = SmallVec::<[Arc<Sleeper>; 2]>::new();
        for sleeper in sleepers.iter() {
            match **sleeper {
                Sleeper::Thread(_) => thread = thread.or(Some(sleeper)),
                Sleeper::Task(_) => tasks.push(Arc::clone(sleeper)),
            }
        }
        let woken = tasks.into_iter().chain(thread.cloned()).collect::<SmallVec<[_; 2]>>();
        drop(sleepers);
        for sleeper in woken {
            sleeper.wake();
        }
    }

    pub(crate) fn enlist(&self, sleeper: &Arc<Sleeper>) -> Enlisted {
        self.sleepers.lock().push(Arc::clone(sleeper));
        Enlisted { sleepers: Arc::clone(&self.sleepers), sleeper: Arc::clone(sleeper) }
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.sleepers.lock().len()
    }
}

/// A place in a queue, left when dropped.
pub(crate) struct Enlisted {
    sleepers: Arc<Sleepers>,
    sleeper: Arc<Sleeper>,
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        let mut sleepers = self.sleepers.lock();
        if let Some(at) = sleepers.iter().position(|sleeper| Arc::ptr_eq(sleeper, &self.sleeper)) {
            sleepers.swap_remove(at);
        }
    }
}

/// Ends a process's waits from outside.
#[derive(Default)]
pub struct Interruption {
    killed: AtomicBool,
    /// Signals that came and were not handled yet, a bit each.
    pub(crate) pending: AtomicU32,
    /// Those that a handler is running for: they come again when it is done.
    pub(crate) handling: AtomicU32,
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

    /// A signal came that the process handles: ends the wait that it is in, or the next.
    pub(crate) fn interrupt(&self, signal: u32) {
        self.pending.fetch_or(signal, Ordering::SeqCst);
        self.queue.wake_all();
    }

    /// Whether there is a signal to be handled now.
    #[inline]
    pub(crate) fn is_interrupted(&self) -> bool {
        let pending = self.pending.load(Ordering::SeqCst);
        pending != 0 && pending & !self.handling.load(Ordering::SeqCst) != 0
    }

    /// Whether [`Interruption::kill`] was called.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
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

impl Watch<'_> {
    /// Whether both are told by the same thing.
    pub(crate) fn is(&self, other: &Watch<'_>) -> bool {
        match (self, other) {
            (Watch::Queue(one), Watch::Queue(two)) => core::ptr::eq(*one, *two),
            (Watch::HostReadable(one), Watch::HostReadable(two))
            | (Watch::HostWritable(one), Watch::HostWritable(two)) => one.as_raw_fd() == two.as_raw_fd(),
            (Watch::Always, Watch::Always) => true,
            _ => false,
        }
    }
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

    /// Whether the process is to end: a call that moves much without waiting stops then.
    pub fn is_over(&self) -> bool {
        self.interruption.is_killed() || attempt::behalf().is_some_and(|other| other.is_killed())
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    /// * `EAGAIN`: this call may not wait.
    /// * `EINTR`: the process is to end, or has a signal to handle.
    /// * `ENFILE`, `ENOMEM`: the host has no means left to sleep.
    pub fn until<T>(&self, watches: &[Watch<'_>], mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
        match look()? {
            Look::Found(found) => return Ok(found),
            Look::NotYet(_) if !self.blocking => return Err(Errno::AGAIN),
            Look::NotYet(_) => {}
        }
        if blocking::is_forbidden() { self.later(watches, look) } else { self.sleep(watches, look) }
    }

    /// Puts the thread to sleep until `look` finds something.
    fn sleep<T>(&self, watches: &[Watch<'_>], mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
        let sleeper = Sleeper::of_this_thread()?;
        let behalf = attempt::behalf();
        let interruptions = [Some(self.interruption), behalf.as_deref()];
        let interruptions = || interruptions.iter().flatten();
        let mut enlisted = SmallVec::<[Enlisted; 4]>::new();
        enlisted.extend(interruptions().map(|interruption| interruption.queue.enlist(&sleeper)));
        let mut fds = SmallVec::<[PollFd<'_>; 4]>::new();
        fds.extend(sleeper.as_fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
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
            if interruptions().any(|interruption| interruption.is_killed()) {
                return Err(Errno::INTR);
            }
            let limit = match look()? {
                Look::Found(found) => return Ok(found),
                Look::NotYet(limit) => limit,
            };
            if interruptions().any(|interruption| interruption.is_interrupted()) {
                return Err(Errno::INTR);
            }
            sleep(&mut fds, limit)?;
        }
    }

    /// Leaves behind what the call waits for, for it to be made again, unless it has come meanwhile.
    fn later<T>(&self, watches: &[Watch<'_>], mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
        let task = Sleeper::task();
        let mut places = SmallVec::new();
        places.push(self.interruption.queue.enlist(&task));
        let mut descriptors = Descriptors::new();
        for watch in watches {
            match *watch {
                Watch::Queue(queue) => places.push(queue.enlist(&task)),
                Watch::HostReadable(fd) => descriptors.push((duplicate(fd)?, PollFlags::IN)),
                Watch::HostWritable(fd) => descriptors.push((duplicate(fd)?, PollFlags::OUT)),
                Watch::Always => {}
            }
        }
        if self.interruption.is_killed() {
            return Err(Errno::INTR);
        }
        let limit = match look()? {
            Look::Found(found) => return Ok(found),
            Look::NotYet(limit) => limit,
        };
        if self.interruption.is_interrupted() {
            return Err(Errno::INTR);
        }
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        let registered = match until.is_some() || !descriptors.is_empty() {
            true => Some(reactor::register(until, descriptors, &task)?),
            false => None,
        };
        attempt::leave(Pending { task, _places: places, _registered: registered });
        blocking::check().and(Err(Errno::AGAIN))
    }
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|_| Errno::NFILE)
}

pub(crate) fn sleep(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> Result<()> {
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
