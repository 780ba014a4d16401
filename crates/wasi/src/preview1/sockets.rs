//! Sockets: those that are connected from the start. None accepts connections.

use vnode_core::{Errno, Result};
use vnode_kernel::Process;
use vnode_kernel::stream::{Receive, Shutdown};

use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::preview1::{GoesOn, Transfer};
use crate::serve::{Gave, observed};

/// `riflags`, by bit; the last two are WASIX's.
const RECEIVE_FLAGS: &[&str] = &["MSG_PEEK", "MSG_WAITALL", "MSG_TRUNC", "MSG_DONTWAIT"];
/// `siflags`, which only WASIX has any of.
const SEND_FLAGS: &[&str] = &["MSG_DONTWAIT"];
/// `sdflags`.
const SHUTDOWN: &[&str] = &["SHUT_RD", "SHUT_WR"];

/// How to receive, and whether without waiting. `MSG_TRUNC` changes nothing for a stream of bytes.
fn receive_flags(flags: u32) -> Result<(Receive, bool)> {
    if flags & !0xf != 0 {
        return Err(Errno::INVAL);
    }
    let how = match flags & 3 {
        0 => Receive::Some,
        2 => Receive::All,
        _ => Receive::Peek,
    };
    Ok((how, flags & 8 != 0))
}

/// Whether to send without waiting.
fn send_flags(flags: u32) -> Result<bool> {
    match flags {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::INVAL),
    }
}

fn shutdown_flags(how: u32) -> Result<Shutdown> {
    match how {
        1 => Ok(Shutdown::Read),
        2 => Ok(Shutdown::Write),
        3 => Ok(Shutdown::Both),
        _ => Err(Errno::INVAL),
    }
}

/// What a number without meaning is to something that may be no socket: that comes first.
fn of_socket<T>(process: &Process, fd: u32, decoded: Result<T>) -> Result<T> {
    decoded.or_else(|errno| process.check_socket(fd).and(Err(errno)))
}

pub(crate) fn accept(process: &Process, memory: &GuestMemory<'_>, name: &'static str, fd: u32) -> Outcome {
    let run = || process.check_socket(fd).and(Err::<Gave, _>(Errno::INVAL));
    observed(process, memory, name, run, |show| {
        show.fd(fd);
    })
}

/// Accepts a connection (`accept(2)`).
///
/// # Errors
/// `ENOTSOCK`, `EBADF`. `EINVAL`: no socket here listens.
pub fn sock_accept(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    _flags: u32,
    _result: u32,
) -> Outcome {
    accept(process, memory, "sock_accept", fd)
}

/// Receives (`recvmsg(2)`).
///
/// # Errors
/// `ENOTSOCK`, `EBADF`. `EINVAL`: a flag without meaning. `ECONNRESET`, `EAGAIN`, `EINTR`.
pub fn sock_recv(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nread: u32,
    oflags: u32,
) -> Outcome {
    let goes_on = match receive_flags(flags) {
        Ok((Receive::All, _)) => GoesOn::Always,
        _ => GoesOn::Never,
    };
    let transfer = Transfer { fd, iovs, iovs_len, count: nread, goes_on };
    transfer.run(
        process,
        memory,
        "sock_recv",
        |segments| {
            let told = memory.slot(oflags)?;
            let (how, at_once) = of_socket(process, fd, receive_flags(flags))?;
            let count = process.receive(fd, how, at_once, &mut segments.sink())?;
            // Of a stream nothing is ever cut off.
            told.put(0u16.to_le_bytes());
            Ok(count)
        },
        |show| {
            show.bits(u64::from(flags), RECEIVE_FLAGS, "");
        },
    )
}

/// Sends (`sendmsg(2)`).
///
/// # Errors
/// `ENOTSOCK`, `EBADF`. `EINVAL`: a flag without meaning. `EPIPE`, `EAGAIN`, `EINTR`: as a write.
pub fn sock_send(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nwritten: u32,
) -> Outcome {
    let transfer = Transfer { fd, iovs, iovs_len, count: nwritten, goes_on: GoesOn::Always };
    transfer.run(
        process,
        memory,
        "sock_send",
        |segments| {
            let at_once = of_socket(process, fd, send_flags(flags))?;
            process.send(fd, at_once, &mut segments.source())
        },
        |show| {
            show.bits(u64::from(flags), SEND_FLAGS, "");
        },
    )
}

/// Ends one or both directions (`shutdown(2)`).
///
/// # Errors
/// `ENOTSOCK`, `EBADF`. `EINVAL`: no direction, or one without meaning.
pub fn sock_shutdown(process: &Process, memory: &GuestMemory<'_>, fd: u32, how: u32) -> Outcome {
    let run = || {
        let how = of_socket(process, fd, shutdown_flags(how))?;
        process.shutdown(fd, how).map(|()| Gave::Nothing)
    };
    observed(process, memory, "sock_shutdown", run, |show| {
        show.fd(fd).bits(u64::from(how), SHUTDOWN, "");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_their_meaning_or_none() {
        assert_eq!(receive_flags(0), Ok((Receive::Some, false)));
        assert_eq!(receive_flags(1), Ok((Receive::Peek, false)));
        assert_eq!(receive_flags(2 | 8), Ok((Receive::All, true)));
        assert_eq!(receive_flags(1 | 2), Ok((Receive::Peek, false)));
        assert_eq!(receive_flags(4), Ok((Receive::Some, false)));
        assert_eq!(receive_flags(16), Err(Errno::INVAL));
        assert_eq!((send_flags(1), send_flags(2)), (Ok(true), Err(Errno::INVAL)));
        assert_eq!(shutdown_flags(3), Ok(Shutdown::Both));
        assert_eq!([0, 4, 255].map(shutdown_flags), [Err(Errno::INVAL); 3]);
    }
}
