//! Class 12, life cycles: however and whenever a guest ends, it leaves no lock held and nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use vnode_core::{Errno, FilesystemRef, Timespec};
use vnode_kernel::{ClockId, Clocks, HostClocks};
use vnode_memory::{Memory, Usage};
use vnode_wasmtime::{Engine, EngineOptions, Guest, GuestBuilder, Outcome};

use crate::puppet::*;

fn shared() -> (Arc<Memory>, FilesystemRef) {
    let memory = Arc::new(Memory::new());
    let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
    let mut guest = Puppet::on(&fs);
    guest.mkdir(ROOT, "dir").unwrap();
    guest.mkdir(ROOT, "other").unwrap();
    guest.file(ROOT, "file", &[7; 5000]);
    for number in 0..200 {
        guest.symlink("t", ROOT, format!("dir/{number}")).unwrap();
    }
    (memory, fs)
}

/// Every operation on what the others used, by a guest of its own, within a time that only a lock can exceed.
fn everything_works(fs: &FilesystemRef) {
    let fs = fs.clone();
    let (done, finished) = channel();
    std::thread::spawn(move || {
        let mut guest = Puppet::on(&fs);
        let fd = guest.open(ROOT, "file", CREAT, READ | WRITE).unwrap();
        guest.pwrite(fd, b"x", 0).unwrap();
        guest.pread(fd, 100, 0).unwrap();
        guest.set_size(fd, 5000).unwrap();
        guest.fstat(fd).unwrap();
        guest.close(fd).unwrap();
        for dir in ["dir", "other", "."] {
            guest.names(ROOT, dir);
            guest.set_times(ROOT, 0, dir, 1).unwrap();
            let name = |text: &str| format!("{dir}/{text}");
            guest.mkdir(ROOT, name("new-dir")).unwrap();
            guest.file(ROOT, &name("new-file"), b"new");
            guest.link(0, (ROOT, &name("new-file")), (ROOT, &name("new-link"))).unwrap();
            guest.symlink("new-file", ROOT, name("new-symlink")).unwrap();
            guest.readlink(ROOT, name("new-symlink")).unwrap();
            guest.rename((ROOT, &name("new-file")), (ROOT, &name("new-dir/moved"))).unwrap();
            guest.rename((ROOT, &name("new-dir")), (ROOT, "other/elsewhere")).unwrap();
            guest.unlink(ROOT, "other/elsewhere/moved").unwrap();
            guest.rmdir(ROOT, "other/elsewhere").unwrap();
            guest.unlink(ROOT, name("new-link")).unwrap();
            guest.unlink(ROOT, name("new-symlink")).unwrap();
        }
        done.send(()).unwrap();
    });
    finished.recv_timeout(Duration::from_secs(20)).expect("something is still locked");
}

/// What a guest does again and again until it is killed.
type Deed = fn(&mut Puppet, u64) -> Option<i32>;

