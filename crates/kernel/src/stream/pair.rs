//! Pairs of connected sockets (`socketpair(2)` of `AF_UNIX` and `SOCK_STREAM`, `unix(7)`), as `net/unix/af_unix.c` has
//! them.

use std::sync::Arc;

use vnode_core::fs::Access;
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, FileType, Result};

use crate::stream::channel::{Channel, Room, Taking};
use crate::stream::pages::PAGE;
use crate::stream::{Interest, Readiness, Stream};
use crate::wait::{Wait, Watch};

/// Bytes on their way in one direction, at most: what a socket of Linux gets (`net.core.wmem_default`). Linux counts its
/// own headers with them and lets the last write exceed it, so that between 180 and 236 KB fit there, and of single
/// bytes 278.
pub const SOCKET_BUFFER: usize = 212_992;

/// Ready for writing when no more than a quarter is used (`unix_writable`).
const ROOM: Room = Room { pages: SOCKET_BUFFER / PAGE, ready: SOCKET_BUFFER / PAGE / 4 };

/// Two connected sockets: what is written to one is read from the other. A socket is closed when it is dropped, by the
/// last descriptor that stands for it.
///
/// They cost the host what two pipes do, with up to 208 KiB each way.
pub fn pair() -> (Socket, Socket) {
    let (there, back) = (Arc::new(Channel::new(ROOM)), Arc::new(Channel::new(ROOM)));
    (
        Socket { incoming: Arc::clone(&back), outgoing: Arc::clone(&there) },
        Socket { incoming: there, outgoing: back },
    )
}

/// What of a socket is shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// `SHUT_RD`: what came can be read, then the end; the other one's writes are `EPIPE`.
    Read,
    /// `SHUT_WR`: writes are `EPIPE`; the other one reads what was written, then the end.
    Write,
    /// `SHUT_RDWR`.
    Both,
}

/// How bytes are received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receive {
    /// What is there (`recv(2)` without flags).
    #[default]
    Some,
    /// What is there, and it stays (`MSG_PEEK`; with `MSG_WAITALL`, too).
    Peek,
    /// As many as there is room for, unless the end, or the end of the wait, comes before (`MSG_WAITALL`).
    All,
}

/// One of a [`pair`].
pub struct Socket {
    incoming: Arc<Channel>,
    outgoing: Arc<Channel>,
}

impl Socket {
    /// Shuts one direction down, or both (`shutdown(2)`). Doing it again changes nothing, and it never fails.
    pub fn shutdown(&self, how: Shutdown) {
        if how != Shutdown::Write {
            self.incoming.close(None);
        }
        if how != Shutdown::Read {
            self.outgoing.close(None);
        }
        self.tell();
    }

    /// Receives bytes (`recv(2)`). Where there is room for none it waits for one all the same, which a read doesn't.
    ///
    /// # Errors
    /// * `ECONNRESET`, once: the other socket was closed before it had read all.
    /// * `EAGAIN`, `EINTR`: see [`Stream::read`].
    pub fn receive(&self, wait: Wait<'_>, into: &mut Sink<'_>, how: Receive) -> Result<usize> {
        let taking = match how {
            Receive::Some => Taking::Some,
            Receive::Peek => Taking::Peek,
            Receive::All => Taking::All,
        };
        self.incoming.read(wait, into, taking)
    }

    /// Whoever polls for one direction is to know of the other one's end.
    fn tell(&self) {
        self.incoming.wake_all();
        self.outgoing.wake_all();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let unread = self.incoming.abandon();
        self.outgoing.close(unread.then_some(Errno::CONNRESET));
        self.tell();
    }
}

impl Stream for Socket {
    fn kind(&self) -> FileType {
        FileType::Socket
    }

    fn access(&self) -> Access {
        Access::all()
    }

    /// As [`Socket::receive`]; but of no bytes it is 0 at once.
    fn read(&self, wait: Wait<'_>, into: &mut Sink<'_>) -> Result<usize> {
        if into.remaining() == 0 {
            return Ok(0);
        }
        self.receive(wait, into, Receive::Some)
    }

    /// Writes all, waiting for room (`send(2)`).
    ///
    /// # Errors
    /// * `EPIPE`: this one's writing was shut down, or the other one's reading, or that is closed; of no bytes, too. The
    ///   caller owes its process `SIGPIPE` then.
    /// * `EAGAIN`, `EINTR`: see [`Stream::write`]; nothing was written.
    fn write(&self, wait: Wait<'_>, from: &mut Source<'_>) -> Result<usize> {
        self.outgoing.write(wait, from)
    }

    fn readiness(&self, interest: Interest) -> Option<Readiness> {
        let (incoming, outgoing) = (self.incoming.status(), self.outgoing.status());
        // As on Linux: one direction's end is no hangup, and writing that was shut down makes a full socket no readier.
        let hangup = incoming.closed && outgoing.closed;
        let (ready, bytes) = match interest {
            Interest::Read => (incoming.bytes > 0 || incoming.closed, incoming.bytes),
            Interest::Write => (outgoing.room > 0 || hangup, outgoing.room),
        };
        ready.then_some(Readiness { bytes: bytes as u64, hangup })
    }

    fn watch(&self, interest: Interest) -> Watch<'_> {
        match interest {
            Interest::Read => self.incoming.watch_reading(),
            Interest::Write => self.outgoing.watch_writing(),
        }
    }

    fn as_socket(&self) -> Option<&Socket> {
        Some(self)
    }
}
