//! Calls with a directory and a path.

use vnode_core::Errno;
use vnode_wasi::{preview1, unstable};

use crate::guest::*;

#[test]
fn a_tree_is_made_and_removed() {
    let mut guest = Guest::new();
    assert_eq!(guest.mkdir("d"), Ok(()));
    assert_eq!(guest.mkdir("d"), Err(Errno::EXIST));
    assert_eq!(guest.mkdir("x/y"), Err(Errno::NOENT));
    guest.file("d/a", b"abc");
    assert_eq!(guest.mkdir("d/a/b"), Err(Errno::NOTDIR));
    assert_eq!(guest.rmdir("d"), Err(Errno::NOTEMPTY));
    assert_eq!(guest.rmdir("d/a"), Err(Errno::NOTDIR));
    assert_eq!(guest.unlink("d"), Err(Errno::ISDIR));
    let (old, old_len) = guest.path("d/a");
    let (new, new_len) = guest.other_path("b");
    guest.call(|p, m| preview1::path_link(p, m, ROOT, 0, old, old_len, ROOT, new, new_len)).unwrap();
    assert_eq!(guest.stat("b", 0).unwrap()[24..32], 2u64.to_le_bytes());
    guest.path("d/a");
    guest.call(|p, m| preview1::path_rename(p, m, ROOT, new, new_len, ROOT, old, old_len)).unwrap();
    // Two names of one inode: nothing happened.
    assert_eq!(guest.content("b"), b"abc");
    assert_eq!(guest.unlink("b"), Ok(()));
    assert_eq!(guest.unlink("d/a"), Ok(()));
    assert_eq!(guest.rmdir("d/"), Ok(()));
    assert_eq!(guest.stat("d", 1), Err(Errno::NOENT));
}

#[test]
fn links_are_followed_only_when_asked() {
    let mut guest = Guest::new();
    guest.file("a", b"abc");
    guest.symlink("a", "l").unwrap();
    guest.symlink("/a", "abs").unwrap();
    guest.symlink("nowhere", "dangling").unwrap();
    assert_eq!(guest.stat("l", 0).unwrap()[16], 7);
    assert_eq!(guest.stat("l", 1).unwrap()[16], 4);
    assert_eq!(guest.stat("abs", 1).unwrap()[32], 3);
    assert_eq!(guest.stat("dangling", 1), Err(Errno::NOENT));
    let (at, len) = guest.path("l");
    let open = |guest: &mut Guest, flags| {
        guest.call(|p, m| preview1::path_open(p, m, ROOT, flags, at, len, 0, READ, 0, 0, RESULT))
    };
    assert_eq!(open(&mut guest, 0), Err(Errno::LOOP));
    assert_eq!(open(&mut guest, 1), Ok(()));
    assert_eq!(open(&mut guest, 2), Err(Errno::INVAL));
    assert_eq!(guest.open("dangling", CREAT | EXCL, WRITE), Err(Errno::EXIST));
    assert!(guest.open("dangling", CREAT, WRITE).is_ok());
    assert_eq!(guest.stat("nowhere", 0).unwrap()[16], 4);
    assert_eq!(guest.open("a", 16, READ), Err(Errno::INVAL));
    assert_eq!(guest.open_at(ROOT, "a", 0, READ, 32), Err(Errno::INVAL));
}

#[test]
fn a_link_is_read_as_far_as_the_buffer_goes() {
    let mut guest = Guest::new();
    guest.symlink("some/target", "l").unwrap();
    guest.file("a", b"");
    let read = |guest: &mut Guest, path: &str, len| {
        let (at, path_len) = guest.path(path);
        guest.call(|p, m| preview1::path_readlink(p, m, ROOT, at, path_len, BUFFER, len, RESULT))?;
        Ok(guest.get(BUFFER, guest.u32(RESULT)))
    };
    assert_eq!(read(&mut guest, "l", 100), Ok(b"some/target".to_vec()));
    assert_eq!(guest.u8(BUFFER + 11), 0xee);
    assert_eq!(read(&mut guest, "l", 11), Ok(b"some/target".to_vec()));
    assert_eq!(read(&mut guest, "l", 4), Ok(b"some".to_vec()));
    assert_eq!(read(&mut guest, "l", 0), Ok(vec![]));
    assert_eq!(read(&mut guest, "a", 100), Err(Errno::INVAL));
}

