//! Calls that make processes, wait for them, and send them signals.

use std::sync::Arc;

use vnode_core::{Errno, Result};

use crate::calls::by_path::OpenRequest;
use crate::exit::Exit;
use crate::fd_table::{Fd, FdEntry};
use crate::open_file::OpenFile;
use crate::process::Process;
use crate::processes::{Children, Target};
use crate::program::{Execute, Unknown};
use crate::rights::Rights;
use crate::signal::Signal;
use crate::stream::Null;
use crate::wait::{Look, Wait, Watch};

/// What a child does before its program runs (`posix_spawn_file_actions_t`).
#[derive(Clone, Debug)]
pub enum SpawnAction {
    /// Closes a descriptor; one that is not open is no error.
    Close(Fd),
    /// Makes `to` another descriptor of what `from` is; the same number twice: it stays open when the program is
    /// executed.
    Dup2 {
        /// Which.
        from: Fd,
        /// Its number.
        to: Fd,
    },
    /// Opens a path as this number.
    Open {
        /// The number.
        fd: Fd,
        /// The path.
        path: Vec<u8>,
        /// How.
        request: OpenRequest,
    },
    /// Makes a descriptor of what is always at its end, and takes whatever is written.
    Null(Fd),
    /// Goes to a directory.
    Chdir(Vec<u8>),
    /// Goes to an open directory.
    Fchdir(Fd),
}

/// What a child is to be.
#[derive(Clone, Debug)]
pub struct Spawn {
    /// Its program.
    pub execute: Execute,
    /// The signals that it ignores; nothing to ignore those that its parent does.
    pub ignored: Option<Vec<Signal>>,
}

impl Process {
    /// Makes a child that runs a program (`posix_spawn(3)`), and answers its number. It has the descriptors of its
    /// parent, sharing their open files, but those with `FD_CLOEXEC`, and stands where its parent stands. `actions` are
    /// taken in the child, one after the other; then its program is looked for.
    ///
    /// # Errors
    /// * `EAGAIN`: there are as many processes as there may be, or the host has no thread for one more.
    /// * What the first action that fails says. As [`Process::execute`].
    pub fn spawn(
        &self,
        spawn: &Spawn,
        actions: impl IntoIterator<Item = Result<SpawnAction>>,
    ) -> Result<u32> {
        let number = self.processes.reserve(self)?;
        let pid = number.pid();
        let child = Arc::new(self.fork(pid));
        // What it does finds it in `/proc`.
        number.fill(&child);
        let begun = self.begin(&child, spawn, actions);
        begun.inspect_err(|_| self.processes.forget(pid))?;
        Ok(pid)
    }

    /// Does what a child does before its program runs, and starts that.
    fn begin(
        &self,
        child: &Arc<Process>,
        spawn: &Spawn,
        actions: impl IntoIterator<Item = Result<SpawnAction>>,
    ) -> Result<()> {
        if let Some(ignored) = &spawn.ignored {
            child.signals().set_ignored(ignored.iter().copied());
        }
        for action in actions {
            child.act(action?)?;
            if self.interruption().is_killed() {
                return Err(Errno::INTR);
            }
        }
        let ready = child.prepare(&spawn.execute, Unknown::Refused, self.interruption())?;
        child.become_program(ready).start(child)
    }

    fn act(&self, action: SpawnAction) -> Result<()> {
        match action {
            SpawnAction::Close(fd) => {
                let _ = self.fds.close(fd);
                Ok(())
            }
            SpawnAction::Dup2 { from, to } if from == to => self.fds.set_close_on_exec(from, false),
            SpawnAction::Dup2 { from, to } => self.fds.duplicate_to(from, to),
            SpawnAction::Open { fd, path, request } => self.open_as(fd, &path, &request),
            SpawnAction::Null(fd) => {
                let file = OpenFile::stream(Arc::new(Null), self.namespace.next_number());
                let rights = file.rights();
                self.fds.install_at(fd, FdEntry::new(Arc::new(file), rights, Rights::empty()))
            }
            SpawnAction::Chdir(path) => self.chdir(&path),
            SpawnAction::Fchdir(fd) => self.fchdir(fd),
        }
    }

    /// Has the process execute another program in place of the one that makes the call (`execve(2)`): the engine ends
    /// that one, and finds the other one by [`Process::take_program`]. Nothing has changed if it fails.
    ///
    /// # Errors
    /// * `ENOENT`: there is no such program, or no interpreter of it. `EACCES`: it may not be executed, or is no file.
    /// * `ENOEXEC`: it is no program. `ELOOP`: its interpreter is a script, and so on.
    /// * `E2BIG`: too many arguments and variables. `EINVAL`: one holds a NUL byte.
    /// * `ENOSYS`: nobody could run it. `ENOMEM`. Those of a walk.
    pub fn execute(&self, execute: &Execute) -> Result<()> {
        let ready = self.prepare(execute, Unknown::Shell, self.interruption())?;
        let program = self.become_program(ready);
        self.leave_program(program);
        Ok(())
    }

    /// Waits for a child to end (`waitpid(2)`), and answers which one, and how; nothing if none has ended and the call
    /// may not wait.
    ///
    /// # Errors
    /// `ECHILD`: there is no such child. `EINTR`: the process is to end, or has a signal to handle.
    pub fn wait_child(&self, which: Children, may_wait: bool) -> Result<Option<(u32, Exit)>> {
        let look = || self.processes.reap(self.pid, which);
        if !may_wait {
            return look();
        }
        Wait::blocking(self.interruption()).until(&[Watch::Queue(self.child_ended())], || {
            Ok(look()?.map_or(Look::NotYet(None), |ended| Look::Found(Some(ended))))
        })
    }

    /// Sends a signal (`kill(2)`); with none it only asks whether there is such a process. The process itself may end by
    /// it.
    ///
    /// # Errors
    /// `ESRCH`: there is no such process.
    pub fn kill(&self, target: Target, signal: Option<Signal>) -> Result<()> {
        self.processes.signal(self, target, signal)
    }

    /// The number of a process's parent (`getppid(2)`); 0 for the first.
    ///
    /// # Errors
    /// `ESRCH`: there is no such process.
    pub fn parent_of(&self, pid: u32) -> Result<u32> {
        self.processes.parent(pid)
    }
}
