//! Pipes and sockets as a process has them: behind descriptors, and polled.

use std::sync::Arc;
use std::time::Duration;

use vnode_core::fs::Access;
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, FilesystemRef, Namespace, Result};
use vnode_kernel::stream::{EventCounter, Interest, PIPE_CAPACITY, Readiness, Stream, pair, pipe};
use vnode_kernel::{ClockId, Fd, FdEntry, FdFlags, OpenFile, Poll, PollEvent, Process, Rights, Whence};
use vnode_memory::Memory;

use crate::executor::CALLERS;

fn process() -> Process {
    Process::builder(Arc::new(Namespace::new(FilesystemRef::new(Memory::new())))).build().unwrap()
}

fn open(process: &Process, stream: impl Stream + 'static) -> Fd {
    let rights = Rights::of(stream.kind(), stream.access());
    let file = OpenFile::stream(Arc::new(stream));
    process.fds().insert(FdEntry::new(Arc::new(file), rights, Rights::empty())).unwrap()
}

fn open_pipe(process: &Process) -> (Fd, Fd) {
    let (reader, writer) = pipe();
    (open(process, reader), open(process, writer))
}

fn read(process: &Process, fd: Fd, len: usize) -> Result<usize> {
    process.read(fd, &mut Sink::from_slice(&mut vec![0; len]))
}

fn write(process: &Process, fd: Fd, bytes: &[u8]) -> Result<usize> {
    process.write(fd, &mut Source::from_slice(bytes))
}

fn on(fd: Fd, interest: Interest) -> Poll {
    Poll::Fd { fd, interest }
}

fn after(time: Duration) -> Poll {
    Poll::Clock { clock: ClockId::Monotonic, timeout: time.as_nanos() as u64, absolute: false }
}

fn is_ready(index: usize, bytes: u64, hangup: bool) -> PollEvent {
    PollEvent { index, ready: Ok(Readiness { bytes, hangup }) }
}

#[test]
fn an_end_is_closed_with_its_last_descriptor() {
    let process = process();
    let (reader, writer) = open_pipe(&process);
    let copy = process.dup(writer).unwrap();
    process.set_flags(reader, FdFlags::NONBLOCK).unwrap();
    process.close(writer).unwrap();
    assert_eq!(read(&process, reader, 5), Err(Errno::AGAIN));
    assert_eq!(write(&process, copy, b"abc"), Ok(3));
    process.close(copy).unwrap();
    assert_eq!(read(&process, reader, 5), Ok(3));
    assert_eq!(read(&process, reader, 5), Ok(0));

    let (reader, writer) = open_pipe(&process);
    process.close(reader).unwrap();
    assert_eq!(write(&process, writer, b"abc"), Err(Errno::PIPE));
}

#[test]
fn the_ends_of_a_pipe_have_no_offset_and_one_direction() {
    let process = process();
    let (reader, writer) = open_pipe(&process);
    assert_eq!(process.seek(reader, 0, Whence::Current), Err(Errno::SPIPE));
    assert_eq!(process.pread(reader, 0, &mut Sink::from_slice(&mut [0; 4])), Err(Errno::SPIPE));
    assert_eq!(write(&process, reader, b"x"), Err(Errno::BADF));
    assert_eq!(read(&process, writer, 1), Err(Errno::BADF));
    assert_eq!(process.stat(reader).unwrap().ino, process.stat(writer).unwrap().ino);
    let (one, _) = pair();
    assert_eq!(OpenFile::stream(Arc::new(one)).access(), Access::all());
}

#[test]
fn a_poll_tells_what_each_end_is_ready_for() {
    let process = process();
    let (reader, writer) = open_pipe(&process);
    let list = [on(reader, Interest::Read), on(writer, Interest::Write)];
    let poll = || process.poll(&list).unwrap().to_vec();
    let room = PIPE_CAPACITY as u64;
    assert_eq!(poll(), [is_ready(1, room, false)]);
    write(&process, writer, &[1; 5000]).unwrap();
    assert_eq!(poll(), [is_ready(0, 5000, false), is_ready(1, room - 8192, false)]);
    write(&process, writer, &[1; PIPE_CAPACITY - 8192]).unwrap();
    assert_eq!(poll(), [is_ready(0, room - 8192 + 5000, false)]);
    process.close(writer).unwrap();
    let events = process.poll(&list[..1]).unwrap().to_vec();
    assert_eq!(events, [is_ready(0, room - 8192 + 5000, true)]);
}

#[test]
fn a_poll_is_woken_by_each_change() {
    for caller in CALLERS {
        let process = process();
        let (reader, writer) = open_pipe(&process);
        let (full_reader, full_writer) = open_pipe(&process);
        let (one, other) = pair();
        let (one, counter) = (open(&process, one), open(&process, EventCounter::new(0, counting())));
        write(&process, full_writer, &[1; PIPE_CAPACITY]).unwrap();
        let reads = [reader, one, counter].map(|fd| on(fd, Interest::Read));
        let list = [&reads[..], &[on(full_writer, Interest::Write), after(Duration::from_secs(20))]].concat();
        let poll = |change: &(dyn Fn() + Sync)| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(15));
                    change();
                });
                let events = caller.call(|| process.poll(&list)).unwrap();
                events.iter().map(|event| event.index).collect::<Vec<_>>()
            })
        };
        assert_eq!(poll(&|| drop(write(&process, writer, b"x"))), [0]);
        read(&process, reader, 1).unwrap();
        let stop = vnode_kernel::Interruption::new();
        let wait = vnode_kernel::Wait::nonblocking(&stop);
        assert_eq!(poll(&|| drop(other.write(wait, &mut Source::from_slice(b"x")))), [1]);
        read(&process, one, 1).unwrap();
        assert_eq!(poll(&|| drop(write(&process, counter, &7u64.to_le_bytes()))), [2]);
        read(&process, counter, 8).unwrap();
        assert_eq!(poll(&|| drop(read(&process, full_reader, 4096))), [3]);
        write(&process, full_writer, &[1; 4096]).unwrap();
        assert_eq!(poll(&|| drop(process.close(full_reader))), [3]);
        process.close(full_writer).unwrap();
        assert_eq!(process.poll(&list[..4]).unwrap()[0].ready, Err(Errno::BADF));
    }
}

fn counting() -> vnode_kernel::stream::Counting {
    vnode_kernel::stream::Counting::Whole
}

#[test]
fn a_poll_of_many_pipes_is_woken_by_the_one_that_is_written_to() {
    let process = process();
    let pipes: Vec<_> = (0..400).map(|_| open_pipe(&process)).collect();
    let list: Vec<_> = pipes.iter().map(|&(reader, _)| on(reader, Interest::Read)).collect();
    for caller in CALLERS {
        for written in [0, 7, 399] {
            let (reader, writer) = pipes[written];
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(10));
                    write(&process, writer, b"abc").unwrap();
                });
                let events = caller.call(|| process.poll(&list)).unwrap();
                assert_eq!(events.to_vec(), [is_ready(written, 3, false)]);
            });
            read(&process, reader, 9).unwrap();
        }
    }
}
