//! Signals to vnode, which are the guest's: Ctrl-C, a closed terminal, `kill(1)`.
//!
//! They go to the processes of a guest that may handle them. What they end by default is ended with vnode, by the same
//! signal: a shell that runs vnode in a loop is to see that Ctrl-C was meant for both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use vnode_kernel::stream::HostStream;
use vnode_kernel::{ProcessTable, Signal, Target};

/// How long the guest may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// What came, and what is to be put right before vnode ends by it.
pub(crate) struct Interrupts {
    /// A bit for each number.
    came: AtomicU32,
    terminal: Option<Arc<HostStream>>,
}

impl Interrupts {
    /// From now on gives signals to the first of these processes, those of a terminal to all. Signals that vnode was
    /// started to ignore stay ignored (`nohup(1)`).
    pub(crate) fn forward(
        processes: Arc<ProcessTable>,
        first: u32,
        terminal: Option<Arc<HostStream>>,
    ) -> Arc<Interrupts> {
        let interrupts = Arc::new(Interrupts { came: AtomicU32::new(0), terminal });
        let ignored = ignored();
        let wanted = [SIGHUP, SIGINT, SIGQUIT, SIGTERM].into_iter().filter(|&number| !is_in(ignored, number));
        // Without the means for it a signal does what it does by default, to vnode.
        let Ok(signals) = Signals::new(wanted) else { return interrupts };
        let theirs = Arc::clone(&interrupts);
        let _ = std::thread::Builder::new()
            .name("vnode-signals".to_owned())
            .spawn(move || theirs.give(signals, &processes, first));
        interrupts
    }

    fn give(self: &Arc<Self>, mut signals: Signals, processes: &ProcessTable, first: u32) {
        for number in signals.forever() {
            let before = self.came.fetch_or(bit(number), Ordering::SeqCst);
            let process = processes.process(first);
            let signal = u32::try_from(number).ok().and_then(Signal::from_linux);
            let (Some(process), Some(signal)) = (process, signal) else { return self.end_by(number) };
            if process.interruption().is_killed() && before != 0 {
                // Once more: now.
                return self.end_by(number);
            }
            let target = if number == SIGTERM { Target::One(first) } else { Target::Group };
            let _ = process.kill(target, Some(signal));
            if process.interruption().is_killed() {
                let theirs = Arc::clone(self);
                let _ = std::thread::Builder::new().spawn(move || {
                    std::thread::sleep(GRACE);
                    theirs.end_by(number);
                });
            }
        }
    }

    /// Ends vnode if this signal, which the guest ended by, had come to vnode.
    pub(crate) fn end_if_came(&self, number: u8) {
        let number = i32::from(number);
        if is_in(self.came.load(Ordering::SeqCst), number) {
            self.end_by(number);
        }
    }

    fn end_by(&self, number: i32) {
        if let Some(terminal) = &self.terminal {
            terminal.restore();
        }
        let _ = emulate_default_handler(number);
    }
}

fn bit(number: i32) -> u32 {
    u32::try_from(number).ok().and_then(|number| 1u32.checked_shl(number)).unwrap_or(0)
}

fn is_in(set: u32, number: i32) -> bool {
    set & bit(number) != 0
}

/// The signals that vnode was started to ignore, a bit for each number; none where the system doesn't tell.
fn ignored() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // Signal 1 is bit 0 there.
    (mask << 1) as u32
}
