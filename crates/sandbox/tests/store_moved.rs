//! What a sandbox shows is another directory by now, or a link leads elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use support::host::{list, put};
use support::places::{Places, told, write};
use vnode_sandbox::{ApplyError, Applying, ConflictKind, Lower, Mount, Sandbox, Store, StoreError};

/// A sandbox over `project/sub`, with a file that it adds and one that it changes.
fn over_sub(places: &Places) -> Sandbox {
    fs::create_dir_all(places.host().join("project/sub")).unwrap();
    put(places.host().join("project/sub/file"), "file");
    let lowers = vec![Lower::Directory(places.host().join("project/sub"))];
    let mount = Mount { guest: b"/s".to_vec(), lowers, ..Mount::default() };
    let sandbox = places.store().create("one", vec![mount]).unwrap();
    write(&sandbox, "evil", "guest");
    write(&sandbox, "file", "guest");
    sandbox
}

/// Nothing is done through links, whatever is asked for.
fn is_refused(sandbox: &mut Sandbox, victim: &Path) {
    let before = list(victim);
    let all = |force| Applying { force, ..Applying::default() };
    let part = Applying { paths: Some(&[b"/s/evil".to_vec()]), ..Applying::default() };
    let refused = |error| assert!(matches!(error, StoreError::Replaced { .. }), "{error:?}");
    for applying in [all(false), all(true), part] {
        refused(sandbox.apply(&applying).unwrap_err());
        refused(sandbox.plan(&applying).unwrap_err());
    }
    refused(sandbox.views().unwrap_err());
    assert_eq!(list(victim), before);
}

#[test]
fn nothing_is_brought_to_where_a_link_leads() {
    let places = Places::new();
    let mut sandbox = over_sub(&places);
    let at = |name: &str| places.host().join(name);
    fs::create_dir_all(at("victim/sub")).unwrap();
    put(at("victim/passwd"), "root");
    // The directory itself, and one that it is in.
    fs::rename(at("project/sub"), at("aside")).unwrap();
    for target in [at("victim"), "../victim".into()] {
        symlink(target, at("project/sub")).unwrap();
        is_refused(&mut sandbox, &at("victim"));
        fs::remove_file(at("project/sub")).unwrap();
    }
    fs::rename(at("aside"), at("project/sub")).unwrap();
    fs::rename(at("project"), at("aside")).unwrap();
    symlink("victim", at("project")).unwrap();
    is_refused(&mut sandbox, &at("victim"));
    // It is what it was again.
    fs::remove_file(at("project")).unwrap();
    fs::rename(at("aside"), at("project")).unwrap();
    sandbox.apply(&Applying::default()).unwrap();
    assert_eq!(places.text("project/sub/evil"), "guest");
}

#[test]
fn another_directory_in_its_place_is_a_conflict() {
    let places = Places::new();
    let mut sandbox = over_sub(&places);
    let sub = places.host().join("project/sub");
    fs::rename(&sub, places.host().join("aside")).unwrap();
    fs::create_dir(&sub).unwrap();
    // What there is to be seen is as the path says.
    assert_eq!(told(&sandbox).len(), 2);
    for paths in [None, Some(&[b"/s/evil".to_vec()][..])] {
        match sandbox.apply(&Applying { paths, ..Applying::default() }) {
            Err(StoreError::Conflicts(all)) => {
                assert_eq!(all[0].what[0].kind, ConflictKind::OtherDirectory);
                assert_eq!(all[0].what[0].path, b"");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(list(&sub).len(), 0);
    // Forks are of the one that it was of.
    let mut fork = sandbox.fork("two").unwrap();
    assert!(matches!(fork.apply(&Applying::default()), Err(StoreError::Conflicts(_))));
    sandbox.apply(&Applying { force: true, ..Applying::default() }).unwrap();
    assert_eq!(places.text("project/sub/evil"), "guest");
    // From then on it is of this one.
    write(&sandbox, "more", "guest");
    sandbox.apply(&Applying::default()).unwrap();
    assert_eq!(places.text("project/sub/more"), "guest");
}

#[test]
fn links_that_were_there_before_are_no_matter() {
    let places = Places::new();
    fs::create_dir(places.host().join("real")).unwrap();
    symlink("real", places.host().join("link")).unwrap();
    let lowers = vec![Lower::Directory(places.host().join("link"))];
    let mount = Mount { guest: b"/".to_vec(), lowers, ..Mount::default() };
    let mut sandbox = Store::at(places.store().directory()).create("one", vec![mount]).unwrap();
    write(&sandbox, "new", "guest");
    sandbox.apply(&Applying::default()).unwrap();
    assert_eq!(places.text("real/new"), "guest");
    let missing = vec![Lower::Directory(places.host().join("missing"))];
    let mount = Mount { guest: b"/".to_vec(), lowers: missing, ..Mount::default() };
    let mut sandbox = places.store().create("two", vec![mount]).unwrap();
    assert!(matches!(sandbox.views(), Err(StoreError::View { .. })));
    assert!(!matches!(
        sandbox.apply(&Applying::default()),
        Err(StoreError::Apply { error: ApplyError::Owner { .. }, .. })
    ));
}
