//! Processes on a memory filesystem: what threads share, what a POSIX process does otherwise, what mounts forbid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vnode_core::fs::NewKind;
use vnode_core::io::{Sink, Source};
use vnode_core::{
    Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, MountFlags, Namespace, OpenFlags,
    Policy, Timespec, VPath,
};
use vnode_kernel::{ClockId, Clocks, FdFlags, Limits, OpenRequest, Process, ProcessBuilder, Rights, Whence};
use vnode_memory::Memory;

const ROOT: u32 = 3;

fn namespace() -> Arc<Namespace> {
    Arc::new(Namespace::new(FilesystemRef::new::<Memory>(Memory::new())))
}

fn process(change: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Process {
    on(&namespace(), change)
}

fn on(namespace: &Arc<Namespace>, change: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Process {
    let root = namespace.root().clone();
    change(Process::builder(Arc::clone(namespace)).preopen("/", root)).build().unwrap()
}

fn request(flags: OpenFlags, rights: Rights) -> OpenRequest {
    OpenRequest { flags, rights, status: FdFlags::empty(), close_on_exec: false }
}

const BOTH: Rights = Rights::FD_READ.union(Rights::FD_WRITE);

fn open(process: &Process, path: &str, flags: OpenFlags, rights: Rights) -> Result<u32, Errno> {
    process.open(ROOT, path.as_bytes(), &request(flags, rights))
}

fn write(process: &Process, fd: u32, bytes: &[u8]) -> Result<usize, Errno> {
    process.write(fd, &mut Source::from_slice(bytes))
}

fn read(process: &Process, fd: u32, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; len];
    let count = process.read(fd, &mut Sink::from_slice(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

/// A call from outside a process, with all rights.
fn as_root<T>(namespace: &Namespace, work: impl FnOnce(&Caller<'_>) -> T) -> T {
    struct Epoch;
    impl Clock for Epoch {
        fn now(&self) -> Timespec {
            Timespec::EPOCH
        }
    }
    let root = Credentials::root();
    let cx = Cx::new(&root, &Epoch);
    work(&Caller { ns: namespace, cx: &cx, root: namespace.root(), policy: Policy::Posix })
}

#[test]
fn threads_that_share_a_position_read_every_byte_once() {
    let process = process(|builder| builder);
    let fd = open(&process, "a", OpenFlags::CREATE, BOTH).unwrap();
    let content: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(write(&process, fd, &content), Ok(content.len()));
    process.seek(fd, 0, Whence::Set).unwrap();
    let mut seen: Vec<u32> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut numbers = Vec::new();
                    loop {
                        let piece = read(&process, fd, 64).unwrap();
                        if piece.is_empty() {
                            return numbers;
                        }
                        numbers
                            .extend(piece.chunks(4).map(|four| u32::from_le_bytes(four.try_into().unwrap())));
                    }
                })
            })
            .collect();
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..40_000));
}

#[test]
fn appends_of_many_descriptors_lose_nothing() {
    let process = process(|builder| builder);
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let process = &process;
            scope.spawn(move || {
                let append = OpenRequest { status: FdFlags::APPEND, ..request(OpenFlags::CREATE, BOTH) };
                let fd = process.open(ROOT, b"log", &append).unwrap();
                for _ in 0..500 {
                    assert_eq!(write(process, fd, &[b'a' + thread; 7]), Ok(7));
                }
            });
        }
    });
    let fd = open(&process, "log", OpenFlags::empty(), Rights::FD_READ).unwrap();
    let log = read(&process, fd, 20_000).unwrap();
    assert_eq!(log.len(), 4 * 500 * 7);
    assert!(log.chunks(7).all(|line| line.iter().all(|&byte| byte == line[0])));
}

#[test]
fn a_descriptor_closed_meanwhile_is_either_used_or_ebadf() {
    let process = process(|builder| builder.limits(Limits { open_files: 12 }));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3000 {
                let fd = open(&process, "a", OpenFlags::CREATE, BOTH).unwrap();
                process.close(fd).unwrap();
            }
            over.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                for fd in 4..12 {
                    assert!(matches!(write(&process, fd, b"x"), Ok(1) | Err(Errno::BADF)));
                    assert!(matches!(process.renumber(fd, fd), Ok(()) | Err(Errno::BADF)));
                }
            }
        });
    });
    assert_eq!(process.fds().len(), 4);
}

