//! The terminal.

use vnode_core::Result;
use vnode_kernel::Process;
use vnode_kernel::stream::TerminalMode;

use crate::layout;
use crate::memory::GuestMemory;
use crate::outcome::Outcome;
use crate::serve::{Gave, observed};

/// The bytes of a `tty`.
const TTY: usize = 24;
/// Where the flags are in it that can be set.
const ECHO: usize = 19;
const LINE_BUFFERED: usize = 20;

/// Tells the size of the terminal, which of the standard streams are terminals, and how what is typed is treated
/// (`tcgetattr(3)`, `TIOCGWINSZ`).
///
/// # Errors
/// `ENOTTY`: the process has no terminal. `EIO`: it is gone.
pub fn tty_get(process: &Process, memory: &GuestMemory<'_>, tty: u32) -> Outcome {
    let run = || {
        let slot = memory.slot(tty)?;
        let state = process.terminal_state()?;
        slot.put(layout::tty(&state, [0, 1, 2].map(|fd| process.is_terminal(fd))));
        Ok(Gave::Nothing)
    };
    observed(process, memory, "tty_get", run, |_| {})
}

fn mode(memory: &GuestMemory<'_>, tty: u32) -> Result<TerminalMode> {
    let bytes: [u8; TTY] = memory.read(tty)?;
    Ok(TerminalMode { echo: bytes[ECHO] != 0, line_buffered: bytes[LINE_BUFFERED] != 0 })
}

/// Sets how what is typed is treated: whether it is shown, and whether it is read by lines. Nothing else of the terminal
/// changes (`tcsetattr(3)`).
///
/// # Errors
/// As [`tty_get`].
pub fn tty_set(process: &Process, memory: &GuestMemory<'_>, tty: u32) -> Outcome {
    let run = || process.set_terminal_mode(mode(memory, tty)?).map(|()| Gave::Nothing);
    observed(process, memory, "tty_set", run, |show| {
        if let Ok(mode) = mode(memory, tty) {
            show.any(if mode.echo { "ECHO" } else { "-ECHO" });
            show.any(if mode.line_buffered { "ICANON" } else { "-ICANON" });
        }
    })
}
