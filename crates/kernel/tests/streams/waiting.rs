//! Calls that wait: woken in time, woken at all, and ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, Result};
use vnode_kernel::stream::{
    Counting, EventCounter, PIPE_CAPACITY, SOCKET_BUFFER, Shutdown, Stream, pair, pipe,
};
use vnode_kernel::{Interruption, Wait};

use crate::beside::EVERYBODY;
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
fn meanwhile<T, U>(call: impl FnOnce() -> T, done: impl FnOnce() -> U + Send) -> T {
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            done();
        });
        let result = call();
        assert!(start.elapsed() >= Duration::from_millis(20), "it didn't wait");
        result
    })
}

#[test]
fn bytes_and_room_and_ends_are_waited_for() {
    for who in EVERYBODY {
        let (reader, writer) = who.pipe();
        assert_eq!(meanwhile(|| reader.read(10), || writer.write(b"abc")), Ok(b"abc".to_vec()));
        assert_eq!(meanwhile(|| reader.read(10), || drop(writer)), Ok(vec![]));

        let (reader, writer) = who.pipe();
        assert_eq!(writer.write(&[1; PIPE_CAPACITY]), Ok(PIPE_CAPACITY));
        assert_eq!(meanwhile(|| writer.write(b"abc"), || reader.read(4096)), Ok(3));
        assert_eq!(writer.write(&[1; 4093]), Ok(4093));
        assert_eq!(meanwhile(|| writer.write(b"abc"), || drop(reader)), Err(Errno::PIPE));

        // What went in before the last reader went away counts.
        let (reader, writer) = who.pipe();
        assert_eq!(meanwhile(|| writer.write(&[1; 100_000]), || drop(reader)), Ok(PIPE_CAPACITY));
    }
}

#[test]
fn sockets_wait_for_each_other() {
    for who in EVERYBODY {
        let (one, other) = who.pair();
        assert_eq!(meanwhile(|| one.read(10), || other.write(b"abc")), Ok(b"abc".to_vec()));
        one.fill();
        assert_eq!(meanwhile(|| one.write(b"abc"), || other.read(SOCKET_BUFFER)), Ok(3));
        for how in [Shutdown::Read, Shutdown::Both] {
            let (one, _other) = who.pair();
            assert_eq!(meanwhile(|| one.read(10), || one.shutdown(how)), Ok(vec![]));
            let (one, other) = who.pair();
            one.fill();
            assert_eq!(meanwhile(|| one.write(b"x"), || other.shutdown(how)), Err(Errno::PIPE));
        }
        for how in [Shutdown::Write, Shutdown::Both] {
            let (one, other) = who.pair();
            assert_eq!(meanwhile(|| one.read(10), || other.shutdown(how)), Ok(vec![]));
            let (one, _other) = who.pair();
            one.fill();
            assert_eq!(meanwhile(|| one.write(b"x"), || one.shutdown(how)), Err(Errno::PIPE));
        }
        // A close that leaves bytes unread.
        let (one, other) = who.pair();
        assert_eq!(one.write(b"x"), Ok(1));
        assert_eq!(meanwhile(|| one.read(10), || drop(other)), Err(Errno::CONNRESET));
    }
}

#[test]
fn who_receives_all_waits_for_all_or_for_the_end() {
    for who in EVERYBODY {
        let (one, other) = who.pair();
        assert_eq!(one.write(b"ab"), Ok(2));
        let got = meanwhile(
            || other.receive_all(5),
            || {
                assert_eq!(one.write(b"c"), Ok(1));
                std::thread::sleep(Duration::from_millis(5));
                assert_eq!(one.write(b"defg"), Ok(4));
            },
        );
        assert_eq!(got, Ok(b"abcde".to_vec()));
        assert_eq!(other.read(9), Ok(b"fg".to_vec()));
        assert_eq!(one.write(b"ab"), Ok(2));
        assert_eq!(meanwhile(|| other.receive_all(5), || one.shutdown(Shutdown::Write)), Ok(b"ab".to_vec()));
        assert_eq!(other.receive_all(5), Ok(vec![]));
    }
}

