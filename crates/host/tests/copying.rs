//! Files of the host that take content from one another, each way that the host's filesystems have for it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

#[allow(dead_code, reason = "the other tests' too")]
#[path = "attacks/apart.rs"]
mod apart;
#[allow(dead_code, reason = "the other tests' too")]
#[path = "attacks/scene.rs"]
mod scene;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use scene::Scene;
use vnode_core::fs::{Access, At, File, Filesystem, NewInode, NewKind};
use vnode_core::{Clock, Credentials, Cx, Errno, Mode, Name, Result, Timespec};
use vnode_host::Host;

const MIB: u64 = 1 << 20;

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

fn as_root<T>(call: impl FnOnce(&Cx<'_>) -> T) -> T {
    let who = Credentials::root();
    call(&Cx::new(&who, &Epoch))
}

fn open(dir: &Path, name: &str, access: Access) -> Arc<dyn File> {
    let host = Host::new(dir).unwrap();
    let root = host.root();
    let at = At { dir: &root, name: Name::new(name.as_bytes()).unwrap() };
    as_root(|cx| {
        let inode = host.lookup(cx, at).or_else(|_| {
            let new = NewInode { kind: NewKind::Regular, mode: Mode::from_raw(0o644), uid: 0, gid: 0 };
            host.create(cx, at, new)
        });
        host.open(cx, &inode.unwrap(), access).unwrap()
    })
}

/// Has a new file take the first `len` bytes of one of another directory; answers the calls that it took.
fn take(to: &Path, from: &Path, len: u64) -> Result<u64> {
    let source = open(from, "from", Access::READ);
    let target = open(to, "to", Access::WRITE);
    let (mut done, mut calls) = (0, 0);
    while done < len {
        let taken = as_root(|cx| {
            source.lend(cx, &mut |source| target.copy_range(cx, done, source, done, len - done))
        })?;
        assert!(taken > 0);
        done += taken;
        calls += 1;
    }
    assert_eq!(done, len);
    Ok(calls)
}

/// Makes `from` with data at these offsets, each a MiB of its own.
fn make(dir: &Path, offsets: &[u64], size: u64) -> Vec<u8> {
    let file = fs::File::create(dir.join("from")).unwrap();
    let mut content = vec![0; size as usize];
    for (&offset, number) in offsets.iter().zip(1..) {
        let piece: Vec<u8> = (0..MIB).map(|at| (at * number % 251) as u8).collect();
        file.write_all_at(&piece, offset).unwrap();
        content[offset as usize..][..piece.len()].copy_from_slice(&piece);
    }
    file.set_len(size).unwrap();
    file.sync_all().unwrap();
    content
}

#[test]
fn the_kernel_copies_and_leaves_holes() {
    let (from, to) = (Scene::new(), Scene::new());
    let content = make(&from.served, &[2 * MIB, 4 * MIB, 9 * MIB], 12 * MIB + 5);
    let atime = fs::metadata(from.at("from")).unwrap().atime();
    let calls = take(&to.served, &from.served, 12 * MIB + 5).unwrap();
    assert!(calls > 1);
    assert_eq!(fs::read(to.at("to")).unwrap(), content);
    let (copy, origin) = (fs::metadata(to.at("to")).unwrap(), fs::metadata(from.at("from")).unwrap());
    assert_eq!(copy.blocks(), origin.blocks());
    assert_eq!(origin.atime(), atime);
    fs::write(from.at("from"), b"other").unwrap();
    assert_eq!(fs::read(to.at("to")).unwrap(), content);
}

#[test]
fn a_part_is_as_long_as_it_is() {
    let scene = Scene::new();
    let content = make(&scene.served, &[0, 3 * MIB], 4 * MIB);
    for len in [1, MIB - 1, MIB, 2 * MIB + 3, 3 * MIB + 1, 4 * MIB] {
        take(&scene.served, &scene.served, len).unwrap();
        assert_eq!(fs::read(scene.at("to")).unwrap(), content[..len as usize], "{len}");
        fs::remove_file(scene.at("to")).unwrap();
    }
}

#[test]
fn what_is_there_is_not_written_over() {
    let scene = Scene::new();
    make(&scene.served, &[0], MIB);
    scene.write("to", b"here");
    assert_eq!(take(&scene.served, &scene.served, MIB), Err(Errno::OPNOTSUPP));
    assert_eq!(fs::read(scene.at("to")).unwrap(), b"here");
    // A file whose size says nothing can't be told apart from an empty one; one that says too much can.
    let (source, target) = (
        open(Path::new("/sys/kernel"), "uevent_seqnum", Access::READ),
        open(&scene.served, "new", Access::WRITE),
    );
    let taken = as_root(|cx| source.lend(cx, &mut |source| target.copy_range(cx, 0, source, 0, 4096)));
    assert!(matches!(taken, Err(Errno::OPNOTSUPP) | Ok(1..)), "{taken:?}");
}

/// Whether the test is done: it was, in a process that may mount, or it can't be.
fn done(test: &str) -> bool {
    match apart::mounts() {
        None => true,
        Some(launcher) => apart::was_done(test, &launcher),
    }
}

/// Mounts something over the directory that a scene serves.
fn mounted(scene: &Scene, words: &[&str]) -> bool {
    let status = Command::new("mount").args(words).arg(&scene.served).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Bytes that are not free, all being on the medium.
fn used(dir: &Path) -> u64 {
    let top = fs::File::open(dir).unwrap();
    rustix::fs::syncfs(&top).unwrap();
    let stat = rustix::fs::fstatvfs(&top).unwrap();
    (stat.f_blocks - stat.f_bfree) * stat.f_frsize
}

#[test]
fn a_filesystem_that_shares_content_does() {
    if done("a_filesystem_that_shares_content_does") {
        return;
    }
    let scene = Scene::new();
    let image = scene.served.with_file_name("image");
    fs::File::create(&image).unwrap().set_len(256 * MIB).unwrap();
    let mut made = Command::new("mkfs.btrfs");
    let made = made.arg("-q").arg(&image).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !made.is_ok_and(|status| status.success()) {
        return apart::skipped("sharing content on the host: no mkfs.btrfs (package btrfs-progs)");
    }
    if !mounted(&scene, &["-o", "loop", &image.to_string_lossy()]) {
        return apart::skipped("sharing content on the host: no btrfs or no loop devices");
    }
    let (one, two) = (scene.mkdir("one"), scene.mkdir("two"));
    let offsets: Vec<u64> = (0..60).filter(|at| at % 20 != 3).map(|at| at * MIB).collect();
    let content = make(&one, &offsets, 60 * MIB);
    let before = used(&scene.served);
    assert_eq!(take(&two, &one, 60 * MIB), Ok(1));
    let grown = used(&scene.served).saturating_sub(before);
    assert!(grown < MIB, "{grown} bytes more are used");
    fs::File::options().write(true).open(two.join("to")).unwrap().write_all_at(b"changed", MIB).unwrap();
    assert_eq!(fs::read(one.join("from")).unwrap(), content);
    let mut changed = content;
    changed[MIB as usize..][..7].copy_from_slice(b"changed");
    assert_eq!(fs::read(two.join("to")).unwrap(), changed);
    // A part ends where a block does, or its end is copied.
    fs::remove_file(two.join("to")).unwrap();
    let before = used(&scene.served);
    take(&two, &one, 50 * MIB + 5).unwrap();
    let grown = used(&scene.served).saturating_sub(before);
    assert!(grown < 2 * MIB, "{grown} bytes more are used");
    assert_eq!(fs::metadata(two.join("to")).unwrap().len(), 50 * MIB + 5);
}

#[test]
fn a_full_filesystem_says_so() {
    if done("a_full_filesystem_says_so") {
        return;
    }
    let scene = Scene::new();
    assert!(mounted(&scene, &["-t", "tmpfs", "-o", "size=6m", "none"]));
    let content = make(&scene.served, &[0, MIB, 2 * MIB, 3 * MIB], 4 * MIB);
    assert_eq!(take(&scene.served, &scene.served, 4 * MIB), Err(Errno::NOSPC));
    let copied = fs::read(scene.at("to")).unwrap();
    assert_eq!(copied, content[..copied.len()]);
    assert!(copied.len() <= 2 * MIB as usize);
    // From another filesystem, of which the kernel doesn't copy.
    let other = Scene::new();
    make(&other.served, &[0], MIB);
    fs::remove_file(scene.at("to")).unwrap();
    assert_eq!(take(&scene.served, &other.served, MIB), Err(Errno::OPNOTSUPP));
}
