//! Class 6, guest memory: addresses and lengths that no honest guest passes, and memory that changes meanwhile.
//!
//! That every result is checked before anything is done, and zero bytes at any address, stand in `hostile.rs` and
//! `guests/src/pointers.c`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::Guest;
use vnode_wasmtime::stream::Capture;
use wasmtime::{Engine, Linker, MemoryType, Module, SharedMemory, Store};

use crate::allocated::measured;
use crate::puppet::*;

/// 1024 vectors of all of the memory, one over the other: the most that one call can be asked to move.
#[test]
fn vectors_of_the_whole_memory_cost_the_host_nothing() {
    const PAGES: u32 = 1024;
    let memory = Arc::new(Memory::builder().max_bytes(64 << 10).max_inodes(10).build());
    let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
    let output = Arc::new(Capture::new(100));
    let builder = Guest::builder(&fs).preopen("/", "/").stdout(output.clone());
    let mut guest = Puppet::with_pages(builder, PAGES);
    let file = guest.open(ROOT, "f", CREAT, READ | WRITE).unwrap();
    let hole = guest.open(ROOT, "hole", CREAT, READ | WRITE).unwrap();
    guest.set_size(hole, 1 << 62).unwrap();
    let all = PAGES << 16;
    for (len, errno) in [(u32::MAX, EINVAL), (1 << 31, EINVAL), (i32::MAX as u32, EFAULT), (all + 1, EFAULT)]
    {
        guest.vectors(&[(0, len); 1024]);
        for (name, arguments) in [
            ("fd_read", vec![hole, VECTORS, 1024, RESULT]),
            ("fd_write", vec![file, VECTORS, 1024, RESULT]),
            ("fd_pread", vec![hole, VECTORS, 1024, 0, RESULT]),
            ("fd_pwrite", vec![file, VECTORS, 1024, 0, RESULT]),
            ("fd_write", vec![1, VECTORS, 1024, RESULT]),
        ] {
            let (got, bytes) = measured(|| guest.call(name, &arguments));
            assert_eq!(got, errno, "{name} {len}");
            assert!(bytes.peak <= 64 << 10 && bytes.kept == 0, "{name}: {bytes:?}");
        }
    }
    guest.vectors(&[(0, all); 1024]);
    let start = Instant::now();
    let (errno, bytes) = measured(|| guest.call("fd_write", &[file, VECTORS, 1024, RESULT]));
    println!("a write of 64 GiB: {:?}, {bytes:?}", start.elapsed());
    assert_eq!((errno, guest.u32(RESULT)), (SUCCESS, 64 << 10), "as much as the filesystem may hold");
    assert!(bytes.peak < 128 << 10, "{bytes:?}");
    guest.vectors(&[(0, all); 1024]);
    let (errno, bytes) = measured(|| guest.call("fd_write", &[1, VECTORS, 1024, RESULT]));
    assert_eq!((errno, guest.u32(RESULT), output.contents().len()), (SUCCESS, 0x7fff_f000, 100));
    assert!(bytes.peak < 64 << 10, "{bytes:?}");
    // 2 GiB of zeros into 64 MiB, the vectors and the place for the count among them.
    guest.vectors(&[(0, all); 1024]);
    let start = Instant::now();
    let (errno, bytes) = measured(|| guest.call("fd_read", &[hole, VECTORS, 1024, RESULT]));
    println!("a read of 64 GiB: {:?}, {bytes:?}", start.elapsed());
    assert_eq!((errno, guest.u32(RESULT)), (SUCCESS, 0x7fff_f000));
    assert!(bytes.peak < 64 << 10, "{bytes:?}");
}

/// Vectors over the table of vectors, over the path and over the result: each is read once, before it changes.
#[test]
fn what_is_read_into_the_arguments_changes_no_call() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    let content: Vec<u8> = (0..64u8).flat_map(|_| [0xff; 8]).collect();
    guest.file(ROOT, "f", &content);
    let file = guest.open(ROOT, "f", 0, READ).unwrap();
    // The first vector is filled with ones: were the table read again, the second would be out of bounds.
    let at = VECTORS as u32;
    guest.put(BUFFER, &[0; 100]);
    guest.vectors(&[(at, 64), (BUFFER as u32, 64), (RESULT as u32, 4)]);
    assert_eq!(guest.call("fd_read", &[file, VECTORS, 3, RESULT]), SUCCESS);
    assert_eq!(guest.u32(RESULT), 64 + 64 + 4);
    assert_eq!(guest.bytes(BUFFER, 65), [&[0xff; 64][..], &[0]].concat());
    // A link's text over its own path, a listing over its result, a stat over its path.
    guest.symlink("target", ROOT, "l").unwrap();
    let len = guest.path("l");
    assert_eq!(guest.call("path_readlink", &[ROOT, PATH, len, PATH, 64, PATH + 2]), SUCCESS);
    assert_eq!(guest.bytes(PATH, 6), [b't', b'a', 6, 0, 0, 0]);
    let len = guest.path("f");
    assert_eq!(guest.call("path_filestat_get", &[ROOT, 0, PATH, len, PATH]), SUCCESS);
    assert_eq!(guest.u64(PATH + 32), content.len() as u64);
    assert_eq!(guest.call("fd_readdir", &[ROOT, BUFFER, 100, 0, BUFFER]), SUCCESS);
    assert_eq!(guest.u32(BUFFER), 4 * 24 + 5 - 1);
}

