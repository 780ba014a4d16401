//! Reading, writing, seeking.

use vnode_core::Errno;
use vnode_kernel::Limits;
use vnode_wasi::{preview1, unstable};

use crate::guest::*;

const MAX: u64 = i64::MAX as u64;

#[test]
fn every_vector_is_used_in_order() {
    let mut guest = Guest::new();
    guest.file("a", b"");
    let fd = guest.open("a", 0, READ | WRITE).unwrap();
    guest.put(BUFFER, b"hello world");
    let (at, count) = guest.vectors(&[(BUFFER, 5), (u32::MAX, 0), (BUFFER + 5, 6), (BUFFER, 5)]);
    guest.call(|p, m| preview1::fd_write(p, m, fd, at, count, RESULT)).unwrap();
    assert_eq!(guest.u32(RESULT), 16);
    assert_eq!(guest.tell(fd), Ok(16));
    assert_eq!(guest.seek(fd, 0, 0), Ok(0));
    let (at, count) = guest.vectors(&[(BUFFER + 100, 2), (BUFFER + 200, 1), (BUFFER + 300, 50)]);
    guest.call(|p, m| preview1::fd_read(p, m, fd, at, count, RESULT)).unwrap();
    assert_eq!(guest.u32(RESULT), 16);
    assert_eq!(guest.get(BUFFER + 100, 3), b"he\xee");
    assert_eq!(guest.get(BUFFER + 200, 2), b"l\xee");
    assert_eq!(guest.get(BUFFER + 300, 14), b"lo worldhello\xee");
    assert_eq!(guest.read(fd, 10), Ok(vec![]));
}

#[test]
fn positional_calls_leave_the_position() {
    let mut guest = Guest::new();
    guest.file("a", b"0123456789");
    let fd = guest.open("a", 0, READ | WRITE).unwrap();
    assert_eq!(guest.pread(fd, 3, 4), Ok(b"456".to_vec()));
    assert_eq!(guest.pwrite(fd, b"xy", 12), Ok(2));
    assert_eq!(guest.tell(fd), Ok(0));
    assert_eq!(guest.content("a"), b"0123456789\0\0xy");
}

#[test]
fn offsets_end_at_2_to_the_63() {
    let mut guest = Guest::new();
    guest.file("a", b"0123456789");
    let fd = guest.open("a", 0, READ | WRITE).unwrap();
    for offset in [MAX, MAX + 1, u64::MAX] {
        assert_eq!(guest.pread(fd, 1, offset), Err(Errno::INVAL), "{offset}");
        assert_eq!(guest.pwrite(fd, b"x", offset), Err(Errno::INVAL), "{offset}");
    }
    assert_eq!(guest.pread(fd, 0, MAX), Ok(vec![]));
    assert_eq!(guest.pread(fd, 0, u64::MAX), Err(Errno::INVAL));
    assert_eq!(guest.pwrite(fd, b"", MAX), Ok(0));
    assert_eq!(guest.pread(fd, 1, MAX - 1), Ok(vec![]));
    assert_eq!(guest.pwrite(fd, b"xy", MAX - 1), Err(Errno::INVAL));
    assert_eq!(guest.seek(fd, MAX as i64, 0), Ok(MAX));
    assert_eq!(guest.seek(fd, 1, 1), Err(Errno::INVAL));
    assert_eq!(guest.write(fd, b"x"), Err(Errno::INVAL));
    assert_eq!(guest.read(fd, 1), Err(Errno::INVAL));
    assert_eq!(guest.read(fd, 0), Ok(vec![]));
    assert_eq!(guest.tell(fd), Ok(MAX));
    assert_eq!(guest.content("a"), b"0123456789");
}

#[test]
fn seeking() {
    let mut guest = Guest::new();
    guest.file("a", b"0123456789");
    let fd = guest.open("a", 0, READ).unwrap();
    assert_eq!(guest.seek(fd, -3, 2), Ok(7));
    assert_eq!(guest.seek(fd, 2, 1), Ok(9));
    assert_eq!(guest.seek(fd, 100, 2), Ok(110));
    for (offset, whence) in
        [(-1, 0), (-111, 1), (-11, 2), (i64::MIN, 0), (i64::MIN, 2), (0, 3), (0, u32::MAX)]
    {
        assert_eq!(guest.seek(fd, offset, whence), Err(Errno::INVAL), "{offset} {whence}");
    }
    assert_eq!(guest.tell(fd), Ok(110));
    // Snapshot 0: position, end, start.
    for (offset, whence, position) in [(4, 2, 4), (1, 0, 5), (-2, 1, 8)] {
        guest.call(|p, m| unstable::fd_seek(p, m, fd, offset, whence, RESULT)).unwrap();
        assert_eq!(guest.u64(RESULT), position);
    }
}

