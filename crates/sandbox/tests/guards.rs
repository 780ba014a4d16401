//! What guards files on the host besides their modes, access control lists and capabilities, when they are copied up.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use support::as_root;
use tempfile::TempDir;
use vnode_core::fs::{At, Filesystem as _, Inode, SetXattr};
use vnode_core::{Errno, Mode, Name, Result, SetAttr, SetTime};
use vnode_sandbox::View;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const CAPABILITY: &str = "security.capability";

/// `cap_net_bind_service=ep` (`struct vfs_cap_data`).
const BINDS: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A list: what its owner may do, the user 1234, the owning group, anybody who is named, and others.
fn list(owner: u16, user: u16, group: u16, mask: u16, other: u16) -> Vec<u8> {
    let entries = [(1, owner, u32::MAX), (2, user, 1234), (4, group, u32::MAX), (16, mask, u32::MAX)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, allows, whom) in entries.into_iter().chain([(32, other, u32::MAX)]) {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(allows));
        bytes.extend(u32::to_le_bytes(whom));
    }
    bytes
}

fn set(path: &Path, name: &str, value: &[u8]) -> rustix::io::Result<()> {
    setxattr(path, name, value, XattrFlags::empty())
}

fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut bytes = [0; 256];
    getxattr(path, name, &mut bytes[..]).ok().map(|len| bytes[..len].to_vec())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// `lower/` with a file and a directory that have lists, and files in it without. Nothing: lists can't be had here.
fn place() -> Option<(TempDir, PathBuf)> {
    let place = tempfile::tempdir().unwrap();
    let lower = place.path().join("lower");
    fs::create_dir_all(lower.join("dir")).unwrap();
    for (name, mode) in [("file", 0o660), ("program", 0o755), ("dir/file", 0o644)] {
        fs::write(lower.join(name), name).unwrap();
        fs::set_permissions(lower.join(name), Permissions::from_mode(mode)).unwrap();
    }
    let lists = [("file", ACCESS, list(6, 6, 0, 6, 0)), ("dir", ACCESS, list(7, 5, 5, 7, 7))];
    for (name, kind, list) in lists.into_iter().chain([("dir", DEFAULT, list(7, 7, 0, 7, 0))]) {
        if let Err(error) = set(&lower.join(name), kind, &list) {
            println!("skipped: no access control lists in {}: {error}", lower.display());
            return None;
        }
    }
    Some((place, lower))
}

fn node(view: &View, path: &str) -> std::sync::Arc<dyn Inode> {
    path.split('/').filter(|name| !name.is_empty()).fold(view.filesystem.root(), |dir, name| {
        let name = Name::new(name.as_bytes()).unwrap();
        as_root(|cx| view.filesystem.lookup(cx, At { dir: &dir, name })).unwrap()
    })
}

/// Copies up by a change that leaves the mode.
fn touch(view: &View, path: &str) {
    let node = node(view, path);
    let set = SetAttr { mtime: Some(SetTime::Now), ..SetAttr::default() };
    as_root(|cx| view.filesystem.setattr(cx, &node, &set)).unwrap();
}

/// What a guest can do with an attribute, and which it is shown.
fn tried(view: &View, path: &str, name: &str) -> (Result<usize>, Result<()>, Result<()>, Vec<String>) {
    let (node, fs, name) = (node(view, path), &view.filesystem, name.as_bytes());
    as_root(|cx| {
        let read = fs.get_xattr(cx, &node, name).map(|value| value.len());
        let set = fs.set_xattr(cx, &node, name, &BINDS, SetXattr::Any);
        let removed = fs.remove_xattr(cx, &node, name);
        let mut shown = Vec::new();
        fs.list_xattr(cx, &node, &mut |name| shown.push(String::from_utf8_lossy(name).into())).unwrap();
        (read, set, removed, shown)
    })
}

#[test]
fn lists_and_capabilities_are_copied_and_no_guest_s() {
    let Some((place, lower)) = place() else { return };
    if set(&lower.join("program"), CAPABILITY, &BINDS).is_err() {
        println!("capabilities are not looked at: they can't be set here");
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(lower.join("file"), None, Some(5555)).unwrap();
    }
    let view = View::of(&lower).changes_in(place.path().join("changes")).open().unwrap();
    let upper = place.path().join("changes/upper");
    let nothing = (Err(Errno::OPNOTSUPP), Err(Errno::OPNOTSUPP), Err(Errno::OPNOTSUPP), Vec::new());
    for copied in [false, true] {
        for path in ["file", "program", "dir"] {
            if copied {
                touch(&view, path);
            }
            for name in [ACCESS, DEFAULT, CAPABILITY] {
                assert_eq!(tried(&view, path, name), nothing, "{name} of {path}, copied: {copied}");
            }
            assert_eq!(upper.join(path).exists(), copied, "{path}");
        }
    }
    touch(&view, "dir/file");
    for path in ["file", "program", "dir", "dir/file"] {
        for name in [ACCESS, DEFAULT, CAPABILITY] {
            assert_eq!(get(&upper.join(path), name), get(&lower.join(path), name), "{name} of {path}");
        }
        assert_eq!(mode(&upper.join(path)), mode(&lower.join(path)), "{path}");
    }
    let gid = |path: PathBuf| fs::metadata(path).unwrap().gid();
    assert_eq!(gid(upper.join("file")), gid(lower.join("file")));
}

