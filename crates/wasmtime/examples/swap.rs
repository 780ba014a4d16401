//! An embedder with a Wasmtime of its own - its `Config`, its store's data, its functions - whose guests get vnode's
//! files for those of the runtime's own WASI. One line is another, and the context is built by another builder.
//!
//! ```console
//! $ cargo run --package vnode-wasmtime --example swap
//! ```
#![allow(missing_docs, reason = "an example")]

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::Guest;
use vnode_wasmtime::stream::Capture;
use wasmtime::{Caller, Config, Engine, Linker, Module, Store, Trap};

/// What the embedder had before: its own data, and a context for WASI beside.
struct Host {
    requests: u32,
    vnode: Guest, // was: wasi: wasmtime_wasi::p1::WasiP1Ctx
}

/// Asks the host for a number, and writes it.
const MODULE: &str = r#"(module
    (import "host" "next_request" (func $next (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\0b\00\00\00")
    (data (i32.const 16) "request  0\n")
    (func (export "_start")
        (i32.store8 (i32.const 25) (i32.add (call $next) (i32.const 48)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

fn config() -> Config {
    let mut config = Config::new();
    config.consume_fuel(true);
    config
}

/// The embedder's own function, as it was.
fn next_request(mut caller: Caller<'_, Host>) -> u32 {
    caller.data_mut().requests += 1;
    caller.data().requests
}

fn host(engine: &Engine, output: &Arc<Capture>) -> Result<Host, Box<dyn Error>> {
    let files = FilesystemRef::new(Memory::new());
    let vnode = Guest::builder(&files)
        .arg("guest")
        .env("LANG", "C.UTF-8")
        .preopen("/", "/")
        .stdout(output.clone())
        .build_for(engine)?;
    Ok(Host { requests: 6, vnode })
}

fn on_a_thread(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(&config())?;
    let mut linker = Linker::<Host>::new(&engine);
    linker.func_wrap("host", "next_request", next_request)?;
    // was: wasmtime_wasi::p1::add_to_linker_sync(&mut linker, |host| &mut host.wasi)?;
    vnode_wasmtime::add_to_linker_sync(&mut linker, |host| &mut host.vnode)?;

    let output = Arc::new(Capture::new(1 << 10));
    let mut store = Store::new(&engine, host(&engine, &output)?);
    store.set_fuel(10_000)?;
    let module = Module::new(&engine, MODULE)?;
    let instance = linker.instantiate(&mut store, &module)?;
    instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())?;
    let (said, fuel) = (output.contents(), store.get_fuel()?);
    write!(out, "on a thread: {}", String::from_utf8_lossy(&said))?;
    writeln!(out, "the embedder's data: {}; its fuel: {}", store.data().requests, fuel < 10_000)?;

    // Its limits are its own, too: no fuel, no guest.
    store.set_fuel(1)?;
    let again = instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ());
    let trap = again.err().and_then(|error| error.downcast_ref::<Trap>().copied());
    writeln!(out, "without fuel: {trap:?}")?;
    Ok(())
}

async fn on_an_executor(engine: Engine) -> Result<String, Box<dyn Error>> {
    let mut linker = Linker::<Host>::new(&engine);
    linker.func_wrap("host", "next_request", next_request)?;
    // was: wasmtime_wasi::p1::add_to_linker_async(&mut linker, |host| &mut host.wasi)?;
    vnode_wasmtime::add_to_linker_async(&mut linker, |host| &mut host.vnode)?;

    let output = Arc::new(Capture::new(1 << 10));
    let mut store = Store::new(&engine, host(&engine, &output)?);
    store.set_fuel(10_000)?;
    let module = Module::new(&engine, MODULE)?;
    let instance = linker.instantiate_async(&mut store, &module).await?;
    instance.get_typed_func::<(), ()>(&mut store, "_start")?.call_async(&mut store, ()).await?;
    Ok(String::from_utf8_lossy(&output.contents()).into_owned())
}

pub fn run(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    on_a_thread(out)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let said = runtime.block_on(on_an_executor(Engine::new(&config())?))?;
    write!(out, "on an executor: {said}")?;
    Ok(())
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    run(&mut std::io::stdout())
}
