//! What is applied is what the kernel makes of the same steps.
//!
//! `VNODE_APPLY_SEQUENCES=10000 cargo test -p vnode-sandbox --test apply_oracle` tries as many; `VNODE_APPLY_SEED` begins with
//! another one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use support::as_root;
use support::guest::Guest;
use support::host::{Step, list, paths, plant};
use support::random::Random;
use vnode_core::fs::Filesystem as _;
use vnode_sandbox::{ApplyOptions, ChangeKind, View};

/// Sequences, if time is left.
const SEQUENCES: u64 = 3000;
/// How long that may take.
const LONGEST: Duration = Duration::from_secs(10);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// When everything was changed last that a guest sees.
fn shown_times(guest: &Guest<'_>) -> Vec<(Vec<u8>, (i64, u32))> {
    let mut found = Vec::new();
    let mut left = vec![Vec::new()];
    while let Some(path) = left.pop() {
        let attr = as_root(|cx| guest.0.getattr(cx, &guest.node(cx, &path)?)).unwrap();
        found.push((path.strip_prefix(b"/").unwrap_or(&path).to_vec(), (attr.mtime.sec, attr.mtime.nsec)));
        if attr.kind.is_dir() {
            left.extend(guest.names(&path).unwrap().iter().map(|name| [&path[..], b"/", name].concat()));
        }
    }
    found
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
    let old_times = as_root(|_| shown_times(&Guest(&View::of(&ours).open().unwrap().filesystem)));
    let view = View::of(&ours);
    let view = if random.percent(50) { view.changes_in(&upper) } else { view };
    let view = view.open().unwrap();
    let guest = Guest(&view.filesystem);
    let mut steps = Vec::new();
    let most = if random.percent(10) { 100 } else { 20 };
    for index in 0..random.below(most) + 1 {
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
    let times = shown_times(&guest);
    let applied = as_root(|cx| view.apply(cx, &changes, &ApplyOptions::default()));
    let applied = applied.unwrap_or_else(|error| panic!("{error}\n{}", context()));
    assert!(applied.everything && !applied.resumed);
    for (path, time) in times {
        let meta = std::fs::symlink_metadata(ours.join(OsStr::from_bytes(&path))).unwrap();
        let now = (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap());
        // Times alone are no change.
        let told = changes.iter().any(|change| {
            change.path.strip_prefix(b"/") == Some(&path)
                && matches!(change.kind, ChangeKind::Added | ChangeKind::Modified)
        });
        if !told && old_times.iter().any(|(_, old)| *old == now) {
            continue;
        }
        assert_eq!(now, time, "the time of {}, {}", path.escape_ascii(), context());
    }
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
