//! `poll_oneoff`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vnode_core::Errno;
use vnode_core::fs::Access;
use vnode_kernel::stream::{HostStream, Reader};
use vnode_kernel::{ClockId, Exit};
use vnode_wasi::{errno, preview1, unstable};

use crate::guest::*;

const IN: u32 = 0x20000;
const OUT: u32 = 0x28000;

fn clock(userdata: u64, id: u32, timeout: u64, flags: u16) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    bytes[16..20].copy_from_slice(&id.to_le_bytes());
    bytes[24..32].copy_from_slice(&timeout.to_le_bytes());
    bytes[40..42].copy_from_slice(&flags.to_le_bytes());
    bytes
}

fn on_fd(userdata: u64, kind: u8, fd: u32) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    bytes[8] = kind;
    bytes[16..20].copy_from_slice(&fd.to_le_bytes());
    bytes
}

/// User data, error, type, bytes, flags of each event.
type Told = Vec<(u64, Option<Errno>, u8, u64, u16)>;

fn put(guest: &mut Guest, subscriptions: &[[u8; 48]]) {
    guest.put(IN, subscriptions.concat().as_slice());
    guest.put(OUT, &vec![0xee; 32 * subscriptions.len()]);
}

fn told(guest: &Guest) -> Told {
    (0..guest.u32(RESULT))
        .map(|index| {
            let at = OUT + index * 32;
            assert_eq!(guest.get(at + 11, 5), [0; 5]);
            assert_eq!(guest.get(at + 26, 6), [0; 6]);
            let error = errno::from_wasi(guest.u16(at + 8));
            (guest.u64(at), error, guest.u8(at + 10), guest.u64(at + 16), guest.u16(at + 24))
        })
        .collect()
}

fn poll(guest: &mut Guest, subscriptions: &[[u8; 48]]) -> Got<Told> {
    put(guest, subscriptions);
    let count = subscriptions.len() as u32;
    guest.call(|p, m| preview1::poll_oneoff(p, m, IN, OUT, count, RESULT))?;
    Ok(told(guest))
}

