//! A thousand guests at once on one executor, in one tree of files: how fast they start, and what one costs that waits.
//!
//! ```console
//! $ cargo run --release --package vnode-wasmtime --example thousand_guests
//! ```
#![allow(missing_docs, reason = "an example")]

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use vnode_core::{FilesystemRef, Namespace};
use vnode_memory::Memory;
use vnode_wasmtime::stream::Reader;
use vnode_wasmtime::{Engine, EngineOptions, Files, Guest, Outcome};

const GUESTS: usize = 1000;

/// Makes a directory named by its argument, waits for a byte of standard input, removes the directory again.
const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_remove_directory" (func $rmdir (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\00\10\00\00\01\00\00\00")
    (func (export "_start") (local $len i32)
        (drop (call $sizes (i32.const 16) (i32.const 20)))
        (drop (call $args (i32.const 32) (i32.const 100)))
        (local.set $len (i32.sub (i32.load (i32.const 20)) (i32.const 1)))
        (call $exit (i32.or (i32.or
            (call $mkdir (i32.const 3) (i32.const 100) (local.get $len))
            (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (call $rmdir (i32.const 3) (i32.const 100) (local.get $len))))))"#;

/// Kilobytes of memory that the program holds, as `/proc/self/status` tells; 0 where there is no such file.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Threads of the program, as `/proc/self/task` tells.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

pub fn run(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(&EngineOptions::default())?;
    let program = engine.compile(MODULE.as_bytes())?;
    let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
    let files = Files::of(&namespace);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;

    // All read one stream, which gives its first byte when the host writes to the pipe.
    let (reader, mut starter) = std::io::pipe()?;
    let input = Arc::new(Reader::new(reader));
    let (before, threads_before) = (resident(), threads());
    let began = Instant::now();
    let mut running = Vec::with_capacity(GUESTS);
    for number in 0..GUESTS {
        let guest = Guest::in_namespace(Arc::clone(&namespace))
            .preopen("/", "/")
            .arg(format!("guest-{number}"))
            .stdin(input.clone())
            .build(program.module())?;
        let program = program.clone();
        running.push(runtime.spawn(async move { program.run_async(guest).await }));
    }
    while files.list("/")?.len() < GUESTS {
        std::thread::yield_now();
    }
    let (started, grown, more) = (began.elapsed(), resident() - before, threads() - threads_before);
    writeln!(
        out,
        "{GUESTS} guests wait at once, each in a store of its own, {more} threads more than before"
    )?;
    let per_second = GUESTS as f64 / started.as_secs_f64();
    writeln!(out, "started in {started:.1?}, {per_second:.0} a second; {} KiB each", grown / GUESTS as u64)?;

    let began = Instant::now();
    starter.write_all(&[0; GUESTS])?;
    let mut done = 0;
    for guest in running {
        done += usize::from(matches!(runtime.block_on(guest)??, Outcome::Exited(0)));
    }
    writeln!(out, "{done} guests went on and ended well, in {:.1?}", began.elapsed())?;
    writeln!(out, "{} directories are left", files.list("/")?.len())?;
    Ok(())
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    run(&mut std::io::stdout())
}
