//! Links kept for a filesystem leave no trace in it where nothing is written, and no work directory afterwards.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use support::On;
use support::paths::{FILE, Paths, WORK, memory, over};
use vnode_adapt::{Fault, FaultControl, Faults, Keep, Op, SymlinkEmulation};
use vnode_core::fs::{Filesystem, Remove};
use vnode_core::{Attr, Errno, FileType, FilesystemRef, SetAttr, SetTime, StatFs, Timespec};

/// What a filesystem holds in its root, the root's attributes, and what it counts.
fn picture(fs: &FilesystemRef) -> (BTreeMap<String, FileType>, Attr, StatFs) {
    let raw = On::<FilesystemRef>::new(fs.clone());
    // The listing is that of somebody else, who leaves the access time.
    let attr = fs.getattr(&raw.cx(), &fs.root()).unwrap();
    let names = raw.names("");
    let atime = SetAttr { atime: Some(SetTime::To(attr.atime)), ..SetAttr::default() };
    let who = vnode_core::Credentials::root();
    let clock = Then(attr.ctime);
    fs.setattr(&vnode_core::Cx::new(&who, &clock), &fs.root(), &atime).unwrap();
    (names, attr, fs.statfs(&raw.cx()).unwrap())
}

struct Then(Timespec);

impl vnode_core::Clock for Then {
    fn now(&self) -> Timespec {
        self.0
    }
}

/// A filesystem that has something in it, long ago.
fn filled() -> FilesystemRef {
    let fs = memory();
    let raw = On::<FilesystemRef>::new(fs.clone());
    raw.mkdir("d").unwrap();
    raw.file("d/f").unwrap();
    raw.file("f").unwrap();
    let mtime = Some(SetTime::To(Timespec { sec: 12, nsec: 34 }));
    fs.setattr(&raw.cx(), &fs.root(), &SetAttr { mtime, ..SetAttr::default() }).unwrap();
    fs
}

#[test]
fn nothing_changes_where_nothing_is_written() {
    for keep in [Keep::InMemory, Keep::HiddenFiles] {
        let within = filled();
        let before = picture(&within);
        // Whoever asks has another clock, later than all that was done.
        let asks = On::<FilesystemRef>::new(within.clone());
        (0..100).for_each(|_| assert!(asks.cx().now() > Timespec::EPOCH));
        // It has links, which is found out by making one.
        assert_eq!(SymlinkEmulation::needed(&asks.cx(), &within), Ok(false));
        assert!(SymlinkEmulation::over(&asks.cx(), within.clone(), keep).unwrap().is(&within));
        assert_eq!(picture(&within), before, "{keep:?}: tried");
        // It has none, as Linux's vfat.
        let control = FaultControl::default();
        let linkless = FilesystemRef::new::<Faults<_>>(Faults::controlled_by(within.clone(), &control));
        control.arm(Fault::fail(Errno::PERM).on(Op::Create).every_time());
        let emulated = SymlinkEmulation::over(&asks.cx(), linkless.clone(), keep).unwrap();
        assert!(!emulated.is(&linkless));
        assert_eq!(picture(&within), before, "{keep:?}: opened");
        let user = On::<FilesystemRef>::new(emulated);
        let attr = user.fs.getattr(&user.cx(), &user.fs.root()).unwrap();
        assert_eq!(attr, before.1, "{keep:?}: as it is within");
        assert!(user.at("d/f").is_ok() && user.at("none").is_err() && user.at("d/none").is_err());
        assert_eq!(user.names("d").len(), 1);
        drop(user);
        assert_eq!(picture(&within), before, "{keep:?}: dropped");
        // The same without an attempt.
        let user = over(&within, keep);
        assert!(user.at("d/f").is_ok() && user.at("none").is_err());
        drop(user);
        assert_eq!(picture(&within), before, "{keep:?}: dropped again");
    }
}

#[test]
fn the_work_directory_is_there_while_it_is_needed_and_nobody_sees_it() {
    let fs = filled();
    let before = picture(&fs);
    let raw = On::<FilesystemRef>::new(fs.clone());
    let user = over(&fs, Keep::HiddenFiles);
    user.symlink("x", "d/l").unwrap();
    assert!(raw.names("").contains_key(WORK) && raw.names("d").contains_key(FILE));
    let seen = user.fs.getattr(&user.cx(), &user.fs.root()).unwrap();
    assert_eq!((seen.nlink, seen.mtime, seen.ctime), (before.1.nlink, before.1.mtime, before.1.ctime));
    // Another process removes it in between, and it is made again.
    raw.remove(WORK, Remove::Directory).unwrap();
    user.symlink("x", "l").unwrap();
    assert!(raw.names("").contains_key(WORK));
    let after = user.fs.getattr(&user.cx(), &user.fs.root()).unwrap();
    drop(user);
    assert!(!raw.names("").contains_key(WORK));
    let left = fs.getattr(&raw.cx(), &fs.root()).unwrap();
    assert_eq!((left.nlink, left.mtime, left.ctime), (after.nlink, after.mtime, after.ctime));
    assert_eq!(over(&fs, Keep::HiddenFiles).names("d").len(), 2);
}

#[test]
fn a_link_that_cannot_be_written_leaves_no_work_directory() {
    for op in [Op::Create, Op::CreateOpen, Op::Append, Op::Rename] {
        let within = filled();
        let before = picture(&within);
        let control = FaultControl::default();
        let fs = FilesystemRef::new::<Faults<_>>(Faults::controlled_by(within.clone(), &control));
        let user = over(&fs, Keep::HiddenFiles);
        control.arm(Fault::fail(Errno::NOSPC).on(op));
        assert_eq!(user.symlink("x", "d/l").err(), Some(Errno::NOSPC), "{op:?}");
        assert_eq!(picture(&within), before, "{op:?}");
        user.symlink("x", "d/l").unwrap();
    }
}

#[test]
fn a_work_directory_that_was_left_is_removed() {
    let fs = filled();
    let raw = On::<FilesystemRef>::new(fs.clone());
    raw.mkdir(WORK).unwrap();
    drop(over(&fs, Keep::HiddenFiles));
    assert!(!raw.names("").contains_key(WORK));
    // What may be in work stays.
    raw.mkdir(WORK).unwrap();
    raw.file(&format!("{WORK}/young")).unwrap();
    drop(over(&fs, Keep::HiddenFiles));
    assert_eq!(raw.names(WORK).len(), 1);
}
