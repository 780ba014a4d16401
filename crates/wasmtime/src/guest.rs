//! A guest: a process with its place in a tree of mounts, and what its program may use.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use vnode_core::{
    Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, MountFlags, Namespace, Place,
    Timespec, VPath,
};
use vnode_kernel::stream::{Bytes, HostStream, Reader, Stream, Writer};
use vnode_kernel::{
    Clocks, HostClocks, Interruption, Observer, Process, ProcessBuilder, ProcessTable, Random,
};
use wasmtime::{AsContextMut, Memory, Module, ResourceLimiter, SharedMemory, Store, UpdateDeadline};

use crate::checkpoint::Stack;
use crate::kind;
use crate::limits::{Limiter, Limits};
use crate::memory::Finder;
use crate::programs::OnTrap;
use crate::run::Trap;
use crate::signals::{self, Bell, Handler};

pub use vnode_kernel::Policy;

/// A guest, before and while it runs: what a store holds for the imports.
pub struct Guest {
    process: Arc<Process>,
    memory: Finder,
    limits: Limits,
    limiter: Limiter,
    signal_handler: Option<Handler>,
    bell: Arc<Bell>,
    on_trap: Option<OnTrap>,
    stack: Stack,
}

impl Guest {
    /// A guest for a process that is there.
    pub(crate) fn of_process(
        process: Arc<Process>,
        engine: &wasmtime::Engine,
        limits: Limits,
        limiter: Limiter,
        memory: Finder,
    ) -> Guest {
        let bell = Bell::new(engine.clone(), Arc::clone(process.interruption()));
        let alert = Arc::clone(&bell);
        process.signals().on_signal(Arc::new(move || alert.ring()));
        Guest {
            process,
            memory,
            limiter,
            limits,
            signal_handler: None,
            bell,
            on_trap: None,
            stack: Stack::default(),
        }
    }

    /// The guest when its process executes another program.
    pub(crate) fn for_module(self, module: &Module) -> Guest {
        let limiter = self.limiter.beside();
        Guest { memory: Finder::of(module), limiter, signal_handler: None, stack: Stack::default(), ..self }
    }

    /// A guest whose `/` is the root of `root`. It has no arguments, no environment and no open directory, and its
    /// standard streams lead nowhere, until the builder is told otherwise.
    pub fn builder(root: &FilesystemRef) -> GuestBuilder {
        GuestBuilder::new(Namespace::new(root.clone()))
    }

    /// A guest that sees a tree of mounts that is there already, shared with whoever else sees it.
    pub fn in_namespace(namespace: Arc<Namespace>) -> GuestBuilder {
        GuestBuilder::new(namespace)
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its process, for who makes a call on another thread.
    pub(crate) fn shared_process(&self) -> &Arc<Process> {
        &self.process
    }

    /// What its program may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What ends it from outside.
    pub fn killer(&self) -> Killer {
        Killer { interruption: Arc::clone(self.process.interruption()), bell: Arc::clone(&self.bell) }
    }

    /// Who is told of traps of the processes that it spawns.
    pub(crate) fn on_trap(&self) -> Option<&OnTrap> {
        self.on_trap.as_ref()
    }

    /// How its memory is found.
    pub(crate) fn memory(&self) -> &Finder {
        &self.memory
    }

    /// The store that holds the guest has one instance, with this memory, and gets no other: its calls need not look
    /// for the memory. Were there another instance, its calls would read and write this one's memory.
    pub fn has_only(&mut self, memory: Memory) {
        self.memory = Finder::Only(memory);
    }

    /// The same with a memory that threads share. A module that imports its memory exports none that could be found.
    pub fn has_only_shared(&mut self, memory: SharedMemory) {
        self.memory = Finder::OnlyShared(memory);
    }

    /// What has its running code look for signals.
    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// The function that handles its signals.
    pub(crate) fn signal_handler(&self) -> Option<&Handler> {
        self.signal_handler.as_ref()
    }

    pub(crate) fn set_signal_handler(&mut self, handler: Option<Handler>) {
        self.process.signals().set_handled(handler.is_some());
        self.signal_handler = handler;
    }

    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    pub(crate) fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }

    pub(crate) fn stack_and_limiter(&mut self) -> (&mut Stack, &mut Limiter) {
        (&mut self.stack, &mut self.limiter)
    }

