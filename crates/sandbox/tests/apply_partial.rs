//! Some changes are applied, then others, then the rest: what comes of it is what all at once come to.
//!
//! `VNODE_APPLY_SEQUENCES` and `VNODE_APPLY_SEED` as in `apply_oracle`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use support::as_root;
use support::guest::Guest;
use support::host::{Step, list, paths, plant, put};
use support::random::Random;
use support::tree::{Entry, tree};
use vnode_core::fs::Rename;
use vnode_sandbox::{Applied, ApplyOptions, Change, Selection, View};

/// Histories, if time is left.
const HISTORIES: u64 = 600;
/// How long that may take.
const LONGEST: Duration = Duration::from_secs(8);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn told(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| {
        let from = change.from.as_ref().map(|from| from.escape_ascii().to_string());
        format!("{} {} from {from:?}", change.kind.letter(), change.path.escape_ascii())
            .replace(&"f".repeat(255), "F")
    };
    changes.iter().map(line).collect()
}

fn some(random: &mut Random, changes: &[Change]) -> Selection {
    let mut chosen = Vec::new();
    for change in changes {
        if random.percent(40) {
            chosen.push(change.path.clone());
        }
    }
    if random.percent(50) { Selection::Only(chosen) } else { Selection::Except(chosen) }
}

fn run(seed: u64, place: &Path) {
    let mut random = Random::new(seed);
    let (ours, kernels, upper) = (place.join("ours"), place.join("kernels"), place.join("upper"));
    for dir in [&ours, &kernels] {
        std::fs::create_dir(dir).unwrap();
        plant(dir, seed, 25);
    }
    let open = || View::of(&ours).changes_in(&upper).open().unwrap();
    let mut context = vec![format!("seed {seed}")];
    {
        let view = open();
        let guest = Guest(&view.filesystem);
        for index in 0..random.below(14) + 2 {
            let step = Step::random(&mut random, &paths(&kernels), 1000 + index);
            if step.by_guest(&guest) {
                step.by_kernel(&kernels);
                context.push(format!("{step:?}"));
            }
        }
    }
    let shown = tree(&open().filesystem);
    for round in 0..4 {
        let view = open();
        let now = tree(&view.filesystem);
        let context_now = context.join("\n");
        for (path, entry) in &shown {
            // Of a file that lost names below, the rest may be told apart until the rest is applied.
            let what = |entry: &Entry| (entry.content.clone(), entry.attributes.clone());
            assert_eq!(
                now.get(path).map(what),
                Some(what(entry)),
                "round {round}, {}\n{context_now}",
                path.escape_ascii()
            );
        }
        let more: Vec<_> = now.keys().filter(|path| !shown.contains_key(*path)).collect();
        assert!(more.is_empty(), "round {round}, {more:?}\n{context_now}");
        let changes = as_root(|cx| view.changes(cx)).unwrap();
        context.push(format!("round {round}: {:#?}", told(&changes)));
        let selection = if round == 3 { Selection::All } else { some(&mut random, &changes) };
        context.push(format!("{selection:?}"));
        let settled = |applied: &Applied| {
            as_root(|cx| {
                view.settle(cx, applied)?;
                view.settle(cx, applied)
            })
        };
        let options = ApplyOptions { selection, settled: Some(&settled), ..ApplyOptions::default() };
        let applied = as_root(|cx| view.apply(cx, &changes, &options));
        let applied = applied.unwrap_or_else(|error| panic!("{error}\n{}", context.join("\n")));
        let mut kept: Vec<_> = applied.operations.iter().map(|operation| operation.path.clone()).collect();
        let all = changes.len();
        drop((view, changes));
        if applied.everything {
            break;
        }
        {
            let left = as_root(|cx| open().changes(cx)).unwrap();
            kept.retain(|path| left.iter().any(|change| change.path == *path));
            let kept: Vec<_> = kept.iter().map(|path| path.escape_ascii().to_string()).collect();
            assert!(left.len() < all || applied.operations.is_empty(), "{kept:?}\n{}", context.join("\n"));
        }
    }
    let (ours, kernels) = (list(&ours), list(&kernels));
    let only = |one: &support::host::Listed, other: &support::host::Listed| {
        let lines = one.iter().filter(|(path, what)| other.get(*path) != Some(*what));
        lines.map(|(path, what)| format!("{} {what}", path.escape_ascii())).collect::<Vec<_>>()
    };
    let (more, less) = (only(&ours, &kernels), only(&kernels, &ours));
    assert!(more.is_empty() && less.is_empty(), "{}\n{more:#?}\n{less:#?}", context.join("\n"));
}

/// What is new where something was renamed away is another file, however alike.
#[test]
fn what_is_alike_is_not_one() {
    let place = tempfile::tempdir().unwrap();
    let (host, upper) = (place.path().join("host"), place.path().join("upper"));
    std::fs::create_dir(&host).unwrap();
    put(host.join("f"), "old");
    put(host.join("e"), "1");
    let open = || View::of(&host).changes_in(&upper).open().unwrap();
    let apply = |selection: Selection| {
        let view = open();
        let changes = as_root(|cx| view.changes(cx)).unwrap();
        let settled = |applied: &Applied| as_root(|cx| view.settle(cx, applied));
        let options = ApplyOptions { selection, settled: Some(&settled), ..ApplyOptions::default() };
        as_root(|cx| view.apply(cx, &changes, &options)).unwrap();
    };
    {
        let view = open();
        let guest = Guest(&view.filesystem);
        guest.rename("f", "e", Rename::Replace).unwrap();
        guest.write("f", "old").unwrap();
        guest.chmod("f", 0o600).unwrap();
    }
    apply(Selection::Only(vec![b"/f".to_vec()]));
    Guest(&open().filesystem).rename("f", "b", Rename::Replace).unwrap();
    apply(Selection::All);
    let told = ["b", "e"].map(|name| std::fs::metadata(host.join(name)).unwrap());
    assert_ne!(told[0].ino(), told[1].ino());
    assert_eq!(told.map(|meta| meta.mode() & 0o777), [0o600, 0o644]);
}

#[test]
fn some_and_then_the_rest_come_to_all() {
    let wanted = number("VNODE_APPLY_SEQUENCES");
    let first = number("VNODE_APPLY_SEED").unwrap_or(1);
    let begun = Instant::now();
    let mut tried = 0;
    for seed in first..first + wanted.unwrap_or(HISTORIES) {
        if wanted.is_none() && begun.elapsed() > LONGEST {
            break;
        }
        let place = tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" });
        run(seed, place.unwrap().path());
        tried += 1;
    }
    println!("{tried} histories in {:?}", begun.elapsed());
    assert!(tried > 20, "{tried} histories");
}
