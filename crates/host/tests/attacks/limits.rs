//! What the host limits: sizes, room, modes, what may be changed at all.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use vnode_core::fs::{Access, Allocate, File, Rename};
use vnode_core::io::Source;
use vnode_core::{Errno, Follow, Mode, OpenFlags, Result, VPath};
use vnode_host::Host;

use crate::apart;
use crate::guest::Guest;
use crate::scene::{Picture, SECRET, Scene};

const READ_WRITE: Access = Access::READ.union(Access::WRITE);

fn append(guest: &Guest, file: &dyn File, bytes: &[u8]) -> Result<(usize, u64)> {
    guest.call(|caller| file.append(caller.cx, &mut Source::from_slice(bytes)))
}

#[test]
fn the_largest_file_of_the_process_is_an_error_and_no_signal() {
    let small = apart::after("ulimit -f 8; exec \"$0\" \"$@\"");
    if apart::was_done("limits::the_largest_file_of_the_process_is_an_error_and_no_signal", &small) {
        return;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap();
    assert!((4096..65_536).contains(&limit));
    let (most, bytes) = (limit as usize, vec![1; limit as usize + 1000]);
    let scene = Scene::new();
    let [guest, _] = Guest::both(&scene.served);
    let file = guest.file("file", READ_WRITE, OpenFlags::CREATE).unwrap();
    assert_eq!(guest.write_at(&*file, 0, &bytes), Ok(most));
    assert_eq!(guest.write_at(&*file, limit - 1, b"ab"), Ok(1));
    for offset in [limit, limit + 1, 1 << 40, i64::MAX as u64 - 1] {
        assert_eq!(guest.write_at(&*file, offset, b"a"), Err(Errno::FBIG), "{offset}");
    }
    assert_eq!(append(&guest, &*file, b"a"), Err(Errno::FBIG));
    let set = |len| guest.call(|caller| file.set_len(caller.cx, len));
    let allocate = |how, at, len| guest.call(|caller| file.allocate(caller.cx, how, at, len));
    assert_eq!(set(limit + 1), Err(Errno::FBIG));
    assert_eq!(guest.truncate("file", limit + 1), Err(Errno::FBIG));
    assert_eq!(allocate(Allocate::Extend, limit, 1), Err(Errno::FBIG));
    assert_eq!(allocate(Allocate::Extend, u64::MAX >> 1, 1), Err(Errno::FBIG));
    assert_eq!(guest.stat("file").unwrap().size, limit);
    set(limit - 10).unwrap();
    assert_eq!(append(&guest, &*file, &bytes), Ok((10, limit)));
    set(0).unwrap();
    // In as many pieces as are taken at once, and one more.
    assert_eq!(append(&guest, &*file, &bytes), Ok((most, limit)));
}

/// A shell without the limit, which is a soft one.
fn unlimited(command: &str, file: &Path) -> std::process::Child {
    let script = format!("ulimit -S -f unlimited; {command}");
    std::process::Command::new("sh").args(["-c", &script, "sh"]).arg(file).spawn().unwrap()
}

#[test]
#[cfg_attr(vnode_as_macos, ignore = "the signal of that can't be taken there")]
fn a_file_past_the_largest_size_shrinks_and_grows_no_more() {
    let small = apart::after("ulimit -S -f 8; exec \"$0\" \"$@\"");
    if apart::was_done("limits::a_file_past_the_largest_size_shrinks_and_grows_no_more", &small) {
        return;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap();
    assert!((4096..65_536).contains(&limit));
    let scene = Scene::new();
    let is_tmpfs = rustix::fs::statfs(&scene.served).unwrap().f_type == 0x0102_1994;
    // What a shell that is killed was waiting for may still do something to its file.
    for (name, guest) in ["one", "other"].into_iter().zip(Guest::both(&scene.served)) {
        assert!(unlimited("truncate -s 1000000 \"$1\"", &scene.at(name)).wait().unwrap().success());
        let file = guest.file(name, READ_WRITE, OpenFlags::empty()).unwrap();
        let native = std::fs::File::options().write(true).open(scene.at(name)).unwrap();
        let set = |len| guest.call(|caller| file.set_len(caller.cx, len));
        let allocate = |how, at, len| guest.call(|caller| file.allocate(caller.cx, how, at, len));
        let size = || std::fs::metadata(scene.at(name)).unwrap().len();
        // The kernel lets it shrink, too.
        native.set_len(900_000).unwrap();
        assert_eq!((set(800_000), size()), (Ok(()), 800_000));
        assert_eq!((guest.truncate(name, 700_000), size()), (Ok(()), 700_000));
        for len in [700_001, 1_000_000, i64::MAX as u64] {
            assert_eq!((set(len), guest.truncate(name, len)), (Err(Errno::FBIG), Err(Errno::FBIG)));
            assert_eq!(allocate(Allocate::Extend, len - 1, 1), Err(Errno::FBIG), "{len}");
        }
        assert_eq!((set(700_000), guest.truncate(name, 700_000)), (Ok(()), Ok(())));
        assert_eq!(allocate(Allocate::Extend, limit, 100_000), Ok(()));
        assert_eq!(allocate(Allocate::PunchHole, limit, 100_000), Ok(()));
        let beyond = allocate(Allocate::KeepSize, 700_000, 100_000);
        assert_eq!(beyond, if is_tmpfs { Err(Errno::FBIG) } else { Ok(()) });
        assert_eq!(guest.write_at(&*file, limit, b"a"), Err(Errno::FBIG));
        assert_eq!(append(&guest, &*file, b"a"), Err(Errno::FBIG));
        assert_eq!((set(limit), set(limit + 1), size()), (Ok(()), Err(Errno::FBIG), limit));

        // Somebody else has it shrink and grow meanwhile: no signal comes.
        let swaps = "while :; do truncate -s 1000000 \"$1\"; truncate -s 0 \"$1\"; done";
        let mut swaps = unlimited(swaps, &scene.at(name));
        let until = std::time::Instant::now() + std::time::Duration::from_secs(1);
        let (mut done, mut refused) = (0, 0);
        while std::time::Instant::now() < until {
            for came in [set(500_000), guest.truncate(name, 400_000)] {
                match came {
                    Ok(()) => done += 1,
                    Err(Errno::FBIG) => refused += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        swaps.kill().unwrap();
        swaps.wait().unwrap();
        assert!(done >= 10 && refused >= 10, "{done}, {refused}");
    }
}

#[test]
fn appends_that_meet_at_the_largest_size_are_an_error_and_no_signal() {
    let small = apart::after("ulimit -f 8; exec \"$0\" \"$@\"");
    if apart::was_done("limits::appends_that_meet_at_the_largest_size_are_an_error_and_no_signal", &small) {
        return;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap();
    let scene = Scene::new();
    let [guest, _] = Guest::both(&scene.served);
    let first = guest.file("file", READ_WRITE, OpenFlags::CREATE).unwrap();
    for _ in 0..500 {
        guest.call(|caller| first.set_len(caller.cx, limit - 20)).unwrap();
        let together = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let file = guest.file("file", READ_WRITE, OpenFlags::empty()).unwrap();
                    together.wait();
                    while append(&guest, &*file, b"a").is_ok() {}
                    assert_eq!(append(&guest, &*file, b"a"), Err(Errno::FBIG));
                });
            }
        });
        assert_eq!(guest.stat("file").unwrap().size, limit);
    }
}

fn mount(arguments: &[&str]) {
    apart::run("mount", &arguments.iter().map(OsStr::new).collect::<Vec<_>>());
}

#[test]
fn a_full_filesystem_is_told_and_what_was_written_too() {
    let Some(mounts) = apart::mounts() else { return };
    if apart::was_done("limits::a_full_filesystem_is_told_and_what_was_written_too", &mounts) {
        return;
    }
    let scene = Scene::new();
    let at = scene.served.to_str().unwrap();
    mount(&["-t", "tmpfs", "-o", "size=64k,nr_inodes=6", "none", at]);
    for guest in Guest::both(&scene.served) {
        let file = guest.file("file", READ_WRITE, OpenFlags::CREATE).unwrap();
        let bytes = vec![7; 100_000];
        assert_eq!(guest.write_at(&*file, 0, &bytes), Ok(65_536), "a short write is short");
        assert_eq!(guest.stat("file").unwrap().size, 65_536);
        assert_eq!(guest.write_at(&*file, 65_536, b"a"), Err(Errno::NOSPC));
        assert_eq!(append(&guest, &*file, b"a"), Err(Errno::NOSPC));
        let reserved = guest.call(|caller| file.allocate(caller.cx, Allocate::Extend, 65_536, 4096));
        assert_eq!(reserved, Err(Errno::NOSPC));
        assert_eq!(guest.stat("file").unwrap().size, 65_536);
        guest.truncate("file", 65_000).unwrap();
        assert_eq!(append(&guest, &*file, &bytes), Ok((536, 65_536)));
        // Inodes: the root, the file and four more.
        for name in ["1", "2", "3", "4"] {
            guest.mkdir(name).unwrap();
        }
        assert_eq!(guest.mkdir("more"), Err(Errno::NOSPC));
        assert_eq!(guest.put("more", b""), Err(Errno::NOSPC));
        assert_eq!(guest.symlink("x", "more"), Err(Errno::NOSPC));
        assert_eq!(guest.list("/").unwrap().len(), 5);
        let left = guest.call(|caller| caller.statfs_place(caller.root)).unwrap();
        assert_eq!((left.blocks_free, left.files_free), (0, 0));
        for name in ["1", "2", "3", "4"] {
            guest.rmdir(name).unwrap();
        }
        guest.unlink("file").unwrap();
        drop(file);
    }
}

#[test]
fn what_the_host_mounts_read_only_is_erofs() {
    let Some(mounts) = apart::mounts() else { return };
    if apart::was_done("limits::what_the_host_mounts_read_only_is_erofs", &mounts) {
        return;
    }
    let scene = Scene::new();
    let at = scene.served.to_str().unwrap();
    mount(&["-t", "tmpfs", "none", at]);
    scene.mkdir("dir");
    scene.write("file", b"text");
    symlink("file", scene.at("link")).unwrap();
    mount(&["-o", "remount,ro", at]);
    let before = Picture::of(&scene.served);
    for guest in Guest::both(&scene.served) {
        let refused = Err(Errno::ROFS);
        assert_eq!(guest.mkdir("new"), refused);
        assert_eq!(guest.put("new", b""), refused);
        assert_eq!(guest.put("file", b"more"), refused);
        assert_eq!(guest.put("link", b"more"), refused);
        assert_eq!(guest.open("file", Access::WRITE, OpenFlags::empty()).map(drop), refused);
        assert_eq!(guest.symlink("x", "new"), refused);
        assert_eq!(guest.link("file", Follow::No, "new"), refused);
        assert_eq!(guest.rename("file", "new", Rename::Replace), refused);
        assert_eq!(guest.rename("file", "dir", Rename::Exchange), refused);
        assert_eq!(guest.unlink("file"), refused);
        assert_eq!(guest.rmdir("dir"), refused);
        assert_eq!(guest.truncate("file", 0), refused);
        assert_eq!(guest.chmod("file", 0o600), refused);
        assert_eq!(guest.mkdir("dir"), Err(Errno::EXIST));
        assert_eq!(guest.unlink("none"), refused);
        assert_eq!(guest.lstat("none").map(drop), Err(Errno::NOENT));
        assert_eq!(guest.read("link").unwrap(), b"text");
        assert!(guest.call(|caller| caller.statfs_place(caller.root)).unwrap().read_only);
    }
    assert_eq!(Picture::of(&scene.served), before);
}

fn mode_of(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_umask_of_the_process_takes_nothing_from_a_guests_modes() {
    let masked = apart::after("umask 077; exec \"$0\" \"$@\"");
    if apart::was_done("limits::the_umask_of_the_process_takes_nothing_from_a_guests_modes", &masked) {
        return;
    }
    let scene = Scene::new();
    std::fs::create_dir(scene.at("masked")).unwrap();
    assert_eq!(mode_of(&scene.at("masked")), 0o700, "there is no umask");
    for guest in Guest::both(&scene.served) {
        guest.put("file", b"").unwrap();
        guest.mkdir("dir").unwrap();
        guest.symlink("nowhere", "link").unwrap();
        let fifo = vnode_core::fs::NewKind::Fifo;
        guest.on("fifo", |caller, base, path| caller.mknod(base, path, fifo, Mode::from_raw(0o666))).unwrap();
        let modes = ["file", "dir", "fifo"].map(|name| mode_of(&scene.at(name)));
        assert_eq!(modes, [0o644, 0o755, 0o666]);
        for name in ["file", "link", "fifo"] {
            guest.unlink(name).unwrap();
        }
        guest.rmdir("dir").unwrap();
    }
}

#[test]
fn no_program_of_a_guests_runs_as_the_hosts_user() {
    let scene = Scene::new();
    let host = |mode: u32| {
        scene.write("file", b"text");
        std::fs::set_permissions(scene.at("file"), PermissionsExt::from_mode(mode)).unwrap();
    };
    for stepwise in [false, true] {
        let guest = Guest::new(Host::builder().stepwise(stepwise), &scene.served);
        for bits in [0o4755, 0o2755, 0o6755] {
            host(0o755);
            assert_eq!(guest.chmod("file", bits), Err(Errno::PERM));
            assert_eq!(mode_of(&scene.at("file")), 0o755);
            let how = vnode_core::OpenHow {
                access: Access::WRITE,
                flags: OpenFlags::CREATE,
                mode: Mode::from_raw(bits),
            };
            let made = guest.on("new", |caller, base, path| caller.open(base, path, &how).map(drop));
            assert_eq!(made, Err(Errno::PERM));
            let made = guest.on("new", |caller, base, path| {
                caller.mknod(base, path, vnode_core::fs::NewKind::Regular, Mode::from_raw(bits))
            });
            assert_eq!(made, Err(Errno::PERM));
            assert!(!scene.at("new").exists());
            // What the host set is taken by whatever changes the content.
            host(bits);
            guest.truncate("file", 1).unwrap();
            assert_eq!(mode_of(&scene.at("file")), 0o755);
            host(bits);
            let file = guest.file("file", READ_WRITE, OpenFlags::empty()).unwrap();
            assert_eq!(mode_of(&scene.at("file")), bits, "to open changes nothing");
            assert_eq!(guest.write_at(&*file, 0, b"x"), Ok(1));
            assert_eq!(mode_of(&scene.at("file")), 0o755);
            host(bits);
            guest.put("file", b"").unwrap();
            assert_eq!(mode_of(&scene.at("file")), 0o755);
        }
        let shared = guest.on("dir", |caller, base, path| caller.mkdir(base, path, Mode::from_raw(0o2755)));
        assert_eq!((shared, guest.chmod("dir", 0o3775)), (Ok(()), Ok(())));
        assert_eq!(guest.chmod("dir", 0o4755), Err(Errno::PERM));
        guest.rmdir("dir").unwrap();
        let xattr = |name: &[u8]| {
            guest.on("file", |caller, base, path| {
                caller.set_xattr(base, path, Follow::Yes, name, b"v", vnode_core::fs::SetXattr::Any)
            })
        };
        for name in ["security.capability", "system.posix_acl_access", "system.posix_acl_default"] {
            assert!(xattr(name.as_bytes()).is_err(), "{name}");
        }
        let may = Guest::new(Host::builder().stepwise(stepwise).set_id(true), &scene.served);
        may.chmod("file", 0o6755).unwrap();
        assert_eq!(mode_of(&scene.at("file")), 0o6755);
    }
}

/// Runs a test again as a user that has no rights; as [`apart::was_done`].
fn was_done_by_nobody(test: &str) -> bool {
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if apart::is_apart() {
        return apart::was_done(test, &[]);
    }
    let may = std::process::Command::new(nobody[0]).args(&nobody[1..]).arg("true").status();
    if !may.is_ok_and(|status| status.success()) {
        apart::skipped("nobody can be nobody");
        return true;
    }
    // Where nobody finds it.
    let name = format!("vnode-attacks-{}-{}", std::process::id(), test.replace(':', "-"));
    let program = std::env::temp_dir().join(name);
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let launcher =
        [&nobody[..], &["sh", "-c", "shift; exec \"$0\" \"$@\"", program.to_str().unwrap()]].concat();
    let done = apart::was_done(test, &launcher);
    std::fs::remove_file(&program).unwrap();
    done
}

#[test]
#[cfg_attr(vnode_as_macos, ignore = "nothing is done by /proc there")]
fn a_directory_that_may_be_read_and_not_searched_is_listed() {
    if was_done_by_nobody("limits::a_directory_that_may_be_read_and_not_searched_is_listed") {
        return;
    }
    let scene = Scene::new();
    let dir = scene.mkdir("dir");
    scene.write("dir/file", b"");
    for guest in Guest::both(&scene.served) {
        for (mode, listed) in [(0o444, Ok(())), (0o111, Err(Errno::ACCES)), (0o000, Err(Errno::ACCES))] {
            std::fs::set_permissions(&dir, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(std::fs::read_dir(&dir).is_ok(), listed.is_ok(), "the kernel's, {mode:o}");
            assert_eq!(guest.list("dir").map(|names| assert!(names.contains_key(&b"file"[..]))), listed);
            let searched = std::fs::metadata(dir.join("file")).is_ok();
            assert_eq!(guest.stat("dir/file").is_ok(), searched, "{mode:o}");
        }
    }
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn what_cannot_be_given_to_its_owner_is_not_made() {
    if was_done_by_nobody("limits::what_cannot_be_given_to_its_owner_is_not_made") {
        return;
    }
    let scene = Scene::new();
    for stepwise in [false, true] {
        let guest = Guest::new(Host::builder().stepwise(stepwise).owners(true), &scene.served);
        let refused = Err(Errno::PERM);
        assert_eq!(guest.put("new", b""), refused);
        assert_eq!(guest.mkdir("new"), refused);
        assert_eq!(guest.symlink("nowhere", "new"), refused);
        let fifo = vnode_core::fs::NewKind::Fifo;
        let made =
            guest.on("new", |caller, base, path| caller.mknod(base, path, fifo, Mode::from_raw(0o666)));
        assert_eq!(made, refused);
        assert_eq!(std::fs::read_dir(&scene.served).unwrap().count(), 0, "what failed made something");
    }
}

/// Has the test's process in a root of its own meanwhile.
fn with_root<T>(root: &Path, work: impl FnOnce() -> T) -> T {
    let old = std::fs::File::open("/").unwrap();
    std::os::unix::fs::chroot(root).unwrap();
    std::env::set_current_dir("/").unwrap();
    let done = work();
    rustix::process::fchdir(&old).unwrap();
    std::os::unix::fs::chroot(".").unwrap();
    done
}

#[test]
#[cfg_attr(vnode_as_macos, ignore = "nothing is done by /proc there")]
fn without_proc_everything_works_that_can() {
    let Some(mounts) = apart::mounts() else { return };
    if apart::was_done("limits::without_proc_everything_works_that_can", &mounts) {
        return;
    }
    let scene = Scene::new();
    let top = scene.served.parent().unwrap().to_owned();
    with_root(&top, || {
        for guest in Guest::both(Path::new("/served")) {
            guest.mkdir("a").unwrap();
            guest.put("a/file", b"text").unwrap();
            guest.symlink("/a", "link").unwrap();
            assert_eq!(guest.read("link/file").unwrap(), b"text");
            assert_eq!(guest.chmod("a/file", 0o600), Ok(()));
            assert_eq!(guest.rename("a/file", "a/moved", Rename::NoReplace), Ok(()));
            assert_eq!(guest.link("a/moved", Follow::No, "hard"), Ok(()));
            assert_eq!(guest.list("a").unwrap().len(), 1);
            let dir = guest.resolve("a").unwrap();
            assert_eq!(guest.stat_from(&dir, "../hard").unwrap().nlink, 2);
            // By the names that it was found by.
            assert_eq!(guest.truncate("hard", 1), Ok(()));
            assert_eq!(guest.read("a/moved").unwrap(), b"t");
            // What only `/proc` can do.
            let held = guest.resolve("hard").unwrap();
            assert_eq!(guest.call(|caller| caller.list_xattr_place(&held, &mut |_| ())), Err(Errno::STALE));
            guest.unlink("hard").unwrap();
            let how = vnode_core::OpenHow {
                access: Access::READ,
                flags: OpenFlags::empty(),
                mode: Mode::from_raw(0),
            };
            let by_name = guest.on("a/moved", |caller, base, path| caller.open(base, path, &how).map(drop));
            assert_eq!(by_name, Ok(()));
            for name in ["a/moved", "link"] {
                guest.unlink(name).unwrap();
            }
            guest.rmdir("a").unwrap();
        }
    });
}

#[test]
#[cfg_attr(vnode_as_macos, ignore = "nothing is done by /proc there")]
fn a_proc_that_a_guest_made_leads_nowhere() {
    let Some(mounts) = apart::mounts() else { return };
    if apart::was_done("limits::a_proc_that_a_guest_made_leads_nowhere", &mounts) {
        return;
    }
    let scene = Scene::new();
    scene.mkdir("other");
    let at = scene.at("other");
    mount(&["--bind", scene.outside.to_str().unwrap(), at.to_str().unwrap()]);
    let before = Picture::of(&scene.outside);
    // The process's own root is served, but for what is mounted in it, and has no `/proc`.
    with_root(&scene.served.clone(), || {
        let guest = Guest::new(Host::builder().one_mount(true), Path::new("/"));
        assert_eq!(guest.stat("other/secret").map(drop), Err(Errno::XDEV));
        for dir in ["proc", "proc/self", "proc/self/fd"] {
            guest.mkdir(dir).unwrap();
        }
        for number in 0..256 {
            guest.symlink("/other/secret", format!("proc/self/fd/{number}")).unwrap();
        }
        guest.put("victim", b"text").unwrap();
        let place = guest.resolve("victim").unwrap();
        assert_eq!(guest.truncate("victim", 0), Ok(()));
        assert_eq!(guest.read("victim").unwrap(), b"");
        std::fs::remove_file("/victim").unwrap();
        let name = VPath::new(b".").unwrap();
        let how =
            vnode_core::OpenHow { access: READ_WRITE, flags: OpenFlags::empty(), mode: Mode::from_raw(0) };
        let opened = guest.call(|caller| caller.open(&place, name, &how).map(drop));
        assert_eq!(opened, Err(Errno::NOTDIR));
        let set = guest
            .call(|caller| caller.set_xattr_place(&place, b"user.x", b"v", vnode_core::fs::SetXattr::Any));
        assert_eq!(set, Err(Errno::STALE));
    });
    assert_eq!(Picture::of(&scene.outside), before);
    assert_eq!(std::fs::read(scene.outside.join("secret")).unwrap(), SECRET);
}
