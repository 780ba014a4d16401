//! Signals: what tells a process that something happened (`signal(7)`).

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Wake, Waker};

use parking_lot::Mutex;
use vnode_core::{Errno, Result};

use crate::attempt::Alarm;
use crate::exit::Exit;
use crate::wait::Interruption;

/// A signal, with Linux's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What a signal does to a process that has set up nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It ends the process.
    Terminate,
    /// Nothing.
    Ignore,
    /// It would stop the process, which nothing here could make go on: nothing is done.
    Stop,
}

impl Signal {
    /// Ends a process, whatever it has set up.
    pub const KILL: Signal = Signal(9);
    /// A child has ended.
    pub const CHLD: Signal = Signal(17);
    /// Somebody wrote where nobody reads.
    pub const PIPE: Signal = Signal(13);

    /// The signal of one of Linux's numbers, 1 to 31.
    pub const fn from_linux(number: u32) -> Option<Signal> {
        match number {
            1..=31 => Some(Signal(number as u8)),
            _ => None,
        }
    }

    /// Linux's number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// What it does by default.
    pub const fn default_action(self) -> Action {
        match self.0 {
            // SIGCHLD, SIGCONT, SIGURG, SIGWINCH.
            17 | 18 | 23 | 28 => Action::Ignore,
            // SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU.
            19..=22 => Action::Stop,
            _ => Action::Terminate,
        }
    }

    const fn bit(self) -> u32 {
        1 << (self.0 - 1)
    }
}

/// Who makes a guest's running code look for signals: the engine.
pub type Alert = Arc<dyn Fn() + Send + Sync>;

/// The signals of a process, and how it ended.
pub struct Signals {
    interruption: Arc<Interruption>,
    /// Whether the program has a function that handles them all.
    handled: AtomicBool,
    /// Those that are ignored from the start, unless the program handles them.
    ignored: AtomicU32,
    handler: Mutex<Option<Arc<[u8]>>>,
    alert: OnceLock<Alert>,
    timers: Mutex<HashMap<Signal, Arc<Timer>>>,
    exit: Mutex<Option<Exit>>,
}

impl Signals {
    pub(crate) fn new(interruption: Arc<Interruption>) -> Arc<Self> {
        Arc::new(Signals {
            interruption,
            handled: AtomicBool::new(false),
            ignored: AtomicU32::new(0),
            handler: Mutex::default(),
            alert: OnceLock::new(),
            timers: Mutex::default(),
            exit: Mutex::default(),
        })
    }

    /// Has somebody called, on whichever thread, when running code is to look for signals ([`Signals::take`]) or to end.
    /// The first counts.
    pub fn on_signal(&self, alert: Alert) {
        let _ = self.alert.set(alert);
    }

    /// Says whether the program has a function that handles signals. Without, each does what it does by default.
    pub fn set_handled(&self, handled: bool) {
        self.handled.store(handled, Ordering::SeqCst);
    }

    /// Says which signals a program finds ignored when it starts (`SIG_IGN` is inherited).
    pub(crate) fn set_ignored(&self, signals: impl IntoIterator<Item = Signal>) {
        let bits = signals
            .into_iter()
            .filter(|&signal| signal != Signal::KILL)
            .fold(0, |bits, signal| bits | signal.bit());
        self.ignored.store(bits, Ordering::SeqCst);
    }

    /// The signals that the program found ignored.
    pub fn ignored(&self) -> impl Iterator<Item = Signal> {
        let bits = self.ignored.load(Ordering::SeqCst);
        (1..=31).filter_map(Signal::from_linux).filter(move |signal| bits & signal.bit() != 0)
    }

