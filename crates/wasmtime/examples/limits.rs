//! Limits, and what guest and embedder are told when one is reached: memory, storage, inodes, open files, time.
//!
//! ```console
//! $ cargo run --package vnode-wasmtime --example limits
//! ```
#![allow(missing_docs, reason = "an example")]

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::{Engine, EngineOptions, Guest, GuestBuilder, Limits, Outcome};

/// A guest that does one thing again and again until it fails, and exits with how often it could, in thousands the
/// error that it was told.
fn until_it_fails(again: &str) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\00\10\00\00\00\10\00\00") ;; a vector: 4096 bytes at 4096
        (data (i32.const 100) "f~")
        (func $create (result i32)
            (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 1) (i64.const 64)
                (i64.const 0) (i32.const 0) (i32.const 8)))
        (func (export "_start") (local $count i32) (local $errno i32)
            (drop (call $create))
            (loop $again
                (local.set $errno {again})
                (if (i32.eqz (local.get $errno)) (then
                    (local.set $count (i32.add (local.get $count) (i32.const 1)))
                    (i32.store8 (i32.const 101) (local.get $count))
                    (br $again))))
            (call $exit (i32.add (i32.mul (local.get $errno) (i32.const 1000)) (local.get $count)))))"#
    )
}

/// What a guest came to.
fn end(engine: &Engine, module: &str, guest: GuestBuilder) -> Result<String, Box<dyn Error>> {
    let program = engine.compile(module.as_bytes())?;
    Ok(match program.run(guest.preopen("/", "/").build(program.module())?)? {
        Outcome::Exited(status) => format!("{} times, then error {}", status % 1000, status / 1000),
        Outcome::TimedOut => "its time was over".to_owned(),
        other => format!("{other:?}"),
    })
}

pub fn run(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(&EngineOptions::default())?;
    let unbounded = || Guest::builder(&FilesystemRef::new(Memory::new()));

    // Linear memory: a page is 64 KiB, and memory.grow answers -1.
    let grow = until_it_fails("(i32.eq (memory.grow (i32.const 1)) (i32.const -1))");
    let limits = Limits { memory: Some(1 << 20), ..Limits::default() };
    writeln!(out, "1 MiB of memory: grows {}", end(&engine, &grow, unbounded().limits(limits))?)?;

    // Storage: ENOSPC, which is 51 in WASI.
    let write =
        until_it_fails("(call $write (i32.load (i32.const 8)) (i32.const 0) (i32.const 1) (i32.const 16))");
    let small = Memory::builder().max_bytes(64 << 10).build();
    let guest = Guest::builder(&FilesystemRef::new::<Memory>(small));
    writeln!(out, "64 KiB of storage: writes 4 KiB {}", end(&engine, &write, guest)?)?;

    // Inodes: the root and the file are two.
    let mkdir = until_it_fails("(call $mkdir (i32.const 3) (i32.const 100) (i32.const 2))");
    let few = Memory::builder().max_inodes(10).build();
    let guest = Guest::builder(&FilesystemRef::new::<Memory>(few));
    writeln!(out, "10 inodes: makes a directory {}", end(&engine, &mkdir, guest)?)?;

    // Open files: EMFILE, which is 33; descriptors 0 to 3 and the first file are there already.
    let open = until_it_fails("(call $create)");
    writeln!(out, "20 descriptors: opens {}", end(&engine, &open, unbounded().open_files(20))?)?;

    // Time, running or waiting.
    let spin = until_it_fails("(i32.const 0)");
    let limits = Limits { time: Some(Duration::from_millis(50)), ..Limits::default() };
    writeln!(out, "50 ms: {}", end(&engine, &spin, unbounded().limits(limits))?)?;
    Ok(())
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    run(&mut std::io::stdout())
}
