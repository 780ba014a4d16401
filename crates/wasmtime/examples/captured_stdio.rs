//! A guest's standard streams: input from bytes, output kept in memory up to a limit, and a stream of the embedder's own.
//!
//! ```console
//! $ cargo run --package vnode-wasmtime --example captured_stdio
//! ```
#![allow(missing_docs, reason = "an example")]

use std::error::Error;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::stream::Capture;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome};

/// The guest: copies its input to its output, and says on standard error when it is done.
const CAT: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 100) "copied\n")
    (func (export "_start")
        (loop $more
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const 65536))
            (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
            (if (i32.load (i32.const 8)) (then
                (i32.store (i32.const 4) (i32.load (i32.const 8)))
                (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
                (br $more))))
        (i32.store (i32.const 0) (i32.const 100))
        (i32.store (i32.const 4) (i32.const 7))
        (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// A log of the embedder's, to which each guest writes with its name.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Named(&'static str, Log);

impl Write for Named {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = format!("{}: {}", self.0, String::from_utf8_lossy(bytes).trim_end());
        self.1.0.lock().map_err(|_| io::Error::other("a thread panicked"))?.push(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(&EngineOptions::default())?;
    let program = engine.compile(CAT.as_bytes())?;
    let files = FilesystemRef::new(Memory::new());
    let log = Log::default();
    for (name, input) in [("short", "one line\n"), ("long", "a line that is longer than the limit\n")] {
        let output = Arc::new(Capture::new(16));
        let guest = Guest::builder(&files)
            .stdin_bytes(input)
            .stdout(output.clone())
            .stderr_writer(Named(name, log.clone()))
            .build(program.module())?;
        let Outcome::Exited(0) = program.run(guest)? else { return Err("the guest failed".into()) };
        let kept = String::from_utf8_lossy(&output.contents()).into_owned();
        writeln!(out, "{name}: {kept:?}, truncated: {}", output.is_truncated())?;
    }
    for line in log.0.lock().map_err(|_| "a thread panicked")?.iter() {
        writeln!(out, "log: {line}")?;
    }
    Ok(())
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout())
}
