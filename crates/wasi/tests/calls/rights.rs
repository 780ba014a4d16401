//! Rights: what an open gives, what is refused, what is given up.

use std::sync::Arc;

use vnode_core::{Errno, Policy};
use vnode_kernel::stream::{Bytes, Capture};
use vnode_kernel::{Process, Rights};
use vnode_wasi::preview1;

use crate::guest::*;

#[test]
fn reading_and_writing_are_as_asked_and_the_rest_is_given() {
    let mut guest = Guest::new();
    guest.file("a", b"abc");
    for (rights, base) in [
        (READ, Rights::REGULAR - Rights::FD_WRITE),
        (WRITE, Rights::REGULAR - Rights::FD_READ),
        (READ | WRITE, Rights::REGULAR),
        (u64::MAX, Rights::REGULAR),
        (0, Rights::REGULAR - Rights::FD_READ - Rights::FD_WRITE),
        // Setting the size doesn't make it a file for writing: some C libraries ask for all but FD_WRITE.
        (READ | Rights::FD_FILESTAT_SET_SIZE.bits(), Rights::REGULAR - Rights::FD_WRITE),
    ] {
        let fd = guest.open("a", 0, rights).unwrap();
        assert_eq!(guest.fdstat(fd), Ok((4, 0, base.bits(), 0)), "{rights:#x}");
        guest.close(fd).unwrap();
    }
    let write_only = guest.open("a", 0, WRITE).unwrap();
    assert_eq!(guest.read(write_only, 1), Err(Errno::BADF));
    assert_eq!(guest.pread(write_only, 1, 0), Err(Errno::BADF));
    let read_only = guest.open("a", 0, READ).unwrap();
    assert_eq!(guest.write(read_only, b"x"), Err(Errno::BADF));
    assert_eq!(guest.write(read_only, b""), Err(Errno::BADF));
    assert_eq!(guest.open_at(read_only, "a", 0, READ, 0), Err(Errno::NOTDIR));
    assert_eq!(guest.open_at(0, "a", 0, READ, 0), Err(Errno::NOTDIR));
    assert_eq!(guest.open_at(99, "a", 0, READ, 0), Err(Errno::BADF));
}

#[test]
fn directories() {
    let mut guest = Guest::new();
    guest.mkdir("d").unwrap();
    for rights in [0, READ] {
        let fd = guest.open("d", DIRECTORY, rights).unwrap();
        let (kind, _, base, inheriting) = guest.fdstat(fd).unwrap();
        assert_eq!(kind, 3);
        assert_eq!(base, Rights::DIRECTORY.bits());
        assert_eq!(inheriting, Rights::INHERITABLE.bits());
        assert!(guest.open_at(fd, "new", CREAT, READ | WRITE, 0).is_ok());
    }
    assert_eq!(guest.open("d", 0, WRITE), Err(Errno::ISDIR));
    assert_eq!(guest.open("d", DIRECTORY, READ | WRITE), Err(Errno::ISDIR));
}

#[test]
fn rights_given_up_are_gone() {
    let mut guest = Guest::new();
    guest.file("a", b"abc");
    let fd = guest.open("a", 0, READ | WRITE).unwrap();
    let set = |guest: &mut Guest, fd, base: Rights, inheriting: Rights| {
        guest.call(|p, m| preview1::fd_fdstat_set_rights(p, m, fd, base.bits(), inheriting.bits()))
    };
    let keep = Rights::FD_READ | Rights::FD_SEEK;
    assert_eq!(set(&mut guest, fd, keep, Rights::empty()), Ok(()));
    assert_eq!(guest.write(fd, b"x"), Err(Errno::NOTCAPABLE));
    assert_eq!(guest.read(fd, 1), Ok(b"a".to_vec()));
    assert_eq!(guest.tell(fd), Ok(1));
    assert_eq!(set(&mut guest, fd, keep | Rights::FD_WRITE, Rights::empty()), Err(Errno::NOTCAPABLE));
    let unknown = guest.call(|p, m| preview1::fd_fdstat_set_rights(p, m, fd, 1 << 50, 0));
    assert_eq!(unknown, Err(Errno::NOTCAPABLE));
    assert_eq!(guest.call(|p, m| preview1::fd_fdstat_set_rights(p, m, 77, 1 << 50, 0)), Err(Errno::BADF));
    // A directory that hands on reading only.
    let inherit = Rights::INHERITABLE - Rights::FD_WRITE - Rights::PATH_UNLINK_FILE;
    assert_eq!(set(&mut guest, ROOT, Rights::DIRECTORY, inherit), Ok(()));
    assert_eq!(guest.open("a", 0, READ | WRITE), Err(Errno::NOTCAPABLE));
    assert_eq!(guest.open("b", CREAT, WRITE), Err(Errno::NOTCAPABLE));
    assert_eq!(guest.stat("b", 1), Err(Errno::NOENT));
    guest.mkdir("d").unwrap();
    let below = guest.open("d", DIRECTORY, READ).unwrap();
    let (_, _, base, inheriting) = guest.fdstat(below).unwrap();
    assert_eq!(base, (Rights::DIRECTORY - Rights::PATH_UNLINK_FILE).bits());
    assert_eq!(inheriting, inherit.bits());
    let (at, len) = guest.path("x");
    let unlinked = guest.call(|p, m| preview1::path_unlink_file(p, m, below, at, len));
    assert_eq!(unlinked, Err(Errno::NOTCAPABLE));
}

type PathCall = fn(&mut Guest) -> Got<()>;