#[test]
fn paths_are_bytes_and_bounded() {
    let mut guest = Guest::new();
    assert_eq!(guest.stat("", 1), Err(Errno::NOENT));
    assert_eq!(guest.stat("a\0b", 1), Err(Errno::INVAL));
    assert_eq!(guest.stat(vec![b'a'; 256], 1), Err(Errno::NAMETOOLONG));
    assert_eq!(guest.stat([b"a/".repeat(2047), b"a".to_vec()].concat(), 1), Err(Errno::NOENT));
    assert_eq!(guest.stat(b"a/".repeat(2048), 1), Err(Errno::NAMETOOLONG));
    let (at, len) = guest.path(b"\xff\xfe");
    assert_eq!(guest.call(|p, m| preview1::path_create_directory(p, m, ROOT, at, len)), Ok(()));
    assert!(guest.stat(b"\xff\xfe/", 1).is_ok());
    for (at, len, errno) in [
        (OUTSIDE, 4, Errno::FAULT),
        (u32::MAX, 1, Errno::FAULT),
        (u32::MAX, u32::MAX, Errno::FAULT),
        (0, u32::MAX, Errno::FAULT),
        (0, MEMORY, Errno::NAMETOOLONG),
    ] {
        assert_eq!(guest.call(|p, m| preview1::path_unlink_file(p, m, ROOT, at, len)), Err(errno));
    }
}

#[test]
fn paths_of_the_caller_stay_below_the_directory() {
    let mut guest = Guest::new();
    guest.file("a", b"abc");
    guest.mkdir("d").unwrap();
    let dir = guest.open("d", DIRECTORY, READ).unwrap();
    assert_eq!(guest.stat("/a", 1), Err(Errno::NOTCAPABLE));
    assert_eq!(guest.open_at(dir, "../a", 0, READ, 0), Err(Errno::NOTCAPABLE));
    guest.symlink("../a", "d/up").unwrap();
    assert!(guest.open_at(dir, "up", 0, READ, 0).is_ok());
}

#[test]
fn times_are_set_as_flags_say() {
    let mut guest = Guest::new();
    guest.file("a", b"abc");
    guest.symlink("a", "l").unwrap();
    let (at, len) = guest.path("l");
    let set = |guest: &mut Guest, follow, flags| {
        guest.put(PATH, b"l");
        guest.call(|p, m| {
            preview1::path_filestat_set_times(p, m, ROOT, follow, at, len, 1_000_000_007, 2, flags)
        })
    };
    assert_eq!(set(&mut guest, 1, 1 | 4), Ok(()));
    let stat = guest.stat("a", 0).unwrap();
    assert_eq!(stat[40..56], [1_000_000_007u64.to_le_bytes(), 2u64.to_le_bytes()].concat());
    assert_eq!(set(&mut guest, 0, 1), Ok(()));
    assert_eq!(guest.stat("l", 0).unwrap()[40..48], 1_000_000_007u64.to_le_bytes());
    assert_eq!(set(&mut guest, 1, 2 | 4), Ok(()));
    let stat = guest.stat("a", 0).unwrap();
    assert!(stat[40..48] != 1_000_000_007u64.to_le_bytes() && stat[48..56] == 2u64.to_le_bytes());
    for flags in [3, 12, 16, 1 << 20] {
        assert_eq!(set(&mut guest, 1, flags), Err(Errno::INVAL), "{flags}");
    }
    assert_eq!(set(&mut guest, 2, 1), Err(Errno::INVAL));
    let fd = guest.open("a", 0, READ).unwrap();
    guest.call(|p, m| preview1::fd_filestat_set_times(p, m, fd, u64::MAX, 9, 1 | 4)).unwrap();
    guest.call(|p, m| preview1::fd_filestat_get(p, m, fd, BUFFER)).unwrap();
    assert_eq!((guest.u64(BUFFER + 40), guest.u64(BUFFER + 48)), (u64::MAX, 9));
    assert_eq!(guest.call(|p, m| preview1::fd_filestat_set_times(p, m, fd, 1, 1, 3)), Err(Errno::INVAL));
}

#[test]
fn unstable_has_a_shorter_filestat() {
    let mut guest = Guest::new();
    guest.file("a", b"abc");
    let new = guest.stat("a", 0).unwrap();
    guest.put(BUFFER, &[0xee; 64]);
    let (at, len) = guest.path("a");
    guest.call(|p, m| unstable::path_filestat_get(p, m, ROOT, 0, at, len, BUFFER)).unwrap();
    let old = guest.get(BUFFER, 64);
    assert_eq!(old[..17], new[..17]);
    assert_eq!(old[17..24], [0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(old[24..56], new[32..64]);
    assert_eq!(old[56..], [0xee; 8]);
    let fd = guest.open("a", 0, READ).unwrap();
    guest.call(|p, m| unstable::fd_filestat_get(p, m, fd, BUFFER + 100)).unwrap();
    assert_eq!(guest.get(BUFFER + 100, 56), old[..56]);
}

#[test]
fn modes_are_those_of_the_umask() {
    let mut guest = Guest::with(|builder| builder.umask(vnode_core::Mode::from_raw(0o027)));
    guest.file("a", b"");
    guest.mkdir("d").unwrap();
    let mode = |guest: &Guest, path: &[u8]| {
        guest.process.stat_at(ROOT, path, vnode_core::Follow::No).unwrap().mode.raw()
    };
    assert_eq!(mode(&guest, b"a"), 0o640);
    assert_eq!(mode(&guest, b"d"), 0o750);
}
