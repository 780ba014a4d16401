//! Guests on executors: what waits takes no thread, what blocks is moved, what is dropped leaves nothing behind.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

#[path = "support/slow.rs"]
mod slow;

use std::future::Future;
use std::io::{Read, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slow::Slow;
use vnode_core::fs::Access;
use vnode_core::{FileType, FilesystemRef, MountFlags, Namespace};
use vnode_kernel::WaitQueue;
use vnode_kernel::stream::{Capture, HostStream, Interest, Readiness, Stream};
use vnode_memory::Memory;
use vnode_wasmtime::{
    CallError, Engine, EngineOptions, Files, Guest, GuestBuilder, Instance, Limits, Outcome, Program,
};

/// A guest that makes the calls that it is told to. Vectors are at 0, the count of bytes at 64, paths at 100 and 200,
/// subscriptions at 300, events at 600; buffers begin at 4096.
const PUPPET: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pread" (func $pread (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pwrite" (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir" (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 64)
    (func (export "_start"))
    (func (export "read") (param i32 i32) (result i32)
        (call $read (local.get 0) (i32.const 0) (local.get 1) (i32.const 64)))
    (func (export "write") (param i32 i32) (result i32)
        (call $write (local.get 0) (i32.const 0) (local.get 1) (i32.const 64)))
    (func (export "pread") (param i32 i32 i64) (result i32)
        (call $pread (local.get 0) (i32.const 0) (local.get 1) (local.get 2) (i32.const 64)))
    (func (export "pwrite") (param i32 i32 i64) (result i32)
        (call $pwrite (local.get 0) (i32.const 0) (local.get 1) (local.get 2) (i32.const 64)))
    (func (export "seek") (param i32 i64) (result i32)
        (call $seek (local.get 0) (local.get 1) (i32.const 1) (i32.const 64)))
    (func (export "readdir") (param i32 i32 i32) (result i32)
        (call $readdir (local.get 0) (local.get 1) (local.get 2) (i64.const 0) (i32.const 64)))
    (func (export "yield") (result i32) (call $yield))
    (func (export "open") (param i32 i32) (result i32)
        (call $open (i32.const 3) (i32.const 0) (i32.const 100) (local.get 0) (local.get 1)
            (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 64)))
    (func (export "rename") (param i32 i32) (result i32)
        (call $rename (i32.const 3) (i32.const 100) (local.get 0) (i32.const 3) (i32.const 200) (local.get 1)))
    (func (export "poll") (param i32) (result i32)
        (call $poll (i32.const 300) (i32.const 600) (local.get 0) (i32.const 64))))"#;

const BUFFER: u32 = 4096;
const CREATE: i32 = 1;

struct Puppet(Instance);

fn program() -> Program {
    Engine::new(&EngineOptions::default()).unwrap().compile(PUPPET.as_bytes()).unwrap()
}

fn memory() -> FilesystemRef {
    FilesystemRef::new(Memory::new())
}

async fn puppet(program: &Program, builder: GuestBuilder) -> Puppet {
    let guest = builder.preopen("/", "/").build(program.module()).unwrap();
    Puppet(program.instantiate_async(guest).await.unwrap())
}

impl Puppet {
    fn vectors(&mut self, list: &[(u32, u32)]) -> i32 {
        for (index, (at, len)) in list.iter().enumerate() {
            let vector = [at.to_le_bytes(), len.to_le_bytes()].concat();
            self.0.write_memory(index as u32 * 8, &vector).unwrap();
        }
        list.len() as i32
    }

    fn number(&self) -> u32 {
        let mut bytes = [0; 4];
        self.0.read_memory(64, &mut bytes).unwrap();
        u32::from_le_bytes(bytes)
    }

    fn bytes(&self, at: u32, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_memory(at, &mut bytes).unwrap();
        bytes
    }

    async fn open(&mut self, path: &str, flags: i32) -> i32 {
        self.0.write_memory(100, path.as_bytes()).unwrap();
        assert_eq!(
            self.0.call_async::<_, i32>("open", (path.len() as i32, flags)).await.unwrap(),
            0,
            "{path}"
        );
        self.number() as i32
    }

    async fn rename(&mut self, from: &str, to: &str) -> i32 {
        self.0.write_memory(100, from.as_bytes()).unwrap();
        self.0.write_memory(200, to.as_bytes()).unwrap();
        self.0.call_async("rename", (from.len() as i32, to.len() as i32)).await.unwrap()
    }

    /// One call of `read` or `write`: the error and the count.
    async fn transfer(&mut self, call: &str, fd: i32, vectors: &[(u32, u32)]) -> (i32, u32) {
        let count = self.vectors(vectors);
        let errno = self.0.call_async::<_, i32>(call, (fd, count)).await.unwrap();
        (errno, self.number())
    }

    async fn transfer_at(&mut self, call: &str, fd: i32, vectors: &[(u32, u32)], at: i64) -> (i32, u32) {
        let count = self.vectors(vectors);
        let errno = self.0.call_async::<_, i32>(call, (fd, count, at)).await.unwrap();
        (errno, self.number())
    }

    /// Puts a subscription to the monotonic clock, and behind it one to reading standard input.
    fn subscribe(&mut self, nanoseconds: u64) {
        let mut clock = [0; 48];
        clock[16] = 1;
        clock[24..32].copy_from_slice(&nanoseconds.to_le_bytes());
        let mut stdin = [0; 48];
        stdin[8] = 1;
        self.0.write_memory(300, &[clock, stdin].concat()).unwrap();
    }
}

/// Polls a future once; that it is pending.
fn is_pending(future: std::pin::Pin<&mut impl Future>) -> bool {
    matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect()
}

/// Threads of this program whose name begins so.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("comm"));
    tasks.filter(|comm| std::fs::read_to_string(comm).is_ok_and(|comm| comm.starts_with(name))).count()
}

