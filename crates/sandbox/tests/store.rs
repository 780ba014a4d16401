//! Sandboxes that are kept: what they have, who has them, and what is left of them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::guest::Guest;
use support::places::{Places, told, write};
use vnode_sandbox::{Applying, Lower, Mount, Sandbox, StoreError};

/// With `file` in the directory that is shown.
fn places() -> Places {
    let places = Places::new();
    fs::write(places.host().join("file"), "the host's").unwrap();
    places
}

#[test]
fn later_runs_go_on_with_what_earlier_ones_left() {
    let places = places();
    write(&places.create("one"), "file", "changed");
    write(&places.store().open("one").unwrap(), "new", "made");
    assert_eq!(told(&places.store().open("one").unwrap()), ["M /file", "A /new"]);
    assert_eq!(places.text("file"), "the host's");
    assert_eq!(fs::read_dir(places.host()).unwrap().count(), 1);
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    let places = places();
    write(&places.create("one"), "new", "made");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let store = places.store();
    assert_eq!(mode(store.directory()), 0o700);
    for of in ["sandboxes", "uppers"] {
        assert_eq!(mode(&store.directory().join(of)), 0o700);
        for name in places.names(of) {
            assert_eq!(mode(&store.directory().join(of).join(name)), 0o700);
        }
    }
}

#[test]
fn one_has_a_sandbox_at_a_time() {
    let places = places();
    let sandbox = places.create("one");
    let refused = |result: Result<Sandbox, StoreError>| match result {
        Err(StoreError::InUse { name, process }) => (name, process),
        other => panic!("{other:?}"),
    };
    let mine = Some(std::process::id());
    assert_eq!(refused(places.store().open("one")), ("one".to_owned(), mine));
    assert!(matches!(places.store().rename("one", "two"), Err(StoreError::InUse { .. })));
    assert!(matches!(places.store().delete("one"), Err(StoreError::InUse { .. })));
    // Who only looks needs no leave.
    assert_eq!(places.store().look("one").unwrap().process, mine);
    drop(sandbox);
    assert_eq!(places.store().look("one").unwrap().process, None);
    drop(places.store().open("one").unwrap());
}

#[test]
fn what_is_open_is_neither_dropped_nor_frozen() {
    let places = places();
    let mut sandbox = places.create("one");
    let views = sandbox.views().unwrap();
    Guest(&views[0].view.filesystem).write("new", "made").unwrap();
    assert!(matches!(sandbox.discard(), Err(StoreError::InUse { .. })));
    assert!(matches!(sandbox.fork("two"), Err(StoreError::InUse { .. })));
    assert!(!places.store().has("two"));
    drop(views);
    assert_eq!(told(&sandbox), ["A /new"]);
    sandbox.discard().unwrap();
    assert_eq!(told(&sandbox), [""; 0]);
}

