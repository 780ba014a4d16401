//! The scope table: who may go where, cell by cell.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Process, memory, mount};
use vnode_core::{Errno, Namespace, Policy};

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
