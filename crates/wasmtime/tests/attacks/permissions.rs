//! Class 4, read-only mounts: nothing behind one is changed, by whatever way.

use std::sync::Arc;

use vnode_core::{FilesystemRef, MountFlags, Namespace};
use vnode_memory::Memory;
use vnode_wasmtime::Guest;

use crate::puppet::*;

/// A filesystem with `file`, `dir/below` and `link`, mounted read-only at `/ro` and writable at `/rw`.
fn twice() -> (Puppet, Puppet) {
    let data = FilesystemRef::new(Memory::new());
    let mut owner = Puppet::on(&data);
    owner.file(ROOT, "file", b"content");
    owner.mkdir(ROOT, "dir").unwrap();
    owner.mkdir(ROOT, "empty").unwrap();
    owner.file(ROOT, "dir/below", b"below");
    owner.symlink("file", ROOT, "link").unwrap();
    let root = FilesystemRef::new(Memory::new());
    let guest = Guest::builder(&root)
        .mount("/ro", &data, MountFlags::READ_ONLY)
        .mount("/rw", &data, MountFlags::empty())
        .preopen("/", "/")
        .preopen("/ro", "/ro");
    (Puppet::of(guest), owner)
}

/// The second preopen.
const READ_ONLY: i64 = ROOT + 1;

/// All that can be seen of the filesystem but access times, which a listing through another mount touches.
fn seen(owner: &mut Puppet) -> Vec<String> {
    let mut seen = owner.names(ROOT, ".");
    seen.extend(owner.names(ROOT, "dir"));
    for path in [".", "file", "dir", "dir/below", "link", "empty"] {
        let Stat { ino, nlink, size, times, .. } = owner.stat(ROOT, 0, path).unwrap();
        seen.push(format!("{path} {ino} {nlink} {size} {:?}", &times[1..]));
    }
    seen.push(format!("{:?}", owner.content(ROOT, "file")));
    seen
}

#[test]
fn nothing_is_changed_through_a_read_only_mount() {
    let (mut guest, mut owner) = twice();
    let before = seen(&mut owner);
    // From the preopen above and from the mount's own, and through links that lead there.
    guest.symlink("/ro", ROOT, "way").unwrap();
    guest.symlink("/ro/file", ROOT, "to-file").unwrap();
    guest.symlink("/ro/new", ROOT, "to-new").unwrap();
    for (fd, at) in [(ROOT, "ro/"), (READ_ONLY, ""), (ROOT, "way/")] {
        let path = |name: &str| format!("{at}{name}");
        let (file, dir, empty, link, new) =
            (path("file"), path("dir"), path("empty"), path("link"), path("new"));
        let errors = [
            ("write", guest.open(fd, &file, 0, WRITE).map(drop)),
            ("read and write", guest.open(fd, &file, 0, READ | WRITE).map(drop)),
            ("write through a link", guest.open(fd, &link, 0, WRITE).map(drop)),
            // GHSA-2r75-cxrj-cmph: truncating asks for no right to write.
            ("truncate", guest.open(fd, &file, TRUNC, 0).map(drop)),
            ("truncate for reading", guest.open(fd, &file, TRUNC, READ).map(drop)),
            ("truncate with create", guest.open(fd, &file, CREAT | TRUNC, READ).map(drop)),
            ("truncate through a link", guest.open(fd, &link, TRUNC, READ).map(drop)),
            ("create", guest.open(fd, &new, CREAT, READ).map(drop)),
            ("create exclusively", guest.open(fd, &new, CREAT | EXCL, READ).map(drop)),
            ("mkdir", guest.mkdir(fd, &new)),
            ("rmdir", guest.rmdir(fd, &empty)),
            ("unlink", guest.unlink(fd, &file)),
            ("unlink a link", guest.unlink(fd, &link)),
            ("symlink", guest.symlink("x", fd, &new)),
            ("set times", guest.set_times(fd, 0, &file, 1)),
            ("set the times of a directory", guest.set_times(fd, 0, &dir, 1)),
            ("set the times of a link", guest.set_times(fd, 0, &link, 1)),
            ("rename", guest.rename((fd, &file), (fd, &new))),
            ("rename over", guest.rename((fd, &file), (fd, &link))),
            ("rename a directory", guest.rename((fd, &dir), (fd, &empty))),
            ("link", guest.link(0, (fd, &file), (fd, &new))),
        ];
        for (what, result) in errors {
            assert_eq!(result, Err(EROFS), "{what} {at:?}");
            assert_eq!(seen(&mut owner), before, "{what} {at:?}");
        }
        // What is there can be opened with O_CREAT, and read.
        let file = guest.open(fd, &file, CREAT, READ).unwrap();
        assert_eq!(guest.pread(file, 100, 0).unwrap(), b"content");
        assert!(guest.set_size(file, 0).is_err());
        assert!(guest.write(file, b"x").is_err());
        assert!(guest.pwrite(file, b"x", 0).is_err());
        assert!(guest.call("fd_allocate", &[file, 0, 100]) != SUCCESS);
        assert_eq!(guest.call("fd_filestat_set_times", &[file, 1, 1, 5]), EROFS);
        guest.close(file).unwrap();
    }
    assert_eq!(guest.open(ROOT, "to-file", 0, WRITE), Err(EROFS));
    assert_eq!(guest.open(ROOT, "to-file", TRUNC, READ), Err(EROFS));
    assert_eq!(guest.open(ROOT, "to-new", CREAT, READ), Err(EROFS));
    assert_eq!(seen(&mut owner), before);
}

