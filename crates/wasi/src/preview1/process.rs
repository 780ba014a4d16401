//! The process itself: exit, signals, yield.

use vnode_core::{Errno, Policy, Result};
use vnode_kernel::{Exit, Process, Signal};

use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::{ended, plain};

/// Ends the process (`_exit(2)`).
pub fn proc_exit(_process: &Process, _memory: &GuestMemory<'_>, code: u32) -> Outcome {
    Err(Exit::Status(code).into())
}

/// The signal of a number. Preview 1 leaves out Linux's 16 (`SIGSTKFLT`), so that its numbers are one less from `SIGCHLD`
/// on; WASIX has Linux's.
///
/// # Errors
/// `EINVAL`: no such signal.
pub(crate) fn signal_of(process: &Process, number: u32) -> Result<Signal> {
    let linux = match (process.policy(), number) {
        (Policy::Posix, _) | (_, ..=15) => number,
        (_, 16..=30) => number + 1,
        _ => return Err(Errno::INVAL),
    };
    Signal::from_linux(linux).ok_or(Errno::INVAL)
}

/// Sends the process a signal (`raise(3)`). Without a handler, which only programs for WASIX have, it does what it does by
/// default.
///
/// # Errors
/// `EINVAL`: no such signal. `ENOTSUP`: `SIGSTOP`, which nobody could end.
pub fn proc_raise(process: &Process, _memory: &GuestMemory<'_>, signal: u32) -> Outcome {
    if signal == 0 {
        return plain(process, || Ok(()));
    }
    sent(process, || {
        process.signals().send(sendable(process, signal)?);
        Ok(())
    })
}

/// Linux's number of `SIGSTOP`.
const SIGSTOP: u8 = 19;

/// The signal of a number, to be sent.
///
/// # Errors
/// `EINVAL`: no such signal. `ENOTSUP`: `SIGSTOP`, which nobody could end.
pub(crate) fn sendable(process: &Process, number: u32) -> Result<Signal> {
    let signal = signal_of(process, number)?;
    if signal.number() == SIGSTOP { Err(Errno::NOTSUP) } else { Ok(signal) }
}

/// Sends what may end the process itself at once.
pub(crate) fn sent(process: &Process, send: impl FnOnce() -> Result<()>) -> Outcome {
    let answer = plain(process, send)?;
    if process.interruption().is_killed() { Err(ended(process)) } else { Ok(answer) }
}

/// Lets others run (`sched_yield(2)`).
pub fn sched_yield(process: &Process, _memory: &GuestMemory<'_>) -> Outcome {
    plain(process, || {
        std::thread::yield_now();
        Ok(())
    })
}
