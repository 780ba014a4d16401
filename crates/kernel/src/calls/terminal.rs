//! The process's terminal.

use vnode_core::{Errno, Result};

use crate::fd_table::Fd;
use crate::process::Process;
use crate::rights::Rights;
use crate::stream::{Terminal, TerminalMode, TerminalState};

impl Process {
    /// How the process's terminal is.
    ///
    /// # Errors
    /// `ENOTTY`: it has none. `EIO`: that is gone.
    pub fn terminal_state(&self) -> Result<TerminalState> {
        self.own_terminal()?.state()
    }

    /// Changes how the process's terminal treats what is typed.
    ///
    /// # Errors
    /// As [`Process::terminal_state`].
    pub fn set_terminal_mode(&self, mode: TerminalMode) -> Result<()> {
        self.own_terminal()?.set_mode(mode)
    }

    /// Whether a descriptor is of a terminal (`isatty(3)`).
    pub fn is_terminal(&self, fd: Fd) -> bool {
        let file = self.fds.get(fd, Rights::empty());
        file.is_ok_and(|file| file.as_stream().is_some_and(|stream| stream.as_terminal().is_some()))
    }

    fn own_terminal(&self) -> Result<&dyn Terminal> {
        self.terminal.as_deref().and_then(|stream| stream.as_terminal()).ok_or(Errno::NOTTY)
    }
}
