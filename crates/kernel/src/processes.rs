//! The processes of a family: the first one, and all that it and its children spawn.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use vnode_core::{Errno, Result};

use crate::exit::Exit;
use crate::process::Process;
use crate::signal::Signal;

/// Processes by their numbers, as `/proc` shows them and calls find them.
///
/// A table keeps no process alive. A child that has ended stays in it as a zombie until its parent waits for it; what
/// outlives its parent is the first process's. With the first process all others end.
///
/// Lock order: the table's lock is a leaf. Nobody is woken and nothing is dropped while it is held.
pub struct ProcessTable {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<u32, Entry>,
    /// The number that was given last.
    last: u32,
}

struct Entry {
    /// 0 for a first process.
    parent: u32,
    /// The first process that it descends from.
    first: u32,
    life: Life,
}

enum Life {
    /// Its number is set aside.
    Coming,
    Living(Weak<Process>),
    Zombie(Exit),
}

impl Entry {
    fn living(&self) -> Option<Arc<Process>> {
        match &self.life {
            Life::Living(process) => process.upgrade(),
            _ => None,
        }
    }

    /// Asks without holding it: its end takes the table's lock.
    fn lives(&self) -> bool {
        matches!(&self.life, Life::Living(process) if process.strong_count() > 0)
    }

    fn is(&self, process: &Process) -> bool {
        matches!(&self.life, Life::Living(living) if core::ptr::eq(living.as_ptr(), process))
    }
}

/// Numbers are below this, as Linux's are (`/proc/sys/kernel/pid_max`).
const PID_END: u32 = 32_768;

/// How many processes there may be unless told.
const USUAL_LIMIT: usize = 64;

/// Whom a process waits for (`waitpid(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// Whichever child ends first.
    Any,
    /// The child with this number.
    One(u32),
}

/// Whom a signal is sent to (`kill(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The process with this number.
    One(u32),
    /// All of the family; they are one process group.
    Group,
    /// All of the family but its first process and the sender.
    Others,
}

impl Default for ProcessTable {
    fn default() -> Self {
        ProcessTable::new()
    }
}

impl ProcessTable {
    /// A table without processes, for up to 64 of them.
    pub fn new() -> Self {
        ProcessTable::with_limit(USUAL_LIMIT)
    }

