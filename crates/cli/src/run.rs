//! `vnode run`: read the module, set the guest up, run it, tell how it ended.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vnode_core::{Credentials, Errno, Mode};
use vnode_kernel::stream::{HostStream, Stream};
use vnode_kernel::{Observer, ProcessTable, Stats, USUAL_PATH};
use vnode_wasmtime::{
    Engine, EngineError, EngineOptions, Guest, GuestBuilder, Limits, Outcome, Policy, Program, StartError,
    Trap, Unrunnable,
};

use crate::commands;
use crate::environment;
use crate::failure::{Failure, SIGNALED, TIMED_OUT, TRAPPED, say};
use crate::interrupt::Interrupts;
use crate::mounts::Mount;
use crate::options::Run;
use crate::sandbox::Session;
use crate::stats::{self, Measured};
use crate::system::System;
use crate::trace::Trace;
use crate::tree;
use crate::trusted;

/// How long a guest whose time is over may take to end. The process exits then: nothing of it is left behind.
const GRACE: Duration = Duration::from_millis(200);

/// Runs a guest; answers the exit code.
///
/// # Errors
/// What kept the guest from starting.
pub(crate) fn run(options: &Run, mounts: &[Mount]) -> Result<ExitCode, Failure> {
    let mut measured = Measured::default();
    raise_descriptor_limit();
    let module = read_module(options.module())?;
    let cannot_run = |error: Unrunnable| unrunnable(options.module(), &error);
    let is_wasix = vnode_wasmtime::inspect(&module).map_err(cannot_run)?.is_wasix();
    if is_wasix && options.strict {
        return Err(Failure::setup(format!(
            "{}: --strict is for programs of preview 1; this one is for WASIX, and starts its paths at / and where it is",
            shown(options.module())
        )));
    }
    let variables = environment::collect(options)?;
    let system =
        is_wasix.then(|| System { processes: Arc::new(ProcessTable::with_limit(processes(options))) });
    let mut session = Session::begin(options, mounts)?;
    let mut tree = tree::build(options, session.mounts(), system.as_ref(), &mut measured)?;

    let engine = engine(options)?;
    let start = Instant::now();
    let program = engine.compile(&module).map_err(cannot_run)?;
    measured.compile = start.elapsed();
    measured.cached = program.is_cached();
    drop(module);

    let counts = options.stats.map(|_| Arc::new(Stats::new()));
    let mut builder = describe(Guest::in_namespace(Arc::clone(&tree.namespace)), options);
    if commands::are_given(options) {
        builder = builder.env("PATH", USUAL_PATH);
    }
    // The user's own goes over that.
    for (name, value) in variables {
        builder = builder.env(name.as_bytes(), value.as_bytes());
    }
    // Dropped, it is as it was.
    let terminal = if is_wasix { HostStream::terminal().map(Arc::new) } else { None };
    if let Some(terminal) = &terminal {
        builder = builder.terminal(Arc::clone(terminal) as Arc<dyn Stream>);
    }
    if let Some(system) = &system {
        builder = builder.processes(Arc::clone(&system.processes));
        // A POSIX process finds all its files from the root; its C library looks for that first.
        builder = builder.preopen("/", "/");
    }
    for preopen in tree.preopens(options) {
        builder = builder.preopen(preopen.name.into_vec(), preopen.directory.absolute());
    }
    if let Some(observer) = observer(options, counts.as_ref())? {
        builder = builder.observer(observer);
    }
    builder = builder.on_trap(|process, trap| {
        let name = process.args().iter().next().map(|name| name.escape_ascii().to_string());
        tell_trap(&format!("{} (process {})", name.unwrap_or_default(), process.pid()), trap);
    });
    let guest = builder.build(program.module()).map_err(|error| {
        Failure::setup(match error.errno {
            Errno::MFILE => {
                format!(
                    "can't open what the guest starts with: {}; --max-open-files allows more",
                    error.errno
                )
            }
            errno => format!("can't {} in the guest's tree: {errno}", error.what),
        })
    })?;

    session.start()?;
    let first = guest.process().pid();
    let interrupts =
        system.map(|system| Interrupts::forward(system.processes, first, terminal.as_ref().map(Arc::clone)));
    let start = Instant::now();
    let outcome = start_guest(&program, guest, options);
    if let Some(terminal) = &terminal {
        // A thread of the guest that is left behind may have it, too.
        terminal.restore();
    }
    let outcome = outcome?;
    measured.run = start.elapsed();
    let code = tell(&outcome, options);
    session.end(&core::mem::take(&mut tree.overlays), options);
    if let (Some(format), Some(counts)) = (options.stats, counts) {
        stats::report(format, &measured, &counts.counts(), &tree.mounted);
    }
    if let (Outcome::Signaled(signal), Some(interrupts)) = (&outcome, interrupts) {
        interrupts.end_if_came(*signal);
    }
    Ok(ExitCode::from(code))
}

/// How many processes the guest may have.
fn processes(options: &Run) -> usize {
    limit(options.max_processes).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Lets the process have as many descriptors as it may: those of host directories and of the guest's files in them.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // macOS refuses more than `OPEN_MAX`, also where it calls itself unlimited.
    #[cfg(target_os = "macos")]
    let current = Some(limit.maximum.unwrap_or(u64::MAX).min(10_240));
    #[cfg(not(target_os = "macos"))]
    let current = limit.maximum;
    // Where that can't be, the limit stays, and the guest has fewer files.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limit });
}

