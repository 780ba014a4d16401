//! What the fuzzers of vnode feed.
//!
//! Each target is a function of some bytes that panics if vnode is wrong. `fuzz/` hands it bytes that libFuzzer
//! makes up (`cargo xtask fuzz`); the tests of this crate hand it the seeds and every input that once found
//! something, so that `cargo test` replays them.
//!
//! # Map
//!
//! * [`paths`]: path text under every policy; [`sequences`]: operations. Both decode [`op`]s from [`input`] and
//!   carry them out on vnode ([`world`]) and on the [`model`], a filesystem as simple as can be, whose
//!   [resolver](model::resolve) is the definition of path resolution written down as a recursion.
//! * [`preview1`]: every function of both modules with any numbers, over a small guest memory.
//! * `tar` and `zip`: archives, which `archive` looks at as they are mounted.
//!
//! # Invariants
//!
//! * A target's outcome is decided by its bytes alone: no clock, no randomness, no threads.
//! * The model shares nothing with vnode but the types of its answers.

#![allow(clippy::panic, clippy::expect_used, reason = "a panic is how a target says that vnode is wrong")]

mod archive;
pub mod input;
pub mod model;
pub mod op;
pub mod paths;
pub mod preview1;
pub mod sequences;
pub mod tar;
pub mod world;
pub mod zip;

/// A target.
pub type Target = fn(&[u8]);

/// The targets by the names of their files in `fuzz/fuzz_targets`.
pub const TARGETS: &[(&str, Target)] = &[
    ("paths", paths::run),
    ("preview1", preview1::run),
    ("sequences", sequences::run),
    ("tar", tar::run),
    ("zip", zip::run),
];