    /// Whether a signal does nothing because the program found it ignored.
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        self.ignored.load(Ordering::SeqCst) & signal.bit() != 0 && !self.handled.load(Ordering::SeqCst)
    }

    /// Another program is executed: what was handled does what it does by default (`execve(2)`).
    pub(crate) fn forget_handler(&self) {
        self.handled.store(false, Ordering::SeqCst);
        *self.handler.lock() = None;
        self.interruption.handling.store(0, Ordering::SeqCst);
    }

    /// Names the function that handles signals, for the engine to find.
    pub fn set_handler(&self, name: &[u8]) {
        *self.handler.lock() = Some(name.into());
    }

    /// The function that was named.
    pub fn handler(&self) -> Option<Arc<[u8]>> {
        self.handler.lock().clone()
    }

    /// Sends a signal (`kill(2)`).
    pub fn send(&self, signal: Signal) {
        if signal == Signal::KILL {
            self.terminate(signal);
        } else if self.handled.load(Ordering::SeqCst) {
            self.interruption.interrupt(signal.bit());
            self.alert();
        } else {
            self.act(signal);
        }
    }

    /// Does what a signal does by default.
    pub fn act(&self, signal: Signal) {
        if signal.default_action() == Action::Terminate && !self.ignores(signal) {
            self.terminate(signal);
        }
    }

    fn terminate(&self, signal: Signal) {
        self.ended(Exit::Signal(signal.number()));
        self.interruption.kill();
        self.alert();
    }

    fn alert(&self) {
        if let Some(alert) = self.alert.get() {
            alert();
        }
    }

    /// Whether there is a signal to be handled now. Asked after each call of the guest.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.interruption.is_interrupted()
    }

    /// Takes the signal of the lowest number that is to be handled now; it comes no more until it is
    /// [`done`](Signals::done).
    pub fn take(&self) -> Option<Signal> {
        let Interruption { pending, handling, .. } = &*self.interruption;
        let ready = pending.load(Ordering::SeqCst) & !handling.load(Ordering::SeqCst);
        let signal = Signal::from_linux(ready.trailing_zeros() + 1).filter(|_| ready != 0)?;
        pending.fetch_and(!signal.bit(), Ordering::SeqCst);
        handling.fetch_or(signal.bit(), Ordering::SeqCst);
        Some(signal)
    }

    /// The handler of a signal that was taken has returned.
    pub fn done(&self, signal: Signal) {
        self.interruption.handling.fetch_and(!signal.bit(), Ordering::SeqCst);
    }

    /// Sends the process a signal after each interval, or once; an interval of 0 stops that (`setitimer(2)`). What repeats
    /// does so once a millisecond at most.
    ///
    /// # Errors
    /// `ENOMEM`: the host has no timer.
    pub fn set_timer(self: &Arc<Self>, signal: Signal, interval: Duration, repeats: bool) -> Result<()> {
        // The old one ends with its alarm, even if it has rung.
        drop(self.timers.lock().remove(&signal));
        if interval.is_zero() {
            return Ok(());
        }
        let timer = Arc::new(Timer {
            signals: Arc::downgrade(self),
            signal,
            interval: repeats.then_some(interval.max(INTERVAL_MIN)),
            alarm: Mutex::default(),
        });
        timer.wind(timer.interval.unwrap_or(interval))?;
        self.timers.lock().insert(signal, timer);
        Ok(())
    }

    /// How the process ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.lock()
    }

    /// Notes how it ended, the first time, and answers how that was.
    pub(crate) fn ended(&self, exit: Exit) -> Exit {
        let exit = *self.exit.lock().get_or_insert(exit);
        self.timers.lock().clear();
        exit
    }
}

/// The shortest time from one alarm to the next: all processes share the thread that rings them.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Sends a signal when its time has come.
struct Timer {
    signals: Weak<Signals>,
    signal: Signal,
    /// The time to the next.
    interval: Option<Duration>,
    alarm: Mutex<Option<Alarm>>,
}

impl Timer {
    fn wind(self: &Arc<Self>, time: Duration) -> Result<()> {
        // The alarm holds the timer by its waker: weakly, or neither would ever go.
        let rings = Arc::new(Rings(Arc::downgrade(self)));
        // It may ring before this returns: what winds it then waits, and comes after.
        let mut alarm = self.alarm.lock();
        let next = Alarm::after(time, &Waker::from(rings)).map_err(|_| Errno::NOMEM)?;
        let old = alarm.replace(next);
        drop(alarm);
        drop(old);
        Ok(())
    }
}

struct Rings(Weak<Timer>);