#[test]
fn clocks_come_when_their_time_has() {
    let mut guest = Guest::new();
    for id in [0, 1, 2] {
        let now =
            guest.process.time([ClockId::Realtime, ClockId::Monotonic, ClockId::ProcessCpu][id]).unwrap();
        let id = id as u32;
        assert_eq!(poll(&mut guest, &[clock(7, id, now, 1)]), Ok(vec![(7, None, 0, 0, 0)]));
        if id == 2 {
            continue;
        }
        let start = Instant::now();
        let list = [clock(8, id, 3_600_000_000_000, 0), clock(9, id, 20_000_000, 0)];
        assert_eq!(poll(&mut guest, &list), Ok(vec![(9, None, 0, 0, 0)]));
        assert!(start.elapsed() >= Duration::from_millis(20));
        let start = Instant::now();
        let list = [clock(8, id, u64::MAX, 1), clock(9, id, now + 60_000_000, 1)];
        assert_eq!(poll(&mut guest, &list), Ok(vec![(9, None, 0, 0, 0)]));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    let wrong = [clock(1, 9, 0, 0), clock(2, 1, u64::MAX, 0), clock(3, 3, 0, 0)];
    let inval = Some(Errno::INVAL);
    assert_eq!(poll(&mut guest, &wrong), Ok(vec![(1, inval, 0, 0, 0), (3, inval, 0, 0, 0)]));
}

#[test]
fn files_are_always_ready_and_what_is_wrong_is_told_apart() {
    let mut guest = Guest::new();
    guest.file("a", b"0123456789");
    let fd = guest.open("a", 0, READ | WRITE).unwrap();
    guest.seek(fd, 4, 0).unwrap();
    let list =
        [on_fd(1, 1, fd), on_fd(2, 2, fd), on_fd(3, 1, 99), clock(4, 1, 1 << 40, 0), on_fd(5, 1, ROOT)];
    let told = poll(&mut guest, &list).unwrap();
    assert_eq!(
        told,
        [(1, None, 1, 6, 0), (2, None, 2, 0, 0), (3, Some(Errno::BADF), 1, 0, 0), (5, None, 1, 0, 0)]
    );
}

#[test]
fn malformed_lists_are_refused() {
    let mut guest = Guest::new();
    let mut call = |at, out, count, nevents| {
        guest.put(IN, &clock(1, 1, 0, 0));
        guest.call(|p, m| preview1::poll_oneoff(p, m, at, out, count, nevents))
    };
    assert_eq!(call(IN, OUT, 0, RESULT), Err(Errno::INVAL));
    for count in [65_537, 1 << 31, u32::MAX] {
        assert_eq!(call(IN, OUT, count, RESULT), Err(Errno::INVAL));
    }
    assert_eq!(call(OUTSIDE, OUT, 1, RESULT), Err(Errno::FAULT));
    assert_eq!(call(IN, OUTSIDE, 1, RESULT), Err(Errno::FAULT));
    assert_eq!(call(IN, OUT, 1, OUTSIDE), Err(Errno::FAULT));
    assert_eq!(call(IN, OUT, 65_536, RESULT), Err(Errno::FAULT));
    assert_eq!(call(IN, OUT, 1, RESULT), Ok(()));
    assert_eq!(poll(&mut guest, &[on_fd(1, 3, 0)]), Err(Errno::INVAL));
    assert_eq!(poll(&mut guest, &[clock(1, 1, 0, 2)]), Err(Errno::INVAL));
}

#[test]
fn events_may_overwrite_the_subscriptions() {
    let mut guest = Guest::new();
    put(&mut guest, &[clock(1, 1, 0, 0), clock(2, 1, 0, 0), clock(3, 1, 0, 0)]);
    guest.call(|p, m| preview1::poll_oneoff(p, m, IN, IN, 3, RESULT)).unwrap();
    assert_eq!([0, 32, 64].map(|at| guest.u64(IN + at)), [1, 2, 3]);
}

#[test]
fn unstable_has_larger_subscriptions() {
    let mut guest = Guest::new();
    let widened: Vec<u8> = [clock(5, 1, 1_000_000, 0), clock(6, 1, u64::MAX, 1), on_fd(7, 2, 1)]
        .iter()
        .flat_map(|bytes| {
            let (head, tail) = bytes.split_at(16);
            // The identifier before a clock means nothing; a descriptor stands where it stands.
            match bytes[8] {
                0 => [head, &[0xab; 8], tail].concat(),
                _ => [head, tail, &[0; 8]].concat(),
            }
        })
        .collect();
    guest.put(IN, &widened);
    guest.call(|p, m| unstable::poll_oneoff(p, m, IN, OUT, 2, RESULT)).unwrap();
    assert_eq!((guest.u32(RESULT), guest.u64(OUT), guest.u8(OUT + 10)), (1, 5, 0));
    guest.call(|p, m| unstable::poll_oneoff(p, m, IN + 56, OUT, 2, RESULT)).unwrap();
    assert_eq!((guest.u32(RESULT), guest.u64(OUT), guest.u8(OUT + 10)), (1, 7, 2));
}

#[test]
fn standard_input_is_waited_for_with_a_timeout() {
    let (read, write) = std::io::pipe().unwrap();
    let mut guest = Guest::with(|builder| builder.stdin(Arc::new(HostStream::new(read, Access::READ))));
    let list = [on_fd(1, 1, 0), clock(2, 1, 20_000_000, 0), on_fd(3, 2, 0)];
    assert_eq!(poll(&mut guest, &list[..2]), Ok(vec![(2, None, 0, 0, 0)]));
    assert_eq!(poll(&mut guest, &list), Ok(vec![(3, Some(Errno::BADF), 2, 0, 0)]));
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        std::io::Write::write_all(&mut &write, b"hello").unwrap();
        write
    });
    assert_eq!(poll(&mut guest, &[on_fd(1, 1, 0)]), Ok(vec![(1, None, 1, 5, 0)]));
    drop(writer.join().unwrap());
    assert_eq!(poll(&mut guest, &[on_fd(1, 1, 0)]), Ok(vec![(1, None, 1, 5, 1)]));
    assert_eq!(guest.read(0, 100), Ok(b"hello".to_vec()));
    assert_eq!(poll(&mut guest, &[on_fd(1, 1, 0)]), Ok(vec![(1, None, 1, 0, 1)]));
    // Not to wait: F_SETFL.
    let (read, _write) = std::io::pipe().unwrap();
    let mut guest = Guest::with(|builder| builder.stdin(Arc::new(HostStream::new(read, Access::READ))));
    guest.call(|p, m| preview1::fd_fdstat_set_flags(p, m, 0, 4)).unwrap();
    assert_eq!(guest.read(0, 100), Err(Errno::AGAIN));
}

#[test]
fn any_reader_is_waited_for() {
    let (read, write) = std::io::pipe().unwrap();
    let mut guest = Guest::with(|builder| builder.stdin(Arc::new(Reader::new(read))));
    let list = [on_fd(1, 1, 0), clock(2, 1, 20_000_000, 0)];
    assert_eq!(poll(&mut guest, &list), Ok(vec![(2, None, 0, 0, 0)]));
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        std::io::Write::write_all(&mut &write, b"hello").unwrap();
    });
    let told = poll(&mut guest, &list[..1]).unwrap();
    assert_eq!((told[0].0, told[0].1), (1, None));
    writer.join().unwrap();
    assert_eq!(guest.read(0, 100), Ok(b"hello".to_vec()));
}

#[test]
fn a_kill_ends_the_guest_whatever_it_waits_for() {
    let (read, _write) = std::io::pipe().unwrap();
    let mut guest = Guest::with(|builder| builder.stdin(Arc::new(HostStream::new(read, Access::READ))));
    let stop = Arc::clone(guest.process.interruption());
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        stop.kill();
    });
    put(&mut guest, &[clock(1, 1, u64::MAX, 0)]);
    let outcome = guest.outcome(|p, m| preview1::poll_oneoff(p, m, IN, OUT, 1, RESULT));
    assert_eq!(exit_of(outcome), Exit::Killed);
    killer.join().unwrap();
    let (at, count) = guest.vectors(&[(BUFFER, 10)]);
    assert_eq!(exit_of(guest.outcome(|p, m| preview1::fd_read(p, m, 0, at, count, RESULT))), Exit::Killed);
    assert_eq!(exit_of(guest.outcome(|p, m| preview1::random_get(p, m, 0, 4))), Exit::Killed);
    assert_eq!(exit_of(guest.outcome(preview1::sched_yield)), Exit::Killed);
}
