//! Mounts of the host below the directory that is served, made in a mount namespace of the test's own.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use vnode_core::fs::{Access, Rename};
use vnode_core::{Errno, Follow, OpenFlags};
use vnode_host::Host;

use crate::apart;
use crate::guest::Guest;
use crate::scene::{Picture, SECRET, Scene};

/// Whether the test is done: it was, in a process that may mount, or it can't be.
fn done(test: &str) -> bool {
    match apart::mounts() {
        None => true,
        Some(launcher) => apart::was_done(test, &launcher),
    }
}

fn mount(arguments: &[&str], what: &Path, at: &Path) {
    let mut all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    all.extend([what.as_os_str(), at.as_os_str()]);
    apart::run("mount", &all);
}

fn unmount(at: &Path) {
    apart::run("umount", &[OsStr::new("--lazy"), at.as_os_str()]);
}

#[test]
fn a_mount_removed_underneath_leads_nowhere() {
    if done("submounts::a_mount_removed_underneath_leads_nowhere") {
        return;
    }
    for way in [false, true] {
        let scene = Scene::new();
        scene.mkdir("a/mnt/covered");
        mount(&["--bind"], &scene.outside, &scene.at("a/mnt"));
        let guest = Guest::new(Host::builder().stepwise(way), &scene.served);
        let (root, sub) = (guest.resolve("a/mnt").unwrap(), guest.resolve("a/mnt/sub").unwrap());
        assert_eq!(guest.stat_from(&root, "..").unwrap().ino, guest.stat("a").unwrap().ino);
        assert_eq!(guest.stat_from(&sub, "../../..").unwrap().ino, guest.stat("/").unwrap().ino);
        assert_eq!(guest.call(|caller| caller.getcwd(&sub)).unwrap(), b"/a/mnt/sub");
        assert_eq!(guest.rename("a/mnt", "a/moved", Rename::Replace), Err(Errno::BUSY));
        assert_eq!(guest.rmdir("a/mnt"), Err(Errno::BUSY));
        unmount(&scene.at("a/mnt"));
        // What is held is there; nothing is above it, neither where it was nor where it comes from.
        assert_eq!(guest.stat_from(&sub, "secret").unwrap().size, SECRET.len() as u64);
        for (place, up) in [(&root, ".."), (&sub, "../.."), (&sub, "../../.."), (&sub, "../../outside")] {
            assert_eq!(guest.stat_from(place, up).map(drop), Err(Errno::NOENT), "{up}");
        }
        assert_eq!(guest.call(|caller| caller.getcwd(&sub)), Err(Errno::NOENT));
        assert!(guest.stat("a/mnt/covered").is_ok());
        assert_eq!(guest.stat("a/mnt/secret").map(drop), Err(Errno::NOENT));
    }
}

#[test]
fn a_bind_of_what_is_above_the_root_has_an_end() {
    if done("submounts::a_bind_of_what_is_above_the_root_has_an_end") {
        return;
    }
    for way in [false, true] {
        let scene = Scene::new();
        scene.mkdir("a");
        // The directory that the root is in, served because somebody mounted it there.
        mount(&["--bind"], scene.served.parent().unwrap(), &scene.at("a"));
        let guest = Guest::new(Host::builder().stepwise(way), &scene.served);
        assert_eq!(guest.read("a/outside/secret").unwrap(), SECRET);
        let again = guest.resolve("a/served").unwrap();
        let (root, bound) = (guest.root(), guest.resolve("a").unwrap());
        assert!(!again.is(&root));
        assert!(guest.resolve_from(&again, "..").unwrap().is(&bound));
        assert!(guest.resolve_from(&again, "../..").unwrap().is(&root));
        assert!(guest.resolve_from(&again, "../../../../a/..").unwrap().is(&root));
        assert_eq!(guest.call(|caller| caller.getcwd(&again)).unwrap(), b"/a/served");
        unmount(&scene.at("a"));
    }
}

