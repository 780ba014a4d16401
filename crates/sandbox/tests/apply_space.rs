//! There is no room, or the medium fails, at each call of an apply: nothing is half, and trying again comes to the same.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use support::scenes::{STAGING, Scene, everything, random};
use support::tree::tree;
use vnode_adapt::{Exceeded, Fault, Faults, Op, OpSet, Quota};
use vnode_core::{Errno, FilesystemRef};
use vnode_sandbox::{Applied, ApplyError};

/// Calls that one apply may make.
const MANY: u64 = 8000;

type Outcome = Result<Applied, ApplyError>;

/// What an apply that may have failed is to leave. Tells whether it had begun to change things.
fn check(scene: &Scene, (target, done): (&FilesystemRef, Outcome), errno: Errno, context: &str) -> bool {
    scene.check_moment(target, context);
    match done {
        Ok(_) => {
            // What couldn't be removed any more is when the next apply finds it.
            let left = errno == Errno::IO && tree(target).contains_key(STAGING);
            if !left {
                scene.assert_done(target, context);
            }
            false
        }
        Err(ApplyError::Filesystem { errno: told, .. }) if told == errno => {
            scene.assert_nothing_changed(target, context);
            assert_eq!(scene.told(), 0, "{context}: nothing was done");
            false
        }
        Err(error @ ApplyError::Unfinished { errno: told, .. }) if told == errno => {
            assert!(error.to_string().contains("apply again"), "{context}: {error}");
            assert!(tree(target).contains_key(STAGING), "{context}");
            true
        }
        Err(error) => panic!("{context}: {error:?}"),
    }
}

/// Has the `nth` of some calls fail. Tells whether there was one, and whether things had been changed then.
fn fail_at(scene: &Scene, nth: u64, (errno, ops, every_time): (Errno, OpSet, bool)) -> Option<bool> {
    let context = format!("{errno} at call {nth}, every time: {every_time}");
    let faults = Arc::new(Faults::new(scene.target()));
    let control = faults.control();
    let fault = Fault::fail(errno).on(ops).nth(nth);
    control.arm(if every_time { fault.every_time() } else { fault });
    let target = FilesystemRef::new::<Faults<FilesystemRef>>(faults);
    scene.told();
    let done = scene.apply(&target);
    let fired = control.fired() > 0;
    assert!(fired || done.is_ok(), "{context}: {done:?}");
    control.disarm();
    let begun = check(scene, (&target, done), errno, &context);
    scene.complete(&target, nth.is_multiple_of(2), &context);
    fired.then_some(begun)
}

fn fail_everywhere(scene: &Scene, what: (Errno, OpSet, bool)) {
    let begun: Vec<_> = (1..MANY).map_while(|nth| fail_at(scene, nth, what)).collect();
    let unfinished = begun.iter().filter(|begun| **begun).count();
    println!("{what:?}: {} calls, {unfinished} after it was written down", begun.len());
    assert!(begun.len() > 3 && begun.len() + 1 < MANY as usize, "{} calls", begun.len());
    // What was written down may need no room.
    assert!(unfinished > 0 || what.0 != Errno::IO);
}

fn takes_room() -> OpSet {
    OpSet::from(Op::Create) | Op::CreateOpen | Op::Write | Op::Link | Op::Rename | Op::SetXattr | Op::SetLen
}

#[test]
fn there_is_no_room() {
    for scene in [everything(), random(3), random(4), random(5)] {
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            fail_everywhere(&scene, (errno, takes_room(), false));
        }
    }
}

#[test]
fn there_is_no_room_for_long() {
    for scene in [everything(), random(3), random(4)] {
        fail_everywhere(&scene, (Errno::NOSPC, takes_room(), true));
    }
}

/// What was taken out is put back.
#[test]
fn something_may_not_be_moved() {
    for scene in [everything(), random(5), random(6)] {
        fail_everywhere(&scene, (Errno::PERM, OpSet::from(Op::Rename), false));
    }
}

#[test]
fn the_medium_fails() {
    for scene in [everything(), random(6), random(7)] {
        fail_everywhere(&scene, (Errno::IO, OpSet::ALL, false));
    }
}

/// Nothing can be removed again then, but nothing is changed.
#[test]
fn the_medium_fails_for_good() {
    let scene = everything();
    for nth in 1..MANY {
        let context = format!("from call {nth} on");
        let faults = Arc::new(Faults::new(scene.target()));
        let control = faults.control();
        control.arm(Fault::fail(Errno::IO).nth(nth).every_time());
        let target = FilesystemRef::new::<Faults<FilesystemRef>>(faults);
        let done = scene.apply(&target);
        let fired = control.fired() > 0;
        control.disarm();
        scene.check_moment(&target, &context);
        if let Err(ApplyError::Filesystem { .. }) = &done {
            let mut now = tree(&target);
            now.retain(|path, _| !path.starts_with(STAGING));
            assert_eq!(now, scene.before, "{context}");
        }
        scene.complete(&target, !nth.is_multiple_of(2), &context);
        if !fired {
            return done.map(drop).unwrap();
        }
    }
    panic!("more than {MANY} calls");
}

#[test]
fn few_bytes_are_written_at_once() {
    for scene in [everything(), random(8)] {
        let faults = Arc::new(Faults::new(scene.target()));
        let control = faults.control();
        control.arm(Fault::short(3).every_time());
        let target = FilesystemRef::new::<Faults<FilesystemRef>>(faults);
        scene.apply(&target).unwrap();
        assert!(control.fired() > 100);
        control.disarm();
        scene.assert_done(&target, "three bytes at once");
    }
}

/// As much as there is, and some more; nothing is there for long that isn't counted.
#[test]
fn a_quota_is_used_up() {
    for scene in [everything(), random(9), random(10)] {
        for (bytes, exceeded) in [(true, Exceeded::DiskFull), (false, Exceeded::QuotaUsed)] {
            let errno = if bytes { Errno::NOSPC } else { Errno::DQUOT };
            let none = Quota::<FilesystemRef>::builder().build(scene.target()).unwrap().usage();
            let mut refused = 0;
            let fits = (0..400u64).any(|more| {
                let context = format!("{more} more, bytes: {bytes}");
                let quota = Quota::<FilesystemRef>::builder().exceeded(exceeded);
                let quota = if bytes {
                    quota.max_bytes(none.bytes + 1 + more * 1024)
                } else {
                    quota.max_inodes(none.inodes + more)
                };
                let quota = Arc::new(quota.build(scene.target()).unwrap());
                let target = FilesystemRef::new::<Quota<FilesystemRef>>(Arc::clone(&quota));
                scene.told();
                let done = scene.apply(&target);
                let is_done = done.is_ok();
                check(&scene, (&target, done), errno, &context);
                if is_done {
                    return true;
                }
                refused += 1;
                drop(target);
                // There is room again.
                let left = Arc::into_inner(quota).map(|quota| quota.inner().clone()).unwrap();
                scene.complete(&left, more.is_multiple_of(2), &context);
                false
            });
            assert!(fits && refused > 1, "{refused} refused");
        }
    }
}
