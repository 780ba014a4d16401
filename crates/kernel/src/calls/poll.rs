//! Waiting for several things at once (`poll(2)`, and timers).

use core::time::Duration;
use std::sync::Arc;

use smallvec::SmallVec;
use vnode_core::fs::Access;
use vnode_core::{Errno, Policy, Result, blocking};

use crate::attempt::{self, Kept};
use crate::clock::{ClockId, Clocks};
use crate::fd_table::Fd;
use crate::open_file::{OpenFile, What};
use crate::process::Process;
use crate::rights::Rights;
use crate::stream::{Interest, Readiness};
use crate::wait::{Look, Wait, Watch};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// A clock.
    Clock {
        /// Which.
        clock: ClockId,
        /// Nanoseconds from now, or a time of the clock.
        timeout: u64,
        /// Whether `timeout` is a time of the clock (`TIMER_ABSTIME`).
        absolute: bool,
    },
    /// A descriptor. What is no stream is always ready.
    Fd {
        /// Which.
        fd: Fd,
        /// Ready for what.
        interest: Interest,
    },
}

/// Something that was waited for has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollEvent {
    /// Its number in the list.
    pub index: usize,
    /// What it is ready for; `EBADF` and such, if it can't be waited for.
    pub ready: Result<Readiness>,
}

/// What came, in the order of the list.
type Events = SmallVec<[PollEvent; 8]>;

/// The longest sleep towards a time that may come sooner than the sleep ends: the time of day can be set, and
/// processor time of several threads runs faster.
const REALTIME_SLICE: Duration = Duration::from_secs(1);
const CPU_SLICE: Duration = Duration::from_millis(10);

/// One thing waited for, looked up.
enum Waited {
    /// Settled already.
    Known(Result<Readiness>),
    Deadline {
        clock: ClockId,
        at: u64,
        slice: Option<Duration>,
    },
    Stream(Arc<OpenFile>, Interest),
}

impl Waited {
    fn deadline(&self) -> Option<u64> {
        match self {
            Waited::Deadline { at, .. } => Some(*at),
            Waited::Known(_) | Waited::Stream(..) => None,
        }
    }
}

impl Process {
    /// Waits until at least one of `list` has come, and answers all that have.
    ///
    /// # Errors
    /// `EINTR`: the process is to end. `ENFILE`, `ENOMEM`: the host has no means left to sleep.
    pub fn poll(&self, list: &[Poll]) -> Result<SmallVec<[PollEvent; 8]>> {
        let kept = attempt::kept().deadlines;
        let deadline = |index: usize| kept.get(index).copied().flatten();
        let list = list.iter().enumerate();
        let waited: SmallVec<[Waited; 8]> =
            list.map(|(index, poll)| self.look_up(poll, deadline(index))).collect();
        let watches = watches(&waited);
        let come = Wait::blocking(self.interruption()).until(&watches, || look(&*self.clocks, &waited));
        if come.is_err() {
            // What is relative to the first try stays so.
            let deadlines = waited.iter().map(Waited::deadline).collect();
            attempt::keep_time(Kept { deadlines, ..Kept::default() }, self.interruption());
        }
        come
    }

    fn look_up(&self, poll: &Poll, kept: Option<u64>) -> Waited {
        let result = match *poll {
            Poll::Clock { clock, timeout, absolute } => self.deadline(clock, timeout, absolute, kept),
            Poll::Fd { fd, interest } => self.waited_fd(fd, interest),
        };
        result.unwrap_or_else(|errno| Waited::Known(Err(errno)))
    }

    fn deadline(&self, clock: ClockId, timeout: u64, absolute: bool, kept: Option<u64>) -> Result<Waited> {
        let slice = match clock {
            // A thread that sleeps has no processor time (`clock_nanosleep(2)`).
            ClockId::ThreadCpu => return Err(Errno::INVAL),
            ClockId::ProcessCpu => Some(CPU_SLICE),
            ClockId::Realtime if absolute => Some(REALTIME_SLICE),
            ClockId::Realtime | ClockId::Monotonic => None,
        };
        // What is relative to the time of day is not changed when that is set.
        let clock = if clock == ClockId::Realtime && !absolute { ClockId::Monotonic } else { clock };
        let now = self.clocks.time(clock)?;
        let at = if absolute { timeout } else { kept.unwrap_or_else(|| now.saturating_add(timeout)) };
        Ok(Waited::Deadline { clock, at, slice })
    }

    fn waited_fd(&self, fd: Fd, interest: Interest) -> Result<Waited> {
        let file = self.fds.get(fd, Rights::POLL_FD_READWRITE)?;
        let access = if interest == Interest::Read { Access::READ } else { Access::WRITE };
        match &file.what {
            // To `poll(2)` it is never ready for that; it may be hung up.
            _ if self.policy != Policy::Posix
                && file.as_stream().is_some_and(|stream| !stream.access().contains(access)) =>
            {
                Err(Errno::BADF)
            }
            _ if file.as_stream().is_some() => Ok(Waited::Stream(file, interest)),
            What::Directory { .. } | What::Device { .. } | What::Stream { .. } => {
                Ok(Waited::Known(Ok(Readiness::default())))
            }
            What::Regular { place, .. } => {
                let bytes = match interest {
                    Interest::Read => {
                        let size = self.call(|caller| place.attr(caller.cx))?.size;
                        size.saturating_sub(*blocking::lock(&file.position)?)
                    }
                    Interest::Write => 0,
                };
                Ok(Waited::Known(Ok(Readiness { bytes, hangup: false })))
            }
        }
    }
}

/// What to watch. However often a guest names a stream, it costs the host one place in a queue or one descriptor;
/// different streams are few, for a guest can't open any.
fn watches(waited: &[Waited]) -> SmallVec<[Watch<'_>; 8]> {
    let mut watches = SmallVec::<[Watch<'_>; 8]>::new();
    for waited in waited {
        if let Waited::Stream(file, interest) = waited
            && let Some(stream) = file.as_stream()
        {
            let watch = stream.watch(*interest);
            if !watches.iter().any(|known| known.is(&watch)) {
                watches.push(watch);
            }
        }
    }
    watches
}

/// What has come, or how long nothing will.
fn look(clocks: &dyn Clocks, waited: &[Waited]) -> Result<Look<Events>> {
    let mut events = Events::new();
    let mut limit: Option<Duration> = None;
    for (index, waited) in waited.iter().enumerate() {
        let ready = match waited {
            Waited::Known(ready) => *ready,
            Waited::Deadline { clock, at, slice } => {
                let now = clocks.time(*clock)?;
                if now < *at {
                    let left = Duration::from_nanos(at - now);
                    let left = slice.map_or(left, |slice| left.min(slice));
                    limit = Some(limit.map_or(left, |limit| limit.min(left)));
                    continue;
                }
                Ok(Readiness::default())
            }
            Waited::Stream(file, interest) => match file.as_stream() {
                Some(stream) => match stream.readiness(*interest) {
                    Some(ready) => Ok(ready),
                    None => continue,
                },
                None => Err(Errno::BADF),
            },
        };
        events.push(PollEvent { index, ready });
    }
    Ok(if events.is_empty() { Look::NotYet(limit) } else { Look::Found(events) })
}
