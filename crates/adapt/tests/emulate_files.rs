//! Symbolic links in hidden files: what outlives the emulation, what a kill leaves, what is damaged, and how much is kept.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::On;
use support::paths::{Paths, User, WORK, memory, name, over};
use vnode_adapt::{Fault, FaultControl, Faults, Keep, OpSet, SymlinkEmulation};
use vnode_core::fs::{At, Filesystem, NewKind, Remove, Rename, SetXattr};
use vnode_core::{Clock, Credentials, Cx, Errno, FileType, FilesystemRef, SetAttr, SetTime, Timespec};

#[test]
fn what_is_in_hidden_files_outlives_the_emulation() {
    let fs = memory();
    let first = over(&fs, Keep::HiddenFiles);
    first.mkdir("d").unwrap();
    first.mkdir("e").unwrap();
    let link = first.symlink("../x/./y//", "d/l").unwrap();
    first.linked("d/l", "d/again").unwrap();
    first.linked("d/l", "e/other").unwrap();
    first.symlink("/abs", "top").unwrap();
    let time = |sec| Some(SetTime::To(Timespec { sec, nsec: 7 }));
    let set = SetAttr { uid: Some(3), gid: Some(4), atime: time(-5), mtime: time(6), ..SetAttr::default() };
    first.fs.setattr(&first.cx(), &link, &set).unwrap();
    first.fs.set_xattr(&first.cx(), &link, b"trusted.x", b"value", SetXattr::Any).unwrap();
    first.rename("d", "moved", Rename::Replace).unwrap();
    let before: Vec<_> = ["moved/l", "moved/again", "e/other", "top"].iter().map(|p| first.attr(p)).collect();
    assert_eq!((before[0].nlink, before[0].uid, before[0].gid, before[3].nlink), (3, 3, 4, 1));
    let id = first.at("moved/l").unwrap().id();
    assert_eq!((first.at("e/other").unwrap().id(), first.at("moved/again").unwrap().id()), (id, id));
    drop((first, link));

    let second = over(&fs, Keep::HiddenFiles);
    // In another order than they were made, so that nothing but the files tells.
    assert_eq!(second.attr("e/other"), before[2]);
    let after: Vec<_> = ["moved/l", "moved/again", "e/other", "top"].iter().map(|p| second.attr(p)).collect();
    assert_eq!(after, before);
    assert_eq!(
        (second.reads("moved/l").unwrap().as_str(), second.reads("top").unwrap().as_str()),
        ("../x/./y//", "/abs")
    );
    let other = second.at("e/other").unwrap();
    assert_eq!(second.at("moved/again").unwrap().id(), other.id());
    let value = second.fs.get_xattr(&second.cx(), &other, b"trusted.x").unwrap();
    assert_eq!(&value[..], b"value");
    let links = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), FileType::Symlink)).collect();
    assert_eq!(second.names("moved"), links(&["again", "l"]));
    assert_eq!(second.names("e"), links(&["other"]));
    let root = second.fs.root();
    assert_eq!(second.fs.getattr(&second.cx(), &root).unwrap().nlink, 4, "the root and two directories");

    // A directory whose last link goes carries nothing, and can be removed by whom one likes.
    second.remove("moved/l", Remove::File).unwrap();
    second.remove("moved/again", Remove::File).unwrap();
    assert_eq!(second.attr("e/other").nlink, 1);
    drop((second, other));
    let raw = On::<FilesystemRef>::new(fs.clone());
    assert!(raw.names("moved").is_empty());
    raw.remove("moved", Remove::Directory).unwrap();
    assert_eq!(over(&fs, Keep::HiddenFiles).attr("e/other").nlink, 1);
}

