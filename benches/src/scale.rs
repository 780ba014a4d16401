//! Threads beside each other, each in a directory of its own.

use crate::guest::{Guest, Still};
use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use vnode_core::{Caller, Credentials, Cx, FilesystemRef, Follow, Namespace, Policy, VPath};
use vnode_memory::Memory;

/// Rounds between two looks at the clock.
const ROUNDS: u64 = 64;
/// Calls in a round.
const CALLS: u64 = 9;

/// How many operations all threads together make in a second.
pub(crate) fn operations_a_second(threads: usize, milliseconds: u64) -> Result<f64> {
    let namespace = Arc::new(Namespace::new(FilesystemRef::new::<Memory>(Memory::new())));
    let stop = AtomicBool::new(false);
    let (start, time) = (Barrier::new(threads + 1), Duration::from_millis(milliseconds));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| {
                let (namespace, stop, start) = (&namespace, &stop, &start);
                scope.spawn(move || {
                    let prepared = prepare(namespace, index);
                    start.wait();
                    work(prepared?, stop)
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let mut calls = 0;
        for worker in workers {
            calls += worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(calls as f64 / began.elapsed().as_secs_f64())
    })
}

/// A guest whose directory is one of its own below the root.
fn prepare(namespace: &Arc<Namespace>, index: usize) -> Result<Guest> {
    let dir = format!("thread-{index}");
    Guest::new(namespace, namespace.root().clone())?.mkdir(&dir)?;
    let credentials = Credentials::root();
    let cx = Cx::new(&credentials, &Still);
    let caller = Caller { ns: namespace, cx: &cx, root: namespace.root(), policy: Policy::Posix };
    let place = caller.resolve(namespace.root(), VPath::new(dir.as_bytes())?, Follow::Yes)?;
    Guest::new(namespace, place)
}

fn work(mut guest: Guest, stop: &AtomicBool) -> Result<u64> {
    let fd = guest.create("file")?;
    guest.write(fd, 4096)?;
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..ROUNDS {
            guest.stat("file")?;
            let opened = guest.open("file")?;
            guest.read_at(opened, 4096, 0)?;
            guest.write_at(opened, 64, 128)?;
            guest.close(opened)?;
            let made = guest.create("new")?;
            guest.close(made)?;
            guest.rename("new", "newer")?;
            guest.unlink("newer")?;
        }
        calls += ROUNDS * CALLS;
    }
    guest.close(fd)?;
    Ok(calls)
}
