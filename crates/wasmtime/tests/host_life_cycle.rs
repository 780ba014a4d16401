//! Life cycles over a directory of the host: a guest that is killed, or whose future is dropped, in the middle of calls
//! of the host leaves no descriptor, no thread, no lock and no name of vnode's own behind, and others go on.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::{Duration, Instant};

use vnode_core::{FilesystemRef, Namespace};
use vnode_host::Host;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome, Program};

/// Descriptors and threads are the whole process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Changes a directory in every way, once or for ever, and exits with the first error; `again` is the condition of the
/// next round. Vectors are at 0 (16 of 64 KiB), results at 512, names from 1024 on, a buffer at 65536.
fn module(again: u32) -> String {
    format!(
        r#"(module
    (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_remove_directory" (func $rmdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_readlink" (func $readlink (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_link" (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pwrite" (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pread" (func $pread (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir" (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_datasync" (func $datasync (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 4)
    (data (i32.const 1024) "f") (data (i32.const 1032) "g") (data (i32.const 1040) "d/h")
    (data (i32.const 1048) "s") (data (i32.const 1056) "d")
    (global $error (mut i32) (i32.const 0))
    (func $need (param $errno i32)
        (if (i32.eqz (global.get $error)) (then (global.set $error (local.get $errno)))))
    (func $opened (param $path i32) (param $flags i32) (param $rights i64) (result i32)
        (call $need (call $open (i32.const 3) (i32.const 0) (local.get $path) (i32.const 1) (local.get $flags)
            (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 512)))
        (i32.load (i32.const 512)))
    (func (export "_start") (local $at i32) (local $file i32) (local $dir i32)
        (loop $vector
            (i32.store (local.get $at) (i32.const 65536))
            (i32.store offset=4 (local.get $at) (i32.const 65536))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $vector (i32.lt_u (local.get $at) (i32.const 128))))
        (loop $again
            ;; What one that was killed has left.
            (drop (call $unlink (i32.const 3) (i32.const 1024) (i32.const 1)))
            (drop (call $unlink (i32.const 3) (i32.const 1032) (i32.const 1)))
            (drop (call $unlink (i32.const 3) (i32.const 1040) (i32.const 3)))
            (drop (call $unlink (i32.const 3) (i32.const 1048) (i32.const 1)))
            (drop (call $rmdir (i32.const 3) (i32.const 1056) (i32.const 1)))
            (local.set $file (call $opened (i32.const 1024) (i32.const 9) (i64.const 0x47)))
            (call $need (call $pwrite (local.get $file) (i32.const 0) (i32.const 16) (i64.const 0) (i32.const 512)))
            (call $need (call $pread (local.get $file) (i32.const 0) (i32.const 16) (i64.const 0) (i32.const 512)))
            (call $need (call $link (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 1)
                (i32.const 3) (i32.const 1032) (i32.const 1)))
            (call $need (call $unlink (i32.const 3) (i32.const 1024) (i32.const 1)))
            (call $need (call $symlink (i32.const 1032) (i32.const 1) (i32.const 3) (i32.const 1048) (i32.const 1)))
            (call $need (call $readlink (i32.const 3) (i32.const 1048) (i32.const 1)
                (i32.const 65536) (i32.const 100) (i32.const 512)))
            (call $need (call $mkdir (i32.const 3) (i32.const 1056) (i32.const 1)))
            (call $need (call $rename (i32.const 3) (i32.const 1032) (i32.const 1)
                (i32.const 3) (i32.const 1040) (i32.const 3)))
            (local.set $dir (call $opened (i32.const 1056) (i32.const 2) (i64.const 0x4000)))
            (call $need (call $readdir (local.get $dir) (i32.const 65536) (i32.const 4096) (i64.const 0) (i32.const 512)))
            (call $need (call $unlink (i32.const 3) (i32.const 1040) (i32.const 3)))
            (call $need (call $pwrite (local.get $file) (i32.const 0) (i32.const 16) (i64.const 0) (i32.const 512)))
            (call $need (call $datasync (local.get $file)))
            (call $need (call $rmdir (i32.const 3) (i32.const 1056) (i32.const 1)))
            (call $need (call $unlink (i32.const 3) (i32.const 1048) (i32.const 1)))
            (call $need (call $close (local.get $dir)))
            (call $need (call $close (local.get $file)))
            (br_if $again (i32.and (i32.const {again}) (i32.eqz (global.get $error)))))
        (call $exit (global.get $error))))"#
    )
}

struct Scene {
    dir: tempfile::TempDir,
    namespace: Arc<Namespace>,
    endless: Program,
    once: Program,
}

impl Scene {
    fn new(engine: &Engine) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let namespace = Namespace::new(FilesystemRef::new::<Host>(Host::new(dir.path()).unwrap()));
        let compile = |again| engine.compile(module(again).as_bytes()).unwrap();
        Scene { dir, namespace: Arc::new(namespace), endless: compile(1), once: compile(0) }
    }

    fn guest(&self, program: &Program) -> Guest {
        Guest::in_namespace(Arc::clone(&self.namespace)).preopen("/", "/").build(program.module()).unwrap()
    }

    /// Another guest on the same directory does everything, within a time that only a lock can exceed.
    fn everything_works(&self) {
        let (guest, program) = (self.guest(&self.once), self.once.clone());
        let (done, finished) = channel();
        std::thread::spawn(move || done.send(program.run(guest).unwrap()).unwrap());
        let outcome = finished.recv_timeout(Duration::from_secs(20));
        assert!(matches!(outcome, Ok(Outcome::Exited(0))), "{outcome:?}");
        assert_eq!(names(self.dir.path()), [""; 0]);
    }

    /// What a guest that has ended left: names of its own, and no others. Whether there are any.
    fn left_some(&self) -> bool {
        let names = names(self.dir.path());
        assert!(names.iter().all(|name| ["f", "g", "s", "d"].contains(&name.as_str())), "{names:?}");
        if names.iter().any(|name| name == "d") {
            let below = self::names(&self.dir.path().join("d"));
            assert!(below.iter().all(|name| name == "h"), "{below:?}");
        }
        !names.is_empty()
    }
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// How many of its descriptors and threads the process has.
fn held() -> (usize, usize) {
    let count = |dir: &str| fs::read_dir(dir).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// Waits until the process holds no more than it did. Threads for calls that block stay for 10 s.
#[track_caller]
fn holds_no_more_than(before: (usize, usize)) {
    let start = Instant::now();
    loop {
        let now = held();
        if now.0 <= before.0 && now.1 <= before.1 {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "descriptors and threads: {before:?}, now {now:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn engine() -> Engine {
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    // What the engine keeps, and the thread that all timers share, is there from now on.
    let scene = Scene::new(&engine);
    scene.everything_works();
    scene.guest(&scene.endless).killer().kill();
    engine
}

#[test]
fn guests_killed_in_calls_of_the_host_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let engine = engine();
    let before = held();
    let scene = Scene::new(&engine);
    let mut left = 0;
    for round in 0..40 {
        let guests = [(); 2].map(|()| scene.guest(&scene.endless));
        let killers = guests.each_ref().map(Guest::killer);
        // One alone, as two get in each other's way and end by it.
        let alone = round % 2 == 0;
        let threads: Vec<_> = guests
            .into_iter()
            .take(if alone { 1 } else { 2 })
            .map(|guest| {
                let program = scene.endless.clone();
                std::thread::spawn(move || program.run(guest).unwrap())
            })
            .collect();
        std::thread::sleep(Duration::from_micros(2000 + 370 * round));
        for killer in killers {
            killer.kill();
        }
        for thread in threads {
            let outcome = thread.join().unwrap();
            assert!(matches!(outcome, Outcome::Killed) || !alone, "{outcome:?}");
        }
        left += usize::from(scene.left_some());
        scene.everything_works();
    }
    assert!(left > 0, "none was killed in the middle of what it did");
    drop(scene);
    holds_no_more_than(before);
}

/// Wakes the thread that polls.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls a future until it was pending this many times, and is pending.
fn poll_until_pending<F: Future>(mut future: Pin<&mut F>, times: u64) -> Poll<F::Output> {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    for _ in 0..times {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Poll::Ready(output);
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
    future.as_mut().poll(&mut context)
}

#[test]
fn guests_dropped_in_calls_of_the_host_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let engine = engine();
    let before = held();
    let scene = Scene::new(&engine);
    let (mut left, mut pending) = (0, 0);
    // Some 20 calls are a round of the guest: it is dropped in each of them.
    for times in 0..60 {
        let mut run = Box::pin(scene.endless.run_async(scene.guest(&scene.endless)));
        match poll_until_pending(run.as_mut(), times) {
            Poll::Pending => pending += 1,
            Poll::Ready(outcome) => panic!("{outcome:?}"),
        }
        let during = held().0;
        drop(run);
        // The call that it was in ends by itself, on its own thread.
        let start = Instant::now();
        while Arc::strong_count(&scene.namespace) > 1 {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "the guest is still there, {during} descriptors"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        left += usize::from(scene.left_some());
        scene.everything_works();
    }
    assert!(
        pending == 60 && left > 0,
        "{pending} were dropped in a call, {left} in the middle of what they did"
    );
    drop(scene);
    holds_no_more_than(before);
}
