//! Preview 1, snapshot 0 before it, and WASIX as a subject: each call that the ABI can say is made by a WebAssembly guest, so it goes through the
//! engine, the linker, the decoding, the kernel crate and the core to the filesystem, and its answer comes back
//! through the guest's memory.
//!
//! What the ABI can't say is done beside it, by a [`Vnode`] on the same tree of mounts: a case may set its scene so
//! and be looked at so, but what it tests must go through the ABI, else it is no case for it ([`Reason`]). Paths
//! are given as a C library gives them: absolute ones from the preopen `/`, relative ones from a descriptor that
//! stands for the working directory.
//!
//! * `guest.wat`, `trampolines`: the guest. `wire`: the ABI's numbers and records.
//! * `route`: which way a call goes. `subject`: [`Subject`](crate::subject::Subject).
//! * `account`: what is under test in a case. `run`: running cases. `differences`: where WASI is not Linux.

mod account;
mod differences;
mod route;
mod run;
mod subject;
mod trampolines;
mod wire;

use std::collections::BTreeMap;
use std::path::Path;

use vnode_core::{Errno, Place, Result};
use vnode_kernel::Rights;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Program};

pub use account::Reason;
pub use run::{Report, run};
pub use wire::Abi;

use crate::host::{self, Calls};
use crate::memory::{self, Runs};
use crate::vnode::{Layout, Vnode};
use account::Account;
use trampolines::Trampolines;

/// The preopen of `/`.
const ROOT: u32 = 3;
/// A descriptor that is never open.
const CLOSED: u32 = 900;

/// A process that makes its calls as a guest of preview 1.
pub struct Preview1 {
    abi: Abi,
    thread: Thread,
    program: Program,
    /// The process that does what the ABI can't say.
    beside: Vnode,
    /// The guest that calls; made when it is first needed, and anew for other credentials.
    guest: Option<Calling>,
    /// The guest's descriptor for each handle.
    open: BTreeMap<u32, u32>,
    /// The descriptor that stands for the working directory.
    cwd: u32,
    next: u32,
    /// Why handles of `beside` are not the guest's; those of whoever looks at the tree have no reason.
    detours: BTreeMap<u32, Reason>,
    account: Account,
    /// What is wrong whatever a case expects: the first thing of it.
    wrong: Option<String>,
}

/// Whose threads the guest runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    Own,
    Executors,
}

/// A guest with the credentials and the umask that it was made for.
struct Calling {
    trampolines: Trampolines,
    credentials: vnode_core::Credentials,
    umask: vnode_core::Mode,
}

impl Preview1 {
    /// A process on memory filesystems.
    ///
    /// # Errors
    /// The text of what went wrong: the engine or the guest's module can't be had here.
    pub fn new(abi: Abi) -> std::result::Result<Self, String> {
        Preview1::on(abi, Thread::Own, memory::subject(Layout::Root, Runs::Taken))
    }

    /// The same on an executor, with memory filesystems that count as ones that may block: each call that concerns
    /// one is made by another thread, with copies of what it needs of the guest's memory.
    ///
    /// # Errors
    /// As [`Preview1::new`].
    pub fn on_an_executor(abi: Abi) -> std::result::Result<Self, String> {
        Preview1::on(abi, Thread::Executors, memory::subject(Layout::Root, Runs::Blocking))
    }

    /// A process on directories of the host, each made empty in `within`.
    ///
    /// # Errors
    /// As [`Preview1::new`].
    pub fn on_the_host(abi: Abi, within: &Path, calls: Calls) -> std::result::Result<Self, String> {
        Preview1::on(abi, Thread::Own, host::subject(within, Layout::Root, calls))
    }

    /// The same on an executor: each call that may block is made by another thread.
    ///
    /// # Errors
    /// As [`Preview1::new`].
    pub fn on_the_host_and_an_executor(
        abi: Abi,
        within: &Path,
        calls: Calls,
    ) -> std::result::Result<Self, String> {
        Preview1::on(abi, Thread::Executors, host::subject(within, Layout::Root, calls))
    }

    fn on(abi: Abi, thread: Thread, beside: Result<Vnode>) -> std::result::Result<Self, String> {
        let engine = Engine::new(&EngineOptions::default()).map_err(|error| error.to_string())?;
        let program =
            engine.compile(trampolines::module(abi).as_bytes()).map_err(|error| error.to_string())?;
        let beside = beside.map_err(|errno| format!("a tree: {errno:?}"))?;
        Ok(Preview1 {
            abi,
            thread,
            program,
            beside,
            guest: None,
            open: BTreeMap::new(),
            cwd: ROOT,
            next: 1,
            detours: BTreeMap::new(),
            account: Account::default(),
            wrong: None,
        })
    }

    /// Forgets all that is open and running.
    fn forget(&mut self) {
        self.guest = None;
        self.open.clear();
        self.cwd = ROOT;
        self.detours.clear();
    }

    /// The guest, with the credentials and the umask of now.
    fn guest(&mut self) -> Result<&mut Trampolines> {
        let (credentials, umask) = (self.beside.credentials(), self.beside.mask());
        let same = |guest: &Calling| guest.credentials == *credentials && guest.umask == umask;
        if !self.guest.as_ref().is_some_and(same) {
            let trampolines = self.start().map_err(|why| self.breaks(why))?;
            let guest = Calling {
                trampolines,
                credentials: self.beside.credentials().clone(),
                umask: self.beside.mask(),
            };
            let old = self.guest.replace(guest);
            self.hand_over(old)?;
        }
        self.guest.as_mut().map(|guest| &mut guest.trampolines).ok_or(Errno::IO)
    }

    fn start(&self) -> std::result::Result<Trampolines, String> {
        let guest = Guest::in_namespace(self.beside.namespace().clone())
            .preopen("/", "/")
            .credentials(self.beside.credentials().clone())
            .umask(self.beside.mask())
            .clocks(self.beside.clocks())
            .build(self.program.module())
            .map_err(|error| error.to_string())?;
        let instance = match self.thread {
            Thread::Own => self.program.instantiate(guest),
            Thread::Executors => pollster::block_on(self.program.instantiate_async(guest)),
        };
        let started = instance.map(|instance| Trampolines::new(instance, self.abi, self.thread));
        started.map_err(|error| error.to_string())
    }

    /// Gives a new guest what an older one had open, as a process that changes its credentials keeps it.
    fn hand_over(&mut self, old: Option<Calling>) -> Result<()> {
        let (Some(old), Some(new)) = (old, &self.guest) else { return Ok(()) };
        let (from, to) = (old.trampolines.guest().process().fds(), new.trampolines.guest().process().fds());
        let cwd = (self.cwd != ROOT).then_some(&mut self.cwd);
        for fd in self.open.values_mut().chain(cwd) {
            let (_, entry) = from.get_entry(*fd, Rights::empty())?;
            *fd = to.insert(entry)?;
        }
        if self.cwd != ROOT {
            new.trampolines.guest().process().fchdir(self.cwd)?;
        }
        Ok(())
    }

    /// Where a descriptor of the guest is.
    fn place(&self, fd: u32) -> Option<Place> {
        let guest = self.guest.as_ref()?.trampolines.guest();
        guest.process().fds().get(fd, Rights::empty()).ok()?.place().cloned()
    }

    fn breaks(&mut self, why: String) -> Errno {
        self.wrong.get_or_insert(why);
        Errno::IO
    }
}
