//! Which processes there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use vnode_core::{Errno, Result};

use crate::process::Process;

/// The processes that `/proc` shows. Whoever knows them must not be kept alive by them.
pub trait Processes: Send + Sync {
    /// Their numbers.
    fn pids(&self) -> Vec<u32>;

    /// The process with this number; none with 0.
    fn process(&self, pid: u32) -> Option<Arc<Process>>;

    /// The lowest number from this one on.
    fn next(&self, from: u32) -> Option<u32> {
        self.pids().into_iter().filter(|&pid| pid >= from).min()
    }

    /// The number of a process's parent; 0 if it has none.
    fn parent(&self, pid: u32) -> u32 {
        let _ = pid;
        0
    }
}

/// A list of processes that somebody else keeps.
#[derive(Default)]
pub struct ProcessList {
    processes: Mutex<BTreeMap<u32, Weak<Process>>>,
}

impl ProcessList {
    /// An empty list.
    pub fn new() -> Self {
        ProcessList::default()
    }

    /// Lists a process until it is dropped. From now on it notes the paths by which it opens files
    /// ([`Process::note_paths`]).
    ///
    /// # Errors
    /// `EEXIST`: another process has its number. `EINVAL`: its number is 0.
    pub fn add(&self, process: &Arc<Process>) -> Result<()> {
        let pid = process.pid();
        if pid == 0 {
            return Err(Errno::INVAL);
        }
        let mut processes = self.processes.lock();
        processes.retain(|_, process| process.strong_count() > 0);
        if processes.contains_key(&pid) {
            return Err(Errno::EXIST);
        }
        processes.insert(pid, Arc::downgrade(process));
        drop(processes);
        process.note_paths();
        Ok(())
    }

    /// Takes a process off.
    pub fn remove(&self, pid: u32) {
        self.processes.lock().remove(&pid);
    }
}

impl Processes for ProcessList {
    fn pids(&self) -> Vec<u32> {
        let processes = self.processes.lock();
        processes.iter().filter(|(_, process)| process.strong_count() > 0).map(|(&pid, _)| pid).collect()
    }

    fn process(&self, pid: u32) -> Option<Arc<Process>> {
        self.processes.lock().get(&pid)?.upgrade()
    }

    fn next(&self, from: u32) -> Option<u32> {
        let processes = self.processes.lock();
        processes.range(from..).find(|(_, process)| process.strong_count() > 0).map(|(&pid, _)| pid)
    }
}
