//! Quotas of the host: what is over them is told to a guest as the kernel tells it to a program.
//!
//! A filesystem of btrfs is made for it, whose quota groups bind root as well, with two directories of the same quota:
//! the kernel is asked in one what the guest is asked in the other.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{self as host, FallocateFlags, FileType as HostType, Mode, OFlags, SeekFrom, XattrFlags};
use vnode_core::fs::{Access, Allocate, File, NewKind, Rename, SetXattr};
use vnode_core::io::Source;
use vnode_core::{Errno, Follow, Mode as GuestMode, OpenFlags};
use vnode_host::Host;

use crate::apart;
use crate::guest::Guest;
use crate::scene::Scene;

/// Each directory may have as many bytes, its own name and metadata among them.
const QUOTA: usize = 1 << 20;

/// What is done in either directory. Numbers are offsets and lengths.
#[derive(Clone, Copy, Debug)]
enum Does {
    Create(&'static str),
    Write(&'static str, u64, usize),
    Append(&'static str, usize),
    Allocate(&'static str, u64, u64),
    SetLen(&'static str, u64),
    Mkdir(&'static str),
    Symlink(&'static str),
    Fifo(&'static str),
    Link(&'static str, &'static str),
    Rename(&'static str, &'static str),
    Xattr(&'static str, usize),
    Sync(&'static str),
    Unlink(&'static str),
    Rmdir(&'static str),
    /// The size.
    Look(&'static str),
}

/// A count of bytes, or 0; or the number of an error.
type Came = Result<u64, u16>;

fn by_kernel(dir: &Path, does: Does) -> Came {
    let top = host::open(dir, OFlags::PATH, Mode::empty()).unwrap();
    let mode = Mode::from_raw_mode(0o644);
    let open = |name, more| host::openat(&top, name, OFlags::RDWR | more, mode);
    let flags = OFlags::CREATE | OFlags::EXCL;
    let came =
        |name, with: &dyn Fn(OwnedFd) -> rustix::io::Result<u64>| open(name, OFlags::empty()).and_then(with);
    let done = match does {
        Does::Create(name) => open(name, flags).map(|_| 0),
        Does::Write(name, offset, len) => {
            came(name, &|file| Ok(rustix::io::pwrite(file, &vec![7; len], offset)? as u64))
        }
        Does::Append(name, len) => {
            open(name, OFlags::APPEND).and_then(|file| Ok(rustix::io::write(file, &vec![7; len])? as u64))
        }
        Does::Allocate(name, offset, len) => {
            came(name, &|file| host::fallocate(file, FallocateFlags::empty(), offset, len).map(|()| 0))
        }
        Does::SetLen(name, len) => came(name, &|file| host::ftruncate(file, len).map(|()| 0)),
        Does::Mkdir(name) => host::mkdirat(&top, name, Mode::from_raw_mode(0o755)).map(|()| 0),
        Does::Symlink(name) => host::symlinkat("nowhere", &top, name).map(|()| 0),
        Does::Fifo(name) => host::mknodat(&top, name, HostType::Fifo, mode, 0).map(|()| 0),
        Does::Link(old, new) => host::linkat(&top, old, &top, new, host::AtFlags::empty()).map(|()| 0),
        Does::Rename(old, new) => host::renameat(&top, old, &top, new).map(|()| 0),
        Does::Xattr(name, len) => came(name, &|file| {
            host::fsetxattr(file, "user.x", &vec![7; len], XattrFlags::empty()).map(|()| 0)
        }),
        Does::Sync(name) => came(name, &|file| host::fsync(file).map(|()| 0)),
        Does::Unlink(name) => host::unlinkat(&top, name, host::AtFlags::empty()).map(|()| 0),
        Does::Rmdir(name) => host::unlinkat(&top, name, host::AtFlags::REMOVEDIR).map(|()| 0),
        Does::Look(name) => came(name, &|file| host::seek(file, SeekFrom::End(0))),
    };
    done.map_err(|error| u16::try_from(error.raw_os_error()).unwrap())
}

fn by_guest(guest: &Guest, does: Does) -> Came {
    let flags = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let both = Access::READ | Access::WRITE;
    let opened = |name: &str, with: &dyn Fn(&dyn File) -> vnode_core::Result<u64>| {
        guest.file(name, both, OpenFlags::empty()).and_then(|file| with(&*file))
    };
    let done = match does {
        Does::Create(name) => guest.file(name, both, flags).map(|_| 0),
        Does::Write(name, offset, len) => {
            opened(name, &|file| guest.write_at(file, offset, &vec![7; len]).map(|count| count as u64))
        }
        Does::Append(name, len) => opened(name, &|file| {
            let bytes = vec![7; len];
            let count = guest.call(|caller| file.append(caller.cx, &mut Source::from_slice(&bytes)))?.0;
            Ok(count as u64)
        }),
        Does::Allocate(name, offset, len) => opened(name, &|file| {
            guest.call(|caller| file.allocate(caller.cx, Allocate::Extend, offset, len)).map(|()| 0)
        }),
        Does::SetLen(name, len) => {
            opened(name, &|file| guest.call(|caller| file.set_len(caller.cx, len)).map(|()| 0))
        }
        Does::Mkdir(name) => guest.mkdir(name).map(|()| 0),
        Does::Symlink(name) => guest.symlink("nowhere", name).map(|()| 0),
        Does::Fifo(name) => guest
            .on(name, |caller, base, path| {
                caller.mknod(base, path, NewKind::Fifo, GuestMode::from_raw(0o644))
            })
            .map(|()| 0),
        Does::Link(old, new) => guest.link(old, Follow::No, new).map(|()| 0),
        Does::Rename(old, new) => guest.rename(old, new, Rename::Replace).map(|()| 0),
        Does::Xattr(name, len) => guest
            .on(name, |caller, base, path| {
                caller.set_xattr(base, path, Follow::Yes, b"user.x", &vec![7; len], SetXattr::Any)
            })
            .map(|()| 0),
        Does::Sync(name) => {
            opened(name, &|file| guest.call(|caller| file.sync(caller.cx, false)).map(|()| 0))
        }
        Does::Unlink(name) => guest.unlink(name).map(|()| 0),
        Does::Rmdir(name) => guest.rmdir(name).map(|()| 0),
        Does::Look(name) => guest.stat(name).map(|attr| attr.size),
    };
    done.map_err(Errno::raw)
}

fn btrfs(arguments: &[&OsStr]) {
    let status = Command::new("btrfs").args(arguments).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "btrfs {arguments:?}: {status}");
}

/// Directories of a filesystem of their own, each with the quota, if the machine can make such.
fn limited(scene: &Scene, names: &[&str]) -> Option<Vec<PathBuf>> {
    let (image, at) = (scene.served.with_file_name("image"), scene.served.clone());
    std::fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
    let made = Command::new("mkfs.btrfs").args(["-q", "--mixed"]).arg(&image).stdout(Stdio::null()).status();
    if !made.is_ok_and(|status| status.success()) {
        apart::skipped("quotas of the host: no mkfs.btrfs (package btrfs-progs)");
        return None;
    }
    let mounted =
        Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at).stderr(Stdio::null()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        apart::skipped("quotas of the host: no btrfs or no loop devices");
        return None;
    }
    btrfs(&["quota".as_ref(), "enable".as_ref(), at.as_os_str()]);
    let quota = QUOTA.to_string();
    let made = names.iter().map(|name| {
        let path = at.join(name);
        btrfs(&["subvolume".as_ref(), "create".as_ref(), path.as_os_str()]);
        btrfs(&["qgroup".as_ref(), "limit".as_ref(), quota.as_ref(), path.as_os_str()]);
        path
    });
    Some(made.collect())
}

fn names_in(dir: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// From an empty directory to one over its quota, and back.
const STEPS: &[Does] = &[
    Does::Create("file"),
    Does::Create("other"),
    Does::Mkdir("dir"),
    Does::Write("file", 0, 2 * QUOTA),
    Does::Look("file"),
    Does::Write("file", QUOTA as u64, 1),
    Does::Write("file", 2 * QUOTA as u64, 100_000),
    Does::Look("file"),
    Does::Append("file", 1),
    Does::Append("file", 100_000),
    Does::Append("other", 5000),
    Does::Allocate("file", 2 * QUOTA as u64, 100_000),
    Does::Allocate("other", 0, 1),
    Does::Look("file"),
    Does::Look("other"),
    Does::Create("new"),
    Does::Mkdir("new"),
    Does::Symlink("new"),
    Does::Fifo("new"),
    Does::Link("file", "new"),
    Does::Rename("other", "new"),
    Does::Rename("file", "dir/moved"),
    Does::Xattr("file", 3000),
    Does::SetLen("file", 4 * QUOTA as u64),
    Does::Sync("file"),
    Does::Look("file"),
    Does::SetLen("file", 1),
    Does::Unlink("file"),
    Does::Rmdir("dir"),
];

#[test]
fn what_is_over_a_quota_is_told_as_the_kernel_tells_it() {
    let Some(mounts) = apart::mounts() else { return };
    if apart::was_done("quotas::what_is_over_a_quota_is_told_as_the_kernel_tells_it", &mounts) {
        return;
    }
    let scene = Scene::new();
    let names = ["kernel-runs", "guest-runs", "kernel-steps", "guest-steps"];
    let Some(dirs) = limited(&scene, &names) else { return };
    for (pair, stepwise) in dirs.chunks(2).zip([false, true]) {
        let guest = Guest::new(Host::builder().stepwise(stepwise), &pair[1]);
        let (mut over, mut short) = (Vec::new(), 0);
        for &does in STEPS {
            let kernel = by_kernel(&pair[0], does);
            assert_eq!(by_guest(&guest, does), kernel, "{does:?}");
            assert_eq!(names_in(&pair[1]), names_in(&pair[0]), "{does:?}");
            if kernel == Err(Errno::DQUOT.raw()) {
                over.push(does);
            }
            if let (Ok(count), Does::Write(_, _, len)) = (kernel, does) {
                short += u32::from(count > 0 && count < len as u64);
            }
        }
        println!("over the quota: {over:?}");
        assert!(short > 0, "no write was short");
        let is_over = |kind: fn(&Does) -> bool| assert!(over.iter().any(kind), "{over:?}");
        is_over(|does| matches!(does, Does::Write(..)));
        is_over(|does| matches!(does, Does::Append(..)));
        is_over(|does| matches!(does, Does::Allocate(..)));
        is_over(|does| matches!(does, Does::Create(_)));
        is_over(|does| matches!(does, Does::Mkdir(_)));
        is_over(|does| matches!(does, Does::Symlink(_)));
    }
}
