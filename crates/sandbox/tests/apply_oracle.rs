//! What is applied is what the kernel makes of the same steps.
//!
//! `VNODE_APPLY_SEQUENCES=10000 cargo test -p vnode-sandbox --test apply_oracle` tries as many; `VNODE_APPLY_SEED` begins with
//! another one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use support::as_root;
use support::guest::Guest;
use support::host::{Step, list, paths, plant};
use support::random::Random;
use vnode_sandbox::{ApplyOptions, View};

/// Sequences, if time is left.
const SEQUENCES: u64 = 600;
/// How long that may take.
const LONGEST: Duration = Duration::from_secs(15);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one history on a view and by the kernel, and applies it; tells what is otherwise.
fn run(seed: u64, place: &Path) {
    let mut random = Random::new(seed);
    let (ours, kernels, upper) = (place.join("ours"), place.join("kernels"), place.join("upper"));
    for dir in [&ours, &kernels] {
        std::fs::create_dir(dir).unwrap();
        plant(dir, seed, 30);
    }
    let before = list(&ours);
    assert_eq!(before, list(&kernels));
    let view = View::of(&ours);
    let view = if random.percent(50) { view.changes_in(&upper) } else { view };
    let view = view.open().unwrap();
    let guest = Guest(&view.filesystem);
    let mut steps = Vec::new();
    for index in 0..random.below(20) + 1 {
        let step = Step::random(&mut random, &paths(&kernels), 1000 + index);
        if step.by_guest(&guest) {
            step.by_kernel(&kernels);
            steps.push(step);
        }
    }
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|change| {
            let from = change.from.as_ref().map(|from| from.escape_ascii().to_string());
            format!("{} {} from {from:?}", change.kind.letter(), change.path.escape_ascii())
        })
        .collect();
    let context = || format!("seed {seed}\n{steps:#?}\n{told:#?}");
    let applied = as_root(|cx| view.apply(cx, &changes, &ApplyOptions::default()));
    let applied = applied.unwrap_or_else(|error| panic!("{error}\n{}", context()));
    assert!(applied.everything && !applied.resumed);
    let (ours, kernels) = (list(&ours), list(&kernels));
    if ours != kernels {
        let only = |one: &support::host::Listed, other: &support::host::Listed| {
            let lines = one.iter().filter(|(path, what)| other.get(*path) != Some(*what));
            lines.map(|(path, what)| format!("{} {what}", path.escape_ascii())).collect::<Vec<_>>()
        };
        panic!(
            "{}\nours: {:#?}\nthe kernel's: {:#?}",
            context(),
            only(&ours, &kernels),
            only(&kernels, &ours)
        );
    }
}

#[test]
fn what_is_applied_is_what_the_kernel_makes() {
    let wanted = number("VNODE_APPLY_SEQUENCES");
    let first = number("VNODE_APPLY_SEED").unwrap_or(1);
    let begun = Instant::now();
    let mut tried = 0;
    for seed in first..first + wanted.unwrap_or(SEQUENCES) {
        if wanted.is_none() && begun.elapsed() > LONGEST {
            break;
        }
        let place = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
        run(seed, place.unwrap().path());
        tried += 1;
    }
    println!("{tried} sequences in {:?}", begun.elapsed());
    assert!(tried > 20, "{tried} sequences");
}
