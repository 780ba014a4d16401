//! The power goes at each call of an apply: every name has the old or the new, nothing is lost, and going on comes to the
//! same.
//!
//! `VNODE_APPLY_CRASHES=5000 cargo test -p vnode-sandbox --test apply_crash` tries as many random histories.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::as_root;
use support::random::Random;
use support::scenes::{STAGING, Scene, everything, random};
use support::tree::tree;
use support::writeback::WriteBack;
use vnode_adapt::{Crash, Fault, Faults, OpSet};
use vnode_core::{Errno, FilesystemRef};
use vnode_memory::Memory;
use vnode_sandbox::{Applied, ApplyError, ApplyOptions, Owner, recover_on};

/// Calls that one apply may make.
const MANY: u64 = 5000;
/// How long random histories may take, if nobody says how many.
const LONGEST: Duration = Duration::from_secs(6);

/// What is left of what was not synced.
#[derive(Clone, Copy, Debug)]
enum Medium {
    /// Nothing.
    Loses,
    /// Names, in an order of its own.
    WritesBack(u64),
    /// All: only the process ends.
    Keeps,
}

/// What is left when the power goes at the `nth` call of something; tells whether it was there to the end.
fn interrupted<T>(
    from: FilesystemRef,
    (nth, medium): (u64, Medium),
    call: impl FnOnce(&FilesystemRef) -> T,
) -> (T, FilesystemRef, bool) {
    let crash = Arc::new(as_root(|cx| Crash::new(cx, from)).unwrap());
    crash.control().crash_at(OpSet::ALL, nth);
    let target = match medium {
        Medium::WritesBack(seed) => {
            FilesystemRef::new::<WriteBack>(WriteBack::new(Arc::clone(&crash), seed.wrapping_add(nth)))
        }
        Medium::Loses | Medium::Keeps => FilesystemRef::new::<Crash<FilesystemRef>>(Arc::clone(&crash)),
    };
    let done = call(&target);
    let survived = !crash.control().crashed();
    let left = match medium {
        Medium::Keeps => crash.inner().clone(),
        Medium::Loses | Medium::WritesBack(_) => {
            let left = FilesystemRef::new::<Memory>(Memory::new());
            as_root(|cx| crash.recovered().write_into(cx, &left)).unwrap();
            left
        }
    };
    (done, left, survived)
}

/// Takes the power at the `nth` call of the apply, and once more when that is gone on with if `again` is not 0; tells
/// whether it was there to the end.
fn crash_at(scene: &Scene, (nth, medium): (u64, Medium), again: u64) -> bool {
    let context = format!("{medium:?}, call {nth}, then {again}");
    scene.told();
    let (done, mut left, survived) = interrupted(scene.target(), (nth, medium), |target| scene.apply(target));
    assert!(done.is_ok() || !survived, "{context}: {done:?}");
    scene.check_moment(&left, &context);
    if survived {
        scene.assert_done(&left, &context);
        return true;
    }
    if again > 0 {
        let (_, later, _) = interrupted(left, (again, medium), |target| scene.recover(target));
        left = later;
        scene.check_moment(&left, &context);
    }
    scene.complete(&left, nth.is_multiple_of(2), &context);
    false
}

/// Tells how many calls there are.
fn crash_everywhere(scene: &Scene, medium: Medium) -> u64 {
    let last = (1..MANY).find(|&nth| crash_at(scene, (nth, medium), 0));
    last.unwrap_or_else(|| panic!("more than {MANY} calls"))
}

#[test]
fn the_power_goes_at_each_call() {
    let scene = everything();
    for medium in [Medium::Loses, Medium::Keeps, Medium::WritesBack(1), Medium::WritesBack(2)] {
        let calls = crash_everywhere(&scene, medium);
        assert!(calls > 400, "{calls} calls");
        let mut random = Random::new(calls);
        for _ in 0..150 {
            let mut call = || random.below(calls as usize) as u64 + 1;
            let (nth, again) = (call(), call());
            crash_at(&scene, (nth, medium), again);
        }
    }
}

