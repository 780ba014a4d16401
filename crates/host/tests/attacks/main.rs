//! Attacks on a directory of the host that is served: by a guest, and by whoever changes the directory meanwhile.
//!
//! Each test goes both ways that names are found, by runs and one by one. What takes a process of its own - limits,
//! mounts, a kernel without `openat2(2)` - runs the test again in one (`apart`). What takes root says so and is
//! skipped without.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

mod apart;
mod descriptors;
mod dots;
mod escapes;
mod guest;
mod hostile_names;
mod limits;
mod listing;
mod moved;
mod numbers;
mod old_kernels;
mod owners;
mod quotas;
mod read_only;
mod scene;
mod special;
mod submounts;
