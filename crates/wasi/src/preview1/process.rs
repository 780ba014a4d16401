//! The process itself: exit, signals, yield.

use vnode_core::Errno;
use vnode_kernel::{Exit, Process};

use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::plain;

/// Ends the process (`_exit(2)`).
pub fn proc_exit(_process: &Process, _memory: &GuestMemory<'_>, code: u32) -> Outcome {
    Err(Exit::Status(code))
}

/// What a signal does to a process that has set up nothing (`signal(7)`).
enum Default {
    Terminate,
    Ignore,
    Stop,
}

/// Linux's number and default action of one of WASI's signals.
fn signal_of(signal: u32) -> Result<(u8, Default), Errno> {
    // WASI leaves out Linux's 16 (SIGSTKFLT): from SIGCHLD on its numbers are one less.
    let linux = match signal {
        1..=15 => signal as u8,
        16..=30 => signal as u8 + 1,
        _ => return Err(Errno::INVAL),
    };
    let default = match linux {
        // SIGCHLD, SIGCONT, SIGURG, SIGWINCH; and the terminal's stops, which a process without a shell ignores.
        17 | 18 | 23 | 28 | 20..=22 => Default::Ignore,
        19 => Default::Stop,
        _ => Default::Terminate,
    };
    Ok((linux, default))
}

/// Sends the process a signal (`raise(3)`), which does what it does by default: there are no handlers here.
///
/// # Errors
/// `EINVAL`: no such signal. `ENOTSUP`: `SIGSTOP`, which nobody could end.
pub fn proc_raise(process: &Process, _memory: &GuestMemory<'_>, signal: u32) -> Outcome {
    if signal == 0 {
        return plain(process, || Ok(()));
    }
    match signal_of(signal) {
        Ok((number, Default::Terminate)) => Err(Exit::Signal(number)),
        Ok((_, Default::Ignore)) => plain(process, || Ok(())),
        Ok((_, Default::Stop)) => plain(process, || Err::<(), _>(Errno::NOTSUP)),
        Err(errno) => plain(process, || Err::<(), _>(errno)),
    }
}

/// Lets others run (`sched_yield(2)`).
pub fn sched_yield(process: &Process, _memory: &GuestMemory<'_>) -> Outcome {
    plain(process, || {
        std::thread::yield_now();
        Ok(())
    })
}
