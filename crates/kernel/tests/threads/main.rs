//! Eight threads of one embedder on one namespace: every operation there is, at random, in each process's own way,
//! over one filesystem that is mounted several times. At the end the tree must be whole and the account exact.
//!
//! `VNODE_THREADS_SECONDS` makes it longer, `VNODE_THREADS_SEED` repeats the choices of a run as far as time lets it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod account;
mod deeds;
mod walls;
mod world;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use account::Account;
use deeds::{Tally, Worker};
use world::World;

const THREADS: u64 = 8;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn eight_threads_on_one_namespace_leave_a_whole_tree() {
    let time = Duration::from_secs(number("VNODE_THREADS_SECONDS").unwrap_or(3));
    let seed = number("VNODE_THREADS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    // Shown if the test fails.
    println!("VNODE_THREADS_SEED={seed}");
    let world = World::new();
    let end = Instant::now() + time;
    let (sender, finished) = channel();
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (world, sender) = (&world, sender.clone());
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
