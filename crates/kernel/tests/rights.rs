//! Preopens with fewer rights than there are, under the strict policy, in which they are walls.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use vnode_core::{
    Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, Namespace, OpenFlags, Policy,
    Timespec, VPath,
};
use vnode_kernel::{FdFlags, OpenRequest, Process, Rights};
use vnode_memory::Memory;

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

const READ_ONLY: u32 = 3;
const WRITABLE: u32 = 4;

/// A process with `/a`, in which files are only read, and `/b`, in which they are written too.
fn process(policy: Policy) -> Process {
    let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
    let who = Credentials::root();
    let cx = Cx::new(&who, &Epoch);
    let caller = Caller { ns: &namespace, cx: &cx, root: namespace.root(), policy: Policy::Posix };
    let [a, b] = [&b"/a"[..], b"/b"].map(|path| {
        let path = VPath::new(path).unwrap();
        caller.mkdir(caller.root, path, Mode::from_raw(0o755)).unwrap();
        caller.resolve(caller.root, path, Follow::Yes).unwrap()
    });
    caller.mkdir(&a, VPath::new(b"dir").unwrap(), Mode::from_raw(0o755)).unwrap();
    let writing = Rights::FD_WRITE | Rights::FD_FILESTAT_SET_SIZE | Rights::FD_ALLOCATE;
    let builder = Process::builder(Arc::clone(&namespace)).policy(policy);
    let process = builder
        .preopen_with("a", a.clone(), Rights::DIRECTORY, Rights::INHERITABLE - writing)
        .preopen("b", b)
        .preopen("all of a", a)
        .build()
        .unwrap();
    open(&process, 5, "file", OpenFlags::CREATE, Rights::FD_WRITE).unwrap();
    process.close(5).unwrap();
    process
}

fn open(process: &Process, fd: u32, path: &str, flags: OpenFlags, rights: Rights) -> Result<u32, Errno> {
    let request = OpenRequest { flags, rights, status: FdFlags::empty(), close_on_exec: false };
    process.open(fd, path.as_bytes(), &request)
}

/// GHSA-4ch3-9j33-3pmj, with rights instead of mounts.
#[test]
fn a_name_behind_another_wall_gives_no_more_rights() {
    let process = process(Policy::Strict);
    let write = |fd, path| open(&process, fd, path, OpenFlags::empty(), Rights::FD_WRITE).err();
    assert_eq!(write(READ_ONLY, "file"), Some(Errno::NOTCAPABLE));
    assert_eq!(process.link_at(READ_ONLY, b"file", Follow::No, WRITABLE, b"stolen"), Err(Errno::PERM));
    assert_eq!(process.rename_at(READ_ONLY, b"file", WRITABLE, b"stolen"), Err(Errno::PERM));
    assert_eq!(process.rename_at(READ_ONLY, b"dir", WRITABLE, b"stolen"), Err(Errno::PERM));
    // The other way rights are lost, and within a wall nothing changes.
    open(&process, WRITABLE, "mine", OpenFlags::CREATE, Rights::FD_WRITE).unwrap();
    assert_eq!(process.link_at(WRITABLE, b"mine", Follow::No, READ_ONLY, b"given"), Ok(()));
    assert_eq!(process.rename_at(READ_ONLY, b"file", READ_ONLY, b"dir/file"), Ok(()));
    let below = open(&process, READ_ONLY, "dir", OpenFlags::DIRECTORY, Rights::FD_READ).unwrap();
    assert_eq!(process.rename_at(below, b"file", READ_ONLY, b"file"), Ok(()));
    assert_eq!(write(READ_ONLY, "given"), Some(Errno::NOTCAPABLE));
}
