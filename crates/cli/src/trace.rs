//! `--trace`: a line for each call of the guest, as `strace(1)` writes them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{LineWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vnode_kernel::{Event, Exit, Observer};

use vnode_cli::text::shown;

/// How long a call may take before it is shown as one that waits, and how often is looked.
const PATIENCE: Duration = Duration::from_millis(250);

/// Writes a line for each call, and for the end of each process. What can't be written is dropped: the guest goes on.
/// Lines tell the process's number once there were two.
///
/// A call that takes long has a line when it is begun, too: whoever waits sees what for, also if vnode is killed.
pub(crate) struct Trace {
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    /// The calls that are under way, by process.
    calls: BTreeMap<u32, Call>,
    /// The first process seen, and whether it was the only one.
    first: Option<u32>,
    is_one: bool,
}

impl State {
    fn write(&mut self, pid: u32, line: &str) {
        let first = *self.first.get_or_insert(pid);
        self.is_one &= first == pid;
        // One write for a line: on stderr it is not mixed with what the guest writes.
        let line = if self.is_one { format!("{line}\n") } else { format!("[pid {pid}] {line}\n") };
        let _ = self.out.write_all(line.as_bytes());
    }
}

struct Call {
    /// `poll_oneoff(...`, without the closing parenthesis.
    text: String,
    start: Instant,
    /// Whether its first line is written.
    is_shown: bool,
}

impl Trace {
    /// A trace into a new file, or onto stderr.
    ///
    /// # Errors
    /// The file can't be made.
    pub(crate) fn new(file: Option<&Path>) -> Result<Arc<Trace>, String> {
        let out: Box<dyn Write + Send> = match file {
            None => Box::new(std::io::stderr()),
            Some(path) => {
                let file = File::create(path).map_err(|error| {
                    format!("can't write the trace to {}: {error}", shown(path.as_os_str()))
                })?;
                Box::new(LineWriter::new(file))
            }
        };
        let trace = Arc::new(Trace {
            state: Mutex::new(State { out, calls: BTreeMap::new(), first: None, is_one: true }),
        });
        let watched = Arc::downgrade(&trace);
        // Without a thread for it, only calls that end are shown.
        let _ = std::thread::Builder::new().name("vnode-trace".to_owned()).spawn(move || {
            while let Some(trace) = watched.upgrade() {
                trace.show_waiting();
                drop(trace);
                std::thread::sleep(PATIENCE);
            }
        });
        Ok(trace)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the beginning of a call that takes long.
    fn show_waiting(&self) {
        let state = &mut *self.state();
        let mut begun = Vec::new();
        for (&pid, call) in &mut state.calls {
            if !call.is_shown && call.start.elapsed() >= PATIENCE {
                call.is_shown = true;
                begun.push((pid, format!("{} <unfinished ...>", call.text)));
            }
        }
        for (pid, line) in begun {
            state.write(pid, &line);
        }
    }
}

impl Observer for Trace {
    fn wants_text(&self) -> bool {
        true
    }

    fn calling(&self, pid: u32, call: &'static str, args: &str) {
        let text = format!("{call}({args}");
        self.state().calls.insert(pid, Call { text, start: Instant::now(), is_shown: false });
    }

    fn called(&self, event: &Event<'_>) {
        let mut state = self.state();
        let mut line = event.to_string();
        if let Some(call) = state.calls.remove(&event.pid).filter(|call| call.is_shown) {
            let rest = line.strip_prefix(&call.text).unwrap_or(&line);
            line = format!("<... {} resumed>{rest}", event.call);
        }
        state.write(event.pid, &line);
    }

    fn ended(&self, pid: u32, exit: Exit) {
        let mut state = self.state();
        state.calls.remove(&pid);
        match exit {
            Exit::Status(status) => state.write(pid, &format!("+++ exited with {} +++", status & 0xff)),
            Exit::Signal(signal) => state.write(pid, &format!("+++ killed by signal {signal} +++")),
            Exit::Killed => state.write(pid, "+++ killed +++"),
        }
    }
}
