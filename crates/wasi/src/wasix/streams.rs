//! Pipes, pairs of sockets, counters of events.

use vnode_core::{Errno, Result};
use vnode_kernel::stream::{Counting, NewStream};
use vnode_kernel::{FdFlags, Process};

use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::{Gave, observed};

/// The flags of [`fd_event`], by bit; 1 is none.
const EVENT_FLAGS: &[&str] = &["EFD_SEMAPHORE", "0x2", "EFD_NONBLOCK"];

/// `addressfamily`.
const FAMILIES: &[&str] = &["AF_UNSPEC", "AF_INET", "AF_INET6", "AF_UNIX"];
const INET4: u32 = 1;
const INET6: u32 = 2;
const UNIX: u32 = 3;
/// `socktype`.
const TYPES: &[&str] = &["0", "SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW", "SOCK_SEQPACKET"];
const STREAM: u32 = 1;
const DATAGRAM: u32 = 2;
const LAST_TYPE: u32 = 4;

/// Makes two descriptors by `make`, and tells the guest their numbers.
fn both(
    process: &Process,
    memory: &GuestMemory<'_>,
    name: &'static str,
    results: (u32, u32),
    make: impl FnOnce() -> Result<(u32, u32)>,
    show: impl FnOnce(&mut crate::show::Show<'_>),
) -> Outcome {
    let run = || {
        let (first, second) = (memory.slot(results.0)?, memory.slot(results.1)?);
        let (one, other) = make()?;
        first.put(one.to_le_bytes());
        second.put(other.to_le_bytes());
        Ok(Gave::Number(u64::from(one)))
    };
    observed(process, memory, name, run, show)
}

/// Makes a pipe: the end to be read, and the end to be written (`pipe(2)`).
///
/// # Errors
/// `EMFILE`.
pub fn fd_pipe(process: &Process, memory: &GuestMemory<'_>, read: u32, write: u32) -> Outcome {
    both(process, memory, "fd_pipe", (read, write), || process.pipe(NewStream::default()), |_| {})
}

/// Makes a counter of events (`eventfd(2)`, of 64 bits from the start).
///
/// # Errors
/// `EINVAL`: a flag without meaning, or more than can be counted to. `EMFILE`.
pub fn fd_event(
    process: &Process,
    memory: &GuestMemory<'_>,
    initial: u64,
    flags: u32,
    result: u32,
) -> Outcome {
    let run = || {
        let slot = memory.slot(result)?;
        let counting = if flags & 1 == 0 { Counting::Whole } else { Counting::Semaphore };
        let status = if flags & 4 == 0 { FdFlags::empty() } else { FdFlags::NONBLOCK };
        if flags & !5 != 0 || initial == u64::MAX {
            return Err(Errno::INVAL);
        }
        let fd = process.event_counter(initial, counting, NewStream { status, close_on_exec: false })?;
        slot.put(fd.to_le_bytes());
        Ok(Gave::Number(u64::from(fd)))
    };
    observed(process, memory, "fd_event", run, |show| {
        show.any(initial).bits(u64::from(flags), EVENT_FLAGS, "");
    })
}

/// Whether there are pairs of such sockets. The errors are those of Linux, in its order; but `ESOCKTNOSUPPORT`, for
/// which WASI has no number, is POSIX's `EPROTOTYPE`.
fn check_pair(family: u32, kind: u32, protocol: u32) -> Result<()> {
    match family {
        _ if family > UNIX => Err(Errno::AFNOSUPPORT),
        _ if kind > LAST_TYPE => Err(Errno::INVAL),
        // Linux takes the family's own number, too.
        UNIX if protocol != 0 && protocol != UNIX => Err(Errno::PROTONOSUPPORT),
        UNIX if kind != STREAM => Err(Errno::PROTOTYPE),
        UNIX => Ok(()),
        INET4 | INET6 if kind == STREAM || kind == DATAGRAM => Err(Errno::OPNOTSUPP),
        INET4 | INET6 => Err(Errno::PROTOTYPE),
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// Makes a pair of connected sockets (`socketpair(2)`): of `AF_UNIX` and `SOCK_STREAM`.
///
/// # Errors
/// * `EAFNOSUPPORT`, `EOPNOTSUPP`: another family. `EPROTOTYPE`: another type. `EPROTONOSUPPORT`: another protocol.
/// * `EINVAL`: a type without meaning. `EMFILE`.
pub fn sock_pair(
    process: &Process,
    memory: &GuestMemory<'_>,
    family: u32,
    kind: u32,
    protocol: u32,
    first: u32,
    second: u32,
) -> Outcome {
    let make = || {
        check_pair(family, kind, protocol)?;
        process.socket_pair(NewStream::default())
    };
    both(process, memory, "sock_pair", (first, second), make, |show| {
        show.named(family, FAMILIES).named(kind, TYPES).any(protocol);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_streams_of_unix_come_in_pairs() {
        assert_eq!((check_pair(3, 1, 0), check_pair(3, 1, 3)), (Ok(()), Ok(())));
        for (family, kind, protocol, errno) in [
            (3, 1, 6, Errno::PROTONOSUPPORT),
            (3, 2, 6, Errno::PROTONOSUPPORT),
            (3, 0, 0, Errno::PROTOTYPE),
            (3, 2, 0, Errno::PROTOTYPE),
            (3, 4, 0, Errno::PROTOTYPE),
            (3, 5, 6, Errno::INVAL),
            (0, 5, 0, Errno::INVAL),
            (99, 5, 0, Errno::AFNOSUPPORT),
            (1, 1, 0, Errno::OPNOTSUPP),
            (2, 2, 0, Errno::OPNOTSUPP),
            (2, 4, 0, Errno::PROTOTYPE),
            (0, 1, 0, Errno::AFNOSUPPORT),
            (u32::MAX, 1, 0, Errno::AFNOSUPPORT),
        ] {
            assert_eq!(check_pair(family, kind, protocol), Err(errno), "{family} {kind} {protocol}");
        }
    }
}
