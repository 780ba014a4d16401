//! `wasix_32v1`: what it has beyond preview 1, one function for each import, named as it.
//!
//! As those of [`preview1`](crate::preview1), of which many are served here under the same names ([`WASIX_NAMES`]). What is
//! not there yet is in [`absent`].

pub mod absent;
mod children;
mod descriptors;
pub mod engine;
mod execute;
mod futex;
mod process;
mod program;
mod streams;
mod table;
mod tty;

pub use children::{proc_join, proc_parent, proc_signal, proc_spawn, proc_spawn2, proc_spawn3};
pub use descriptors::{
    fd_dup, fd_dup2, fd_fdflags_get, fd_fdflags_set, path_open2, sock_accept, sock_accept_v2,
};
pub use execute::{proc_exec, proc_exec2, proc_exec3, proc_exec4};
pub use futex::{futex_wait, futex_wake, futex_wake_all};
pub use process::{
    callback_signal, chdir, clock_time_set, dl_invalid_handle, getcwd, proc_exit2, proc_id,
    proc_raise_interval, proc_signals_get, proc_signals_sizes_get, thread_exit, thread_id,
    thread_parallelism, thread_signal, thread_sleep,
};
pub use streams::{fd_event, fd_pipe, sock_pair};
pub use table::WASIX_NAMES;
pub use tty::{tty_get, tty_set};