/// A filesystem whose calls of one name stand before a door until it is opened.
fn behind_a_door(fs: &FilesystemRef, call: &'static str) -> (FilesystemRef, Arc<AtomicBool>, Receiver<()>) {
    let closed = Arc::new(AtomicBool::new(false));
    let (sender, arrived) = channel();
    let (door, sender) = (Arc::clone(&closed), Mutex::new(sender));
    let slow = Slow::over(fs, move |name| {
        if name == call && door.load(Ordering::SeqCst) {
            let _ = sender.lock().unwrap().send(());
            while door.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    (slow, closed, arrived)
}

#[test]
fn large_transfers_are_whole_over_a_filesystem_that_may_block() {
    let program = program();
    pollster::block_on(async {
        let mut guest = puppet(&program, Guest::builder(&Slow::over(&memory(), |_| {}))).await;
        let fd = guest.open("file", CREATE).await;
        let data = pattern(1_000_000);
        guest.0.write_memory(BUFFER, &data).unwrap();
        let vectors = [(BUFFER, 300_000), (BUFFER + 300_000, 0), (BUFFER + 300_000, 700_000)];
        assert_eq!(guest.transfer("write", fd, &vectors).await, (0, 1_000_000));
        guest.0.write_memory(BUFFER, &vec![0; 2_000_000]).unwrap();
        let vectors = [(BUFFER + 900_000, 100_000), (BUFFER, 900_000), (BUFFER + 1_000_000, 500_000)];
        assert_eq!(guest.transfer_at("pread", fd, &vectors, 0).await, (0, 1_000_000));
        assert!(guest.bytes(BUFFER + 900_000, 100_000) == data[..100_000]);
        assert!(guest.bytes(BUFFER, 900_000) == data[100_000..]);
        assert!(guest.bytes(BUFFER + 1_000_000, 500_000).iter().all(|byte| *byte == 0), "past the end");
        assert_eq!(guest.transfer_at("pwrite", fd, &[(BUFFER, 200_000)], 100_000).await, (0, 200_000));
        assert_eq!(guest.transfer("read", fd, &[(BUFFER, 10)]).await, (0, 0), "the position is at the end");
        assert_eq!(guest.0.call_async::<_, i32>("seek", (fd, -700_000i64)).await.unwrap(), 0);
        assert_eq!(guest.transfer("read", fd, &[(BUFFER, 1_000_000)]).await, (0, 700_000));
        assert!(guest.bytes(BUFFER, 700_000) == data[300_000..]);
    });
}

#[test]
fn overlapping_ranges_come_out_as_on_the_guests_thread() {
    let program = program();
    let run = |files: FilesystemRef| {
        pollster::block_on(async {
            let mut guest = puppet(&program, Guest::builder(&files)).await;
            let fd = guest.open("file", CREATE).await;
            guest.0.write_memory(BUFFER, &pattern(90)).unwrap();
            assert_eq!(guest.transfer("write", fd, &[(BUFFER, 90)]).await, (0, 90));
            // The second vector begins in the first, the third is in both; the count is in the second.
            let vectors = [(20u32, 60u32), (50, 40), (60, 10)];
            let told = guest.transfer_at("pread", fd, &vectors, 0).await;
            let after = guest.bytes(0, 200);
            // A listing over its own count.
            assert_eq!(guest.0.call_async::<_, i32>("readdir", (3, 40, 100)).await.unwrap(), 0);
            (told, after, guest.bytes(0, 200))
        })
    };
    assert_eq!(run(Slow::over(&memory(), |_| {})), run(memory()));
}

#[test]
fn what_runs_out_in_a_later_piece_is_a_short_count() {
    let program = program();
    let run = |slow: bool| {
        pollster::block_on(async {
            let bounded = FilesystemRef::new::<Memory>(Memory::builder().max_bytes(200 << 10).build());
            let files = if slow { Slow::over(&bounded, |_| {}) } else { bounded };
            let mut guest = puppet(&program, Guest::builder(&files)).await;
            let fd = guest.open("file", CREATE).await;
            let first = guest.transfer("write", fd, &[(BUFFER, 1 << 20)]).await;
            (first, guest.transfer("write", fd, &[(BUFFER, 1)]).await.0)
        })
    };
    let (here, elsewhere) = (run(false), run(true));
    assert_eq!(here, elsewhere);
    assert_eq!((here.0.0, here.1), (0, 51), "ENOSPC");
}

#[test]
fn a_write_larger_than_a_pipe_is_whole_and_takes_no_thread() {
    let program = program();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let data = pattern(1 << 20);
    let reading = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        let mut all = vec![0; 1 << 20];
        reader.read_exact(&mut all).unwrap();
        all
    });
    pollster::block_on(async {
        let stdout = Arc::new(HostStream::new(writer, Access::WRITE));
        let mut guest = puppet(&program, Guest::builder(&memory()).stdout(stdout)).await;
        guest.0.write_memory(BUFFER, &data).unwrap();
        let vectors = [(BUFFER, 100_001), (BUFFER + 100_001, (1 << 20) - 100_001)];
        assert_eq!(guest.transfer("write", 1, &vectors).await, (0, 1 << 20));
    });
    assert!(reading.join().unwrap() == data);
}

#[test]
fn reads_that_wait_are_woken_or_dropped() {
    let program = program();
    pollster::block_on(async {
        for host in [false, true] {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let builder = Guest::builder(&memory());
            let builder = match host {
                true => builder.stdin(Arc::new(HostStream::new(reader, Access::READ))),
                false => builder.stdin_reader(reader),
            };
            let output = Arc::new(Capture::new(1));
            let mut guest = puppet(&program, builder.stdout(output.clone())).await;
            let mut reading = Box::pin(guest.transfer("read", 0, &[(BUFFER, 100)]));
            assert!(is_pending(reading.as_mut()));
            writer.write_all(b"hello").unwrap();
            assert_eq!(reading.await, (0, 5));
            assert_eq!(guest.bytes(BUFFER, 5), b"hello");

            let mut reading = Box::pin(guest.transfer("read", 0, &[(BUFFER, 100)]));
            assert!(is_pending(reading.as_mut()));
            drop(reading);
            // The guest bears another call, and gets what comes.
            writer.write_all(b"again").unwrap();
            assert_eq!(guest.transfer("read", 0, &[(BUFFER, 100)]).await, (0, 5));

            let mut reading = Box::pin(guest.transfer("read", 0, &[(BUFFER, 100)]));
            assert!(is_pending(reading.as_mut()));
            drop(reading);
            drop(guest);
            assert_eq!(Arc::strong_count(&output), 1, "nothing of the guest is left");
        }
    });
}

#[test]
fn sleepers_take_no_threads_and_end_at_once_when_dropped() {
    let program = program();
    let start = Instant::now();
    pollster::block_on(async {
        let files = memory();
        let mut guests = Vec::new();
        for _ in 0..200 {
            let mut guest = puppet(&program, Guest::builder(&files)).await;
            guest.subscribe(1_000_000_000_000);
            guests.push(guest);
        }
        let mut sleeping: Vec<_> =
            guests.iter_mut().map(|guest| Box::pin(guest.0.call_async::<_, i32>("poll", 1))).collect();
        assert!(sleeping.iter_mut().all(|sleeper| is_pending(sleeper.as_mut())));
        assert_eq!(threads("vnode-reactor"), 1);
        drop(sleeping);
        drop(guests);
        // The namespace serves others.
        let mut other = puppet(&program, Guest::builder(&files)).await;
        other.subscribe(20_000_000);
        let slept = Instant::now();
        assert_eq!(other.0.call_async::<_, i32>("poll", 1).await.unwrap(), 0);
        assert!(slept.elapsed() >= Duration::from_millis(20));
    });
    assert!(start.elapsed() < Duration::from_secs(60));
}

/// Standard input that never has anything, and wakes who waits for it all the same.
#[derive(Default)]
struct Restless(WaitQueue);

impl Stream for Restless {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn access(&self) -> Access {
        Access::READ
    }

    fn readiness(&self, _: Interest) -> Option<Readiness> {
        None
    }

    fn watch(&self, _: Interest) -> vnode_kernel::Watch<'_> {
        vnode_kernel::Watch::Queue(&self.0)
    }
}

