//! Running a guest whole: on a thread of its own, watched, to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::task::{Wake, Waker};
use std::time::Duration;

use vnode_kernel::{Alarm, Exit, Signal};
use wasmtime::{AsContextMut, Store, ThrownException, WasmBacktrace};

use crate::checkpoint;
use crate::engine::Program;
use crate::guest::{self, Guest, Killer};
use crate::imported::Failed;
use crate::link::{Ended, Executes, HostPanic};
use crate::programs::{self, Launcher};

/// What host functions have below the guest's own stack.
const HOST_STACK: usize = 4 << 20;

/// How long a killed guest may take to end. Only `memory.atomic.wait` and instructions over gigabytes take longer;
/// the thread of such a guest is left behind.
const GRACE: Duration = Duration::from_secs(2);

/// How a guest ended.
#[derive(Debug)]
pub enum Outcome {
    /// By itself, with this status; 0 for one that returned from `_start`. A shell sees the low 8 bits.
    Exited(u32),
    /// By a signal, with Linux's number (`signal(7)`).
    Signaled(u8),
    /// Its time was over.
    TimedOut,
    /// By [`Killer::kill`](crate::Killer::kill).
    Killed,
    /// By a trap.
    Trapped(Trap),
}

/// An error that ended a guest.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Trap {
    /// What happened: `wasm trap: integer divide by zero`, say.
    pub message: String,
    /// The frames of the guest's stack under a title, innermost first, a line each; empty if they aren't known.
    pub backtrace: String,
    /// Wasmtime's own error.
    #[source]
    pub error: wasmtime::Error,
}

