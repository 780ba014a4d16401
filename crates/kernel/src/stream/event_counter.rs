//! Counters of events (`eventfd(2)`, `fs/eventfd.c`).

use parking_lot::Mutex;
use vnode_core::fs::Access;
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, FileType, Result, blocking};

use crate::attempt::{self, Kept};
use crate::stream::{Interest, Readiness, Stream};
use crate::wait::{Look, Wait, WaitQueue, Watch};

/// Bytes of a number, read or written: little-endian, as guests are.
const NUMBER: usize = size_of::<u64>();
/// The highest that it counts.
const HIGHEST: u64 = u64::MAX - 1;

/// What a read of an [`EventCounter`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// The count, which is 0 then.
    Whole,
    /// One of the count (`EFD_SEMAPHORE`).
    Semaphore,
}

/// A counter that is read and written as a file.
///
/// `fstat(2)` tells no type of an eventfd (`st_mode` has no bits for it); WASI knows no type for pipes either and calls
/// both unknown, so its [`Stream::kind`] is that of a pipe. Seeking it is `ESPIPE`, as of every stream; Linux has no
/// objection, and does nothing.
pub struct EventCounter {
    count: Mutex<u64>,
    counting: Counting,
    changed: WaitQueue,
}

impl EventCounter {
    /// A counter that stands at `initial`. `eventfd(2)` takes 32 bits for it. `u64::MAX`, which can't be counted to,
    /// is one less.
    pub fn new(initial: u64, counting: Counting) -> Self {
        EventCounter { count: Mutex::new(initial.min(HIGHEST)), counting, changed: WaitQueue::new() }
    }

    fn take(&self) -> Look<u64> {
        let mut count = self.count.lock();
        if *count == 0 {
            return Look::NotYet(None);
        }
        let taken = match self.counting {
            Counting::Whole => *count,
            Counting::Semaphore => 1,
        };
        *count -= taken;
        drop(count);
        self.changed.wake_all();
        Look::Found(taken)
    }

    fn add(&self, more: u64) -> Look<()> {
        let mut count = self.count.lock();
        match count.checked_add(more).filter(|&sum| sum <= HIGHEST) {
            None => Look::NotYet(None),
            Some(sum) => {
                *count = sum;
                drop(count);
                self.changed.wake_all();
                Look::Found(())
            }
        }
    }

    /// Adds the number that comes next.
    fn write_one(&self, wait: Wait<'_>, from: &mut Source<'_>) -> Result<()> {
        // Linux writes the buffers of a `writev` one by one.
        if from.segments().next().map(|segment| segment.len()) != Some(NUMBER) {
            return Err(Errno::INVAL);
        }
        let mut number = [0; NUMBER];
        from.take(&mut number);
        match u64::from_le_bytes(number) {
            u64::MAX => Err(Errno::INVAL),
            more => wait.until(&[Watch::Queue(&self.changed)], || Ok(self.add(more))),
        }
    }
}

impl Stream for EventCounter {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn access(&self) -> Access {
        Access::all()
    }

    /// Reads 8 bytes: the count, or 1 of a semaphore; waits while it is 0.
    ///
    /// # Errors
    /// * `EINVAL`: room for less.
    /// * `EAGAIN`, `EINTR`: see [`Stream::read`].
    fn read(&self, wait: Wait<'_>, into: &mut Sink<'_>) -> Result<usize> {
        if into.remaining() < NUMBER {
            return Err(Errno::INVAL);
        }
        let taken = wait.until(&[Watch::Queue(&self.changed)], || Ok(self.take()))?;
        Ok(into.put(&taken.to_le_bytes()))
    }

    /// Adds a number of 8 bytes; waits while the sum is higher than `u64::MAX - 1`. Several buffers are several numbers.
    ///
    /// # Errors
    /// * `EINVAL`: a buffer isn't 8 bytes long, or the number is `u64::MAX`; nothing was added.
    /// * `EAGAIN`, `EINTR`: see [`Stream::write`]; nothing was added.
    fn write(&self, wait: Wait<'_>, from: &mut Source<'_>) -> Result<usize> {
        let mut done = attempt::kept().written;
        from.advance(done);
        loop {
            match self.write_one(wait, from) {
                Ok(()) => done += NUMBER,
                Err(error) if blocking::was_met() => {
                    attempt::keep(Kept { written: done, ..Kept::default() });
                    return Err(error);
                }
                Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
            }
            if from.remaining() == 0 {
                return Ok(done);
            }
        }
    }

    fn readiness(&self, interest: Interest) -> Option<Readiness> {
        let count = *self.count.lock();
        let ready = match interest {
            Interest::Read => count > 0,
            Interest::Write => count < HIGHEST,
        };
        ready.then_some(Readiness { bytes: NUMBER as u64, hangup: false })
    }

    fn watch(&self, _: Interest) -> Watch<'_> {
        Watch::Queue(&self.changed)
    }
}
