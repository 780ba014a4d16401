//! Around every call: it is observed if somebody wants to know, and its error put into WASI's number.

use std::time::Instant;

use vnode_core::{Errno, Result, blocking};
use vnode_kernel::{Event, Exit, Observer, Process};

use crate::errno::to_wasi;
use crate::memory::GuestMemory;
use crate::outcome::{Leave, Outcome};
use crate::show::Show;

/// What a call that succeeded gave the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gave {
    Nothing,
    /// A descriptor, an offset, a count of things.
    Number(u64),
    /// Bytes read or written.
    Bytes(usize),
}

/// The guest goes on with an error number, unless it is to end.
fn outcome<T>(process: &Process, result: Result<T>) -> Outcome {
    match result {
        Ok(_) => Ok(0),
        Err(errno) => failure(process, errno),
    }
}

#[cold]
fn failure(process: &Process, errno: Errno) -> Outcome {
    if process.interruption().is_killed() { Err(ended(process)) } else { Ok(to_wasi(errno)) }
}

#[cold]
pub(crate) fn ended(process: &Process) -> Leave {
    process.exit().unwrap_or(Exit::Killed).into()
}

/// A call that has nothing to do with files: never observed.
#[inline(always)]
pub(crate) fn plain<T>(process: &Process, run: impl FnOnce() -> Result<T>) -> Outcome {
    if process.interruption().is_killed() {
        return Err(ended(process));
    }
    outcome(process, run())
}

/// A call with files. `show` puts the arguments into the trace's text.
#[inline(always)]
pub(crate) fn observed(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: &'static str,
    run: impl FnOnce() -> Result<Gave>,
    show: impl FnOnce(&mut Show<'_>),
) -> Outcome {
    if process.interruption().is_killed() {
        return Err(ended(process));
    }
    match process.observer() {
        None => outcome(process, run()),
        Some(observer) => outcome(process, watch(observer, process, memory, name, run, show)),
    }
}

fn watch(
    observer: &dyn Observer,
    process: &Process,
    memory: &GuestMemory<'_>,
    name: &'static str,
    run: impl FnOnce() -> Result<Gave>,
    show: impl FnOnce(&mut Show<'_>),
) -> Result<Gave> {
    let mut text = Show::new(process, memory);
    // Before the call: it may close the descriptor or write over the path.
    if observer.wants_text() {
        show(&mut text);
    }
    // A call that is only tried is told of when it is done: it may have to be made once more.
    let tried = blocking::is_forbidden();
    if !tried {
        observer.calling(process.pid(), name, text.as_str());
    }
    let start = Instant::now();
    let result = run();
    let time = start.elapsed();
    if blocking::was_met() {
        return result;
    }
    if tried {
        observer.calling(process.pid(), name, text.as_str());
    }
    let bytes = match result {
        Ok(Gave::Bytes(bytes)) => bytes as u64,
        _ => 0,
    };
    let value = result.map(|gave| match gave {
        Gave::Nothing => 0,
        Gave::Number(number) => number,
        Gave::Bytes(bytes) => bytes as u64,
    });
    observer.called(&Event {
        pid: process.pid(),
        call: name,
        args: text.as_str(),
        result: value,
        bytes,
        time,
    });
    result
}
