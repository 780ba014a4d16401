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
/// the guest when the deadline is reached. Only signals and ends of guests move it, each by one; a guest that is to end
/// has it moved as far.
pub(crate) const DISTANCE: u64 = 1 << 22;

/// The time after which the epoch is moved once more.
const AGAIN: Duration = Duration::from_millis(5);

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
        self.move_epoch();
        // Without a timer it is not moved again, which is seldom needed.
        let again = Alarm::after(AGAIN, &Waker::from(Arc::new(Again(Arc::clone(self)))));
        let old = std::mem::replace(&mut *self.again.lock(), again.ok());
        drop(old);
    }

    fn move_epoch(&self) {
        let ends = self.interruption.is_killed() && self.nested.load(Ordering::SeqCst);
        for _ in 0..if ends { DISTANCE } else { 1 } {
            self.engine.increment_epoch();
        }
    }
}

struct Again(Arc<Bell>);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.0.move_epoch();
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
    bell.nested.store(true, Ordering::SeqCst);
    context.set_epoch_deadline(DISTANCE);
    // A kill that is not seen here moves the epoch past that.
    let ended = bell.interruption.is_killed();
    let delivered = match ended {
        true => Ok(()),
        false => {
            checkpoint::in_between(context.as_context_mut(), &get, |context| deliver(context, &get).map(drop))
        }
    };
    bell.nested.store(false, Ordering::SeqCst);
    if delivered.is_err() {
        // The guest may go on elsewhere, by a jump.
        context.set_epoch_deadline(1);
    }
    delivered
}
