//! The process: its working directory, its number, its end; and its only thread.

use core::time::Duration;

use vnode_core::{Errno, Result};
use vnode_kernel::{Exit, Process};

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

fn number(
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

/// The number of a process's parent (`getppid(2)`): 0, which is no process, for the first.
///
/// # Errors
/// `ESRCH`: no such process.
pub fn proc_parent(process: &Process, memory: &GuestMemory<'_>, pid: u32, parent: u32) -> Outcome {
    number(process, memory, parent, || if pid == process.pid() { Ok(0) } else { Err(Errno::SRCH) })
}

/// How many signals have another disposition than the default one from the start.
pub fn proc_signals_sizes_get(process: &Process, memory: &GuestMemory<'_>, count: u32) -> Outcome {
    number(process, memory, count, || Ok(0))
}

/// Those signals with their dispositions: none.
pub fn proc_signals_get(process: &Process, _memory: &GuestMemory<'_>, _signals: u32) -> Outcome {
    plain(process, || Ok(()))
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

/// Whether a process or a thread is the only one that there is.
fn is_the_only(number: u32, only: u32) -> Result<()> {
    if number == only { Ok(()) } else { Err(Errno::SRCH) }
}

/// Sends a process a signal (`kill(2)`); 0 only asks whether there is such a process.
///
/// # Errors
/// `ESRCH`: no such process. `EINVAL`: no such signal. `ENOTSUP`: as [`proc_raise`](super::proc_raise).
pub fn proc_signal(process: &Process, memory: &GuestMemory<'_>, pid: u32, signal: u32) -> Outcome {
    match is_the_only(pid, process.pid()) {
        Ok(()) => proc_raise(process, memory, signal),
        Err(errno) => plain(process, || Err::<(), _>(errno)),
    }
}

/// Sends a thread a signal (`tgkill(2)`).
///
/// # Errors
/// As [`proc_signal`].
pub fn thread_signal(process: &Process, memory: &GuestMemory<'_>, tid: u32, signal: u32) -> Outcome {
    match is_the_only(tid, FIRST_THREAD) {
        Ok(()) => proc_raise(process, memory, signal),
        Err(errno) => plain(process, || Err::<(), _>(errno)),
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
    Err(Exit::Status(0))
}

/// Tells whether a handle of a loaded library is none: there are none.
///
/// # Errors
/// `EINVAL`: it is none.
pub fn dl_invalid_handle(process: &Process, _memory: &GuestMemory<'_>, _handle: u32) -> Outcome {
    plain(process, || Err::<(), _>(Errno::INVAL))
}
