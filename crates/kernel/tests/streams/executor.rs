//! The smallest executor: a task on a thread that may not block in a call.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use vnode_kernel::{Attempt, Pending, Tried};

struct Flag(AtomicBool, std::thread::Thread);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
        self.1.unpark();
    }
}

fn sleep_until(mut pending: Pending) {
    let flag = Arc::new(Flag(AtomicBool::new(false), std::thread::current()));
    let waker = Waker::from(Arc::clone(&flag));
    while Pin::new(&mut pending).poll(&mut Context::from_waker(&waker)).is_pending() {
        while !flag.0.swap(false, Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

/// Makes a call as an executor does, and again from its start each time that what it waits for has come.
pub(crate) fn finish<T>(mut call: impl FnMut() -> T) -> T {
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

/// Who makes a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    Thread,
    Task,
}

impl Caller {
    pub(crate) fn call<T>(self, mut call: impl FnMut() -> T) -> T {
        match self {
            Caller::Thread => call(),
            Caller::Task => finish(call),
        }
    }
}

pub(crate) const CALLERS: [Caller; 2] = [Caller::Thread, Caller::Task];
