//! One directory mounted read-only and for writing.

use std::path::Path;
use std::sync::Arc;

use vnode_core::fs::{Access, Allocate, NewKind, Rename, SetXattr};
use vnode_core::io::Source;
use vnode_core::{
    Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, MountFlags, Namespace, OpenFlags,
    OpenHow, OpenNode, Place, Policy, Result, SetTime, Timespec, VPath,
};
use vnode_host::Host;

use crate::scene::{Picture, Scene};

struct Still;

impl Clock for Still {
    fn now(&self) -> Timespec {
        Timespec { sec: 1_000_000_000, nsec: 0 }
    }
}

fn served(stepwise: bool, dir: &Path) -> FilesystemRef {
    FilesystemRef::new::<Host>(Arc::new(Host::builder().stepwise(stepwise).open(dir).unwrap()))
}

/// A namespace with the directory at `/ro` and at `/rw`; `apart` as two filesystems.
fn namespace(stepwise: bool, apart: bool, scene: &Scene) -> Namespace {
    let one = served(stepwise, &scene.served);
    let other = if apart { served(stepwise, &scene.served) } else { one.clone() };
    // Something below the mounts, where nothing else is.
    let base = scene.outside.join("sub");
    let ns = Namespace::new(served(stepwise, &base));
    ns.mount_at(b"/ro", &one, MountFlags::READ_ONLY).unwrap();
    ns.mount_at(b"/rw", &other, MountFlags::empty()).unwrap();
    ns
}

struct World {
    ns: Namespace,
    who: Credentials,
}

impl World {
    fn call<T>(&self, operation: impl FnOnce(&Caller<'_>, &Place) -> T) -> T {
        let cx = Cx::new(&self.who, &Still);
        let caller = Caller { ns: &self.ns, cx: &cx, root: self.ns.root(), policy: Policy::Posix };
        operation(&caller, self.ns.root())
    }

    fn open(&self, path: &str, access: Access, flags: OpenFlags) -> Result<(Place, OpenNode)> {
        let how = OpenHow { access, flags, mode: Mode::from_raw(0o644) };
        let opened = self.call(|caller, root| caller.open(root, text(path), &how))?;
        Ok((opened.place, opened.node))
    }
}

fn text(path: &str) -> VPath<'_> {
    VPath::new(path.as_bytes()).unwrap()
}

fn each(check: impl Fn(&World, &Scene)) {
    for (stepwise, apart) in [(false, false), (false, true), (true, false), (true, true)] {
        let scene = Scene::new();
        scene.mkdir("dir");
        scene.write("file", b"text");
        std::os::unix::fs::symlink("/rw/file", scene.at("to-rw")).unwrap();
        std::os::unix::fs::symlink("file/", scene.at("slash")).unwrap();
        let world = World { ns: namespace(stepwise, apart, &scene), who: Credentials::root() };
        check(&world, &scene);
    }
}