#[test]
fn a_timeout_counts_from_the_first_try() {
    let program = program();
    let stdin = Arc::new(Restless::default());
    let (waking, over) = (Arc::clone(&stdin), Arc::new(AtomicBool::new(false)));
    let ends = Arc::clone(&over);
    let thread = std::thread::spawn(move || {
        while !ends.load(Ordering::SeqCst) {
            waking.0.wake_all();
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    pollster::block_on(async {
        let mut guest = puppet(&program, Guest::builder(&memory()).stdin(stdin)).await;
        guest.subscribe(60_000_000);
        let start = Instant::now();
        assert_eq!(guest.0.call_async::<_, i32>("poll", 2).await.unwrap(), 0);
        assert!(start.elapsed() >= Duration::from_millis(60));
        assert!(start.elapsed() < Duration::from_secs(20), "each wake would have begun the time anew");
        assert_eq!(guest.number(), 1);
    });
    over.store(true, Ordering::SeqCst);
    thread.join().unwrap();
}

#[test]
fn a_call_dropped_in_a_slow_filesystem_touches_nothing_of_its_guest() {
    let program = program();
    let (slow, closed, arrived) = behind_a_door(&memory(), "read_at");
    let namespace = Namespace::new(memory());
    namespace.mount_at(b"/slow", &slow, MountFlags::empty()).unwrap();
    let namespace = Arc::new(namespace);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut guest = puppet(&program, Guest::in_namespace(Arc::clone(&namespace))).await;
        let fd = guest.open("slow/file", CREATE).await;
        guest.0.write_memory(BUFFER, b"content").unwrap();
        assert_eq!(guest.transfer("write", fd, &[(BUFFER, 7)]).await, (0, 7));
        assert_eq!(guest.0.call_async::<_, i32>("seek", (fd, -7i64)).await.unwrap(), 0);
        closed.store(true, Ordering::SeqCst);
        let mut reading = Box::pin(guest.transfer("read", fd, &[(BUFFER + 100, 7)]));
        assert!(is_pending(reading.as_mut()));
        arrived.recv_timeout(Duration::from_secs(20)).unwrap();
        drop(reading);

        // The thread that reads holds the position: asking for it must not hold this one.
        let seek = guest.0.call_async::<_, i32>("seek", (fd, 0i64));
        assert!(tokio::time::timeout(Duration::from_millis(50), seek).await.is_err());
        drop(guest);

        // Others go on meanwhile, also by what the slow call would lock.
        let mut other = puppet(&program, Guest::in_namespace(Arc::clone(&namespace))).await;
        other.open("here", CREATE).await;
        assert_eq!(other.rename("here", "there").await, 0);
        closed.store(false, Ordering::SeqCst);
        let fd = other.open("slow/file", 0).await;
        assert_eq!(other.transfer("read", fd, &[(BUFFER, 100)]).await, (0, 7));
        assert_eq!(other.bytes(BUFFER, 7), b"content");
    });
}

#[test]
fn a_slow_rename_does_not_hold_an_executor() {
    let program = program();
    let (slow, closed, arrived) = behind_a_door(&memory(), "rename");
    let namespace = Namespace::new(memory());
    namespace.mount_at(b"/slow", &slow, MountFlags::empty()).unwrap();
    let namespace = Arc::new(namespace);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut guest = puppet(&program, Guest::in_namespace(Arc::clone(&namespace))).await;
        let mut other = puppet(&program, Guest::in_namespace(Arc::clone(&namespace))).await;
        for directory in ["/slow/a", "/slow/b", "/a", "/b"] {
            Files::of(&namespace).make_directory(directory).unwrap();
        }
        guest.open("slow/a/f", CREATE).await;
        other.open("a/f", CREATE).await;
        closed.store(true, Ordering::SeqCst);
        let mut renaming = Box::pin(guest.rename("slow/a/f", "slow/b/f"));
        assert!(is_pending(renaming.as_mut()));
        arrived.recv_timeout(Duration::from_secs(20)).unwrap();
        // One elsewhere is done at once; one in the same filesystem waits, but not on this thread.
        assert_eq!(other.rename("a/f", "b/f").await, 0);
        let mut waiting = Box::pin(other.rename("slow/a", "slow/b/a"));
        assert!(tokio::time::timeout(Duration::from_millis(50), waiting.as_mut()).await.is_err());
        drop(renaming);
        closed.store(false, Ordering::SeqCst);
        assert_eq!(waiting.await, 0);
        assert_eq!(
            guest.rename("slow/a/f", "slow/c").await,
            44,
            "ENOENT: the dropped call was done all the same"
        );
    });
}

