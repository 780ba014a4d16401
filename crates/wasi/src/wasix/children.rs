//! Processes: spawned, waited for, sent signals.

use vnode_core::{Errno, Result};
use vnode_kernel::stream::NewStream;
use vnode_kernel::{
    Children, Execute, Exit, OpenRequest, Process, Search, Signal, Spawn, SpawnAction, Target,
};

use super::process::{IGNORE, number};
use super::program::{List, Named};
use crate::decode;
use crate::memory::{GuestMemory, PathBytes};
use crate::outcome::Outcome;
use crate::preview1::{sendable, sent, signal_of};
use crate::serve::{Gave, observed};

/// Bytes of `proc_spawn_fd_op`.
const ACTION_SIZE: u32 = 56;

/// The `option` of a value that is there, and of one that isn't.
const SOME: u32 = 1;
const NONE: u32 = 0;

/// Dispositions as they are given to a child: an array of `signal_disposition`. An address of 0 stands for those of the
/// parent.
fn ignored(process: &Process, memory: &GuestMemory<'_>, at: u32, count: u32) -> Result<Option<Vec<Signal>>> {
    if at == 0 {
        return Ok(None);
    }
    let mut ignored: Vec<Signal> = process.signals().ignored().collect();
    for index in 0..count {
        if process.interruption().is_killed() {
            return Err(Errno::INTR);
        }
        let entry = index.checked_mul(2).and_then(|offset| at.checked_add(offset)).ok_or(Errno::FAULT)?;
        let [number, disposition] = memory.read(entry)?;
        let signal = signal_of(process, u32::from(number))?;
        ignored.retain(|&known| known != signal);
        match disposition {
            0 => {}
            IGNORE => ignored.push(signal),
            _ => return Err(Errno::INVAL),
        }
    }
    Ok(Some(ignored))
}

/// A number within a struct that was copied out.
fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// One `proc_spawn_fd_op`.
fn action(memory: &GuestMemory<'_>, at: u32) -> Result<SpawnAction> {
    let bytes: [u8; ACTION_SIZE as usize] = memory.read(at)?;
    let (fd, from) = (word(&bytes, 4), word(&bytes, 8));
    let path = || Ok(memory.path(word(&bytes, 12), word(&bytes, 16), &mut PathBytes::new())?.to_vec());
    let half = |at: usize| word(&bytes, at) & 0xffff;
    Ok(match bytes[0] {
        0 => SpawnAction::Close(fd),
        1 => SpawnAction::Dup2 { from, to: fd },
        2 => SpawnAction::Open {
            fd,
            path: path()?,
            request: OpenRequest {
                flags: decode::open_flags(word(&bytes, 20), half(24))?,
                rights: decode::rights_wanted(long(&bytes, 32)),
                status: decode::fd_flags(half(48))?,
                close_on_exec: decode::close_on_exec(half(50))?,
            },
        },
        3 => SpawnAction::Chdir(path()?),
        4 => SpawnAction::Fchdir(fd),
        _ => return Err(Errno::INVAL),
    })
}

/// What a child does before its program runs.
fn actions<'a>(
    memory: &'a GuestMemory<'_>,
    at: u32,
    count: u32,
) -> impl Iterator<Item = Result<SpawnAction>> + 'a {
    (0..count).map(move |index| {
        let at = index.checked_mul(ACTION_SIZE).and_then(|offset| at.checked_add(offset));
        action(memory, at.ok_or(Errno::FAULT)?)
    })
}

fn spawn(
    process: &Process,
    memory: &GuestMemory<'_>,
    call: &'static str,
    named: Named,
    [fd_ops, fd_ops_len, signals, signals_len]: [u32; 4],
    pid: u32,
) -> Outcome {
    let run = || {
        let slot = memory.slot(pid)?;
        let spawn =
            Spawn { execute: named.read(memory)?, ignored: ignored(process, memory, signals, signals_len)? };
        let child = process.spawn(&spawn, actions(memory, fd_ops, fd_ops_len))?;
        slot.put(child.to_le_bytes());
        Ok(Gave::Number(u64::from(child)))
    };
    observed(process, memory, call, run, |show| named.show(show, memory))
}