    /// What a process beside it may use.
    pub(crate) fn limiter_beside(&self) -> Limiter {
        self.limiter.beside()
    }

    pub(crate) fn own_limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }

    /// What tells Wasmtime how far its memories and tables may grow.
    pub fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.limiter
    }
}

/// Makes a store keep the limits of the guest in it, and end when the guest is killed. For embedders with a store
/// of their own; the engine must have epoch interruption, as [`config`](crate::config) has. Without, leave it out, and
/// give the store [`Guest::limiter`] yourself.
///
/// It sets the store's limiter, epoch deadline and epoch callback: an embedder with callbacks of its own asks
/// [`Guest::limiter`] and [`Guest::process`] there, and sets them after this call.
pub fn attach<T: 'static>(
    store: &mut Store<T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy + Send + Sync + 'static,
) {
    attach_with(store, get, false);
}

/// As [`attach`], for a guest on an executor: when the epoch moves, who isn't meant lets others run. An embedder that
/// increments the epoch every few milliseconds keeps guests that compute from holding an executor's thread.
pub fn attach_async<T: Send + 'static>(
    store: &mut Store<T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy + Send + Sync + 'static,
) {
    attach_with(store, get, true);
}

fn attach_with<T: 'static>(
    store: &mut Store<T>,
    get: impl Fn(&mut T) -> &mut Guest + Copy + Send + Sync + 'static,
    yields: bool,
) {
    store.limiter(move |data| get(data).limiter());
    // The epoch moves only when some guest of the engine is killed, or by the embedder. Who isn't meant goes on.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut context| {
        if !yields && get(context.data_mut()).process.signals().is_pending() {
            signals::deliver_in_code(context.as_context_mut(), get)?;
        }
        let killed = get(context.data_mut()).process.interruption().is_killed();
        Ok(match (killed, yields) {
            (true, _) => UpdateDeadline::Interrupt,
            (false, true) => UpdateDeadline::Yield(1),
            (false, false) => UpdateDeadline::Continue(1),
        })
    });
    // After the deadline is set: a kill that is not seen here moves the epoch past it.
    if get(store.data_mut()).process.interruption().is_killed() {
        store.set_epoch_deadline(0);
    }
}

/// Ends a guest from outside, from any thread.
#[derive(Clone)]
pub struct Killer {
    interruption: Arc<Interruption>,
    bell: Arc<Bell>,
}

impl Killer {
    /// Ends the guest: its waits and its running code.
    pub fn kill(&self) {
        self.interruption.kill();
        self.bell.ring();
    }
}

/// Why a guest can't be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {errno}")]
pub struct SetupError {
    /// What fails: `mount /data`, say.
    pub what: String,
    /// Why.
    pub errno: Errno,
}

/// A directory to be opened before the guest starts.
struct Preopen {
    name: Vec<u8>,
    directory: Vec<u8>,
}

/// Says how a guest is to be. Mistakes are told by [`GuestBuilder::build`].
pub struct GuestBuilder {
    namespace: Arc<Namespace>,
    process: ProcessBuilder,
    credentials: Credentials,
    preopens: Vec<Preopen>,
    cwd: Option<Vec<u8>>,
    clocks: Arc<dyn Clocks>,
    limits: Limits,
    policy: Option<Policy>,
    shares_processes: bool,
    on_trap: Option<OnTrap>,
    mistake: Option<SetupError>,
}

impl GuestBuilder {
    fn new(namespace: impl Into<Arc<Namespace>>) -> Self {
        let namespace = namespace.into();
        GuestBuilder {
            process: Process::builder(Arc::clone(&namespace)),
            namespace,
            credentials: Credentials::root(),
            preopens: Vec::new(),
            cwd: None,
            clocks: Arc::new(HostClocks::new()),
            limits: Limits::default(),
            policy: None,
            shares_processes: false,
            on_trap: None,
            mistake: None,
        }
    }

    /// Mounts a filesystem at an absolute path. Directories that lead there are made up where they are missing.
    pub fn mount(mut self, path: impl AsRef<[u8]>, fs: &FilesystemRef, flags: MountFlags) -> Self {
        let path = path.as_ref();
        if let Err(errno) = self.namespace.mount_at(path, fs, flags) {
            self.mistaken("mount", path, errno);
        }
        self
    }

