//! A process: all that its calls need, and how it is made.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use vnode_core::{Caller, Credentials, Cx, Errno, Mode, Namespace, Pinned, Place, Policy, Result};

use crate::clock::{CallClock, Clocks, HostClocks};
use crate::exit::Exit;
use crate::fd_table::{FD_LIMIT_MAX, Fd, FdEntry, FdTable};
use crate::futex::Futexes;
use crate::observe::Observer;
use crate::open_file::OpenFile;
use crate::processes::ProcessTable;
use crate::program::{Loader, Program, Ready};
use crate::random::{HostRandom, Random};
use crate::rights::Rights;
use crate::signal::Signals;
use crate::stream::{Null, Stream};
use crate::strings::Strings;
use crate::wait::{Interruption, WaitQueue};

/// Where a process stands in the tree: copied by `fork(2)`, shared by threads.
#[derive(Clone, Debug)]
pub struct FsContext {
    /// Where absolute paths start.
    pub root: Pinned,
    /// Where relative paths of a POSIX process start.
    pub cwd: Pinned,
    /// Taken off the mode of what is made (`umask(2)`).
    pub umask: Mode,
}

/// The file of a process's program.
pub(crate) struct Executable {
    pub(crate) place: Pinned,
    /// The path that led there, from the process's root.
    pub(crate) path: Arc<[u8]>,
}

/// What a process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Descriptors (`RLIMIT_NOFILE`); 0 for as many as there can be.
    pub open_files: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { open_files: 1024 }
    }
}

/// A process.
///
/// ```
/// use std::sync::Arc;
/// use vnode_core::io::{Sink, Source};
/// use vnode_core::{Errno, FilesystemRef, Namespace, OpenFlags};
/// use vnode_kernel::{FdFlags, OpenRequest, Process, Rights, Whence};
/// use vnode_memory::Memory;
///
/// let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
/// let root = namespace.root().clone();
/// let process = Process::builder(namespace).arg("tool").preopen("/", root).build()?;
///
/// let (flags, status) = (OpenFlags::CREATE, FdFlags::empty());
/// let rights = Rights::FD_READ | Rights::FD_WRITE;
/// let fd = process.open(3, b"file", &OpenRequest { flags, rights, status, close_on_exec: false })?;
/// assert_eq!(process.write(fd, &mut Source::from_slice(b"content"))?, 7);
/// process.seek(fd, -3, Whence::End)?;
/// let mut end = [0; 10];
/// assert_eq!(process.read(fd, &mut Sink::from_slice(&mut end))?, 3);
/// assert_eq!(&end[..3], b"ent");
/// process.close(fd)?;
/// assert_eq!(process.tell(fd), Err(Errno::BADF));
/// # Ok::<(), Errno>(())
/// ```
pub struct Process {
    pub(crate) pid: u32,
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) context: ArcSwap<FsContext>,
    pub(crate) fds: FdTable,
    pub(crate) credentials: Credentials,
    pub(crate) policy: Policy,
    pub(crate) clocks: Arc<dyn Clocks>,
    pub(crate) random: Arc<dyn Random>,
    image: ArcSwap<Image>,
    interruption: Arc<Interruption>,
    signals: Arc<Signals>,
    observer: Option<Arc<dyn Observer>>,
    pub(crate) terminal: Option<Arc<dyn Stream>>,
    executable: ArcSwapOption<Executable>,
    notes_paths: AtomicBool,
    pub(crate) futexes: Futexes,
    pub(crate) processes: Arc<ProcessTable>,
    /// Those who wait for a child to end.
    child_ended: WaitQueue,
    loader: OnceLock<Arc<dyn Loader>>,
    /// The directories that it had open from the start, which every program of a POSIX process finds.
    preopens: Arc<[(Fd, FdEntry)]>,
    /// The program that it executes next.
    next: Mutex<Option<Box<dyn Program>>>,
    told_end: AtomicBool,
}

/// What a process is started with.
pub(crate) struct Image {
    args: Arc<Strings>,
    env: Arc<Strings>,
}

