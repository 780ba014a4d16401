//! Ends of pipes, sockets and counters whose calls wait: the kernel's, and ours by a thread and by a task.

use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, shutdown, socketpair};
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, Result};
use vnode_kernel::stream::{Counting, EventCounter, Receive, Shutdown, Stream, pair, pipe};
use vnode_kernel::{Interruption, Wait};

use crate::executor::Caller;
use crate::twin::{answer, from_buffers};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Kernel,
    Ours(Caller),
}

pub(crate) const EVERYBODY: [Who; 3] = [Who::Kernel, Who::Ours(Caller::Thread), Who::Ours(Caller::Task)];

pub(crate) enum End {
    Kernel(OwnedFd),
    Ours(Box<dyn Stream>, Caller, Interruption),
}

impl Who {
    fn ours(caller: Caller, stream: impl Stream + 'static) -> End {
        End::Ours(Box::new(stream), caller, Interruption::new())
    }

    pub(crate) fn pipe(self) -> (End, End) {
        match self {
            Who::Kernel => {
                let (reader, writer) = rustix::pipe::pipe().unwrap();
                (End::Kernel(reader), End::Kernel(writer))
            }
            Who::Ours(caller) => {
                let (reader, writer) = pipe();
                (Who::ours(caller, reader), Who::ours(caller, writer))
            }
        }
    }

    pub(crate) fn pair(self) -> (End, End) {
        match self {
            Who::Kernel => {
                let flags = SocketFlags::empty();
                let (one, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
                (End::Kernel(one), End::Kernel(other))
            }
            Who::Ours(caller) => {
                let (one, other) = pair();
                (Who::ours(caller, one), Who::ours(caller, other))
            }
        }
    }

    pub(crate) fn counter(self, semaphore: bool) -> End {
        match (self, semaphore) {
            (Who::Kernel, false) => End::Kernel(eventfd(0, EventfdFlags::empty()).unwrap()),
            (Who::Kernel, true) => End::Kernel(eventfd(0, EventfdFlags::SEMAPHORE).unwrap()),
            (Who::Ours(caller), false) => Who::ours(caller, EventCounter::new(0, Counting::Whole)),
            (Who::Ours(caller), true) => Who::ours(caller, EventCounter::new(0, Counting::Semaphore)),
        }
    }
}

impl End {
    pub(crate) fn read(&self, len: usize) -> Result<Vec<u8>> {
        let mut buffer = vec![0; len];
        let count = match self {
            End::Kernel(fd) => answer(rustix::io::read(fd, &mut buffer[..]))?,
            End::Ours(stream, caller, stop) => {
                caller.call(|| stream.read(Wait::blocking(stop), &mut Sink::from_slice(&mut buffer)))?
            }
        };
        buffer.truncate(count);
        Ok(buffer)
    }

    /// `recv(2)` with `MSG_WAITALL`.
    pub(crate) fn receive_all(&self, len: usize) -> Result<Vec<u8>> {
        let mut buffer = vec![0; len];
        let count = match self {
            End::Kernel(fd) => answer(recv(fd, &mut buffer[..], RecvFlags::WAITALL))?.0,
            End::Ours(stream, caller, stop) => {
                let socket = stream.as_socket().unwrap();
                caller.call(|| {
                    socket.receive(Wait::blocking(stop), &mut Sink::from_slice(&mut buffer), Receive::All)
                })?
            }
        };
        buffer.truncate(count);
        Ok(buffer)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize> {
        match self {
            End::Kernel(fd) => answer(rustix::io::write(fd, bytes)),
            End::Ours(stream, caller, stop) => {
                caller.call(|| stream.write(Wait::blocking(stop), &mut Source::from_slice(bytes)))
            }
        }
    }

    /// Writes several buffers.
    pub(crate) fn write_many(&self, pieces: &[&[u8]]) -> Result<usize> {
        match self {
            End::Kernel(fd) => {
                let slices: Vec<_> = pieces.iter().map(|piece| std::io::IoSlice::new(piece)).collect();
                answer(rustix::io::writev(fd, &slices))
            }
            End::Ours(stream, caller, stop) => {
                caller.call(|| from_buffers(pieces, |from| stream.write(Wait::blocking(stop), from)))
            }
        }
    }

    /// Writes until there is no room.
    pub(crate) fn fill(&self) {
        let piece = [1; 65_536];
        let mut written = Ok(0);
        while written.is_ok() {
            written = match self {
                End::Kernel(fd) => {
                    rustix::io::ioctl_fionbio(fd, true).unwrap();
                    let written = answer(rustix::io::write(fd, &piece));
                    rustix::io::ioctl_fionbio(fd, false).unwrap();
                    written
                }
                End::Ours(stream, _, stop) => {
                    stream.write(Wait::nonblocking(stop), &mut Source::from_slice(&piece))
                }
            };
        }
        assert_eq!(written, Err(Errno::AGAIN));
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        match self {
            End::Kernel(fd) => {
                let how = match how {
                    Shutdown::Read => rustix::net::Shutdown::Read,
                    Shutdown::Write => rustix::net::Shutdown::Write,
                    Shutdown::Both => rustix::net::Shutdown::Both,
                };
                shutdown(fd, how).unwrap();
            }
            End::Ours(stream, ..) => stream.as_socket().unwrap().shutdown(how),
        }
    }
}