    /// Opens a directory for the guest: the first is descriptor 3. `name` is what the guest knows it by, and a
    /// preview1 guest finds its files through such names only.
    pub fn preopen(mut self, name: impl Into<Vec<u8>>, directory: impl Into<Vec<u8>>) -> Self {
        self.preopens.push(Preopen { name: name.into(), directory: directory.into() });
        self
    }

    /// The directory that the process is in. A preview1 guest doesn't see it; it looks for a preopen named `.`.
    pub fn cwd(mut self, directory: impl Into<Vec<u8>>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// One more argument; the first is the program's name.
    pub fn arg(self, arg: impl Into<Vec<u8>>) -> Self {
        self.map(|process| process.arg(arg))
    }

    /// More arguments.
    pub fn args<A: Into<Vec<u8>>>(self, args: impl IntoIterator<Item = A>) -> Self {
        self.map(|process| process.args(args))
    }

    /// A variable of the environment; one of that name that was set before is replaced.
    pub fn env(self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.map(|process| process.env(name, value))
    }

    /// More variables.
    pub fn envs<N: Into<Vec<u8>>, V: Into<Vec<u8>>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Standard input from any stream.
    pub fn stdin(self, stream: Arc<dyn Stream>) -> Self {
        self.map(|process| process.stdin(stream))
    }

    /// Standard input of given bytes, then its end.
    pub fn stdin_bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin(Arc::new(Bytes::new(bytes)))
    }

    /// Standard input from any reader.
    pub fn stdin_reader(self, reader: impl Read + Send + 'static) -> Self {
        self.stdin(Arc::new(Reader::new(reader)))
    }

    /// Standard output to any stream; a [`Capture`](crate::stream::Capture) keeps it in memory.
    pub fn stdout(self, stream: Arc<dyn Stream>) -> Self {
        self.map(|process| process.stdout(stream))
    }

    /// Standard output to any writer.
    pub fn stdout_writer(self, writer: impl Write + Send + 'static) -> Self {
        self.stdout(Arc::new(Writer::new(writer)))
    }

    /// Standard error to any stream.
    pub fn stderr(self, stream: Arc<dyn Stream>) -> Self {
        self.map(|process| process.stderr(stream))
    }

    /// Standard error to any writer.
    pub fn stderr_writer(self, writer: impl Write + Send + 'static) -> Self {
        self.stderr(Arc::new(Writer::new(writer)))
    }

    /// The guest's terminal, which its program may change (`tty_set` of WASIX), and `/dev/tty`; none unless set. The
    /// embedder's own is [`HostStream::terminal`](crate::stream::HostStream::terminal).
    pub fn terminal(self, terminal: Arc<dyn Stream>) -> Self {
        self.map(|process| process.terminal(terminal))
    }

    /// The embedder's own standard input, output and error. One that is closed leads nowhere.
    pub fn inherit_stdio(self) -> Self {
        let stream = |stream: vnode_core::Result<HostStream>| stream.ok().map(Arc::new);
        self.map(|mut process| {
            if let Some(stdin) = stream(HostStream::stdin()) {
                process = process.stdin(stdin);
            }
            if let Some(stdout) = stream(HostStream::stdout()) {
                process = process.stdout(stdout);
            }
            if let Some(stderr) = stream(HostStream::stderr()) {
                process = process.stderr(stderr);
            }
            process
        })
    }

