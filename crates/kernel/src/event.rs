//! What wakes a thread that polls: a descriptor that can be read as soon as somebody asked for that.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use vnode_core::{Errno, Result};

/// Readable from [`Event::signal`] on until [`Event::clear`].
#[cfg(target_os = "linux")]
pub(crate) struct Event(OwnedFd);

#[cfg(target_os = "linux")]
impl Event {
    pub(crate) fn new() -> Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Event).map_err(|_| Errno::NFILE)
    }

    pub(crate) fn signal(&self) {
        // Fails only if the counter is full, and then it can be read already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    pub(crate) fn clear(&self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.0, &mut count);
    }
}

#[cfg(target_os = "linux")]
impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Readable from [`Event::signal`] on until [`Event::clear`]: a pipe, where there is no eventfd.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Event {
    reader: OwnedFd,
    writer: OwnedFd,
}

#[cfg(not(target_os = "linux"))]
impl Event {
    pub(crate) fn new() -> Result<Self> {
        use rustix::fs::{OFlags, fcntl_setfl};
        use rustix::io::{FdFlags, fcntl_setfd};
        let pipe = || {
            let (reader, writer) = rustix::pipe::pipe()?;
            for end in [&reader, &writer] {
                fcntl_setfd(end, FdFlags::CLOEXEC)?;
                fcntl_setfl(end, OFlags::NONBLOCK)?;
            }
            Ok::<_, rustix::io::Errno>(Event { reader, writer })
        };
        pipe().map_err(|_| Errno::NFILE)
    }

    pub(crate) fn signal(&self) {
        // Fails only if the pipe is full, and then it can be read already.
        let _ = rustix::io::retry_on_intr(|| rustix::io::write(&self.writer, &[0]));
    }

    pub(crate) fn clear(&self) {
        let mut bytes = [0u8; 512];
        while rustix::io::read(&self.reader, &mut bytes).is_ok_and(|count| count == bytes.len()) {}
    }
}

#[cfg(not(target_os = "linux"))]
impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::host_ready;
    use rustix::event::PollFlags;

    #[test]
    fn many_signals_are_one_and_are_cleared() {
        let event = Event::new().unwrap();
        assert_eq!(host_ready(event.as_fd(), PollFlags::IN), None);
        for _ in 0..2000 {
            event.signal();
        }
        assert_eq!(host_ready(event.as_fd(), PollFlags::IN), Some(PollFlags::IN));
        event.clear();
        assert_eq!(host_ready(event.as_fd(), PollFlags::IN), None);
    }
}