#[test]
fn a_damaged_file_is_an_error_of_its_directory_alone() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    for dir in ["d", "e"] {
        user.mkdir(dir).unwrap();
        user.symlink("one", &format!("{dir}/l")).unwrap();
        user.symlink("two", &format!("{dir}/m")).unwrap();
        user.file(&format!("{dir}/f")).unwrap();
    }
    drop(user);
    let raw = On::<FilesystemRef>::new(fs.clone());
    let whole = raw.content("d/.vnode-symlinks");
    // Bytes in the middle that are others.
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    for bytes in [&damaged[..], b"something else", b"\xff"] {
        raw.overwrite("d/.vnode-symlinks", bytes);
        let user = over(&fs, Keep::HiddenFiles);
        assert_eq!(user.at("d/l").err(), Some(Errno::IO));
        assert_eq!(user.symlink("x", "d/new").err(), Some(Errno::IO));
        assert!(user.at("d/f").is_ok(), "what is real is there");
        assert_eq!(user.reads("e/l").unwrap(), "one");
        assert_eq!(raw.content("d/.vnode-symlinks"), bytes, "and nothing was made worse");
    }
    // A directory in its place, and one that is too large.
    raw.remove("d/.vnode-symlinks", Remove::File).unwrap();
    raw.mkdir("d/.vnode-symlinks").unwrap();
    assert_eq!(over(&fs, Keep::HiddenFiles).at("d/l").err(), Some(Errno::IO));
    raw.remove("d/.vnode-symlinks", Remove::Directory).unwrap();
    let node = raw.file("d/.vnode-symlinks").unwrap();
    raw.fs.setattr(&raw.cx(), &node, &SetAttr { size: Some(1 << 40), ..SetAttr::default() }).unwrap();
    assert_eq!(over(&fs, Keep::HiddenFiles).at("d/l").err(), Some(Errno::IO));
    // What was cut off in the middle of its last record has the records before.
    for len in 0..whole.len() {
        raw.overwrite("d/.vnode-symlinks", &whole[..len]);
        let user = over(&fs, Keep::HiddenFiles);
        let links: Vec<_> = ["d/l", "d/m"].into_iter().map(|path| user.reads(path).is_ok()).collect();
        assert!(links == [true, false] || links == [false, false], "{len}: {links:?}");
        // And takes more.
        user.symlink("more", "d/n").unwrap();
        drop(user);
        assert_eq!(over(&fs, Keep::HiddenFiles).reads("d/n").unwrap(), "more", "{len}");
    }
}

#[test]
fn a_file_does_not_grow_with_what_is_no_longer_so() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    user.mkdir("d").unwrap();
    let link = user.symlink("target", "d/l").unwrap();
    for number in 0..2000 {
        user.fs.setattr(&user.cx(), &link, &SetAttr { uid: Some(number), ..SetAttr::default() }).unwrap();
    }
    for number in 0..1000 {
        user.symlink("other", &format!("d/{number}")).unwrap();
        user.remove(&format!("d/{number}"), Remove::File).unwrap();
    }
    let raw = On::<FilesystemRef>::new(fs.clone());
    let size = raw.attr("d/.vnode-symlinks").size;
    assert!(size < 20_000, "{size} bytes");
    assert!(raw.names(WORK).is_empty(), "nothing is left of what was written");
    drop((user, link));
    assert_eq!(over(&fs, Keep::HiddenFiles).attr("d/l").uid, 1999);
}

#[test]
fn more_directories_than_are_kept_in_mind() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    let held = user.symlink("held", "top").unwrap();
    for number in 0..3000 {
        let dir = user.mkdir(&format!("d{number}")).unwrap();
        user.make_in(&dir, "l", NewKind::Symlink(format!("target {number}").as_bytes())).unwrap();
        if number % 100 == 0 {
            user.fs.link(&user.cx(), At { dir: &dir, name: name("held") }, &held).unwrap();
        }
    }
    for number in 0..3000 {
        assert_eq!(user.reads(&format!("d{number}/l")).unwrap(), format!("target {number}"));
        if number % 100 == 0 {
            assert_eq!(user.at(&format!("d{number}/held")).unwrap().id(), held.id());
        }
    }
    assert_eq!(user.attr("top").nlink, 31);
}

#[test]
fn links_with_names_in_many_directories_are_forgotten_and_known_again() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    user.symlink("shared", "top").unwrap();
    for number in 0..1500 {
        user.mkdir(&format!("d{number}")).unwrap();
        user.symlink("own", &format!("d{number}/own")).unwrap();
    }
    for number in 0..40 {
        user.linked("top", &format!("d{number}/shared")).unwrap();
    }
    // So many others were looked at since that these are forgotten.
    for number in 100..1500 {
        assert_eq!(user.reads(&format!("d{number}/own")).unwrap(), "own");
    }
    let top = user.at("top").unwrap().id();
    for number in 0..40 {
        assert_eq!(user.at(&format!("d{number}/shared")).unwrap().id(), top);
    }
    assert_eq!(user.attr("top").nlink, 41);
    user.remove("top", Remove::File).unwrap();
    assert_eq!(user.attr("d7/shared").nlink, 40);
}

