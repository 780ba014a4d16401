//! Mounts: nested, bound, stacked, made up, read-only.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Process, memory, mount};
use vnode_adapt::ReadOnly;
use vnode_core::fs::Access;
use vnode_core::{Errno, FilesystemRef, MountFlags, Namespace, OpenFlags, Policy};
use vnode_memory::Memory;

#[test]
fn a_mount_hides_what_is_below_it_and_gives_it_back() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    process.mkdir("/m").unwrap();
    process.write("/m/below", "below").unwrap();
    let root = mount(&ns, "/m");
    assert_eq!(process.stat("/m/below"), Err(Errno::NOENT));
    process.write("/m/above", "above").unwrap();
    assert_eq!(process.list("/m").unwrap(), [".", "..", "above"]);
    ns.unmount(&root).unwrap();
    assert_eq!(process.list("/m").unwrap(), [".", "..", "below"]);
    assert_eq!(ns.unmount(&root), Err(Errno::INVAL));
}

#[test]
fn missing_mount_points_are_listed_and_walked_but_made_nowhere() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    mount(&ns, "/a/b/c");
    mount(&ns, "/a/b/d");
    process.write("/a/b/c/file", "x").unwrap();
    assert_eq!(process.list("/").unwrap(), [".", "..", "a"]);
    assert_eq!(process.list("/a/b").unwrap(), [".", "..", "c", "d"]);
    assert_eq!(process.read("/a/b/d/../c/file").unwrap(), "x");
    assert_eq!(process.at("/a/b/c", Policy::Posix).getcwd().unwrap(), "/a/b/c");
    assert_eq!(process.mkdir("/a/new"), Err(Errno::ROFS));
    assert_eq!(process.mkdir("/a"), Err(Errno::EXIST));
    assert_eq!(process.mkdir("/a/b"), Err(Errno::EXIST));
    assert_eq!(process.rmdir("/a"), Err(Errno::BUSY));
    assert_eq!(process.rename("/a", "/z"), Err(Errno::BUSY));
    assert_eq!(process.unlink("/a"), Err(Errno::ISDIR));
    assert_eq!(process.rename("/a/b/c/file", "/file"), Err(Errno::XDEV));
    assert_eq!(process.link("/a/b/c/file", "/file"), Err(Errno::XDEV));
}

#[test]
fn the_top_of_a_stack_is_what_is_seen() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    let first = mount(&ns, "/m");
    process.write("/m/first", "").unwrap();
    let second = mount(&ns, "/m");
    assert_eq!(process.list("/m").unwrap(), [".", ".."]);
    assert_eq!(process.list("/").unwrap(), [".", "..", "m"]);
    assert_eq!(ns.unmount(&first), Err(Errno::BUSY));
    ns.unmount(&second).unwrap();
    assert_eq!(process.list("/m").unwrap(), [".", "..", "first"]);
}

#[test]
fn a_bind_mount_is_the_same_filesystem_at_another_place() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    process.mkdir("/src").unwrap();
    process.mkdir("/src/dir").unwrap();
    process.write("/src/file", "same").unwrap();
    let source = process.resolve("/src").unwrap();
    ns.bind_at(b"/dst", &source, MountFlags::READ_ONLY).unwrap();
    let (one, other) = (process.stat("/src/file").unwrap(), process.stat("/dst/file").unwrap());
    assert_eq!((one.dev, one.ino), (other.dev, other.ino));
    assert_eq!(process.link("/src/file", "/dst/file2"), Err(Errno::ROFS));
    assert_eq!(process.write("/dst/file", ""), Err(Errno::ROFS));
    assert_eq!(process.read("/dst/../dst/dir/../file").unwrap(), "same");
    let file = process.resolve("/src/file").unwrap();
    ns.bind_at(b"/dst/file", &file, MountFlags::empty()).unwrap();
    process.write("/dst/file", "through").unwrap();
    assert_eq!(process.read("/src/file").unwrap(), "through");
    // A mount point is busy whichever way it is reached.
    assert_eq!(process.unlink("/src/file"), Err(Errno::BUSY));
    assert_eq!(ns.bind_at(b"/src/dir", &file, MountFlags::empty()).unwrap_err(), Errno::NOTDIR);
    assert_eq!(ns.bind_at(b"/src/file", &source, MountFlags::empty()).unwrap_err(), Errno::NOTDIR);
}

#[test]
fn mount_points_are_busy_and_their_directories_not_empty() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    process.mkdir("/dir").unwrap();
    process.mkdir("/dir/point").unwrap();
    process.mkdir("/empty").unwrap();
    mount(&ns, "/dir/point");
    assert_eq!(process.rmdir("/dir/point"), Err(Errno::BUSY));
    assert_eq!(process.rename("/dir/point", "/dir/other"), Err(Errno::BUSY));
    assert_eq!(process.rename("/empty", "/dir/point"), Err(Errno::BUSY));
    mount(&ns, "/empty/made-up");
    assert_eq!(process.rmdir("/empty"), Err(Errno::NOTEMPTY));
    process.mkdir("/other").unwrap();
    assert_eq!(process.rename("/other", "/empty"), Err(Errno::NOTEMPTY));
    // The directory that holds a mount point moves, and the mount with it.
    process.write("/dir/point/file", "moved").unwrap();
    process.rename("/dir", "/elsewhere").unwrap();
    assert_eq!(process.read("/elsewhere/point/file").unwrap(), "moved");
    assert_eq!(process.at("/elsewhere/point", Policy::Posix).getcwd().unwrap(), "/elsewhere/point");
    assert_eq!(process.stat("/elsewhere/point/..").unwrap().ino, process.stat("/elsewhere").unwrap().ino);
}

