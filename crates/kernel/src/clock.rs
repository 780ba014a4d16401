//! Clocks: what the guest reads, what deadlines are measured with, and the time of a call.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

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

/// The latest time that a clock is set to: 30 years before its nanoseconds have no number in 63 bits
/// (`TIME_SETTOD_SEC_MAX` of Linux).
const LATEST: u64 = (i64::MAX as u64 / SECOND - 30 * 365 * 24 * 3600) * SECOND;
const SECOND: u64 = 1_000_000_000;

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

    /// Sets the realtime clock (`clock_settime(2)`), for all who have these clocks.
    ///
    /// # Errors
    /// * `EINVAL`: a time at which it would say that the monotonic clock, which starts with the system, started before
    ///   1970, or one too far off.
    /// * `EPERM`: it can't be set, as here unless told otherwise.
    fn set_realtime(&self, time: u64) -> Result<()> {
        let _ = time;
        Err(Errno::PERM)
    }

    /// The time that files get: may lag a few milliseconds behind the realtime clock.
    fn coarse(&self) -> Timespec {
        self.time(ClockId::Realtime).map(Timespec::from_nanos).unwrap_or_default()
    }
}

/// The clocks of the host; processor time counts from the value's making. The realtime clock can be set, which the host
/// doesn't notice.
#[derive(Debug)]
pub struct HostClocks {
    cpu_start: u64,
    /// The most that the processor time of a thread was. A guest on an executor runs on one thread after the other, and
    /// for the guest they are one.
    thread_cpu: AtomicU64,
    /// Nanoseconds that the realtime clock is set ahead of the host's.
    ahead: AtomicI64,
}

impl HostClocks {
    /// The host's clocks.
    pub fn new() -> Self {
        HostClocks {
            cpu_start: nanos(clock_gettime(HostClock::ProcessCPUTime)).unwrap_or(0),
            thread_cpu: AtomicU64::new(0),
            ahead: AtomicI64::new(0),
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
            ClockId::Realtime => {
                time.checked_add_signed(self.ahead.load(Ordering::Relaxed)).ok_or(Errno::OVERFLOW)?
            }
            ClockId::Monotonic => time,
        })
    }

    fn set_realtime(&self, time: u64) -> Result<()> {
        if time > LATEST || time < nanos(clock_gettime(HostClock::Monotonic))? {
            return Err(Errno::INVAL);
        }
        // Both are below 2^63.
        let host = nanos(clock_gettime(HostClock::Realtime))?.min(i64::MAX as u64);
        self.ahead.store(time as i64 - host as i64, Ordering::Relaxed);
        Ok(())
    }

    fn resolution(&self, clock: ClockId) -> Result<u64> {
        nanos(clock_getres(host_clock(clock))).map(|nanos| nanos.max(1))
    }

    fn coarse(&self) -> Timespec {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let now = clock_gettime(HostClock::RealtimeCoarse);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let now = clock_gettime(HostClock::Realtime);
        let now = Timespec { sec: now.tv_sec, nsec: u32::try_from(now.tv_nsec).unwrap_or(0) };
        match self.ahead.load(Ordering::Relaxed) {
            0 => now,
            ahead => Timespec::from_nanos(now.to_nanos().saturating_add_signed(ahead)),
        }
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
    fn the_time_of_day_is_set_within_bounds_and_files_follow() {
        let clocks = HostClocks::new();
        let monotonic = clocks.time(ClockId::Monotonic).unwrap();
        for time in [0, monotonic - 1, LATEST + 1, i64::MAX as u64, u64::MAX] {
            assert_eq!(clocks.set_realtime(time), Err(Errno::INVAL), "{time}");
        }
        for time in [1_000_000_000 * SECOND, LATEST, monotonic + SECOND] {
            clocks.set_realtime(time).unwrap();
            let now = clocks.time(ClockId::Realtime).unwrap();
            assert!((time..time + SECOND).contains(&now), "{time}: {now}");
            assert!(clocks.coarse().to_nanos().abs_diff(now) < SECOND, "{time}");
        }
        assert!(clocks.time(ClockId::Monotonic).unwrap() - monotonic < SECOND);
    }

    #[test]
    fn the_coarse_time_is_near_the_real_one() {
        let clocks = HostClocks::new();
        let real = clocks.time(ClockId::Realtime).unwrap();
        assert!(real.abs_diff(clocks.coarse().to_nanos()) < 1_000_000_000);
    }
}
