//! A guest over a filesystem that the embedder wrote from nothing but the trait: `table.rs` is all of it.
//!
//! ```console
//! $ cargo run --package vnode-wasmtime --example own_filesystem
//! ```
#![allow(missing_docs, reason = "an example")]

mod table;

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use table::Table;
use vnode_core::FilesystemRef;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome};

/// The guest: makes `note`, writes a line and ends.
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 8) "\64\00\00\00\10\00\00\00") ;; a segment: 16 bytes at 100
    (data (i32.const 50) "note")
    (data (i32.const 100) "a guest was here")
    (func (export "_start")
        (if (call $open (i32.const 3) (i32.const 0) (i32.const 50) (i32.const 4) (i32.const 1)
                (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 0)) (then unreachable))
        (if (call $write (i32.load (i32.const 0)) (i32.const 8) (i32.const 1) (i32.const 16)) (then unreachable))))"#;

pub fn run(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let table = Arc::new(Table::default());
    let engine = Engine::new(&EngineOptions::default())?;
    let program = engine.compile(GUEST.as_bytes())?;
    let guest = Guest::builder(&FilesystemRef::new::<Table>(table.clone())).preopen("/", "/");
    match program.run(guest.build(program.module())?)? {
        Outcome::Exited(0) => {}
        other => return Err(format!("the guest ended otherwise: {other:?}").into()),
    }

    // What it wrote is a row of the embedder's own table.
    let (attr, content) = table.row(b"note").ok_or("no such row")?;
    let mode = attr.mode.raw();
    writeln!(
        out,
        "note: inode {}, mode {mode:o}, {} bytes: {}",
        attr.ino,
        attr.size,
        content.escape_ascii()
    )?;
    Ok(())
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    run(&mut std::io::stdout())
}
