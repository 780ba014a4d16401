//! Threads that may block, for calls that an executor's thread may not make.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use vnode_kernel::{Interruption, on_behalf};

/// The most threads. A call beyond waits for one of them.
const THREADS: usize = 512;
/// How long a thread waits for work.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static POOL: Pool =
    Pool { state: Mutex::new(State { jobs: VecDeque::new(), threads: 0, idle: 0 }), work: Condvar::new() };

impl Pool {
    /// Has a job done; false if there is no thread for it and can't be one.
    fn submit(&'static self, job: Job) -> bool {
        let mut state = self.state.lock();
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle {
            self.work.notify_one();
            return true;
        }
        if state.threads >= THREADS {
            return true;
        }
        let thread = std::thread::Builder::new().name("vnode-worker".to_owned());
        match thread.spawn(|| self.serve()) {
            Ok(_) => state.threads += 1,
            Err(_) if state.threads > 0 => {}
            Err(_) => {
                let job = state.jobs.pop_back();
                drop(state);
                // Whoever waits for it is told by its being dropped.
                drop(job);
                return false;
            }
        }
        true
    }

    fn serve(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A call's own panic is the guest's end; here only dropping what it used could panic.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.state.lock();
                continue;
            }
            state.idle += 1;
            let over = self.work.wait_for(&mut state, IDLE).timed_out();
            state.idle -= 1;
            if over && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// A call on another thread. Dropped, it ends what the call waits for, and a call that has not begun never does.
pub(crate) struct Running<R> {
    shared: Arc<Mutex<Shared<R>>>,
    gone: Arc<Interruption>,
}

struct Shared<R> {
    result: Option<R>,
    over: bool,
    waker: Option<Waker>,
}

/// The other thread's end; dropped, it says that there will be no result.
struct Sender<R>(Arc<Mutex<Shared<R>>>);

impl<R> Drop for Sender<R> {
    fn drop(&mut self) {
        let mut shared = self.0.lock();
        shared.over = true;
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<R> Future for Running<R> {
    type Output = Option<R>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<R>> {
        let mut shared = self.shared.lock();
        if shared.over {
            return Poll::Ready(shared.result.take());
        }
        let old = shared.waker.replace(context.waker().clone());
        drop(shared);
        // A waker is the executor's: it is dropped without our lock.
        drop(old);
        Poll::Pending
    }
}

impl<R> Drop for Running<R> {
    fn drop(&mut self) {
        self.gone.kill();
    }
}

/// Has a call made on a thread that may block. Ready with nothing if the host has no thread for it.
pub(crate) fn run<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> Running<R> {
    let shared = Arc::new(Mutex::new(Shared { result: None, over: false, waker: None }));
    let gone = Arc::new(Interruption::new());
    let sender = Sender(Arc::clone(&shared));
    let of = Arc::clone(&gone);
    POOL.submit(Box::new(move || {
        if of.is_killed() {
            return;
        }
        let result = on_behalf(&of, call);
        sender.0.lock().result = Some(result);
    }));
    Running { shared, gone }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use vnode_kernel::{Look, Wait};

    #[test]
    fn results_come_back_and_panics_are_nothing() {
        assert_eq!(pollster::block_on(run(|| 7)), Some(7));
        assert_eq!(pollster::block_on(run(|| -> i32 { panic!("on purpose") })), None);
        let many: Vec<_> = (0..50).map(|number| run(move || number)).collect();
        let sum: i32 = many.into_iter().map(|one| pollster::block_on(one).unwrap()).sum();
        assert_eq!(sum, 49 * 25);
    }

    #[test]
    fn who_is_dropped_ends_the_wait_of_his_thread() {
        let (sender, receiver) = channel();
        let running = run(move || {
            let never = Interruption::new();
            let ended = Wait::blocking(&never).until(&[], || Ok(Look::<()>::NotYet(None)));
            sender.send(ended).unwrap();
        });
        std::thread::sleep(Duration::from_millis(20));
        drop(running);
        let ended = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(ended, Err(vnode_core::Errno::INTR));
    }
}