/// Makes a child that runs a program (`posix_spawn(3)`, `posix_spawnp(3)`), its arguments and variables a line each. The
/// actions are `posix_spawn_file_actions_t`, the dispositions those signals that it ignores or doesn't.
///
/// # Errors
/// As [`Process::spawn`]. `EINVAL`: an action or a disposition that there isn't.
pub fn proc_spawn2(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: u32,
    name_len: u32,
    args: u32,
    args_len: u32,
    envs: u32,
    envs_len: u32,
    fd_ops: u32,
    fd_ops_len: u32,
    signals: u32,
    signals_len: u32,
    search: u32,
    path: u32,
    path_len: u32,
    pid: u32,
) -> Outcome {
    let (args, env) = (List::lines(args, args_len), List::lines(envs, envs_len));
    let named = Named { name, name_len, args, env, search, path, path_len };
    spawn(process, memory, "proc_spawn2", named, [fd_ops, fd_ops_len, signals, signals_len], pid)
}

/// [`proc_spawn2`] with arrays of addresses.
///
/// # Errors
/// As [`proc_spawn2`].
pub fn proc_spawn3(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: u32,
    name_len: u32,
    args: u32,
    args_len: u32,
    envs: u32,
    envs_len: u32,
    fd_ops: u32,
    fd_ops_len: u32,
    signals: u32,
    signals_len: u32,
    search: u32,
    path: u32,
    path_len: u32,
    pid: u32,
) -> Outcome {
    let (args, env) = (List::pointers(args, args_len), List::pointers(envs, envs_len));
    let named = Named { name, name_len, args, env, search, path, path_len };
    spawn(process, memory, "proc_spawn3", named, [fd_ops, fd_ops_len, signals, signals_len], pid)
}

/// How a child of [`proc_spawn`] gets a standard stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stdio {
    Piped,
    Inherit,
    Null,
}

fn stdio(mode: u32) -> Result<Stdio> {
    match mode {
        0 => Ok(Stdio::Piped),
        1 => Ok(Stdio::Inherit),
        2 | 3 => Ok(Stdio::Null),
        _ => Err(Errno::INVAL),
    }
}

/// The ends of pipes that a call makes, closed again unless the call succeeds.
struct Pipes<'a> {
    process: &'a Process,
    /// Those of the child, then those of the parent, which stay.
    ends: Vec<(u32, Option<u32>)>,
}

impl Drop for Pipes<'_> {
    fn drop(&mut self) {
        for (child, parent) in self.ends.drain(..) {
            for fd in [Some(child), parent].into_iter().flatten() {
                let _ = self.process.close(fd);
            }
        }
    }
}

impl Pipes<'_> {
    /// Makes what a mode asks for: the action of the child, and the parent's descriptor.
    fn add(&mut self, fd: u32, mode: Stdio) -> Result<(Option<SpawnAction>, Option<u32>)> {
        match mode {
            Stdio::Inherit => Ok((None, None)),
            Stdio::Null => Ok((Some(SpawnAction::Null(fd)), None)),
            Stdio::Piped => {
                let how = NewStream { close_on_exec: true, ..NewStream::default() };
                let (reading, writing) = self.process.pipe(how)?;
                let (child, parent) = if fd == 0 { (reading, writing) } else { (writing, reading) };
                self.ends.push((child, Some(parent)));
                Ok((Some(SpawnAction::Dup2 { from: child, to: fd }), Some(parent)))
            }
        }
    }
}

/// Makes a child that runs a program with standard streams of its own, in a directory of its own: the older form, whose
/// handles are its number and the other ends of its pipes.
///
/// # Errors
/// As [`Process::spawn`]. `ENOTSUP`: a root or preopens of its own. `EINVAL`: a mode that there isn't.
pub fn proc_spawn(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: u32,
    name_len: u32,
    chroot: u32,
    args: u32,
    args_len: u32,
    _preopen: u32,
    preopen_len: u32,
    stdin: u32,
    stdout: u32,
    stderr: u32,
    directory: u32,
    directory_len: u32,
    handles: u32,
) -> Outcome {
    let run = || {
        let slot = memory.slot(handles)?;
        if chroot != 0 || preopen_len != 0 {
            return Err(Errno::NOTSUP);
        }
        let modes = [stdio(stdin)?, stdio(stdout)?, stdio(stderr)?];
        let path = memory.path(name, name_len, &mut PathBytes::new())?.to_vec();
        let directory = memory.path(directory, directory_len, &mut PathBytes::new())?.to_vec();
        let args = List::lines(args, args_len).read(memory)?;
        let execute = Execute { path, args, env: None, search: Search::Path(None) };
        let mut pipes = Pipes { process, ends: Vec::new() };
        let mut actions = Vec::new();
        let mut given = [None; 3];
        for ((fd, mode), given) in (0..).zip(modes).zip(&mut given) {
            let (action, parent) = pipes.add(fd, mode)?;
            actions.extend(action);
            *given = parent;
        }
        if !directory.is_empty() {
            actions.push(SpawnAction::Chdir(directory));
        }
        let spawn = Spawn { execute, ignored: None };
        let child = process.spawn(&spawn, actions.into_iter().map(Ok))?;
        // The child's ends are its own now.
        pipes.ends.iter_mut().for_each(|(_, parent)| *parent = None);
        slot.put(process_handles(child, given));
        Ok(Gave::Number(u64::from(child)))
    };
    observed(process, memory, "proc_spawn", run, |show| {
        show.path(name, name_len);
    })
}

