//! A read-only filesystem by itself: nothing is changed by whichever call, access times neither.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod support;

use core::ops::ControlFlow;
use std::sync::Arc;

use support::On;
use vnode_adapt::ReadOnly;
use vnode_core::fs::{Access, Allocate, Caps, Filesystem, NewKind, Rename, SetXattr};
use vnode_core::{Errno, FilesystemRef, MountFlags, Namespace, SetAttr, SetTime};
use vnode_memory::Memory;

#[test]
fn every_change_is_refused_and_reading_leaves_access_times() {
    let memory = Arc::new(Memory::new());
    let inside = On::<Memory>::new(memory.clone());
    let file = inside.open_new("f").unwrap();
    inside.write(&file, 0, b"text").unwrap();
    let d = inside.make("d", NewKind::Directory).unwrap();
    let l = inside.make("l", NewKind::Symlink(b"f")).unwrap();
    let f = inside.lookup("f").unwrap();
    let attrs =
        || [&f, &d, &l, &inside.fs.root()].map(|inode| inside.fs.getattr(&inside.cx(), inode).unwrap());
    let before = attrs();

    let fs = ReadOnly::new(FilesystemRef::new::<Memory>(memory));
    let on = On::<ReadOnly<FilesystemRef>>::new(fs);
    let (f, d, l) = (on.lookup("f").unwrap(), on.lookup("d").unwrap(), on.lookup("l").unwrap());
    let rofs = Some(Errno::ROFS);
    assert_eq!(on.make("new", NewKind::Regular).err(), rofs);
    assert_eq!(on.open_new("new").err(), rofs);
    assert_eq!(on.link("f", "new").err(), rofs);
    assert_eq!(on.unlink("f").err(), rofs);
    assert_eq!(on.rmdir("d").err(), rofs);
    assert_eq!(on.rename("f", "d", Rename::Exchange).err(), rofs);
    assert_eq!(on.truncate("f", 0).err(), rofs);
    let set = SetAttr { atime: Some(SetTime::Now), ..SetAttr::default() };
    assert_eq!(on.fs.setattr(&on.cx(), &d, &set).err(), rofs);
    assert_eq!(on.fs.set_xattr(&on.cx(), &f, b"user.a", b"v", SetXattr::Any).err(), rofs);
    assert_eq!(on.fs.remove_xattr(&on.cx(), &f, b"user.a").err(), rofs);
    assert_eq!(on.fs.open(&on.cx(), &f, Access::WRITE).err(), rofs);
    let file = on.fs.open(&on.cx(), &f, Access::READ).unwrap();
    assert_eq!(on.write(&file, 0, b"x").err(), rofs);
    assert_eq!(on.append(&file, b"x").err(), rofs);
    assert_eq!(on.allocate(&file, Allocate::PunchHole, 0, 1).err(), rofs);
    assert_eq!(file.set_len(&on.cx(), 0).err(), rofs);

    assert_eq!(on.read(&file, 0, 9).unwrap(), b"text");
    on.fs.readlink(&on.cx(), &l).unwrap();
    let mut stream = on.fs.open_dir(&on.cx(), &on.fs.root()).unwrap();
    let mut names = 0;
    stream
        .list(&on.cx(), 0, &mut |_| {
            names += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(names, 3);
    file.sync(&on.cx(), false).unwrap();
    assert_eq!(attrs(), before);
    assert_eq!(f.id(), on.lookup("f").unwrap().id());
}

#[test]
fn the_mount_knows_it() {
    let fs = ReadOnly::new(Memory::new());
    assert!(fs.caps().contains(Caps::READ_ONLY | Caps::SYMLINKS));
    let ns = Namespace::new(FilesystemRef::new::<ReadOnly<Memory>>(fs));
    assert_eq!(ns.root().mount().flags(), MountFlags::READ_ONLY);
    assert!(ns.root().keeps_atime());
}