#[test]
fn streams_and_directories_have_no_offsets() {
    let mut guest = Guest::new();
    guest.mkdir("d").unwrap();
    let dir = guest.open("d", DIRECTORY, READ).unwrap();
    assert_eq!(guest.read(dir, 1), Err(Errno::ISDIR));
    assert_eq!(guest.pread(dir, 1, 0), Err(Errno::ISDIR));
    assert_eq!(guest.write(dir, b"x"), Err(Errno::BADF));
    assert_eq!(guest.seek(dir, 0, 2), Err(Errno::INVAL));
    assert_eq!(guest.seek(dir, 0, 0), Ok(0));
    for fd in [0, 1] {
        assert_eq!(guest.seek(fd, 0, 1), Err(Errno::SPIPE));
        assert_eq!(guest.tell(fd), Err(Errno::SPIPE));
        assert_eq!(guest.pread(fd, 1, 0), Err(Errno::SPIPE));
        assert_eq!(guest.pwrite(fd, b"x", 0), Err(Errno::SPIPE));
        assert_eq!(guest.call(|p, m| preview1::fd_sync(p, m, fd)), Err(Errno::INVAL));
        assert_eq!(guest.call(|p, m| preview1::fd_filestat_set_size(p, m, fd, 0)), Err(Errno::INVAL));
        assert_eq!(guest.call(|p, m| preview1::fd_advise(p, m, fd, 0, 0, 0)), Err(Errno::SPIPE));
        assert_eq!(guest.call(|p, m| preview1::fd_allocate(p, m, fd, 0, 1)), Err(Errno::SPIPE));
    }
    assert_eq!(guest.call(|p, m| preview1::fd_sync(p, m, dir)), Ok(()));
    assert_eq!(guest.call(|p, m| preview1::fd_datasync(p, m, dir)), Ok(()));
    assert_eq!(guest.call(|p, m| preview1::fd_filestat_set_size(p, m, dir, 0)), Err(Errno::INVAL));
    assert_eq!(guest.call(|p, m| preview1::fd_allocate(p, m, dir, 0, 1)), Err(Errno::BADF));
}

#[test]
fn appending_wins_over_the_offset() {
    let mut guest = Guest::new();
    guest.file("a", b"01234");
    let fd = guest.open_at(ROOT, "a", 0, READ | WRITE, 1).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().1, 1);
    assert_eq!(guest.write(fd, b"56"), Ok(2));
    assert_eq!(guest.tell(fd), Ok(7));
    assert_eq!(guest.pwrite(fd, b"78", 0), Ok(2));
    assert_eq!(guest.tell(fd), Ok(7));
    guest.call(|p, m| preview1::fd_fdstat_set_flags(p, m, fd, 0)).unwrap();
    assert_eq!(guest.pwrite(fd, b"xx", 0), Ok(2));
    assert_eq!(guest.content("a"), b"xx2345678");
    for flags in [1, 2, 4, 8, 16, 31] {
        guest.call(|p, m| preview1::fd_fdstat_set_flags(p, m, fd, flags)).unwrap();
        assert_eq!(guest.fdstat(fd).unwrap().1, flags as u16);
        assert_eq!(guest.write(fd, b"y"), Ok(1));
    }
    assert_eq!(guest.call(|p, m| preview1::fd_fdstat_set_flags(p, m, fd, 32)), Err(Errno::INVAL));
}

#[test]
fn sizes_and_ranges() {
    let mut guest = Guest::new();
    guest.file("a", b"0123456789");
    let fd = guest.open("a", 0, READ | WRITE).unwrap();
    let read_only = guest.open("a", 0, READ).unwrap();
    let set_size =
        |guest: &mut Guest, fd, size| guest.call(|p, m| preview1::fd_filestat_set_size(p, m, fd, size));
    assert_eq!(set_size(&mut guest, fd, 4), Ok(()));
    assert_eq!(set_size(&mut guest, fd, 6), Ok(()));
    assert_eq!(guest.content("a"), b"0123\0\0");
    assert_eq!(set_size(&mut guest, fd, MAX + 1), Err(Errno::INVAL));
    assert_eq!(set_size(&mut guest, read_only, 0), Err(Errno::INVAL));
    let allocate =
        |guest: &mut Guest, fd, at, len| guest.call(|p, m| preview1::fd_allocate(p, m, fd, at, len));
    assert_eq!(allocate(&mut guest, fd, 0, 0), Err(Errno::INVAL));
    assert_eq!(allocate(&mut guest, fd, MAX + 1, 1), Err(Errno::INVAL));
    assert_eq!(allocate(&mut guest, fd, 1, u64::MAX), Err(Errno::INVAL));
    assert_eq!(allocate(&mut guest, fd, MAX, 1), Err(Errno::FBIG));
    assert_eq!(allocate(&mut guest, read_only, 0, 1), Err(Errno::BADF));
    assert_eq!(allocate(&mut guest, fd, 8, 2), Ok(()));
    assert_eq!(guest.content("a").len(), 10);
    let advise = |guest: &mut Guest, len, advice| {
        guest.call(|p, m| preview1::fd_advise(p, m, fd, u64::MAX, len, advice))
    };
    assert_eq!(
        (0..6).map(|advice| advise(&mut guest, MAX, advice)).collect::<Result<Vec<_>, _>>(),
        Ok(vec![(); 6])
    );
    assert_eq!(advise(&mut guest, 0, 6), Err(Errno::INVAL));
    assert_eq!(advise(&mut guest, MAX + 1, 0), Err(Errno::INVAL));
}

