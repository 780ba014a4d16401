//! Pipes and sockets as a process has them: behind descriptors, and polled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, FilesystemRef, Namespace, Result};
use vnode_kernel::stream::{Counting, Interest, NewStream, PIPE_CAPACITY, Readiness, Receive, Shutdown};
use vnode_kernel::{ClockId, Fd, FdFlags, Limits, Poll, PollEvent, Process, Rights, Whence};
use vnode_memory::Memory;

use crate::executor::CALLERS;

fn process() -> Process {
    Process::builder(Arc::new(Namespace::new(FilesystemRef::new(Memory::new())))).build().unwrap()
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
    let (reader, writer) = process.pipe(NewStream::default()).unwrap();
    let copy = process.dup(writer).unwrap();
    process.set_flags(reader, FdFlags::NONBLOCK).unwrap();
    process.close(writer).unwrap();
    assert_eq!(read(&process, reader, 5), Err(Errno::AGAIN));
    assert_eq!(write(&process, copy, b"abc"), Ok(3));
    process.close(copy).unwrap();
    assert_eq!(read(&process, reader, 5), Ok(3));
    assert_eq!(read(&process, reader, 5), Ok(0));

    let (reader, writer) = process.pipe(NewStream::default()).unwrap();
    process.close(reader).unwrap();
    assert_eq!(write(&process, writer, b"abc"), Err(Errno::PIPE));
}

#[test]
fn the_ends_of_a_pipe_have_no_offset_and_one_direction() {
    let process = process();
    let (reader, writer) = process.pipe(NewStream::default()).unwrap();
    assert_eq!(process.seek(reader, 0, Whence::Current), Err(Errno::SPIPE));
    assert_eq!(process.pread(reader, 0, &mut Sink::from_slice(&mut [0; 4])), Err(Errno::SPIPE));
    assert_eq!(write(&process, reader, b"x"), Err(Errno::BADF));
    assert_eq!(read(&process, writer, 1), Err(Errno::BADF));
    assert_eq!(process.stat(reader).unwrap().ino, process.stat(writer).unwrap().ino);
}

#[test]
fn what_is_new_gets_the_lowest_numbers_or_none() {
    let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
    let process = Process::builder(namespace).limits(Limits { open_files: 6 }).build().unwrap();
    let how = NewStream { status: FdFlags::NONBLOCK, close_on_exec: true };
    assert_eq!(process.pipe(how), Ok((3, 4)));
    for make in [Process::pipe, Process::socket_pair] {
        assert_eq!(make(&process, how), Err(Errno::MFILE));
    }
    // The number that was set aside for the first of them is free again.
    assert_eq!(process.event_counter(1, Counting::Whole, how), Ok(5));
    assert_eq!(process.event_counter(1, Counting::Whole, how), Err(Errno::MFILE));
    let (file, entry) = process.fd_state(3).unwrap();
    assert_eq!((file.flags(), entry.closes_on_exec()), (FdFlags::NONBLOCK, true));
    assert_eq!(read(&process, 3, 1), Err(Errno::AGAIN));
    process.close(3).unwrap();
    process.close(4).unwrap();
    assert_eq!(process.socket_pair(NewStream::default()), Ok((3, 4)));
    let (file, entry) = process.fd_state(4).unwrap();
    assert_eq!((file.flags(), entry.closes_on_exec()), (FdFlags::empty(), false));
}

