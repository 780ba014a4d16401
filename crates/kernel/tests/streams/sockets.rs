//! Pairs of sockets that nobody waits for.

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, shutdown, socketpair};
use vnode_core::io::Sink;
use vnode_core::{Errno, FileType, Result};
use vnode_kernel::stream::{EventCounter, Stream};
use vnode_kernel::stream::{Interest, Receive, SOCKET_BUFFER, Shutdown, Socket, pair, pipe};

use crate::twin::{Random, Twin, answer, at_once, for_each_seed};

struct Pair([Option<Twin<Socket>>; 2]);

impl Pair {
    fn new() -> Self {
        let flags = SocketFlags::empty();
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let ours = pair();
        Pair([Some(Twin::new(one, ours.0)), Some(Twin::new(other, ours.1))])
    }

    fn at(&self, which: usize) -> &Twin<Socket> {
        self.0[which].as_ref().unwrap()
    }

    fn compare_readiness(&self) {
        for socket in self.0.iter().flatten() {
            socket.compare_readiness(Interest::Read, Some(PollFlags::HUP));
            socket.compare_readiness(Interest::Write, Some(PollFlags::HUP));
        }
    }
}

impl Twin<Socket> {
    fn receive(&self, len: usize, how: Receive) -> Result<Vec<u8>> {
        let flags = match how {
            Receive::Some => RecvFlags::empty(),
            Receive::Peek => RecvFlags::PEEK,
            Receive::All => RecvFlags::WAITALL,
        };
        let mut buffer = vec![0; len];
        let theirs =
            answer(recv(&self.kernel, &mut buffer[..], flags)).map(|(count, _)| buffer[..count].to_vec());
        let mut buffer = vec![0; len];
        let ours = at_once(|wait| self.ours.receive(wait, &mut Sink::from_slice(&mut buffer), how));
        let ours = ours.map(|count| buffer[..count].to_vec());
        assert_eq!(ours, theirs, "recv {len} {how:?}");
        ours
    }

    fn shut(&self, how: Shutdown) {
        let kernel = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        assert_eq!(answer(shutdown(&self.kernel, kernel)), Ok(()));
        self.ours.shutdown(how);
    }
}

const HOWS: [Shutdown; 3] = [Shutdown::Read, Shutdown::Write, Shutdown::Both];

#[test]
fn a_pair_is_of_sockets() {
    let pair = Pair::new();
    let (ours, theirs) = pair.at(0).kinds();
    assert_eq!((ours, theirs & 0o170_000), (FileType::Socket, FileType::Socket.mode_bits()));
    assert!(pair.at(0).ours.as_socket().is_some());
    assert!(pipe().0.as_socket().is_none());
    assert!(EventCounter::new(0, vnode_kernel::stream::Counting::Whole).as_socket().is_none());
}

#[test]
fn what_is_written_to_one_is_read_from_the_other() {
    let pair = Pair::new();
    pair.compare_readiness();
    for (here, there) in [(0, 1), (1, 0)] {
        assert_eq!(pair.at(here).write(b""), Ok(0));
        assert_eq!(pair.at(there).read(5), Err(Errno::AGAIN));
        assert_eq!(pair.at(there).read(0), Ok(vec![]));
        assert_eq!(pair.at(there).receive(0, Receive::Some), Err(Errno::AGAIN));
        assert_eq!(pair.at(here).write(b"hello"), Ok(5));
        assert_eq!(pair.at(here).write_many(&[b" ", b"", b"all"]), Ok(4));
        pair.compare_readiness();
        for how in [Receive::Some, Receive::Peek, Receive::All] {
            assert_eq!(pair.at(there).receive(0, how), Ok(vec![]));
        }
        assert_eq!(pair.at(there).receive(7, Receive::Peek), Ok(b"hello a".to_vec()));
        assert_eq!(pair.at(there).receive(3, Receive::All), Ok(b"hel".to_vec()));
        assert_eq!(pair.at(there).receive(20, Receive::Peek), Ok(b"lo all".to_vec()));
        assert_eq!(pair.at(there).receive(20, Receive::All), Ok(b"lo all".to_vec()));
        assert_eq!(pair.at(there).receive(20, Receive::All), Err(Errno::AGAIN));
    }
}

#[test]
fn every_shutdown_before_and_after_every_other_and_the_close() {
    for first in HOWS {
        for second in HOWS {
            for (by, closes) in [(0, None), (1, None), (0, Some(0)), (1, Some(1)), (1, Some(0))] {
                let mut pair = Pair::new();
                assert_eq!(pair.at(0).write(b"from 0"), Ok(6));
                assert_eq!(pair.at(1).write(b"from 1"), Ok(6));
                pair.at(0).shut(first);
                try_all(&pair);
                pair.at(by).shut(second);
                try_all(&pair);
                if let Some(closes) = closes {
                    pair.0[closes] = None;
                    try_all(&pair);
                }
                try_all(&pair);
                try_all(&pair);
            }
        }
    }
}

