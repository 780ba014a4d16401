//! Pipes, pairs of sockets, counters of events, and the clock that can be set.

use vnode_core::{Credentials, Errno, Policy};
use vnode_kernel::{ClockId, Exit, Limits};
use vnode_wasi::{preview1, wasix};

use crate::guest::{BUFFER, Guest, OUTSIDE, RESULT, exit_of};

const SECOND: u64 = 1_000_000_000;

fn posix() -> Guest {
    Guest::with(|builder| builder.policy(Policy::Posix))
}

fn pipe(guest: &mut Guest) -> (u32, u32) {
    guest.call(|p, m| wasix::fd_pipe(p, m, RESULT, RESULT + 4)).unwrap();
    (guest.u32(RESULT), guest.u32(RESULT + 4))
}

fn pair(guest: &mut Guest) -> (u32, u32) {
    guest.call(|p, m| wasix::sock_pair(p, m, 3, 1, 0, RESULT, RESULT + 4)).unwrap();
    (guest.u32(RESULT), guest.u32(RESULT + 4))
}

fn receive(guest: &mut Guest, fd: u32, len: u32, flags: u32) -> Result<Vec<u8>, Errno> {
    let (at, count) = guest.vectors(&[(BUFFER, 1), (BUFFER + 1, len - 1)]);
    guest.put(RESULT + 4, &[0xff; 2]);
    guest.call(|p, m| preview1::sock_recv(p, m, fd, at, count, flags, RESULT, RESULT + 4))?;
    assert_eq!(guest.u16(RESULT + 4), 0, "nothing is cut off");
    Ok(guest.get(BUFFER, guest.u32(RESULT)))
}

fn send(guest: &mut Guest, fd: u32, bytes: &[u8], flags: u32) -> Result<u32, Errno> {
    guest.put(BUFFER, bytes);
    let (at, count) = guest.vectors(&[(BUFFER, bytes.len() as u32)]);
    guest.call(|p, m| preview1::sock_send(p, m, fd, at, count, flags, RESULT))?;
    Ok(guest.u32(RESULT))
}

#[test]
fn what_fails_leaves_no_descriptor() {
    let mut guest = posix();
    let open = guest.process.fds().len();
    for (first, second) in [(OUTSIDE, RESULT), (RESULT, OUTSIDE), (u32::MAX, u32::MAX)] {
        assert_eq!(guest.call(|p, m| wasix::fd_pipe(p, m, first, second)), Err(Errno::FAULT));
        let made = guest.call(|p, m| wasix::sock_pair(p, m, 3, 1, 0, first, second));
        assert_eq!(made, Err(Errno::FAULT));
    }
    assert_eq!(guest.call(|p, m| wasix::fd_event(p, m, 0, 0, OUTSIDE)), Err(Errno::FAULT));
    for (initial, flags) in [(0, 2), (0, 8), (0, 1 << 31), (u64::MAX, 0)] {
        let made = guest.call(|p, m| wasix::fd_event(p, m, initial, flags, RESULT));
        assert_eq!(made, Err(Errno::INVAL), "{initial} {flags}");
    }
    for (family, kind, protocol, errno) in [
        (1, 1, 0, Errno::NOTSUP),
        (0, 1, 0, Errno::AFNOSUPPORT),
        (3, 2, 0, Errno::PROTOTYPE),
        (3, 1, 17, Errno::PROTONOSUPPORT),
    ] {
        let made = guest.call(|p, m| wasix::sock_pair(p, m, family, kind, protocol, RESULT, RESULT + 4));
        assert_eq!(made, Err(errno));
    }
    assert_eq!(guest.process.fds().len(), open);
    // Room for one more, where two are needed.
    let mut full =
        Guest::with(|builder| builder.policy(Policy::Posix).limits(Limits { open_files: open as u32 + 1 }));
    assert_eq!(full.call(|p, m| wasix::fd_pipe(p, m, RESULT, RESULT + 4)), Err(Errno::MFILE));
    let made = full.call(|p, m| wasix::sock_pair(p, m, 3, 1, 0, RESULT, RESULT + 4));
    assert_eq!(made, Err(Errno::MFILE));
    assert_eq!(full.process.fds().len(), open);
    full.call(|p, m| wasix::fd_event(p, m, 0, 0, RESULT)).unwrap();
}

#[test]
fn streams_look_as_wasi_has_them() {
    let mut guest = posix();
    let (read, write) = pipe(&mut guest);
    let (one, other) = pair(&mut guest);
    guest.call(|p, m| wasix::fd_event(p, m, 7, 1 | 4, RESULT)).unwrap();
    let counter = guest.u32(RESULT);
    assert!([read, write, one, other, counter].is_sorted());
    for (fd, kind, flags) in [(read, 0, 0), (write, 0, 0), (one, 6, 0), (counter, 0, 4)] {
        guest.call(|p, m| preview1::fd_fdstat_get(p, m, fd, BUFFER)).unwrap();
        assert_eq!((guest.u8(BUFFER), guest.u16(BUFFER + 2)), (kind, flags), "{fd}");
        guest.call(|p, m| preview1::fd_filestat_get(p, m, fd, BUFFER)).unwrap();
        assert_eq!(guest.u8(BUFFER + 16), kind, "{fd}");
        guest.call(|p, m| wasix::fd_fdflags_get(p, m, fd, BUFFER)).unwrap();
        assert_eq!(guest.u16(BUFFER), 0, "no FD_CLOEXEC");
    }
}

