//! Changes are applied by a user who isn't root: to what is his, whatever he forbade himself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use support::as_root;
use support::guest::Guest;
use support::host::{list, put};
use support::places::told_of;
use vnode_core::fs::{NewKind, Remove, Rename};
use vnode_sandbox::{ApplyError, ApplyOptions, View};

/// The directory that the child works in.
const DIRECTORY: &str = "VNODE_APPLY_USER";
/// Nobody.
const USER: u32 = 65534;
/// A group that the user is in.
const GROUP: u32 = 2000;

fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// What the user does in a directory of his.
fn work(place: &Path) {
    let at = |name: &str| place.join(name);
    for dir in ["d", "d/sub", "e", "e/gone", "e/gone/below"] {
        fs::create_dir(at(dir)).unwrap();
    }
    for file in ["a", "d/f", "d/g", "d/sub/h", "e/gone/below/i", "e/k"] {
        put(at(file), file);
    }
    for dir in ["e/gone/below", "e/gone", "e", "d/sub", "d"] {
        chmod(at(dir), 0o555);
    }
    // In memory, where what the host forbids its user is no matter.
    let view = View::of(place).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.write("d/f", "changed").unwrap();
    guest.write("d/new", "new").unwrap();
    guest.chmod("d/new", 0o400).unwrap();
    guest.rename("d/sub", "moved", Rename::Replace).unwrap();
    guest.write("moved/more", "more").unwrap();
    guest.remove("d/g", Remove::File).unwrap();
    guest.remove_all("e/gone").unwrap();
    guest.rename("e/k", "d/k", Rename::Replace).unwrap();
    guest.make("dir", NewKind::Directory).unwrap();
    guest.write("dir/l", "l").unwrap();
    guest.chmod("dir", 0o500).unwrap();
    guest.set_xattr("a", b"user.told", b"yes").unwrap();
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    as_root(|cx| view.apply(cx, &changes, &ApplyOptions::default())).unwrap();
    let text = |name: &str| fs::read_to_string(at(name)).unwrap();
    for (name, content) in
        [("d/f", "changed"), ("d/new", "new"), ("moved/h", "d/sub/h"), ("moved/more", "more"), ("d/k", "e/k")]
    {
        assert_eq!(text(name), content, "{name}");
    }
    for gone in ["d/sub", "d/g", "e/gone", "e/k", ".vnode-apply"] {
        assert!(fs::symlink_metadata(at(gone)).is_err(), "{gone}");
    }
    let modes = ["d", "e", "moved", "dir", "d/f", "d/new", "a"].map(|name| mode(at(name)));
    assert_eq!(modes, [0o555, 0o555, 0o555, 0o500, 0o644, 0o400, 0o644]);
    assert_eq!(text("dir/l"), "l");
}

/// What is another user's there is left alone, and so is all else.
fn refuse(place: &Path) {
    let view = View::of(place).open().unwrap();
    let guest = Guest(&view.filesystem);
    let before = list(place);
    guest.remove("mine", Remove::File).unwrap();
    guest.write("roots/x", "guest").unwrap();
    guest.remove("shared/y", Remove::File).unwrap();
    guest.chmod("z", 0o600).unwrap();
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    let options = ApplyOptions { force: true, ..ApplyOptions::default() };
    let refused = as_root(|cx| view.apply(cx, &changes, &options)).unwrap_err();
    let ApplyError::Denied(paths) = &refused else { panic!("{refused}") };
    let paths: Vec<_> = paths.iter().map(|path| path.escape_ascii().to_string()).collect();
    assert_eq!(paths, ["/roots/x", "/shared/y", "/z"]);
    assert_eq!(list(place), before);
    assert!(matches!(as_root(|cx| view.plan(cx, &changes, &options)), Err(ApplyError::Denied(_))));
}