#[test]
fn descriptors_move_close_and_run_out() {
    let mut guest = Guest::with(|builder| builder.limits(Limits { open_files: 6 }));
    guest.file("a", b"aaa");
    guest.file("b", b"bbb");
    let a = guest.open("a", 0, READ).unwrap();
    let b = guest.open("b", 0, READ).unwrap();
    assert_eq!((a, b), (4, 5));
    assert_eq!(guest.open("new", CREAT, READ), Err(Errno::MFILE));
    assert_eq!(guest.stat("new", 1), Err(Errno::NOENT));
    guest.call(|p, m| preview1::fd_renumber(p, m, b, a)).unwrap();
    assert_eq!(guest.read(a, 9), Ok(b"bbb".to_vec()));
    assert_eq!(guest.read(b, 9), Err(Errno::BADF));
    assert_eq!(guest.call(|p, m| preview1::fd_renumber(p, m, b, a)), Err(Errno::BADF));
    assert_eq!(guest.call(|p, m| preview1::fd_renumber(p, m, a, a)), Ok(()));
    assert_eq!(guest.call(|p, m| preview1::fd_renumber(p, m, a, u32::MAX)), Err(Errno::BADF));
    assert_eq!(guest.open("a", 0, READ), Ok(b));
    assert_eq!(guest.close(ROOT), Ok(()));
    assert_eq!(guest.open("a", 0, READ), Err(Errno::BADF));
    assert_eq!(guest.close(ROOT), Err(Errno::BADF));
    assert_eq!(guest.call(|p, m| preview1::fd_prestat_get(p, m, ROOT, RESULT)), Err(Errno::BADF));
}

#[test]
fn nothing_is_done_before_every_address_is_checked() {
    let mut guest = Guest::new();
    guest.file("a", b"0123456789");
    let fd = guest.open("a", 0, READ | WRITE).unwrap();
    let (at, count) = guest.vectors(&[(BUFFER, 4), (BUFFER, 4)]);
    assert_eq!(guest.call(|p, m| preview1::fd_write(p, m, fd, at, count, OUTSIDE)), Err(Errno::FAULT));
    assert_eq!(guest.call(|p, m| preview1::fd_read(p, m, fd, at, count, OUTSIDE)), Err(Errno::FAULT));
    assert_eq!(guest.call(|p, m| preview1::fd_seek(p, m, fd, 5, 0, OUTSIDE)), Err(Errno::FAULT));
    let (at, count) = guest.vectors(&[(BUFFER, 4), (OUTSIDE, 4)]);
    assert_eq!(guest.call(|p, m| preview1::fd_write(p, m, fd, at, count, RESULT)), Err(Errno::FAULT));
    assert_eq!(guest.call(|p, m| preview1::fd_read(p, m, fd, at, count, RESULT)), Err(Errno::FAULT));
    assert_eq!(guest.call(|p, m| preview1::fd_read(p, m, fd, OUTSIDE, 1, RESULT)), Err(Errno::FAULT));
    assert_eq!(guest.call(|p, m| preview1::fd_read(p, m, fd, VECTORS, 1 << 31, RESULT)), Err(Errno::INVAL));
    assert_eq!(guest.tell(fd), Ok(0));
    assert_eq!(guest.content("a"), b"0123456789");
    let (at, len) = guest.path("new");
    let open =
        guest.call(|p, m| preview1::path_open(p, m, ROOT, 0, at, len, CREAT, READ | WRITE, 0, 0, OUTSIDE));
    assert_eq!(open, Err(Errno::FAULT));
    assert_eq!(guest.stat("new", 1), Err(Errno::NOENT));
    assert_eq!(guest.process.fds().len(), 5);
}