impl Wake for Rings {
    fn wake(self: Arc<Self>) {
        let Some(timer) = self.0.upgrade() else { return };
        let Some(signals) = timer.signals.upgrade() else { return };
        if let Some(interval) = timer.interval {
            // A host without timers left sends no more.
            let _ = timer.wind(interval);
        }
        signals.send(timer.signal);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::wait::{Look, Wait};

    const TERM: Signal = Signal(15);
    const USR1: Signal = Signal(10);
    const CHLD: Signal = Signal(17);

    fn signals() -> (Arc<Interruption>, Arc<Signals>) {
        let interruption = Arc::new(Interruption::new());
        (Arc::clone(&interruption), Signals::new(interruption))
    }

    fn waits(interruption: &Interruption) -> Result<()> {
        Wait::blocking(interruption).until(&[], || Ok(Look::NotYet(None)))
    }

    #[test]
    fn numbers_are_linux_s() {
        assert_eq!(Signal::from_linux(0), None);
        assert_eq!(Signal::from_linux(32), None);
        assert_eq!(Signal::from_linux(9), Some(Signal::KILL));
        let of = |action| (1..=31).filter(move |&n| Signal(n).default_action() == action);
        assert!(of(Action::Ignore).eq([17, 18, 23, 28]));
        assert!(of(Action::Stop).eq([19, 20, 21, 22]));
    }

    #[test]
    fn without_a_handler_each_does_what_it_does_by_default() {
        let (interruption, signals) = signals();
        signals.send(CHLD);
        signals.send(Signal(19));
        assert!(!interruption.is_killed() && signals.exit().is_none() && signals.take().is_none());
        signals.send(TERM);
        assert!(interruption.is_killed());
        assert_eq!(signals.exit(), Some(Exit::Signal(15)));
        signals.send(USR1);
        assert_eq!(signals.exit(), Some(Exit::Signal(15)), "the first counts");
    }

    #[test]
    fn a_handled_signal_interrupts_and_is_taken_once() {
        let (interruption, signals) = signals();
        signals.set_handled(true);
        signals.send(TERM);
        signals.send(USR1);
        signals.send(TERM);
        assert_eq!(waits(&interruption), Err(Errno::INTR));
        assert!(signals.is_pending());
        assert_eq!(signals.take(), Some(USR1));
        signals.send(USR1);
        assert_eq!(signals.take(), Some(TERM), "one that is handled waits");
        assert_eq!(signals.take(), None);
        signals.done(USR1);
        assert_eq!(signals.take(), Some(USR1));
        signals.done(USR1);
        signals.done(TERM);
        assert!(!signals.is_pending() && signals.take().is_none() && !interruption.is_killed());
    }

    #[test]
    fn nothing_handles_a_kill() {
        let (interruption, signals) = signals();
        signals.set_handled(true);
        signals.send(Signal::KILL);
        assert!(interruption.is_killed());
        assert_eq!(signals.exit(), Some(Exit::Signal(9)));
    }

    #[test]
    fn a_signal_ends_a_wait_that_is_under_way() {
        let (interruption, signals) = signals();
        signals.set_handled(true);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| waits(&interruption));
            while interruption.waiting() == 0 {
                std::thread::yield_now();
            }
            signals.send(USR1);
            assert_eq!(waiting.join().unwrap(), Err(Errno::INTR));
        });
    }

    #[test]
    fn a_timer_that_rings_before_it_is_wound_goes_on() {
        let (interruption, signals) = signals();
        signals.set_handled(true);
        let alrm = Signal(14);
        for _ in 0..100 {
            signals.set_timer(alrm, Duration::from_nanos(1), true).unwrap();
            for _ in 0..3 {
                let start = Instant::now();
                while !interruption.is_interrupted() {
                    assert!(start.elapsed() < Duration::from_secs(10), "the alarm was lost");
                    std::thread::yield_now();
                }
                assert_eq!(signals.take(), Some(alrm));
                signals.done(alrm);
            }
        }
        signals.set_timer(alrm, Duration::ZERO, true).unwrap();
    }

    #[test]
    fn a_timer_sends_again_until_it_is_stopped() {
        let (interruption, signals) = signals();
        signals.set_handled(true);
        let alrm = Signal(14);
        signals.set_timer(alrm, Duration::from_millis(2), true).unwrap();
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(waits(&interruption), Err(Errno::INTR));
            assert_eq!(signals.take(), Some(alrm));
            signals.done(alrm);
        }
        assert!(start.elapsed() >= Duration::from_millis(6));
        signals.set_timer(alrm, Duration::ZERO, true).unwrap();
        signals.take();
        signals.done(alrm);
        std::thread::sleep(Duration::from_millis(10));
        assert!(!signals.is_pending());
        signals.set_timer(alrm, Duration::from_millis(1), false).unwrap();
        assert_eq!(waits(&interruption), Err(Errno::INTR));
        assert_eq!(signals.take(), Some(alrm));
        signals.done(alrm);
        std::thread::sleep(Duration::from_millis(5));
        assert!(!signals.is_pending(), "once");
    }
}
