//! Calls of guests that run on the threads of an executor, which may not block.

use std::future::{Future, poll_fn, ready};
use std::sync::Arc;
use std::task::Poll;

use vnode_core::{Errno, Result};
use vnode_kernel::{Attempt, Process, Tried};
use vnode_wasi::apart::{Copies, Notes};
use vnode_wasi::errno::to_wasi;
use vnode_wasi::{Answer, GuestMemory, Outcome};
use wasmtime::Caller;

use crate::guest::Guest;
use crate::link::{HostPanic, answer, guarded};
use crate::memory;
use crate::workers;

/// What a call came to, or its panic.
type Caught = std::result::Result<Outcome, HostPanic>;
/// The call's future, as Wasmtime takes it.
type Answering<'a, R> = Box<dyn Future<Output = wasmtime::Result<R>> + Send + 'a>;

/// One call of a guest: done at once if it can be.
pub(crate) fn call<'a, T: Send + 'static, R: Answer + Send + 'static>(
    mut caller: Caller<'a, T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy + Send + Sync + 'static,
    name: &'static str,
    function: impl Fn(&Process, &GuestMemory<'_>) -> Outcome + Copy + Send + 'static,
) -> Answering<'a, R> {
    let tried = memory::with(&mut caller, get, |process, memory| {
        Attempt::first(|| guarded(name, || function(process, memory)))
    });
    match tried {
        Ok(outcome) if name == "sched_yield" => Box::new(yielding(answer(outcome))),
        Ok(outcome) => Box::new(ready(answer(outcome))),
        Err(left) => {
            let (attempt, tried) = *left;
            Box::new(Call { caller, get, name, function, attempt }.finish(tried))
        }
    }
}

/// Lets the executor run others first.
async fn yielding<R>(result: R) -> R {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    result
}

/// A call that was not done at once.
struct Call<'a, T: 'static, G, F> {
    caller: Caller<'a, T>,
    get: G,
    name: &'static str,
    function: F,
    attempt: Attempt,
}

impl<T, G, F> Call<'_, T, G, F>
where
    T: Send + 'static,
    G: Fn(&mut T) -> &mut Guest + Copy + Send + Sync + 'static,
    F: Fn(&Process, &GuestMemory<'_>) -> Outcome + Copy + Send + 'static,
{
    /// Tries until the call need not wait, and moves it to another thread if it may block.
    async fn finish<R: Answer>(mut self, mut tried: Tried<Caught>) -> wasmtime::Result<R> {
        loop {
            match tried {
                Tried::Done(outcome) => return answer(outcome),
                Tried::Waits(pending) => pending.await,
                Tried::Blocks => return answer(self.by_pieces().await),
            }
            tried = self.again(None);
        }
    }

    /// A further try, which notes what the call checks of the guest's memory if that is asked for.
    fn again(&mut self, notes: Option<&Notes>) -> Tried<Caught> {
        let (name, function, attempt) = (self.name, self.function, &mut self.attempt);
        memory::with(&mut self.caller, self.get, |process, memory| {
            attempt.again(|| {
                guarded(name, || match notes {
                    Some(notes) => function(process, &memory.noting(notes)),
                    None => function(process, memory),
                })
            })
        })
    }

    /// Makes the call where it may block; one that reads or writes much is made once for each piece.
    async fn by_pieces(&mut self) -> Caught {
        let mut notes = Notes::default();
        loop {
            let (outcome, goes_on) = match self.again(Some(&notes)) {
                // What it waited for has come meanwhile.
                Tried::Done(outcome) => (outcome, notes.goes_on()),
                Tried::Waits(pending) => {
                    pending.await;
                    continue;
                }
                Tried::Blocks => {
                    let copies = memory::with(&mut self.caller, self.get, |_, memory| notes.copies(memory));
                    match self.elsewhere(copies).await {
                        Ok((outcome, copies)) => (outcome, copies.goes_on()),
                        Err(errno) => return Ok(Ok(to_wasi(errno))),
                    }
                }
            };
            match goes_on {
                Some(moved) if matches!(outcome, Ok(Ok(0))) => notes = Notes::after(moved),
                _ => return outcome,
            }
        }
    }

    /// Makes the call on another thread.
    ///
    /// # Errors
    /// `ENOMEM`: the host has no memory or no thread for it. `EFAULT`: the guest's memory is another one.
    async fn elsewhere(&mut self, copies: Result<Copies>) -> Result<(Caught, Copies)> {
        let mut copies = copies?;
        let process = Arc::clone((self.get)(self.caller.data_mut()).shared_process());
        let (name, function) = (self.name, self.function);
        let running = workers::run(move || {
            let outcome = guarded(name, || function(&process, &copies.memory()));
            (outcome, copies)
        });
        let (outcome, copies) = running.await.ok_or(Errno::NOMEM)?;
        memory::with(&mut self.caller, self.get, |_, memory| copies.put_back(memory))?;
        Ok((outcome, copies))
    }
}
