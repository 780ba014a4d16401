//! The scope table: who may go where, cell by cell.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use support::{Process, memory, mount, vpath};
use vnode_core::fs::Access;
use vnode_core::{Caller, Clock, Cx, Errno, Follow, Namespace, OpenFlags, Policy, Timespec};

/// /out/secret, /base/file, /base/sub, and links of every kind in /base.
fn tree(ns: &Namespace) -> Process<'_> {
    let process = Process::new(ns);
    for dir in ["/out", "/base", "/base/sub"] {
        process.mkdir(dir).unwrap();
    }
    process.write("/out/secret", "secret").unwrap();
    process.write("/base/file", "file").unwrap();
    for (target, link) in [
        ("/out/secret", "/base/absolute"),
        ("/base/file", "/base/absolute-inside"),
        ("../out/secret", "/base/up"),
        ("../../../../out/secret", "/base/far-up"),
        ("sub/../file", "/base/inside"),
        ("/out", "/base/out"),
    ] {
        process.symlink(target, link).unwrap();
    }
    process
}

#[test]
fn posix_processes_see_their_root_and_nothing_above() {
    let ns = Namespace::new(memory());
    let process = tree(&ns).at("/base", Policy::Posix);
    for path in ["/out/secret", "../out/secret", "../../../out/secret", "absolute", "up", "far-up"] {
        assert_eq!(process.read(path).as_deref(), Ok("secret"), "{path}");
    }
    let jail = Process { root: process.base.clone(), ..process.at(".", Policy::Posix) };
    assert_eq!(jail.read("/file").as_deref(), Ok("file"));
    assert_eq!(jail.read("../../file").as_deref(), Ok("file"));
    // In there, /out is the link to /out.
    assert_eq!(jail.read("absolute"), Err(Errno::LOOP));
    assert_eq!(jail.read("up"), Err(Errno::LOOP));
    assert_eq!(jail.read("absolute-inside"), Err(Errno::NOENT));
    assert_eq!(jail.getcwd().as_deref(), Ok("/"));
}

#[test]
fn preview1_keeps_its_own_text_beneath_and_lets_links_lead_on() {
    let ns = Namespace::new(memory());
    let process = tree(&ns).at("/base", Policy::Beneath);
    for path in ["/out/secret", "/", "..", "../base/file", "sub/../../base/file", "sub/../.."] {
        assert_eq!(process.read(path), Err(Errno::NOTCAPABLE), "{path}");
        assert_eq!(process.mkdir(&format!("{path}/new")), Err(Errno::NOTCAPABLE), "{path}");
    }
    for path in ["absolute", "up", "far-up", "out/secret", "out/../out/secret"] {
        assert_eq!(process.read(path).as_deref(), Ok("secret"), "{path}");
    }
    for path in ["inside", "absolute-inside", "sub/../file", "./file", "out/../base/file"] {
        assert_eq!(process.read(path).as_deref(), Ok("file"), "{path}");
    }
    // Behind a link that left the base, `..` ends at the process's root, as everywhere.
    assert_eq!(process.read("out/../../../out/secret").as_deref(), Ok("secret"));
}

#[test]
fn strict_keeps_everything_beneath() {
    let ns = Namespace::new(memory());
    let process = tree(&ns).at("/base", Policy::Strict);
    for path in
        ["/out/secret", "..", "sub/../..", "absolute", "absolute-inside", "up", "far-up", "out/secret"]
    {
        assert_eq!(process.read(path), Err(Errno::PERM), "{path}");
    }
    assert_eq!(process.read("inside").as_deref(), Ok("file"));
    assert_eq!(process.symlink("/x", "new"), Err(Errno::PERM));
    assert_eq!(process.readlink("absolute"), Err(Errno::PERM));
    assert_eq!(process.readlink("up").as_deref(), Ok("../out/secret"));
    assert_eq!(process.symlink("../x", "new"), Ok(()));
}

