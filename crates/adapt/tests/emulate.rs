//! Symbolic links kept for a filesystem: names, what needs them, listings, and many threads at once.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::thread;

use support::On;
use support::paths::{FILE, Paths, User, WORK, memory, name, over};
use vnode_adapt::{Fault, FaultControl, Faults, Keep, Op, ReadOnly, SymlinkEmulation};
use vnode_core::fs::{At, Caps, Filesystem, NewInode, NewKind, Remove, Rename};
use vnode_core::{Errno, FileType, FilesystemRef, Mode};

#[test]
fn names_of_its_own_are_not_there_and_cannot_be_made() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    user.symlink("x", "l").unwrap();
    user.file("f").unwrap();
    for reserved in [FILE, WORK, ".VNODE-symlinks"] {
        assert_eq!(user.at(reserved).err(), Some(Errno::NOENT));
        assert_eq!(user.file(reserved).err(), Some(Errno::INVAL));
        assert_eq!(user.symlink("x", reserved).err(), Some(Errno::INVAL));
        assert_eq!(user.mkdir(reserved).err(), Some(Errno::INVAL));
        assert_eq!(user.open_new(reserved).err(), Some(Errno::INVAL));
        assert_eq!(user.linked("f", reserved), Err(Errno::INVAL));
        assert_eq!(user.linked("l", reserved), Err(Errno::INVAL));
        assert_eq!(user.remove(reserved, Remove::File), Err(Errno::NOENT));
        assert_eq!(user.remove(reserved, Remove::Directory), Err(Errno::NOENT));
        assert_eq!(user.rename(reserved, "g", Rename::Replace), Err(Errno::NOENT));
        assert_eq!(user.rename("f", reserved, Rename::Replace), Err(Errno::INVAL));
        assert_eq!(user.rename("l", reserved, Rename::Replace), Err(Errno::INVAL));
        assert_eq!(user.rename("l", reserved, Rename::Exchange), Err(Errno::NOENT));
    }
    assert_eq!(user.names("").into_keys().collect::<Vec<_>>(), ["f", "l"]);
    // Kept in memory, no name is special.
    let free = over(&memory(), Keep::InMemory);
    free.file(FILE).unwrap();
    assert_eq!(free.names("").into_keys().collect::<Vec<_>>(), [FILE]);
}

#[test]
fn only_what_says_that_it_has_no_links_is_given_some() {
    for (errno, needed) in [
        (Errno::PERM, Ok(true)),
        (Errno::OPNOTSUPP, Ok(true)),
        (Errno::NOSYS, Ok(true)),
        (Errno::ROFS, Ok(true)),
        (Errno::NOSPC, Err(Errno::NOSPC)),
        (Errno::ACCES, Err(Errno::ACCES)),
        (Errno::IO, Err(Errno::IO)),
    ] {
        let control = FaultControl::default();
        let fs = FilesystemRef::new::<Faults<_>>(Faults::controlled_by(memory(), &control));
        control.arm(Fault::fail(errno).on(Op::Create));
        let within = On::<FilesystemRef>::new(fs.clone());
        assert_eq!(SymlinkEmulation::needed(&within.cx(), &fs), needed, "{errno}");
        assert!(within.names("").is_empty());
    }
    // What has links stays what it is.
    let fs = memory();
    let within = On::<FilesystemRef>::new(fs.clone());
    assert!(SymlinkEmulation::over(&within.cx(), fs.clone(), Keep::InMemory).unwrap().is(&fs));
    assert!(within.names("").is_empty());
}

