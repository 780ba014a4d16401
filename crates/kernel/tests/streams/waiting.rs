//! Calls that wait: woken in time, woken at all, and ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, Result};
use vnode_kernel::stream::{
    Counting, EventCounter, PIPE_CAPACITY, Receive, SOCKET_BUFFER, Shutdown, Stream, pair, pipe,
};
use vnode_kernel::{Interruption, Wait};

use crate::executor::{CALLERS, Caller};

fn read(stream: &dyn Stream, stop: &Interruption, len: usize) -> Result<Vec<u8>> {
    let mut buffer = vec![0; len];
    let count = stream.read(Wait::blocking(stop), &mut Sink::from_slice(&mut buffer))?;
    buffer.truncate(count);
    Ok(buffer)
}

fn write(stream: &dyn Stream, stop: &Interruption, bytes: &[u8]) -> Result<usize> {
    stream.write(Wait::blocking(stop), &mut Source::from_slice(bytes))
}

/// Makes a call, and has something done when it has waited for a while.
fn meanwhile<T>(caller: Caller, call: impl FnMut() -> T, done: impl FnOnce() + Send) -> T {
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            done();
        });
        let result = caller.call(call);
        assert!(start.elapsed() >= Duration::from_millis(20), "it didn't wait");
        result
    })
}

#[test]
fn bytes_and_room_and_ends_are_waited_for() {
    let stop = Interruption::new();
    for caller in CALLERS {
        let (reader, writer) = pipe();
        let got = meanwhile(caller, || read(&reader, &stop, 10), || drop(write(&writer, &stop, b"abc")));
        assert_eq!(got, Ok(b"abc".to_vec()));
        let got = meanwhile(caller, || read(&reader, &stop, 10), || drop(writer));
        assert_eq!(got, Ok(vec![]));

        let (reader, writer) = pipe();
        assert_eq!(write(&writer, &stop, &[1; PIPE_CAPACITY]), Ok(PIPE_CAPACITY));
        let put = meanwhile(caller, || write(&writer, &stop, b"abc"), || drop(read(&reader, &stop, 4096)));
        assert_eq!(put, Ok(3));
        assert_eq!(write(&writer, &stop, &[1; 4093]), Ok(4093));
        let put = meanwhile(caller, || write(&writer, &stop, b"abc"), || drop(reader));
        assert_eq!(put, Err(Errno::PIPE));

        // What went in before the last reader went away counts.
        let (reader, writer) = pipe();
        let put = meanwhile(caller, || write(&writer, &stop, &[1; 100_000]), || drop(reader));
        assert_eq!(put, Ok(PIPE_CAPACITY));
    }
}

#[test]
fn sockets_wait_for_each_other() {
    let stop = Interruption::new();
    for caller in CALLERS {
        let (one, other) = pair();
        let got = meanwhile(caller, || read(&one, &stop, 10), || drop(write(&other, &stop, b"abc")));
        assert_eq!(got, Ok(b"abc".to_vec()));
        for how in [Shutdown::Read, Shutdown::Both] {
            let (one, _other) = pair();
            assert_eq!(meanwhile(caller, || read(&one, &stop, 10), || one.shutdown(how)), Ok(vec![]));
        }
        for how in [Shutdown::Write, Shutdown::Both] {
            let (one, other) = pair();
            assert_eq!(meanwhile(caller, || read(&one, &stop, 10), || other.shutdown(how)), Ok(vec![]));
            let (one, _other) = pair();
            let much = vec![1; SOCKET_BUFFER];
            assert_eq!(write(&one, &stop, &much), Ok(SOCKET_BUFFER));
            let put = meanwhile(caller, || write(&one, &stop, b"x"), || one.shutdown(how));
            assert_eq!(put, Err(Errno::PIPE));
        }
        // A close that leaves bytes unread.
        let (one, other) = pair();
        assert_eq!(write(&one, &stop, b"x"), Ok(1));
        assert_eq!(meanwhile(caller, || read(&one, &stop, 10), || drop(other)), Err(Errno::CONNRESET));

        let (one, other) = pair();
        let all = || {
            let mut buffer = vec![0; 5];
            let mut into = Sink::from_slice(&mut buffer);
            other.receive(Wait::blocking(&stop), &mut into, Receive::All).map(|count| (count, buffer))
        };
        assert_eq!(write(&one, &stop, b"ab"), Ok(2));
        let got = meanwhile(caller, all, || {
            assert_eq!(write(&one, &stop, b"c"), Ok(1));
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(write(&one, &stop, b"defg"), Ok(4));
        });
        // A task's buffer is a new one for each try here: what is counted is what matters.
        assert_eq!(got.map(|(count, _)| count), Ok(5));
        assert_eq!(read(&other, &stop, 9), Ok(b"fg".to_vec()));
    }
}

#[test]
fn counters_wait_for_each_other() {
    let stop = Interruption::new();
    let number = |number: u64| number.to_le_bytes().to_vec();
    for caller in CALLERS {
        let counter = EventCounter::new(0, Counting::Whole);
        let got = meanwhile(caller, || read(&counter, &stop, 8), || drop(write(&counter, &stop, &number(3))));
        assert_eq!(got, Ok(number(3)));
        assert_eq!(write(&counter, &stop, &number(u64::MAX - 1)), Ok(8));
        let put = meanwhile(caller, || write(&counter, &stop, &number(1)), || drop(read(&counter, &stop, 8)));
        assert_eq!(put, Ok(8));
        assert_eq!(read(&counter, &stop, 8), Ok(number(1)));
    }
}

