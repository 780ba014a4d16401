//! Class 10, leaks: of the host's memory and of its files a guest sees nothing.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use vnode_core::FilesystemRef;
use vnode_core::fs::Access;
use vnode_memory::Memory;
use vnode_wasmtime::Guest;
use vnode_wasmtime::stream::HostStream;

use crate::puppet::*;

/// What the memory holds before a call, to see what the call wrote.
const STALE: u8 = 0xee;

/// A call with its arguments, the size of what it writes at the buffer, and the ranges of that which are padding.
type Written = (&'static str, Vec<i64>, usize, &'static [(usize, usize)]);

/// GHSA-96f6-r43r-8c24: every byte of a result is either a field or zero, and no byte behind it is touched.
#[test]
fn padding_is_zero_and_nothing_is_written_behind_a_result() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    guest.file(ROOT, "name", b"content");
    let fd = guest.open(ROOT, "name", 0, READ).unwrap();
    let clock = {
        let mut subscription = [0; 48];
        subscription[0] = 9;
        subscription[16] = 1;
        subscription
    };
    let len = guest.path("name");
    let results: [Written; 6] = [
        ("fd_filestat_get", vec![fd, BUFFER], 64, &[(17, 24)]),
        ("path_filestat_get", vec![ROOT, 0, PATH, len, BUFFER], 64, &[(17, 24)]),
        ("fd_fdstat_get", vec![fd, BUFFER], 24, &[(1, 2), (4, 8)]),
        ("fd_prestat_get", vec![ROOT, BUFFER], 8, &[(1, 4)]),
        ("poll_oneoff", vec![VECTORS, BUFFER, 1, RESULT], 32, &[(11, 16), (26, 32)]),
        ("fd_readdir", vec![ROOT, BUFFER, 1000, 0, RESULT], 3 * 24 + 7, &[(21, 24), (46, 48)]),
    ];
    for (name, arguments, size, padding) in results {
        guest.put(BUFFER, &[STALE; 256]);
        guest.put(VECTORS, &clock);
        assert_eq!(guest.call(name, &arguments), SUCCESS, "{name}");
        let bytes = guest.bytes(BUFFER, 256);
        for &(from, to) in padding {
            assert!(bytes[from..to].iter().all(|&byte| byte == 0), "{name} {from}: {bytes:x?}");
        }
        assert!(!bytes[..size].contains(&STALE), "{name} leaves bytes as they were: {bytes:x?}");
        assert!(bytes[size..].iter().all(|&byte| byte == STALE), "{name} writes too far: {bytes:x?}");
    }
}

/// The entry that doesn't fit is cut off, and what follows in the guest's buffer stays as it was.
#[test]
fn entries_that_are_cut_off_end_with_the_buffer() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    guest.mkdir(ROOT, "a-name").unwrap();
    let whole = 24 + 1 + 24 + 2 + 24 + 6;
    guest.put(BUFFER, &[STALE; 256]);
    assert_eq!(guest.call("fd_readdir", &[ROOT, BUFFER, 200, 0, RESULT]), SUCCESS);
    let all = guest.bytes(BUFFER, whole);
    for len in 0..=whole + 1 {
        guest.put(BUFFER, &[STALE; 256]);
        assert_eq!(guest.call("fd_readdir", &[ROOT, BUFFER, len as i64, 0, RESULT]), SUCCESS);
        let used = len.min(whole);
        assert_eq!(guest.u32(RESULT) as usize, used);
        let bytes = guest.bytes(BUFFER, 256);
        assert_eq!(bytes[..used], all[..used]);
        assert!(bytes[used..].iter().all(|&byte| byte == STALE), "{len}");
    }
}

#[test]
fn what_was_never_written_is_zero() {
    let memory = Arc::new(Memory::builder().max_bytes(1 << 20).build());
    let fs = FilesystemRef::new::<Memory>(memory);
    let mut guest = Puppet::on(&fs);
    for round in 0..20u64 {
        guest.file(ROOT, "old", &[STALE; 60_000]);
        let old = guest.open(ROOT, "old", 0, READ | WRITE).unwrap();
        guest.set_size(old, 100 + round * 777).unwrap();
        guest.set_size(old, 60_000).unwrap();
        let bytes = guest.pread(old, 60_000, 0).unwrap();
        assert!(bytes[(100 + round * 777) as usize..].iter().all(|&byte| byte == 0));
        guest.close(old).unwrap();
        guest.unlink(ROOT, "old").unwrap();
        let new = guest.open(ROOT, "new", CREAT | TRUNC, READ | WRITE).unwrap();
        guest.pwrite(new, b"x", round * 1000 + 4097).unwrap();
        guest.pwrite(new, b"x", 50_000).unwrap();
        let bytes = guest.pread(new, 50_001, 0).unwrap();
        assert_eq!(bytes.iter().filter(|&&byte| byte != 0).count(), 2);
        guest.close(new).unwrap();
    }
}

#[test]
fn the_hosts_files_have_no_numbers_here() {
    let mut host = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut host, b"12345").unwrap();
    let metadata = host.metadata().unwrap();
    let stdin = HostStream::new(OwnedFd::from(host), Access::READ);
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::of(Guest::builder(&fs).preopen("/", "/").stdin(Arc::new(stdin)));
    let stat = guest.fstat(0).unwrap();
    assert_ne!((stat.dev, stat.ino), (metadata.dev(), metadata.ino()));
    assert_eq!((stat.size, stat.nlink, stat.times), (0, 1, [0; 3]));
    // Inodes count from 1 in each filesystem, whatever others there are.
    let other = FilesystemRef::new(Memory::new());
    assert_eq!(Puppet::on(&other).stat(ROOT, 0, ".").unwrap().ino, 1);
    assert_eq!(guest.stat(ROOT, 0, ".").unwrap().ino, 1);
}