/// `process_handles`: a number, and three optional descriptors.
fn process_handles(pid: u32, streams: [Option<u32>; 3]) -> [u8; 28] {
    let mut words = vec![pid];
    for stream in streams {
        words.extend([stream.map_or(NONE, |_| SOME), stream.unwrap_or(0)]);
    }
    let mut bytes = [0; 28];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// `join_status`: nothing, a status, or a signal.
fn join_status(exit: Option<Exit>) -> [u8; 6] {
    match exit {
        None => [0; 6],
        Some(Exit::Status(status)) => [1, 0, (status & 0xff) as u8, 0, 0, 0],
        Some(Exit::Signal(signal)) => [2, 0, 0, 0, signal, 0],
        Some(Exit::Killed) => [2, 0, 0, 0, Signal::KILL.number(), 0],
    }
}

/// `option_pid`.
fn option_pid(pid: Option<u32>) -> [u8; 8] {
    let mut bytes = [0; 8];
    if let Some(pid) = pid {
        bytes[0] = 1;
        bytes[4..].copy_from_slice(&pid.to_le_bytes());
    }
    bytes
}

/// Waits for a child to end (`waitpid(2)`): for the one whose number is given, or for any. The number and the status are
/// written; with `WNOHANG`, nothing of either if none has ended.
///
/// # Errors
/// `ECHILD`: there is no such child. `EINTR`: a signal came that the program handles. `EINVAL`: flags that there aren't.
pub fn proc_join(process: &Process, memory: &GuestMemory<'_>, pid: u32, flags: u32, status: u32) -> Outcome {
    let mut asked = None;
    if let Ok(option) = memory.read::<8>(pid)
        && u32::from(option[0]) == SOME
    {
        asked = Some(word(&option, 4));
    }
    let run = || {
        let [tag, ..] = memory.read::<8>(pid)?;
        let (number, slot) = (memory.slot(pid)?, memory.slot(status)?);
        if u32::from(tag) > SOME || flags & !3 != 0 {
            return Err(Errno::INVAL);
        }
        let which = match asked {
            // All are one process group: 0 and -1 say the same.
            None | Some(0 | u32::MAX) => Children::Any,
            Some(pid) => Children::One(pid),
        };
        let ended = process.wait_child(which, flags & 1 == 0)?;
        number.put(option_pid(ended.map(|(pid, _)| pid)));
        slot.put(join_status(ended.map(|(_, exit)| exit)));
        Ok(Gave::Number(u64::from(ended.map_or(0, |(pid, _)| pid))))
    };
    observed(process, memory, "proc_join", run, |show| {
        match asked {
            Some(pid) => show.any(pid),
            None => show.any("-1"),
        };
        show.bits(u64::from(flags), &["WNOHANG", "WUNTRACED"], "");
    })
}

/// The number of a process's parent (`getppid(2)`): 0, which is no process, for the first.
///
/// # Errors
/// `ESRCH`: no such process.
pub fn proc_parent(process: &Process, memory: &GuestMemory<'_>, pid: u32, parent: u32) -> Outcome {
    number(process, memory, parent, || process.parent_of(pid))
}

/// Sends a process a signal (`kill(2)`); 0 only asks whether there is such a process. The number 0 stands for all
/// processes, and -1 for all but the first and the one that calls.
///
/// # Errors
/// `ESRCH`: no such process. `EINVAL`: no such signal. `ENOTSUP`: `SIGSTOP`, which nobody could end.
pub fn proc_signal(process: &Process, _memory: &GuestMemory<'_>, pid: u32, signal: u32) -> Outcome {
    sent(process, || {
        let signal = if signal == 0 { None } else { Some(sendable(process, signal)?) };
        let target = match pid {
            0 => Target::Group,
            u32::MAX => Target::Others,
            pid => Target::One(pid),
        };
        process.kill(target, signal)
    })
}
