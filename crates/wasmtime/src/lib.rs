//! Wasmtime glue.
mod kind;
pub use kind::{ImportName, Known, MissingImport, Shape, Unrunnable, shape};