    /// Who the guest is to the files that it finds; uid 0 with all capabilities unless set.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials.clone();
        self.map(|process| process.credentials(credentials))
    }

    /// How far the guest's paths may lead; [`Policy::Beneath`] unless set, and [`Policy::Posix`] for a module of
    /// WASIX.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The permissions that are taken off what the guest makes; 022 unless set.
    pub fn umask(self, umask: Mode) -> Self {
        self.map(|process| process.umask(umask))
    }

    /// How many descriptors the guest may have; 1024 unless set, 0 for as many as there can be.
    pub fn open_files(self, count: u32) -> Self {
        self.map(|process| process.limits(vnode_kernel::Limits { open_files: count }))
    }

    /// The processes that the guest belongs to, as `/proc` shows them; unless set, its own and those that it spawns.
    pub fn processes(mut self, processes: Arc<ProcessTable>) -> Self {
        self.shares_processes = true;
        self.map(|process| process.processes(processes))
    }

    /// Who is told of a process that the guest spawned and that a trap has ended, or that could not be started; its parent
    /// sees a signal. Called on
    /// that process's thread.
    pub fn on_trap(mut self, told: impl Fn(&Process, &Trap) + Send + Sync + 'static) -> Self {
        self.on_trap = Some(Arc::new(told));
        self
    }

    /// What the guest's program may use, with the processes that it spawns; anything unless set.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The guest's clocks; the host's unless set.
    pub fn clocks(mut self, clocks: Arc<dyn Clocks>) -> Self {
        self.clocks = Arc::clone(&clocks);
        self.map(|process| process.clocks(clocks))
    }

    /// The guest's random bytes; the host's unless set.
    pub fn random(self, random: Arc<dyn Random>) -> Self {
        self.map(|process| process.random(random))
    }

    /// Who is told of the guest's calls; nobody unless set.
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        self.map(|process| process.observer(observer))
    }

    /// The guest, for a module: its calls find its memory a little faster than by name.
    ///
    /// # Errors
    /// The first thing that can't be: a mount, a preopen (`ENOENT`, `ENOTDIR`), an argument or a variable
    /// (`EINVAL`: it holds a NUL byte).
    pub fn build(self, module: &Module) -> Result<Guest, SetupError> {
        let memory = Finder::of(module);
        let is_wasix = module.imports().any(|import| import.module() == kind::WASIX);
        let policy = if is_wasix { Policy::Posix } else { Policy::Beneath };
        self.finish(module.engine(), memory, policy)
    }

    /// The guest, for whichever modules of an engine.
    ///
    /// # Errors
    /// As [`GuestBuilder::build`].
    pub fn build_for(self, engine: &wasmtime::Engine) -> Result<Guest, SetupError> {
        self.finish(engine, Finder::Name, Policy::Beneath)
    }

    fn finish(self, engine: &wasmtime::Engine, memory: Finder, usual: Policy) -> Result<Guest, SetupError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let clock = ProcessClock(&*self.clocks);
        let cx = Cx::new(&self.credentials, &clock);
        let root = self.namespace.root();
        let caller = Caller { ns: &self.namespace, cx: &cx, root, policy: vnode_core::Policy::Posix };
        let mut process = self.process.policy(self.policy.unwrap_or(usual));
        for preopen in self.preopens {
            let place =
                directory(&caller, &preopen.directory).map_err(|e| at("open", &preopen.directory, e))?;
            process = process.preopen(preopen.name, place);
        }
        if let Some(cwd) = self.cwd {
            process = process.cwd(directory(&caller, &cwd).map_err(|errno| at("enter", &cwd, errno))?);
        }
        let process = process.build().map_err(|errno| SetupError {
            what: "set up arguments, environment or descriptors".to_owned(),
            errno,
        })?;
        let process = Arc::new(process);
        if usual == Policy::Posix || self.shares_processes {
            process.processes().add(&process).map_err(|errno| SetupError {
                what: format!("give the process the number {}", process.pid()),
                errno,
            })?;
        }
        let limiter = Limiter::new(&self.limits);
        let guest = Guest::of_process(process, engine, self.limits, limiter, memory);
        Ok(Guest { on_trap: self.on_trap, ..guest })
    }

    fn map(mut self, change: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Self {
        self.process = change(self.process);
        self
    }

    fn mistaken(&mut self, verb: &str, path: &[u8], errno: Errno) {
        self.mistake.get_or_insert_with(|| at(verb, path, errno));
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("pid", &self.process.pid()).field("limits", &self.limits).finish()
    }
}

struct ProcessClock<'a>(&'a dyn Clocks);

impl Clock for ProcessClock<'_> {
    fn now(&self) -> Timespec {
        self.0.coarse()
    }
}

fn directory(caller: &Caller<'_>, path: &[u8]) -> vnode_core::Result<Place> {
    let place = caller.resolve(caller.root, VPath::new(path)?, Follow::Yes)?;
    if place.kind().is_dir() { Ok(place) } else { Err(Errno::NOTDIR) }
}

fn at(verb: &str, path: &[u8], errno: Errno) -> SetupError {
    SetupError { what: format!("{verb} {}", path.escape_ascii()), errno }
}