#[test]
fn links_resolve_the_same_in_every_mount() {
    let ns = Namespace::new(memory());
    let process = Process::new(&ns);
    mount(&ns, "/mnt/deep");
    process.write("/top", "top").unwrap();
    process.symlink("/top", "/mnt/deep/absolute").unwrap();
    process.symlink("../../top", "/mnt/deep/relative").unwrap();
    process.symlink("/mnt/deep/relative", "/back").unwrap();
    for path in ["/mnt/deep/absolute", "/mnt/deep/relative", "/back"] {
        assert_eq!(process.read(path).as_deref(), Ok("top"), "{path}");
    }
    assert_eq!(process.readlink("/mnt/deep/absolute").as_deref(), Ok("/top"));
}

#[test]
fn a_place_follows_renames_and_survives_removal() {
    let ns = Namespace::new(memory());
    let process = tree(&ns);
    let sub = process.at("/base/sub", Policy::Posix);
    process.rename("/base", "/moved").unwrap();
    assert_eq!(sub.getcwd().as_deref(), Ok("/moved/sub"));
    assert_eq!(sub.read("../file").as_deref(), Ok("file"));
    process.rmdir("/moved/sub").unwrap();
    assert_eq!(sub.getcwd(), Err(Errno::NOENT));
    assert_eq!(sub.mkdir("new"), Err(Errno::NOENT));
    assert_eq!(sub.read("../file").as_deref(), Ok("file"));
    assert_eq!(sub.list("."), Err(Errno::NOENT));
    assert_eq!(sub.stat(".").unwrap().nlink, 0);
}

#[test]
fn making_a_file_is_no_way_up() {
    let ns = Namespace::new(memory());
    let process = tree(&ns);
    let open = |policy, path: &str| {
        process.at("/base", policy).open(path, Access::WRITE, OpenFlags::CREATE).map(drop)
    };
    for path in ["..", "sub/../.."] {
        assert_eq!(open(Policy::Posix, path), Err(Errno::ISDIR), "{path}");
        assert_eq!(open(Policy::Beneath, path), Err(Errno::NOTCAPABLE), "{path}");
        assert_eq!(open(Policy::Strict, path), Err(Errno::PERM), "{path}");
    }
    assert_eq!(open(Policy::Strict, "sub/.."), Err(Errno::ISDIR));
}

#[test]
fn an_absolute_path_needs_no_directory_to_start_from() {
    let ns = Namespace::new(memory());
    let file = tree(&ns).at("/base/file", Policy::Posix);
    assert_eq!(file.read("/out/secret").as_deref(), Ok("secret"));
    assert_eq!(file.write("/new", ""), Ok(()));
    for path in ["out", ".", ".."] {
        assert_eq!(file.stat(path), Err(Errno::NOTDIR), "{path}");
        assert_eq!(file.mkdir(path), Err(Errno::NOTDIR), "{path}");
    }
}

/// Moves /base/sub/in to /out when the walk reads the link in it, for that asks for the time.
struct Mover<'a> {
    ns: &'a Namespace,
    moved: AtomicBool,
}

impl Clock for Mover<'_> {
    fn now(&self) -> Timespec {
        if !self.moved.swap(true, Ordering::Relaxed) {
            Process::new(self.ns).rename("/base/sub/in", "/out/in").unwrap();
        }
        Timespec { sec: 1_000_001, nsec: 0 }
    }
}

#[test]
fn a_directory_that_moves_under_a_walk_leads_nowhere_out() {
    for (policy, found) in
        [(Policy::Strict, Err(Errno::NOENT)), (Policy::Beneath, Err(Errno::NOENT)), (Policy::Posix, Ok(()))]
    {
        let ns = Namespace::new(memory());
        let process = tree(&ns).at("/base", policy);
        process.mkdir("sub/in").unwrap();
        process.symlink(".", "sub/in/link").unwrap();
        let clock = Mover { ns: &ns, moved: AtomicBool::new(false) };
        let cx = Cx::new(&process.who, &clock);
        let caller = Caller { ns: &ns, cx: &cx, root: &process.root, policy };
        // From the place that it has now, `..` would be /out.
        let secret = vpath("sub/in/link/../secret").unwrap();
        assert_eq!(caller.stat(&process.base, secret, Follow::Yes).map(drop), found, "{policy:?}");
        assert!(clock.moved.load(Ordering::Relaxed));
    }
}