#[test]
fn only_sockets_are_shut_down_sent_to_and_received_from() {
    let process = process();
    let (one, other) = process.socket_pair(NewStream::default()).unwrap();
    let (reader, writer) = process.pipe(NewStream::default()).unwrap();
    let receive = |fd, how| {
        let mut buffer = [0; 9];
        let count = process.receive(fd, how, true, &mut Sink::from_slice(&mut buffer))?;
        Ok(buffer[..count].to_vec())
    };
    let send = |fd, bytes| process.send(fd, true, &mut Source::from_slice(bytes));
    for (fd, why) in
        [(0, Errno::NOTSOCK), (reader, Errno::NOTSOCK), (writer, Errno::NOTSOCK), (99, Errno::BADF)]
    {
        assert_eq!(process.shutdown(fd, Shutdown::Both), Err(why));
        assert_eq!(receive(fd, Receive::Some), Err(why));
        assert_eq!(send(fd, b"x"), Err(why));
    }
    assert_eq!(send(one, b"abc"), Ok(3));
    assert_eq!(receive(other, Receive::Peek), Ok(b"abc".to_vec()));
    assert_eq!(receive(other, Receive::All), Ok(b"abc".to_vec()));
    // The sockets' own flags are those of calls that wait.
    assert_eq!(receive(other, Receive::Some), Err(Errno::AGAIN));
    assert_eq!(process.shutdown(one, Shutdown::Write), Ok(()));
    assert_eq!(send(one, b"abc"), Err(Errno::PIPE));
    assert_eq!(receive(other, Receive::Some), Ok(vec![]));
    // A right that was taken away.
    process.fds().shrink(other, Rights::FD_READ, Rights::empty()).unwrap();
    assert_eq!(process.shutdown(other, Shutdown::Both), Err(process.fds().lacking()));
    assert_eq!(send(other, b"x"), Err(process.fds().lacking()));
}

#[test]
fn a_poll_tells_what_each_end_is_ready_for() {
    let process = process();
    let (reader, writer) = process.pipe(NewStream::default()).unwrap();
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
        let (reader, writer) = process.pipe(NewStream::default()).unwrap();
        let (full_reader, full_writer) = process.pipe(NewStream::default()).unwrap();
        let (one, other) = process.socket_pair(NewStream::default()).unwrap();
        let counter = process.event_counter(0, Counting::Whole, NewStream::default()).unwrap();
        write(&process, full_writer, &[1; PIPE_CAPACITY]).unwrap();
        let reads = [reader, one, counter].map(|fd| on(fd, Interest::Read));
        let list = [&reads[..], &[on(full_writer, Interest::Write), after(Duration::from_secs(20))]].concat();
        let poll = |change: &(dyn Fn() -> Result<usize> + Sync)| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(15));
                    change().unwrap();
                });
                let events = caller.call(|| process.poll(&list)).unwrap();
                events.iter().map(|event| event.index).collect::<Vec<_>>()
            })
        };
        assert_eq!(poll(&|| write(&process, writer, b"x")), [0]);
        read(&process, reader, 1).unwrap();
        assert_eq!(poll(&|| write(&process, other, b"x")), [1]);
        read(&process, one, 1).unwrap();
        assert_eq!(poll(&|| write(&process, counter, &7u64.to_le_bytes())), [2]);
        read(&process, counter, 8).unwrap();
        assert_eq!(poll(&|| read(&process, full_reader, 4096)), [3]);
        write(&process, full_writer, &[1; 4096]).unwrap();
        assert_eq!(poll(&|| process.close(full_reader).map(|()| 0)), [3]);
        process.close(full_writer).unwrap();
        assert_eq!(process.poll(&list[..4]).unwrap()[0].ready, Err(Errno::BADF));
    }
}

/// A full socket that is shut down for writing alone isn't ready; shut down both ways it is.
#[test]
fn a_poll_for_room_is_woken_by_the_end_of_the_other_direction() {
    for caller in CALLERS {
        let process = process();
        let how = NewStream { status: FdFlags::NONBLOCK, ..NewStream::default() };
        let (one, other) = process.socket_pair(how).unwrap();
        while write(&process, one, &[1; 65_536]).is_ok() {}
        let list = [on(one, Interest::Write), after(Duration::from_secs(20))];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                process.shutdown(other, Shutdown::Read).unwrap();
                std::thread::sleep(Duration::from_millis(30));
                process.shutdown(other, Shutdown::Write).unwrap();
            });
            let start = Instant::now();
            let events = caller.call(|| process.poll(&list)).unwrap();
            assert_eq!(events.to_vec(), [is_ready(0, 0, true)]);
            assert!(start.elapsed() >= Duration::from_millis(20), "{:?}", start.elapsed());
        });
    }
}

#[test]
fn a_poll_of_many_pipes_is_woken_by_the_one_that_is_written_to() {
    let process = process();
    let pipes: Vec<_> = (0..400).map(|_| process.pipe(NewStream::default()).unwrap()).collect();
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
