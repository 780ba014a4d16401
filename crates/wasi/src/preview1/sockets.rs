//! Sockets, of which there are none: a descriptor that is open is no socket.

use vnode_core::Errno;
use vnode_kernel::Process;

use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::observed;

pub(crate) fn no_socket(process: &Process, memory: &GuestMemory<'_>, name: &'static str, fd: u32) -> Outcome {
    observed(
        process,
        memory,
        name,
        || match process.fd_state(fd) {
            Ok(_) => Err(Errno::NOTSOCK),
            Err(errno) => Err(errno),
        },
        |show| {
            show.fd(fd);
        },
    )
}

/// Accepts a connection (`accept(2)`).
///
/// # Errors
/// `ENOTSOCK`, `EBADF`.
pub fn sock_accept(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    _flags: u32,
    _result: u32,
) -> Outcome {
    no_socket(process, memory, "sock_accept", fd)
}

/// Receives (`recvmsg(2)`).
///
/// # Errors
/// `ENOTSOCK`, `EBADF`.
pub fn sock_recv(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    _iovs: u32,
    _iovs_len: u32,
    _flags: u32,
    _nread: u32,
    _oflags: u32,
) -> Outcome {
    no_socket(process, memory, "sock_recv", fd)
}

/// Sends (`sendmsg(2)`).
///
/// # Errors
/// `ENOTSOCK`, `EBADF`.
pub fn sock_send(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    _iovs: u32,
    _iovs_len: u32,
    _flags: u32,
    _nwritten: u32,
) -> Outcome {
    no_socket(process, memory, "sock_send", fd)
}

/// Ends one or both directions (`shutdown(2)`).
///
/// # Errors
/// `ENOTSOCK`, `EBADF`.
pub fn sock_shutdown(process: &Process, memory: &GuestMemory<'_>, fd: u32, _how: u32) -> Outcome {
    no_socket(process, memory, "sock_shutdown", fd)
}
