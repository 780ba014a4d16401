//! Clocks: what the guest reads, what deadlines are measured with, and the time of a call.

use core::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId as HostClock, clock_getres, clock_gettime};
use vnode_core::{Clock, Errno, Result, Timespec};

/// A clock (`clock_gettime(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockId {
    /// The time of day (`CLOCK_REALTIME`).
    Realtime,
    /// A clock that is never set (`CLOCK_MONOTONIC`).
    Monotonic,
    /// Processor time of the process (`CLOCK_PROCESS_CPUTIME_ID`).
    ProcessCpu,
    /// Processor time of the calling thread (`CLOCK_THREAD_CPUTIME_ID`).
    ThreadCpu,
}

/// The clocks of a process. An embedder that wants reproducible runs gives its own.
pub trait Clocks: Send + Sync {
    /// The time in nanoseconds; of the realtime clock since 1970-01-01 00:00 UTC.
    ///
    /// # Errors
    /// `EINVAL`: no such clock here. `EOVERFLOW`: the time has no number.
    fn time(&self, clock: ClockId) -> Result<u64>;

    /// The resolution in nanoseconds, at least 1.
    ///
    /// # Errors
    /// `EINVAL`: no such clock here.
    fn resolution(&self, clock: ClockId) -> Result<u64>;

    /// The time that files get: may lag a few milliseconds behind the realtime clock.
    fn coarse(&self) -> Timespec {
        self.time(ClockId::Realtime).map(Timespec::from_nanos).unwrap_or_default()
    }
}

/// The clocks of the host; processor time counts from the value's making.
#[derive(Debug)]
pub struct HostClocks {
    cpu_start: u64,
    /// The most that the processor time of a thread was. A guest on an executor runs on one thread after the other, and
    /// for the guest they are one.
    thread_cpu: AtomicU64,
}

impl HostClocks {
    /// The host's clocks.
    pub fn new() -> Self {
        HostClocks {
            cpu_start: nanos(clock_gettime(HostClock::ProcessCPUTime)).unwrap_or(0),
            thread_cpu: AtomicU64::new(0),
        }
    }
}

impl Default for HostClocks {
    fn default() -> Self {
        Self::new()
    }
}

impl Clocks for HostClocks {
    fn time(&self, clock: ClockId) -> Result<u64> {
        let time = nanos(clock_gettime(host_clock(clock)))?;
        Ok(match clock {
            ClockId::ProcessCpu => time.saturating_sub(self.cpu_start),
            ClockId::ThreadCpu => self.thread_cpu.fetch_max(time, Ordering::Relaxed).max(time),
            ClockId::Realtime | ClockId::Monotonic => time,
        })
    }

    fn resolution(&self, clock: ClockId) -> Result<u64> {
        nanos(clock_getres(host_clock(clock))).map(|nanos| nanos.max(1))
    }

    fn coarse(&self) -> Timespec {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let now = clock_gettime(HostClock::RealtimeCoarse);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let now = clock_gettime(HostClock::Realtime);
        Timespec { sec: now.tv_sec, nsec: u32::try_from(now.tv_nsec).unwrap_or(0) }
    }
}

fn host_clock(clock: ClockId) -> HostClock {
    match clock {
        ClockId::Realtime => HostClock::Realtime,
        ClockId::Monotonic => HostClock::Monotonic,
        ClockId::ProcessCpu => HostClock::ProcessCPUTime,
        ClockId::ThreadCpu => HostClock::ThreadCPUTime,
    }
}

fn nanos(time: rustix::time::Timespec) -> Result<u64> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::OVERFLOW)?;
    let nanos = u64::try_from(time.tv_nsec).map_err(|_| Errno::OVERFLOW)?;
    seconds.checked_mul(1_000_000_000).and_then(|sum| sum.checked_add(nanos)).ok_or(Errno::OVERFLOW)
}

/// [`Clocks`] as the clock of a call: read when something asks.
pub(crate) struct CallClock<'a>(pub(crate) &'a dyn Clocks);

impl Clock for CallClock<'_> {
    fn now(&self) -> Timespec {
        self.0.coarse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_clocks_run() {
        let clocks = HostClocks::new();
        for id in [ClockId::Realtime, ClockId::Monotonic, ClockId::ProcessCpu, ClockId::ThreadCpu] {
            let first = clocks.time(id).unwrap();
            let mut work = 0u64;
            while clocks.time(id).unwrap() == first {
                work = work.wrapping_add(1);
            }
            assert!(clocks.time(id).unwrap() > first, "{id:?} after {work}");
            assert!((1..=1_000_000_000).contains(&clocks.resolution(id).unwrap()));
        }
    }

    #[test]
    fn the_time_of_a_thread_goes_on_in_another() {
        let clocks = HostClocks::new();
        let worked = loop {
            let time = clocks.time(ClockId::ThreadCpu).unwrap();
            if time > 5_000_000 {
                break time;
            }
        };
        let elsewhere = std::thread::scope(|scope| {
            scope.spawn(|| clocks.time(ClockId::ThreadCpu).unwrap()).join().unwrap()
        });
        assert!(elsewhere >= worked, "{elsewhere} {worked}");
    }

    #[test]
    fn the_coarse_time_is_near_the_real_one() {
        let clocks = HostClocks::new();
        let real = clocks.time(ClockId::Realtime).unwrap();
        assert!(real.abs_diff(clocks.coarse().to_nanos()) < 1_000_000_000);
    }
}
