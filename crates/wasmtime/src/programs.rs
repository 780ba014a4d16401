//! Programs that guests execute: found by their content, compiled when they are first used.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use vnode_core::fs::InodeId;
use vnode_core::{Errno, Place, Result, Timespec};
use vnode_kernel::{Loader, Process, ProgramFile};

use crate::engine::{Engine, Program};
use crate::guest::Guest;
use crate::limits::{Limiter, Limits};
use crate::memory::Finder;
use crate::run::{Outcome, Trap};

/// How many programs are kept, whoever executed them.
const KEPT: usize = 64;

/// Bytes from which on a program is large.
const LARGE: u64 = 4 << 20;

/// How many files are known by what they hold; all are forgotten when there are more.
const FILES_KEPT: usize = 1024;

type Content = [u8; 32];

/// The programs of an engine that were executed last, by their content.
#[derive(Default)]
pub(crate) struct Programs {
    /// The latest at the end.
    latest: Mutex<Vec<(Content, Program)>>,
    /// Held by who reads and compiles a large one.
    large: Mutex<()>,
}

impl Programs {
    fn find(&self, content: &Content) -> Option<Program> {
        let mut latest = self.latest.lock();
        let at = latest.iter().position(|(known, _)| known == content)?;
        let found = latest.remove(at);
        let program = found.1.clone();
        latest.push(found);
        Some(program)
    }

    fn keep(&self, content: Content, program: &Program) {
        let mut latest = self.latest.lock();
        let oldest = (latest.len() >= KEPT).then(|| latest.remove(0));
        latest.push((content, program.clone()));
        drop(latest);
        // Unmapping its code takes time.
        drop(oldest);
    }
}

/// Who is told of a process that was spawned and ended by a trap.
pub(crate) type OnTrap = Arc<dyn Fn(&Process, &Trap) + Send + Sync>;

/// What makes programs of files for a family of processes.
pub(crate) struct Launcher {
    engine: Engine,
    limits: Limits,
    limiter: Limiter,
    on_trap: Option<OnTrap>,
    /// Programs by their files.
    files: Mutex<HashMap<(u64, InodeId), Known>>,
}

/// What a file is known to hold.
struct Known {
    program: Program,
    state: FileState,
}

/// Why a file holds what it did.
enum FileState {
    /// It never changes. The place keeps the inode, and with it its identity.
    Unchanging { _held: Place },
    /// It has the size and the times that it had.
    Same { size: u64, mtime: Timespec, ctime: Timespec },
}

impl FileState {
    fn holds(&self, file: &ProgramFile<'_>) -> bool {
        match self {
            FileState::Unchanging { .. } => true,
            FileState::Same { size, mtime, ctime } => {
                let attr = file.attr();
                (attr.size, attr.mtime, attr.ctime) == (*size, *mtime, *ctime)
            }
        }
    }
}

impl Launcher {
    /// What makes programs for the family of a guest.
    pub(crate) fn of(engine: &Engine, guest: &Guest) -> Arc<Launcher> {
        Arc::new(Launcher {
            engine: engine.clone(),
            limits: *guest.limits(),
            limiter: guest.limiter_beside(),
            on_trap: guest.on_trap().cloned(),
            files: Mutex::default(),
        })
    }

    fn program(&self, file: &ProgramFile<'_>) -> Result<Program> {
        let key = file.place().identity();
        if let Some(known) = self.files.lock().get(&key).filter(|known| known.state.holds(file)) {
            return Ok(known.program.clone());
        }
        let program = self.by_content(file)?;
        let state = match (file.never_changes(), file.changes_show()) {
            (true, _) => FileState::Unchanging { _held: file.place().clone() },
            (false, true) => {
                let attr = file.attr();
                FileState::Same { size: attr.size, mtime: attr.mtime, ctime: attr.ctime }
            }
            (false, false) => return Ok(program),
        };
        let mut files = self.files.lock();
        let forgotten = if files.len() < FILES_KEPT { HashMap::new() } else { core::mem::take(&mut *files) };
        files.insert(key, Known { program: program.clone(), state });
        drop(files);
        drop(forgotten);
        Ok(program)
    }

    fn by_content(&self, file: &ProgramFile<'_>) -> Result<Program> {
        if !file.starts_with(b"\0asm")? {
            return Err(Errno::NOEXEC);
        }
        // Of what takes much of the host's memory, one at a time.
        let _alone = (file.attr().size > LARGE).then(|| self.engine.programs.large.lock());
        let bytes = file.read()?;
        let content: Content = Sha256::digest(&bytes).into();
        if let Some(program) = self.engine.programs.find(&content) {
            return Ok(program);
        }
        let program = self.engine.compile(&bytes).map_err(|_| Errno::NOEXEC)?;
        self.engine.programs.keep(content, &program);
        Ok(program)
    }
}

impl Loader for Launcher {
    fn load(&self, file: &ProgramFile<'_>) -> Result<Box<dyn vnode_kernel::Program>> {
        let program = self.program(file)?;
        let (limits, limiter) = (self.limits, self.limiter.beside());
        Ok(Box::new(Loaded { program, limits, limiter, on_trap: self.on_trap.clone() }))
    }
}

/// A program about to be run.
struct Loaded {
    program: Program,
    limits: Limits,
    limiter: Limiter,
    on_trap: Option<OnTrap>,
}

impl vnode_kernel::Program for Loaded {
    fn start(self: Box<Self>, process: &Arc<Process>) -> Result<()> {
        let Loaded { program, limits, limiter, on_trap } = *self;
        let (process, thread) = (Arc::clone(process), program.thread());
        let runs = move || {
            let engine = program.module().engine();
            let memory = Finder::of(program.module());
            let guest = Guest::of_process(Arc::clone(&process), engine, limits, limiter, memory);
            // How it ended is its parent's to ask.
            let _ = program.run_process(guest, |outcome| {
                let Some(on_trap) = on_trap else { return };
                match outcome {
                    Ok(Outcome::Trapped(trap)) => on_trap(&process, trap),
                    Ok(_) => {}
                    Err(error) => on_trap(&process, &Trap::of_start(error)),
                }
            });
        };
        thread.spawn(runs).map(drop).map_err(|_| Errno::AGAIN)
    }
}

/// The program that a process executes next.
pub(crate) fn next(process: &Process) -> Option<Program> {
    let program: Box<dyn Any> = process.take_program()?;
    program.downcast::<Loaded>().ok().map(|loaded| loaded.program)
}
