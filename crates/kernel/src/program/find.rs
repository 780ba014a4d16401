//! From a path or a name to a program that can be run, with the arguments that it gets.

use vnode_core::{Errno, Place, Result, VPath};

use super::script::{self, Head};
use super::{ARG_LEN_MAX, ARG_MAX, Execute, Program, ProgramFile, Search};
use crate::process::Process;
use crate::strings::Strings;
use crate::wait::Interruption;

/// How often a script's interpreter may be a script itself, and what it leads to is one more.
const FILES_MAX: usize = 6;

/// Where names are searched for by a process without `PATH`.
pub const USUAL_PATH: &str = "/usr/local/bin:/bin:/usr/bin";

/// Who interprets a file that was found by its name and is no program (POSIX, `execvp`).
const SHELL: &[u8] = b"/bin/sh";

/// What becomes of a file that was searched for and is no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// `ENOEXEC`, as C libraries have it for `posix_spawnp`.
    Refused,
    /// The shell reads it, as POSIX has it for `execvp`.
    Shell,
}

/// A program that can be run, and all that a process needs to become it.
pub(crate) struct Ready {
    pub(crate) program: Box<dyn Program>,
    pub(crate) args: Strings,
    pub(crate) env: Option<Strings>,
    pub(crate) place: Place,
    pub(crate) path: Vec<u8>,
}

impl Process {
    /// Finds a program, and does all that can fail. It stops when `stop` says that who asked for it is to end.
    ///
    /// # Errors
    /// Those of [`Process::execute`].
    pub(crate) fn prepare(&self, execute: &Execute, unknown: Unknown, stop: &Interruption) -> Result<Ready> {
        let finding = Finding { process: self, execute, stop };
        match &execute.search {
            Search::Path(path) if !execute.path.contains(&b'/') => {
                finding.search(unknown, path.as_deref().unwrap_or(USUAL_PATH.as_bytes()))
            }
            Search::Path(_) if unknown == Unknown::Shell => finding.file_or_text(&execute.path),
            _ => finding.file(&execute.path, Lead::default()),
        }
    }
}

/// What stands before the caller's own arguments, in place of the first so many of them.
#[derive(Default)]
struct Lead {
    args: Vec<Vec<u8>>,
    replaced: usize,
}

/// A program that is looked for.
struct Finding<'a> {
    process: &'a Process,
    execute: &'a Execute,
    stop: &'a Interruption,
}

impl<'a> Finding<'a> {
    /// Looks for a name in directories (`execvp(3)`).
    fn search(&self, unknown: Unknown, directories: &[u8]) -> Result<Ready> {
        if self.execute.path.is_empty() {
            return Err(Errno::NOENT);
        }
        let mut failure = Errno::NOENT;
        for directory in directories.split(|&byte| byte == b':') {
            let mut path = directory.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&self.execute.path);
            let found = match unknown {
                Unknown::Shell => self.file_or_text(&path),
                Unknown::Refused => self.file(&path, Lead::default()),
            };
            match found {
                Err(Errno::ACCES) => failure = Errno::ACCES,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT) => {}
                found => return found,
            }
        }
        Err(failure)
    }

    /// Has the shell read what is no program.
    fn file_or_text(&self, path: &[u8]) -> Result<Ready> {
        match self.file(path, Lead::default()) {
            Err(Errno::NOEXEC) => {
                let lead = Lead { args: vec![SHELL.to_vec(), path.to_vec()], replaced: 1 };
                self.file(SHELL, lead).map_err(|_| Errno::NOEXEC)
            }
            found => found,
        }
    }

    /// Finds what runs a file: itself, or what its first line names.
    fn file(&self, path: &[u8], mut lead: Lead) -> Result<Ready> {
        if self.stop.is_killed() || self.process.interruption().is_killed() {
            return Err(Errno::INTR);
        }
        let loader = self.process.loader().ok_or(Errno::NOSYS)?;
        let mut path = path.to_vec();
        for _ in 0..FILES_MAX {
            let file = self.open(&path)?;
            let mut bytes = [0; script::HEAD];
            let filled = file.fill(&mut bytes)?;
            match script::head(bytes.get(..filled).unwrap_or_default()) {
                // Linux finds the current directory there.
                Head::Script(interpreter) if interpreter.path.is_empty() => return Err(Errno::ACCES),
                Head::Script(interpreter) => {
                    let mut args = vec![interpreter.path.to_vec()];
                    args.extend(interpreter.argument.map(<[u8]>::to_vec));
                    args.push(core::mem::replace(&mut path, interpreter.path.to_vec()));
                    args.extend(lead.args.into_iter().skip(1));
                    lead = Lead { args, replaced: 1 };
                }
                Head::Unusable => return Err(Errno::NOEXEC),
                Head::Other => {
                    let (args, env) = self.strings(&lead)?;
                    let program = loader.load(&file)?;
                    return Ok(Ready { program, args, env, place: file.place, path });
                }
            }
        }
        Err(Errno::LOOP)
    }

    /// The arguments and, if there is another one, the environment.
    ///
    /// # Errors
    /// `E2BIG`: one is 128 KiB or more, or together they have over 2 MiB. `EINVAL`: one holds a NUL byte.
    fn strings(&self, lead: &Lead) -> Result<(Strings, Option<Strings>)> {
        let own = self.execute.args.iter().skip(lead.replaced);
        // Programs take it for granted that there is one argument.
        let first = (lead.args.is_empty() && self.execute.args.is_empty()).then_some(&[][..]);
        let args = || {
            let lead = lead.args.iter().map(Vec::as_slice);
            first.into_iter().chain(lead).chain(own.clone().map(Vec::as_slice))
        };
        let kept = self.process.env();
        let mut room = ARG_MAX;
        args().try_for_each(|arg| take_room(&mut room, arg))?;
        match &self.execute.env {
            Some(env) => env.iter().try_for_each(|variable| take_room(&mut room, variable))?,
            None => kept.iter().try_for_each(|variable| take_room(&mut room, variable))?,
        }
        Ok((Strings::new(args())?, self.execute.env.as_ref().map(Strings::new).transpose()?))
    }

    fn open(&self, path: &[u8]) -> Result<ProgramFile<'a>> {
        let text = VPath::new(path)?;
        let process = self.process;
        let (place, file, attr) = process.call(|caller| {
            let (place, file) = caller.open_program(&process.context.load().cwd, text)?;
            let attr = place.attr(caller.cx)?;
            Ok((place, file, attr))
        })?;
        Ok(ProgramFile { process, place, file, attr })
    }
}

/// Counts a string as Linux does: with its NUL byte and its address.
fn take_room(room: &mut usize, string: &[u8]) -> Result<()> {
    let taken = string.len().saturating_add(1 + size_of::<usize>());
    *room = room.checked_sub(taken).filter(|_| string.len() < ARG_LEN_MAX).ok_or(Errno::TOOBIG)?;
    Ok(())
}
