//! FIFOs, sockets and devices: listed, looked at, never opened.

use std::fs::OpenOptions;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType as HostType, Mode, RenameFlags, makedev, mknodat, renameat_with};
use vnode_core::fs::{Access, NewKind};
use vnode_core::{Errno, FileType, Mode as GuestMode, OpenFlags, OpenNode};
use vnode_host::Host;

use crate::apart;
use crate::guest::Guest;
use crate::scene::{Scene, within};

const TIME: Duration = Duration::from_secs(20);

fn make_fifo(scene: &Scene, name: &str) {
    mknodat(CWD, scene.at(name), HostType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
}

/// Has an open of each kind tried; each must come to an end, and open nothing.
fn opens_nothing(guest: &Guest, path: &str, kind: FileType) {
    let accesses = [Access::empty(), Access::READ, Access::WRITE, Access::READ | Access::WRITE];
    let all = [OpenFlags::empty(), OpenFlags::CREATE, OpenFlags::TRUNCATE, OpenFlags::NOFOLLOW];
    for access in accesses {
        for flags in all {
            let opened = guest.open(path, access, flags).unwrap();
            assert!(matches!(opened.node, OpenNode::Special(found) if found == kind), "{path}");
        }
    }
    let slash = guest.open(format!("{path}/"), Access::READ, OpenFlags::empty());
    assert_eq!(slash.map(drop), Err(Errno::NOTDIR));
    let exclusive = guest.open(path, Access::WRITE, OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
    assert_eq!(exclusive.map(drop), Err(Errno::EXIST));
    assert_eq!(guest.truncate(path, 0), Err(Errno::INVAL));
    assert_eq!(guest.list(path).map(drop), Err(Errno::NOTDIR));
    let place = guest.resolve(path).unwrap();
    // To bring it to the medium opens nothing either.
    assert_eq!(guest.call(|caller| caller.sync_place(&place, false)), Ok(()));
}

#[test]
fn fifos_sockets_and_devices_are_looked_at_and_never_opened() {
    let scene = Scene::new();
    scene.mkdir("dir");
    make_fifo(&scene, "dir/fifo");
    let _socket = UnixListener::bind(scene.at("dir/socket")).unwrap();
    let mut expected = vec![("fifo", FileType::Fifo), ("socket", FileType::Socket)];
    if apart::is_root() {
        // `/dev/full`, and a terminal that would become the process's own.
        mknodat(CWD, scene.at("dir/full"), HostType::CharacterDevice, Mode::from(0o666), makedev(1, 7))
            .unwrap();
        mknodat(CWD, scene.at("dir/tty"), HostType::CharacterDevice, Mode::from(0o666), makedev(4, 1))
            .unwrap();
        mknodat(CWD, scene.at("dir/disk"), HostType::BlockDevice, Mode::from(0o666), makedev(7, 0)).unwrap();
        expected.extend([
            ("full", FileType::CharDevice),
            ("tty", FileType::CharDevice),
            ("disk", FileType::BlockDevice),
        ]);
    }
    within(TIME, move || {
        for guest in Guest::both(&scene.served) {
            let listed = guest.list("dir").unwrap();
            assert_eq!(listed.len(), expected.len());
            for &(name, kind) in &expected {
                assert_eq!(listed.get(name.as_bytes()), Some(&kind));
                let path = format!("dir/{name}");
                assert_eq!(guest.stat(&path).unwrap().kind, kind);
                opens_nothing(&guest, &path, kind);
                guest.symlink(name, "dir/link").unwrap();
                let opened = guest.open("dir/link", Access::READ, OpenFlags::empty()).unwrap();
                assert!(matches!(opened.node, OpenNode::Special(found) if found == kind));
                guest.unlink("dir/link").unwrap();
            }
        }
    });
}

#[test]
fn a_guest_makes_fifos_and_no_devices() {
    let scene = Scene::new();
    let [guest, _] = Guest::both(&scene.served);
    let make = |guest: &Guest, name: &str, kind| {
        guest.on(name, |caller, base, path| caller.mknod(base, path, kind, GuestMode::from_raw(0o666)))
    };
    make(&guest, "fifo", NewKind::Fifo).unwrap();
    opens_nothing(&guest, "fifo", FileType::Fifo);
    for kind in [NewKind::CharDevice(0x107), NewKind::BlockDevice(0x700)] {
        assert_eq!(make(&guest, "device", kind), Err(Errno::PERM));
    }
    assert_eq!(guest.lstat("device").map(drop), Err(Errno::NOENT));
    if apart::is_root() {
        let guest = Guest::new(Host::builder().devices(true), &scene.served);
        make(&guest, "device", NewKind::CharDevice(0x107)).unwrap();
        opens_nothing(&guest, "device", FileType::CharDevice);
    }
}

#[test]
fn nobody_who_waits_at_a_fifo_is_let_on() {
    let scene = Scene::new();
    make_fifo(&scene, "fifo");
    let path = scene.at("fifo");
    let waiting = |options: &OpenOptions| {
        let (options, path) = (options.clone(), path.clone());
        std::thread::spawn(move || options.open(path).map(drop))
    };
    for guest in Guest::both(&scene.served) {
        for (one, other) in [(Access::READ, Access::WRITE), (Access::WRITE, Access::READ)] {
            let mut options = OpenOptions::new();
            options.read(one == Access::READ).write(one == Access::WRITE);
            let waiter = waiting(&options);
            std::thread::sleep(Duration::from_millis(50));
            for access in [one, other, one | other] {
                let opened = guest.open("fifo", access, OpenFlags::empty()).unwrap();
                assert!(matches!(opened.node, OpenNode::Special(FileType::Fifo)));
            }
            std::thread::sleep(Duration::from_millis(50));
            assert!(!waiter.is_finished(), "the FIFO was opened");
            let both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            waiter.join().unwrap().unwrap();
            drop(both);
        }
    }
}

#[test]
fn a_fifo_swapped_in_for_a_file_never_makes_an_open_wait() {
    let scene = Scene::new();
    scene.mkdir("dir");
    make_fifo(&scene, "dir/fifo");
    scene.write("dir/file", b"text");
    let (ends, scene) = (Arc::new(AtomicBool::new(false)), Arc::new(scene));
    let swaps = {
        let (ends, scene) = (Arc::clone(&ends), Arc::clone(&scene));
        std::thread::spawn(move || {
            let (one, other) = (scene.at("dir/fifo"), scene.at("dir/file"));
            while !ends.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        })
    };
    let (files, specials) = within(TIME, {
        let scene = Arc::clone(&scene);
        move || {
            let until = Instant::now() + Duration::from_secs(2);
            let (mut files, mut specials) = (0, 0);
            let guests = Guest::both(&scene.served);
            while Instant::now() < until {
                for guest in &guests {
                    for access in [Access::READ, Access::WRITE, Access::READ | Access::WRITE] {
                        match guest.open("dir/file", access, OpenFlags::empty()).map(|opened| opened.node) {
                            Ok(OpenNode::File(file)) => {
                                files += 1;
                                // A file, and not the FIFO by the file's name.
                                let none = &mut vnode_core::io::Source::from_slice(b"");
                                let end = guest.call(|caller| file.append(caller.cx, none));
                                assert_eq!(end, Ok((0, 4)));
                            }
                            Ok(OpenNode::Special(FileType::Fifo)) | Err(Errno::NXIO | Errno::STALE) => {
                                specials += 1;
                            }
                            other => panic!("{:?}", other.map(drop)),
                        }
                    }
                }
            }
            (files, specials)
        }
    });
    ends.store(true, Ordering::Relaxed);
    swaps.join().unwrap();
    println!("{files} times the file, {specials} times the FIFO");
    assert!(files >= 100 && specials >= 100, "the swap hit too rarely: {files}, {specials}");
}
