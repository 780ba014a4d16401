//! vnode on Wasmtime: WebAssembly programs on a POSIX-true filesystem, in a few lines of an embedder's code.
//!
//! # Running a program whole
//!
//! ```
//! use std::sync::Arc;
//! use vnode_core::FilesystemRef;
//! use vnode_memory::Memory;
//! use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome, stream::Capture};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(&EngineOptions::default())?;
//! let program = engine.compile(
//!     br#"(module
//!         (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
//!         (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
//!         (memory (export "memory") 1)
//!         (data (i32.const 0) "\08\00\00\00\05\00\00\00hello")
//!         (func (export "_start")
//!             (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
//!             (call $exit (i32.const 3))))"#,
//! )?;
//!
//! let files = FilesystemRef::new(Memory::builder().bounded(64 << 20).build());
//! let output = Arc::new(Capture::new(1 << 20));
//! let guest = Guest::builder(&files)
//!     .preopen("/", "/")
//!     .arg("hello")
//!     .env("LANG", "C.UTF-8")
//!     .stdout(output.clone())
//!     .build(program.module())?;
//!
//! assert!(matches!(program.run(guest)?, Outcome::Exited(3)));
//! assert_eq!(output.contents(), b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! # In your own Wasmtime
//!
//! Your engine, your linker, your store's data; vnode gives the imports.
//!
//! ```
//! use vnode_core::FilesystemRef;
//! use vnode_memory::Memory;
//! use vnode_wasmtime::{Guest, Outcome};
//! use wasmtime::{Engine, Linker, Module, Store};
//!
//! struct Host {
//!     guest: Guest,
//!     mine: u32,
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(&vnode_wasmtime::config())?;
//! let module = Module::new(
//!     &engine,
//!     r#"(module
//!         (import "mine" "count" (func $count))
//!         (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
//!         (memory (export "memory") 1)
//!         (func (export "_start") (call $count) (drop (call $yield))))"#,
//! )?;
//! let mut linker = Linker::<Host>::new(&engine);
//! vnode_wasmtime::add_to_linker_sync(&mut linker, |host| &mut host.guest)?;
//! linker.func_wrap("mine", "count", |mut caller: wasmtime::Caller<'_, Host>| caller.data_mut().mine += 1)?;
//!
//! let guest = Guest::builder(&FilesystemRef::new(Memory::new())).preopen("/", "/").build(&module)?;
//! let mut store = Store::new(&engine, Host { guest, mine: 0 });
//! vnode_wasmtime::attach(&mut store, |host| &mut host.guest); // limits, and ending it from outside
//! let instance = linker.instantiate(&mut store, &module)?;
//! let result = instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ());
//!
//! assert!(matches!(vnode_wasmtime::outcome(&store.data().guest, result), Outcome::Exited(0)));
//! assert_eq!(store.data().mine, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # On an executor
//!
//! [`add_to_linker_async`] is the same for guests whose futures an executor polls, whichever it is: nothing that a guest
//! does blocks one of its threads. [`Program::run_async`] runs one whole:
//!
//! ```
//! use vnode_core::FilesystemRef;
//! use vnode_memory::Memory;
//! use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(&EngineOptions::default())?;
//! // Sleeps for 10 ms of the monotonic clock.
//! let program = engine.compile(
//!     br#"(module
//!         (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
//!         (memory (export "memory") 1)
//!         (func (export "_start")
//!             (i32.store (i32.const 16) (i32.const 1))
//!             (i64.store (i32.const 24) (i64.const 10000000))
//!             (drop (call $poll (i32.const 0) (i32.const 48) (i32.const 1) (i32.const 96)))))"#,
//! )?;
//! let files = FilesystemRef::new(Memory::new());
//! let sleep = || Ok::<_, Box<dyn std::error::Error>>(Guest::builder(&files).build(program.module())?);
//! let (one, other) = (program.run_async(sleep()?), program.run_async(sleep()?));
//! let runtime = tokio::runtime::Builder::new_current_thread().build()?; // or pollster, smol, your own
//! let (one, other) = runtime.block_on(async { futures_join(one, other).await });
//! assert!(matches!((one?, other?), (Outcome::Exited(0), Outcome::Exited(0))));
//! # Ok(())
//! # }
//! # async fn futures_join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
//! #     let (mut a, mut b, mut x, mut y) = (Box::pin(a), Box::pin(b), None, None);
//! #     std::future::poll_fn(|cx| {
//! #         if x.is_none() && let std::task::Poll::Ready(v) = a.as_mut().poll(cx) { x = Some(v) }
//! #         if y.is_none() && let std::task::Poll::Ready(v) = b.as_mut().poll(cx) { y = Some(v) }
//! #         if x.is_some() && y.is_some() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
//! #     }).await;
//! #     (x.unwrap(), y.unwrap())
//! # }
//! ```
//!
//! # Map
//!
//! * `engine` - [`Engine`], [`Program`]: configuration, the cache of compiled modules, compiling. `kind` - what a
//!   module is, told by its imports and exports: [`Shape`], [`Unrunnable`].
//! * `guest` - [`Guest`] and its builder: mounts, preopens, streams, credentials, limits; [`Killer`].
//! * `link` - every import as a host function: [`add_to_linker_sync`], [`add_to_linker_async`]. `executor` - calls that
//!   may not block their thread; `workers` - the threads that may. `memory` - the guest's memory during a call, the
//!   only place with raw addresses.
//! * `asyncify` - unwinding a guest's stack and rewinding it; `checkpoint` - `setjmp` and `longjmp` by that, on
//!   `snapshots`.
//! * `imported` - the memory of a module that imports it. `signals` - the signals of guests.
//!   `limits` - [`Limits`]. `run` - running a guest to its [`Outcome`]. `instance` - calling a module's functions one
//!   by one: [`Instance`].
//!
//! # Invariants
//!
//! * A guest of a synchronous store is one thread of the host; one of an executor's blocks none of its threads.
//! * Guest memory is touched by the thread that runs the guest only.
//! * No reference to guest memory exists, and no address of it is kept from one call to the next.
//! * What panics in a host function ends the guest that called it, and no other.
//! * A guest that is killed ends: its code at the next epoch, its waits at once. What no epoch reaches
//!   (`memory.atomic.wait`) is left behind on its thread.
//!
//! # Locks
//!
//! The workers' queue and each moved call's result, both leaves: nothing is called or dropped under them. A host function
//! holds no lock of the kernel's when it returns to the guest, and none across an await.
mod asyncify;
mod checkpoint;
mod engine;
mod executor;
mod guest;
mod imported;
mod instance;
mod kind;
mod limits;
mod link;
mod memory;
mod programs;
mod run;
mod signals;
mod snapshots;
mod workers;

pub use engine::{Engine, EngineError, EngineOptions, Program, WASM_STACK};
pub use engine::{config, default_cache_directory, inspect};
pub use guest::{Guest, GuestBuilder, Killer, Policy, SetupError, attach, attach_async};
pub use instance::{CallError, Instance};
pub use kind::{ImportName, ImportedMemory, Known, MissingImport, Shape, Unrunnable, check, shape};
pub use limits::Limits;
pub use link::{Ended, HostPanic, add_to_linker_async, add_to_linker_sync};
pub use run::{Outcome, StartError, Trap, outcome};
pub use vnode_kernel::{Exit, Files, stream};
pub use wasmtime::{WasmParams, WasmResults};