#[test]
fn sockets_send_and_receive_by_all_vectors() {
    let mut guest = posix();
    let (one, other) = pair(&mut guest);
    assert_eq!(send(&mut guest, one, b"hello", 0), Ok(5));
    assert_eq!(receive(&mut guest, other, 3, 1).unwrap(), b"hel");
    assert_eq!(receive(&mut guest, other, 5, 2).unwrap(), b"hello");
    assert_eq!(receive(&mut guest, other, 5, 8), Err(Errno::AGAIN));
    // Flags without meaning come behind what isn't a socket at all.
    assert_eq!(receive(&mut guest, other, 5, 16), Err(Errno::INVAL));
    assert_eq!(receive(&mut guest, 3, 5, 16), Err(Errno::NOTSOCK));
    assert_eq!(send(&mut guest, one, b"x", 2), Err(Errno::INVAL));
    assert_eq!(send(&mut guest, 99, b"x", 2), Err(Errno::BADF));
    for how in [0, 4, u32::MAX] {
        assert_eq!(guest.call(|p, m| preview1::sock_shutdown(p, m, one, how)), Err(Errno::INVAL));
        assert_eq!(guest.call(|p, m| preview1::sock_shutdown(p, m, 99, how)), Err(Errno::BADF));
    }
    assert_eq!(guest.call(|p, m| preview1::sock_accept(p, m, one, 0, RESULT)), Err(Errno::INVAL));
    // An address that can't be: nothing is taken.
    assert_eq!(send(&mut guest, one, b"stays", 0), Ok(5));
    let (at, count) = guest.vectors(&[(BUFFER, 5)]);
    for (read, told) in [(OUTSIDE, RESULT), (RESULT, OUTSIDE + 2)] {
        let received = guest.call(|p, m| preview1::sock_recv(p, m, other, at, count, 0, read, told));
        assert_eq!(received, Err(Errno::FAULT));
    }
    assert_eq!(receive(&mut guest, other, 9, 0).unwrap(), b"stays");
}

#[test]
fn sending_to_nobody_is_sigpipe_for_a_posix_process_only() {
    for policy in [Policy::Posix, Policy::Beneath] {
        let mut guest = Guest::with(|builder| builder.policy(policy));
        let (one, other) = pair(&mut guest);
        guest.close(other).unwrap();
        guest.put(BUFFER, b"x");
        let (at, count) = guest.vectors(&[(BUFFER, 1)]);
        let sent = guest.outcome(|p, m| preview1::sock_send(p, m, one, at, count, 0, RESULT));
        match policy {
            Policy::Posix => assert_eq!(exit_of(sent), Exit::Signal(13)),
            _ => assert_eq!(sent, Ok(64)),
        }
    }
}

#[test]
fn the_guest_sets_its_own_clock_and_its_files_have_that_time() {
    let mut guest = posix();
    let (later, host) = (4_000_000_000 * SECOND, guest.process.time(ClockId::Realtime).unwrap());
    guest.call(|p, m| wasix::clock_time_set(p, m, 0, later)).unwrap();
    guest.call(|p, m| preview1::clock_time_get(p, m, 0, 1, RESULT)).unwrap();
    assert!((later..later + 100 * SECOND).contains(&guest.u64(RESULT)));
    guest.file("new", b"content");
    let fd = guest.open("new", 0, crate::guest::READ).unwrap();
    guest.call(|p, m| preview1::fd_filestat_get(p, m, fd, BUFFER)).unwrap();
    assert!(guest.u64(BUFFER + 48).abs_diff(later) < 100 * SECOND, "{}", guest.u64(BUFFER + 48));
    assert!(Guest::new().process.time(ClockId::Realtime).unwrap() - host < 100 * SECOND);
    for (clock, time) in [(1, later), (2, later), (3, later), (4, later), (0, 0), (0, u64::MAX)] {
        let set = guest.call(|p, m| wasix::clock_time_set(p, m, clock, time));
        assert_eq!(set, Err(Errno::INVAL), "{clock} {time}");
    }
    let mut user = Guest::with(|builder| builder.credentials(Credentials::user(7, 7, &[])));
    assert_eq!(user.call(|p, m| wasix::clock_time_set(p, m, 0, later)), Err(Errno::PERM));
    assert_eq!(user.call(|p, m| wasix::clock_time_set(p, m, 1, later)), Err(Errno::INVAL));
}