#[test]
fn a_read_only_mount_of_a_directory_that_is_also_mounted_for_writing_is_read_only() {
    each(|world, scene| {
        let before = Picture::of(&scene.served);
        let refused = Err(Errno::ROFS);
        let all = Access::READ | Access::WRITE;
        for (access, flags) in [
            (Access::WRITE, OpenFlags::empty()),
            (all, OpenFlags::empty()),
            (Access::READ, OpenFlags::TRUNCATE),
            (Access::WRITE, OpenFlags::TRUNCATE | OpenFlags::CREATE),
        ] {
            assert_eq!(world.open("ro/file", access, flags).map(drop), refused);
        }
        assert_eq!(world.open("ro/new", Access::WRITE, OpenFlags::CREATE).map(drop), refused);
        assert_eq!(world.open("ro/new", Access::READ, OpenFlags::CREATE).map(drop), refused);
        // What is there is opened, though it might have been made.
        assert_eq!(world.open("ro/file", Access::READ, OpenFlags::CREATE).map(drop), Ok(()));
        world.call(|caller, root| {
            assert_eq!(caller.truncate(root, text("ro/file"), 0), refused);
            assert_eq!(caller.chmod(root, text("ro/file"), Follow::Yes, Mode::from_raw(0o600)), refused);
            let now = Some(SetTime::Now);
            assert_eq!(caller.set_times(root, text("ro/file"), Follow::Yes, now, now), refused);
            assert_eq!(caller.mkdir(root, text("ro/new"), Mode::from_raw(0o755)), refused);
            assert_eq!(caller.unlink(root, text("ro/file")), refused);
            assert_eq!(caller.rmdir(root, text("ro/dir")), refused);
            assert_eq!(caller.symlink(b"x", root, text("ro/new")), refused);
            let rename = |old, new| caller.rename(root, text(old), root, text(new), Rename::Replace);
            assert_eq!(rename("ro/file", "ro/new"), refused);
            for (old, new) in [("ro/file", "rw/new"), ("rw/file", "ro/new"), ("rw/file", "ro/file")] {
                assert_eq!(rename(old, new), Err(Errno::XDEV), "{old}");
            }
            let link = |old, new| caller.link(root, text(old), Follow::Yes, root, text(new));
            assert_eq!(link("ro/file", "rw/new"), Err(Errno::XDEV));
            assert_eq!(link("rw/file", "ro/new"), refused);
            for how in [Rename::NoReplace, Rename::Exchange] {
                assert_eq!(
                    caller.rename(root, text("ro/file"), root, text("ro/dir"), how),
                    refused,
                    "{how:?}"
                );
                let moved = caller.rename(root, text("rw/file"), root, text("ro/dir"), how);
                assert_eq!(moved, Err(Errno::XDEV), "{how:?}");
            }
            assert_eq!(link("ro/file", "ro/new"), refused);
            assert_eq!(caller.chown(root, text("ro/file"), Follow::Yes, Some(1), Some(1)), refused);
            for kind in [NewKind::Fifo, NewKind::Regular, NewKind::Socket] {
                assert_eq!(
                    caller.mknod(root, text("ro/new"), kind, Mode::from_raw(0o644)),
                    refused,
                    "{kind:?}"
                );
            }
            let set = |how| caller.set_xattr(root, text("ro/file"), Follow::Yes, b"user.x", b"v", how);
            for how in [SetXattr::Any, SetXattr::Create, SetXattr::Replace] {
                assert_eq!(set(how), refused, "{how:?}");
            }
            assert_eq!(caller.remove_xattr(root, text("ro/file"), Follow::Yes, b"user.x"), refused);
            // `..` doesn't change the mount.
            assert_eq!(caller.truncate(root, text("ro/dir/../file"), 0), refused);
            assert_eq!(caller.truncate(root, text("ro/slash"), 0), Err(Errno::NOTDIR));
        });
        assert_eq!(Picture::of(&scene.served), before);
        // The link leads to where it may be written.
        world.call(|caller, root| caller.truncate(root, text("ro/to-rw"), 1)).unwrap();
        assert_eq!(std::fs::read(scene.at("file")).unwrap(), b"t");
    });
}

#[test]
fn what_was_opened_keeps_its_mount() {
    each(|world, scene| {
        let (place, node) = world.open("ro/file", Access::READ, OpenFlags::empty()).unwrap();
        let OpenNode::File(content) = node else { panic!("a regular file") };
        // What was opened for reading is open for no more on the host.
        world.call(|caller, _| {
            let bytes = || Source::from_slice(b"changed");
            assert_eq!(content.write_at(caller.cx, 0, &mut bytes()), Err(Errno::BADF));
            assert_eq!(content.append(caller.cx, &mut bytes()).map(drop), Err(Errno::BADF));
            assert_eq!(content.set_len(caller.cx, 0), Err(Errno::INVAL));
            assert_eq!(content.allocate(caller.cx, Allocate::Extend, 0, 100), Err(Errno::BADF));
        });
        assert_eq!(std::fs::read(scene.at("file")).unwrap(), b"text");
        let (written, _) = world.open("rw/file", Access::WRITE, OpenFlags::empty()).unwrap();
        let then = Some(SetTime::To(Timespec { sec: 1, nsec: 0 }));
        for unlinked in [false, true] {
            if unlinked {
                std::fs::remove_file(scene.at("file")).unwrap();
            }
            world.call(|caller, _| {
                assert_eq!(caller.set_times_place(&place, then, then), Err(Errno::ROFS));
                assert_eq!(caller.chmod_place(&place, Mode::from_raw(0o600)), Err(Errno::ROFS));
                assert_eq!(caller.chown_place(&place, Some(1), None), Err(Errno::ROFS));
                assert_eq!(caller.set_times_place(&written, then, then), Ok(()));
                assert_eq!(place.attr(caller.cx).unwrap().mtime.sec, 1);
            });
        }
    });
}

#[test]
fn reading_through_a_read_only_mount_leaves_access_times() {
    each(|world, scene| {
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
        let file = std::fs::File::options().write(true).open(scene.at("file")).unwrap();
        file.set_times(std::fs::FileTimes::new().set_accessed(old)).unwrap();
        let (_, node) = world.open("ro/file", Access::READ, OpenFlags::empty()).unwrap();
        let OpenNode::File(content) = node else { panic!("a regular file") };
        let mut bytes = [0; 4];
        let mut into = vnode_core::io::Sink::from_slice(&mut bytes);
        let read = world.call(|caller, _| content.read_at(&caller.cx.keeping_atime(), 0, &mut into));
        assert_eq!((read, &bytes), (Ok(4), b"text"));
        assert_eq!(std::fs::metadata(scene.at("file")).unwrap().accessed().unwrap(), old);
    });
}