#[test]
fn addresses_do_not_wrap_around() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    guest.file(ROOT, "f", b"content");
    let file = guest.open(ROOT, "f", 0, READ | WRITE).unwrap();
    for (at, len) in
        [(-16, 32), (-1, 2), (-1, 1), (-1, -1), (1, -1), (2 << 16, 1), ((2 << 16) - 1, 2), (-8, 8)]
    {
        guest.vectors(&[(BUFFER as u32, 4), (at as u32, len as u32)]);
        for name in ["fd_read", "fd_write"] {
            let errno = guest.call(name, &[file, VECTORS, 2, RESULT]);
            assert!(matches!(errno, EFAULT | EINVAL), "{name} {at} {len}: {errno}");
        }
        for (name, arguments) in [
            ("path_create_directory", vec![ROOT, at, len]),
            ("path_symlink", vec![at, len, ROOT, PATH, 1]),
            ("fd_readdir", vec![ROOT, at, len, 0, RESULT]),
            ("random_get", vec![at, len]),
            ("fd_prestat_dir_name", vec![ROOT, at, len]),
        ] {
            assert_eq!(guest.call(name, &arguments), EFAULT, "{name} {at} {len}");
        }
    }
    assert_eq!(guest.call("fd_tell", &[file, RESULT]), SUCCESS);
    assert_eq!(guest.u64(RESULT), 0, "nothing was read");
    assert_eq!(guest.content(ROOT, "f").unwrap(), b"content", "nothing was written");
}

/// CVE-2025-64345, and whoever counts on arguments to stay as they are: a thread of the guest changes them while a
/// call is under way.
#[test]
fn shared_memory_that_changes_during_calls_does_no_harm() {
    let engine = Engine::new(&vnode_wasmtime::config()).unwrap();
    let shared = SharedMemory::new(&engine, MemoryType::shared(2, 2)).unwrap();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_pread" (func $pread (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "env" "memory" (memory 2 2 shared))
        (export "memory" (memory 0))
        (func (export "open") (result i32)
            (drop (call $open (i32.const 3) (i32.const 0) (i32.const 4096) (i32.const 1) (i32.const 1)
                (i64.const 66) (i64.const 66) (i32.const 0) (i32.const 64)))
            (i32.load (i32.const 64)))
        (func (export "calls") (param $fd i32) (result i32)
            (i32.add (i32.add
                (i32.eqz (call $write (local.get $fd) (i32.const 256) (i32.const 2) (i32.const 64)))
                (i32.eqz (call $pread (local.get $fd) (i32.const 256) (i32.const 2) (i64.const 0) (i32.const 64))))
            (i32.add
                (i32.eqz (call $mkdir (i32.const 3) (i32.const 4096) (i32.const 8)))
                (i32.eqz (call $poll (i32.const 256) (i32.const 1024) (i32.const 2) (i32.const 64))))))
        (func (export "change") (param $n i32)
            (local $at i32)
            (loop $again
                (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 1664525)) (i32.const 1013904223)))
                (i32.atomic.store (i32.add (i32.const 256) (local.get $at))
                    (select (i32.shr_u (local.get $n) (i32.const 14)) (local.get $n)
                        (i32.and (local.get $n) (i32.const 65536))))
                (i32.atomic.store8 (i32.add (i32.const 4096) (i32.and (local.get $at) (i32.const 7)))
                    (i32.shr_u (local.get $n) (i32.const 24)))
                (local.set $at (i32.and (i32.add (local.get $at) (i32.const 4)) (i32.const 124)))
                (br_if $again (local.get $at)))))"#;
    let module = Module::new(&engine, text).unwrap();
    let memory = Arc::new(Memory::builder().max_bytes(1 << 20).max_inodes(1000).build());
    let fs = FilesystemRef::new::<Memory>(Arc::clone(&memory));
    let start = || {
        let mut linker = Linker::<Guest>::new(&engine);
        vnode_wasmtime::add_to_linker_sync(&mut linker, |guest| guest).unwrap();
        let guest = Guest::builder(&fs).preopen("/", "/").build(&module).unwrap();
        let mut store = Store::new(&engine, guest);
        vnode_wasmtime::attach(&mut store, |guest| guest);
        linker.define(&mut store, "env", "memory", shared.clone()).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        (store, instance)
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (over, start) = (&over, &start);
        scope.spawn(move || {
            let (mut store, instance) = start();
            let change = instance.get_typed_func::<i32, ()>(&mut store, "change").unwrap();
            for seed in 0.. {
                change.call(&mut store, seed).unwrap();
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let (mut store, instance) = start();
        let open = instance.get_typed_func::<(), i32>(&mut store, "open").unwrap();
        let calls = instance.get_typed_func::<i32, i32>(&mut store, "calls").unwrap();
        let mut fd = open.call(&mut store, ()).unwrap();
        let mut succeeded = 0;
        let begun = Instant::now();
        // A poll whose subscription is changed to a longer time may take most of the first half second.
        while begun.elapsed().as_millis() < 500 || (succeeded <= 100 && begun.elapsed().as_secs() < 20) {
            match calls.call(&mut store, fd) {
                Ok(count) => succeeded += count,
                Err(error) => panic!("{error:?}"),
            }
            if !(4..20).contains(&fd) {
                fd = open.call(&mut store, ()).unwrap();
            }
        }
        over.store(true, Ordering::Relaxed);
        println!("{succeeded} calls without an error");
        assert!(succeeded > 100, "{succeeded}");
    });
    assert!(memory.usage().bytes <= 1 << 20);
}
