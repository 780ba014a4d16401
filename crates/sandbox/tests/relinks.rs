//! Files that are just like what was there, and linked otherwise: nothing else tells of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use support::as_root;
use support::guest::Guest;
use support::host::put;
use support::places::told_of;
use tempfile::TempDir;
use vnode_core::fs::{NewKind, Remove, Rename};
use vnode_sandbox::{ApplyOptions, ChangeKind, View};

/// Two files that are alike, a file and a link with two names each.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for file in ["alike", "as", "one"] {
        put(at(file), if file == "one" { "one" } else { "alike" });
    }
    symlink("nowhere", at("link")).unwrap();
    fs::hard_link(at("one"), at("two")).unwrap();
    fs::hard_link(at("link"), at("other")).unwrap();
    place
}

fn ino(place: &TempDir, name: &str) -> u64 {
    fs::symlink_metadata(place.path().join(name)).unwrap().ino()
}

fn apply(view: &View) {
    as_root(|cx| {
        let changes = view.changes(cx).unwrap();
        view.apply(cx, &changes, &ApplyOptions::default()).unwrap()
    });
}

#[test]
fn what_becomes_one_file_is_one_then() {
    let place = place();
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    // As hardlink(1) does it.
    guest.link("alike", "new").unwrap();
    guest.rename("new", "as", Rename::Replace).unwrap();
    assert_eq!(told_of(&view), ["L /as"]);
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    assert_eq!(changes[0].kind, ChangeKind::Relinked);
    let nlink = [&changes[0].old, &changes[0].new].map(|found| found.as_ref().unwrap().attr.nlink);
    assert_eq!(nlink, [1, 2]);
    let differs = as_root(|cx| [changes[0].has_other_content(cx), changes[0].has_other_attributes(cx)]);
    assert_eq!(differs, [Ok(false), Ok(false)]);
    let before = ino(&place, "alike");
    apply(&view);
    assert_eq!((ino(&place, "alike"), ino(&place, "as")), (before, before));
}

#[test]
fn what_is_one_file_no_more_is_two_then() {
    let place = place();
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    // As an editor writes it, with nothing changed.
    guest.write("new", "one").unwrap();
    guest.rename("new", "one", Rename::Replace).unwrap();
    guest.make("new", NewKind::Symlink(b"nowhere")).unwrap();
    guest.rename("new", "link", Rename::Replace).unwrap();
    // Of what has one name nobody can tell.
    guest.write("new", "alike").unwrap();
    guest.rename("new", "as", Rename::Replace).unwrap();
    assert_eq!(told_of(&view), ["L /link", "L /one"]);
    let before = ["one", "two", "link", "other", "as"].map(|name| ino(&place, name));
    apply(&view);
    let after = ["one", "two", "link", "other", "as"].map(|name| ino(&place, name));
    assert_eq!((after[1], after[3], after[4]), (before[1], before[3], before[4]));
    assert!(after[0] != before[0] && after[2] != before[2]);
}

#[test]
fn what_was_linked_and_gets_its_links_again_is_no_change() {
    let place = place();
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.remove("one", Remove::File).unwrap();
    assert_eq!(told_of(&view), ["D /one"]);
    guest.link("two", "one").unwrap();
    assert_eq!(told_of(&view), Vec::<String>::new());
}
