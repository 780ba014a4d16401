//! Immutable and append-only files and directories of the host, which nobody may change: as root, who may make them so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use support::as_root;
use support::guest::Guest;
use support::host::{list, put};
use vnode_core::fs::{NewKind, Remove, Rename};
use vnode_sandbox::{ApplyError, ApplyOptions, View};

/// Something sealed, and free again when this is dropped.
struct Sealed(PathBuf, IFlags);

impl Sealed {
    fn new(path: PathBuf, seal: IFlags) -> Option<Self> {
        let sealed = Sealed(path, seal);
        sealed.set(true).ok().map(|()| sealed)
    }

    fn set(&self, on: bool) -> rustix::io::Result<()> {
        let file = File::open(&self.0).unwrap();
        let mut flags = ioctl_getflags(&file)?;
        flags.set(self.1, on);
        ioctl_setflags(&file, flags)
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.set(false).unwrap();
    }
}

/// What an apply of these changes is refused for, and what is in the directory stays as it is.
fn refused(place: &Path, changes: impl Fn(&Guest<'_>)) -> Vec<String> {
    let view = View::of(place).open().unwrap();
    changes(&Guest(&view.filesystem));
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    let before = list(place);
    let options = ApplyOptions { force: true, ..ApplyOptions::default() };
    let done = as_root(|cx| view.apply(cx, &changes, &options));
    assert_eq!(list(place), before);
    let planned = as_root(|cx| view.plan(cx, &changes, &options)).map(drop);
    match (done.map(drop), planned) {
        (Err(ApplyError::Sealed(paths)), Err(ApplyError::Sealed(planned))) => {
            assert_eq!(paths, planned);
            paths.iter().map(|path| path.escape_ascii().to_string()).collect()
        }
        (done, planned) => panic!("{done:?}, {planned:?}"),
    }
}

/// A change, and what is told of it.
type Case<'a> = (&'a dyn Fn(&Guest<'_>), &'a [&'a str]);

#[test]
fn what_is_sealed_is_found_before_anything_is_moved() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::create_dir_all(at("d/e")).unwrap();
    fs::create_dir_all(at("shut")).unwrap();
    for file in ["file", "log", "d/e/deep", "shut/in", "other"] {
        put(at(file), file);
    }
    let seals = [
        ("file", IFlags::IMMUTABLE),
        ("log", IFlags::APPEND),
        ("d/e/deep", IFlags::IMMUTABLE),
        ("shut", IFlags::IMMUTABLE),
    ];
    let mut sealed = Vec::new();
    for (name, seal) in seals {
        let Some(one) = Sealed::new(at(name), seal) else {
            println!("skipped: nothing can be made immutable here");
            return;
        };
        sealed.push(one);
    }
    let cases: &[Case<'_>] = &[
        (&|guest| guest.write("file", "guest").unwrap(), &["/file"]),
        (&|guest| guest.remove("file", Remove::File).unwrap(), &["/file"]),
        (&|guest| guest.rename("file", "moved", Rename::Replace).unwrap(), &["/file"]),
        (&|guest| guest.chmod("file", 0o600).unwrap(), &["/file"]),
        (&|guest| guest.write("log", "guest").unwrap(), &["/log"]),
        (&|guest| guest.remove_all("d").unwrap(), &["/d/e/deep"]),
        (&|guest| guest.write("shut/new", "guest").unwrap(), &["/shut"]),
        (&|guest| guest.remove("shut/in", Remove::File).unwrap(), &["/shut"]),
        (&|guest| guest.rename("other", "shut/other", Rename::Replace).unwrap(), &["/shut"]),
        (&|guest| guest.rename("shut", "open", Rename::Replace).unwrap(), &["/shut"]),
        (&|guest| guest.make("shut/sub", NewKind::Directory).unwrap(), &["/shut"]),
    ];
    for (case, (changes, told)) in cases.iter().enumerate() {
        assert_eq!(refused(place.path(), changes), *told, "case {case}");
    }

    // What is beside them is nobody's matter: the file that is deep in a directory goes where that goes.
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.rename("d", "shown", Rename::Replace).unwrap();
    guest.write("other", "guest").unwrap();
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    as_root(|cx| view.apply(cx, &changes, &ApplyOptions::default())).unwrap();
    assert_eq!(fs::read_to_string(at("shown/e/deep")).unwrap(), "d/e/deep");
    assert_eq!(fs::read_to_string(at("other")).unwrap(), "guest");
    fs::rename(at("shown"), at("d")).unwrap();
}
