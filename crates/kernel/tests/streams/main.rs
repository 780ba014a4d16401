//! Pipes, counters and pairs of sockets, beside the kernel's: each call is made on both, and the answers must be equal.
//! Where calls wait, threads and tasks do, and no wake may be lost.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod atomicity;
mod beside;
mod descriptors;
mod event_counters;
mod executor;
mod pipes;
mod sockets;
mod twin;
mod waiting;