    /// A table for up to so many processes at a time, zombies among them (`RLIMIT_NPROC`).
    pub fn with_limit(limit: usize) -> Self {
        ProcessTable { limit, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds a first process. From now on it notes the paths by which it opens files ([`Process::note_paths`]).
    ///
    /// # Errors
    /// `EEXIST`: another process has its number. `EINVAL`: its number is 0.
    pub fn add(&self, process: &Arc<Process>) -> Result<()> {
        let pid = process.pid();
        if pid == 0 {
            return Err(Errno::INVAL);
        }
        let mut state = self.state.lock();
        if state.entries.contains_key(&pid) {
            return Err(Errno::EXIST);
        }
        let life = Life::Living(Arc::downgrade(process));
        state.entries.insert(pid, Entry { parent: 0, first: pid, life });
        drop(state);
        process.note_paths();
        Ok(())
    }

    /// Sets a number aside for a child.
    ///
    /// # Errors
    /// `EAGAIN`: there are as many processes as there may be, or the family is to end.
    pub(crate) fn reserve(&self, parent: &Process) -> Result<ReservedPid<'_>> {
        let mut state = self.state.lock();
        let first = match state.entries.get(&parent.pid()) {
            Some(entry) if entry.is(parent) => entry.first,
            _ => return Err(Errno::AGAIN),
        };
        // What comes after the end of the first would never be told to end.
        let first_lives =
            state.entries.get(&first).is_some_and(|entry| matches!(entry.life, Life::Living(_)));
        if !first_lives || state.entries.len() >= self.limit.min(PID_END as usize - 2) {
            return Err(Errno::AGAIN);
        }
        let mut pid = state.last.max(1);
        loop {
            pid = if pid + 1 < PID_END { pid + 1 } else { 2 };
            if !state.entries.contains_key(&pid) {
                break;
            }
        }
        state.last = pid;
        state.entries.insert(pid, Entry { parent: parent.pid(), first, life: Life::Coming });
        Ok(ReservedPid { table: self, pid, used: false })
    }

    /// Notes that a process has ended; tells its parent, and gives its children to the first process.
    pub(crate) fn ended(&self, process: &Process, exit: Exit) {
        let pid = process.pid();
        let mut told: Vec<Arc<Process>> = Vec::new();
        let mut killed: Vec<Arc<Process>> = Vec::new();
        let mut state = self.state.lock();
        let Some(entry) = state.entries.get(&pid).filter(|entry| entry.is(process)) else { return };
        let (parent, first) = (entry.parent, entry.first);
        let heir = state.entries.get(&first).filter(|_| first != pid).and_then(Entry::living);
        let mut orphans = Vec::new();
        for (&child, entry) in state.entries.iter_mut().filter(|(_, entry)| entry.parent == pid) {
            match (&heir, &entry.life) {
                (Some(_), Life::Zombie(_)) => {
                    entry.parent = first;
                    told.extend(heir.clone());
                }
                (Some(_), _) => entry.parent = first,
                (None, Life::Zombie(_)) => orphans.push(child),
                (None, _) => entry.parent = 0,
            }
        }
        orphans.iter().for_each(|orphan| drop(state.entries.remove(orphan)));
        if first == pid {
            killed
                .extend(state.entries.values().filter(|entry| entry.first == pid).filter_map(Entry::living));
        }
        let waiting = state.entries.get(&parent).and_then(Entry::living);
        match waiting {
            Some(parent) if !parent.signals().ignores(Signal::CHLD) => {
                if let Some(entry) = state.entries.get_mut(&pid) {
                    entry.life = Life::Zombie(exit);
                }
                told.push(parent);
            }
            // Nobody waits for it, or not for its status.
            other => {
                state.entries.remove(&pid);
                told.extend(other);
            }
        }
        drop(state);
        self.changed.notify_all();
        for process in killed.iter().filter(|other| other.pid() != pid) {
            process.signals().send(Signal::KILL);
        }
        for process in told {
            process.signals().send(Signal::CHLD);
            process.child_ended().wake_all();
        }
    }

    /// Takes a child out that never ran: nobody is told of it.
    pub(crate) fn forget(&self, pid: u32) {
        self.state.lock().entries.remove(&pid);
        self.changed.notify_all();
    }

    /// Takes the end of a child (`waitpid(2)` with `WNOHANG`): nothing if none has ended.
    ///
    /// # Errors
    /// `ECHILD`: there is no such child.
    pub(crate) fn reap(&self, parent: u32, which: Children) -> Result<Option<(u32, Exit)>> {
        let mut state = self.state.lock();
        let mut children = state.entries.iter().filter(|(pid, entry)| {
            entry.parent == parent && (which == Children::Any || which == Children::One(**pid))
        });
        let mut any = false;
        let ended = children.find_map(|(&pid, entry)| {
            any = true;
            match entry.life {
                Life::Zombie(exit) => Some((pid, exit)),
                _ => None,
            }
        });
        if let Some((pid, _)) = ended {
            state.entries.remove(&pid);
        }
        if any { Ok(ended) } else { Err(Errno::CHILD) }
    }

    /// Sends a signal, or with none asks whether that could be done.
    ///
    /// # Errors
    /// `ESRCH`: there is no such process.
    pub(crate) fn signal(&self, sender: &Process, target: Target, signal: Option<Signal>) -> Result<()> {
        let state = self.state.lock();
        let first = state.entries.get(&sender.pid()).map_or(0, |entry| entry.first);
        let meant = |pid: u32, entry: &Entry| match target {
            Target::One(one) => pid == one,
            Target::Group => entry.first == first,
            Target::Others => entry.first == first && pid != first && pid != sender.pid(),
        };
        let found = state.entries.iter().filter(|(pid, entry)| meant(**pid, entry));
        let mut exists = false;
        let living: Vec<Arc<Process>> =
            found.inspect(|_| exists = true).filter_map(|(_, entry)| entry.living()).collect();
        drop(state);
        if !exists {
            return Err(Errno::SRCH);
        }
        // Parents first: one that is to end sees no child end before.
        for process in &living {
            signal.into_iter().for_each(|signal| process.signals().send(signal));
        }
        Ok(())
    }

    /// Waits until nothing of a family is left, for up to so long; whether that came.
    pub fn wait_for_all(&self, first: u32, time: Duration) -> bool {
        let until = Instant::now().checked_add(time);
        let mut state = self.state.lock();
        loop {
            if !state.entries.values().any(|entry| entry.first == first) {
                return true;
            }
            let is_over = match until {
                Some(until) => self.changed.wait_until(&mut state, until).timed_out(),
                None => {
                    self.changed.wait(&mut state);
                    false
                }
            };
            if is_over {
                return !state.entries.values().any(|entry| entry.first == first);
            }
        }
    }

    /// The numbers of those that live.
    pub fn pids(&self) -> Vec<u32> {
        let state = self.state.lock();
        state.entries.iter().filter(|(_, entry)| entry.lives()).map(|(&pid, _)| pid).collect()
    }

    /// The lowest number of one that lives, from this one on.
    pub fn next(&self, from: u32) -> Option<u32> {
        let state = self.state.lock();
        state.entries.range(from..).find(|(_, entry)| entry.lives()).map(|(&pid, _)| pid)
    }

    /// The process with this number, if it lives.
    pub fn process(&self, pid: u32) -> Option<Arc<Process>> {
        self.state.lock().entries.get(&pid)?.living()
    }

    /// The number of a process's parent, 0 for a first process.
    ///
    /// # Errors
    /// `ESRCH`: there is no such process.
    pub fn parent(&self, pid: u32) -> Result<u32> {
        self.state.lock().entries.get(&pid).map(|entry| entry.parent).ok_or(Errno::SRCH)
    }
}

/// A number set aside for a child; free again when dropped unused.
pub(crate) struct ReservedPid<'a> {
    table: &'a ProcessTable,
    pid: u32,
    used: bool,
}

impl ReservedPid<'_> {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Gives the number to the child.
    pub(crate) fn fill(mut self, child: &Arc<Process>) {
        self.used = true;
        let mut state = self.table.state.lock();
        if let Some(entry) = state.entries.get_mut(&self.pid) {
            entry.life = Life::Living(Arc::downgrade(child));
        }
        // The family may have been told to end before it was seen to have this child.
        let first = state.entries.get(&self.pid).map_or(0, |entry| entry.first);
        let is_late = !state.entries.contains_key(&first);
        drop(state);
        if is_late {
            child.signals().send(Signal::KILL);
        }
    }
}

impl Drop for ReservedPid<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.table.state.lock().entries.remove(&self.pid);
            self.table.changed.notify_all();
        }
    }
}
