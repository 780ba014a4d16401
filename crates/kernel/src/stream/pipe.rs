//! Pipes (`pipe(2)`, `pipe(7)`), as `fs/pipe.c` has them.

use std::sync::Arc;

use vnode_core::fs::Access;
use vnode_core::io::{Sink, Source};
use vnode_core::{FileType, Result};

use crate::stream::channel::{Channel, Room, Taking};
use crate::stream::pages::PAGE;
use crate::stream::{Interest, Readiness, Stream};
use crate::wait::{Wait, Watch};

/// Bytes that a pipe holds at most.
pub const PIPE_CAPACITY: usize = 64 * 1024;
/// Bytes up to which a write to a pipe is atomic: it goes in whole, and nothing of others comes between.
pub const PIPE_BUF: usize = PAGE;

/// Sixteen pages; ready for writing while one of them is free (`pipe_full`).
const ROOM: Room = Room { pages: PIPE_CAPACITY / PAGE, ready: PIPE_CAPACITY / PAGE - 1 };

/// A new pipe. An end is closed when it is dropped: by the last descriptor that stands for it.
///
/// It costs the host some hundred bytes until something is written, no descriptor and no thread; 64 KiB when it is full,
/// and two pages at most when it is empty again.
pub fn pipe() -> (PipeReader, PipeWriter) {
    let channel = Arc::new(Channel::new(ROOM));
    (PipeReader { channel: Arc::clone(&channel) }, PipeWriter { channel })
}

/// The end of a pipe that is read from.
pub struct PipeReader {
    channel: Arc<Channel>,
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.channel.abandon();
    }
}

impl Stream for PipeReader {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn access(&self) -> Access {
        Access::READ
    }

    /// Reads what is there, waiting for a byte or for the last writer to go: then 0. Of no bytes it is 0 at once.
    ///
    /// # Errors
    /// `EAGAIN`, `EINTR`: see [`Stream::read`].
    fn read(&self, wait: Wait<'_>, into: &mut Sink<'_>) -> Result<usize> {
        if into.remaining() == 0 {
            return Ok(0);
        }
        self.channel.read(wait, into, Taking::Some)
    }

    fn readiness(&self, interest: Interest) -> Option<Readiness> {
        let status = self.channel.status();
        // Of a hangup everybody is told.
        let ready = interest == Interest::Read && status.bytes > 0 || status.closed;
        ready.then_some(Readiness { bytes: status.bytes as u64, hangup: status.closed })
    }

    fn watch(&self, _: Interest) -> Watch<'_> {
        self.channel.watch_reading()
    }
}

/// The end of a pipe that is written to.
pub struct PipeWriter {
    channel: Arc<Channel>,
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.channel.close(None);
    }
}

impl Stream for PipeWriter {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn access(&self) -> Access {
        Access::WRITE
    }

    /// Writes all, waiting for room. Up to [`PIPE_BUF`] bytes go in at once; of more, a call that may not wait, or whose
    /// wait is ended, answers how many went in. No bytes are 0 at once, whoever reads.
    ///
    /// # Errors
    /// * `EPIPE`: nobody reads any more. The caller owes its process `SIGPIPE` then. Linux raises it also if the last
    ///   reader went away after something was written, which is no error.
    /// * `EAGAIN`, `EINTR`: see [`Stream::write`]; nothing was written.
    fn write(&self, wait: Wait<'_>, from: &mut Source<'_>) -> Result<usize> {
        if from.remaining() == 0 {
            return Ok(0);
        }
        self.channel.write(wait, from)
    }

    fn readiness(&self, interest: Interest) -> Option<Readiness> {
        let status = self.channel.status();
        let ready = interest == Interest::Write && status.room > 0 || status.closed;
        let bytes = if status.closed { 0 } else { status.room as u64 };
        ready.then_some(Readiness { bytes, hangup: status.closed })
    }

    fn watch(&self, _: Interest) -> Watch<'_> {
        self.channel.watch_writing()
    }
}
