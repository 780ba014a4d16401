//! The calls of a process that make pipes, pairs of sockets and counters, and those that only sockets have.

use std::sync::Arc;

use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, Result};

use crate::fd_table::{Fd, FdEntry};
use crate::open_file::OpenFile;
use crate::process::Process;
use crate::rights::{FdFlags, Rights};
use crate::stream::{Counting, EventCounter, Receive, Shutdown, Socket, Stream, pair, pipe};
use crate::wait::Wait;

/// How descriptors of something new are opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewStream {
    /// The status flags ([`FdFlags::NONBLOCK`]).
    pub status: FdFlags,
    /// Whether another program's execution closes them (`O_CLOEXEC`).
    pub close_on_exec: bool,
}

impl NewStream {
    /// A descriptor of a stream with this number (`st_ino`).
    fn entry(self, stream: impl Stream + 'static, ino: u64) -> FdEntry {
        let rights = Rights::of(stream.kind(), stream.access());
        let file = OpenFile::stream(Arc::new(stream), ino);
        file.set_flags(self.status);
        FdEntry::new(Arc::new(file), rights, Rights::empty()).with_close_on_exec(self.close_on_exec)
    }
}

impl Process {
    /// Makes a pipe: the end to be read, and the end to be written (`pipe2(2)`). They get the two lowest free numbers.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn pipe(&self, how: NewStream) -> Result<(Fd, Fd)> {
        let (reading, writing) = (self.fds.reserve()?, self.fds.reserve()?);
        let (reader, writer) = pipe();
        let ino = self.namespace.next_number();
        Ok((reading.install(how.entry(reader, ino)), writing.install(how.entry(writer, ino))))
    }

    /// Makes a pair of connected sockets (`socketpair(2)` of `AF_UNIX` and `SOCK_STREAM`). They get the two lowest free
    /// numbers.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn socket_pair(&self, how: NewStream) -> Result<(Fd, Fd)> {
        let (first, second) = (self.fds.reserve()?, self.fds.reserve()?);
        let (one, other) = pair();
        let (one, other) = (self.numbered(how, one), self.numbered(how, other));
        Ok((first.install(one), second.install(other)))
    }

    /// Makes a counter of events (`eventfd(2)`).
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn event_counter(&self, initial: u64, counting: Counting, how: NewStream) -> Result<Fd> {
        Ok(self.fds.reserve()?.install(self.numbered(how, EventCounter::new(initial, counting))))
    }

    /// A descriptor of a stream with a number of its own.
    fn numbered(&self, how: NewStream, stream: impl Stream + 'static) -> FdEntry {
        how.entry(stream, self.namespace.next_number())
    }

    /// Whether it is a socket, for calls that ask that before anything else.
    ///
    /// # Errors
    /// `EBADF`. `ENOTSOCK`.
    pub fn check_socket(&self, fd: Fd) -> Result<()> {
        self.on_socket(fd, Rights::empty(), |_, _| Ok(()))
    }

    /// Shuts one direction of a socket down, or both (`shutdown(2)`).
    ///
    /// # Errors
    /// `EBADF`. `ENOTSOCK`.
    pub fn shutdown(&self, fd: Fd, how: Shutdown) -> Result<()> {
        self.on_socket(fd, Rights::SOCK_SHUTDOWN, |_, socket| {
            socket.shutdown(how);
            Ok(())
        })
    }

    /// Receives (`recvmsg(2)`), without waiting if `at_once` (`MSG_DONTWAIT`) or the socket's flags say so.
    ///
    /// # Errors
    /// `EBADF`. `ENOTSOCK`. Else as [`Socket::receive`].
    pub fn receive(&self, fd: Fd, how: Receive, at_once: bool, into: &mut Sink<'_>) -> Result<usize> {
        self.on_socket(fd, Rights::FD_READ, |file, socket| {
            socket.receive(self.socket_wait(file, at_once), into, how)
        })
    }

    /// Sends (`sendmsg(2)`), without waiting if `at_once` (`MSG_DONTWAIT`) or the socket's flags say so.
    ///
    /// # Errors
    /// `EBADF`. `ENOTSOCK`. `EPIPE`, `EAGAIN`, `EINTR`: as a write.
    pub fn send(&self, fd: Fd, at_once: bool, from: &mut Source<'_>) -> Result<usize> {
        let sent = self.on_socket(fd, Rights::FD_WRITE, |file, socket| {
            socket.write(self.socket_wait(file, at_once), from)
        });
        if sent == Err(Errno::PIPE) {
            self.broken_pipe();
        }
        sent
    }

    /// Does something with a socket. That it is one is asked before the rights.
    fn on_socket<T>(
        &self,
        fd: Fd,
        need: Rights,
        work: impl FnOnce(&OpenFile, &Socket) -> Result<T>,
    ) -> Result<T> {
        let (file, entry) = self.fds.get_entry(fd, Rights::empty())?;
        let socket = file.as_stream().and_then(|stream| stream.as_socket()).ok_or(Errno::NOTSOCK)?;
        entry.file(need, self.fds.lacking())?;
        work(&file, socket)
    }

    fn socket_wait(&self, file: &OpenFile, at_once: bool) -> Wait<'_> {
        match at_once || file.flags().contains(FdFlags::NONBLOCK) {
            true => Wait::nonblocking(self.interruption()),
            false => Wait::blocking(self.interruption()),
        }
    }
}