#[test]
fn a_read_only_filesystem_has_the_links_that_it_holds() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    user.mkdir("d").unwrap();
    user.symlink("target", "d/l").unwrap();
    drop(user);
    let frozen = FilesystemRef::new::<ReadOnly<_>>(ReadOnly::new(fs));
    let within = On::<FilesystemRef>::new(frozen.clone());
    assert_eq!(SymlinkEmulation::needed(&within.cx(), &frozen), Ok(true));
    let user = over(&frozen, Keep::HiddenFiles);
    assert_eq!(user.reads("d/l").unwrap(), "target");
    assert_eq!(user.symlink("x", "d/m").err(), Some(Errno::ROFS));
    assert_eq!(user.symlink("x", "m").err(), Some(Errno::ROFS));
    assert_eq!(user.remove("d/l", Remove::File), Err(Errno::ROFS));
    assert_eq!(user.moves("d/l", "m", Rename::Replace), Err(Errno::ROFS));
    assert_eq!(user.names("d").len(), 1);
}

/// A directory is listed entry by entry, and changed after each: what stays is listed once, and the listing ends.
fn check_listing(keep: Keep) {
    let user = over(&memory(), keep);
    let dir = user.mkdir("d").unwrap();
    for number in 0..150 {
        user.file(&format!("d/file{number}")).unwrap();
        user.symlink("x", &format!("d/link{number}")).unwrap();
    }
    let mut stream = user.fs.open_dir(&user.cx(), &dir).unwrap();
    let (mut cookie, mut seen) = (0, BTreeMap::new());
    for step in 0.. {
        let mut entry = None;
        let one = &mut |it: vnode_core::fs::DirEntry<'_>| {
            entry = Some((String::from_utf8_lossy(it.name).into_owned(), it.kind, it.next));
            ControlFlow::Break(())
        };
        stream.list(&user.cx(), cookie, one).unwrap();
        let Some((listed, kind, next)) = entry else { break };
        assert!(step < 400, "it doesn't end");
        assert_eq!(
            user.at(&format!("d/{listed}")).unwrap().kind(),
            kind,
            "{listed} is what it is said to be"
        );
        assert_eq!(seen.insert(listed.clone(), kind), None, "{listed} is listed twice");
        cookie = next;
        // One of each kind is made, some of what was listed goes, and some that was not changes its kind.
        user.symlink("new", &format!("d/newlink{step}")).unwrap();
        user.file(&format!("d/newfile{step}")).unwrap();
        match step % 3 {
            0 => user.remove(&format!("d/{listed}"), Remove::File).unwrap(),
            1 => user.moves(&format!("d/{listed}"), &format!("d/moved{step}"), Rename::NoReplace).unwrap(),
            _ => {}
        }
        let (link, file) = (format!("d/link{}", step % 150), format!("d/file{}", 149 - step % 150));
        if step % 5 == 0 && user.at(&link).is_ok() && user.at(&file).is_ok() {
            user.moves(&link, &file, Rename::Exchange).unwrap();
        }
    }
    for number in 0..150 {
        assert!(seen.contains_key(&format!("file{number}")), "file{number} was skipped");
        assert!(seen.contains_key(&format!("link{number}")), "link{number} was skipped");
    }
    assert_eq!(seen.len(), 300, "nothing that is new was listed");
    // From the start, all that is there now: what stayed, what moved, what was made.
    assert_eq!(user.names("d").len(), 300 - 100 + 600);
}

#[test]
fn a_listing_under_way_skips_and_repeats_nothing() {
    check_listing(Keep::InMemory);
    check_listing(Keep::HiddenFiles);
}

/// A random number below `end`.
fn below(state: &mut u64, end: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % end as u64) as usize
}

