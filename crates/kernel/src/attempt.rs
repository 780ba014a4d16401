//! Calls on a thread that may not block: tried, and tried again when what they wait for has come.
//!
//! [`Wait::until`](crate::Wait::until) would put the thread to sleep; in an attempt it leaves behind what it waits for
//! instead, and fails. The call then is made once more from its start when that has come. What must not start anew
//! with it is kept from one try to the next: when the times of a `poll` are over, how much of a write is done.

use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;
use vnode_core::{Result, blocking};

use crate::reactor::{self, Registered};
use crate::wait::{Enlisted, Interruption, Sleeper};

/// A call that is made until it need not wait any more.
#[derive(Default)]
pub struct Attempt {
    kept: Kept,
}

/// What a try came to.
pub enum Tried<T> {
    /// The call's own result.
    Done(T),
    /// It waits: to be tried again when this is ready. Dropping it ends the wait.
    Waits(Pending),
    /// It may block, in a filesystem say: to be made on a thread that may.
    Blocks,
}

/// A call after its first try: what it kept, and what it came to.
pub type Unfinished<T> = Box<(Attempt, Tried<T>)>;

/// What goes from one try to the next.
#[derive(Default)]
pub(crate) struct Kept {
    /// When each of a `poll`'s times is over, by its number in the list.
    pub(crate) deadlines: Vec<Option<u64>>,
    /// When a sleep is over.
    pub(crate) until: Option<Instant>,
    /// Bytes that were written, or received by who waits for all.
    pub(crate) written: usize,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
    static PENDING: RefCell<Option<Pending>> = const { RefCell::new(None) };
    static ON_BEHALF: RefCell<Option<Arc<Interruption>>> = const { RefCell::new(None) };
}

impl Attempt {
    /// A first try. What there is to be kept is made only if it isn't done at once.
    pub fn first<T>(call: impl FnOnce() -> T) -> core::result::Result<T, Unfinished<T>> {
        blocking::without(call).ok_or_else(|| Box::new(Attempt::left()))
    }

    /// A further try.
    pub fn again<T>(&mut self, call: impl FnOnce() -> T) -> Tried<T> {
        KEPT.replace(core::mem::take(&mut self.kept));
        match blocking::without(call) {
            Some(result) => {
                Attempt::left::<T>();
                Tried::Done(result)
            }
            None => {
                let (attempt, tried) = Attempt::left();
                *self = attempt;
                tried
            }
        }
    }

    /// A call that a signal has interrupted, and that may be made again when the signal is handled (`ERESTARTSYS` in
    /// Linux). Taken on the call's thread before the handler runs.
    pub fn interrupted() -> Attempt {
        Attempt { kept: KEPT.take() }
    }

    /// Prepares this thread for making the call again, which may sleep.
    pub fn restart(self) {
        KEPT.replace(self.kept);
    }

    /// Takes what a try left behind on this thread.
    #[cold]
    fn left<T>() -> (Attempt, Tried<T>) {
        let attempt = Attempt { kept: KEPT.take() };
        let tried = match PENDING.take() {
            Some(pending) => Tried::Waits(pending),
            None => Tried::Blocks,
        };
        (attempt, tried)
    }
}

/// What an earlier try of the call kept.
pub(crate) fn kept() -> Kept {
    KEPT.take()
}

/// Keeps when a call's time is over, for the next try: as [`keep`] does, and when a signal is handled before that.
pub(crate) fn keep_time(kept: Kept, interruption: &Interruption) {
    if interruption.is_interrupted() {
        KEPT.replace(kept);
    } else {
        keep(kept);
    }
}

/// Keeps something for the next try, if there is one: on a thread that may not sleep.
pub(crate) fn keep(kept: Kept) {
    if blocking::was_met() {
        KEPT.replace(kept);
    }
}

/// Leaves behind what the call waits for.
pub(crate) fn leave(pending: Pending) {
    PENDING.replace(Some(pending));
}

/// Makes a call on behalf of somebody who may go away meanwhile: then the call's waits end.
pub fn on_behalf<T>(of: &Arc<Interruption>, call: impl FnOnce() -> T) -> T {
    struct Outer(Option<Arc<Interruption>>);
    impl Drop for Outer {
        fn drop(&mut self) {
            ON_BEHALF.replace(self.0.take());
        }
    }
    let _outer = Outer(ON_BEHALF.replace(Some(Arc::clone(of))));
    call()
}

/// Whose going away ends the waits of this thread.
pub(crate) fn behalf() -> Option<Arc<Interruption>> {
    ON_BEHALF.with_borrow(Clone::clone)
}

/// Ready when what a call waits for may have come. No thread sleeps for it.
pub struct Pending {
    pub(crate) task: Arc<Sleeper>,
    /// Its places in the queues of what it waits for, left when it is dropped.
    pub(crate) _places: SmallVec<[Enlisted; 4]>,
    /// For a time, or for host descriptors.
    pub(crate) _registered: Option<Registered>,
}

