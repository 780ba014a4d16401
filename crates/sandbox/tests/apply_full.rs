//! A real filesystem is full, of bytes or of inodes, while changes are applied to it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Command;

use support::as_root;
use support::exact::{Exact, below};
use support::guest::Guest;
use support::host::{Listed, list, put};
use vnode_core::Errno;
use vnode_core::fs::{NewKind, Rename};
use vnode_sandbox::{ApplyError, ApplyOptions, View, recover};

/// Where the process of its own is told to mount something.
const PLACE: &str = "VNODE_APPLY_FULL";
const PAGE: u64 = 4096;

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// A filesystem for one test, with more room to come.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(place: &'a Path) -> Self {
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m,nr_inodes=100k", "tmpfs"]).arg(place));
        Mounted(place)
    }

    fn limit(&self, options: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0));
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

fn plant(root: &Path) {
    for dir in ["d", "d/sub", "gone", "gone/sub", "from"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for file in ["a", "b", "d/f", "d/sub/g", "gone/h", "gone/sub/i", "from/j"] {
        put(root.join(file), &format!("old {file} ").repeat(800));
    }
    fs::hard_link(root.join("a"), root.join("d/a")).unwrap();
    symlink("none", root.join("link")).unwrap();
}

fn change(guest: &Guest<'_>) {
    let made = || -> vnode_core::Result<()> {
        for file in ["a", "d/f", "new"] {
            guest.write(file, format!("new {file} ").repeat(2000))?;
        }
        guest.remove_all("gone")?;
        guest.rename("d", "moved", Rename::Replace)?;
        guest.rename("from", "moved/to", Rename::Replace)?;
        guest.make("dir", NewKind::Directory)?;
        for number in 0..5 {
            guest.write(format!("dir/{number}"), format!("{number}").repeat(3000))?;
        }
        guest.make("dir/link", NewKind::Symlink(b"../a"))?;
        guest.link("b", "dir/b")?;
        guest.chmod("b", 0o600)?;
        guest.write_at("dir/hollow", 100_000, "end")
    };
    made().unwrap();
}

/// What the changes come to where there is room.
fn expected(place: &Path) -> Listed {
    let mounted = Mounted::new(place);
    plant(mounted.0);
    let view = View::of(mounted.0).open().unwrap();
    change(&Guest(&view.filesystem));
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    as_root(|cx| view.apply(cx, &changes, &ApplyOptions::default())).unwrap();
    assert!(fs::symlink_metadata(mounted.0.join(".vnode-apply")).is_err());
    list(mounted.0)
}

/// Applies with so much room; tells whether that was enough.
fn apply_in(place: &Path, room: u64, bytes: bool, expected: &Listed) -> bool {
    let context = format!("room for {room}, bytes: {bytes}");
    let mounted = Mounted::new(place);
    plant(place);
    let view = View::of(place).open().unwrap();
    change(&Guest(&view.filesystem));
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    let before: Exact = below(place);
    let used = rustix::fs::statvfs(place).unwrap();
    mounted.limit(&if bytes {
        format!("size={}", (used.f_blocks - used.f_bfree + room) * PAGE)
    } else {
        format!("nr_inodes={}", used.f_files - used.f_ffree + room)
    });
    let apply = || as_root(|cx| view.apply(cx, &changes, &ApplyOptions::default()));
    let done = apply();
    let fits = done.is_ok();
    match done {
        Ok(_) => {}
        Err(error @ ApplyError::Filesystem { errno: Errno::NOSPC, .. }) => {
            assert_eq!(below(place), before, "{context}");
            assert!(error.to_string().contains("nothing was changed"), "{error}");
            mounted.limit("size=64m,nr_inodes=100k");
            apply().unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        Err(ApplyError::Unfinished { errno: Errno::NOSPC, .. }) => {
            assert!(fs::symlink_metadata(place.join(".vnode-apply/journal")).is_ok(), "{context}");
            mounted.limit("size=64m,nr_inodes=100k");
            let recovered = as_root(|cx| recover(cx, place, &ApplyOptions::default()));
            assert!(recovered.unwrap_or_else(|error| panic!("{context}: {error}")).is_some());
        }
        Err(error) => panic!("{context}: {error}"),
    }
    assert_eq!(list(place), *expected, "{context}");
    assert_eq!(fs::metadata(place.join("dir/hollow")).unwrap().blocks(), PAGE / 512, "{context}");
    fits
}

fn fill(place: &Path) {
    let expected = expected(place);
    for bytes in [true, false] {
        let fits = (0..200).find(|room| apply_in(place, *room, bytes, &expected));
        println!("room for {fits:?} is enough, bytes: {bytes}");
        assert!(fits.is_some_and(|room| room > 10), "{fits:?}");
    }
}

#[test]
fn a_filesystem_that_is_full_is_left_as_it_was() {
    if let Some(place) = std::env::var_os(PLACE) {
        return fill(Path::new(&place));
    }
    let place = tempfile::tempdir().unwrap();
    support::mounted::alone("a_filesystem_that_is_full_is_left_as_it_was", PLACE, place.path());
}
