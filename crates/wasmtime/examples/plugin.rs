//! A plugin over a filesystem in memory: the host gives it a file, calls it, and reads what it wrote.
//!
//! ```console
//! $ cargo run --package vnode-wasmtime --example plugin
//! ```
#![allow(missing_docs, reason = "an example")]

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use vnode_core::{FilesystemRef, Namespace};
use vnode_memory::Memory;
use vnode_wasmtime::{Engine, EngineOptions, Files, Guest};

/// The plugin: `greet` reads `/in/name` and writes `/out/greeting`.
const PLUGIN: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 100) "in/name")
    (data (i32.const 120) "out/greeting")
    (data (i32.const 1000) "Hello, ")
    (func $open_at (param $path i32) (param $len i32) (param $flags i32) (param $rights i64) (result i32)
        (if (call $open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $flags)
                (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 0)) (then unreachable))
        (i32.load (i32.const 0)))
    (func (export "greet") (result i32) (local $fd i32)
        ;; Read the name behind the greeting, at 1007.
        (local.set $fd (call $open_at (i32.const 100) (i32.const 7) (i32.const 0) (i64.const 2)))
        (i32.store (i32.const 8) (i32.const 1007))
        (i32.store (i32.const 12) (i32.const 1000))
        (if (call $read (local.get $fd) (i32.const 8) (i32.const 1) (i32.const 16)) (then unreachable))
        (drop (call $close (local.get $fd)))
        ;; Write both: 7 bytes and what was read.
        (local.set $fd (call $open_at (i32.const 120) (i32.const 12) (i32.const 1) (i64.const 64)))
        (i32.store (i32.const 8) (i32.const 1000))
        (i32.store (i32.const 12) (i32.add (i32.load (i32.const 16)) (i32.const 7)))
        (if (call $write (local.get $fd) (i32.const 8) (i32.const 1) (i32.const 16)) (then unreachable))
        (drop (call $close (local.get $fd)))
        (i32.load (i32.const 16))))"#;

pub fn run(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    // The plugin's world: nothing but this, 16 MiB at most.
    let memory = Memory::builder().max_bytes(16 << 20).build();
    let namespace = Arc::new(Namespace::new(FilesystemRef::new::<Memory>(memory)));
    let files = Files::of(&namespace);
    files.make_directory("/in")?;
    files.make_directory("/out")?;
    files.write("/in/name", "world\n")?;

    let engine = Engine::new(&EngineOptions::default())?;
    let program = engine.compile_library(PLUGIN.as_bytes())?;
    let guest = Guest::in_namespace(Arc::clone(&namespace)).preopen("/", "/").build(program.module())?;
    let mut plugin = program.instantiate(guest)?;
    let written: i32 = plugin.call("greet", ())?;

    // What a guest wrote may be anything: say how much of it you want.
    let greeting = files.read("/out/greeting", 1 << 20)?;
    writeln!(out, "the plugin wrote {written} bytes: {}", String::from_utf8_lossy(&greeting).trim_end())?;

    // The next call finds the world as the last one left it.
    files.write("/in/name", "vnode\n")?;
    plugin.call::<(), i32>("greet", ())?;
    writeln!(
        out,
        "and then: {}",
        String::from_utf8_lossy(&files.read("/out/greeting", 1 << 20)?).trim_end()
    )?;
    Ok(())
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    run(&mut std::io::stdout())
}
