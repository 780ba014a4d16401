//! `wasi_unstable`.

pub use crate::preview1::{fd_filestat_get, fd_seek, path_filestat_get, poll_oneoff};
