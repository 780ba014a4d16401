//! Sandboxes that are forked, applied in part and discarded in part at random: what is applied in the end is what the kernel makes
//! of the same steps.
//!
//! `VNODE_SANDBOX_HISTORIES=2000 cargo test -p vnode-sandbox --test histories` tries as many; `VNODE_SANDBOX_SEED` begins with another
//! one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::as_root;
use support::guest::Guest;
use support::host::{Step, list, paths, plant};
use support::random::Random;
use vnode_sandbox::{Applying, Lower, Mount, Sandbox, Store, StoreError};

/// Histories, if time is left.
const HISTORIES: u64 = 400;
/// How long that may take.
const LONGEST: Duration = Duration::from_secs(10);

/// What is done to sandboxes besides what guests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    None,
    Applied,
    Discarded,
}

/// The same steps in a sandbox that is never forked, in one that is, and by the kernel.
struct History {
    random: Random,
    hosts: [PathBuf; 2],
    kernel: PathBuf,
    store: Store,
    sandboxes: [Sandbox; 2],
    forks: u64,
    /// Whether something was discarded, which the kernel can't.
    has_discarded: bool,
    log: String,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn told(sandbox: &Sandbox) -> usize {
    let views = sandbox.views().unwrap();
    as_root(|cx| views[0].view.changes(cx)).unwrap().len()
}

impl History {
    fn new(seed: u64, place: &Path) -> Self {
        let (hosts, kernel) = ([place.join("plain"), place.join("forked")], place.join("kernel"));
        for directory in hosts.iter().chain([&kernel]) {
            std::fs::create_dir(directory).unwrap();
            plant(directory, seed, 30);
        }
        let store = Store::at(place.join("state"));
        let sandboxes = [("plain", &hosts[0]), ("forked", &hosts[1])].map(|(name, host)| {
            let lowers = vec![Lower::Directory(host.clone())];
            store.create(name, vec![Mount { guest: b"/".to_vec(), lowers, ..Mount::default() }]).unwrap()
        });
        let mut log = format!("seed {seed}\n");
        for (path, what) in list(&kernel) {
            writeln!(log, "has {} {what}", path.escape_ascii()).unwrap();
        }
        let random = Random::new(seed);
        History { random, hosts, kernel, store, sandboxes, forks: 0, has_discarded: false, log }
    }

    /// What a guest does in a run.
    fn run(&mut self, round: usize) {
        let views = [self.sandboxes[0].views().unwrap(), self.sandboxes[1].views().unwrap()];
        for step in 0..self.random.below(8) + 1 {
            let step = Step::random(&mut self.random, &paths(&self.kernel), 1000 + round * 100 + step);
            let done = [0, 1].map(|of| step.by_guest(&Guest(&views[of][0].view.filesystem)));
            assert_eq!(done[0], done[1], "{step:?}\n{}", self.log);
            if done[0] {
                step.by_kernel(&self.kernel);
                writeln!(self.log, "{step:?}").unwrap();
            }
        }
    }

    fn fork(&mut self) {
        self.forks += 1;
        let fork = self.sandboxes[1].fork(&format!("fork{}", self.forks));
        let fork = fork.unwrap_or_else(|error| panic!("fork: {error}\n{}", self.log));
        writeln!(self.log, "fork").unwrap();
        if self.random.percent(60) {
            self.sandboxes[1] = fork;
        }
    }

    /// Applies or discards what is below one path.
    fn part(&mut self, parts: Parts) {
        let all = paths(&self.kernel);
        let path = if all.is_empty() { b"/a".to_vec() } else { self.random.of(&all).clone() };
        let discard = parts == Parts::Discarded && self.random.percent(40);
        let what = if discard { "discard" } else { "apply" };
        writeln!(self.log, "{what} {}", path.escape_ascii()).unwrap();
        for sandbox in &mut self.sandboxes {
            let paths = [path.clone()];
            let done = match discard {
                true => sandbox.discard_some(&paths),
                false => sandbox.apply(&Applying { paths: Some(&paths), ..Applying::default() }).map(drop),
            };
            match done {
                Ok(()) | Err(StoreError::Unchanged { .. }) => {}
                Err(error) => panic!("{what}: {error:?}\n{}", self.log),
            }
        }
        self.has_discarded |= discard;
    }

    /// Applies what is left.
    fn end(mut self) {
        for (index, host) in self.hosts.iter().enumerate() {
            let sandbox = &mut self.sandboxes[index];
            let applied = sandbox.apply(&Applying::default());
            assert!(applied.is_ok(), "{applied:?}\n{}", self.log);
            assert_eq!(told(sandbox), 0, "{}", self.log);
            if !self.has_discarded {
                assert!(list(host) == list(&self.kernel), "{:?}\n{}", host, self.difference(host));
            }
        }
        let _ = &self.store;
    }

    fn difference(&self, host: &Path) -> String {
        let (here, kernel) = (list(host), list(&self.kernel));
        let mut text = self.log.clone();
        for (path, what) in here.iter().filter(|(path, what)| kernel.get(*path) != Some(*what)) {
            writeln!(text, "here {} {what}", path.escape_ascii()).unwrap();
        }
        for (path, what) in kernel.iter().filter(|(path, what)| here.get(*path) != Some(*what)) {
            writeln!(text, "kernel {} {what}", path.escape_ascii()).unwrap();
        }
        text
    }
}

fn try_all(parts: Parts) {
    let (wanted, begun) = (number("VNODE_SANDBOX_HISTORIES"), Instant::now());
    let first = number("VNODE_SANDBOX_SEED").unwrap_or(1);
    let mut tried = 0;
    for seed in first..first + wanted.unwrap_or(HISTORIES) {
        if wanted.is_none() && begun.elapsed() > LONGEST {
            break;
        }
        let place =
            tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }).unwrap();
        let mut history = History::new(seed, place.path());
        for round in 0..history.random.below(6) + 2 {
            history.run(round);
            if history.random.percent(70) {
                history.fork();
            }
            if parts != Parts::None && history.random.percent(40) && told(&history.sandboxes[0]) > 0 {
                history.part(parts);
            }
            if history.has_discarded {
                break;
            }
        }
        history.end();
        tried += 1;
    }
    println!("{tried} histories in {:?}", begun.elapsed());
}

#[test]
fn forks_come_to_the_same() {
    try_all(Parts::None);
}

#[test]
fn parts_come_to_the_same() {
    try_all(Parts::Applied);
}

#[test]
fn parts_are_discarded() {
    try_all(Parts::Discarded);
}
