//! Executing another program in place of the one that calls (`execve(2)`).

use vnode_kernel::Process;

use super::program::{List, Named};
use crate::memory::GuestMemory;
use crate::outcome::{Leave, Outcome};
use crate::serve::{Gave, observed};

/// Executes it; comes back with an error number only.
fn execute(process: &Process, memory: &GuestMemory<'_>, call: &'static str, named: Named) -> Outcome {
    let run = || {
        process.execute(&named.read(memory)?)?;
        Ok(Gave::Nothing)
    };
    match observed(process, memory, call, run, |show| named.show(show, memory))? {
        0 => Err(Leave::Executes),
        errno => Ok(errno),
    }
}

/// The same for calls that can't answer: the process ends with the error number, as the runtime that defines WASIX has
/// it.
fn execute_or_end(process: &Process, memory: &GuestMemory<'_>, call: &'static str, named: Named) -> Outcome {
    let errno = execute(process, memory, call, named)?;
    Err(vnode_kernel::Exit::Status(u32::from(errno)).into())
}

/// Executes a path with arguments, a line each (`execv(3)`). If that fails, the process ends with the error number.
pub fn proc_exec(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: u32,
    name_len: u32,
    args: u32,
    args_len: u32,
) -> Outcome {
    let (args, env) = (List::lines(args, args_len), List::lines(0, 0));
    execute_or_end(
        process,
        memory,
        "proc_exec",
        Named { name, name_len, args, env, search: 0, path: 0, path_len: 0 },
    )
}

/// Executes a path with arguments and variables, a line each (`execve(2)`). If that fails, the process ends with the
/// error number.
pub fn proc_exec2(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: u32,
    name_len: u32,
    args: u32,
    args_len: u32,
    envs: u32,
    envs_len: u32,
) -> Outcome {
    let (args, env) = (List::lines(args, args_len), List::lines(envs, envs_len));
    execute_or_end(
        process,
        memory,
        "proc_exec2",
        Named { name, name_len, args, env, search: 0, path: 0, path_len: 0 },
    )
}

/// Executes a path, or a name that is searched for, with arguments and variables, a line each (`execvpe(3)`). Without
/// variables those of the process stay.
///
/// # Errors
/// As [`Process::execute`].
pub fn proc_exec3(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: u32,
    name_len: u32,
    args: u32,
    args_len: u32,
    envs: u32,
    envs_len: u32,
    search: u32,
    path: u32,
    path_len: u32,
) -> Outcome {
    let (args, env) = (List::lines(args, args_len), List::lines(envs, envs_len));
    execute(process, memory, "proc_exec3", Named { name, name_len, args, env, search, path, path_len })
}

/// [`proc_exec3`] with arrays of addresses.
///
/// # Errors
/// As [`Process::execute`].
pub fn proc_exec4(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: u32,
    name_len: u32,
    args: u32,
    args_len: u32,
    envs: u32,
    envs_len: u32,
    search: u32,
    path: u32,
    path_len: u32,
) -> Outcome {
    let (args, env) = (List::pointers(args, args_len), List::pointers(envs, envs_len));
    execute(process, memory, "proc_exec4", Named { name, name_len, args, env, search, path, path_len })
}
