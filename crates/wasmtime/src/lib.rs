//! vnode on Wasmtime: real programs on a POSIX-true filesystem.
//! @@
mod engine;
mod guest;
mod kind;
mod limits;
mod link;
mod memory;
mod run;

pub use engine::{
    Engine, EngineError, EngineOptions, Program, WASM_STACK, config, default_cache_directory, inspect,
};
pub use guest::{Guest, GuestBuilder, Killer, Policy, SetupError, attach};
pub use kind::{ImportName, Known, MissingImport, Shape, Unrunnable, check, shape};
pub use limits::Limits;
pub use link::{Ended, HostPanic, add_to_linker};
pub use run::{Outcome, StartError, Trap, outcome};
pub use vnode_kernel::stream;
