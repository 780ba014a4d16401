//! `wasi_unstable` (snapshot 0): preview1 but for the functions here, which have other layouts and numbers.

use vnode_kernel::Process;

use crate::decode;
use crate::layout;
use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::preview1::{self, Layout};

/// [`preview1::fd_filestat_get`] with 32 bits for the links, 56 bytes in all.
pub fn fd_filestat_get(process: &Process, memory: &GuestMemory<'_>, fd: u32, stat: u32) -> Outcome {
    preview1::fd_filestat_get_as(process, memory, fd, stat, layout::filestat_unstable)
}

/// [`preview1::fd_seek`] with the numbers 0 for the position, 1 for the end, 2 for the start.
pub fn fd_seek(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    offset: i64,
    whence: u32,
    newoffset: u32,
) -> Outcome {
    preview1::fd_seek_as(process, memory, fd, offset, decode::whence_unstable(whence), newoffset)
}

/// [`preview1::path_filestat_get`] with 32 bits for the links, 56 bytes in all.
pub fn path_filestat_get(
    process: &Process,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    stat: u32,
) -> Outcome {
    preview1::path_filestat_get_as(
        process,
        memory,
        fd,
        flags,
        path,
        path_len,
        stat,
        layout::filestat_unstable,
    )
}

/// [`preview1::poll_oneoff`] with subscriptions of 56 bytes: a clock's has an `identifier` before the clock.
pub fn poll_oneoff(
    process: &Process,
    memory: &GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    nevents: u32,
) -> Outcome {
    preview1::poll_oneoff_as(process, memory, subscriptions, events, count, nevents, &Layout::UNSTABLE)
}
