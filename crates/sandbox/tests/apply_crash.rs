//! The power goes, or there is no room, at each call of an apply: nothing is half, nothing is lost, and going on comes to the
//! same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use support::as_root;
use support::guest::Guest;
use support::host::Step;
use support::random::Random;
use support::tree::{Tree, copy, paths, tree};
use vnode_adapt::{Crash, Fault, Faults, Op, OpSet};
use vnode_core::fs::{NewKind, Remove, Rename};
use vnode_core::{Errno, FilesystemRef, Result};
use vnode_memory::Memory;
use vnode_sandbox::{ApplyError, ApplyOptions, Change, View, recover_on};

/// Calls that one apply may make.
const MANY: u64 = 5000;
const STAGING: &[u8] = b"/.vnode-apply";

struct History {
    bottom: FilesystemRef,
    view: View,
    changes: Vec<Change>,
    before: Tree,
    after: Tree,
}

impl History {
    fn of(bottom: FilesystemRef, change: impl FnOnce(&Guest<'_>)) -> Self {
        let view = View::of_filesystem(bottom.clone()).open().unwrap();
        change(&Guest(&view.filesystem));
        let changes = as_root(|cx| view.changes(cx)).unwrap();
        let (before, after) = (tree(&bottom), tree(&view.filesystem));
        History { bottom, view, changes, before, after }
    }

    fn apply(&self, target: &FilesystemRef) -> std::result::Result<(), ApplyError> {
        as_root(|cx| self.view.apply_to(cx, target, &self.changes, &ApplyOptions::default())).map(drop)
    }

    /// What was left is completed, or was not begun and is done then.
    fn complete(&self, left: &FilesystemRef, context: &str) {
        let recovered = as_root(|cx| recover_on(cx, left, &ApplyOptions::default()))
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        if recovered.is_none() {
            let now = tree(left);
            if now == self.after {
                return;
            }
            assert_eq!(now, self.before, "{context}");
            self.apply(left).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        assert_eq!(tree(left), self.after, "{context}");
    }

    /// Nothing is half, and nothing is lost.
    fn check_left(&self, left: &FilesystemRef, context: &str) {
        let contents =
            |tree: &Tree| tree.values().map(|entry| entry.content.clone()).collect::<BTreeSet<_>>();
        let (before, after) = (contents(&self.before), contents(&self.after));
        let now = tree(left);
        for (path, entry) in now.iter().filter(|(path, _)| !path.starts_with(STAGING)) {
            let known = before.contains(&entry.content) || after.contains(&entry.content);
            assert!(known, "{context}: {} is {entry:?}", path.escape_ascii());
        }
        let now = contents(&now);
        for kept in before.intersection(&after) {
            assert!(now.contains(kept), "{context}: {kept} is lost");
        }
    }
}

fn base() -> FilesystemRef {
    let fs = FilesystemRef::new::<Memory>(Memory::new());
    let guest = Guest(&fs);
    let make = || -> Result<()> {
        for dir in ["d", "d/sub", "d/sub/deep", "e", "g", "g/h", "gone", "gone/sub", "empty"] {
            guest.make(dir, NewKind::Directory)?;
        }
        for file in
            ["a", "b", "d/f", "d/g", "d/sub/h", "d/sub/deep/i", "e/j", "g/h/k", "gone/l", "gone/sub/m"]
        {
            guest.write(file, format!("old {file}"))?;
        }
        guest.write("linked", "old linked")?;
        guest.link("linked", "e/linked")?;
        guest.link("linked", "d/linked")?;
        guest.make("link", NewKind::Symlink(b"/etc/passwd"))
    };
    make().unwrap();
    fs
}

/// A little of everything.
fn everything() -> History {
    History::of(base(), |guest| {
        let change = || -> Result<()> {
            guest.rename("d", "e", Rename::Exchange)?;
            guest.make("new", NewKind::Directory)?;
            guest.make("new/in", NewKind::Directory)?;
            guest.write("new/in/file", "new file")?;
            guest.rename("e/sub/deep", "new/in/deep", Rename::Replace)?;
            guest.write("new/in/deep/i", "other i")?;
            guest.rename("b", "new/b", Rename::Replace)?;
            guest.write("new/b", "other b")?;
            guest.write("a", "other a")?;
            guest.link("a", "new/a")?;
            guest.link("new/in/file", "e/file")?;
            guest.write("linked", "other linked")?;
            guest.remove_all("gone")?;
            guest.write("gone", "a file now")?;
            guest.remove("link", Remove::File)?;
            guest.make("link", NewKind::Directory)?;
            guest.make("link/there", NewKind::Symlink(b"../../etc"))?;
            guest.rename("g/h", "h", Rename::Replace)?;
            guest.rename("g", "h/g", Rename::Replace)?;
            guest.chmod("h", 0o700)?;
            guest.chmod("e/f", 0o600)?;
            guest.set_xattr("e/g", b"user.told", b"something")?;
            guest.remove("empty", Remove::Directory)?;
            guest.make("empty", NewKind::Fifo)?;
            guest.write_at("sparse", 100_000, "end")
        };
        change().unwrap();
    })
}

/// A random history.
fn random(seed: u64) -> History {
    let mut random = Random::new(seed);
    let bottom = base();
    let steps = |random: &mut Random, guest: &Guest<'_>, first: usize, count: usize| {
        for number in first..first + count {
            let step = Step::random(random, &paths(guest.0), number);
            step.by_guest(guest);
        }
    };
    steps(&mut random, &Guest(&bottom), 1, 10);
    History::of(bottom, |guest| steps(&mut random, guest, 1000, 15))
}

/// Takes the power at the `nth` call of the apply; tells whether it was there to the end.
fn crash_at(history: &History, nth: u64, again: u64) -> bool {
    let context = format!("call {nth}, then {again}");
    let memory = copy(&history.bottom);
    let crash = Arc::new(as_root(|cx| Crash::new(cx, memory)).unwrap());
    crash.control().crash_at(OpSet::ALL, nth);
    let done = history.apply(&FilesystemRef::new::<Crash<FilesystemRef>>(crash.clone()));
    let survived = !crash.control().crashed();
    assert!(done.is_ok() || !survived, "{context}: {done:?}");
    let left = FilesystemRef::new::<Memory>(Memory::new());
    as_root(|cx| crash.recovered().write_into(cx, &left)).unwrap();
    history.check_left(&left, &context);
    if done.is_ok() {
        assert_eq!(tree(&left), history.after, "{context}");
        return survived;
    }
    if again > 0 {
        // It goes once more while it is completed.
        let crash = Arc::new(as_root(|cx| Crash::new(cx, left)).unwrap());
        crash.control().crash_at(OpSet::ALL, again);
        let through = FilesystemRef::new::<Crash<FilesystemRef>>(crash.clone());
        let _ = as_root(|cx| recover_on(cx, &through, &ApplyOptions::default()));
        let left = FilesystemRef::new::<Memory>(Memory::new());
        as_root(|cx| crash.recovered().write_into(cx, &left)).unwrap();
        history.check_left(&left, &context);
        history.complete(&left, &context);
    } else {
        history.complete(&left, &context);
    }
    false
}

#[test]
fn the_power_goes_at_each_call() {
    let history = everything();
    let last = (1..MANY).find(|&nth| crash_at(&history, nth, 0));
    let last = last.unwrap_or_else(|| panic!("more than {MANY} calls"));
    assert!(last > 300, "{last} calls");
    let mut random = Random::new(last);
    for _ in 0..150 {
        let (nth, again) = (random.below(last as usize) as u64 + 1, random.below(last as usize) as u64 + 1);
        crash_at(&history, nth, again);
    }
}

#[test]
fn the_power_goes_in_random_histories() {
    for seed in 1..150 {
        let history = random(seed);
        let mut nth = seed % 5 + 1;
        while !crash_at(&history, nth, 0) {
            nth += 5;
        }
    }
}

#[test]
fn there_is_no_room_at_each_call() {
    let takes_room =
        OpSet::from(Op::Create) | Op::CreateOpen | Op::Write | Op::Link | Op::Rename | Op::SetXattr;
    for history in [everything(), random(3), random(4)] {
        for every_time in [false, true] {
            let mut unfinished = 0;
            let all = (1..MANY).find(|&nth| {
                let context = format!("call {nth}, every time: {every_time}");
                let faults = Arc::new(Faults::new(copy(&history.bottom)));
                let fault = Fault::fail(Errno::NOSPC).on(takes_room).nth(nth);
                let control = faults.control();
                control.arm(if every_time { fault.every_time() } else { fault });
                let target = FilesystemRef::new::<Faults<FilesystemRef>>(faults);
                let done = history.apply(&target);
                control.disarm();
                history.check_left(&target, &context);
                match done {
                    Ok(()) => {
                        assert_eq!(tree(&target), history.after, "{context}");
                        return true;
                    }
                    Err(ApplyError::Filesystem { errno: Errno::NOSPC, .. }) => {
                        let mut now = tree(&target);
                        if every_time {
                            now.retain(|path, _| !path.starts_with(STAGING));
                        }
                        assert_eq!(now, history.before, "{context}");
                    }
                    Err(ApplyError::Unfinished { errno: Errno::NOSPC, .. }) => unfinished += 1,
                    Err(error) => panic!("{context}: {error}"),
                }
                history.complete(&target, &context);
                false
            });
            assert!(all.is_some() && unfinished > 0, "{all:?}, {unfinished} unfinished");
        }
    }
}