#[test]
fn every_path_call_needs_its_right() {
    let path_calls: [(Rights, PathCall); 10] = [
        (Rights::PATH_CREATE_DIRECTORY, |guest| guest.mkdir("d")),
        (Rights::PATH_CREATE_FILE, |guest| guest.open("new", CREAT, READ).map(drop)),
        (Rights::PATH_OPEN, |guest| guest.open("a", 0, READ).map(drop)),
        (Rights::PATH_FILESTAT_SET_SIZE, |guest| guest.open("a", TRUNC, WRITE).map(drop)),
        (Rights::PATH_FILESTAT_GET, |guest| guest.stat("a", 1).map(drop)),
        (Rights::PATH_SYMLINK, |guest| guest.symlink("t", "l")),
        (Rights::PATH_UNLINK_FILE, |guest| guest.unlink("a")),
        (Rights::PATH_REMOVE_DIRECTORY, |guest| guest.rmdir("e")),
        (Rights::PATH_RENAME_SOURCE, |guest| rename(guest, "a", "b")),
        (Rights::PATH_LINK_TARGET, |guest| link(guest, "a", "b")),
    ];
    for (right, call) in path_calls {
        let mut guest = Guest::new();
        guest.file("a", b"abc");
        guest.mkdir("e").unwrap();
        let base = (Rights::DIRECTORY - right).bits();
        let inheriting = Rights::INHERITABLE.bits();
        guest.call(|p, m| preview1::fd_fdstat_set_rights(p, m, ROOT, base, inheriting)).unwrap();
        assert_eq!(call(&mut guest), Err(Errno::NOTCAPABLE), "{right:?}");
        assert_eq!(guest.process.fds().len(), 4);
    }
}

fn rename(guest: &mut Guest, old: &str, new: &str) -> Got<()> {
    let (old, old_len) = guest.path(old);
    let (new, new_len) = guest.other_path(new);
    guest.call(|p, m| preview1::path_rename(p, m, ROOT, old, old_len, ROOT, new, new_len))
}

fn link(guest: &mut Guest, old: &str, new: &str) -> Got<()> {
    let (old, old_len) = guest.path(old);
    let (new, new_len) = guest.other_path(new);
    guest.call(|p, m| preview1::path_link(p, m, ROOT, 0, old, old_len, ROOT, new, new_len))
}

#[test]
fn the_strict_policy() {
    let mut guest = Guest::with(|builder| builder.policy(Policy::Strict));
    guest.file("a", b"abc");
    guest.mkdir("d").unwrap();
    let dir = guest.open("d", DIRECTORY, READ).unwrap();
    for fd in [ROOT, dir] {
        assert_eq!(guest.call(|p, m| preview1::fd_sync(p, m, fd)), Err(Errno::BADF));
        assert_eq!(guest.call(|p, m| preview1::fd_datasync(p, m, fd)), Err(Errno::BADF));
        assert_eq!(guest.seek(fd, 0, 1), Err(Errno::BADF));
    }
    let fd = guest.open("a", 0, READ).unwrap();
    guest.call(|p, m| preview1::fd_fdstat_set_rights(p, m, fd, 0, 0)).unwrap();
    assert_eq!(guest.read(fd, 1), Err(Errno::BADF));
    assert_eq!(guest.stat("/a", 1), Err(Errno::PERM));
    assert_eq!(guest.stat("../a", 1), Err(Errno::PERM));
    assert_eq!(guest.symlink("/a", "l"), Err(Errno::PERM));
    assert_eq!(guest.stat("d/../a", 1).map(drop), Ok(()));
}

#[test]
fn standard_streams() {
    let out = Arc::new(Capture::new(100));
    let stdout = Arc::clone(&out);
    let mut guest = Guest::built(|namespace| {
        Process::builder(namespace).stdin(Arc::new(Bytes::new(*b"in"))).stdout(stdout)
    });
    assert_eq!(guest.read(0, 10), Ok(b"in".to_vec()));
    assert_eq!(guest.read(0, 10), Ok(vec![]));
    assert_eq!(guest.write(0, b"x"), Err(Errno::BADF));
    assert_eq!(guest.write(1, b"hello"), Ok(5));
    assert_eq!(guest.write(2, b"nobody sees it"), Ok(14));
    assert_eq!(guest.read(1, 1), Err(Errno::BADF));
    assert_eq!(out.contents(), b"hello");
    let (kind, flags, base, _) = guest.fdstat(1).unwrap();
    assert_eq!((kind, flags), (0, 0));
    assert_eq!(base & (Rights::FD_SEEK | Rights::FD_TELL | Rights::FD_READ).bits(), 0);
    guest.call(|p, m| preview1::fd_filestat_get(p, m, 1, BUFFER)).unwrap();
    assert_eq!((guest.u8(BUFFER + 16), guest.u64(BUFFER + 24)), (0, 1));
    assert_eq!(guest.call(|p, m| preview1::fd_readdir(p, m, 1, BUFFER, 10, 0, RESULT)), Err(Errno::NOTDIR));
    for call in [
        |guest: &mut Guest, fd| guest.call(|p, m| preview1::sock_accept(p, m, fd, 0, RESULT)),
        |guest: &mut Guest, fd| guest.call(|p, m| preview1::sock_recv(p, m, fd, 0, 0, 0, RESULT, RESULT)),
        |guest: &mut Guest, fd| guest.call(|p, m| preview1::sock_send(p, m, fd, 0, 0, 0, RESULT)),
        |guest: &mut Guest, fd| guest.call(|p, m| preview1::sock_shutdown(p, m, fd, 3)),
    ] {
        assert_eq!(call(&mut guest, 1), Err(Errno::NOTSOCK));
        assert_eq!(call(&mut guest, 9), Err(Errno::BADF));
    }
}
