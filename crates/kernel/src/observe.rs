//! Watching a process's calls: the trace and the counts of the command.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::Result;

use crate::exit::Exit;

/// A call of a guest that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The process.
    pub pid: u32,
    /// The call's name, `path_open` say.
    pub call: &'static str,
    /// The arguments as `strace(1)` shows them, descriptors with their paths; empty if the observer wants no text.
    pub args: &'a str,
    /// What the call answered: a descriptor, a count, an offset, or 0.
    pub result: Result<u64>,
    /// Bytes that it read or wrote.
    pub bytes: u64,
    /// How long it took.
    pub time: Duration,
}

/// A line of `strace -T`: `fd_read(3</a>, 1024) = 5 <0.000012345>`, or `= -1 ENOENT (no such file or directory)`.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.call, self.args)?;
        match self.result {
            Ok(value) => write!(f, " = {value}")?,
            Err(errno) => write!(f, " = -1 {} ({})", errno.name(), errno.text())?,
        }
        write!(f, " <{}.{:09}>", self.time.as_secs(), self.time.subsec_nanos())
    }
}

/// Is told of every call that a process makes. Without one, a call pays a branch for it.
pub trait Observer: Send + Sync {
    /// Whether the arguments are to be put into text.
    fn wants_text(&self) -> bool;

    /// A process begins a call; its arguments are as in [`Event::args`]. Called on the thread that makes the call, with no lock
    /// held. Of a call that is tried on an executor's thread it is told when it is done; a read or write that goes by
    /// pieces is a call for each.
    fn calling(&self, _pid: u32, _call: &'static str, _args: &str) {}

    /// A call has ended. Called on the thread that makes the call, with no lock held.
    fn called(&self, event: &Event<'_>);

    /// A process has ended; it makes no more calls.
    fn ended(&self, _pid: u32, _exit: Exit) {}
}

/// Several observers, told in order.
impl Observer for Vec<Arc<dyn Observer>> {
    fn wants_text(&self) -> bool {
        self.iter().any(|observer| observer.wants_text())
    }

    fn calling(&self, pid: u32, call: &'static str, args: &str) {
        self.iter().for_each(|observer| observer.calling(pid, call, args));
    }

    fn called(&self, event: &Event<'_>) {
        self.iter().for_each(|observer| observer.called(event));
    }

    fn ended(&self, pid: u32, exit: Exit) {
        self.iter().for_each(|observer| observer.ended(pid, exit));
    }
}

/// What calls of one name came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCount {
    /// Calls, failed ones too.
    pub calls: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Bytes read or written.
    pub bytes: u64,
    /// Time spent.
    pub time: Duration,
}

/// An observer that counts.
#[derive(Debug, Default)]
pub struct Stats {
    counts: Mutex<BTreeMap<&'static str, CallCount>>,
}

impl Stats {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counts by name, in the names' order.
    pub fn counts(&self) -> Vec<(&'static str, CallCount)> {
        self.counts.lock().iter().map(|(&name, &count)| (name, count)).collect()
    }
}

impl Observer for Stats {
    fn wants_text(&self) -> bool {
        false
    }

    fn called(&self, event: &Event<'_>) {
        let mut counts = self.counts.lock();
        let count = counts.entry(event.call).or_default();
        count.calls += 1;
        count.errors += u64::from(event.result.is_err());
        count.bytes = count.bytes.saturating_add(event.bytes);
        count.time = count.time.saturating_add(event.time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnode_core::Errno;

    #[test]
    fn lines_are_those_of_strace() {
        let event = Event {
            pid: 1,
            call: "fd_read",
            args: "3</a>, 10",
            result: Ok(5),
            bytes: 5,
            time: Duration::from_nanos(12_345),
        };
        assert_eq!(event.to_string(), "fd_read(3</a>, 10) = 5 <0.000012345>");
        let failed = Event { result: Err(Errno::NOENT), time: Duration::from_secs(2), ..event };
        assert_eq!(
            failed.to_string(),
            "fd_read(3</a>, 10) = -1 ENOENT (no such file or directory) <2.000000000>"
        );
        let stats = Arc::new(Stats::new());
        let both: Vec<Arc<dyn Observer>> = vec![stats.clone(), stats.clone()];
        both.called(&event);
        both.called(&failed);
        let count = CallCount { calls: 4, errors: 2, bytes: 20, time: Duration::new(4, 24_690) };
        assert_eq!(stats.counts(), [("fd_read", count)]);
        assert!(!both.wants_text());
    }
}