#[test]
fn the_power_goes_in_random_histories() {
    let wanted = std::env::var("VNODE_APPLY_CRASHES").ok().and_then(|number| number.parse().ok());
    let begun = Instant::now();
    let mut tried = 0;
    for seed in 1..=wanted.unwrap_or(150u64) {
        if wanted.is_none() && begun.elapsed() > LONGEST {
            break;
        }
        let scene = random(seed);
        for medium in [Medium::Loses, Medium::Keeps, Medium::WritesBack(seed)] {
            let mut nth = seed % 5 + 1;
            while !crash_at(&scene, (nth, medium), if nth.is_multiple_of(3) { nth * 7 % 60 } else { 0 }) {
                nth += 5;
            }
        }
        tried += 1;
    }
    println!("{tried} histories in {:?}", begun.elapsed());
    assert!(tried > 5, "{tried} histories");
}

/// A call fails, what was moved is moved back, and meanwhile the power goes.
#[test]
fn the_power_goes_while_it_is_undone() {
    let scene = everything();
    let mut undone = 0;
    for nth in (1..MANY).step_by(7) {
        let mut is_over = false;
        // At first it doesn't go at all.
        for more in [0, 1, 3, 6, 10, 15, 21, 28, 40, 60, 90] {
            let context = format!("a failure at call {nth}, the power goes {more} later");
            scene.told();
            let crash = Arc::new(as_root(|cx| Crash::new(cx, scene.target())).unwrap());
            if more > 0 {
                crash.control().crash_at(OpSet::ALL, nth - 1 + more);
            }
            let faults = Faults::new(FilesystemRef::new::<Crash<FilesystemRef>>(Arc::clone(&crash)));
            let control = faults.control();
            control.arm(Fault::fail(Errno::ROFS).nth(nth));
            let target = FilesystemRef::new::<Faults<FilesystemRef>>(Arc::new(faults));
            let done = scene.apply(&target);
            is_over = control.fired() == 0;
            let left = FilesystemRef::new::<Memory>(Memory::new());
            as_root(|cx| crash.recovered().write_into(cx, &left)).unwrap();
            scene.check_moment(&left, &context);
            if !crash.control().crashed() && matches!(done, Err(ApplyError::Filesystem { .. })) {
                undone += 1;
                // What was told as undone is so after a loss of power, too.
                scene.assert_nothing_changed(&left, &context);
            }
            scene.complete(&left, nth.is_multiple_of(2), &context);
        }
        if is_over {
            assert!(undone > 30, "{undone} undone");
            return;
        }
    }
    panic!("more than {MANY} calls");
}

/// As long as the owner fails, all is in its place and it is written down that the owner is to be told.
#[test]
fn an_owner_that_fails_is_told_again() {
    let scene = everything();
    let target = scene.target();
    let owner = Owner { directory: "/".into(), id: "owner".to_owned(), generation: 1 };
    let (told, fails) = (Cell::new(0), Cell::new(true));
    let settled = |applied: &Applied| {
        told.set(told.get() + 1);
        assert_eq!(applied.resumed, told.get() > 1);
        let mut now = tree(&target);
        assert!(now.contains_key(STAGING));
        now.retain(|path, _| !path.starts_with(STAGING));
        assert!(now == scene.after);
        if fails.get() { Err(ApplyError::NotOneDirectory) } else { Ok(()) }
    };
    let options = ApplyOptions { owner: Some(owner), settled: Some(&settled), ..ApplyOptions::default() };
    let apply = || as_root(|cx| scene.view.apply_to(cx, &target, &scene.changes, &options));
    let recover = || as_root(|cx| recover_on(cx, &target, &options));
    assert!(matches!(apply(), Err(ApplyError::Owner { .. })));
    assert!(matches!(recover(), Err(ApplyError::Owner { .. })));
    assert!(matches!(apply(), Err(ApplyError::Owner { .. })));
    assert_eq!(told.get(), 3);
    fails.set(false);
    let applied = recover().unwrap().unwrap();
    assert!(applied.resumed && applied.owner == options.owner);
    assert_eq!(told.get(), 4);
    scene.assert_done(&target, "in the end");
    assert_eq!(recover().unwrap(), None);
    assert_eq!(told.get(), 4);
}
