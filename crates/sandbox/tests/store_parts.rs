//! Sandboxes of which a part was applied go on with the rest.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use support::places::{Places, run, told, write};
use vnode_core::fs::{NewKind, Rename};
use vnode_sandbox::{Applying, Sandbox};

fn apply(sandbox: &mut Sandbox, path: &str) {
    sandbox.apply(&Applying { paths: Some(&[path.into()]), ..Applying::default() }).unwrap();
}

#[test]
fn a_link_of_which_one_name_was_applied_stays_one() {
    let places = Places::new();
    let at = |name: &str| places.host().join(name);
    symlink("nowhere", at("link")).unwrap();
    fs::hard_link(at("link"), at("other")).unwrap();
    let mut sandbox = places.create("first");
    run(&sandbox, |guest| guest.make("dir", NewKind::Directory)).unwrap();
    sandbox = sandbox.fork("second").unwrap();
    write(&sandbox, "dir/in", "text");
    run(&sandbox, |guest| guest.rename("dir/in", "link", Rename::Exchange)).unwrap();
    sandbox = sandbox.fork("third").unwrap();
    apply(&mut sandbox, "/dir/in");
    run(&sandbox, |guest| guest.rename("other", "link", Rename::Exchange)).unwrap();
    sandbox.apply(&Applying::default()).unwrap();
    let ino = |name: &str| at(name).symlink_metadata().unwrap().ino();
    assert_eq!(ino("link"), ino("dir/in"));
    assert_eq!(places.text("other"), "text");
}

#[test]
fn a_directory_that_was_applied_is_renamed_with_what_is_left_in_it() {
    let places = Places::new();
    let mut sandbox = places.create("one");
    run(&sandbox, |guest| guest.make("dir", NewKind::Directory)).unwrap();
    for name in ["dir/now", "dir/later"] {
        write(&sandbox, name, name);
    }
    apply(&mut sandbox, "/dir/now");
    assert_eq!(told(&sandbox), ["A /dir/later"]);
    run(&sandbox, |guest| guest.rename("dir", "moved", Rename::NoReplace)).unwrap();
    sandbox.apply(&Applying::default()).unwrap();
    assert_eq!(
        (places.text("moved/now"), places.text("moved/later")),
        ("dir/now".into(), "dir/later".into())
    );
    assert!(!places.host().join("dir").exists());
}
