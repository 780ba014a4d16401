//! One direction of a pipe or of a pair of sockets: bytes, who waits for them, and whether it is closed.
//!
//! *Who is woken.* A call that waits enlists in `readers` or `writers`; of those, one thread is woken, for one can use
//! what came. It wakes the next when it is done and has left something: also when its wait was ended meanwhile.
//! Those who poll use nothing up, and are all woken. Somebody is woken only when the channel becomes ready, for nobody
//! falls asleep while it is. All are when it is closed.

use parking_lot::Mutex;
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, Result, blocking};

use crate::attempt::{self, Kept};
use crate::stream::pages::{PAGE, Pages};
use crate::wait::{Look, Wait, WaitQueue, Watch};

/// How much of a channel's room may be used for it to count as ready for writing.
#[derive(Clone, Copy)]
pub(super) struct Room {
    /// Pages that it holds.
    pub(super) pages: usize,
    /// Pages that may be used for it to be ready.
    pub(super) ready: usize,
}

/// How a call takes bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taking {
    /// What is there.
    Some,
    /// What is there, and leaves it.
    Peek,
    /// As much as was asked for (`MSG_WAITALL`).
    All,
}

/// What a channel is ready for.
#[derive(Clone, Copy)]
pub(super) struct Status {
    /// Bytes that can be read.
    pub(super) bytes: usize,
    /// Bytes that can be written, at least; 0 while it isn't ready for that.
    pub(super) room: usize,
    /// Nobody writes any more, or nobody reads.
    pub(super) closed: bool,
}

pub(super) struct Channel {
    state: Mutex<State>,
    ready: usize,
    readers: WaitQueue,
    writers: WaitQueue,
    read_polls: WaitQueue,
    write_polls: WaitQueue,
}

struct State {
    pages: Pages,
    closed: bool,
    /// Told to the next reader who finds no bytes (`sk_err`).
    fault: Option<Errno>,
}

impl State {
    /// What a reader comes to who has taken `done` bytes and finds no more.
    fn at_the_end(&mut self, done: usize) -> Result<Look<usize>> {
        match self.fault.take() {
            Some(errno) if done == 0 => Err(errno),
            None if !self.closed => Ok(Look::NotYet(None)),
            _ => Ok(Look::Found(done)),
        }
    }
}

impl Channel {
    pub(super) fn new(room: Room) -> Self {
        Channel {
            state: Mutex::new(State { pages: Pages::new(room.pages), closed: false, fault: None }),
            ready: room.ready,
            readers: WaitQueue::new(),
            writers: WaitQueue::new(),
            read_polls: WaitQueue::new(),
            write_polls: WaitQueue::new(),
        }
    }

    /// Takes bytes out, waiting for one or for all of them; 0 when it is closed and empty.
    pub(super) fn read(&self, wait: Wait<'_>, into: &mut Sink<'_>, taking: Taking) -> Result<usize> {
        // Only who takes all has got something when he waits.
        let mut done = if taking == Taking::All { attempt::kept().written } else { 0 };
        into.advance(done);
        let mut looks = 0;
        let read = wait.until(&[Watch::Queue(&self.readers)], || {
            looks += 1;
            self.take(into, taking, &mut done)
        });
        if looks > 1 || read.is_err() {
            self.pass_on(&self.readers, |state| !state.pages.is_empty());
        }
        so_far(read, done)
    }

    fn take(&self, into: &mut Sink<'_>, taking: Taking, done: &mut usize) -> Result<Look<usize>> {
        let mut state = self.state.lock();
        let some = !state.pages.is_empty();
        if some && taking == Taking::Peek {
            return Ok(Look::Found(state.pages.peek(into)));
        }
        let was_ready = state.pages.used() <= self.ready;
        *done += state.pages.pull(into);
        let becomes_ready = !was_ready && state.pages.used() <= self.ready;
        let enough = some && (taking == Taking::Some || into.remaining() == 0);
        let look = if enough { Ok(Look::Found(*done)) } else { state.at_the_end(*done) };
        drop(state);
        if becomes_ready {
            self.writers.wake_one();
            self.write_polls.wake_all();
        }
        look
    }

    /// Puts all in, waiting for room as long as there is none; what is at most a page goes in whole.
    ///
    /// # Errors
    /// `EPIPE`: it is closed, and nothing went in. `EAGAIN`, `EINTR`: as [`Wait::until`], if nothing went in.
    pub(super) fn write(&self, wait: Wait<'_>, from: &mut Source<'_>) -> Result<usize> {
        let mut done = attempt::kept().written;
        from.advance(done);
        let mut looks = 0;
        let written = wait.until(&[Watch::Queue(&self.writers)], || {
            looks += 1;
            self.put(from, &mut done)
        });
        if looks > 1 || written.is_err() {
            self.pass_on(&self.writers, |state| state.pages.free() > 0);
        }
        so_far(written, done)
    }

    fn put(&self, from: &mut Source<'_>, done: &mut usize) -> Result<Look<usize>> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Errno::PIPE);
        }
        let was_empty = state.pages.is_empty();
        if *done == 0 {
            *done += state.pages.merge(from);
        }
        *done += state.pages.push(from);
        let comes = was_empty && !state.pages.is_empty();
        drop(state);
        if comes {
            self.readers.wake_one();
            self.read_polls.wake_all();
        }
        Ok(if from.remaining() == 0 { Look::Found(*done) } else { Look::NotYet(None) })
    }

    /// Wakes the next in a queue whose wake one has used, or didn't live to use.
    fn pass_on(&self, queue: &WaitQueue, is_ready: impl FnOnce(&State) -> bool) {
        let ready = is_ready(&self.state.lock());
        if ready {
            queue.wake_one();
        }
    }

    /// Lets nothing in any more; what is in can still be read, and then the end. `fault` is told once instead of it.
    pub(super) fn close(&self, fault: Option<Errno>) {
        let mut state = self.state.lock();
        state.closed = true;
        state.fault = state.fault.or(fault);
        drop(state);
        self.wake_all();
    }

    /// The same when nobody will read: what is in is dropped. Whether that was something.
    pub(super) fn abandon(&self) -> bool {
        let mut state = self.state.lock();
        let unread = !state.pages.is_empty();
        state.closed = true;
        state.pages.clear();
        drop(state);
        self.wake_all();
        unread
    }

    /// Wakes all who wait for anything here.
    pub(super) fn wake_all(&self) {
        for queue in [&self.readers, &self.writers, &self.read_polls, &self.write_polls] {
            queue.wake_all();
        }
    }

    pub(super) fn status(&self) -> Status {
        let state = self.state.lock();
        let ready = state.pages.used() <= self.ready;
        let room = if ready { state.pages.free() * PAGE } else { 0 };
        Status { bytes: state.pages.bytes(), room, closed: state.closed }
    }

    /// What somebody waits for who polls until there is something to be read.
    pub(super) fn watch_reading(&self) -> Watch<'_> {
        Watch::Queue(&self.read_polls)
    }

    /// What somebody waits for who polls until there is room.
    pub(super) fn watch_writing(&self) -> Watch<'_> {
        Watch::Queue(&self.write_polls)
    }
}

/// What a call comes to that may have moved something before it failed: then it didn't fail. One that is made again
/// goes on from there.
fn so_far(result: Result<usize>, done: usize) -> Result<usize> {
    match result {
        Err(error) if blocking::was_met() => {
            attempt::keep(Kept { written: done, ..Kept::default() });
            Err(error)
        }
        Err(_) if done > 0 => Ok(done),
        result => result,
    }
}
