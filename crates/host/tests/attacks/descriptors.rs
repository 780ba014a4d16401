//! Descriptors of the host: as many as are allowed, whatever a guest holds.

use std::fs::rename;
use std::path::Path;
use std::time::{Duration, Instant};

use vnode_core::fs::Access;
use vnode_core::{Errno, Mode, OpenFlags, Pinned, Place, VPath};
use vnode_host::Host;

use crate::apart;
use crate::guest::Guest;
use crate::scene::{Scene, busy};

const MOST: usize = 32;

/// The process's descriptors.
fn open_descriptors() -> usize {
    // The listing has one itself.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

fn limited(stepwise: bool, dir: &Path) -> Guest {
    Guest::new(Host::builder().stepwise(stepwise).max_descriptors(MOST), dir)
}

/// Uses as many directories as there may be descriptors, so that all others' are closed.
fn press(guest: &Guest, scene: &Scene) {
    let places: Vec<Place> = (0..4 * MOST)
        .map(|number| {
            let name = format!("press/{number}");
            scene.mkdir(&name);
            guest.resolve(&name).unwrap()
        })
        .collect();
    for place in places.iter().chain(&places) {
        guest.attr(place).unwrap();
    }
}

#[test]
fn a_walk_over_a_large_tree_holds_few_descriptors() {
    const LEVELS: usize = 300;
    const FILES: usize = 67;
    if apart::was_done("descriptors::a_walk_over_a_large_tree_holds_few_descriptors", &["env"]) {
        return;
    }
    let scene = Scene::new();
    let mut dir = rustix::fs::open(&scene.served, rustix::fs::OFlags::PATH, 0.into()).unwrap();
    for _ in 0..LEVELS {
        for file in 0..FILES {
            let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
            rustix::fs::openat(&dir, file.to_string(), flags, 0o644.into()).unwrap();
        }
        rustix::fs::mkdirat(&dir, "down", 0o755.into()).unwrap();
        dir = rustix::fs::openat(&dir, "down", rustix::fs::OFlags::PATH, 0.into()).unwrap();
    }
    drop(dir);
    let before = open_descriptors();
    for stepwise in [false, true] {
        let guest = limited(stepwise, &scene.served);
        let check = || {
            assert!(guest.host.descriptors() <= MOST, "{}", guest.host.descriptors());
            // What is open for the length of a call isn't counted.
            assert!(open_descriptors() <= before + MOST + 2, "{} and {before}", open_descriptors());
        };
        let mut way = vec![guest.root()];
        let (mut files, mut all) = (0, Vec::new());
        while let Some(here) = way.last() {
            let names = guest.list_place(here).unwrap();
            for (name, kind) in &names {
                let name = std::str::from_utf8(name).unwrap();
                let place = guest.resolve_from(here, name).unwrap();
                assert_eq!(guest.attr(&place).unwrap().kind, *kind);
                if !kind.is_dir() {
                    files += 1;
                    all.push(place);
                }
            }
            check();
            match names.contains_key(&b"down"[..]) {
                true => way.push(guest.resolve_from(here, "down").unwrap()),
                false => break,
            }
        }
        assert_eq!((files, way.len()), (LEVELS * FILES, LEVELS + 1));
        // All of them are held; any of them is there.
        for place in way.iter().step_by(7).rev().chain(all.iter().step_by(31)) {
            guest.attr(place).unwrap();
            check();
        }
        let deepest = way.last().unwrap();
        let root = guest.attr(&guest.root()).unwrap().ino;
        assert_eq!(guest.stat_from(deepest, &"../".repeat(LEVELS)).unwrap().ino, root);
        check();
        drop((way, all));
        assert_eq!(guest.host.descriptors(), 1);
    }
    assert_eq!(open_descriptors(), before);
}

/// Inodes that are found again by their way are the same, or are gone; on a filesystem that gives numbers of inodes
/// only once, and on one that gives them again at once.
#[test]
fn what_is_found_again_is_the_same_or_stale() {
    for within in ["/dev/shm", "/tmp"] {
        for stepwise in [false, true] {
            let scene = Scene::within(Path::new(within));
            for path in ["there/x", "moved/x", "replaced/x", "link/x", "above/x"] {
                scene.mkdir(path);
            }
            scene.write("there/file", b"text");
            scene.write("replaced/file", b"text");
            let guest = limited(stepwise, &scene.served);
            let hold = |path: &str| guest.resolve(path).unwrap();
            let there = [hold("there"), hold("there/x"), hold("there/file")];
            let gone: Vec<Place> =
                ["moved/x", "replaced/x", "replaced/file", "link/x", "above", "above/x"].map(hold).into();
            press(&guest, &scene);
            rename(scene.at("moved/x"), scene.at("moved/y")).unwrap();
            std::fs::remove_dir(scene.at("replaced/x")).unwrap();
            scene.mkdir("replaced/x");
            std::fs::remove_file(scene.at("replaced/file")).unwrap();
            scene.write("replaced/file", b"other");
            rename(scene.at("link/x"), scene.outside.join("x")).unwrap();
            std::os::unix::fs::symlink(scene.outside.join("x"), scene.at("link/x")).unwrap();
            rename(scene.at("above"), scene.outside.join("above")).unwrap();
            for place in &there {
                guest.attr(place).unwrap();
            }
            for (number, place) in gone.iter().enumerate() {
                assert_eq!(guest.attr(place).map(drop), Err(Errno::STALE), "{number} in {within}");
                assert_eq!(guest.attr(place).map(drop), Err(Errno::STALE), "{number} in {within}");
            }
            rename(scene.outside.join("above"), scene.at("above")).unwrap();
            assert!(guest.attr(&gone[5]).is_ok(), "it is back");
        }
    }
}

#[test]
fn pinned_places_survive_renames_under_pressure() {
    for stepwise in [false, true] {
        let scene = Scene::new();
        scene.mkdir("a/b");
        scene.write("a/b/file", b"text");
        let guest = limited(stepwise, &scene.served);
        let dir = Pinned::from(guest.resolve("a/b").unwrap());
        let file = guest.file("a/b/file", Access::READ | Access::WRITE, OpenFlags::empty()).unwrap();
        press(&guest, &scene);
        // Pinned only when it was closed already.
        let late = guest.resolve("a").unwrap();
        press(&guest, &scene);
        let late = Pinned::from(late);
        rename(scene.at("a/b"), scene.at("b")).unwrap();
        rename(scene.at("a"), scene.at("c")).unwrap();
        press(&guest, &scene);
        assert_eq!(guest.stat_from(&dir, "file").unwrap().size, 4);
        assert_eq!(guest.call(|caller| caller.getcwd(&dir)).unwrap(), b"/b");
        assert_eq!(guest.call(|caller| caller.getcwd(&late)).unwrap(), b"/c");
        std::fs::remove_file(scene.at("b/file")).unwrap();
        press(&guest, &scene);
        assert_eq!(guest.write_at(&*file, 4, b" more"), Ok(5));
        drop((dir, file, late));
        assert_eq!(guest.host.descriptors(), 1);
    }
}

#[test]
fn too_many_that_are_in_use_are_emfile() {
    for stepwise in [false, true] {
        let scene = Scene::new();
        for number in 0..2 * MOST {
            scene.mkdir(&format!("{number}"));
            scene.write(&format!("{number}/file"), b"text");
        }
        let guest = limited(stepwise, &scene.served);
        let mut pinned = Vec::new();
        let full = loop {
            match guest.resolve(format!("{}", pinned.len())) {
                Ok(place) => pinned.push(Pinned::from(place)),
                Err(errno) => break errno,
            }
        };
        assert_eq!(full, Errno::MFILE);
        assert_eq!((pinned.len(), guest.host.descriptors()), (MOST - 1, MOST));
        let create = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        assert_eq!(guest.open("new", Access::WRITE, create).map(drop), Err(Errno::MFILE));
        assert_eq!(guest.mkdir("new"), Err(Errno::MFILE));
        assert_eq!(guest.symlink("nowhere", "new"), Err(Errno::MFILE));
        assert!(scene.at("new").symlink_metadata().is_err(), "what failed made something");
        assert_eq!(guest.list("/").map(drop), Err(Errno::MFILE));
        // Errors leave nothing behind.
        for _ in 0..1000 {
            assert_eq!(guest.read("1/file"), Err(Errno::MFILE));
        }
        pinned.pop();
        pinned.pop();
        assert_eq!(guest.read("1/file").unwrap(), b"text");
        for _ in 0..1000 {
            assert_eq!(guest.stat("1/none").map(drop), Err(Errno::NOENT));
            assert_eq!(guest.stat("1/file/x").map(drop), Err(Errno::NOTDIR));
            assert_eq!(guest.mkdir("1/file"), Err(Errno::EXIST));
        }
        assert_eq!(guest.host.descriptors(), MOST - 2);
        pinned.clear();
        assert_eq!(guest.host.descriptors(), 1);
    }
}

#[test]
fn the_limit_of_the_process_is_respected() {
    let small = apart::after("ulimit -n 64; exec \"$0\" \"$@\"");
    if apart::was_done("descriptors::the_limit_of_the_process_is_respected", &small) {
        return;
    }
    let scene = Scene::new();
    for number in 0..2000 {
        scene.mkdir(&format!("{number}/x"));
    }
    for guest in &Guest::both(&scene.served) {
        let places: Vec<Place> =
            (0..2000).map(|number| guest.resolve(format!("{number}/x")).unwrap()).collect();
        assert!(guest.host.descriptors() <= 48, "{}", guest.host.descriptors());
        for place in &places {
            assert_eq!(guest.stat_from(place, "..").unwrap().nlink, 3);
            assert!(guest.list_place(place).unwrap().is_empty());
        }
        assert!(open_descriptors() < 64);
        // Others take what they need of what is left, and more.
        let mut others = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            others.push(file);
        }
        for place in &places {
            guest.attr(place).unwrap();
        }
        drop(others);
        drop(places);
        // The roots of both.
        assert_eq!(guest.host.descriptors(), 2);
    }
}

