//! What vnode says when it can't do what it was asked, and the exit code that goes with it.

use std::fmt;
use std::process::ExitCode;

use vnode_cli::text::without_controls;

/// Exit codes of the command's own failures, as `env(1)` and container runners have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// An option is wrong, or what it names can't be set up.
    Setup = 125,
    /// The module is there and can't be run.
    CannotRun = 126,
    /// The module is not there.
    NotFound = 127,
}

/// The end of a run whose time is over, as `timeout(1)` ends.
pub(crate) const TIMED_OUT: u8 = 124;
/// The end of a guest by a trap: what a shell tells of `abort(3)`.
pub(crate) const TRAPPED: u8 = 134;
/// Added to the number of the signal that ended a guest.
pub(crate) const SIGNALED: u8 = 128;

/// A failure before the guest's first instruction.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    pub(crate) fn setup(message: impl Into<String>) -> Failure {
        Failure { code: Code::Setup, message: message.into() }
    }

    pub(crate) fn cannot_run(message: impl Into<String>) -> Failure {
        Failure { code: Code::CannotRun, message: message.into() }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Failure {
        Failure { code: Code::NotFound, message: message.into() }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Puts a line of vnode's own on stderr. What can't be written there can't be told anywhere.
///
/// Names in it may come from a module or an archive. No character of theirs drives the terminal.
pub(crate) fn say(message: impl fmt::Display) {
    use std::io::Write as _;
    let message = without_controls(&message.to_string());
    let _ = writeln!(std::io::stderr().lock(), "vnode: {message}");
}