#[test]
fn without_its_list_a_copy_allows_nobody_more() {
    let Some((place, lower)) = place() else { return };
    let changes = place.path().join("changes");
    fs::create_dir(&changes).unwrap();
    // Others may enter it: what guards files isn't kept there.
    fs::set_permissions(&changes, Permissions::from_mode(0o755)).unwrap();
    let in_directory = View::of(&lower).changes_in(&changes).open().unwrap();
    let in_memory = View::of(&lower).open().unwrap();
    set(&lower.join("program"), CAPABILITY, &BINDS).ok();
    let most = Mode::RWXU | Mode::RWXG | Mode::RWXO;
    for view in [in_directory, in_memory] {
        for (path, before, after) in [
            ("file", 0o660, 0o600),
            ("dir", 0o777, 0o755),
            ("dir/file", 0o644, 0o644),
            ("program", 0o755, 0o755),
        ] {
            let now = || {
                let attr = as_root(|cx| view.filesystem.getattr(cx, &node(&view, path))).unwrap();
                (attr.mode & most).raw()
            };
            if path != "dir/file" {
                assert_eq!(now(), before, "{path}");
            }
            touch(&view, path);
            assert_eq!(now(), after, "{path}");
            assert_eq!(tried(&view, path, ACCESS).3, [""; 0], "{path}");
        }
    }
    assert_eq!(mode(&changes.join("upper/file")), 0o600);
    assert_eq!(get(&changes.join("upper/file"), ACCESS), None);
    assert_eq!(get(&changes.join("upper/program"), CAPABILITY), None);
}

#[test]
fn the_root_of_what_is_seen_has_the_list_of_the_lower_s() {
    let Some((place, lower)) = place() else { return };
    set(&lower, ACCESS, &list(7, 5, 0, 5, 0)).unwrap();
    let changes = place.path().join("changes");
    drop(View::of(&lower).changes_in(&changes).open().unwrap());
    assert_eq!(get(&changes.join("upper"), ACCESS), get(&lower, ACCESS));
    assert_eq!(mode(&changes.join("upper")), mode(&lower));
    let open = place.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
    drop(View::of(&lower).changes_in(&open).open().unwrap());
    assert_eq!((mode(&open.join("upper")), get(&open.join("upper"), ACCESS)), (0o700, None));
}

/// Whatever has a list at or below a path.
fn listed(path: &Path, found: &mut Vec<PathBuf>) {
    if [ACCESS, DEFAULT].iter().any(|name| get(path, name).is_some()) {
        found.push(path.to_owned());
    }
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| listed(&entry.unwrap().path(), found));
    }
}

#[test]
fn nothing_inherits_a_list_of_where_changes_are_kept() {
    let Some((place, lower)) = place() else { return };
    for dir in ["plain", "more"] {
        fs::create_dir(lower.join(dir)).unwrap();
        fs::write(lower.join(dir).join("file"), dir).unwrap();
    }
    let (above, leaks) = (place.path().join("above"), list(7, 7, 7, 7, 7));
    fs::create_dir_all(above.join("there")).unwrap();
    fs::set_permissions(above.join("there"), Permissions::from_mode(0o700)).unwrap();
    for dir in [&above, &above.join("there")] {
        set(dir, DEFAULT, &leaks).unwrap();
    }
    for changes in [above.join("new"), above.join("there")] {
        let view = View::of(&lower).changes_in(&changes).open().unwrap();
        touch(&view, "plain/file");
        drop(view);
        let mut found = Vec::new();
        listed(&changes, &mut found);
        // A directory that was there is whoever gave it's; files in it that the overlay makes are for the owner alone.
        let own = |path: &Path| ["there", "meta", "lock"].iter().any(|name| path.ends_with(name));
        found.retain(|path| !own(path) || !changes.ends_with("there"));
        assert_eq!(found, [""; 0].map(PathBuf::from), "{}", changes.display());
        let made = ["upper/plain", "upper/plain/file"].map(|path| mode(&changes.join(path)));
        assert_eq!(made, ["plain", "plain/file"].map(|path| mode(&lower.join(path))));

        // Of an overlay that was made before.
        set(&changes.join("work"), DEFAULT, &leaks).unwrap();
        set(&changes.join("work"), ACCESS, &leaks).unwrap();
        let view = View::of(&lower).changes_in(&changes).open().unwrap();
        touch(&view, "more/file");
        drop(view);
        for path in ["work", "upper", "upper/more", "upper/more/file"] {
            let lists = [ACCESS, DEFAULT].map(|name| get(&changes.join(path), name));
            assert_eq!(lists, [None, None], "{path}");
        }
        assert_eq!(mode(&changes.join("work")), 0o700);
    }
}