#[test]
fn names_are_checked() {
    let places = places();
    let long = "x".repeat(65);
    for bad in ["", ".", "..", ".hidden", "-option", "a/b", "a b", "\u{fc}", "a\n", &long] {
        let refused = places.store().create(bad, vec![places.mount()]);
        assert!(matches!(refused, Err(StoreError::Name { .. })), "{bad:?}: {refused:?}");
        assert!(matches!(places.store().open(bad), Err(StoreError::Name { .. })), "{bad:?}");
    }
    for good in ["a", "A-1_b.c", "0", &long[..64]] {
        drop(places.create(good));
        let again = places.store().create(good, vec![places.mount()]);
        assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
    }
    match places.store().open("other") {
        Err(StoreError::Missing { others_there, .. }) => assert_eq!(others_there.len(), 4),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sandbox_shows_something_and_each_thing_at_its_place() {
    let places = places();
    let create = |mounts| places.store().create("one", mounts);
    assert!(matches!(create(Vec::new()), Err(StoreError::Empty { .. })));
    let nothing = Mount { guest: b"/".to_vec(), ..Mount::default() };
    assert!(matches!(create(vec![nothing]), Err(StoreError::Empty { .. })));
    assert!(matches!(create(vec![places.mount(), places.mount()]), Err(StoreError::Twice { .. })));
    assert_eq!(places.store().names().unwrap(), [""; 0]);
    let mut sandbox = places.create("one");
    assert!(matches!(sandbox.add(places.mount()), Err(StoreError::Twice { .. })));
    sandbox.add(Mount { guest: b"/more".to_vec(), ..places.mount() }).unwrap();
    assert_eq!(sandbox.views().unwrap().len(), 2);
}

#[test]
fn paths_of_mounts_are_absolute() {
    let places = places();
    let create = |mount| places.store().create("one", vec![mount]).map(drop);
    for guest in ["", "p", "/p/", "/p/../x", "//"] {
        let refused = create(Mount { guest: guest.into(), ..places.mount() });
        assert!(matches!(refused, Err(StoreError::Path { .. })), "{guest}");
    }
    let lowers = vec![Lower::Directory("here".into())];
    assert!(matches!(create(Mount { lowers, ..places.mount() }), Err(StoreError::Relative { .. })));
    assert_eq!(places.store().names().unwrap(), [""; 0]);
}

#[test]
fn of_no_path_nothing_is_applied_or_discarded() {
    let places = places();
    let mut sandbox = places.create("one");
    write(&sandbox, "new", "made");
    assert!(sandbox.apply(&Applying { paths: Some(&[]), ..Applying::default() }).unwrap().is_empty());
    sandbox.discard_some(&[]).unwrap();
    assert!(sandbox.plan(&Applying { paths: Some(&[]), ..Applying::default() }).unwrap().is_empty());
    for bad in ["", "new", "/./new", "//new", "/new/"] {
        let applying = Applying { paths: Some(&[bad.into()]), ..Applying::default() };
        assert!(matches!(sandbox.apply(&applying), Err(StoreError::Path { .. })), "{bad}");
        assert!(matches!(sandbox.discard_some(&[bad.into()]), Err(StoreError::Path { .. })), "{bad}");
    }
    assert_eq!(told(&sandbox), ["A /new"]);
    assert!(!places.host().join("new").exists());
}

#[test]
fn nothing_is_left_of_what_got_no_name() {
    let places = places();
    let sandbox = places.store().prepare(vec![places.mount()]).unwrap();
    write(&sandbox, "new", "made");
    assert_eq!((places.names("sandboxes").len(), places.names("uppers").len()), (1, 1));
    assert_eq!(places.store().names().unwrap(), [""; 0]);
    drop(sandbox);
    assert_eq!((places.names("sandboxes").len(), places.names("uppers").len()), (0, 0));
    // With a name it stays.
    let mut sandbox = places.store().prepare(vec![places.mount()]).unwrap();
    write(&sandbox, "new", "made");
    sandbox.publish("one").unwrap();
    drop(sandbox);
    assert_eq!(told(&places.store().open("one").unwrap()), ["A /new"]);
}

#[test]
fn deleted_and_discarded_changes_are_gone_from_the_disk() {
    let places = places();
    for name in ["one", "two"] {
        write(&places.create(name), "new", "made");
    }
    assert_eq!(places.names("uppers").len(), 2);
    places.store().delete("one").unwrap();
    assert_eq!(places.store().names().unwrap(), ["two"]);
    assert_eq!((places.names("sandboxes").len(), places.names("uppers").len()), (1, 1));
    let mut two = places.store().open("two").unwrap();
    two.discard().unwrap();
    assert_eq!(places.names("uppers").len(), 0);
    write(&two, "other", "made");
    assert_eq!(told(&two), ["A /other"]);
}

#[test]
fn what_an_owner_may_not_look_into_is_removed() {
    let places = places();
    write(&places.create("one"), "new", "made");
    let upper = places.store().directory().join("uppers").join(&places.names("uppers")[0]);
    let mut deep = upper.join("upper");
    for _ in 0..300 {
        deep.push("deeper");
        fs::create_dir(&deep).unwrap();
    }
    fs::set_permissions(upper.join("upper/deeper"), PermissionsExt::from_mode(0o0)).unwrap();
    places.store().delete("one").unwrap();
    assert_eq!(places.names("uppers").len(), 0);
}

#[test]
fn a_sandbox_gets_another_name() {
    let places = places();
    write(&places.create("one"), "new", "made");
    drop(places.create("two"));
    assert!(matches!(places.store().rename("one", "two"), Err(StoreError::Exists { .. })));
    assert!(matches!(places.store().rename("one", "a/b"), Err(StoreError::Name { .. })));
    places.store().rename("one", "three").unwrap();
    assert_eq!(places.store().names().unwrap(), ["three", "two"]);
    assert_eq!(told(&places.store().open("three").unwrap()), ["A /new"]);
}

#[test]
fn changes_of_a_sandbox_that_cant_be_read_stay() {
    let places = places();
    for name in ["one", "two"] {
        write(&places.create(name), "new", "made");
    }
    let record = places.store().directory().join("sandboxes/one/sandbox.json");
    let text = fs::read_to_string(&record).unwrap();
    for (bad, is_version) in [
        ("{", false),
        ("{\"version\": 2}", true),
        (&*text.replace("\"upper\": \"", "\"upper\": \"../"), false),
        ("", false),
    ] {
        fs::write(&record, bad).unwrap();
        match places.store().open("one") {
            Err(StoreError::Version { version: 2, .. }) if is_version => {}
            Err(StoreError::Damaged { .. }) if !is_version => {}
            other => panic!("{bad}: {other:?}"),
        }
        places.store().sweep().unwrap();
        assert_eq!(places.names("uppers").len(), 2, "{bad}");
    }
    fs::write(&record, text).unwrap();
    assert_eq!(told(&places.store().open("one").unwrap()), ["A /new"]);
    // A damaged one can be deleted, and what it had goes with the next sweep.
    fs::write(&record, "{").unwrap();
    places.store().delete("one").unwrap();
    assert_eq!((places.names("sandboxes").len(), places.names("uppers").len()), (1, 1));
}

#[test]
fn what_interrupted_ones_left_is_swept() {
    let places = places();
    write(&places.create("one"), "new", "made");
    let store = places.store();
    let at = |name: &str| store.directory().join(name);
    for name in ["sandboxes/.new-1", "sandboxes/.dead-2", "uppers/0123456789abcdef0123456789abcdef"] {
        fs::create_dir_all(at(name).join("upper/dir")).unwrap();
    }
    // What is nobody's business stays.
    fs::create_dir_all(at("uppers/somebody")).unwrap();
    let held = store.prepare(vec![places.mount()]).unwrap();
    let swept = store.sweep().unwrap();
    assert_eq!(swept.uppers, 1);
    assert_eq!(places.names("sandboxes").len(), 2);
    assert_eq!(places.names("uppers").len(), 2);
    drop(held);
    assert_eq!(places.names("sandboxes"), ["one"]);
    assert_eq!(told(&store.open("one").unwrap()), ["A /new"]);
}

#[test]
fn notes_and_times_are_kept() {
    let places = places();
    let mut sandbox = places.create("one");
    sandbox.set_note(serde_json::json!({"why": "\u{fc}"})).unwrap();
    sandbox.note_use().unwrap();
    drop(sandbox);
    let kept = places.store().look("one").unwrap();
    assert_eq!(kept.note["why"], "\u{fc}");
    assert_eq!(kept.mounts, [places.mount()]);
    assert!(kept.created <= kept.used && kept.created.as_secs() > 1_700_000_000);
    write(&places.store().open("one").unwrap(), "new", &"x".repeat(1 << 20));
    assert!(places.store().look("one").unwrap().storage.0 >= 1 << 20);
}
