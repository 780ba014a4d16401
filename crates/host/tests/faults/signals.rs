//! Signals that come all the time to a thread that works on a directory of the host, with a handler and without
//! `SA_RESTART`: everything is as without them.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vnode_core::fs::{Access, Allocate, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, OpenFlags, SetTime, Timespec};
use vnode_host::Host;

use crate::guest::Guest;
use crate::scene::Scene;
use crate::supervised::supervised;

static CAME: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    CAME.fetch_add(1, Ordering::Relaxed);
}

const SIGNAL: libc::c_int = libc::SIGUSR1;

fn handle() {
    // SAFETY: the struct is numbers and an address, for which zeros are valid: no flags, and no signal that waits. The
    // handler does what handlers may.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
        assert_eq!(libc::sigaction(SIGNAL, &raw const action, core::ptr::null_mut()), 0);
    }
}

/// Sends signals to the thread that calls this while `work` is done, so many microseconds apart; answers how many.
fn pestered<T>(apart: u64, work: impl FnOnce() -> T) -> (T, u64) {
    handle();
    let ends = AtomicBool::new(false);
    // SAFETY: tells who calls.
    let thread = unsafe { libc::pthread_self() };
    let before = CAME.load(Ordering::Relaxed);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                // SAFETY: that thread waits for this one.
                unsafe { libc::pthread_kill(thread, SIGNAL) };
                std::thread::sleep(Duration::from_micros(apart));
            }
        });
        let done = std::panic::catch_unwind(core::panic::AssertUnwindSafe(work));
        ends.store(true, Ordering::Relaxed);
        done
    });
    let came = CAME.load(Ordering::Relaxed) - before;
    (done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), came)
}

const BOTH: Access = Access::READ.union(Access::WRITE);
const NONE: OpenFlags = OpenFlags::empty();

/// A large file.
const ROOM: u64 = 64 << 20;

/// Rounds that must be made.
const LEAST: u32 = 10;

/// Each record has its number in it, so that one that is written twice or lost is seen.
fn record(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(1000 + number as usize % 97)
}

/// One round of what guests do; all of it must succeed, and be done once.
fn round(guest: &Guest, number: u32, expected: &mut Vec<u8>) {
    let bytes = record(number);
    let log = guest.file("a/log", BOTH, OpenFlags::CREATE).unwrap();
    let (count, end) = guest.call(|caller| log.append(caller.cx, &mut Source::from_slice(&bytes))).unwrap();
    expected.extend_from_slice(&bytes);
    assert_eq!((count, end), (bytes.len(), expected.len() as u64));
    let mut read = vec![0; bytes.len()];
    let at = end - count as u64;
    let got = guest.call(|caller| log.read_at(caller.cx, at, &mut Sink::from_slice(&mut read)));
    assert_eq!((got, &read), (Ok(count), &bytes));
    guest.call(|caller| log.sync(caller.cx, number.is_multiple_of(2))).unwrap();

    let (file, dir) = (format!("a/file-{number}"), format!("a/dir-{number}"));
    guest.put(&file, &bytes).unwrap();
    assert_eq!(guest.put(&file, b"short"), Ok(()));
    assert_eq!(guest.read(&file).unwrap(), b"short");
    guest.mkdir(&dir).unwrap();
    assert_eq!(guest.mkdir(&dir), Err(Errno::EXIST));
    guest.symlink("../log", format!("{dir}/link")).unwrap();
    guest.rename(&file, format!("{dir}/moved"), Rename::NoReplace).unwrap();
    guest.rename(format!("{dir}/moved"), format!("{dir}/link"), Rename::Exchange).unwrap();
    assert_eq!(guest.stat(format!("{dir}/moved")).unwrap().size, expected.len() as u64);
    guest.chmod(format!("{dir}/link"), 0o640).unwrap();
    guest.truncate(format!("{dir}/link"), 3).unwrap();
    let then = Some(SetTime::To(Timespec { sec: 7, nsec: 7 }));
    guest
        .on(format!("{dir}/link"), |caller, base, path| {
            caller.set_times(base, path, vnode_core::Follow::Yes, then, then)
        })
        .unwrap();
    let attr = guest.stat(format!("{dir}/../dir-{number}/link")).unwrap();
    assert_eq!((attr.size, attr.mode.raw() & 0o7777, attr.mtime.sec), (3, 0o640, 7));
    assert_eq!(guest.list("many").unwrap().len(), 300);
    assert_eq!(guest.list(&dir).unwrap().len(), 2);
    guest.unlink(format!("{dir}/link")).unwrap();
    guest.unlink(format!("{dir}/moved")).unwrap();
    guest.rmdir(&dir).unwrap();
}

fn work(scene: &Scene, stepwise: bool, seconds: u64) -> u32 {
    let guest = Guest::new(Host::builder().stepwise(stepwise), &scene.served);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut rounds, mut expected) = (0, Vec::new());
    // A disk that others keep busy takes its time to sync.
    while Instant::now() < until || rounds < LEAST {
        round(&guest, rounds, &mut expected);
        rounds += 1;
    }
    assert_eq!(std::fs::read(scene.at("a/log")).unwrap(), expected);
    guest.unlink("a/log").unwrap();
    // What takes longer than two signals are apart.
    let file = guest.file("room", BOTH, OpenFlags::CREATE).unwrap();
    for how in [Allocate::Extend, Allocate::PunchHole, Allocate::KeepSize] {
        guest.call(|caller| file.allocate(caller.cx, how, 0, ROOM)).unwrap();
    }
    let large = vec![7; ROOM as usize];
    assert_eq!(guest.write_at(&*file, 1, &large), Ok(large.len()));
    let mut read = vec![0; large.len()];
    let count = guest.call(|caller| file.read_at(caller.cx, 1, &mut Sink::from_slice(&mut read)));
    assert_eq!(count, Ok(large.len()));
    assert!(read == large, "what was written is not what is read");
    assert_eq!(guest.file("room", BOTH, NONE).map(drop), Ok(()));
    guest.unlink("room").unwrap();
    rounds
}

/// A tree to work on.
fn build(scene: &Scene) {
    scene.mkdir("a");
    scene.mkdir("many");
    for number in 0..300 {
        scene.write(&format!("many/entry-{number}"), b"");
    }
}

fn check(scene: &Scene) {
    for (stepwise, apart) in [(false, 50), (true, 300)] {
        let (rounds, came) = pestered(apart, || work(scene, stepwise, 1));
        println!("{}: {rounds} rounds, {came} signals", scene.served.display());
        assert!(rounds >= LEAST && came >= 500, "too little was tried: {rounds} rounds, {came} signals");
    }
}

#[test]
fn everything_is_as_without_signals() {
    // In memory, and where programs are built.
    for scene in [Scene::new(), Scene::within(env!("CARGO_TARGET_TMPDIR").as_ref())] {
        build(&scene);
        check(&scene);
    }
}

/// Local filesystems are hardly ever interrupted. Here each call waits for another thread first, as those do that are
/// served by programs or over the network, and a signal ends that wait.
#[test]
fn everything_is_as_without_signals_where_every_call_waits() {
    let scene = Scene::new();
    build(&scene);
    let answer = |_| {
        std::thread::sleep(Duration::from_micros(20));
        None
    };
    let supervised = supervised(answer, || check(&scene));
    let Some(((), interrupted)) = supervised else { return };
    println!("{interrupted} calls were interrupted");
    assert!(interrupted >= 1000, "too few calls were interrupted: {interrupted}");
}