#[test]
fn a_kill_ends_every_wait() {
    let never = Interruption::new();
    for caller in CALLERS {
        let (reader, writer) = pipe();
        let (one, other) = pair();
        let counter = EventCounter::new(0, Counting::Semaphore);
        for stream in [&reader as &dyn Stream, &one, &other, &counter] {
            let stop = Interruption::new();
            let got = meanwhile(caller, || read(stream, &stop, 8), || stop.kill());
            assert_eq!(got, Err(Errno::INTR));
        }
        for stream in [&writer as &dyn Stream, &one, &other] {
            // What is there no room for in the end is not an error, if something went in.
            let stop = Interruption::new();
            let put = meanwhile(caller, || write(stream, &stop, &vec![1; 300_000]), || stop.kill());
            assert!(put.is_ok_and(|count| (PIPE_CAPACITY..300_000).contains(&count)), "{put:?}");
            let stop = Interruption::new();
            assert_eq!(meanwhile(caller, || write(stream, &stop, b"x"), || stop.kill()), Err(Errno::INTR));
        }
        assert_eq!(write(&counter, &never, &(u64::MAX - 1).to_le_bytes()), Ok(8));
        let stop = Interruption::new();
        let put = meanwhile(caller, || write(&counter, &stop, &1u64.to_le_bytes()), || stop.kill());
        assert_eq!(put, Err(Errno::INTR));
    }
}

#[test]
fn a_hundred_thousand_wakes_and_none_is_lost() {
    for callers in [[Caller::Thread; 2], [Caller::Thread, Caller::Task]] {
        let (to, from_here) = pipe();
        let (back, from_there) = pipe();
        let echo = std::thread::spawn(move || {
            let stop = Interruption::new();
            while let [byte] = callers[1].call(|| read(&to, &stop, 1)).unwrap()[..] {
                assert_eq!(write(&from_there, &stop, &[byte]), Ok(1));
            }
        });
        let stop = Interruption::new();
        for round in 0..50_000u32 {
            assert_eq!(write(&from_here, &stop, &[round as u8]), Ok(1));
            assert_eq!(callers[0].call(|| read(&back, &stop, 1)), Ok(vec![round as u8]));
        }
        drop(from_here);
        echo.join().unwrap();
    }
}

/// One is woken of those who wait in a call: whoever it is must not keep the others from what is left.
#[test]
fn many_readers_and_writers_share_a_pipe_and_all_get_on() {
    const EACH: usize = 3000;
    let (reader, writer) = pipe();
    let (reader, writer) = (Arc::new(reader), Arc::new(writer));
    let sum = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..6usize)
        .map(|number| {
            let (reader, sum) = (Arc::clone(&reader), Arc::clone(&sum));
            std::thread::spawn(move || {
                let stop = Interruption::new();
                loop {
                    let got =
                        CALLERS[number % 2].call(|| read(&*reader, &stop, 1 + 5000 * (number % 3))).unwrap();
                    if got.is_empty() {
                        return;
                    }
                    sum.fetch_add(got.iter().map(|&byte| u64::from(byte)).sum(), Ordering::Relaxed);
                }
            })
        })
        .collect();
    drop(reader);
    let writers: Vec<_> = (0..6usize)
        .map(|number| {
            let writer = Arc::clone(&writer);
            std::thread::spawn(move || {
                let stop = Interruption::new();
                let bytes = vec![1; [1, 2100, 4096][number % 3]];
                for _ in 0..EACH {
                    let put = CALLERS[number % 2].call(|| write(&*writer, &stop, &bytes));
                    assert_eq!(put, Ok(bytes.len()));
                }
            })
        })
        .collect();
    drop(writer);
    writers.into_iter().chain(readers).for_each(|thread| thread.join().unwrap());
    assert_eq!(sum.load(Ordering::Relaxed), (EACH * 2 * (1 + 2100 + 4096)) as u64);
}

/// Readers that are killed while bytes come pass their wake on to those who stay.
#[test]
fn a_wake_is_not_lost_with_who_is_killed() {
    for round in 0..300 {
        let (reader, writer) = pipe();
        let (dies, stays) = (Interruption::new(), Interruption::new());
        std::thread::scope(|scope| {
            let (reader, dies, stays, writer) = (&reader, &dies, &stays, &writer);
            let mortal = scope.spawn(move || read(reader, dies, 1));
            if round % 2 == 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
            let other = scope.spawn(move || CALLERS[round % 2].call(|| read(reader, stays, 1)));
            std::thread::sleep(Duration::from_micros(200));
            let killer = scope.spawn(|| dies.kill());
            assert_eq!(write(writer, stays, b"x"), Ok(1));
            killer.join().unwrap();
            if mortal.join().unwrap().is_ok() {
                assert_eq!(write(writer, stays, b"y"), Ok(1));
            }
            assert_eq!(other.join().unwrap().map(|bytes| bytes.len()), Ok(1));
        });
    }
}

#[test]
fn a_large_write_goes_on_where_it_was() {
    for caller in CALLERS {
        let content: Vec<u8> = (0..1_000_000u32).map(|at| (at % 251) as u8).collect();
        let (reader, writer) = pipe();
        let stop = Interruption::new();
        let seen = std::thread::scope(|scope| {
            let stop = &stop;
            let reading = scope.spawn(move || {
                let mut seen = Vec::new();
                loop {
                    let got = caller.call(|| read(&reader, stop, 3000 + seen.len() % 70_000)).unwrap();
                    if got.is_empty() {
                        return seen;
                    }
                    seen.extend(got);
                }
            });
            assert_eq!(caller.call(|| write(&writer, stop, &content)), Ok(content.len()));
            drop(writer);
            reading.join().unwrap()
        });
        assert!(seen == content);
    }
}
