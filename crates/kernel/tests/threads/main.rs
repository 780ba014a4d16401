//! Eight threads of one embedder on one namespace: every operation there is, at random, in each process's own way,
//! over one filesystem that is mounted several times. At the end the tree must be whole and the account exact.
//!
//! `VNODE_THREADS_SECONDS` makes it longer, `VNODE_THREADS_SEED` repeats the choices of a run as far as time lets it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod account;
mod deeds;
mod walls;
mod world;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use account::Account;
use deeds::{Tally, Worker};
use vnode_adapt::{Events, Quota};
use vnode_core::FilesystemRef;
use world::World;

const THREADS: u64 = 8;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn eight_threads_on_one_namespace_leave_a_whole_tree() {
    let world = World::new();
    work(&world);
    Account::checked(&world.root, None);
    Account::checked(&world.data, Some(&world.bound));
    world.remove_all();
    Account::checked(&world.root, None);
    Account::checked(&world.data, Some(&world.bound));
    let World { root, data, namespace, bound } = world;
    drop((namespace, bound));
    assert!(Account::checked(&root, None).is_empty());
    assert!(Account::checked(&data, None).is_empty());
}

type Limited = Quota<Events<FilesystemRef>>;

/// Quotas count by themselves what the filesystems below them count: they must agree, whoever raced whom.
#[test]
fn eight_threads_behind_quotas_leave_them_exact() {
    let mut quotas = Vec::new();
    let world = World::through(|fs| {
        let quota = Limited::builder().max_bytes(150 * 4096).max_inodes(50).build(Events::new(fs)).unwrap();
        let quota = Arc::new(quota);
        quotas.push(Arc::clone(&quota));
        FilesystemRef::new::<Limited>(quota)
    });
    work(&world);
    let agree = |world: &World| {
        Account::checked(&world.root, None);
        Account::checked(&world.data, Some(&world.bound));
        for (quota, memory) in quotas.iter().zip([&world.root, &world.data]) {
            let (usage, expected) = (quota.usage(), memory.usage());
            assert_eq!((usage.bytes, usage.inodes), (expected.bytes, expected.inodes));
        }
    };
    agree(&world);
    world.remove_all();
    agree(&world);
}

/// What eight threads do to a world in a few seconds.
fn work(world: &World) {
    let time = Duration::from_secs(number("VNODE_THREADS_SECONDS").unwrap_or(3));
    let seed = number("VNODE_THREADS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    // Shown if the test fails.
    println!("VNODE_THREADS_SEED={seed}");
    let end = Instant::now() + time;
    let (sender, finished) = channel();
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let sender = sender.clone();
            scope.spawn(move || {
                let mut worker = Worker::new(world, thread, seed);
                while Instant::now() < end {
                    (0..50).for_each(|_| worker.act());
                }
                sender.send(worker.finish()).unwrap();
            });
        }
        drop(sender);
        for _ in 0..THREADS {
            match finished.recv_timeout(time + Duration::from_secs(60)) {
                Ok(done) => tally.add(&done),
                // A thread failed, and the scope says so.
                Err(RecvTimeoutError::Disconnected) => break,
                // The scope would wait for ever for whoever waits for ever.
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("VNODE_THREADS_SEED={seed}: threads wait for each other");
                    std::process::abort();
                }
            }
        }
    });
    print!("{tally}");
    tally.check();
}