/// Compares what every call comes to.
fn try_all(pair: &Pair) {
    pair.compare_readiness();
    for socket in pair.0.iter().flatten() {
        let _ = (socket.write(b""), socket.write(b"x"), socket.read(0), socket.read(3));
    }
    pair.compare_readiness();
}

#[test]
fn a_close_with_bytes_unread_is_told_once() {
    for read in 0..4 {
        let mut pair = Pair::new();
        assert_eq!(pair.at(0).write(b"unread"), Ok(6));
        assert_eq!(pair.at(1).write(b"last"), Ok(4));
        pair.0[1] = None;
        pair.compare_readiness();
        assert_eq!(pair.at(0).write(b"x"), Err(Errno::PIPE));
        match read {
            0 => assert_eq!(pair.at(0).read(9), Ok(b"last".to_vec())),
            1 => assert_eq!(pair.at(0).receive(4, Receive::All), Ok(b"last".to_vec())),
            2 => assert_eq!(pair.at(0).receive(9, Receive::All), Ok(b"last".to_vec())),
            _ => {
                assert_eq!(pair.at(0).read(9), Ok(b"last".to_vec()));
                assert_eq!(pair.at(0).receive(9, Receive::Peek), Err(Errno::CONNRESET));
            }
        }
        let told = if read < 2 { Err(Errno::CONNRESET) } else { Ok(vec![]) };
        pair.compare_readiness();
        assert_eq!(pair.at(0).read(9), told);
        assert_eq!(pair.at(0).read(9), Ok(vec![]));
        pair.compare_readiness();
    }
}

#[test]
fn a_direction_holds_about_what_linux_lets_in() {
    let kernel = Pair::new();
    let much = vec![1; 4 * SOCKET_BUFFER];
    let theirs = rustix::io::write(&kernel.at(0).kernel, &much).unwrap();
    let ours = at_once(|wait| kernel.at(0).ours.write(wait, &mut vnode_core::io::Source::from_slice(&much)))
        .unwrap();
    assert_eq!(ours, SOCKET_BUFFER);
    assert!((ours / 2..ours * 2).contains(&theirs), "{theirs}");
    // Ready again only when most was read.
    assert_eq!(kernel.at(0).ours.readiness(Interest::Write), None);
    for twin in [0, 1] {
        let _ = twin;
        let mut half = vec![0; SOCKET_BUFFER / 2];
        rustix::io::read(&kernel.at(1).kernel, &mut half[..]).unwrap();
        at_once(|wait| kernel.at(1).ours.read(wait, &mut Sink::from_slice(&mut half))).unwrap();
        kernel.at(0).compare_readiness(Interest::Write, None);
    }
}

#[test]
fn random_calls_are_answered_as_by_the_kernel() {
    // What fits is Linux's own affair (it counts its headers): little is under way here.
    let edges = [0, 1, 2, 100, 1000, 1500];
    let mut resets = 0;
    for_each_seed(300, |random| {
        let mut pair = Pair::new();
        let mut under_way = [0; 2];
        for _ in 0..60 {
            resets += usize::from(step(&mut pair, random, &edges, &mut under_way) == Err(Errno::CONNRESET));
            pair.compare_readiness();
        }
    });
    assert!(resets > 20, "{resets}");
}

fn step(pair: &mut Pair, random: &mut Random, edges: &[usize], under_way: &mut [usize; 2]) -> Result<()> {
    let which = random.below(2);
    let Some(socket) = &pair.0[which] else { return Ok(()) };
    match random.below(100) {
        0 => socket.shut(Shutdown::Read),
        1 => socket.shut(Shutdown::Write),
        2 => socket.shut(Shutdown::Both),
        3 if pair.0.iter().all(Option::is_some) => pair.0[which] = None,
        ..45 if under_way[which] < 12 => {
            under_way[which] += 1;
            let len = random.length(edges);
            socket.write(&random.bytes(len))?;
        }
        45..55 => drop(socket.receive(random.length(edges), Receive::Peek)?),
        55..60 => drop(socket.receive(random.length(edges), Receive::All)?),
        60..65 => drop(socket.receive(random.length(edges), Receive::Some)?),
        _ => drop(socket.read(random.length(edges))?),
    }
    if pair.0[which].as_ref().is_some_and(|socket| socket.ours.readiness(Interest::Read).is_none()) {
        under_way[1 - which] = 0;
    }
    Ok(())
}
