//! Class 8, numbers: at every edge an error, never a panic and never another number.

use std::sync::Arc;

use vnode_core::{Errno, FilesystemRef, Mode, Timespec};
use vnode_kernel::{ClockId, Clocks};
use vnode_memory::{Data, Entry, EntryKind, Memory};
use vnode_wasmtime::Guest;

use crate::puppet::*;

/// GHSA-j2g9-4prp-pf6h: times out of the range of the host's type.
#[test]
fn every_time_that_can_be_set_is_kept() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    guest.file(ROOT, "f", b"");
    for time in [0, 1, 999_999_999, 1_000_000_000, i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX] {
        guest.set_times(ROOT, 0, "f", time).unwrap();
        assert_eq!(guest.stat(ROOT, 0, "f").unwrap().times[..2], [time, time]);
        let fd = guest.open(ROOT, "f", 0, READ).unwrap();
        assert_eq!(guest.call("fd_filestat_set_times", &[fd, time as i64, 7, 1]), SUCCESS);
        assert_eq!(guest.fstat(fd).unwrap().times[..2], [time, time]);
        guest.close(fd).unwrap();
    }
    let len = guest.path("f");
    for flags in [3, 12, 15, 16, 1 << 15, 1 << 16, -1] {
        assert_eq!(
            guest.call("path_filestat_set_times", &[ROOT, 0, PATH, len, 1, 1, flags]),
            EINVAL,
            "{flags}"
        );
    }
}

/// GHSA-mr2v-56j5-cmfc: files from before 1970, which WASI has no number for.
#[test]
fn files_from_before_1970_are_told_of() {
    let memory = Memory::new();
    let times = [i64::MIN, i64::MIN + 1, -1, 18_446_744_074, 1 << 40, i64::MAX];
    let entries = times.iter().enumerate().map(|(number, &sec)| {
        Ok(Entry {
            path: format!("{number}").into_bytes().into(),
            kind: EntryKind::File(Data::Bytes(b"x".into())),
            mode: Mode::from_raw(0o644),
            uid: 0,
            gid: 0,
            mtime: Timespec { sec, nsec: 999_999_999 },
            xattrs: Vec::new(),
        })
    });
    memory.load(entries).unwrap();
    let mut guest = Puppet::on(&FilesystemRef::new(memory));
    for (number, sec) in times.into_iter().enumerate() {
        let stat = guest.stat(ROOT, 0, number.to_string()).unwrap();
        let expected = if sec < 0 { 0 } else { u64::MAX };
        assert_eq!(stat.times[..2], [expected, expected], "{sec}");
        guest.content(ROOT, &number.to_string()).unwrap();
        guest.set_times(ROOT, 0, number.to_string(), 5).unwrap();
    }
}

/// A host whose clocks are out of order.
struct Broken;

impl Clocks for Broken {
    fn time(&self, _: ClockId) -> Result<u64, Errno> {
        Err(Errno::OVERFLOW)
    }

    fn resolution(&self, _: ClockId) -> Result<u64, Errno> {
        Err(Errno::OVERFLOW)
    }

    fn coarse(&self) -> Timespec {
        Timespec { sec: i64::MIN, nsec: 0 }
    }
}

#[test]
fn a_clock_from_before_1970_is_an_error() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::of(Guest::builder(&fs).preopen("/", "/").clocks(Arc::new(Broken)));
    assert_ne!(guest.call("clock_time_get", &[0, 0, RESULT]), SUCCESS);
    assert_ne!(guest.call("clock_res_get", &[0, RESULT]), SUCCESS);
    guest.file(ROOT, "f", b"x");
    assert_eq!(guest.stat(ROOT, 0, "f").unwrap().times, [0; 3]);
    guest.content(ROOT, "f").unwrap();
    guest.mkdir(ROOT, "d").unwrap();
    guest.rename((ROOT, "f"), (ROOT, "d/f")).unwrap();
}

#[test]
fn seeks_stay_between_the_start_and_the_largest_offset() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    guest.file(ROOT, "f", b"12345");
    let fd = guest.open(ROOT, "f", 0, READ | WRITE).unwrap();
    let mut seek = |offset: i64, whence: i64| {
        let errno = guest.call("fd_seek", &[fd, offset, whence, RESULT]);
        if errno == SUCCESS { Ok(guest.u64(RESULT)) } else { Err(errno) }
    };
    assert_eq!(seek(i64::MAX, 0), Ok(i64::MAX as u64));
    assert_eq!(seek(1, 1), Err(EINVAL));
    assert_eq!(seek(i64::MAX, 1), Err(EINVAL));
    assert_eq!(seek(i64::MIN, 1), Err(EINVAL));
    assert_eq!(seek(0, 1), Ok(i64::MAX as u64), "nothing moved");
    assert_eq!(seek(-5, 2), Ok(0));
    for (offset, whence) in
        [(-6, 2), (i64::MIN, 2), (i64::MAX, 2), (-1, 0), (i64::MIN, 0), (-1, 1), (0, 3), (0, -1)]
    {
        assert_eq!(seek(offset, whence), Err(EINVAL), "{offset} {whence}");
    }
    assert_eq!(seek(i64::MAX, 0), Ok(i64::MAX as u64));
    assert_eq!(guest.write(fd, b"x"), Err(EINVAL));
    assert_eq!(guest.write(fd, b""), Ok(0));
    assert_eq!(guest.stat(ROOT, 0, "f").unwrap().size, 5);
    for offset in [1u64 << 63, u64::MAX] {
        assert_eq!(guest.pread(fd, 1, offset), Err(EINVAL));
        assert_eq!(guest.pwrite(fd, b"x", offset), Err(EINVAL));
        assert_eq!(guest.call("fd_allocate", &[fd, offset as i64, 1]), EINVAL);
        assert_eq!(guest.call("fd_advise", &[fd, 0, offset as i64, 0]), EINVAL);
    }
    assert_eq!(guest.pread(fd, 1, i64::MAX as u64 - 1).unwrap(), b"");
}

#[test]
fn any_number_is_a_cookie() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    for name in ["a", "b", "c"] {
        guest.mkdir(ROOT, name).unwrap();
    }
    let dir = guest.open_dir(ROOT, ".").unwrap();
    for cookie in [0, 1, 2, 3, 4, 5, 6, 7, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX] {
        let (entries, _) = guest.readdir(dir, 1000, cookie).unwrap();
        assert!(entries.len() <= 5, "{cookie}: {entries:?}");
    }
}