/// GHSA-4ch3-9j33-3pmj: a name made where writing is allowed, for a file where it is not.
#[test]
fn no_name_is_made_across_mounts_of_one_filesystem() {
    let (mut guest, mut owner) = twice();
    let before = seen(&mut owner);
    guest.file(ROOT, "mine", b"mine");
    guest.mkdir(ROOT, "my-dir").unwrap();
    for (from, to) in [
        ("ro/file", "rw/stolen"),
        ("rw/file", "ro/stolen"),
        ("ro/file", "stolen"),
        ("mine", "ro/given"),
        ("ro/dir/below", "rw/dir/stolen"),
    ] {
        for follow in [0, 1] {
            // As on Linux, that nothing can be made there is found first.
            let errno = if to.starts_with("ro/") { EROFS } else { EXDEV };
            assert_eq!(guest.link(follow, (ROOT, from), (ROOT, to)), Err(errno), "link {from} {to}");
        }
        assert_eq!(guest.rename((ROOT, from), (ROOT, to)), Err(EXDEV), "rename {from} {to}");
    }
    for (from, to) in [("ro/dir", "rw/moved"), ("my-dir", "ro/moved"), ("ro/file", "rw/file")] {
        assert_eq!(guest.rename((ROOT, from), (ROOT, to)), Err(EXDEV), "rename {from} {to}");
    }
    assert_eq!(guest.link(0, (READ_ONLY, "file"), (ROOT, "rw/stolen")), Err(EXDEV));
    assert_eq!(seen(&mut owner), before);
}

#[test]
fn a_descriptor_keeps_the_mount_that_it_was_opened_through() {
    let (mut guest, mut owner) = twice();
    // The writable mount is no way around: what was opened read-only stays so, and the other way.
    let writable = guest.open(ROOT, "rw/file", 0, READ | WRITE).unwrap();
    let readable = guest.open(ROOT, "ro/file", 0, READ).unwrap();
    assert_eq!(guest.pwrite(writable, b"C", 0), Ok(1));
    assert!(guest.pwrite(readable, b"X", 0).is_err());
    assert_eq!(guest.pread(readable, 100, 0).unwrap(), b"Content");
    let dir = guest.open_dir(ROOT, "ro/dir").unwrap();
    assert_eq!(guest.unlink(dir, "below"), Err(EROFS));
    assert_eq!(guest.mkdir(dir, "new"), Err(EROFS));
    // A directory's descriptor follows a rename made elsewhere, and stays in its mount.
    guest.rename((ROOT, "rw/dir"), (ROOT, "rw/moved")).unwrap();
    assert_eq!(guest.unlink(dir, "below"), Err(EROFS));
    assert_eq!(owner.names(ROOT, "moved"), ["below"]);
}

#[test]
fn a_bind_of_a_read_only_mount_is_read_only() {
    let data = FilesystemRef::new(Memory::new());
    Puppet::on(&data).mkdir(ROOT, "dir").unwrap();
    let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
    let read_only = namespace.mount_at(b"/ro", &data, MountFlags::READ_ONLY).unwrap();
    namespace.bind_at(b"/bound", &read_only, MountFlags::empty()).unwrap();
    let mut guest = Puppet::of(Guest::in_namespace(namespace).preopen("/", "/"));
    assert_eq!(guest.mkdir(ROOT, "bound/new"), Err(EROFS));
    assert_eq!(guest.rmdir(ROOT, "bound/dir"), Err(EROFS));
    assert_eq!(guest.rename((ROOT, "bound/dir"), (ROOT, "bound/new")), Err(EROFS));
    // The mount point itself can't be taken away to get at what is below.
    assert_eq!(guest.rename((ROOT, "ro"), (ROOT, "away")), Err(EBUSY));
    assert_eq!(guest.rmdir(ROOT, "ro"), Err(EBUSY));
}