#[test]
fn a_read_only_mount_says_so_last() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    process.mkdir("/src").unwrap();
    process.write("/src/file", "").unwrap();
    ns.bind_at(b"/ro", &process.resolve("/src").unwrap(), MountFlags::READ_ONLY).unwrap();
    assert_eq!(process.mkdir("/ro/file"), Err(Errno::EXIST));
    assert_eq!(process.mkdir("/ro/new"), Err(Errno::ROFS));
    assert_eq!(process.mkdir("/ro/none/new"), Err(Errno::NOENT));
    assert_eq!(process.unlink("/ro/none"), Err(Errno::ROFS));
    let open = |flags| process.open("/ro/file", Access::READ, flags).map(drop);
    assert_eq!(open(OpenFlags::CREATE), Ok(()));
    assert_eq!(open(OpenFlags::CREATE | OpenFlags::EXCLUSIVE), Err(Errno::EXIST));
    assert_eq!(open(OpenFlags::TRUNCATE), Err(Errno::ROFS));
    assert_eq!(process.open("/ro/new", Access::READ, OpenFlags::CREATE).map(drop), Err(Errno::ROFS));
}

#[test]
fn mounting_follows_links_and_refuses_what_is_no_absolute_path() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    process.mkdir("/dir").unwrap();
    process.symlink("dir", "/link").unwrap();
    process.symlink("none", "/dangling").unwrap();
    process.write("/file", "").unwrap();
    mount(&ns, "/link");
    mount(&ns, "/link/sub");
    process.write("/dir/sub/x", "via link").unwrap();
    assert_eq!(process.read("/link/sub/x").unwrap(), "via link");
    let at = |path: &str| ns.mount_at(path.as_bytes(), &memory(), MountFlags::empty()).map(drop);
    assert_eq!(at("relative"), Err(Errno::INVAL));
    assert_eq!(at("/a/../b"), Err(Errno::INVAL));
    assert_eq!(at("/"), Err(Errno::BUSY));
    assert_eq!(at("/file"), Err(Errno::NOTDIR));
    assert_eq!(at("/file/x"), Err(Errno::NOTDIR));
    assert_eq!(at("/dangling"), Err(Errno::NOENT));
    assert_eq!(at("/dangling/x"), Err(Errno::NOENT));
}

#[test]
fn a_namespace_may_be_read_only_as_a_whole() {
    let ns = Namespace::with_flags(memory(), MountFlags::READ_ONLY | MountFlags::NO_ATIME);
    assert_eq!(Process::new(&ns).mkdir("/new"), Err(Errno::ROFS));
    assert_eq!(ns.root().mount().flags(), MountFlags::READ_ONLY | MountFlags::NO_ATIME);
}

#[test]
fn what_is_read_only_stays_so_wherever_it_is_mounted() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    process.mkdir("/src").unwrap();
    let source = process.resolve("/src").unwrap();
    let once = ns.bind_at(b"/once", &source, MountFlags::READ_ONLY).unwrap();
    for (point, flags) in [("/twice", MountFlags::READ_ONLY), ("/still", MountFlags::empty())] {
        ns.bind_at(point.as_bytes(), &once, flags).unwrap();
        assert_eq!(process.mkdir(&format!("{point}/new")), Err(Errno::ROFS), "{point}");
    }
}

#[test]
fn a_filesystem_that_takes_no_changes_is_mounted_read_only() {
    let read_only = || FilesystemRef::new::<ReadOnly<Memory>>(ReadOnly::new(Memory::new()));
    for flags in [MountFlags::empty(), MountFlags::READ_ONLY] {
        let ns = Namespace::with_flags(read_only(), flags);
        assert_eq!(ns.root().mount().flags(), MountFlags::READ_ONLY);
        let ns = Namespace::new(memory());
        let root = ns.mount_at(b"/ro", &read_only(), flags).unwrap();
        assert_eq!(root.mount().flags(), MountFlags::READ_ONLY);
        assert_eq!(ns.root().mount().flags(), MountFlags::empty());
    }
}

#[test]
fn made_up_directories_say_so_and_are_as_old_as_their_mount() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    let root = mount(&ns, "/made/up/point");
    assert!(ns.is_synthetic(&process.resolve("/made/up").unwrap()));
    assert!(!ns.is_synthetic(&root) && !ns.is_synthetic(ns.root()));
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let age = since.as_secs().cast_signed() - process.stat("/made").unwrap().mtime.sec;
    assert!((0..600).contains(&age), "{age} seconds old");
}
