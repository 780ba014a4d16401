//! Signals of guests: their handler is called after each call of the guest, and in its running code when the epoch
//! moves.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;
use vnode_kernel::{Action, Alarm, Interruption};
use wasmtime::{AsContextMut, Caller, Extern, TypedFunc};

use crate::checkpoint;
use crate::guest::Guest;

/// How far the epoch may move while a handler runs that was called when it moved: Wasmtime then has no callback, and ends
/// the guest when the deadline is reached. Signals move it by one; for a guest that is to end in such a handler it is
/// moved as far.
pub(crate) const DISTANCE: u64 = 1 << 22;

/// The time after which the epoch is moved once more.
const AGAIN: Duration = Duration::from_millis(5);

/// How often a guest that is to end in its handler waits for others to leave theirs, who would end with it: a second.
const PATIENCE: u32 = 200;

/// How many guests are in handlers that were called in their code, whatever their engine.
static NESTED: Mutex<usize> = Mutex::new(0);

/// A guest in a handler that was called in its code.
struct Nested<'a>(&'a Bell);

impl<'a> Nested<'a> {
    /// `set` sets its deadline, which nobody moves the epoch past meanwhile.
    fn enter(bell: &'a Bell, set: impl FnOnce()) -> Self {
        let mut count = NESTED.lock();
        *count += 1;
        bell.nested.store(true, Ordering::SeqCst);
        set();
        Nested(bell)
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        self.0.nested.store(false, Ordering::SeqCst);
        *NESTED.lock() -= 1;
    }
}

/// A handler of signals in a guest's code.
pub(crate) type Handler = TypedFunc<i32, ()>;

/// What makes a guest's running code look for signals, or end.
pub(crate) struct Bell {
    engine: wasmtime::Engine,
    interruption: Arc<Interruption>,
    /// Whether a handler runs that was called when the epoch moved.
    nested: AtomicBool,
    /// Who looks just when the epoch moves has its next deadline behind that: it is moved once more a little later.
    again: Mutex<Option<Alarm>>,
}

impl Bell {
    pub(crate) fn new(engine: wasmtime::Engine, interruption: Arc<Interruption>) -> Arc<Bell> {
        Arc::new(Bell { engine, interruption, nested: AtomicBool::new(false), again: Mutex::default() })
    }

    /// Moves the epoch, after the guest was marked: who sees the new epoch sees the mark.
    pub(crate) fn ring(self: &Arc<Self>) {
        self.engine.increment_epoch();
        self.wind(0);
    }

    /// Has the epoch moved once more a little later.
    fn wind(self: &Arc<Self>, tries: u32) {
        // It may be over before this returns: what winds it then waits, and comes after.
        let mut slot = self.again.lock();
        let again = Alarm::after(AGAIN, &Waker::from(Arc::new(Again(Arc::clone(self), tries))));
        // Without a timer it is not moved again, which is seldom needed.
        let old = std::mem::replace(&mut *slot, again.ok());
        drop(slot);
        drop(old);
    }

    /// Whether the guest is to end in a handler that was called in its code, where only the deadline is seen.
    fn ends_nested(&self) -> bool {
        self.interruption.is_killed() && self.nested.load(Ordering::SeqCst)
    }

    fn move_again(self: &Arc<Self>, tries: u32) {
        self.engine.increment_epoch();
        if !self.ends_nested() {
            return;
        }
        // Who enters a handler meanwhile has a deadline behind this.
        let count = NESTED.lock();
        if *count > 1 && tries < PATIENCE {
            drop(count);
            return self.wind(tries + 1);
        }
        for _ in 0..DISTANCE {
            self.engine.increment_epoch();
        }
    }
}

struct Again(Arc<Bell>, u32);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.0.move_again(self.1);
    }
}

/// Finds the guest's handler: by the name that the guest gave, among the exports of the instance that calls.
pub(crate) fn name_handler<T: 'static>(caller: &mut Caller<'_, T>, get: impl Fn(&mut T) -> &mut Guest) {
    let name = get(caller.data_mut()).process().signals().handler();
    let name = name.as_deref().and_then(|name| core::str::from_utf8(name).ok()).unwrap_or_default();
    let export = caller.get_export(name);
    let handler = export.and_then(Extern::into_func).and_then(|function| function.typed(&*caller).ok());
    get(caller.data_mut()).set_signal_handler(handler);
}

/// Calls the handler for each signal that came; whether all were such as a program that doesn't set up anything for
/// them never notices.
///
/// # Errors
/// What ended the guest in it.
pub(crate) fn deliver<T: 'static>(
    mut context: impl AsContextMut<Data = T>,
    get: impl Fn(&mut T) -> &mut Guest,
) -> wasmtime::Result<bool> {
    let mut unnoticed = true;
    loop {
        let mut context = context.as_context_mut();
        let guest = get(context.data_mut());
        if !checkpoint::is_still(guest) {
            return Ok(false);
        }
        let signals = Arc::clone(guest.process().signals());
        let handler = guest.signal_handler().cloned();
        let Some(signal) = signals.take() else { return Ok(unnoticed) };
        unnoticed &= signal.default_action() == Action::Ignore;
        match handler {
            Some(handler) => {
                let number = i32::from(signal.number());
                let handled =
                    checkpoint::call(context, &get, |mut context| handler.call(&mut context, number));
                signals.done(signal);
                handled?;
            }
            None => {
                signals.done(signal);
                signals.act(signal);
            }
        }
    }
}

/// The same in code that runs, when the epoch has moved.
///
/// # Errors
/// As [`deliver`].
pub(crate) fn deliver_in_code<T: 'static>(
    mut context: wasmtime::StoreContextMut<'_, T>,
    get: impl Fn(&mut T) -> &mut Guest,
) -> wasmtime::Result<()> {
    let bell = Arc::clone(get(context.data_mut()).bell());
    let nested = Nested::enter(&bell, || context.set_epoch_deadline(DISTANCE));
    // A kill that is not seen here moves the epoch past that.
    let ended = bell.interruption.is_killed();
    let delivered = match ended {
        true => Ok(()),
        false => {
            checkpoint::in_between(context.as_context_mut(), &get, |context| deliver(context, &get).map(drop))
        }
    };
    drop(nested);
    if delivered.is_err() {
        // The guest may go on elsewhere, by a jump.
        context.set_epoch_deadline(1);
    }
    delivered
}