/// Why a guest could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its memories or tables at the start are more than its limits allow, or the host has no memory.
    #[error("the guest can't be started: {0}")]
    Instance(String),
    /// A shared memory of the module could grow past the limit, and nothing could stop it.
    #[error("the module's shared memory can grow to {maximum} bytes, more than the {limit} that are allowed")]
    SharedMemory {
        /// Bytes that it can grow to.
        maximum: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The host has no thread for it.
    #[error("no thread for the guest: {0}")]
    Thread(#[from] std::io::Error),
}

impl Program {
    /// Runs a guest to its end, on a thread of its own with a stack deep enough.
    ///
    /// # Errors
    /// The guest could not be started; nothing of it has run.
    pub fn run(&self, guest: Guest) -> Result<Outcome, StartError> {
        self.run_with_grace(guest, GRACE)
    }

    /// As [`Program::run`], with the time that a guest may take to end when its own is over; 2 s there. Only
    /// `memory.atomic.wait` and instructions over gigabytes take it; then the guest's thread is left behind. For who
    /// exits next.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_with_grace(&self, guest: Guest, grace: Duration) -> Result<Outcome, StartError> {
        self.check_shared_memory(&guest)?;
        let limit = guest.limits().time;
        let killer = guest.killer();
        let (sender, ended) = channel();
        let program = self.clone();
        self.thread().spawn(move || {
            // Nobody listens any more only if the guest is left behind.
            let _ = sender.send(program.run_here(guest));
        })?;
        match wait(&ended, limit) {
            Some(outcome) => outcome,
            None => {
                killer.kill();
                match wait(&ended, Some(grace)) {
                    Some(Ok(Outcome::Killed)) | None => Ok(Outcome::TimedOut),
                    // It ended by itself in the last moment.
                    Some(outcome) => outcome,
                }
            }
        }
    }

    /// Runs a guest to its end on this thread, whose stack must be deep enough; its time is not limited.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_here(&self, guest: Guest) -> Result<Outcome, StartError> {
        let process = Arc::clone(guest.shared_process());
        if self.shape.is_wasix() {
            process.set_loader(Launcher::of(&self.engine, &guest));
        }
        let outcome = self.run_process(guest, |_| {});
        // With the first process all others were told to end.
        process.processes().wait_for_all(process.pid(), GRACE);
        outcome
    }

    /// Runs a process on this thread, from one program that it executes to the next. Its outcome is told before the
    /// process has ended: its parent can be over at once then, and all of vnode with it.
    pub(crate) fn run_process(
        &self,
        guest: Guest,
        tell: impl FnOnce(Result<&Outcome, &StartError>),
    ) -> Result<Outcome, StartError> {
        let process = Arc::clone(guest.shared_process());
        let (mut program, mut guest) = (self.clone(), guest);
        let outcome = loop {
            let (left, result) = match program.run_once(guest) {
                Ok(ran) => ran,
                // Where there is no program any more that could be told, Linux ends the process so.
                Err(error) => {
                    tell(Err(&error));
                    process.end(Exit::Signal(Signal::KILL.number()));
                    let is_first = program.is(self);
                    return if is_first { Err(error) } else { Ok(Outcome::Signaled(Signal::KILL.number())) };
                }
            };
            let executes = result.as_ref().is_err_and(|error| error.is::<Executes>());
            match programs::next(&process) {
                Some(next) if executes => {
                    guest = left.for_module(&next.module);
                    program = next;
                }
                _ => break judge(&left, result),
            }
        };
        tell(Ok(&outcome));
        process.end(exit_of(&outcome));
        Ok(outcome)
    }

    fn is(&self, other: &Program) -> bool {
        Arc::ptr_eq(&self.shape, &other.shape)
    }

    /// Runs a program in an instance of its own, which is gone when this returns.
    fn run_once(&self, guest: Guest) -> Result<(Guest, wasmtime::Result<()>), StartError> {
        self.check_shared_memory(&guest)?;
        let mut store = Store::new(self.module.engine(), guest);
        guest::attach(&mut store, |guest| guest);
        let result = match self.instance_in(&mut store) {
            Ok(instance) => {
                if self.shape.is_wasix() {
                    checkpoint::find(&mut store, &instance);
                }
                let start = instance.get_typed_func::<(), ()>(&mut store, "_start");
                start.and_then(|start| {
                    checkpoint::call(store.as_context_mut(), |guest| guest, |context| start.call(context, ()))
                })
            }
            // A start function of the module has run; all else fails before the guest's first instruction.
            Err(Failed::Run(error)) if is_of_guest(&error) => Err(error),
            Err(error) => return Err(error.into()),
        };
        Ok((store.into_data(), result))
    }

    /// A thread that a guest can run on.
    pub(crate) fn thread(&self) -> std::thread::Builder {
        let stack = self.engine.stack.saturating_add(HOST_STACK);
        std::thread::Builder::new().name("vnode-guest".to_owned()).stack_size(stack)
    }

    /// Runs a guest to its end on the threads of whatever executor polls this: no call of the guest's blocks them
    /// ([`add_to_linker_async`](crate::add_to_linker_async)). What it computes holds such a thread, unless the embedder
    /// increments the engine's epoch now and then ([`attach_async`](crate::attach_async)).
    ///
    /// Dropping the future ends the guest.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub async fn run_async(&self, guest: Guest) -> Result<Outcome, StartError> {
        self.check_shared_memory(&guest)?;
        let timeout = Timeout::start(&guest)?;
        let mut store = Store::new(self.module.engine(), guest);
        guest::attach_async(&mut store, |guest| guest);
        let pre = self.pre_async().map_err(|error| StartError::Instance(format!("{error:#}")))?;
        let result = match pre.instantiate_async(&mut store).await {
            Ok(instance) => {
                if let Some(memory) = instance.get_memory(&mut store, "memory") {
                    store.data_mut().has_only(memory);
                }
                match instance.get_typed_func::<(), ()>(&mut store, "_start") {
                    Ok(start) => start.call_async(&mut store, ()).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) if is_of_guest(&error) => Err(error),
            Err(error) => return Err(StartError::Instance(format!("{error:#}"))),
        };
        Ok(match outcome(store.data(), result) {
            Outcome::Killed if timeout.is_over() => Outcome::TimedOut,
            outcome => outcome,
        })
    }

    /// A shared memory doesn't ask the limiter when it grows.
    pub(crate) fn check_shared_memory(&self, guest: &Guest) -> Result<(), StartError> {
        let maximum = self.shape.shared_pages.map(|pages| pages.saturating_mul(64 << 10));
        match (maximum, guest.limits().memory) {
            (Some(maximum), Some(limit)) if maximum > limit => {
                Err(StartError::SharedMemory { maximum, limit })
            }
            _ => Ok(()),
        }
    }
}

/// Kills a guest when its time is over; dropped, it doesn't.
struct Timeout(Option<(Arc<KillLate>, Alarm)>);

struct KillLate {
    killer: Killer,
    over: AtomicBool,
}

impl Wake for KillLate {
    fn wake(self: Arc<Self>) {
        self.over.store(true, Ordering::SeqCst);
        self.killer.kill();
    }
}

