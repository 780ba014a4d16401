//! Terminals: their size, and how they treat what is typed (`termios(3)`).

use vnode_core::Result;

/// How a terminal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalState {
    /// Characters in a line; 0 if that isn't known (`TIOCGWINSZ`).
    pub columns: u32,
    /// Lines; 0 if that isn't known.
    pub rows: u32,
    /// Pixels in a line; 0 if that isn't known.
    pub width: u32,
    /// Lines of pixels; 0 if that isn't known.
    pub height: u32,
    /// How it treats what is typed.
    pub mode: TerminalMode,
}

/// How a terminal treats what is typed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalMode {
    /// What is typed is shown (`ECHO`).
    pub echo: bool,
    /// What is typed is read by lines, which can be edited (`ICANON`). Without, each character is read at once.
    pub line_buffered: bool,
}

/// A terminal.
pub trait Terminal: Send + Sync {
    /// How it is (`tcgetattr(3)`).
    ///
    /// # Errors
    /// `EIO`: it is gone.
    fn state(&self) -> Result<TerminalState>;

    /// Changes how it treats what is typed, and nothing else (`tcsetattr(3)` with `TCSANOW`).
    ///
    /// # Errors
    /// `EIO`: it is gone, or isn't this process's to change.
    fn set_mode(&self, mode: TerminalMode) -> Result<()>;
}
