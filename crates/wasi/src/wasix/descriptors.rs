//! Descriptors: open with `O_CLOEXEC`, copies, and the flags that are a descriptor's own.

use vnode_kernel::Process;

use crate::decode;
use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::preview1::{accept, path_open_as};
use crate::serve::{Gave, observed};

/// Opens a path (`openat(2)`), with `O_CLOEXEC` among the flags of the descriptor.
pub fn path_open2(
    process: &Process,
    memory: &GuestMemory<'_>,
    dirfd: u32,
    dirflags: u32,
    path: u32,
    path_len: u32,
    oflags: u32,
    base: u64,
    _inheriting: u64,
    fdflags: u32,
    fdflagsext: u32,
    fd: u32,
) -> Outcome {
    let close = decode::close_on_exec(fdflagsext);
    path_open_as(
        process,
        memory,
        "path_open2",
        dirfd,
        dirflags,
        path,
        path_len,
        oflags,
        base,
        fdflags,
        close,
        fd,
    )
}

/// Another descriptor of the same open file (`dup(2)`).
pub fn fd_dup(process: &Process, memory: &GuestMemory<'_>, fd: u32, result: u32) -> Outcome {
    let run = || {
        let slot = memory.slot(result)?;
        let copy = process.dup(fd)?;
        slot.put(copy.to_le_bytes());
        Ok(Gave::Number(u64::from(copy)))
    };
    observed(process, memory, "fd_dup", run, |show| {
        show.fd(fd);
    })
}

/// The same with the lowest free number from `min` on (`F_DUPFD`, `F_DUPFD_CLOEXEC`).
pub fn fd_dup2(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    min: u32,
    close: u32,
    result: u32,
) -> Outcome {
    let run = || {
        let slot = memory.slot(result)?;
        let copy = process.dup_from(fd, min, close != 0)?;
        slot.put(copy.to_le_bytes());
        Ok(Gave::Number(u64::from(copy)))
    };
    observed(process, memory, "fd_dup2", run, |show| {
        show.fd(fd).any(min).any(if close == 0 { "0" } else { "O_CLOEXEC" });
    })
}

/// The flags of a descriptor (`F_GETFD`).
pub fn fd_fdflags_get(process: &Process, memory: &GuestMemory<'_>, fd: u32, flags: u32) -> Outcome {
    let run = || {
        let slot = memory.slot(flags)?;
        let (_, entry) = process.fd_state(fd)?;
        slot.put(u16::from(entry.closes_on_exec()).to_le_bytes());
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_fdflags_get", run, |show| {
        show.fd(fd);
    })
}

/// Sets them (`F_SETFD`).
///
/// # Errors
/// `EINVAL`: another flag than `FD_CLOEXEC`.
pub fn fd_fdflags_set(process: &Process, memory: &GuestMemory<'_>, fd: u32, flags: u32) -> Outcome {
    let run = || {
        process.set_close_on_exec(fd, decode::close_on_exec(flags)?)?;
        Ok(Gave::Nothing)
    };
    observed(process, memory, "fd_fdflags_set", run, |show| {
        show.fd(fd).any(if flags & 1 == 0 { "0" } else { "FD_CLOEXEC" });
    })
}

/// Accepts a connection (`accept(2)`); preview 1 has a function of that name without the peer's address.
///
/// # Errors
/// `ENOTSOCK`, `EBADF`.
pub fn sock_accept(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    _flags: u32,
    _result: u32,
    _peer: u32,
) -> Outcome {
    accept(process, memory, "sock_accept", fd)
}

/// [`sock_accept`] by its later name.
///
/// # Errors
/// `ENOTSOCK`, `EBADF`.
pub fn sock_accept_v2(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    _flags: u32,
    _result: u32,
    _peer: u32,
) -> Outcome {
    accept(process, memory, "sock_accept_v2", fd)
}