impl Timeout {
    fn start(guest: &Guest) -> Result<Timeout, StartError> {
        let Some(limit) = guest.limits().time else { return Ok(Timeout(None)) };
        let late = Arc::new(KillLate { killer: guest.killer(), over: AtomicBool::new(false) });
        let alarm = Alarm::after(limit, &Waker::from(Arc::clone(&late)))
            .map_err(|errno| StartError::Instance(format!("no timer: {errno}")))?;
        Ok(Timeout(Some((late, alarm))))
    }

    fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|(late, _)| late.over.load(Ordering::SeqCst))
    }
}

/// What a call into a guest's code came to, and that the guest has ended: its descriptors are closed.
///
/// For embedders who call `_start` themselves.
pub fn outcome(guest: &Guest, result: wasmtime::Result<()>) -> Outcome {
    let outcome = judge(guest, result);
    guest.process().end(exit_of(&outcome));
    outcome
}

/// What a call into a guest's code came to.
fn judge(guest: &Guest, result: wasmtime::Result<()>) -> Outcome {
    let killed = guest.process().interruption().is_killed();
    match result {
        Ok(()) => Outcome::Exited(0),
        Err(error) => match error.downcast_ref::<Ended>() {
            Some(Ended(Exit::Status(status))) => Outcome::Exited(*status),
            Some(Ended(Exit::Signal(signal))) => Outcome::Signaled(*signal),
            Some(Ended(Exit::Killed)) => Outcome::Killed,
            None if killed && is_interrupt(&error) => match guest.process().exit() {
                Some(Exit::Signal(signal)) => Outcome::Signaled(signal),
                _ => Outcome::Killed,
            },
            None => Outcome::Trapped(Trap::new(error)),
        },
    }
}

fn exit_of(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Exited(status) => Exit::Status(*status),
        Outcome::Signaled(signal) => Exit::Signal(*signal),
        // What a shell tells of abort(3).
        Outcome::Trapped(_) => Exit::Signal(6),
        Outcome::TimedOut | Outcome::Killed => Exit::Killed,
    }
}

impl Trap {
    /// Why a program could not be started that a process executes.
    pub(crate) fn of_start(error: &StartError) -> Trap {
        let message = error.to_string();
        Trap { error: wasmtime::Error::msg(message.clone()), message, backtrace: String::new() }
    }

    fn new(error: wasmtime::Error) -> Trap {
        let message = match (error.downcast_ref::<wasmtime::Trap>(), error.downcast_ref::<HostPanic>()) {
            (Some(trap), _) => format!("wasm trap: {}", without_prefix(&trap.to_string())),
            (None, Some(panic)) => panic.to_string(),
            (None, None) if error.is::<ThrownException>() => "wasm trap: uncaught exception".to_owned(),
            (None, None) => error.root_cause().to_string(),
        };
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
        Trap { message, backtrace, error }
    }
}

/// Wasmtime's lines for the frames, under a title of ours.
fn frames(backtrace: &WasmBacktrace) -> String {
    let text = backtrace.to_string();
    let frames = text.split_once('\n').map_or("", |(_, frames)| frames);
    if frames.is_empty() { String::new() } else { format!("wasm backtrace:\n{}", frames.trim_end()) }
}

fn without_prefix(text: &str) -> &str {
    text.strip_prefix("wasm trap: ").unwrap_or(text)
}

fn is_interrupt(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<wasmtime::Trap>() == Some(&wasmtime::Trap::Interrupt)
}

fn is_of_guest(error: &wasmtime::Error) -> bool {
    error.is::<Ended>() || error.is::<HostPanic>() || error.is::<WasmBacktrace>()
}

/// Waits for the guest's end; nothing if the time is over.
fn wait(
    ended: &Receiver<Result<Outcome, StartError>>,
    limit: Option<Duration>,
) -> Option<Result<Outcome, StartError>> {
    let received = match limit {
        Some(limit) => ended.recv_timeout(limit),
        None => ended.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    match received {
        Ok(outcome) => Some(outcome),
        Err(RecvTimeoutError::Timeout) => None,
        // The thread is gone without a word: it panicked outside of any call of the guest.
        Err(RecvTimeoutError::Disconnected) => {
            Some(Err(StartError::Instance("vnode has an error: the guest's thread panicked".to_owned())))
        }
    }
}
