//! The `vnode` command: runs WebAssembly programs on a POSIX-true filesystem.
//!
//! * `options` parses the command line and holds the help; `mounts` is the table of the mount options, and
//!   `quantity` the sizes and times in them.
//! * `run` runs a guest, with `tree` (its mounts, filled by the library's `load`), `system` (what a POSIX process has besides), `commands` (`/bin`), `trusted` (what no guest may write to),
//!   `environment`, `interrupt` (signals for the guest), `trace` and `stats`.
//! * `sandbox` is what can be done with what guests changed, and `diff` how that is told.
//! * `failure` is what is said, and the exit code, when a guest can't be started.
//!
//! Nothing goes to stdout that the guest didn't write, but for help, version, completions and what
//! `vnode sandbox` tells. What vnode says
//! goes to stderr behind `vnode: `.

mod commands;
mod diff;
mod emulation;
mod environment;
mod failure;
mod interrupt;
mod mounts;
mod options;
mod quantity;
mod run;
mod sandbox;
mod stats;
mod system;
mod trace;
mod tree;
mod trusted;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;

use failure::{Code, say};
use options::Action;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        say(format_args!("this is an error of vnode itself; please report it: {panic}"));
    }));
    #[cfg(unix)]
    vnode_host::Host::make_room();
    match options::parse(std::env::args_os()) {
        Ok(Action::Run { options, mounts }) => run::run(&options, &mounts).unwrap_or_else(|failure| {
            say(&failure);
            failure.exit_code()
        }),
        Ok(Action::Sandbox(action)) => sandbox::run(action).unwrap_or_else(|failure| {
            say(&failure);
            failure.exit_code()
        }),
        Ok(Action::Completions(shell)) => {
            print_completions(shell);
            ExitCode::SUCCESS
        }
        Err(error) => usage(&error),
    }
}

fn print_completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut options::command(), "vnode", &mut script);
    // Who closes the pipe has read enough.
    let _ = std::io::stdout().lock().write_all(&script);
}

/// Prints what clap has to say: the help asked for, or what is wrong with the command line.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Colours and the pager's width are clap's business; a closed stdout is nobody's.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            say(format_args!("nothing to do\n\n{}", error.render()));
        }
        _ => {
            let text = error.render().to_string();
            say(text.strip_prefix("error: ").unwrap_or(&text).trim_end());
        }
    }
    ExitCode::from(Code::Setup as u8)
}
