//! Numbers at every edge.

use vnode_core::fs::{Access, Allocate, SeekFor, SetXattr};
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, Follow, OpenFlags, SetTime, Timespec};

use crate::guest::Guest;
use crate::scene::Scene;

const EDGES: [u64; 9] = [
    0,
    1,
    u32::MAX as u64,
    1 << 62,
    i64::MAX as u64 - 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 4095,
    u64::MAX,
];

#[test]
fn offsets_and_lengths_at_every_edge_are_answers() {
    let scene = Scene::new();
    let [guest, _] = Guest::both(&scene.served);
    let file = guest.file("file", Access::READ | Access::WRITE, OpenFlags::CREATE).unwrap();
    guest.call(|caller| {
        let cx = caller.cx;
        let mut bytes = [0; 16];
        for one in EDGES {
            let _ = file.read_at(cx, one, &mut Sink::from_slice(&mut bytes));
            let _ = file.seek_data_or_hole(cx, SeekFor::Data, one);
            let _ = file.seek_data_or_hole(cx, SeekFor::Hole, one);
            let _ = file.set_len(cx, one);
            let _ = file.write_at(cx, one, &mut Source::from_slice(b"text"));
            let _ = file.append(cx, &mut Source::from_slice(b"text"));
            // Lengths that could be had would take room.
            for other in EDGES.into_iter().filter(|&other| other <= 1 || other > u64::MAX / 8) {
                for how in [Allocate::PunchHole, Allocate::Extend, Allocate::KeepSize, Allocate::ZeroRange] {
                    let _ = file.allocate(cx, how, one, other);
                }
            }
            let size = guest.stat("file").unwrap().size;
            assert!(i64::try_from(size).is_ok(), "{size}");
            file.set_len(cx, 0).unwrap();
        }
    });
}

#[test]
fn times_at_every_edge_are_set_or_refused() {
    let scene = Scene::new();
    scene.write("file", b"");
    let [guest, _] = Guest::both(&scene.served);
    for sec in
        [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::from(i32::MAX), i64::from(u32::MAX), i64::MAX - 1, i64::MAX]
    {
        for nsec in [0, 1, 999_999_999] {
            let then = Some(SetTime::To(Timespec { sec, nsec }));
            let set =
                guest.on("file", |caller, base, path| caller.set_times(base, path, Follow::Yes, then, then));
            assert!(matches!(set, Ok(()) | Err(Errno::INVAL | Errno::OVERFLOW)), "{set:?}");
            let attr = guest.stat("file").unwrap();
            assert!(attr.mtime.nsec < 1_000_000_000 && attr.atime.nsec < 1_000_000_000);
        }
    }
}

#[test]
fn texts_with_zero_bytes_and_of_any_length_are_refused() {
    let scene = Scene::new();
    scene.write("file", b"");
    let [guest, _] = Guest::both(&scene.served);
    assert!(guest.symlink(b"a\0b", "link").is_err());
    assert_eq!(guest.symlink(b"", "link"), Err(Errno::NOENT));
    assert_eq!(guest.lstat("link").map(drop), Err(Errno::NOENT));
    let set = |name: &[u8], value: &[u8]| {
        guest.on("file", |caller, base, path| {
            caller.set_xattr(base, path, Follow::Yes, name, value, SetXattr::Any)
        })
    };
    let long = [&b"user."[..], &[b'n'; 300]].concat();
    for name in [&b""[..], b"user.", b"user.a\0b", b"x", b"security.x", b"system.x", &long] {
        assert!(set(name, b"v").is_err(), "{name:?}");
    }
    assert!(set(b"user.large", &vec![0; 65_537]).is_err());
    assert!(set(b"user.huge", &vec![0; 1 << 20]).is_err());
}
