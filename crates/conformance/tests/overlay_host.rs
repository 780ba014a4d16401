//! Overlays of directories of the host: lowers that span devices.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use vnode_conformance::call::list;
use vnode_conformance::kernel::overlayfs::Mounts;
use vnode_conformance::layers::{self, Layers, Process};
use vnode_conformance::subject::{At, Follow, OpenFlags, Subject};
use vnode_overlay::Marks;

fn ino(process: &mut Process, path: &str) -> u64 {
    process.subject.fstatat(At::cwd(path.as_bytes()), Follow::No).expect("attributes").ino
}

/// A lower with two filesystems mounted in it that have the same numbers.
fn over_two_devices(mounts: &Mounts) {
    let layers = Layers::new(Path::new("/dev/shm")).expect("directories");
    for name in ["m", "n"] {
        let point = layers.lower().join(name);
        std::fs::create_dir(&point).expect("a directory");
        mounts.tmpfs(&point).expect("a tmpfs");
        std::fs::create_dir(point.join("d")).expect("a directory");
        std::fs::write(point.join("x"), name).expect("a file");
        std::fs::hard_link(point.join("x"), point.join("d/y")).expect("a link");
    }
    std::fs::write(layers.lower().join("f"), "f").expect("a file");
    let numbers = ["m/x", "n/x"].map(|path| std::fs::metadata(layers.lower().join(path)).expect("it").ino());
    assert_eq!(numbers[0], numbers[1], "the numbers don't meet, so nothing is tried");

    let below = layers::tree(&layers::host(layers.lower()).expect("the lower")).expect("a tree");
    let fs = layers.overlay(Marks::Trusted).expect("an overlay");
    let mut process = Process::on(&fs);
    let paths = ["f", "m", "m/x", "m/d", "n", "n/x", "n/d"];
    let before = paths.map(|path| ino(&mut process, path));
    for (at, number) in before.iter().enumerate() {
        assert!(!before[..at].contains(number), "{}: {number:x}", paths[at]);
    }
    let same =
        [("same m/x m/d/y", "1"), ("same n/x n/d/y", "1"), ("same m/x n/x", "0"), ("same m/d n/d", "0")];
    process.all_do(&same);
    process.all_do(&[
        ("file n/d/y changed", "ok"),
        ("cat n/x", "\"changed\""),
        ("cat m/x", "\"m\""),
        ("cat m/d/y", "\"m\""),
        ("file m/x too", "ok"),
        ("cat m/d/y", "\"too\""),
        ("cat n/x", "\"changed\""),
        ("chmod m/d 700", "ok"),
        ("stat n/d", "{type=dir mode=755 nlink=2 uid=0 gid=0}"),
        ("rename n/d m/e", "ok"),
        ("cat m/e/y", "\"changed\""),
        ("rename m/e n/d", "ok"),
    ]);
    process.all_do(&same);
    assert_eq!(paths.map(|path| ino(&mut process, path)), before);
    // What is listed has the number that it has.
    let dir = process
        .subject
        .openat(At::cwd(b"m"), OpenFlags::READ | OpenFlags::DIRECTORY, 0)
        .expect("a directory");
    for entry in
        list(&mut process.subject, dir).expect("names").iter().filter(|entry| !entry.name.starts_with(b"."))
    {
        let path = format!("m/{}", entry.name.escape_ascii());
        assert_eq!(entry.ino, ino(&mut process, &path), "{path}");
    }
    let shown = layers::tree(&fs).expect("a tree");
    drop((process, fs));
    let again = layers.overlay(Marks::Trusted).expect("an overlay");
    assert_eq!(layers::tree(&again).expect("a tree").differences(&shown), Vec::<String>::new());
    Process::on(&again).all_do(&same);
    let after = layers::tree(&layers::host(layers.lower()).expect("the lower")).expect("a tree");
    assert_eq!(after.differences(&below), Vec::<String>::new(), "the lower was changed");

    // The kernel's overlays see what is under mounts.
    let theirs = Layers::over(Path::new("/dev/shm"), vec![layers.lower().to_owned()]).expect("directories");
    mounts.overlay(&theirs.point(), &theirs.options("")).expect("an overlay of the kernel's");
    let mut kernel = Process::on(&layers::host(&theirs.point()).expect("it"));
    kernel.all_do(&[("ls m", "[]"), ("cat f", "\"f\"")]);
    drop(kernel);
    mounts.unmount(&theirs.point()).expect("it is mounted");
    for name in ["m", "n"] {
        mounts.unmount(&layers.lower().join(name)).expect("it is mounted");
    }
}

#[test]
fn inodes_of_several_devices_stay_apart() {
    if Mounts::on_thread(over_two_devices).is_none() {
        println!("skipped: nothing can be mounted here");
    }
}

#[test]
fn what_is_only_looked_at_leaves_the_lower_as_it_was() {
    let layers = Layers::new(Path::new("/dev/shm")).expect("directories");
    let below = layers::host(layers.lower()).expect("the lower");
    let script =
        "mkdir d\nfile d/f text\nsymlink d/f l\nutimens d/f 1 2\nutimens d 1 2\nutimens l 1 2 nofollow";
    layers::carry_out(&below, script).expect("a lower");
    // A link's access time can't be kept from moving.
    let times = || {
        ["d", "d/f"].map(|name| {
            let of = std::fs::symlink_metadata(layers.lower().join(name)).expect("it is there");
            [of.atime(), of.atime_nsec(), of.mtime(), of.ctime(), of.ctime_nsec()]
        })
    };
    let before = times();
    assert!(before.iter().all(|times| times[0] == 1), "{before:?}");
    let mut process = Process::on(&layers.overlay(Marks::Trusted).expect("an overlay"));
    process.all_do(&[
        ("ls d", "[f]"),
        ("cat d/f", "\"text\""),
        ("cat l", "\"text\""),
        ("readlink l", "\"d/f\""),
        ("listxattr d/f", "[]"),
        ("open d/f rw as h", "ok"),
        ("read %h 2", "\"te\""),
    ]);
    assert_eq!(times(), before);
    process.all_do(&[("write %h X", "1"), ("chmod d 700", "ok"), ("cat d/f", "\"teXt\"")]);
    assert_eq!(times(), before);
}
