//! The calls of preview1 and unstable, made as a guest makes them, on a memory filesystem.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod children;
mod environment;
mod guest;
mod hostile;
mod io;
mod listing;
mod observing;
mod paths;
mod polling;
mod rights;
mod streams;
