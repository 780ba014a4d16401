//! Deep trees, large directories, and names that look like others.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use support::as_root;
use support::guest::Guest;
use support::host::{list, put};
use vnode_core::fs::{Access, At, Filesystem as _, Inode, NewInode, NewKind, Remove, Rename};
use vnode_core::io::Source;
use vnode_core::{FilesystemRef, Name};
use vnode_sandbox::{Applied, ApplyError, ApplyOptions, Conflict, ConflictKind, View};

fn place() -> tempfile::TempDir {
    tempfile::tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" }).unwrap()
}

fn apply(view: &View, force: bool) -> Result<Applied, ApplyError> {
    as_root(|cx| {
        let changes = view.changes(cx).unwrap();
        view.apply(cx, &changes, &ApplyOptions { force, ..ApplyOptions::default() })
    })
}

/// The directory at the end of many names, which are no path any more.
fn descend(fs: &FilesystemRef, name: &[u8], levels: usize) -> Vec<Arc<dyn Inode>> {
    as_root(|cx| {
        let mut dirs = vec![fs.root()];
        for _ in 0..levels {
            let at = At { dir: dirs.last().unwrap(), name: Name::new(name).unwrap() };
            let next = fs.lookup(cx, at).unwrap();
            dirs.push(next);
        }
        dirs
    })
}

/// Makes a tree of so many levels, and has some files made in it by a guest, and a fifth as many levels again.
fn deep(target: &Path, name: &str, levels: usize) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = rustix::fs::open(target, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        mkdirat(&dir, name, Mode::RWXU).unwrap();
        dir = openat(&dir, name, flags, Mode::empty()).unwrap();
    }
    drop(dir);
    let view = View::of(target).open().unwrap();
    let guest = &view.filesystem;
    let new = |kind| NewInode { kind, mode: vnode_core::Mode::RWXU, uid: 0, gid: 0 };
    let dirs = descend(guest, name.as_bytes(), levels);
    as_root(|cx| {
        for dir in dirs.iter().skip(100).step_by(100) {
            let at = At { dir, name: Name::new(b"file").unwrap() };
            let (_, file) = guest.create_open(cx, at, new(NewKind::Regular), Access::WRITE).unwrap();
            file.write_at(cx, 0, &mut Source::from_slice(b"deep")).unwrap();
        }
        let mut dir = guest.root();
        for _ in 0..levels / 5 {
            let at = At { dir: &dir, name: Name::new(b"new").unwrap() };
            dir = guest.create(cx, at, new(NewKind::Directory)).unwrap();
        }
    });
    drop(dirs);
    let begun = Instant::now();
    let applied = apply(&view, false).unwrap();
    println!("{} changes in {:?}", applied.operations.len(), begun.elapsed());
    assert_eq!(applied.operations.len(), levels / 5 + levels / 100);
    let host = View::of(target).open().unwrap();
    let dirs = descend(&host.filesystem, name.as_bytes(), levels);
    descend(&host.filesystem, b"new", levels / 5);
    as_root(|cx| {
        let at = At { dir: &dirs[levels], name: Name::new(b"file").unwrap() };
        let file = host.filesystem.lookup(cx, at).unwrap();
        assert_eq!(host.filesystem.getattr(cx, &file).unwrap().size, 4);
    });
}

/// A view in which a guest removed all but some levels of that tree.
fn removed(target: &Path, name: &str, levels: usize, left: usize) -> View {
    let view = View::of(target).open().unwrap();
    as_root(|cx| {
        let mut dirs = descend(&view.filesystem, name.as_bytes(), levels);
        while let Some(dir) = dirs.pop().filter(|_| dirs.len() >= left) {
            let at = |name| At { dir: &dir, name: Name::new(name).unwrap() };
            let _ = view.filesystem.remove(cx, at(b"file"), Remove::File);
            if dirs.len() < levels {
                view.filesystem.remove(cx, at(name.as_bytes()), Remove::Directory).unwrap();
            }
        }
    });
    view
}

#[test]
fn a_tree_of_a_thousand_levels() {
    let place = place();
    deep(place.path(), "l", 1000);
    let view = removed(place.path(), "l", 1000, 800);
    let begun = Instant::now();
    let applied = apply(&view, false).unwrap();
    println!("{} changes in {:?}", applied.operations.len(), begun.elapsed());
    assert_eq!(applied.operations.len(), 200 + 3);
    assert!(fs::symlink_metadata(place.path().join("l/".repeat(800))).unwrap().is_dir());
    assert!(fs::symlink_metadata(place.path().join("l/".repeat(801))).is_err());
    assert!(fs::symlink_metadata(place.path().join(".vnode-apply")).is_err());
}

