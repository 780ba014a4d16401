//! Sandboxes that are forked: what both have, and how often that may be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::places::{Places, read, run, told, write};
use vnode_core::fs::{Remove, Rename};
use vnode_sandbox::{Applying, StoreError};

/// A directory to show with `file`, `dir/below` and a file of two names.
fn places() -> Places {
    let places = Places::new();
    let at = |name: &str| places.host().join(name);
    fs::create_dir(at("dir")).unwrap();
    for name in ["file", "dir/below", "one"] {
        fs::write(at(name), name).unwrap();
    }
    fs::hard_link(at("one"), at("two")).unwrap();
    places
}

#[test]
fn a_fork_has_what_was_changed_and_goes_its_own_way() {
    let places = places();
    let mut one = places.create("one");
    write(&one, "file", "changed");
    write(&one, "one", "of both names");
    run(&one, |guest| guest.rename("dir", "moved", Rename::NoReplace)).unwrap();
    let two = one.fork("two").unwrap();
    for sandbox in [&one, &two] {
        assert_eq!(told(sandbox), ["M /file", "R /moved", "M /one"]);
        assert_eq!(read(sandbox, "two").as_deref(), Some("of both names"));
        assert_eq!(read(sandbox, "moved/below").as_deref(), Some("dir/below"));
    }
    write(&one, "file", "by one");
    write(&two, "moved/below", "by two");
    run(&two, |guest| guest.remove("file", Remove::File)).unwrap();
    assert_eq!(read(&one, "file").as_deref(), Some("by one"));
    assert_eq!(read(&one, "moved/below").as_deref(), Some("dir/below"));
    assert_eq!((read(&two, "file"), read(&two, "moved/below").as_deref()), (None, Some("by two")));
    // Both are applied, one after the other, where they don't meet.
    drop(one);
    places.store().delete("one").unwrap();
    let mut two = two;
    two.apply(&Applying::default()).unwrap();
    assert!(!places.host().join("file").exists());
    assert_eq!(places.text("moved/below"), "by two");
    assert_eq!(places.text("two"), "of both names");
    assert_eq!(told(&two), [""; 0]);
    assert_eq!(places.frozen("two"), 0);
}

#[test]
fn a_thousand_forks_share_one_layer() {
    let places = places();
    let mut task = places.create("task");
    for n in 0..100 {
        write(&task, &format!("file{n}"), "changed");
    }
    let start = Instant::now();
    for n in 0..1000 {
        let fork = task.fork(&format!("fork{n}")).unwrap();
        // They are not all opened: a fork is a record.
        if n % 100 == 0 {
            assert_eq!(read(&fork, "file7").as_deref(), Some("changed"));
        }
    }
    // A bound against copying, not a measure.
    assert!(start.elapsed() < Duration::from_secs(300), "{:?}", start.elapsed());
    assert_eq!((places.frozen("task"), places.frozen("fork999")), (1, 1));
    write(&places.store().open("fork500").unwrap(), "file7", "by one of them");
    assert_eq!(read(&task, "file7").as_deref(), Some("changed"));
    assert_eq!(places.store().names().unwrap().len(), 1001);
}

#[test]
fn chains_of_forks_are_bounded() {
    let places = places();
    let mut last = places.create("fork0");
    for n in 1..40 {
        write(&last, &format!("file{n}"), &format!("by {n}"));
        write(&last, "file", &format!("at last by {n}"));
        last = last.fork(&format!("fork{n}")).unwrap();
        assert!(places.frozen(&format!("fork{n}")) <= 17, "{}", places.frozen(&format!("fork{n}")));
    }
    assert_eq!(read(&last, "file").as_deref(), Some("at last by 39"));
    for n in 1..40 {
        assert_eq!(read(&last, &format!("file{n}")), Some(format!("by {n}")));
    }
    assert_eq!(told(&last).len(), 40);
    // Those of before have what they had.
    let tenth = places.store().open("fork10").unwrap();
    assert_eq!(read(&tenth, "file").as_deref(), Some("at last by 11"));
    assert_eq!(told(&tenth).len(), 12);
    drop(tenth);
    // What the host changed before they were put together is found still.
    fs::write(places.host().join("file"), "the host's").unwrap();
    let refused = last.apply(&Applying::default());
    assert!(matches!(&refused, Err(StoreError::Conflicts(all)) if all.len() == 1), "{refused:?}");
    last.apply(&Applying { force: true, ..Applying::default() }).unwrap();
    assert_eq!(places.text("file"), "at last by 39");
}

#[test]
fn forks_without_a_name_are_dropped_at_once() {
    const FORKS: usize = 300;
    let places = places();
    let mut task = places.create("task");
    write(&task, "file", "changed");
    let mut forks: Vec<_> = (0..FORKS).map(|_| task.fork_unnamed().unwrap()).collect();
    write(&forks[7], "file", "by one of them");
    write(&forks[8], "file", "by another one");
    let mut fork_of_fork = forks[8].fork_unnamed().unwrap();
    assert_eq!(places.names("sandboxes").len(), FORKS + 2);
    assert_eq!(places.names("uppers").len(), 3);
    let start = Instant::now();
    drop(forks);
    // A bound against what grows with the number of the others, and waits for them.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(places.names("sandboxes").len(), 2);
    // What is shared stays as long as one has it.
    assert_eq!(places.names("uppers").len(), 2);
    assert_eq!(read(&fork_of_fork, "file").as_deref(), Some("by another one"));
    fork_of_fork.publish("one").unwrap();
    drop(fork_of_fork);
    places.store().delete("one").unwrap();
    assert_eq!((places.names("sandboxes"), places.names("uppers").len()), (vec!["task".to_owned()], 1));
    assert_eq!(read(&task, "file").as_deref(), Some("changed"));
}