/// Threads make, rename and remove links and files of the same few names in the same few directories.
fn check_threads(keep: Keep) {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let fs = memory();
    let user = over(&fs, keep);
    let dirs: Vec<_> = ["d", "e"].iter().map(|dir| user.mkdir(dir).unwrap()).collect();
    let ended = |errno: Errno| {
        matches!(
            errno,
            Errno::NOENT | Errno::EXIST | Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY | Errno::INVAL
        )
    };
    thread::scope(|scope| {
        for seed in 1..=4_u64 {
            let (user, dirs) = (&user, &dirs);
            scope.spawn(move || {
                let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                for _ in 0..1500 {
                    let mut any = || {
                        let (dir, last) = (below(&mut state, 2), below(&mut state, 3));
                        (&dirs[dir], name(NAMES[last]))
                    };
                    let ((dir, last), (to, other)) = (any(), any());
                    let (at, to) = (At { dir, name: last }, At { dir: to, name: other });
                    let made = |kind| NewInode { kind, mode: Mode::from_raw(0o755), uid: 0, gid: 0 };
                    let cx = user.cx();
                    let done = match below(&mut state, 10) {
                        0 => user.fs.create(&cx, at, made(NewKind::Regular)).map(drop),
                        1 => user.fs.create(&cx, at, made(NewKind::Directory)).map(drop),
                        2 | 3 => user.fs.create(&cx, at, made(NewKind::Symlink(b"target"))).map(drop),
                        4 => user.fs.remove(&cx, at, Remove::File),
                        5 => user.fs.remove(&cx, at, Remove::Directory),
                        6 | 7 => user.fs.rename(&cx, at, to, Rename::Replace),
                        8 => user.fs.rename(&cx, at, to, Rename::Exchange),
                        _ => user.fs.lookup(&cx, at).and_then(|node| match node.kind() {
                            FileType::Directory => Ok(()),
                            _ => user.fs.link(&cx, to, &node),
                        }),
                    };
                    if let Err(errno) = done {
                        assert!(ended(errno), "{errno}");
                    }
                    // What is listed is listed once.
                    let mut seen = BTreeSet::new();
                    let mut stream = user.fs.open_dir(&cx, dir).unwrap();
                    stream
                        .list(&cx, 0, &mut |entry| {
                            assert!(seen.insert(entry.name.to_vec()), "listed twice");
                            ControlFlow::Continue(())
                        })
                        .unwrap();
                }
            });
        }
    });
    check_whole(&user, &fs, keep);
}

/// Every link has as many names as it says, and what was kept in files is there again.
fn check_whole(user: &User, fs: &FilesystemRef, keep: Keep) {
    let picture = |user: &User| {
        let mut names: BTreeMap<String, (u64, u32, FileType)> = BTreeMap::new();
        for dir in ["d", "e"] {
            for (entry, kind) in user.names(dir) {
                let path = format!("{dir}/{entry}");
                let attr = user.attr(&path);
                assert_eq!(attr.kind, kind);
                names.insert(path, (attr.ino, attr.nlink, kind));
            }
        }
        names
    };
    let before = picture(user);
    println!("{before:?}");
    for (ino, nlink, kind) in before.values() {
        if *kind != FileType::Directory {
            let names = before.values().filter(|(other, ..)| other == ino).count();
            assert_eq!(names as u32, *nlink, "{before:?}");
        }
    }
    if keep == Keep::HiddenFiles {
        assert_eq!(picture(&over(fs, keep)), before);
    }
    for path in before.keys() {
        let what = if user.at(path).unwrap().kind().is_dir() { Remove::Directory } else { Remove::File };
        user.remove(path, what).unwrap();
    }
    for dir in ["d", "e"] {
        user.remove(dir, Remove::Directory).unwrap();
    }
}

#[test]
fn threads_change_the_same_names_in_memory() {
    check_threads(Keep::InMemory);
}

#[test]
fn threads_change_the_same_names_in_hidden_files() {
    check_threads(Keep::HiddenFiles);
}

#[test]
fn links_have_what_the_filesystem_within_has() {
    let user = over(&memory(), Keep::InMemory);
    assert!(user.fs.caps().contains(Caps::SYMLINKS | Caps::HARDLINKS | Caps::XATTR));
    let (file, link) = (user.file("f").unwrap(), user.symlink("f", "l").unwrap());
    assert_ne!(file.id(), link.id());
    assert!(user.attr("l").ino > 1 << 54, "apart from the numbers of the filesystem within");
    assert_eq!(user.attr("l").mode, Mode::from_raw(0o777));
}