/// What others own and let everybody write to takes new names, and stays theirs.
fn share(place: &Path) {
    let view = View::of(place).changes_in(place.parent().unwrap().join("upper")).open().unwrap();
    let guest = Guest(&view.filesystem);
    for name in ["new", "open/new", "open/deep/new"] {
        guest.write(name, "guest").unwrap();
    }
    guest.rename("open/f", "open/g", Rename::Replace).unwrap();
    guest.write("open/same", "root's").unwrap();
    let told = told_of(&view);
    assert_eq!(told, ["A /new", "A /open/deep/new", "R /open/g", "A /open/new"]);
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    as_root(|cx| view.apply(cx, &changes, &ApplyOptions::default())).unwrap();
    for name in ["new", "open/new", "open/deep/new"] {
        assert_eq!(fs::read_to_string(place.join(name)).unwrap(), "guest");
    }
    let owner = |name: &str| fs::symlink_metadata(place.join(name)).unwrap().uid();
    assert_eq!(["", "open", "open/deep", "open/g", "new"].map(owner), [0, 0, 0, 0, USER]);
    assert_eq!((mode(place), mode(place.join("open/g"))), (0o777, 0o4666));
    assert!(!place.join(".vnode-apply").exists());
}

/// What is made in a directory is its group's, if that is said to be so.
fn join_group(place: &Path) {
    let view = View::of(place).changes_in(place.parent().unwrap().join("upper2")).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.write("new", "guest").unwrap();
    guest.make("dir", NewKind::Directory).unwrap();
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    as_root(|cx| view.apply(cx, &changes, &ApplyOptions::default())).unwrap();
    let group = |name: &str| fs::symlink_metadata(place.join(name)).unwrap().gid();
    assert_eq!(["new", "dir"].map(group), [GROUP; 2]);
    assert_eq!(mode(place.join("dir")), 0o2755);
}

fn work_and_let_go(place: &Path) {
    let place = place.join("place");
    fs::create_dir(&place).unwrap();
    work(&place);
    let others = place.parent().unwrap().join("others");
    if others.exists() {
        refuse(&others);
        share(&place.parent().unwrap().join("everybodys"));
        join_group(&place.parent().unwrap().join("groups"));
    }
    // So that it can be removed.
    for dir in ["d", "e", "moved", "dir"] {
        chmod(place.join(dir), 0o755);
    }
}

#[test]
fn a_user_applies_to_what_is_his() {
    if let Some(place) = std::env::var_os(DIRECTORY) {
        return work_and_let_go(Path::new(&place));
    }
    let place = tempfile::tempdir().unwrap();
    if !rustix::process::geteuid().is_root() {
        return work_and_let_go(place.path());
    }
    chown(place.path(), Some(USER), Some(USER)).unwrap();
    let others = place.path().join("others");
    for dir in ["", "roots", "shared"] {
        fs::create_dir(others.join(dir)).unwrap();
    }
    for file in ["mine", "roots/x", "shared/y", "z"] {
        put(others.join(file), "root's");
        chmod(others.join(file), 0o666);
    }
    chown(&others, Some(USER), Some(USER)).unwrap();
    chmod(others.join("shared"), 0o1777);
    let everybodys = place.path().join("everybodys");
    for dir in ["", "open", "open/deep"] {
        fs::create_dir(everybodys.join(dir)).unwrap();
        chmod(everybodys.join(dir), 0o777);
    }
    for file in ["open/f", "open/same"] {
        put(everybodys.join(file), "root's");
        chmod(everybodys.join(file), 0o4666);
    }
    let groups = place.path().join("groups");
    fs::create_dir(&groups).unwrap();
    chown(&groups, Some(USER), Some(GROUP)).unwrap();
    chmod(&groups, 0o2775);
    // Where a user who isn't root finds it.
    let program = place.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut child = Command::new("setpriv");
    let ids = [format!("--reuid={USER}"), format!("--regid={USER}"), format!("--groups={GROUP}")];
    child.args(ids).args(["--inh-caps=-all", "--"]).arg(&program);
    child.args(["--exact", "a_user_applies_to_what_is_his", "--nocapture"]);
    child.current_dir(place.path()).env(DIRECTORY, place.path());
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