const DEEDS: [(&str, Deed); 8] = [
    ("write", |guest, round| {
        guest.vectors(&[(0, 1 << 17); 16]);
        guest.try_call("fd_pwrite", &[4, VECTORS, 16, (round % 64 * 4096) as i64, RESULT])
    }),
    ("read", |guest, _| {
        guest.vectors(&[(BUFFER as u32, 0xffff); 16]);
        guest.try_call("fd_pread", &[4, VECTORS, 16, 0, RESULT])
    }),
    ("list", |guest, _| guest.try_call("fd_readdir", &[5, BUFFER, BUFFER_LEN, 0, RESULT])),
    ("rename", |guest, round| {
        let (from, to) = if round.is_multiple_of(2) { ("dir/7", "other/7") } else { ("other/7", "dir/7") };
        let (from, to) = (guest.path(from), guest.other(to));
        guest.try_call("path_rename", &[ROOT, PATH, from, ROOT, OTHER, to])
    }),
    ("create", |guest, round| {
        let len = guest.path(format!("other/mine{}", round % 7));
        guest
            .try_call("path_create_directory", &[ROOT, PATH, len])
            .and_then(|_| guest.try_call("path_remove_directory", &[ROOT, PATH, len]))
    }),
    ("poll", |guest, _| {
        // Standard input for reading: nothing ever comes.
        let mut subscription = [0; 48];
        subscription[8] = 1;
        guest.put(VECTORS, &subscription);
        guest.try_call("poll_oneoff", &[VECTORS, BUFFER, 1, RESULT])
    }),
    ("sleep", |guest, _| {
        let mut subscription = [0; 48];
        subscription[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
        guest.put(VECTORS, &subscription);
        guest.try_call("poll_oneoff", &[VECTORS, BUFFER, 1, RESULT])
    }),
    ("blocked read", |guest, _| {
        guest.vectors(&[(BUFFER as u32, 100)]);
        guest.try_call("fd_read", &[0, VECTORS, 1, RESULT])
    }),
];

#[test]
fn a_guest_that_is_killed_in_any_call_leaves_no_lock_held() {
    let (memory, fs) = shared();
    let before = memory.usage();
    for round in 0..4u64 {
        for (what, deed) in DEEDS {
            let (reader, _writer) = std::io::pipe().unwrap();
            let mut guest = Puppet::of(Guest::builder(&fs).preopen("/", "/").stdin_reader(reader));
            assert_eq!(guest.open(ROOT, "file", 0, READ | WRITE), Ok(4));
            assert_eq!(guest.open_dir(ROOT, "dir"), Ok(5));
            let killer = guest.killer();
            let (done, finished) = channel();
            std::thread::spawn(move || {
                let mut round = 0;
                while deed(&mut guest, round).is_some() {
                    round += 1;
                }
                drop(guest);
                done.send(()).unwrap();
            });
            std::thread::sleep(Duration::from_micros(3000 + 1700 * round));
            killer.kill();
            finished.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{what} goes on"));
        }
        everything_works(&fs);
    }
    let mut guest = Puppet::on(&fs);
    for name in 0..7 {
        let _ = guest.rmdir(ROOT, format!("other/mine{name}"));
    }
    guest.set_size(ROOT, 0).unwrap_err();
    let file = guest.open(ROOT, "file", 0, WRITE).unwrap();
    guest.set_size(file, 5000).unwrap();
    drop(guest);
    assert_eq!(memory.usage(), before);
}

/// A clock that panics when it is asked the n-th time: inside of an operation, with the filesystem's locks held.
struct Fuse {
    left: AtomicU64,
}

impl Clocks for Fuse {
    fn time(&self, clock: ClockId) -> Result<u64, Errno> {
        HostClocks::new().time(clock)
    }

    fn resolution(&self, clock: ClockId) -> Result<u64, Errno> {
        HostClocks::new().resolution(clock)
    }

    fn coarse(&self) -> Timespec {
        match self.left.fetch_sub(1, Ordering::Relaxed) {
            0 => panic!("the clock is broken"),
            _ => HostClocks::new().coarse(),
        }
    }
}

/// A module that does one thing of each kind and exits with 0.
const BUSY: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_remove_directory" (func $rmdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_link" (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pwrite" (func $pwrite (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_pread" (func $pread (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_readdir" (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $set_size (param i32 i64) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\64\00\00\00\05\00\00\00")
    (data (i32.const 100) "dir/x") (data (i32.const 110) "other/y") (data (i32.const 120) "file")
    (func (export "_start")
        (drop (call $mkdir (i32.const 3) (i32.const 100) (i32.const 5)))
        (drop (call $rename (i32.const 3) (i32.const 100) (i32.const 5) (i32.const 3) (i32.const 110) (i32.const 7)))
        (drop (call $rmdir (i32.const 3) (i32.const 110) (i32.const 7)))
        (drop (call $symlink (i32.const 110) (i32.const 7) (i32.const 3) (i32.const 100) (i32.const 5)))
        (drop (call $unlink (i32.const 3) (i32.const 100) (i32.const 5)))
        (drop (call $link (i32.const 3) (i32.const 0) (i32.const 120) (i32.const 4)
            (i32.const 3) (i32.const 100) (i32.const 5)))
        (drop (call $rename (i32.const 3) (i32.const 100) (i32.const 5) (i32.const 3) (i32.const 110) (i32.const 7)))
        (drop (call $unlink (i32.const 3) (i32.const 110) (i32.const 7)))
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 120) (i32.const 4) (i32.const 0)
            (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 200)))
        (drop (call $pwrite (i32.const 4) (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 200)))
        (drop (call $pread (i32.const 4) (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 200)))
        (drop (call $set_size (i32.const 4) (i64.const 5000)))
        (drop (call $readdir (i32.const 3) (i32.const 300) (i32.const 1000) (i64.const 0) (i32.const 200)))))"#;

