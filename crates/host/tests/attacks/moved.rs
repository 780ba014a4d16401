//! Directories that the host moves while a guest holds them.

use std::fs::rename;
use std::os::unix::fs::MetadataExt;

use vnode_core::fs::Rename;
use vnode_core::{Errno, Mode, VPath};

use crate::guest::Guest;
use crate::scene::Scene;

#[test]
fn a_directory_moved_out_keeps_what_is_in_it_and_has_no_way_up() {
    let scene = Scene::new();
    scene.mkdir("a/b/c");
    scene.write("a/b/c/file", b"text");
    for guest in Guest::both(&scene.served) {
        let (held, above) = (guest.resolve("a/b/c").unwrap(), guest.resolve("a/b").unwrap());
        rename(scene.at("a/b"), scene.outside.join("sub/b")).unwrap();
        for (place, child) in [(&held, "file"), (&above, "c/file")] {
            assert_eq!(guest.stat_from(place, child).unwrap().size, 4);
            for up in ["..", "../", "../secret", "../../secret", "../../../secret", "../c/.."] {
                // One is above the other, and is left all the same.
                assert_eq!(guest.stat_from(place, up).map(drop), Err(Errno::NOENT), "{up}");
            }
            assert_eq!(guest.call(|caller| caller.getcwd(place)), Err(Errno::NOENT));
            assert!(guest.list_place(place).unwrap().len() == 1);
        }
        // What is made in it is made in it, and nothing is moved across by `..`.
        let made = VPath::new(b"made").unwrap();
        guest.call(|caller| caller.mkdir(&held, made, Mode::from_raw(0o755))).unwrap();
        guest.call(|caller| caller.rmdir(&held, made)).unwrap();
        let (file, up) = (VPath::new(b"file").unwrap(), VPath::new(b"../../stolen").unwrap());
        let moved = guest.call(|caller| caller.rename(&held, file, &held, up, Rename::Replace));
        assert_eq!(moved, Err(Errno::NOENT));
        rename(scene.outside.join("sub/b"), scene.at("a/b")).unwrap();
        assert_eq!(guest.stat_from(&held, "../../../a/b/c/file").unwrap().size, 4);
        assert_eq!(guest.call(|caller| caller.getcwd(&held)).unwrap(), b"/a/b/c");
    }
}

#[test]
fn a_directory_moved_within_the_root_has_its_new_way_up() {
    let scene = Scene::new();
    scene.mkdir("a/b/c");
    scene.mkdir("x/y");
    let ino = |path: &str| std::fs::metadata(scene.at(path)).unwrap().ino();
    let (a, y) = (ino("a"), ino("x/y"));
    for guest in Guest::both(&scene.served) {
        let held = guest.resolve("a/b").unwrap();
        let single = guest.resolve("a").and_then(|a| guest.resolve_from(&a, "b")).unwrap();
        for place in [&held, &single] {
            assert_eq!(guest.stat_from(place, "..").unwrap().ino, a);
        }
        rename(scene.at("a/b"), scene.at("x/y/moved")).unwrap();
        for place in [&held, &single] {
            assert_eq!(guest.stat_from(place, "..").unwrap().ino, y);
            assert_eq!(guest.stat_from(place, "../../y/moved/c/..").unwrap().ino, ino("x/y/moved"));
            assert_eq!(guest.call(|caller| caller.getcwd(place)).unwrap(), b"/x/y/moved");
        }
        rename(scene.at("x/y/moved"), scene.at("a/b")).unwrap();
    }
}

#[test]
fn a_root_that_is_moved_or_removed_is_the_root_still() {
    let scene = Scene::new();
    scene.mkdir("a");
    for guest in Guest::both(&scene.served) {
        let away = scene.outside.join("sub/served");
        rename(&scene.served, &away).unwrap();
        assert_eq!(guest.stat("..").unwrap().ino, guest.stat("/").unwrap().ino);
        assert_eq!(guest.stat("a/../../secret").map(drop), Err(Errno::NOENT));
        guest.mkdir("made").unwrap();
        guest.rmdir("made").unwrap();
        rename(&away, &scene.served).unwrap();
    }
    let guests = Guest::both(&scene.served);
    std::fs::remove_dir_all(&scene.served).unwrap();
    for guest in guests {
        assert_eq!(guest.stat("/").unwrap().nlink, 0);
        assert_eq!(guest.stat("../outside").map(drop), Err(Errno::NOENT));
        assert_eq!(guest.mkdir("made"), Err(Errno::NOENT));
    }
}

#[test]
fn a_removed_directory_is_empty_and_takes_nothing() {
    let scene = Scene::new();
    for guest in Guest::both(&scene.served) {
        scene.mkdir("a/b");
        let held = guest.resolve("a/b").unwrap();
        std::fs::remove_dir(scene.at("a/b")).unwrap();
        let name = VPath::new(b"x").unwrap();
        let made = guest.call(|caller| caller.mkdir(&held, name, Mode::from_raw(0o755)));
        assert_eq!(made, Err(Errno::NOENT));
        assert_eq!(guest.stat_from(&held, "x").map(drop), Err(Errno::NOENT));
        assert_eq!(guest.attr(&held).unwrap().nlink, 0);
    }
}
