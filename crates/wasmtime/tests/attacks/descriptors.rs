//! Class 5, the table of descriptors: no leak, no panic, no number past the limit.

use std::sync::Arc;

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::Guest;

use crate::allocated::measured;
use crate::puppet::*;

/// GHSA-3p27-qvp9-27qf, CVE-2025-53901.
#[test]
fn renumbering_neither_leaks_nor_panics() {
    let memory = Arc::new(Memory::new());
    let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
    let mut guest = Puppet::on(&fs);
    let base = (guest.open_descriptors(), memory.usage().inodes);
    for numbers in [[-1, 0], [0, -1], [77, 0], [0, 77], [77, 77], [1 << 30, 3], [3, 1 << 30], [-1, -1]] {
        assert_eq!(guest.call("fd_renumber", &numbers), EBADF, "{numbers:?}");
    }
    assert_eq!(guest.call("fd_renumber", &[3, 3]), SUCCESS);
    assert_eq!(guest.open_descriptors(), base.0);
    let ((), bytes) = measured(|| {
        for round in 0..20_000 {
            // Files that nothing but their descriptor holds: what leaks is seen in the account.
            let one = guest.open(ROOT, "one", CREAT, WRITE).unwrap();
            let two = guest.open(ROOT, "two", CREAT, WRITE).unwrap();
            guest.unlink(ROOT, "one").unwrap();
            guest.unlink(ROOT, "two").unwrap();
            assert_eq!(guest.call("fd_renumber", &[one, two]), SUCCESS);
            assert_eq!(guest.call("fd_renumber", &[one, two]), EBADF);
            assert_eq!(memory.usage().inodes, base.1 + 1, "{round}");
            assert_eq!(guest.write(two, b"x"), Ok(1));
            guest.close(two).unwrap();
        }
    });
    assert_eq!((guest.open_descriptors(), memory.usage().inodes), base);
    assert!(bytes.kept < 64 << 10, "{bytes:?}");
}

#[test]
fn standard_streams_and_preopens_are_descriptors_like_others() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    guest.file(ROOT, "f", b"content");
    let file = guest.open(ROOT, "f", 0, READ).unwrap();
    for fd in [0, 1, 2] {
        assert_eq!(guest.call("fd_renumber", &[file, fd]), SUCCESS);
        assert_eq!(guest.pread(fd, 7, 0).unwrap(), b"content");
        assert_eq!(guest.open(ROOT, "f", 0, READ), Ok(file), "the number is free");
    }
    // Over the preopen: the directory is gone, and so is its name.
    assert_eq!(guest.call("fd_prestat_get", &[ROOT, RESULT]), SUCCESS);
    assert_eq!(guest.call("fd_renumber", &[file, ROOT]), SUCCESS);
    assert_eq!(guest.call("fd_prestat_get", &[ROOT, RESULT]), EBADF);
    assert_eq!(guest.stat(ROOT, 0, "f"), Err(ENOTDIR));
    guest.close(ROOT).unwrap();
    for fd in [0, 1, 2] {
        guest.close(fd).unwrap();
        assert_eq!(guest.close(fd), Err(EBADF));
    }
    assert_eq!(guest.open_descriptors(), 0);
    assert_eq!(guest.open(ROOT, "f", 0, READ), Err(EBADF), "no way back");
}

#[test]
fn a_call_that_fails_leaves_no_descriptor() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::of(Guest::builder(&fs).preopen("/", "/").open_files(8));
    guest.file(ROOT, "f", b"");
    guest.symlink("loop", ROOT, "loop").unwrap();
    let open = guest.open_descriptors();
    for _ in 0..1000 {
        assert_eq!(guest.open(ROOT, "missing", 0, READ), Err(ENOENT));
        assert_eq!(guest.open(ROOT, "f", CREAT | EXCL, READ), Err(EEXIST));
        assert_eq!(guest.open(ROOT, "f", DIRECTORY, READ), Err(ENOTDIR));
        assert_eq!(guest.open(ROOT, ".", 0, WRITE), Err(EISDIR));
        assert_eq!(guest.open(ROOT, "loop", CREAT, WRITE), Err(ELOOP));
        let len = guest.path("f");
        assert_eq!(guest.call("path_open", &[ROOT, 0, PATH, len, 0, READ, 0, 0, -4]), EFAULT);
        assert_eq!(guest.call("path_open", &[ROOT, 0, PATH, len, 1 << 9, READ, 0, 0, RESULT]), EINVAL);
    }
    assert_eq!(guest.open_descriptors(), open);
    // At the limit nothing is made.
    while guest.open(ROOT, "f", 0, READ).is_ok() {}
    assert_eq!(guest.open_descriptors(), 8);
    assert_eq!(guest.open(ROOT, "new", CREAT, WRITE), Err(EMFILE));
    assert_eq!(guest.stat(ROOT, 0, "new"), Err(ENOENT));
    assert_eq!(guest.open(ROOT, "f", TRUNC, WRITE), Err(EMFILE));
    guest.close(7).unwrap();
    assert_eq!(guest.open(ROOT, "f", 0, READ), Ok(7));
}
