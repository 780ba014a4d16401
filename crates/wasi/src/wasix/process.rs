//! The process: its working directory, its number, its end; and its only thread.

use core::time::Duration;

use vnode_core::{Errno, Result};
use vnode_kernel::{Exit, Process};

use crate::decode;
use crate::memory::{GuestMemory, PathBytes};
use crate::outcome::Outcome;
use crate::preview1::{proc_raise, signal_of};
use crate::serve::{Gave, observed, plain};

/// The number of a process's first thread.
const FIRST_THREAD: u32 = 1;

/// The absolute path of the working directory, with a NUL behind it if there is room (`getcwd(2)`). `path_len` has the
/// room, and gets the length.
///
/// # Errors
/// `ERANGE`: there is less room; the length is told all the same. `EINVAL`: there is none.
pub fn getcwd(process: &Process, memory: &GuestMemory<'_>, path: u32, path_len: u32) -> Outcome {
    let run = || {
        let (room, slot) = (u32::from_le_bytes(memory.read(path_len)?), memory.slot(path_len)?);
        if room == 0 {
            return Err(Errno::INVAL);
        }
        let cwd = process.getcwd()?;
        let len = u32::try_from(cwd.len()).map_err(|_| Errno::NAMETOOLONG)?;
        let area =
            if len <= room { memory.area(path, room.min(len.saturating_add(1))) } else { Err(Errno::RANGE) };
        let area = match area {
            Err(Errno::RANGE) => {
                slot.put(len.to_le_bytes());
                return Err(Errno::RANGE);
            }
            area => area?,
        };
        let written = area.put(0, &cwd);
        area.put(written, b"\0");
        slot.put(len.to_le_bytes());
        Ok(Gave::Number(u64::from(len)))
    };
    observed(process, memory, "getcwd", run, |_| {})
}

/// Goes to a directory (`chdir(2)`).
pub fn chdir(process: &Process, memory: &GuestMemory<'_>, path: u32, path_len: u32) -> Outcome {
    let run = || {
        process.chdir(memory.path(path, path_len, &mut PathBytes::new())?)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "chdir", run, |show| {
        show.path(path, path_len);
    })
}

/// Ends the process (`_exit(2)`).
pub fn proc_exit2(process: &Process, memory: &GuestMemory<'_>, code: u32) -> Outcome {
    crate::preview1::proc_exit(process, memory, code)
}

pub(super) fn number(
    process: &Process,
    memory: &GuestMemory<'_>,
    at: u32,
    get: impl FnOnce() -> Result<u32>,
) -> Outcome {
    plain(process, || {
        let slot = memory.slot(at)?;
        slot.put(get()?.to_le_bytes());
        Ok(())
    })
}

/// The process's number (`getpid(2)`).
pub fn proc_id(process: &Process, memory: &GuestMemory<'_>, pid: u32) -> Outcome {
    number(process, memory, pid, || Ok(process.pid()))
}

/// How many signals the program finds with another disposition than the default one.
pub fn proc_signals_sizes_get(process: &Process, memory: &GuestMemory<'_>, count: u32) -> Outcome {
    number(process, memory, count, || Ok(process.signals().ignored().count() as u32))
}

/// `SIG_IGN` among the dispositions.
pub(super) const IGNORE: u8 = 1;

/// Those signals with their dispositions: all are ignored.
pub fn proc_signals_get(process: &Process, memory: &GuestMemory<'_>, signals: u32) -> Outcome {
    plain(process, || {
        let list: Vec<u8> =
            process.signals().ignored().flat_map(|signal| [signal.number(), IGNORE]).collect();
        let area = memory.area(signals, u32::try_from(list.len()).map_err(|_| Errno::FAULT)?)?;
        area.put(0, &list);
        Ok(())
    })
}

/// Names the exported function that handles signals, whose argument is Linux's number of one. The engine finds it;
/// without such a function each signal does what it does by default.
pub fn callback_signal(process: &Process, memory: &GuestMemory<'_>, name: u32, name_len: u32) -> Outcome {
    plain(process, || {
        let mut text = PathBytes::new();
        process.signals().set_handler(memory.path(name, name_len, &mut text)?);
        Ok(())
    })
}

/// Sets a clock for the guest (`clock_settime(2)`); the host's stays.
///
/// # Errors
/// `EINVAL`: a clock without meaning, one that can't be set, or not to that time. `EPERM`: the process may not.
pub fn clock_time_set(process: &Process, _memory: &GuestMemory<'_>, clock: u32, time: u64) -> Outcome {
    plain(process, || process.set_time(decode::clock(clock)?, time))
}

/// Sends a thread a signal (`tgkill(2)`).
///
/// # Errors
/// `ESRCH`: no such thread. As [`proc_raise`].
pub fn thread_signal(process: &Process, memory: &GuestMemory<'_>, tid: u32, signal: u32) -> Outcome {
    match tid {
        FIRST_THREAD => proc_raise(process, memory, signal),
        _ => plain(process, || Err::<(), _>(Errno::SRCH)),
    }
}

/// Sends the process a signal after so many nanoseconds, or whenever they are over; 0 stops that (`setitimer(2)`).
///
/// # Errors
/// `EINVAL`: no such signal. `ENOMEM`: the host has no timer.
pub fn proc_raise_interval(
    process: &Process,
    _memory: &GuestMemory<'_>,
    signal: u32,
    interval: u64,
    repeats: u32,
) -> Outcome {
    plain(process, || {
        let signal = signal_of(process, signal)?;
        process.signals().set_timer(signal, Duration::from_nanos(interval), repeats != 0)
    })
}

/// The thread's number (`gettid(2)`).
pub fn thread_id(process: &Process, memory: &GuestMemory<'_>, tid: u32) -> Outcome {
    number(process, memory, tid, || Ok(FIRST_THREAD))
}

/// How many threads run at once (`sysconf(_SC_NPROCESSORS_ONLN)`).
pub fn thread_parallelism(process: &Process, memory: &GuestMemory<'_>, count: u32) -> Outcome {
    number(process, memory, count, || {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    })
}

/// Sleeps for nanoseconds (`nanosleep(2)`).
pub fn thread_sleep(process: &Process, memory: &GuestMemory<'_>, time: u64) -> Outcome {
    let run = || process.sleep(Duration::from_nanos(time)).map(|()| Gave::Nothing);
    observed(process, memory, "thread_sleep", run, |show| {
        show.any(time);
    })
}

/// Ends the thread; with the last one, which every thread is yet, the process (`pthread_exit(3)`).
pub fn thread_exit(_process: &Process, _memory: &GuestMemory<'_>, _code: u32) -> Outcome {
    Err(Exit::Status(0).into())
}

/// Tells whether a handle of a loaded library is none: there are none.
///
/// # Errors
/// `EINVAL`: it is none.
pub fn dl_invalid_handle(process: &Process, _memory: &GuestMemory<'_>, _handle: u32) -> Outcome {
    plain(process, || Err::<(), _>(Errno::INVAL))
}