#[test]
fn a_removed_file_lives_as_long_as_a_descriptor() {
    let process = process(|builder| builder);
    let fd = open(&process, "a", OpenFlags::CREATE, BOTH).unwrap();
    write(&process, fd, b"still here").unwrap();
    process.unlink_at(ROOT, b"a").unwrap();
    let copy = process.fds().duplicate(fd, 0, false).unwrap();
    process.close(fd).unwrap();
    assert_eq!(process.stat(copy).unwrap().nlink, 0);
    assert_eq!(process.seek(copy, -4, Whence::End), Ok(6));
    assert_eq!(read(&process, copy, 9), Ok(b"here".to_vec()));
    assert_eq!(process.seek(copy, 3, Whence::Hole), Ok(10));
    assert_eq!(process.seek(copy, 10, Whence::Data), Err(Errno::NXIO));
    assert_eq!(process.seek(copy, -1, Whence::Data), Err(Errno::NXIO));
}

#[test]
fn renumbering_is_dup2_for_a_posix_process() {
    for (policy, still_open) in [(Policy::Posix, true), (Policy::Beneath, false), (Policy::Strict, false)] {
        let process = process(|builder| builder.policy(policy));
        let one = open(&process, "a", OpenFlags::CREATE, BOTH).unwrap();
        let other = open(&process, "a", OpenFlags::CREATE, BOTH).unwrap();
        process.renumber(one, other).unwrap();
        assert_eq!(process.fd_state(one).is_ok(), still_open, "{policy:?}");
        assert!(process.fd_state(other).is_ok());
        // Only a POSIX process makes new numbers so.
        assert_eq!(process.renumber(other, 20).is_ok(), still_open);
    }
}

#[test]
fn paths_of_a_posix_process_start_at_its_root() {
    let namespace = namespace();
    let process = on(&namespace, |builder| builder.policy(Policy::Posix));
    process.mkdir_at(ROOT, b"d").unwrap();
    let dir = open(&process, "d", OpenFlags::DIRECTORY, Rights::FD_READ).unwrap();
    open(&process, "a", OpenFlags::CREATE, BOTH).unwrap();
    for path in [&b"/a"[..], b"../a", b"../../../a"] {
        assert!(process.stat_at(dir, path, Follow::Yes).is_ok());
    }
}

