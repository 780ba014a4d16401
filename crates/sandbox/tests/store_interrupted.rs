//! Applies of sandboxes that were interrupted: who is told, and what undoes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use support::host::{list, put};
use support::places::{Places, run, write};
use vnode_core::fs::Remove;
use vnode_sandbox::{ApplyError, Applying, Progress, Sandbox, StoreError};

/// With files in the directory that is shown.
fn places() -> Places {
    let places = Places::new();
    for name in ["a", "b", "c"] {
        put(places.host().join(name), name);
    }
    places
}

/// A sandbox of which an apply ended when so much was taken out.
fn interrupted(places: &Places, name: &str, taken: usize) -> Sandbox {
    let mut sandbox = places.create(name);
    run(&sandbox, |guest| ["a", "b"].map(|name| guest.remove(name, Remove::File).unwrap()));
    write(&sandbox, "c", "guest");
    let out = places.host().join(".vnode-apply/out");
    let stop = |_: Progress| assert!(fs::read_dir(&out).map_or(0, Iterator::count) < taken, "stopped");
    let applying = Applying { progress: Some(&stop), ..Applying::default() };
    let stopped = catch_unwind(AssertUnwindSafe(|| sandbox.apply(&applying)));
    assert!(stopped.is_err());
    sandbox
}

#[test]
fn others_are_told_whose_it_was() {
    let places = places();
    let _interrupted = interrupted(&places, "one", 1);
    let mut other = places.create("other");
    write(&other, "new", "guest");
    match other.apply(&Applying::default()) {
        Err(StoreError::Interrupted { name, directory }) => {
            assert_eq!((name.as_str(), directory), ("one", places.host()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_in_the_way_of_undoing_is_told() {
    let places = places();
    let before = list(&places.host());
    let mut sandbox = interrupted(&places, "one", 1);
    let missing = ["a", "b"].into_iter().find(|name| !places.host().join(name).exists()).unwrap();
    let there = places.host().join(missing);
    put(&there, "a day's work");
    match sandbox.abort() {
        Err(StoreError::Apply { error: ApplyError::InTheWay { path }, .. }) => {
            assert_eq!(path, format!("/{missing}").into_bytes());
        }
        other => panic!("{other:?}"),
    }
    fs::rename(&there, places.host().join("mine")).unwrap();
    assert_eq!(sandbox.abort().unwrap(), 1);
    fs::remove_file(places.host().join("mine")).unwrap();
    assert_eq!(list(&places.host()), before);
    sandbox.apply(&Applying::default()).unwrap();
    assert_eq!((places.text("c").as_str(), there.exists()), ("guest", false));
}

#[test]
fn what_is_deleted_is_undone_as_long_as_it_can_be() {
    let places = places();
    let before = list(&places.host());
    drop(interrupted(&places, "one", 2));
    assert!(matches!(places.store().delete("one"), Err(StoreError::Interrupted { .. })));
    places.store().delete_interrupted("one").unwrap();
    assert_eq!(list(&places.host()), before);
    // Nobody has to do with it any more.
    let mut other = places.create("other");
    write(&other, "c", "the other's");
    assert_eq!(other.apply(&Applying::default()).unwrap()[0].what.warnings, []);
    assert_eq!((places.text("a").as_str(), places.text("c").as_str()), ("a", "the other's"));
}