#[test]
fn one_mount_refuses_every_other() {
    if done("submounts::one_mount_refuses_every_other") {
        return;
    }
    for way in [false, true] {
        let scene = Scene::new();
        for directory in ["tmpfs/in", "same/in", "deep/er/mnt"] {
            scene.mkdir(directory);
        }
        scene.write("file", b"covered");
        mount(&["-t", "tmpfs"], Path::new("none"), &scene.at("tmpfs"));
        std::fs::create_dir(scene.at("tmpfs/sub")).unwrap();
        std::fs::write(scene.at("tmpfs/secret"), SECRET).unwrap();
        // Other mounts of the same filesystem, by which a rename is refused too.
        mount(&["--bind"], &scene.outside, &scene.at("same"));
        mount(&["--bind"], &scene.outside, &scene.at("deep/er/mnt"));
        mount(&["--bind"], &scene.outside.join("secret"), &scene.at("file"));
        let (all, one) = (Host::builder().stepwise(way), Host::builder().stepwise(way).one_mount(true));
        let all = Guest::new(all, &scene.served);
        let before = Picture::of(&scene.outside);
        let one = Guest::new(one, &scene.served);
        for point in ["tmpfs", "same", "deep/er/mnt"] {
            assert_eq!(all.read(format!("{point}/secret")).unwrap(), SECRET);
            one.symlink(format!("/{point}/"), "link").unwrap();
            for path in [point.to_owned(), format!("{point}/"), format!("{point}/../file"), "link".into()] {
                assert_eq!(one.stat(&path).map(drop), Err(Errno::XDEV), "{path}");
                assert_eq!(one.list(&path).map(drop), Err(Errno::XDEV), "{path}");
            }
            for dir in [point, "link"] {
                let inside = format!("{dir}/secret");
                assert_eq!(one.read(&inside), Err(Errno::XDEV), "{inside}");
                assert_eq!(one.put(&inside, b"changed"), Err(Errno::XDEV), "{inside}");
                assert_eq!(one.truncate(&inside, 0), Err(Errno::XDEV), "{inside}");
                assert_eq!(one.put(format!("{dir}/new"), b"new"), Err(Errno::XDEV));
                assert_eq!(one.mkdir(format!("{dir}/new")), Err(Errno::XDEV));
                assert_eq!(one.symlink("x", format!("{dir}/new")), Err(Errno::XDEV));
                assert_eq!(one.unlink(&inside), Err(Errno::XDEV));
                assert_eq!(one.rename(&inside, "stolen", Rename::Replace), Err(Errno::XDEV));
                assert_eq!(one.link(&inside, Follow::No, "stolen"), Err(Errno::XDEV));
                assert_eq!(one.stat(format!("{dir}/sub/secret")).map(drop), Err(Errno::XDEV));
            }
            one.unlink("link").unwrap();
        }
        // A file may be mounted on a file.
        assert_eq!(all.read("file").unwrap(), SECRET);
        for access in [Access::READ, Access::WRITE] {
            assert_eq!(one.open("file", access, OpenFlags::empty()).map(drop), Err(Errno::XDEV));
        }
        assert_eq!(one.stat("file").map(drop), Err(Errno::XDEV));
        assert_eq!(one.truncate("file", 0), Err(Errno::XDEV));
        assert_eq!(one.chmod("file", 0o600), Err(Errno::XDEV));
        assert_eq!(one.stat("deep/er").map(|attr| attr.kind.is_dir()), Ok(true));
        assert_eq!(Picture::of(&scene.outside), before);
    }
}

#[test]
fn magic_links_of_a_served_proc_are_text() {
    if done("submounts::magic_links_of_a_served_proc_are_text") {
        return;
    }
    let scene = Scene::new();
    scene.mkdir("proc");
    mount(&["-t", "proc"], Path::new("none"), &scene.at("proc"));
    let held = File::open(&scene.outside).unwrap();
    let file = File::open(scene.outside.join("secret")).unwrap();
    let (held, file) = (held.as_raw_fd(), file.as_raw_fd());
    let before = Picture::of(&scene.outside);
    let absolute = scene.outside.to_str().unwrap();
    let me = std::process::id();
    for guest in Guest::both(&scene.served) {
        // It is there, and says whose it is.
        let text = |path: &str| guest.on(path, |caller, base, path| caller.readlink(base, path)).unwrap();
        assert_eq!(&text("proc/self")[..], me.to_string().as_bytes());
        assert_eq!(&text("proc/self/root")[..], b"/");
        assert_eq!(&text(&format!("proc/self/fd/{held}"))[..], absolute.as_bytes());
        for own in ["self", "thread-self", &format!("{me}"), "self/task/../../self"] {
            assert_eq!(guest.stat(format!("proc/{own}/root")).unwrap().ino, guest.stat("/").unwrap().ino);
            for path in [
                format!("proc/{own}/root{absolute}/secret"),
                format!("proc/{own}/root/..{absolute}/secret"),
                format!("proc/{own}/fd/{held}"),
                format!("proc/{own}/fd/{held}/"),
                format!("proc/{own}/fd/{held}/secret"),
                format!("proc/{own}/fd/{held}/../outside/secret"),
                format!("proc/{own}/fd/{file}"),
            ] {
                assert_eq!(guest.stat(&path).map(drop), Err(Errno::NOENT), "{path}");
                assert_eq!(guest.read(&path), Err(Errno::NOENT), "{path}");
                let put = if path.ends_with('/') { Errno::ISDIR } else { Errno::NOENT };
                assert_eq!(guest.put(&path, b"changed"), Err(put), "{path}");
                assert_eq!(guest.truncate(&path, 0), Err(Errno::NOENT), "{path}");
            }
        }
        // Links without a path lead nowhere.
        assert_eq!(guest.stat("proc/self/ns/mnt").map(drop), Err(Errno::NOENT));
    }
    assert_eq!(Picture::of(&scene.outside), before);
}
