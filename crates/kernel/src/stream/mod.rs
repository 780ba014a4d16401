//! Streams: what has no offset - terminals, pipes, and what an embedder puts at their place.
//!
//! [`HostStream`] is a descriptor of the host, [`Null`] and [`Bytes`] never wait, [`Capture`] keeps output in memory,
//! [`Reader`] and [`Writer`] take any `Read` or `Write`.
//!
//! What a guest makes itself costs the host neither descriptors nor threads: a [`pipe`], a [`pair`] of sockets, an
//! [`EventCounter`]. The first two are channels (`channel.rs`: who waits, who is woken, what is closed) of pages
//! (`pages.rs`: what fits); `calls.rs` has the calls of a process that make them. No lock is held but a channel's own, and while one is nobody is woken.

mod adapter;
mod calls;
mod capture;
mod channel;
mod event_counter;
mod fixed;
mod host;
mod pages;
mod pair;
mod pipe;
mod terminal;

pub use adapter::{Reader, Writer};
pub use calls::NewStream;
pub use capture::Capture;
pub use event_counter::{Counting, EventCounter};
pub use fixed::{Bytes, Null};
pub use host::HostStream;
pub use pair::{Receive, SOCKET_BUFFER, Shutdown, Socket, pair};
pub use pipe::{PIPE_BUF, PIPE_CAPACITY, PipeReader, PipeWriter, pipe};
pub use terminal::{Terminal, TerminalMode, TerminalState};

use vnode_core::fs::Access;
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, FileType, Result};

use crate::wait::{Wait, Watch};

/// What somebody waits to do with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Read: bytes are there, or the end is reached.
    Read,
    /// Write: there is room, or nobody reads any more.
    Write,
}

/// What a stream is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Bytes that can be read or written without waiting, at least; 0 if not known.
    pub bytes: u64,
    /// The other end is gone.
    pub hangup: bool,
}

/// A stream of bytes without offset.
///
/// A call that has to wait does so by [`Wait::until`], before it has any effect. One that may block the thread otherwise
/// asks [`blocking::check`](vnode_core::blocking::check) first.
pub trait Stream: Send + Sync {
    /// [`FileType::CharDevice`] for a terminal, [`FileType::Socket`] for a socket, else [`FileType::Fifo`].
    fn kind(&self) -> FileType;

    /// What it can be used for.
    fn access(&self) -> Access;

    /// Reads what is there, waiting for at least one byte; 0 at the end.
    ///
    /// # Errors
    /// * `EBADF`: not for reading.
    /// * `EAGAIN`: nothing is there, and `wait` forbids waiting. `EINTR`: the process is to end.
    /// * `EIO`.
    fn read(&self, wait: Wait<'_>, into: &mut Sink<'_>) -> Result<usize> {
        let _ = (wait, into);
        Err(Errno::BADF)
    }

    /// Writes all, or as much as there is room for if `wait` forbids waiting.
    ///
    /// # Errors
    /// * `EBADF`: not for writing.
    /// * `EPIPE`: nobody reads any more.
    /// * `EAGAIN`: no room, and `wait` forbids waiting. `EINTR`: the process is to end.
    /// * `EIO`, `ENOSPC`.
    fn write(&self, wait: Wait<'_>, from: &mut Source<'_>) -> Result<usize> {
        let _ = (wait, from);
        Err(Errno::BADF)
    }

    /// What it is ready for, or nothing.
    fn readiness(&self, interest: Interest) -> Option<Readiness>;

    /// What to wait for while it is not ready.
    fn watch(&self, interest: Interest) -> Watch<'_>;

    /// The socket that it is: what isn't one is `ENOTSOCK` to `shutdown(2)`, `send(2)` and `recv(2)`.
    fn as_socket(&self) -> Option<&Socket> {
        None
    }

    /// The terminal that it is.
    fn as_terminal(&self) -> Option<&dyn Terminal> {
        None
    }
}