#[test]
fn a_kill_ends_a_call_that_waits() {
    let program = program();
    let (reader, _writer) = std::io::pipe().unwrap();
    let ended = pollster::block_on(async {
        let mut guest = puppet(&program, Guest::builder(&memory()).stdin_reader(reader)).await;
        let killer = guest.0.guest().killer();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            killer.kill();
        });
        let count = guest.vectors(&[(BUFFER, 1)]);
        guest.0.call_async::<_, i32>("read", (0, count)).await
    });
    assert!(matches!(ended, Err(CallError::Ended(Outcome::Killed))), "{ended:?}");
}

#[test]
fn time_ends_a_guest_on_an_executor() {
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    let spin = r#"(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))"#;
    let program = engine.compile(spin.as_bytes()).unwrap();
    let limits = Limits { time: Some(Duration::from_millis(50)), ..Limits::default() };
    let guest = Guest::builder(&memory()).limits(limits).build(program.module()).unwrap();
    let outcome = pollster::block_on(program.run_async(guest)).unwrap();
    assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}");
}

#[test]
fn yielding_lets_the_executor_run_others() {
    let program = program();
    pollster::block_on(async {
        let mut guest = puppet(&program, Guest::builder(&memory())).await;
        let mut yielding = pin!(guest.0.call_async::<_, i32>("yield", ()));
        assert!(is_pending(yielding.as_mut()));
        assert_eq!(yielding.await.unwrap(), 0);
    });
}

#[test]
fn a_synchronous_call_of_what_needs_an_executor_is_an_error() {
    let program = program();
    let mut guest = pollster::block_on(puppet(&program, Guest::builder(&memory())));
    let called = guest.0.call::<_, i32>("yield", ());
    assert!(matches!(called, Err(CallError::Ended(Outcome::Trapped(_)))), "{called:?}");
}
