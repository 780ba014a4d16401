//! Calls of the host that are interrupted or fail, each in turn: below the filesystem that is served, where a decorator
//! doesn't come.
//!
//! A thread's calls are answered by another one (`supervised`), which takes no privilege; signals are sent to a thread
//! that works (`signals`).

#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

#[allow(dead_code, reason = "the other tests' too")]
#[path = "../attacks/apart.rs"]
mod apart;
mod failing;
#[allow(dead_code, reason = "the other tests' too")]
#[path = "../attacks/guest.rs"]
mod guest;
mod interrupted;
mod operations;
mod refused;
#[allow(dead_code, reason = "the other tests' too")]
#[path = "../attacks/scene.rs"]
mod scene;
mod signals;
mod supervised;