/// The module's bytes.
fn read_module(name: &OsStr) -> Result<Vec<u8>, Failure> {
    if name == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        return match read {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Failure::cannot_run(format!("can't read the module from stdin: {error}"))),
        };
    }
    std::fs::read(Path::new(name)).map_err(|error| {
        let name = shown(name);
        match error.kind() {
            std::io::ErrorKind::NotFound => Failure::not_found(format!("{name}: there is no such module")),
            std::io::ErrorKind::IsADirectory => {
                Failure::cannot_run(format!("{name}: it is a directory, not a module"))
            }
            _ => Failure::cannot_run(format!("{name}: can't read the module: {error}")),
        }
    })
}

fn shown(module: &OsStr) -> String {
    if module == "-" { "the module from stdin".to_owned() } else { vnode_cli::text::shown(module) }
}

fn unrunnable(module: &OsStr, error: &Unrunnable) -> Failure {
    let text = error.to_string();
    // Where the text format has an error, the file is told by a name.
    let text = match error {
        Unrunnable::Text(_) => text.replacen("--> <anon>:", &format!("--> {}:", shown(module)), 1),
        _ => text,
    };
    Failure::cannot_run(format!("{}: {text}", shown(module)))
}

/// The engine, with the cache of compiled modules if there can be one.
fn engine(options: &Run) -> Result<Engine, Failure> {
    let cache = if options.no_cache { None } else { trusted::cache() };
    let has_cache = cache.is_some();
    let fails = |error: EngineError| Failure::setup(format!("can't set the engine up: {error}"));
    let stack = options.max_stack;
    match Engine::new(&EngineOptions { cache, stack }) {
        Ok(engine) => Ok(engine),
        Err(error) if has_cache => {
            if !options.quiet {
                say(format_args!("compiled modules aren't kept: {error}"));
            }
            Engine::new(&EngineOptions { cache: None, stack }).map_err(fails)
        }
        Err(error) => Err(fails(error)),
    }
}

/// What the options say about the guest itself.
fn describe(builder: GuestBuilder, options: &Run) -> GuestBuilder {
    let argv0 = options.argv0.as_deref().unwrap_or(options.module());
    let mut builder = builder
        .arg(argv0.as_bytes())
        .args(options.arguments().iter().map(|arg| arg.as_bytes()))
        .inherit_stdio()
        .umask(Mode::from_raw(options.umask))
        .open_files(u32::try_from(options.max_open_files).unwrap_or(u32::MAX))
        .limits(Limits {
            memory: limit(options.max_memory),
            table_elements: limit(options.max_table),
            time: options.timeout.filter(|time| !time.is_zero()),
        });
    if options.strict {
        builder = builder.policy(Policy::Strict);
    }
    if let Some(user) = &options.user {
        builder = builder.credentials(Credentials::user(user.uid, user.gid, &user.groups));
    }
    if let Some(cwd) = &options.cwd {
        builder = builder.cwd(cwd.absolute());
    }
    builder
}

/// A limit as options write it: 0 is none.
fn limit(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

fn observer(options: &Run, counts: Option<&Arc<Stats>>) -> Result<Option<Arc<dyn Observer>>, Failure> {
    let mut observers: Vec<Arc<dyn Observer>> = Vec::new();
    if let Some(file) = &options.trace {
        observers.push(Trace::new(file.as_deref()).map_err(Failure::setup)?);
    }
    if let Some(counts) = counts {
        observers.push(Arc::clone(counts) as Arc<dyn Observer>);
    }
    Ok(if observers.is_empty() { None } else { Some(Arc::new(observers)) })
}

fn start_guest(program: &Program, guest: Guest, options: &Run) -> Result<Outcome, Failure> {
    program.run_with_grace(guest, GRACE).map_err(|error| {
        let module = shown(options.module());
        match error {
            StartError::SharedMemory { .. } | StartError::Instance(_) => {
                Failure::cannot_run(format!("{module}: {error}; see --max-memory and --max-table"))
            }
            error => Failure::setup(format!("{module}: {error}")),
        }
    })
}

fn tell_trap(program: &str, trap: &Trap) {
    let between = if trap.backtrace.is_empty() { "" } else { "\n" };
    say(format_args!("{program}: {}{between}{}", trap.message, trap.backtrace));
}

/// Tells how the guest ended, if not by itself, and answers the exit code.
fn tell(outcome: &Outcome, options: &Run) -> u8 {
    match outcome {
        Outcome::Exited(status) => (status & 0xff) as u8,
        Outcome::Signaled(signal) => SIGNALED.saturating_add(*signal),
        Outcome::TimedOut => {
            if !options.quiet {
                let time = options.timeout.unwrap_or_default();
                say(format_args!("{}: ended after {time:?} (--timeout)", shown(options.module())));
            }
            TIMED_OUT
        }
        // Nobody else has the means to kill it.
        Outcome::Killed => SIGNALED.saturating_add(9),
        Outcome::Trapped(trap) => {
            tell_trap(&shown(options.module()), trap);
            TRAPPED
        }
    }
}