/// What has no path that a system takes is not known to be as it was.
#[test]
fn a_tree_that_no_path_reaches_the_end_of() {
    let (place, name) = (place(), "twelve bytes");
    deep(place.path(), name, 400);
    let view = removed(place.path(), name, 400, 0);
    match apply(&view, false) {
        Err(ApplyError::Conflicts(conflicts)) => {
            let is_long = |conflict: &Conflict| conflict.path.len() > 4096 - 256;
            assert!(conflicts.iter().all(|one| one.kind == ConflictKind::Unrecorded && is_long(one)));
        }
        done => panic!("{done:?}"),
    }
    descend(&View::of(place.path()).open().unwrap().filesystem, name.as_bytes(), 400);
    apply(&view, true).unwrap();
    assert!(fs::symlink_metadata(place.path().join(name)).is_err());
    assert!(fs::symlink_metadata(place.path().join(".vnode-apply")).is_err());
}

#[test]
fn five_thousand_names_in_one_directory() {
    let place = place();
    let target = place.path();
    fs::create_dir(target.join("many")).unwrap();
    for number in 0..5000 {
        put(target.join(format!("many/{number}")), "old");
    }
    let view = View::of(target).open().unwrap();
    let guest = Guest(&view.filesystem);
    for number in 0..5000 {
        let name = format!("many/{number}");
        match number % 5 {
            0 => guest.write(&name, "new"),
            1 => guest.remove(&name, Remove::File),
            2 => guest.rename(&name, format!("many/new {number}"), Rename::Replace),
            3 => guest.write(format!("many/added {number}"), "added"),
            _ => Ok(()),
        }
        .unwrap();
    }
    guest.rename("many", "all", Rename::Replace).unwrap();
    let begun = Instant::now();
    let applied = apply(&view, false).unwrap();
    let took = begun.elapsed();
    println!("{} changes in {took:?}", applied.operations.len());
    assert!(took < Duration::from_secs(20), "{took:?}");
    let listed = list(target);
    assert_eq!(listed.len(), 5001);
    for number in 0..5000 {
        let is = |name: String| listed.contains_key(name.as_bytes());
        assert_eq!(is(format!("all/{number}")), number % 5 != 1 && number % 5 != 2);
        assert_eq!(is(format!("all/new {number}")), number % 5 == 2);
        assert_eq!(is(format!("all/added {number}")), number % 5 == 3);
    }
    assert!(
        fs::read(target.join("all/0")).unwrap() == b"new"
            && fs::read(target.join("all/4")).unwrap() == b"old"
    );
}

/// Names that somebody may take for something else.
fn names() -> Vec<Vec<u8>> {
    let told: [&[u8]; 19] = [
        b"...",
        b"..a",
        b".. ",
        b" ..",
        b"..\n",
        b".\n.",
        b"\\",
        b"..\\..\\a",
        b"-rf",
        b"a\nb",
        b"\xff\xfe",
        b"\xc3\x28",
        b"1",
        b"in",
        b"out",
        b"journal",
        b".vnode-apply.left",
        b".vnode-apply-",
        b".vnode-applY",
    ];
    let mut names: Vec<_> = told.iter().map(|name| name.to_vec()).collect();
    names.extend([vec![b'n'; 255], vec![b'.'; 255], vec![0xe9; 255]]);
    names
}

#[test]
fn names_that_look_like_others() {
    let place = place();
    let (target, outside) = (place.path().join("target"), place.path().join("a"));
    fs::create_dir(&target).unwrap();
    put(&outside, "outside");
    for (number, name) in names().iter().enumerate().filter(|(number, _)| number % 2 == 0) {
        put(target.join(OsStr::from_bytes(name)), &format!("old {number}"));
    }
    let view = View::of(&target).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.make("dir", NewKind::Directory).unwrap();
    for (number, name) in names().iter().enumerate() {
        guest.write(name, format!("new {number}")).unwrap();
        guest.make([b"dir/", &name[..]].concat(), NewKind::Directory).unwrap();
        guest.write([b"dir/", &name[..], b"/", name].concat(), format!("in {number}")).unwrap();
        guest.make([b"dir/", &name[..], b"/link"].concat(), NewKind::Symlink(name)).unwrap();
    }
    let applied = apply(&view, false).unwrap();
    assert_eq!(applied.operations.len(), 1 + 4 * names().len());
    for (number, name) in names().iter().enumerate() {
        let name = OsStr::from_bytes(name);
        assert_eq!(fs::read_to_string(target.join(name)).unwrap(), format!("new {number}"));
        let dir = target.join("dir").join(name);
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), format!("in {number}"));
        assert_eq!(fs::read_link(dir.join("link")).unwrap(), Path::new(name));
    }
    assert_eq!(list(&target).len(), 1 + 4 * names().len());
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
}
