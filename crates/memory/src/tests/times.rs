//! Times and modes, as Linux's tmpfs changes them (mounted `relatime`).

use std::sync::Arc;

use vnode_core::fs::{Allocate, NewKind, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{Credentials, Mode, SetAttr, SetTime, Timespec};

use super::Fixture;
use crate::Node;

/// Which of an inode's times `call` changes, all of them to the time of the call.
fn changed<T>(fx: &Fixture, node: &Arc<Node>, call: impl FnOnce() -> T) -> String {
    let before = fx.attr(node);
    let now = fx.tick();
    call();
    let after = fx.attr(node);
    assert_eq!(before.btime, after.btime);
    let times = [
        ('a', before.atime, after.atime),
        ('m', before.mtime, after.mtime),
        ('c', before.ctime, after.ctime),
    ];
    let mut changed = String::new();
    for (name, before, after) in times {
        if before != after {
            assert_eq!(after, now);
            changed.push(name);
        }
    }
    changed
}

#[test]
fn content_changes_its_own_times() {
    let fx = Fixture::default();
    let root = fx.root();
    let file = fx.file(&root, "f");
    let set_size = |size| fx.set(&file, SetAttr { size: Some(size), ..SetAttr::default() }).unwrap();
    assert_eq!(changed(&fx, &file, || fx.write(&file, 0, b"")), "");
    assert_eq!(changed(&fx, &file, || set_size(0)), "", "nothing was there, nothing is");
    assert_eq!(changed(&fx, &file, || fx.truncate(&file, 0)), "mc");
    assert_eq!(changed(&fx, &file, || fx.write(&file, 0, b"abc")), "mc");
    assert_eq!(changed(&fx, &file, || set_size(3)), "mc", "the same size, but there is content");
    assert_eq!(changed(&fx, &file, || set_size(9)), "mc");
    let append = || fx.open(&file).append(&fx.cx(), &mut Source::from_slice(b"x")).unwrap();
    assert_eq!(changed(&fx, &file, append), "mc");
    for how in [Allocate::Extend, Allocate::KeepSize, Allocate::PunchHole, Allocate::ZeroRange] {
        assert_eq!(changed(&fx, &file, || fx.allocate(&file, how, 0, 9)), "mc");
    }
    assert_eq!(changed(&fx, &root, || fx.write(&file, 0, b"abc")), "");
}

#[test]
fn reads_update_the_access_time_if_it_is_not_newer_or_a_day_old() {
    let fx = Fixture::default();
    let root = fx.root();
    let file = fx.file(&root, "f");
    assert_eq!(changed(&fx, &file, || fx.read(&file, 9, 1)), "a", "even at the end");
    assert_eq!(changed(&fx, &file, || fx.read(&file, 0, 1)), "");
    fx.write(&file, 0, b"x").unwrap();
    let quiet = || {
        let mut byte = [0];
        let cx = fx.cx().keeping_atime();
        fx.open(&file).read_at(&cx, 0, &mut Sink::from_slice(&mut byte)).unwrap()
    };
    assert_eq!(changed(&fx, &file, quiet), "");
    assert_eq!(changed(&fx, &file, || fx.read(&file, 0, 1)), "a");
    for _ in 0..24 * 60 * 60 - 1 {
        fx.tick();
    }
    let nearly = fx.attr(&file).atime.sec + 24 * 60 * 60 - 1;
    assert_eq!(fx.tick().sec - 1, nearly);
    // The next second would be a day after: from there on each read counts.
    assert_eq!(changed(&fx, &file, || fx.read(&file, 0, 1)), "a");
    assert_eq!(changed(&fx, &file, || fx.read(&file, 0, 1)), "");
    fx.set(&file, SetAttr { mode: Some(Mode::RUSR), ..SetAttr::default() }).unwrap();
    assert_eq!(changed(&fx, &file, || fx.read(&file, 0, 1)), "a", "the change time counts as well");
}

#[test]
fn links_and_directories_are_read_too() {
    let fx = Fixture::default();
    let root = fx.root();
    let link = fx.try_make(&root, "l", NewKind::Symlink(b"x")).unwrap();
    assert_eq!(changed(&fx, &link, || fx.target(&link)), "a");
    assert_eq!(changed(&fx, &link, || fx.target(&link)), "");
    assert_eq!(changed(&fx, &root, || fx.names(&root)), "a");
    assert_eq!(changed(&fx, &root, || fx.names(&root)), "");
    assert_eq!(changed(&fx, &root, || fx.lookup(&root, "l")), "");
}

#[test]
fn names_change_directories_and_what_they_name() {
    let fx = Fixture::default();
    let root = fx.root();
    let dir = fx.dir(&root, "d");
    assert_eq!(changed(&fx, &root, || fx.file(&root, "f")), "mc");
    let file = fx.lookup(&root, "f").unwrap();
    assert_eq!(fx.attr(&file).btime, Some(fx.attr(&root).mtime));
    assert_eq!(changed(&fx, &file, || fx.link(&dir, "g", &file)), "c");
    assert_eq!(changed(&fx, &dir, || fx.link(&dir, "h", &file)), "mc");
    assert_eq!(changed(&fx, &file, || fx.unlink(&dir, "h")), "c");
    assert_eq!(changed(&fx, &dir, || fx.unlink(&dir, "g")), "mc");
    let move_there = || fx.rename((&root, "f"), (&dir, "f"), Rename::Replace).unwrap();
    assert_eq!(changed(&fx, &root, move_there), "mc");
    let move_back = || fx.rename((&dir, "f"), (&root, "f"), Rename::Replace).unwrap();
    assert_eq!(changed(&fx, &root, move_back), "mc");
    assert_eq!(changed(&fx, &file, move_there), "c");
    assert_eq!(changed(&fx, &dir, move_back), "mc");
    let replaced = fx.file(&dir, "f");
    assert_eq!(changed(&fx, &replaced, move_there), "c");
    let same = || fx.rename((&dir, "f"), (&dir, "f"), Rename::Replace).unwrap();
    assert_eq!(changed(&fx, &dir, same), "");
    assert_eq!(changed(&fx, &dir, || fx.rmdir(&root, "d").unwrap_err()), "");
    fx.unlink(&dir, "f").unwrap();
    assert_eq!(changed(&fx, &dir, || fx.rmdir(&root, "d").unwrap()), "c");
}

#[test]
fn attributes_are_set_all_at_once() {
    let fx = Fixture::default();
    let root = fx.root();
    let file = fx.file(&root, "f");
    let time = Timespec { sec: -5, nsec: 999_999_999 };
    let set = SetAttr {
        mode: Some(Mode::from_raw(0o4711)),
        uid: Some(7),
        gid: Some(8),
        atime: Some(SetTime::To(time)),
        mtime: Some(SetTime::Now),
        size: Some(100),
    };
    let now = fx.tick();
    fx.set(&file, set).unwrap();
    let attr = fx.attr(&file);
    assert_eq!((attr.mode.raw(), attr.uid, attr.gid, attr.size), (0o4711, 7, 8, 100));
    assert_eq!((attr.atime, attr.mtime, attr.ctime), (time, now, now));
    assert_eq!(fx.read(&file, 0, 200), [0; 100]);
    fx.tick();
    let refused = SetAttr { size: Some(u64::MAX), ..set };
    let before = fx.attr(&file);
    assert_eq!(fx.set(&file, refused), Err(vnode_core::Errno::FBIG));
    assert_eq!(fx.attr(&file), before);
    assert_eq!(changed(&fx, &file, || fx.set(&file, SetAttr::default())), "c");
}

#[test]
fn writers_without_privilege_take_privilege_from_files() {
    let mut fx = Fixture::default();
    let root = fx.root();
    let file = fx.file(&root, "f");
    let mode_after = |fx: &Fixture, mode: u32, call: &dyn Fn(&Fixture)| {
        fx.set(&file, SetAttr { mode: Some(Mode::from_raw(mode)), ..SetAttr::default() }).unwrap();
        call(fx);
        fx.attr(&file).mode.raw()
    };
    let write = |fx: &Fixture| assert_eq!(fx.write(&file, 0, b"x"), Ok(1));
    assert_eq!(mode_after(&fx, 0o6777, &write), 0o6777, "CAP_FSETID");
    fx.who = Credentials::user(1000, 1000, &[]);
    assert_eq!(mode_after(&fx, 0o6777, &|fx| assert_eq!(fx.write(&file, 0, b""), Ok(0))), 0o6777);
    assert_eq!(mode_after(&fx, 0o6777, &write), 0o777);
    assert_eq!(mode_after(&fx, 0o6767, &write), 0o767, "not in the file's group");
    assert_eq!(mode_after(&fx, 0o6777, &|fx| fx.truncate(&file, 5).unwrap()), 0o777);
    for how in [Allocate::Extend, Allocate::KeepSize, Allocate::PunchHole] {
        assert_eq!(mode_after(&fx, 0o6777, &|fx| fx.allocate(&file, how, 0, 5).unwrap()), 0o777);
    }
    fx.who = Credentials::user(1000, 1000, &[0]);
    assert_eq!(mode_after(&fx, 0o6767, &write), 0o2767);
    assert_eq!(mode_after(&fx, 0o6777, &write), 0o777);
}