impl Future for Pending {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.task.is_woken_or_wakes(context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// Wakes somebody when a time is over, from a thread that all share; dropped, it doesn't.
pub struct Alarm {
    _registered: Registered,
}

impl Alarm {
    /// Calls `waker` after so long.
    ///
    /// # Errors
    /// `ENFILE`, `ENOMEM`: the host has no descriptor or no thread for it.
    pub fn after(time: Duration, waker: &Waker) -> Result<Alarm> {
        let task = Sleeper::task();
        let _ = task.is_woken_or_wakes(waker);
        // What is further away than the clock reaches never comes.
        let until = Instant::now().checked_add(time);
        Ok(Alarm { _registered: reactor::register(until, SmallVec::new(), &task)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{Look, Wait, WaitQueue, Watch};
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::task::Wake;
    use vnode_core::Errno;

    struct Flag(AtomicBool, std::thread::Thread);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            self.1.unpark();
        }
    }

    /// The smallest executor.
    fn sleep_until(mut pending: Pending) {
        let flag = Arc::new(Flag(AtomicBool::new(false), std::thread::current()));
        let waker = Waker::from(Arc::clone(&flag));
        while Pin::new(&mut pending).poll(&mut Context::from_waker(&waker)).is_pending() {
            while !flag.0.swap(false, Ordering::SeqCst) {
                std::thread::park();
            }
        }
    }

    fn finish<T>(mut call: impl FnMut() -> T) -> T {
        let (mut attempt, mut tried) = match Attempt::first(&mut call) {
            Ok(done) => return done,
            Err(left) => *left,
        };
        loop {
            match tried {
                Tried::Done(done) => return done,
                Tried::Waits(pending) => sleep_until(pending),
                Tried::Blocks => panic!("nothing blocks here"),
            }
            tried = attempt.again(&mut call);
        }
    }

    #[test]
    fn a_queue_wakes_an_attempt() {
        let interruption = Interruption::new();
        let state = Arc::new((WaitQueue::new(), AtomicU32::new(0)));
        let other = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for _ in 0..1000 {
                other.1.fetch_add(1, Ordering::SeqCst);
                other.0.wake_all();
            }
        });
        let seen = finish(|| {
            Wait::blocking(&interruption).until(&[Watch::Queue(&state.0)], || {
                Ok(match state.1.load(Ordering::SeqCst) {
                    1000 => Look::Found(1000),
                    _ => Look::NotYet(None),
                })
            })
        });
        thread.join().unwrap();
        assert_eq!(seen, Ok(1000));
        assert_eq!(state.0.waiting(), 0);
        assert_eq!(interruption.waiting(), 0);
    }

    #[test]
    fn a_kill_ends_an_attempt() {
        let interruption = Arc::new(Interruption::new());
        let killer = Arc::clone(&interruption);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            killer.kill();
        });
        let ended: Result<()> =
            finish(|| Wait::blocking(&interruption).until(&[], || Ok(Look::NotYet(None))));
        assert_eq!(ended, Err(Errno::INTR));
        thread.join().unwrap();
    }

    #[test]
    fn dropping_what_is_pending_leaves_the_queues() {
        let (interruption, queue) = (Interruption::new(), WaitQueue::new());
        let wait = || -> Result<()> {
            Wait::blocking(&interruption)
                .until(&[Watch::Queue(&queue)], || Ok(Look::NotYet(Some(Duration::from_secs(1000)))))
        };
        let (_, tried) = *Attempt::first(wait).expect_err("it waits");
        let Tried::Waits(pending) = tried else { panic!("it waits") };
        assert_eq!((queue.waiting(), interruption.waiting()), (1, 1));
        drop(pending);
        assert_eq!((queue.waiting(), interruption.waiting()), (0, 0));
    }

    #[test]
    fn an_alarm_wakes_once_it_is_time() {
        let flag = Arc::new(Flag(AtomicBool::new(false), std::thread::current()));
        let waker = Waker::from(Arc::clone(&flag));
        let start = Instant::now();
        let unheard = Arc::new(Flag(AtomicBool::new(false), std::thread::current()));
        drop(Alarm::after(Duration::from_millis(1), &Waker::from(Arc::clone(&unheard))).unwrap());
        let _alarm = Alarm::after(Duration::from_millis(30), &waker).unwrap();
        while !flag.0.load(Ordering::SeqCst) {
            std::thread::park();
        }
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(!unheard.0.load(Ordering::SeqCst));
    }

    #[test]
    fn who_went_away_ends_the_waits_on_his_behalf() {
        let (interruption, gone) = (Interruption::new(), Arc::new(Interruption::new()));
        let leaver = Arc::clone(&gone);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            leaver.kill();
        });
        let ended: Result<()> =
            on_behalf(&gone, || Wait::blocking(&interruption).until(&[], || Ok(Look::NotYet(None))));
        assert_eq!(ended, Err(Errno::INTR));
        thread.join().unwrap();
        assert!(behalf().is_none());
    }
}
