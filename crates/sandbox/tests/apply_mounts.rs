//! Other filesystems of the host that are mounted in the directory: as root, who may mount.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::as_root;
use support::guest::Guest;
use support::host::{list, put};
use vnode_core::Errno;
use vnode_core::fs::{NewKind, Remove, Rename};
use vnode_sandbox::{ApplyError, ApplyOptions, Progress, View};

/// A mount that is gone when this is.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn tmpfs(at: &'a Path) -> Option<Self> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(at).output();
        mount.is_ok_and(|done| done.status.success()).then_some(Mounted(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn apply(view: &View) -> Result<(), ApplyError> {
    as_root(|cx| {
        let changes = view.changes(cx).unwrap();
        view.apply(cx, &changes, &ApplyOptions::default()).map(drop)
    })
}

#[test]
fn files_go_from_one_to_the_other_and_directories_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::create_dir_all(at("m")).unwrap();
    let inner = at("m");
    let Some(_mounted) = Mounted::tmpfs(&inner) else {
        println!("skipped: may not mount");
        return;
    };
    fs::create_dir(at("m/d")).unwrap();
    for file in ["a", "b", "m/f", "m/g", "m/h", "m/d/i"] {
        put(at(file), file);
    }
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.write("m/f", "changed").unwrap();
    guest.write("m/new", "new").unwrap();
    guest.make("m/link", NewKind::Symlink(b"nowhere")).unwrap();
    guest.remove("m/g", Remove::File).unwrap();
    guest.rename("a", "m/a", Rename::Replace).unwrap();
    guest.rename("m/h", "h", Rename::Replace).unwrap();
    guest.link("b", "m/d/b").unwrap();
    guest.chmod("m/d/i", 0o600).unwrap();
    apply(&view).unwrap();
    let text = |name: &str| fs::read_to_string(at(name)).unwrap();
    assert_eq!((text("m/f"), text("m/new"), text("m/a")), ("changed".into(), "new".into(), "a".into()));
    assert_eq!((text("h"), text("m/d/b")), ("m/h".into(), "b".into()));
    let gone = ["a", "m/g", "m/h", ".vnode-apply"].map(|name| at(name).symlink_metadata().is_err());
    assert_eq!(gone, [true; 4]);
    assert_eq!(fs::read_link(at("m/link")).unwrap(), Path::new("nowhere"));
    assert!(!list(place.path()).keys().any(|path| path.windows(6).any(|text| text == b".vnode")));

    let before = list(place.path());
    let changes: [&dyn Fn(&Guest<'_>); 4] = [
        &|guest| guest.make("m/dir", NewKind::Directory).unwrap(),
        &|guest| guest.rename("m/d", "d", Rename::Replace).unwrap(),
        &|guest| guest.remove_all("m/d").unwrap(),
        &|guest| guest.remove_all("m").unwrap(),
    ];
    for change in changes {
        let view = View::of(place.path()).open().unwrap();
        change(&Guest(&view.filesystem));
        let refused = apply(&view);
        assert!(matches!(refused, Err(ApplyError::OtherMount { .. })), "{refused:?}");
        assert_eq!(list(place.path()), before);
    }
}

#[test]
fn what_is_mounted_from_the_same_filesystem_stays_where_it_is() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for dir in ["d", "bound"] {
        fs::create_dir(at(dir)).unwrap();
    }
    for file in ["d/f", "file", "other"] {
        put(at(file), file);
    }
    let (bound, file) = (at("bound"), at("file"));
    let bind = |from: &str, to: &Path| {
        let mount = Command::new("mount").arg("--bind").arg(at(from)).arg(to).output();
        mount.is_ok_and(|done| done.status.success())
    };
    if !bind("d", &bound) {
        println!("skipped: may not mount");
        return;
    }
    let _bound = Mounted(&bound);
    assert!(bind("other", &file));
    let _file = Mounted(&file);
    let before = list(place.path());
    let changes: [&dyn Fn(&Guest<'_>); 5] = [
        &|guest| guest.rename("bound", "moved", Rename::Replace).unwrap(),
        &|guest| guest.remove_all("bound").unwrap(),
        &|guest| guest.make("bound/dir", NewKind::Directory).unwrap(),
        &|guest| guest.write("file", "guest").unwrap(),
        &|guest| guest.remove("file", Remove::File).unwrap(),
    ];
    for change in changes {
        let view = View::of(place.path()).open().unwrap();
        change(&Guest(&view.filesystem));
        let refused = apply(&view);
        assert!(matches!(refused, Err(ApplyError::OtherMount { .. })), "{refused:?}");
        assert_eq!(list(place.path()), before);
    }
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.write("bound/new", "new").unwrap();
    guest.rename("other", "bound/other", Rename::Replace).unwrap();
    apply(&view).unwrap();
    assert_eq!(fs::read_to_string(at("d/new")).unwrap(), "new");
    assert_eq!(fs::read_to_string(at("d/other")).unwrap(), "other");
}

#[test]
fn what_was_put_back_is_no_conflict() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::create_dir(at("m")).unwrap();
    for file in ["m/f", "y", "z"] {
        put(at(file), file);
    }
    fs::hard_link(at("z"), at("also")).unwrap();
    let (m, before) = (at("m"), list(place.path()));
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.remove("z", Remove::File).unwrap();
    guest.rename("y", "moved", Rename::Replace).unwrap();
    guest.rename("m", "n", Rename::Replace).unwrap();
    guest.write("new", "new").unwrap();
    let mounted = RefCell::new(None);
    let mount = |_: Progress| {
        let taken = fs::read_dir(at(".vnode-apply/out")).map_or(0, Iterator::count);
        if taken == 1 && mounted.borrow().is_none() {
            *mounted.borrow_mut() = Mounted::tmpfs(&m);
        }
    };
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    let options = ApplyOptions { progress: Some(&mount), ..ApplyOptions::default() };
    let done = as_root(|cx| view.apply(cx, &changes, &options));
    if mounted.take().is_none() {
        println!("skipped: may not mount");
        return;
    }
    assert!(matches!(done, Err(ApplyError::Filesystem { errno: Errno::BUSY, .. })), "{done:?}");
    assert_eq!(list(place.path()), before);
    as_root(|cx| view.apply(cx, &changes, &ApplyOptions::default())).unwrap();
    assert_eq!(fs::read_to_string(at("moved")).unwrap(), "y");
    assert_eq!(fs::read_to_string(at("n/f")).unwrap(), "m/f");
}