#[test]
fn links_that_leave_for_many_directories_before_anything_is_synced() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    let from = user.mkdir("from").unwrap();
    for number in 0..200 {
        user.mkdir(&format!("d{number}")).unwrap();
        user.symlink("target", &format!("from/l{number}")).unwrap();
        user.moves(&format!("from/l{number}"), &format!("d{number}/l"), Rename::Replace).unwrap();
        user.moves(&format!("d{number}/l"), "from/back", Rename::Replace).unwrap();
        user.moves("from/back", &format!("d{number}/l"), Rename::NoReplace).unwrap();
    }
    user.symlink("x", "from/left").unwrap();
    for number in 0..200 {
        user.moves("from/left", &format!("d{number}/left"), Rename::Replace).unwrap();
        user.symlink("x", "from/left").unwrap();
    }
    user.fs.sync(&user.cx(), &from, false).unwrap();
    drop(user);
    let user = over(&fs, Keep::HiddenFiles);
    assert_eq!(user.names("from").len(), 1);
    assert_eq!(user.reads("d123/l").unwrap(), "target");
    assert_eq!(user.reads("d0/left").unwrap(), "x");
}

/// A clock an hour after the one of users.
struct Later;

impl Clock for Later {
    fn now(&self) -> Timespec {
        Timespec { sec: 1_000_000 + 3600, nsec: 0 }
    }
}

/// Two processes serve the same filesystem, and change its links in turn.
#[test]
fn another_process_changes_are_kept() {
    let fs = memory();
    let users = [over(&fs, Keep::HiddenFiles), over(&fs, Keep::HiddenFiles)];
    users[0].mkdir("d").unwrap();
    users[0].mkdir("e").unwrap();
    // Each has looked at what the other changes.
    for user in &users {
        assert!(user.names("d").is_empty() && user.names("e").is_empty());
    }
    for number in 0..300 {
        let user = &users[number % 2];
        user.symlink(&format!("target {number}"), &format!("d/l{number}")).unwrap();
        if number % 10 == 7 {
            user.remove(&format!("d/l{number}"), Remove::File).unwrap();
        }
        if number % 10 == 4 {
            user.moves(&format!("d/l{number}"), &format!("e/l{number}"), Rename::Replace).unwrap();
        }
    }
    let left = |dir: &str, user: &User| user.names(dir).len();
    let third = over(&fs, Keep::HiddenFiles);
    assert_eq!((left("d", &third), left("e", &third)), (240, 30));
    for number in (0..300).filter(|number| number % 10 != 7) {
        let dir = if number % 10 == 4 { "e" } else { "d" };
        assert_eq!(third.reads(&format!("{dir}/l{number}")).unwrap(), format!("target {number}"));
    }
    // What one takes away, the other doesn't put back.
    for entry in third.names("d").into_keys() {
        third.remove(&format!("d/{entry}"), Remove::File).unwrap();
    }
    users[0].symlink("new", "d/new").unwrap();
    assert_eq!(left("d", &over(&fs, Keep::HiddenFiles)), 1);
    assert_eq!(left("d", &users[0]), 1);
}

