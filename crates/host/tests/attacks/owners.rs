//! Owners that are kept: what a guest makes is given to the guest's user, and nothing else is.

use std::fs::rename;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vnode_core::fs::NewKind;
use vnode_core::{Caller, Clock, Credentials, Cx, Errno, Mode, Policy, Result, Timespec, VPath};
use vnode_host::Host;

use crate::apart;
use crate::guest::Guest;
use crate::scene::Scene;

const USER: u32 = 1000;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timespec {
        Timespec { sec: 1_000_000_000, nsec: 0 }
    }
}

/// An operation of a user's that is not root.
fn as_user<T>(guest: &Guest, operation: impl FnOnce(&Caller<'_>) -> Result<T>) -> Result<T> {
    let who = Credentials::user(USER, USER, &[]);
    guest.call(|root| {
        let cx = Cx::new(&who, &Still);
        operation(&Caller { ns: root.ns, cx: &cx, root: root.root, policy: Policy::Posix })
    })
}

fn path(text: &str) -> VPath<'_> {
    VPath::new(text.as_bytes()).unwrap()
}

#[test]
fn what_a_user_makes_is_the_users() {
    if !apart::is_root() {
        return;
    }
    let scene = Scene::new();
    chown(scene.mkdir("dir"), Some(USER), Some(USER)).unwrap();
    let guest = Guest::new(Host::builder().owners(true), &scene.served);
    as_user(&guest, |caller| {
        caller.mkdir(caller.root, path("dir/new"), Mode::from_raw(0o700))?;
        caller.symlink(b"nowhere", caller.root, path("dir/link"))?;
        caller.mknod(caller.root, path("dir/fifo"), NewKind::Fifo, Mode::from_raw(0o600))?;
        caller.mknod(caller.root, path("dir/file"), NewKind::Regular, Mode::from_raw(0o600))
    })
    .unwrap();
    for name in ["new", "link", "fifo", "file"] {
        let made = std::fs::symlink_metadata(scene.at("dir").join(name)).unwrap();
        assert_eq!((made.uid(), made.gid()), (USER, USER), "{name}");
    }
    let refused = as_user(&guest, |caller| caller.mkdir(caller.root, path("new"), Mode::from_raw(0o700)));
    assert_eq!(refused, Err(Errno::ACCES));
}

#[test]
fn what_comes_where_a_user_made_something_is_not_given_to_the_user() {
    if !apart::is_root() {
        return;
    }
    let scene = Scene::new();
    chown(scene.mkdir("dir"), Some(USER), Some(USER)).unwrap();
    std::fs::set_permissions(scene.at("dir"), PermissionsExt::from_mode(0o777)).unwrap();
    // Root's, and as a user's own new directory would be.
    scene.mkdir("dir/roots");
    scene.write("dir/roots/secret", b"text");
    std::fs::set_permissions(scene.at("dir/roots"), PermissionsExt::from_mode(0o700)).unwrap();
    // What is as new as that may be anybody's, for the clocks of filesystems differ.
    std::thread::sleep(Duration::from_secs(4));
    let guest = Guest::new(Host::builder().owners(true), &scene.served);
    let (ends, made, moved) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let until = Instant::now() + Duration::from_secs(2);
            while Instant::now() < until {
                let new = as_user(&guest, |caller| {
                    caller.mkdir(caller.root, path("dir/new"), Mode::from_raw(0o700))
                });
                made.fetch_add(u64::from(new.is_ok()), Ordering::Relaxed);
                let _ = as_user(&guest, |caller| caller.rmdir(caller.root, path("dir/new")));
            }
            ends.store(true, Ordering::Relaxed);
        });
        while !ends.load(Ordering::Relaxed) {
            let came = rename(scene.at("dir/roots"), scene.at("dir/new"));
            moved.fetch_add(u64::from(came.is_ok()), Ordering::Relaxed);
            rename(scene.at("dir/new"), scene.at("dir/roots")).unwrap();
            let roots = std::fs::metadata(scene.at("dir/roots")).unwrap();
            assert_eq!((roots.uid(), roots.mode() & 0o7777), (0, 0o700), "it was given away");
        }
    });
    let (made, moved) = (made.into_inner(), moved.into_inner());
    println!("made {made} times, moved there {moved} times");
    assert!(made >= 100 && moved >= 100, "{made}, {moved}");
}