#[test]
fn a_read_only_mount_forbids_every_change() {
    let namespace = namespace();
    let maker = on(&namespace, |builder| builder);
    let fs = FilesystemRef::new::<Memory>(Memory::new());
    namespace.mount_at(b"/rw", &fs, MountFlags::empty()).unwrap();
    open(&maker, "rw/a", OpenFlags::CREATE, BOTH).unwrap();
    namespace.mount_at(b"/ro", &fs, MountFlags::READ_ONLY).unwrap();
    let rofs = Some(Errno::ROFS);
    assert_eq!(open(&maker, "ro/a", OpenFlags::empty(), BOTH).err(), rofs);
    assert_eq!(open(&maker, "ro/a", OpenFlags::TRUNCATE, Rights::FD_READ).err(), rofs);
    assert_eq!(open(&maker, "ro/new", OpenFlags::CREATE, BOTH).err(), rofs);
    assert_eq!(maker.mkdir_at(ROOT, b"ro/d").err(), rofs);
    assert_eq!(maker.unlink_at(ROOT, b"ro/a").err(), rofs);
    assert_eq!(maker.symlink_at(b"x", ROOT, b"ro/l").err(), rofs);
    assert_eq!(maker.link_at(ROOT, b"ro/a", Follow::No, ROOT, b"ro/b").err(), rofs);
    assert_eq!(maker.rename_at(ROOT, b"ro/a", ROOT, b"ro/b").err(), rofs);
    let now = Some(vnode_core::SetTime::Now);
    assert_eq!(maker.set_times_at(ROOT, b"ro/a", Follow::Yes, now, now).err(), rofs);
    let fd = open(&maker, "ro/a", OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert_eq!(maker.set_size(fd, 0), Err(Errno::INVAL));
    assert_eq!(maker.set_times(fd, now, now).err(), rofs);
    assert_eq!(maker.allocate(fd, 0, 10), Err(Errno::BADF));
}

/// A clock that each test sets.
struct Set(std::sync::atomic::AtomicU64);

impl Clocks for Set {
    fn time(&self, _: ClockId) -> vnode_core::Result<u64> {
        Ok(self.0.load(Ordering::SeqCst))
    }

    fn resolution(&self, _: ClockId) -> vnode_core::Result<u64> {
        Ok(1)
    }
}

#[test]
fn reading_through_a_mount_without_access_times_leaves_them() {
    let namespace = namespace();
    let clock = Arc::new(Set(1_000_000_000.into()));
    let process = on(&namespace, |builder| builder.clocks(clock.clone()));
    let fs = FilesystemRef::new::<Memory>(Memory::new());
    namespace.mount_at(b"/plain", &fs, MountFlags::empty()).unwrap();
    namespace.mount_at(b"/noatime", &fs, MountFlags::NO_ATIME).unwrap();
    let fd = open(&process, "plain/a", OpenFlags::CREATE, BOTH).unwrap();
    write(&process, fd, b"x").unwrap();
    clock.0.store(5_000_000_000, Ordering::SeqCst);
    let quiet = open(&process, "noatime/a", OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert_eq!(read(&process, quiet, 1), Ok(b"x".to_vec()));
    assert_eq!(process.stat(fd).unwrap().atime.sec, 1);
    let loud = open(&process, "plain/a", OpenFlags::empty(), Rights::FD_READ).unwrap();
    assert_eq!(read(&process, loud, 1), Ok(b"x".to_vec()));
    assert_eq!(process.stat(fd).unwrap().atime.sec, 5);
    assert_eq!(process.stat(fd).unwrap().mtime.sec, 1);
}

#[test]
fn what_is_neither_file_nor_directory_is_not_opened() {
    let namespace = namespace();
    as_root(&namespace, |caller| {
        for (name, kind) in
            [("fifo", NewKind::Fifo), ("socket", NewKind::Socket), ("device", NewKind::CharDevice(0x103))]
        {
            let path = VPath::new(name.as_bytes()).unwrap();
            caller.mknod(namespace.root(), path, kind, Mode::from_raw(0o666)).unwrap();
        }
    });
    let process = on(&namespace, |builder| builder);
    for name in ["fifo", "socket", "device"] {
        assert_eq!(open(&process, name, OpenFlags::empty(), Rights::FD_READ), Err(Errno::NXIO), "{name}");
        assert!(process.stat_at(ROOT, name.as_bytes(), Follow::Yes).is_ok());
    }
    assert_eq!(process.fds().len(), 4);
}

#[test]
fn a_user_may_what_modes_say() {
    let namespace = namespace();
    as_root(&namespace, |caller| {
        let path = |name: &'static str| VPath::new(name.as_bytes()).unwrap();
        caller.mkdir(namespace.root(), path("open"), Mode::from_raw(0o777)).unwrap();
        caller.chmod(namespace.root(), path("open"), Follow::Yes, Mode::from_raw(0o777)).unwrap();
        caller.mkdir(namespace.root(), path("search"), Mode::from_raw(0o711)).unwrap();
    });
    let user = Credentials::user(1000, 1000, &[]);
    let process = on(&namespace, |builder| builder.credentials(user).umask(Mode::from_raw(0o077)));
    assert_eq!(open(&process, "a", OpenFlags::CREATE, BOTH), Err(Errno::ACCES));
    let fd = open(&process, "open/a", OpenFlags::CREATE, BOTH).unwrap();
    let attr = process.stat(fd).unwrap();
    assert_eq!((attr.uid, attr.gid, attr.mode.raw()), (1000, 1000, 0o600));
    // A directory that may be searched and not read: opened for neither, it has no right to be listed.
    assert_eq!(open(&process, "search", OpenFlags::DIRECTORY, Rights::FD_READ), Err(Errno::ACCES));
    let search = open(&process, "search", OpenFlags::DIRECTORY, Rights::empty()).unwrap();
    let mut emit = |_: vnode_core::fs::DirEntry<'_>| ControlFlow::Continue(());
    assert_eq!(process.readdir(search, 0, &mut emit), Err(Errno::BADF));
    assert_eq!(process.stat_at(search, b"x", Follow::Yes).err(), Some(Errno::NOENT));
    let open_dir = open(&process, "open", OpenFlags::DIRECTORY, Rights::empty()).unwrap();
    assert_eq!(process.readdir(open_dir, 0, &mut emit), Ok(()));
}

#[test]
fn two_scans_of_one_descriptor_do_not_disturb_each_other() {
    let process = process(|builder| builder);
    process.mkdir_at(ROOT, b"d").unwrap();
    for index in 0..30 {
        open(&process, &format!("d/{index}"), OpenFlags::CREATE, BOTH)
            .and_then(|fd| process.close(fd))
            .unwrap();
    }
    let dir = open(&process, "d", OpenFlags::DIRECTORY, Rights::FD_READ).unwrap();
    let step = |cookie: u64| {
        let mut entry = None;
        let mut emit = |found: vnode_core::fs::DirEntry<'_>| {
            entry = Some((found.name.to_vec(), found.next));
            ControlFlow::Break(())
        };
        process.readdir(dir, cookie, &mut emit).unwrap();
        entry
    };
    let (mut slow, mut fast) = (0, 0);
    let (mut slow_names, mut fast_names) = (Vec::new(), Vec::new());
    while let Some((name, next)) = step(fast) {
        fast_names.push(name);
        fast = next;
        if fast_names.len() % 2 == 0 {
            let (name, next) = step(slow).unwrap();
            slow_names.push(name);
            slow = next;
        }
    }
    assert_eq!(fast_names.len(), 32);
    assert_eq!(slow_names[..], fast_names[..slow_names.len()]);
}