/// A link, by what it leads to, and the names under one of which it must be.
type Whereabouts = (&'static str, &'static [&'static str]);

/// Changes of links, and the names under one of which each is found whenever its process is killed.
const MOVES: &[(&str, &str, Rename, &[Whereabouts])] = &[
    ("d/one", "d/new", Rename::Replace, &[("one", &["d/one", "d/new"])]),
    ("d/one", "d/two", Rename::Replace, &[("one", &["d/one", "d/two"])]),
    ("d/one", "e/new", Rename::NoReplace, &[("one", &["d/one", "e/new"])]),
    ("d/one", "none/new", Rename::Replace, &[("one", &["d/one", "none/new"])]),
    ("e/only", "none/new", Rename::Replace, &[("only", &["e/only", "none/new"])]),
    ("e/only", "d/one", Rename::Replace, &[("only", &["e/only", "d/one"])]),
    ("d/one", "d/f", Rename::Replace, &[("one", &["d/one", "d/f"])]),
    ("d/one", "e/f", Rename::Replace, &[("one", &["d/one", "e/f"])]),
    ("e/only", "none/f", Rename::Replace, &[("only", &["e/only", "none/f"])]),
    ("d/one", "d/f", Rename::Exchange, &[("one", &["d/one", "d/f"])]),
    ("d/f", "e/only", Rename::Exchange, &[("only", &["e/only", "d/f"])]),
    ("e/only", "none/f", Rename::Exchange, &[("only", &["e/only", "none/f"])]),
    ("d/one", "d/two", Rename::Exchange, &[("one", &["d/one", "d/two"]), ("two", &["d/one", "d/two"])]),
    ("d/one", "e/only", Rename::Exchange, &[("one", &["d/one", "e/only"]), ("only", &["d/one", "e/only"])]),
    ("d/f", "d/one", Rename::Replace, &[("two", &["d/two"])]),
    ("d/f", "e/only", Rename::Replace, &[("two", &["d/two"])]),
];

#[test]
fn a_kill_loses_no_link_and_no_file() {
    let who = Credentials::root();
    for (from, to, how, links) in MOVES {
        let mut killed = 0;
        for nth in 1.. {
            let fs = memory();
            let control = FaultControl::default();
            let user = over(
                &FilesystemRef::new::<Faults<_>>(Faults::controlled_by(fs.clone(), &control)),
                Keep::HiddenFiles,
            );
            for dir in ["d", "e", "none"] {
                user.mkdir(dir).unwrap();
                user.file(&format!("{dir}/f")).unwrap();
            }
            for (target, path) in [("one", "d/one"), ("two", "d/two"), ("only", "e/only")] {
                user.symlink(target, path).unwrap();
            }
            // The paths are looked up before, so that the call itself is what comes to its end somewhere.
            let ((old, from_name), (new, to_name)) = (user.dir_of(from), user.dir_of(to));
            control.arm(Fault::fail(Errno::IO).nth(nth).every_time());
            let from_at = At { dir: &old, name: name(from_name) };
            let done = user.fs.rename(&user.cx(), from_at, At { dir: &new, name: name(to_name) }, *how);
            let fired = OpSet::ALL.iter().any(|op| control.fired_on(op) > 0);
            drop(user);
            control.disarm();

            let after = over(&fs, Keep::HiddenFiles);
            let raw = On::<FilesystemRef>::new(fs.clone());
            let what = format!("{from} to {to}, {how:?}, killed at call {nth}");
            for (target, paths) in *links {
                let mut paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
                paths.extend(
                    after
                        .names("e")
                        .into_keys()
                        .filter(|n| n.starts_with(".vnode-"))
                        .map(|n| format!("e/{n}")),
                );
                let found: Vec<_> = paths.iter().map(|path| after.reads(path)).collect();
                assert!(found.contains(&Ok((*target).to_owned())), "{what}: {target} is lost: {found:?}");
            }
            // A file is where it was or where it went; what is listed is there, and once.
            let files = |user: &User| {
                let all = ["d", "e", "none"]
                    .iter()
                    .flat_map(|dir| user.names(dir).into_values().collect::<Vec<_>>());
                all.filter(|kind| *kind == FileType::Regular).count()
            };
            let replaced = usize::from(*how == Rename::Replace && (to.ends_with("/f")));
            assert!((3 - replaced..=3).contains(&files(&after)), "{what}");
            for dir in ["d", "e", "none"] {
                for (entry, kind) in after.names(dir) {
                    assert_eq!(
                        after.at(&format!("{dir}/{entry}")).unwrap().kind(),
                        kind,
                        "{what}: {dir}/{entry}"
                    );
                }
            }
            let later = Cx::new(&who, &Later);
            drop(SymlinkEmulation::new(&later, fs.clone(), Keep::HiddenFiles).unwrap());
            assert!(!raw.names("").contains_key(WORK), "{what}: swept when it is served again, later");
            // All can be removed again, directories too.
            for dir in ["d", "e", "none"] {
                for entry in after.names(dir).into_keys() {
                    after.remove(&format!("{dir}/{entry}"), Remove::File).unwrap();
                }
                after.remove(dir, Remove::Directory).unwrap();
            }
            if !fired {
                assert_eq!(done, Ok(()), "{what}");
                break;
            }
            killed += 1;
        }
        assert!(killed > 3, "{from} to {to}: killed {killed} times");
    }
}