#[test]
fn a_deep_tree_is_gone_down_and_dropped_in_little_memory_and_stack() {
    const LEVELS: u32 = 100_000;
    let scene = Scene::new();
    let work = move || {
        let guest = limited(true, &scene.served);
        let down = VPath::new(b"d").unwrap();
        let mut place = guest.root();
        let began = Instant::now();
        for _ in 0..LEVELS {
            guest.call(|caller| caller.mkdir(&place, down, Mode::from_raw(0o755))).unwrap();
            place = guest.resolve_from(&place, "d").unwrap();
        }
        // Other things have its descriptor closed; to find it again doesn't start at the root.
        press(&guest, &scene);
        let before = busy();
        guest.attr(&place).unwrap();
        let again = busy() - before;
        assert!(again < Duration::from_millis(500), "{again:?} to find it again");
        assert_eq!(guest.stat_from(&place, "../d").unwrap().ino, guest.attr(&place).unwrap().ino);
        println!("{LEVELS} levels: {:?}", began.elapsed());
        // Held by their descriptors, or found again from those.
        let chains: Vec<Place> = (0..8)
            .map(|_| (0..640).fold(guest.root(), |place, _| guest.resolve_from(&place, "d").unwrap()))
            .collect();
        assert!(guest.host.descriptors() <= MOST);
        drop((chains, place));
        assert_eq!(guest.host.descriptors(), 1);
    };
    std::thread::Builder::new().stack_size(128 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn no_program_that_is_started_inherits_any() {
    if apart::was_done("descriptors::no_program_that_is_started_inherits_any", &["env"]) {
        return;
    }
    let scene = Scene::new();
    scene.mkdir("a/b");
    scene.write("a/b/file", b"text");
    let before = open_descriptors();
    for guest in Guest::both(&scene.served) {
        let file = guest.file("a/b/file", Access::READ | Access::WRITE, OpenFlags::empty()).unwrap();
        let new = guest.file("a/new", Access::WRITE, OpenFlags::CREATE).unwrap();
        let again = guest.resolve("a/b/file").unwrap();
        let places = [guest.resolve("a").unwrap(), guest.resolve("a/b").unwrap(), again];
        let listing = guest.call(|caller| caller.list(&places[1])).unwrap();
        assert!(open_descriptors() >= before + 6, "{} and {before}", open_descriptors());
        let mut closed = 0;
        for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
            let path = entry.unwrap().path();
            if std::fs::read_link(&path).is_ok_and(|to| to.starts_with(&scene.served)) {
                let number = path.file_name().unwrap().to_str().unwrap();
                let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
                let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
                let flags = u32::from_str_radix(flags, 8).unwrap();
                assert!(flags & rustix::fs::OFlags::CLOEXEC.bits() != 0, "{path:?}: {info}");
                closed += 1;
            }
        }
        assert!(closed >= 6, "{closed}");
        drop((file, new, places, listing));
    }
}
