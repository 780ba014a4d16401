//! Whether the thread that makes a call may block in it.
//!
//! A thread of an asynchronous executor may not. So a call is tried there by [`without`]; what would block says so by
//! [`check`] before it has any effect, and the whole call is made once more where it may block, or when what it waits
//! for has come. Linux does the same with `IOCB_NOWAIT`, by which io_uring tries a request before a worker of its
//! gets it; and as there (`might_sleep()`) the question is one about the thread, not about the call.
//!
//! [`FilesystemRef`](crate::FilesystemRef) asks for every filesystem with [`Caps::BLOCKING`](crate::fs::Caps::BLOCKING).
//! A filesystem without it that blocks now and then, to fill a cache say, asks itself.
//!
//! ```
//! use vnode_core::{Errno, blocking};
//!
//! fn slow() -> vnode_core::Result<u32> {
//!     blocking::check()?; // before anything is done
//!     std::thread::sleep(std::time::Duration::from_millis(1));
//!     Ok(7)
//! }
//!
//! assert_eq!(slow(), Ok(7));
//! assert_eq!(blocking::without(slow), None); // to be called again where it may block
//! assert_eq!(blocking::without(|| 7), Some(7));
//! ```

use core::cell::Cell;

use parking_lot::{Mutex, MutexGuard};

use crate::errno::{Errno, Result};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Allowed,
    Forbidden,
    /// Forbidden, and something would have blocked.
    Met,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::Allowed) };
}

/// What follows may block the thread. To be asked before anything has been done.
///
/// # Errors
/// `EAGAIN`: it may not; nobody sees the number, for the call is made again.
pub fn check() -> Result<()> {
    match STATE.get() {
        State::Allowed => Ok(()),
        State::Forbidden | State::Met => Err(met()),
    }
}

#[cold]
fn met() -> Errno {
    STATE.set(State::Met);
    Errno::AGAIN
}

/// Whether the thread is in a call that may not block.
pub fn is_forbidden() -> bool {
    STATE.get() != State::Allowed
}

/// Whether the call that the thread is in has come to something that would block, and will be made again.
pub fn was_met() -> bool {
    STATE.get() == State::Met
}

/// Makes a call that may not block; nothing if it came to something that would have. Such a call has changed nothing:
/// a failed operation never does.
pub fn without<T>(call: impl FnOnce() -> T) -> Option<T> {
    /// Puts the state back, however the call ends.
    struct Outer(State);
    impl Drop for Outer {
        fn drop(&mut self) {
            STATE.set(self.0);
        }
    }
    let _outer = Outer(STATE.replace(State::Forbidden));
    let result = call();
    (STATE.get() == State::Forbidden).then_some(result)
}

/// Locks what another thread may hold for as long as a filesystem blocks.
///
/// # Errors
/// As [`check`], if somebody holds it.
pub fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Some(guard) => Ok(guard),
        None => {
            check()?;
            Ok(mutex.lock())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_block_is_told_once_and_for_its_thread_only() {
        assert_eq!(check(), Ok(()));
        let tried = without(|| {
            assert!(is_forbidden() && !was_met());
            assert_eq!(std::thread::spawn(check).join().unwrap(), Ok(()));
            let errno = check();
            assert!(was_met());
            errno
        });
        assert_eq!(tried, None);
        assert_eq!(check(), Ok(()));
        assert_eq!(without(|| 1), Some(1));
    }

    #[test]
    fn a_panic_leaves_the_thread_as_it_was() {
        let caught = std::panic::catch_unwind(|| without(|| panic!("on purpose")));
        assert!(caught.is_err());
        assert!(!is_forbidden());
    }

    #[test]
    fn a_lock_that_is_held_would_block() {
        let mutex = Mutex::new(1);
        let held = mutex.lock();
        assert!(without(|| lock(&mutex).is_err()).is_none());
        drop(held);
        assert_eq!(without(|| lock(&mutex).map(|guard| *guard)), Some(Ok(1)));
    }
}
