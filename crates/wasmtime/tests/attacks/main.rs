//! Attacks: what a hostile guest may try, a module for each class of `SECURITY.md`, a test for each attack.
//!
//! The guest is a puppet: a WebAssembly module that calls any import with any arguments, through the engine and
//! its own linear memory. What it may cost the host is measured: by the bytes that the calling thread has
//! allocated, by the filesystem's own account, and by time where nothing else can be counted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod allocated;
mod descriptors;
mod exhaustion;
mod guest_memory;
mod leaks;
mod life_cycle;
mod listing;
mod names;
mod numbers;
mod permissions;
mod puppet;
mod resolution;
mod trees;
