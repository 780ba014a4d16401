//! A guest over a filesystem of the embedder's own: `stored.rs` is all of it.
//!
//! ```console
//! $ cargo run --package vnode-wasmtime --example custom_filesystem
//! ```

#![allow(missing_docs, reason = "an example")]

mod stored;

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use stored::Stored;
use vnode_core::FilesystemRef;
use vnode_wasmtime::stream::Capture;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome};

/// A program of this repository that builds a tree of links of every kind and says what it finds.
const TOUR: &[u8] = include_bytes!("../../../../guests/built/tour.wasm");

pub fn run(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(&EngineOptions::default())?;
    let program = engine.compile(TOUR)?;
    let files = FilesystemRef::new(Stored::default());
    let output = Arc::new(Capture::new(1 << 20));
    let guest = Guest::builder(&files).preopen("/", "/").arg("tour").stdout(output.clone());
    let outcome = program.run(guest.build(program.module())?)?;
    out.write_all(&output.contents())?;
    match outcome {
        Outcome::Exited(0) => Ok(()),
        other => Err(format!("the guest ended otherwise: {other:?}").into()),
    }
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    run(&mut std::io::stdout())
}