fn engine() -> Engine {
    Engine::new(&EngineOptions::default()).unwrap()
}

#[test]
fn a_panic_under_the_locks_of_an_operation_leaves_none_held() {
    let program = engine().compile(BUSY.as_bytes()).unwrap();
    let (_, fs) = shared();
    // The panics are meant: they would fill the log.
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"the clock is broken") {
            quiet(panic);
        }
    }));
    for left in 0.. {
        let clocks = Arc::new(Fuse { left: AtomicU64::new(left) });
        let guest = Guest::builder(&fs).preopen("/", "/").clocks(clocks);
        match program.run(guest.build(program.module()).unwrap()).unwrap() {
            Outcome::Trapped(trap) => {
                assert!(trap.message.contains("the clock is broken"), "{}", trap.message)
            }
            Outcome::Exited(0) => {
                println!("{left} places to panic in");
                assert!(left >= 12, "{left}");
                break;
            }
            other => panic!("{other:?}"),
        }
        everything_works(&fs);
        // What was done before the panic is there; the next round begins as the first.
        let mut guest = Puppet::on(&fs);
        for path in ["dir/x", "other/y"] {
            let _ = guest.unlink(ROOT, path);
            let _ = guest.rmdir(ROOT, path);
        }
    }
}

/// However it ends, its descriptors are closed, and what only they held is gone.
#[test]
fn whatever_ends_a_guest_gives_back_what_it_held() {
    let open = |end: &str| {
        format!(
            r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\64\00\00\00\00\40\00\00") (data (i32.const 100) "f")
            (func (export "_start") (local $n i32)
                (loop $more
                    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 1)
                        (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 200)))
                    (drop (call $write (i32.load (i32.const 200)) (i32.const 0) (i32.const 1) (i32.const 300)))
                    (drop (call $unlink (i32.const 3) (i32.const 100) (i32.const 1)))
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $more (i32.lt_u (local.get $n) (i32.const 50))))
                {end}))"#
        )
    };
    let engine = engine();
    let memory = Arc::new(Memory::new());
    let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
    let limit = |builder: GuestBuilder| {
        let time = Some(Duration::from_millis(100));
        builder.limits(vnode_wasmtime::Limits { time, ..Default::default() })
    };
    for end in [
        "",
        "unreachable",
        "(call $exit (i32.const 3))",
        "(drop (call $raise (i32.const 6)))",
        "(loop (br 0))",
    ] {
        let program = engine.compile(open(end).as_bytes()).unwrap();
        let guest = limit(Guest::builder(&fs).preopen("/", "/")).build(program.module()).unwrap();
        println!("{end:?}: {:?}", program.run(guest).unwrap());
        assert_eq!(memory.usage(), Usage { bytes: 0, inodes: 1 }, "{end}");
    }
    // A store that is dropped with all of them open.
    let mut guest = Puppet::on(&fs);
    for _ in 0..50 {
        let fd = guest.open(ROOT, "f", CREAT, WRITE).unwrap();
        guest.write(fd, b"content").unwrap();
        guest.unlink(ROOT, "f").unwrap();
    }
    assert_eq!(memory.usage().inodes, 51);
    drop(guest);
    assert_eq!(memory.usage(), Usage { bytes: 0, inodes: 1 });
}
