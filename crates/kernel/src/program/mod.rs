//! Programs: how a path becomes something that runs (`execve(2)`).
//!
//! `find` looks the file up, along `PATH` if asked; `script` reads `#!`; a [`Loader`], the engine, makes a [`Program`] of
//! what is left.

mod find;
mod script;

use core::any::Any;
use std::sync::Arc;

use vnode_core::fs::{Caps, File};
use vnode_core::io::Sink;
use vnode_core::{Attr, Errno, Place, Result};

use crate::process::Process;

pub use find::USUAL_PATH;
pub(crate) use find::{Ready, Unknown};

/// The most bytes of a program's file.
const SIZE_MAX: u64 = 256 << 20;

/// Seconds after which no filesystem gives a change the time of an earlier one.
const SETTLED: i64 = 3;

/// The most bytes of arguments and environment (`ARG_MAX`).
const ARG_MAX: usize = 2 << 20;

/// The most bytes of one of them, its NUL byte among them (`MAX_ARG_STRLEN` in Linux).
const ARG_LEN_MAX: usize = 128 << 10;

/// Makes programs of files: the engine.
pub trait Loader: Send + Sync {
    /// The program in a file that may be executed.
    ///
    /// # Errors
    /// `ENOEXEC`: it is none that can be run here. `ENOMEM`. What reading it says.
    fn load(&self, file: &ProgramFile<'_>) -> Result<Box<dyn Program>>;
}

/// A program that was found and can be run.
pub trait Program: Any + Send {
    /// Runs it as a process, on a thread of its own. The process ends ([`Process::end`]) when the program does.
    ///
    /// # Errors
    /// `EAGAIN`: there is no thread for it; nothing has run.
    fn start(self: Box<Self>, process: &Arc<Process>) -> Result<()>;
}

/// A program's file, that a [`Loader`] reads if it doesn't know it.
pub struct ProgramFile<'a> {
    process: &'a Process,
    place: Place,
    file: Arc<dyn File>,
    attr: Attr,
}

impl ProgramFile<'_> {
    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether its content is the same as long as its inode is there.
    pub fn never_changes(&self) -> bool {
        self.place.mount().filesystem().caps().contains(Caps::READ_ONLY)
    }

    /// Its attributes.
    pub fn attr(&self) -> &Attr {
        &self.attr
    }

    /// Whether a change from now on shows in its attributes: its last one is so long ago that the next has another time.
    pub fn changes_show(&self) -> bool {
        let now = self.process.call_on_open(|cx| Ok(cx.now().sec)).unwrap_or(i64::MIN);
        self.attr.ctime.sec.saturating_add(SETTLED) < now
    }

    /// Whether it begins with these bytes, which are few.
    ///
    /// # Errors
    /// `EIO`, `EINTR`.
    pub fn starts_with(&self, bytes: &[u8]) -> Result<bool> {
        let mut head = vec![0; bytes.len()];
        Ok(self.fill(&mut head)? == bytes.len() && head == bytes)
    }

    /// Its content.
    ///
    /// # Errors
    /// `ENOMEM`: more than 256 MiB, or the host has not so much. `EIO`, `EINTR`.
    pub fn read(&self) -> Result<Vec<u8>> {
        if self.attr.size > SIZE_MAX {
            return Err(Errno::NOMEM);
        }
        let size = usize::try_from(self.attr.size).map_err(|_| Errno::NOMEM)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| Errno::NOMEM)?;
        bytes.resize(size, 0);
        let filled = self.fill(&mut bytes)?;
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Its beginning, as much of it as has room.
    fn fill(&self, into: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let mut sink = Sink::from_slice(rest);
            let count = self.process.call_on_open(|cx| self.file.read_at(cx, filled as u64, &mut sink))?;
            match count {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }
}

/// A program to be executed.
#[derive(Clone, Debug)]
pub struct Execute {
    /// Its path, or a name to be searched for.
    pub path: Vec<u8>,
    /// Its arguments, its own name first.
    pub args: Vec<Vec<u8>>,
    /// Its environment, `NAME=VALUE` each; nothing to keep that of the process.
    pub env: Option<Vec<Vec<u8>>>,
    /// How a path without a slash is found.
    pub search: Search,
}

/// How a name is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// It is a path (`execve(2)`).
    No,
    /// In these directories, separated by colons (`PATH`); nothing for the usual ones.
    Path(Option<Vec<u8>>),
}
