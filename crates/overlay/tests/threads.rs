//! Threads that change the same few names at once: none waits for ever, and all agree on what is there afterwards.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::Tree;
use vnode_core::fs::{NewKind, Rename};
use vnode_core::{Errno, FileType, Result};

/// How long it takes; seconds in the environment.
const SECONDS: &str = "VNODE_OVERLAY_THREAD_SECONDS";
const THREADS: u64 = 4;
/// Nothing takes so long but a deadlock.
const PATIENCE: Duration = Duration::from_secs(60);

const PATHS: [&str; 12] =
    ["a", "b", "c", "a/a", "a/b", "b/a", "b/b", "a/a/a", "a/b/a", "b/a/a", "c/a", "c/b"];

fn lower() -> Tree {
    let lower = Tree::memory();
    for dir in ["a", "b", "a/a", "b/a"] {
        lower.mkdir(dir).unwrap();
    }
    for file in ["c", "a/b", "b/b", "a/a/a"] {
        lower.write(file, "lower").unwrap();
    }
    lower.link("c", "b/a/a").unwrap();
    lower
}

struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % count
    }

    fn path(&mut self) -> &'static str {
        PATHS[self.below(PATHS.len())]
    }
}

fn step(tree: &Tree, random: &mut Random) -> Result<()> {
    let (one, two) = (random.path(), random.path());
    match random.below(12) {
        0 => tree.mkdir(one),
        1 => tree.make(one, NewKind::Regular).map(drop),
        2 => tree.unlink(one),
        3 => tree.rmdir(one),
        4 => tree.rename(one, two, Rename::Replace),
        5 => tree.rename(one, two, Rename::Exchange),
        6 => tree.rename(one, two, Rename::NoReplace),
        7 => tree.link(one, two),
        8 => tree.set_xattr(one, "user.x", two),
        9 => tree.list(one).map(drop),
        10 if tree.attr(one)?.kind == FileType::Regular => tree.write(one, two),
        _ => tree.attr(one).map(drop),
    }
}

/// What is wrong with a directory and all below it: names that are listed are there, and counted.
fn findings(tree: &Tree, path: &str, out: &mut Vec<String>) {
    let names = tree.list(path).unwrap();
    let mut subdirs = 0;
    for name in &names {
        let path = format!("{path}/{name}");
        match tree.attr(&path) {
            Ok(attr) if attr.kind.is_dir() => {
                subdirs += 1;
                findings(tree, &path, out);
            }
            Ok(attr) if attr.nlink == 0 => out.push(format!("{path} has no names")),
            Ok(_) => {}
            Err(errno) => out.push(format!("{path} is listed: {errno}")),
        }
    }
    let nlink = tree.attr(path).unwrap().nlink;
    if nlink != 2 + subdirs {
        out.push(format!("{path} has {nlink} links and {subdirs} directories"));
    }
}

#[test]
fn threads_agree() {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (ended, steps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = (0, Instant::now());
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
                let now = steps.load(Ordering::Relaxed);
                if now != seen.0 {
                    seen = (now, Instant::now());
                }
                if seen.1.elapsed() > PATIENCE {
                    eprintln!("the threads wait for ever");
                    std::process::abort();
                }
            }
        });
        let mut seed = 0;
        while Instant::now() < end {
            let (bottom, upper) = (lower(), Tree::memory());
            let tree = Tree::over(&[&bottom], &upper);
            let before = bottom.read("c").unwrap();
            std::thread::scope(|scope| {
                for thread in 0..THREADS {
                    let (tree, steps) = (&tree, &steps);
                    scope.spawn(move || {
                        let mut random = Random(seed * THREADS + thread);
                        for _ in 0..400 {
                            match step(tree, &mut random) {
                                Err(errno @ (Errno::IO | Errno::STALE)) => panic!("{errno}"),
                                _ => steps.fetch_add(1, Ordering::Relaxed),
                            };
                        }
                    });
                }
            });
            let mut wrong = Vec::new();
            findings(&tree, "", &mut wrong);
            assert!(wrong.is_empty(), "seed {seed}:\n{}", wrong.join("\n"));
            let names = |tree: &Tree| -> Vec<String> {
                let lines = tree.picture("");
                lines.iter().map(|line| line.split(" (Timespec").next().unwrap().to_owned()).collect()
            };
            assert_eq!(names(&Tree::over(&[&bottom], &upper)), names(&tree), "seed {seed}");
            assert_eq!((bottom.read("c").unwrap(), upper.list("work").unwrap().len()), (before, 0));
            seed += 1;
        }
        ended.store(true, Ordering::Relaxed);
        println!("{seed} rounds, {} steps", steps.load(Ordering::Relaxed));
    });
}
