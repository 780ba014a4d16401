//! Views of directories of the host: what they leave there, who may have them, and modes that set users.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use support::as_root;
use tempfile::TempDir;
use vnode_core::fs::{Access, At, Filesystem as _};
use vnode_core::io::Source;
use vnode_core::{Errno, Mode, Name, Result, SetAttr};
use vnode_sandbox::{Marks, View, ViewError};

/// Appends to a file in the root of a view.
fn append(view: &View, name: &str, text: &str) -> Result<()> {
    let fs = &view.filesystem;
    as_root(|cx| {
        let dir = fs.root();
        let inode = fs.lookup(cx, At { dir: &dir, name: Name::new(name.as_bytes())? })?;
        let file = fs.open(cx, &inode, Access::WRITE)?;
        file.append(cx, &mut Source::from_slice(text.as_bytes())).map(drop)
    })
}

fn set_mode(view: &View, name: &str, mode: u32) -> Result<()> {
    let fs = &view.filesystem;
    as_root(|cx| {
        let dir = fs.root();
        let inode = fs.lookup(cx, At { dir: &dir, name: Name::new(name.as_bytes())? })?;
        fs.setattr(cx, &inode, &SetAttr { mode: Some(Mode::from_raw(mode)), ..SetAttr::default() })
    })
}

/// A directory with `lower/file` and, set-user-id, `lower/sudo`.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let lower = place.path().join("lower");
    fs::create_dir(&lower).unwrap();
    for (name, mode) in [("file", 0o644), ("sudo", 0o4755)] {
        fs::write(lower.join(name), name).unwrap();
        fs::set_permissions(lower.join(name), Permissions::from_mode(mode)).unwrap();
    }
    place
}

fn view(place: &TempDir, upper: &str) -> std::result::Result<View, ViewError> {
    View::of(place.path().join("lower")).changes_in(place.path().join(upper)).open()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn the_directory_is_let_go_with_the_last_of_a_view() {
    let place = place();
    let first = view(&place, "changes").unwrap();
    let Err(ViewError::InUse { process, .. }) = view(&place, "changes") else { panic!("it was not locked") };
    assert_eq!(process, Some(std::process::id()));
    let (kept, dir) = (first.filesystem.clone(), first.filesystem.root());
    drop(first);
    assert!(matches!(view(&place, "changes"), Err(ViewError::InUse { .. })));
    let file = as_root(|cx| {
        let inode = kept.lookup(cx, At { dir: &dir, name: Name::new(b"file").unwrap() })?;
        kept.open(cx, &inode, Access::READ)
    });
    drop((kept, dir));
    assert!(matches!(view(&place, "changes"), Err(ViewError::InUse { .. })), "a file is open");
    drop(file);
    view(&place, "changes").unwrap();
}

#[test]
fn a_mode_that_sets_users_stays_where_nobody_else_enters() {
    let place = place();
    let private = view(&place, "private").unwrap();
    append(&private, "sudo", "!").unwrap();
    set_mode(&private, "file", 0o4755).unwrap();
    let upper = place.path().join("private/upper");
    assert_eq!((mode(&upper.join("sudo")), mode(&upper.join("file"))), (0o4755, 0o4755));

    let open = place.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
    let view = view(&place, "open").unwrap();
    assert_eq!(set_mode(&view, "file", 0o4755), Err(Errno::PERM));
    append(&view, "sudo", "!").unwrap();
    assert_eq!(fs::read_to_string(open.join("upper/sudo")).unwrap(), "sudo!");
    assert_eq!(mode(&open.join("upper/sudo")), 0o755);
    assert_eq!(mode(&place.path().join("lower/sudo")), 0o4755);
}

#[test]
fn the_marks_of_the_run_before_are_gone_on_with() {
    let place = place();
    let (lower, upper) = (place.path().join("lower"), place.path().join("changes"));
    let user = View::of(&lower).changes_in(&upper).marks(Marks::User).open().unwrap();
    append(&user, "file", "!").unwrap();
    drop(user);
    let head = fs::read_to_string(upper.join("meta")).unwrap();
    assert!(head.starts_with("vnode-overlay-meta 1 user\n"), "{head}");
    append(&view(&place, "changes").unwrap(), "file", "?").unwrap();
    assert_eq!(fs::read_to_string(upper.join("upper/file")).unwrap(), "file!?");
    let trusted = View::of(&lower).changes_in(&upper).marks(Marks::Trusted).open();
    assert!(matches!(trusted, Err(ViewError::Version { .. })));
}

#[test]
fn a_view_of_nothing_is_none() {
    let place = place();
    let missing = View::of(place.path().join("missing")).changes_in(place.path().join("changes")).open();
    assert!(matches!(missing, Err(ViewError::Lower(_))));
    // Nothing was made for it.
    assert!(!place.path().join("changes").exists());
    let many = (0..255).fold(View::of(place.path().join("lower")), |view, _| view.over(place.path()));
    assert!(matches!(many.open(), Err(ViewError::TooMany { given: 256 })));
}
