//! Names of any bytes, and the longest names and paths.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use vnode_core::Errno;
use vnode_core::fs::Rename;

use crate::guest::Guest;
use crate::scene::Scene;

#[test]
fn names_are_any_bytes() {
    let scene = Scene::new();
    let mut names: Vec<Vec<u8>> =
        (1..=255).filter(|byte| !b"/.".contains(byte)).map(|byte| vec![byte]).collect();
    names.extend([
        b"line\nbreak".to_vec(),
        b"...".to_vec(),
        b".. ".to_vec(),
        b"..\\..\\x".to_vec(),
        b"\xff\xfe\xc0\xaf".to_vec(),
        b"\xc0\xae\xc0\xae".to_vec(),
        "\u{ff0e}\u{ff0e}".as_bytes().to_vec(),
        "e\u{301}".as_bytes().to_vec(),
        "\u{e9}".as_bytes().to_vec(),
        b"CON".to_vec(),
        b"-rf *".to_vec(),
        vec![0xff; 255],
    ]);
    for guest in Guest::both(&scene.served) {
        for name in &names {
            guest.put(name, name).unwrap();
        }
        let listed: Vec<_> = guest.list("/").unwrap().into_keys().collect();
        names.sort();
        assert_eq!(listed, names);
        for name in &names {
            assert_eq!(&guest.read(name).unwrap(), name);
            assert_eq!(&std::fs::read(scene.served.join(OsStr::from_bytes(name))).unwrap(), name);
            let inside = [b"new/", &name[..]].concat();
            guest.mkdir("new").unwrap();
            guest.rename(name, &inside, Rename::NoReplace).unwrap();
            assert_eq!(guest.stat([&inside[..], b"/"].concat()).map(drop), Err(Errno::NOTDIR));
            guest.unlink(&inside).unwrap();
            guest.rmdir("new").unwrap();
        }
    }
}

#[test]
fn names_that_are_too_long_reach_no_call_of_the_host() {
    let scene = Scene::new();
    for guest in Guest::both(&scene.served) {
        for len in [256, 257, 1000, 4095] {
            let name = vec![b'n'; len];
            assert_eq!(guest.stat(&name).map(drop), Err(Errno::NAMETOOLONG));
            assert_eq!(guest.mkdir(&name), Err(Errno::NAMETOOLONG));
            assert_eq!(guest.put(&name, b""), Err(Errno::NAMETOOLONG));
            assert_eq!(guest.symlink("x", &name), Err(Errno::NAMETOOLONG));
        }
        assert_eq!(guest.stat(vec![b'/'; 4096]).map(drop), Err(Errno::NAMETOOLONG));
        assert_eq!(guest.symlink(vec![b't'; 4096], "link"), Err(Errno::NAMETOOLONG));
        assert_eq!(guest.stat(b"a\0b").map(drop), Err(Errno::INVAL));
        assert_eq!(guest.stat("").map(drop), Err(Errno::NOENT));
        assert!(guest.list("/").unwrap().is_empty());
    }
}

#[test]
fn the_longest_paths_are_walked() {
    let scene = Scene::new();
    let [runs, steps] = Guest::both(&scene.served);
    let mut place = runs.root();
    let mut inodes = vec![runs.stat("/").unwrap().ino];
    for _ in 0..2048 {
        let path = vnode_core::VPath::new(b"a").unwrap();
        let mode = vnode_core::Mode::from_raw(0o755);
        runs.call(|caller| caller.mkdir(&place, path, mode)).unwrap();
        place = runs.resolve_from(&place, "a").unwrap();
        inodes.push(runs.attr(&place).unwrap().ino);
    }
    // 2048 names and 2047 slashes.
    let path = vec!["a"; 2048].join("/");
    assert_eq!(path.len(), 4095);
    for guest in [&runs, &steps] {
        assert_eq!(guest.stat(&path).unwrap().ino, inodes[2048]);
        assert_eq!(guest.stat_from(&place, &"../".repeat(40)).unwrap().ino, inodes[2048 - 40]);
        assert_eq!(guest.stat(format!("{path}/")).map(drop), Err(Errno::NAMETOOLONG));
        // A link with the longest text, twice.
        guest.symlink(&path, "long").unwrap();
        assert_eq!(guest.stat("long/").unwrap().ino, inodes[2048]);
        assert_eq!(guest.stat("long/../../a").unwrap().ino, inodes[2047]);
        guest.unlink("long").unwrap();
    }
}