impl Process {
    /// A process that sees `namespace`; its root and working directory are the namespace's root.
    pub fn builder(namespace: Arc<Namespace>) -> ProcessBuilder {
        ProcessBuilder::new(namespace)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The arguments, the program's name first.
    pub fn args(&self) -> Arc<Strings> {
        Arc::clone(&self.image.load().args)
    }

    /// The environment, as `NAME=VALUE`.
    pub fn env(&self) -> Arc<Strings> {
        Arc::clone(&self.image.load().env)
    }

    /// Its descriptors.
    pub fn fds(&self) -> &FdTable {
        &self.fds
    }

    /// How far its paths may lead.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// What ends its waits.
    pub fn interruption(&self) -> &Arc<Interruption> {
        &self.interruption
    }

    /// Its signals.
    pub fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// The processes that it belongs to.
    pub fn processes(&self) -> &Arc<ProcessTable> {
        &self.processes
    }

    pub(crate) fn child_ended(&self) -> &WaitQueue {
        &self.child_ended
    }

    /// Says what makes programs of files, for it and all that it spawns. The first counts; without, `execve` is
    /// `ENOSYS`.
    pub fn set_loader(&self, loader: Arc<dyn Loader>) {
        let _ = self.loader.set(loader);
    }

    pub(crate) fn loader(&self) -> Option<&Arc<dyn Loader>> {
        self.loader.get()
    }

    /// The program that it was told to execute, for the engine to run in place of the one that made the call.
    pub fn take_program(&self) -> Option<Box<dyn Program>> {
        self.next.lock().take()
    }

    /// Becomes another program; its descriptors with `FD_CLOEXEC` are closed. Answers the program itself.
    pub(crate) fn become_program(&self, ready: Ready) -> Box<dyn Program> {
        let Ready { program, args, env, place, path } = ready;
        let env = env.map_or_else(|| self.env(), Arc::new);
        self.image.store(Arc::new(Image { args: Arc::new(args), env }));
        self.set_executable(place, &path);
        self.fds.close_for_exec();
        // The C library looks for the root among them, and finds no file without.
        for (fd, entry) in self.preopens.iter().filter(|_| self.policy == Policy::Posix) {
            self.fds.install_if_free(*fd, entry);
        }
        self.signals.forget_handler();
        program
    }

    /// Leaves a program for the engine to run.
    pub(crate) fn leave_program(&self, program: Box<dyn Program>) {
        let replaced = self.next.lock().replace(program);
        drop(replaced);
    }

    /// A process with the same descriptors, sharing their open files, at the same place (`fork(2)`); it has no signals.
    pub(crate) fn fork(&self, pid: u32) -> Process {
        let context = self.context.load();
        let interruption = Arc::new(Interruption::new());
        let signals = Signals::new(Arc::clone(&interruption));
        signals.set_ignored(self.signals.ignored());
        Process {
            pid,
            namespace: Arc::clone(&self.namespace),
            context: ArcSwap::from_pointee(FsContext {
                root: context.root.counted_apart().into(),
                cwd: context.cwd.counted_apart().into(),
                umask: context.umask,
            }),
            fds: self.fds.fork(),
            credentials: self.credentials.clone(),
            policy: self.policy,
            clocks: Arc::clone(&self.clocks),
            random: Arc::clone(&self.random),
            image: ArcSwap::new(self.image.load_full()),
            interruption,
            signals,
            observer: self.observer.clone(),
            terminal: self.terminal.clone(),
            executable: ArcSwapOption::new(self.executable.load_full()),
            notes_paths: AtomicBool::new(self.notes_paths()),
            futexes: Futexes::default(),
            processes: Arc::clone(&self.processes),
            child_ended: WaitQueue::new(),
            loader: self.loader.clone(),
            preopens: Arc::clone(&self.preopens),
            next: Mutex::default(),
            told_end: AtomicBool::new(false),
        }
    }

    /// Who is told of its calls.
    pub fn observer(&self) -> Option<&dyn Observer> {
        self.observer.as_deref()
    }

    /// Where it stands in the tree.
    pub fn context(&self) -> Arc<FsContext> {
        self.context.load_full()
    }

    pub(crate) fn executable(&self) -> Option<Arc<Executable>> {
        self.executable.load_full()
    }

    /// Sets the file of its program, as [`ProcessBuilder::executable`] does, when another one is executed.
    pub fn set_executable(&self, place: Place, path: &[u8]) {
        self.executable.store(Some(Arc::new(Executable { place: place.into(), path: path.into() })));
    }

    /// From now on notes the path by which each file is opened, for `/proc` to tell it. Files that were opened before
    /// can't be opened again by their link there.
    pub fn note_paths(&self) {
        self.notes_paths.store(true, Ordering::Relaxed);
    }

    pub(crate) fn notes_paths(&self) -> bool {
        self.notes_paths.load(Ordering::Relaxed)
    }

    /// Makes a call that walks no path: `work` gets a clock that is read when something asks for the time.
    #[inline(always)]
    pub(crate) fn call_on_open<T>(&self, work: impl FnOnce(&Cx<'_>) -> Result<T>) -> Result<T> {
        let clock = CallClock(&*self.clocks);
        work(&Cx::new(&self.credentials, &clock).with_pid(self.pid).with_cancel(&*self.interruption))
    }

    /// Makes a call: `work` gets the caller, besides.
    #[inline(always)]
    pub(crate) fn call<T>(&self, work: impl FnOnce(&Caller<'_>) -> Result<T>) -> Result<T> {
        self.call_on_open(|cx| {
            let context = self.context.load();
            work(&Caller { ns: &self.namespace, cx, root: &context.root, policy: self.policy })
        })
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.signals.exit()
    }

    /// Notes how it ended, the first time, and answers how that was. Its waits end, its descriptors are closed.
    pub fn end(&self, exit: Exit) -> Exit {
        let exit = self.signals.ended(exit);
        self.interruption.kill();
        self.fds.close_all();
        if let Some(observer) = self.observer()
            && !self.told_end.swap(true, Ordering::Relaxed)
        {
            observer.ended(self.pid, exit);
        }
        self.processes.ended(self, exit);
        exit
    }
}

/// One that never ran is gone, too.
impl Drop for Process {
    fn drop(&mut self) {
        self.processes.ended(self, self.signals.exit().unwrap_or(Exit::Killed));
    }
}

/// A directory that a process has open from the start.
struct Preopen {
    name: Vec<u8>,
    place: Place,
    base: Rights,
    inheriting: Rights,
}

/// How a process is to be. Standard streams are null unless set.
pub struct ProcessBuilder {
    namespace: Arc<Namespace>,
    pid: u32,
    root: Option<Place>,
    cwd: Option<Place>,
    umask: Mode,
    credentials: Credentials,
    policy: Policy,
    limits: Limits,
    args: Vec<Vec<u8>>,
    env: Vec<(Vec<u8>, Vec<u8>)>,
    stdio: [Arc<dyn Stream>; 3],
    preopens: Vec<Preopen>,
    clocks: Option<Arc<dyn Clocks>>,
    random: Arc<dyn Random>,
    interruption: Arc<Interruption>,
    observer: Option<Arc<dyn Observer>>,
    terminal: Option<Arc<dyn Stream>>,
    executable: Option<Executable>,
    processes: Option<Arc<ProcessTable>>,
}

impl ProcessBuilder {
    fn new(namespace: Arc<Namespace>) -> Self {
        ProcessBuilder {
            namespace,
            pid: 1,
            root: None,
            cwd: None,
            umask: Mode::from_raw(0o022),
            credentials: Credentials::root(),
            policy: Policy::Beneath,
            limits: Limits::default(),
            args: Vec::new(),
            env: Vec::new(),
            stdio: [Arc::new(Null), Arc::new(Null), Arc::new(Null)],
            preopens: Vec::new(),
            clocks: None,
            random: Arc::new(HostRandom),
            interruption: Arc::new(Interruption::new()),
            observer: None,
            terminal: None,
            executable: None,
            processes: None,
        }
    }

    /// Its number; 1 unless set.
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = pid;
        self
    }

    /// Its root directory.
    pub fn root(mut self, root: Place) -> Self {
        self.root = Some(root);
        self
    }

    /// Its working directory.
    pub fn cwd(mut self, cwd: Place) -> Self {
        self.cwd = Some(cwd);
        self
    }

    /// Its umask; 022 unless set.
    pub fn umask(mut self, umask: Mode) -> Self {
        self.umask = umask;
        self
    }

    /// Who it is; uid 0 with all capabilities unless set.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// How far its paths may lead; [`Policy::Beneath`] unless set.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What it may use.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// One more argument; the first is the program's name.
    pub fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args<A: Into<Vec<u8>>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// An environment variable; one of that name that was set before is replaced.
    pub fn env(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.env.retain(|variable| variable.0 != name);
        self.env.push((name, value));
        self
    }

    /// Standard input: descriptor 0.
    pub fn stdin(mut self, stream: Arc<dyn Stream>) -> Self {
        self.stdio[0] = stream;
        self
    }

    /// Standard output: descriptor 1.
    pub fn stdout(mut self, stream: Arc<dyn Stream>) -> Self {
        self.stdio[1] = stream;
        self
    }

    /// Standard error: descriptor 2.
    pub fn stderr(mut self, stream: Arc<dyn Stream>) -> Self {
        self.stdio[2] = stream;
        self
    }

    /// A directory open from the start, with all rights: the first is descriptor 3. `name` is what the guest knows
    /// it by.
    pub fn preopen(self, name: impl Into<Vec<u8>>, place: Place) -> Self {
        self.preopen_with(name, place, Rights::DIRECTORY, Rights::INHERITABLE)
    }

    /// The same with fewer rights, for the directory and for what is opened through it.
    pub fn preopen_with(
        mut self,
        name: impl Into<Vec<u8>>,
        place: Place,
        base: Rights,
        inheriting: Rights,
    ) -> Self {
        self.preopens.push(Preopen { name: name.into(), place, base, inheriting });
        self
    }

    /// Its clocks; the host's unless set.
    pub fn clocks(mut self, clocks: Arc<dyn Clocks>) -> Self {
        self.clocks = Some(clocks);
        self
    }

    /// Its random bytes; the host's unless set.
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// What ends its waits, if somebody has it already.
    pub fn interruption(mut self, interruption: Arc<Interruption>) -> Self {
        self.interruption = interruption;
        self
    }

    /// Who is told of its calls; nobody unless set.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Its terminal: what `/dev/tty` of [`Devices`](crate::devices::Devices) is; none unless set.
    pub fn terminal(mut self, terminal: Arc<dyn Stream>) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// The file of its program, if that is in the tree, and the path that led there from the process's root: what
    /// `/proc/self/exe` leads to.
    pub fn executable(mut self, place: Place, path: &[u8]) -> Self {
        self.executable = Some(Executable { place: place.into(), path: path.into() });
        self
    }

    /// The processes that it belongs to; a table of its own unless set. Who makes the process adds it there
    /// ([`ProcessTable::add`]).
    pub fn processes(mut self, processes: Arc<ProcessTable>) -> Self {
        self.processes = Some(processes);
        self
    }

    /// The process.
    ///
    /// # Errors
    /// * `EINVAL`: an argument or a variable holds a NUL byte, or a variable's name is empty or holds `=`.
    /// * `E2BIG`: arguments or environment are more than 2^31 - 1 bytes.
    /// * `ENOTDIR`: a preopen, the root or the working directory is no directory.
    /// * `EMFILE`: more preopens than descriptors.
    pub fn build(self) -> Result<Process> {
        let root = self.root.as_ref().unwrap_or(self.namespace.root()).counted_apart();
        let cwd = self.cwd.map_or_else(|| root.clone(), |cwd| cwd.counted_apart());
        if !root.kind().is_dir() || !cwd.kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        let limit = if self.limits.open_files == 0 { FD_LIMIT_MAX } else { self.limits.open_files };
        let lacking = if self.policy == Policy::Strict { Errno::BADF } else { Errno::NOTCAPABLE };
        let fds = FdTable::new(limit, lacking);
        for (stream, name) in self.stdio.into_iter().zip(["stdin", "stdout", "stderr"]) {
            let file = OpenFile::stream(stream, self.namespace.next_number()).shown_as(name.as_bytes());
            let rights = Rights::of(file.kind(), file.access());
            fds.insert(FdEntry::new(Arc::new(file), rights, Rights::empty()))?;
        }
        let mut preopens = Vec::new();
        for preopen in self.preopens {
            let file = OpenFile::directory(preopen.place.counted_apart())?.shown_as(&preopen.name);
            let base = preopen.base & directory_rights(self.policy);
            let entry = FdEntry::new(Arc::new(file), base, preopen.inheriting & Rights::INHERITABLE);
            let entry = entry.with_preopen(&preopen.name);
            preopens.push((fds.insert(entry.clone())?, entry));
        }
        if self.env.iter().any(|(name, _)| name.is_empty() || name.contains(&b'=')) {
            return Err(Errno::INVAL);
        }
        let env = self.env.iter().map(|(name, value)| [name, &b"="[..], value].concat());
        Ok(Process {
            pid: self.pid,
            namespace: self.namespace,
            context: ArcSwap::from_pointee(FsContext {
                root: root.into(),
                cwd: cwd.into(),
                umask: self.umask,
            }),
            fds,
            credentials: self.credentials,
            policy: self.policy,
            clocks: self.clocks.unwrap_or_else(|| Arc::new(HostClocks::new())),
            random: self.random,
            image: ArcSwap::from_pointee(Image {
                args: Arc::new(Strings::new(self.args)?),
                env: Arc::new(Strings::new(env)?),
            }),
            signals: Signals::new(Arc::clone(&self.interruption)),
            interruption: self.interruption,
            observer: self.observer,
            terminal: self.terminal,
            executable: ArcSwapOption::from_pointee(self.executable),
            notes_paths: AtomicBool::new(false),
            futexes: Futexes::default(),
            processes: self.processes.unwrap_or_default(),
            child_ended: WaitQueue::new(),
            loader: OnceLock::new(),
            preopens: preopens.into(),
            next: Mutex::default(),
            told_end: AtomicBool::new(false),
        })
    }
}

/// The rights of a directory under a policy: WASI's test-suite demands that one can't be sought.
pub(crate) fn directory_rights(policy: Policy) -> Rights {
    match policy {
        Policy::Strict => {
            Rights::DIRECTORY
                - (Rights::FD_SEEK
                    | Rights::FD_TELL
                    | Rights::FD_SYNC
                    | Rights::FD_DATASYNC
                    | Rights::FD_READ)
        }
        _ => Rights::DIRECTORY,
    }
}
