//! Calls that a signal interrupts (`EINTR`): each is made again, and nothing else is seen of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::apart;
use crate::operations::{OPERATIONS, Process, Shape, build};
use crate::scene::Scene;
use crate::supervised::{name_of, supervised};

/// Calls that these operations make, whatever the machine.
const MADE: [&str; 24] = [
    "openat",
    "newfstatat",
    "statx",
    "fstat",
    "fstatfs",
    "getdents64",
    "lseek",
    "pread64",
    "pwrite64",
    "pwritev2",
    "ftruncate",
    "truncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "mkdirat",
    "mknodat",
    "symlinkat",
    "linkat",
    "unlinkat",
    "renameat2",
    "readlinkat",
    "fchownat",
    "utimensat",
];

#[test]
fn every_call_is_made_again_as_often_as_it_is_interrupted() {
    let (interrupts, mut times) = (AtomicBool::new(false), 0);
    let mut interrupted = BTreeSet::new();
    let answer = |number| {
        if !interrupts.load(Ordering::Relaxed) {
            return None;
        }
        interrupted.insert(name_of(number));
        // Twice, and then let through.
        times = (times + 1) % 3;
        (times != 0).then_some(libc::EINTR)
    };
    let went = supervised(answer, || {
        for stepwise in [false, true] {
            for (name, operation) in OPERATIONS {
                let outcomes = [false, true].map(|is_interrupted| {
                    let scene = Scene::new();
                    build(&scene);
                    let mut process = Process::new(&scene, stepwise);
                    interrupts.store(is_interrupted, Ordering::Relaxed);
                    let came = operation(&mut process);
                    interrupts.store(false, Ordering::Relaxed);
                    (came, Shape::of(&scene.served))
                });
                let [(as_ever, tree), (interrupted, then)] = outcomes;
                assert!(as_ever.is_ok(), "{name}: {as_ever:?}");
                assert_eq!(interrupted, as_ever, "{name}");
                assert_eq!(then.differences(&tree), [""; 0], "{name}");
            }
        }
    });
    if went.is_none() {
        return;
    }
    println!("interrupted: {interrupted:?}");
    let missing: Vec<_> = MADE.iter().filter(|call| !interrupted.contains(*call)).collect();
    assert!(missing.is_empty(), "never interrupted: {missing:?}");
    if !interrupted.contains("openat2") {
        apart::skipped("openat2 that is interrupted: the kernel has none");
    }
}