#[test]
fn counters_wait_for_each_other() {
    let number = |number: u64| number.to_ne_bytes().to_vec();
    for who in EVERYBODY {
        for (semaphore, read) in [(false, [3, 1]), (true, [1, 1])] {
            let counter = who.counter(semaphore);
            assert_eq!(meanwhile(|| counter.read(8), || counter.write(&number(3))), Ok(number(read[0])));
            let left = if semaphore { 2 } else { 0 };
            assert_eq!(counter.write(&number(u64::MAX - 1 - left)), Ok(8));
            assert_eq!(meanwhile(|| counter.write(&number(1)), || counter.read(8)), Ok(8));
            assert_eq!(counter.read(8), Ok(number(read[1])));
        }
        // Of several numbers each is added once, though one has to wait.
        let counter = who.counter(false);
        let (most, five) = (number(u64::MAX - 1), number(5));
        let put = meanwhile(|| counter.write_many(&[&most, &five]), || counter.read(8));
        assert_eq!((put, counter.read(8)), (Ok(16), Ok(five)));
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
            let got = meanwhile(|| caller.call(|| read(stream, &stop, 8)), || stop.kill());
            assert_eq!(got, Err(Errno::INTR));
        }
        for stream in [&writer as &dyn Stream, &one, &other] {
            // What is there no room for in the end is not an error, if something went in.
            let stop = Interruption::new();
            let put = meanwhile(|| caller.call(|| write(stream, &stop, &vec![1; 300_000])), || stop.kill());
            assert!(put.is_ok_and(|count| (PIPE_CAPACITY..300_000).contains(&count)), "{put:?}");
            let stop = Interruption::new();
            let put = meanwhile(|| caller.call(|| write(stream, &stop, b"x")), || stop.kill());
            assert_eq!(put, Err(Errno::INTR));
        }
        assert_eq!(write(&counter, &never, &(u64::MAX - 1).to_le_bytes()), Ok(8));
        let stop = Interruption::new();
        let put = meanwhile(|| caller.call(|| write(&counter, &stop, &1u64.to_le_bytes())), || stop.kill());
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

/// Whether all threads come to their end; if they don't, they can't be waited for.
fn all_end(threads: Vec<std::thread::JoinHandle<()>>) -> bool {
    let start = Instant::now();
    while threads.iter().any(|thread| !thread.is_finished()) && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    threads.iter().all(|thread| thread.is_finished())
        && threads.into_iter().all(|thread| thread.join().is_ok())
}

/// Threads that make a call each, and wait in it by now.
fn waiting(count: usize, call: impl Fn() + Send + Clone + 'static) -> Vec<std::thread::JoinHandle<()>> {
    let threads = (0..count).map(|_| std::thread::spawn(call.clone())).collect();
    std::thread::sleep(Duration::from_millis(30));
    threads
}

#[test]
fn what_one_call_brings_wakes_all_whom_it_is_enough_for() {
    let stop = Interruption::new();
    for caller in CALLERS {
        let (reader, writer) = pipe();
        let (reader, writer) = (Arc::new(reader), Arc::new(writer));
        let reading = Arc::clone(&reader);
        let readers = waiting(5, move || {
            assert_eq!(caller.call(|| read(&*reading, &Interruption::new(), 1)), Ok(vec![1]));
        });
        assert_eq!(write(&*writer, &stop, &[1; 5]), Ok(5));
        assert!(all_end(readers));

        assert_eq!(write(&*writer, &stop, &[1; PIPE_CAPACITY]), Ok(PIPE_CAPACITY));
        let writing = Arc::clone(&writer);
        let writers = waiting(5, move || {
            assert_eq!(caller.call(|| write(&*writing, &Interruption::new(), &[2; 4096])), Ok(4096));
        });
        assert_eq!(read(&*reader, &stop, 5 * 4096).map(|bytes| bytes.len()), Ok(5 * 4096));
        assert!(all_end(writers));
    }
}

/// Who is woken and killed at once passes the wake on to those who stay.
#[test]
fn a_wake_is_not_lost_with_who_is_killed() {
    let stop = Interruption::new();
    for round in 0..60 {
        let (reader, writer) = pipe();
        let reader = Arc::new(reader);
        let dies = Arc::new(Interruption::new());
        let (reading, dying) = (Arc::clone(&reader), Arc::clone(&dies));
        let mortal = std::thread::spawn(move || read(&*reading, &dying, 1).is_ok());
        std::thread::sleep(Duration::from_millis(5));
        let caller = CALLERS[round / 2 % 2];
        let stays = waiting(1, move || {
            assert_eq!(caller.call(|| read(&*reader, &Interruption::new(), 1)), Ok(vec![7]));
        });
        let bring = || assert_eq!(write(&writer, &stop, &[7]), Ok(1));
        if round % 2 == 0 {
            dies.kill();
            bring();
        } else {
            bring();
            dies.kill();
        }
        if mortal.join().unwrap() {
            bring();
        }
        assert!(all_end(stays));
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
