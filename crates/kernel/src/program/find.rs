//! From a path or a name to a program that can be run, with the arguments that it gets.

use vnode_core::{Errno, Place, Result, VPath};

use super::script::{self, Head};
use super::{Execute, Program, ProgramFile, Search, strings};
use crate::process::Process;
use crate::strings::Strings;

/// How often a script's interpreter may be a script itself, and what it leads to is one more.
const FILES_MAX: usize = 6;

/// Where names are searched for by a process without `PATH`.
const USUAL: &[u8] = b"/usr/local/bin:/bin:/usr/bin";

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
    /// Finds a program, and does all that can fail.
    ///
    /// # Errors
    /// Those of [`Process::execute`].
    pub(crate) fn prepare(&self, execute: &Execute, unknown: Unknown) -> Result<Ready> {
        let env = execute.env.as_deref().map(strings).transpose()?;
        match &execute.search {
            Search::Path(path) if !execute.path.contains(&b'/') => {
                self.search(execute, unknown, path.as_deref().unwrap_or(USUAL), env)
            }
            Search::Path(_) if unknown == Unknown::Shell => {
                self.prepare_or_interpret(&execute.path, execute, env)
            }
            _ => self.prepare_file(&execute.path, execute.args.clone(), env),
        }
    }

    /// Looks for a name in directories (`execvp(3)`).
    fn search(
        &self,
        execute: &Execute,
        unknown: Unknown,
        directories: &[u8],
        env: Option<Strings>,
    ) -> Result<Ready> {
        if execute.path.is_empty() {
            return Err(Errno::NOENT);
        }
        let mut failure = Errno::NOENT;
        for directory in directories.split(|&byte| byte == b':') {
            let mut path = directory.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&execute.path);
            let found = match unknown {
                Unknown::Shell => self.prepare_or_interpret(&path, execute, env.clone()),
                Unknown::Refused => self.prepare_file(&path, execute.args.clone(), env.clone()),
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
    fn prepare_or_interpret(&self, path: &[u8], execute: &Execute, env: Option<Strings>) -> Result<Ready> {
        match self.prepare_file(path, execute.args.clone(), env.clone()) {
            Err(Errno::NOEXEC) => {
                let own = execute.args.iter().skip(1).cloned();
                let args = [SHELL.to_vec(), path.to_vec()].into_iter().chain(own).collect();
                self.prepare_file(SHELL, args, env).map_err(|_| Errno::NOEXEC)
            }
            found => found,
        }
    }

    /// Finds what runs a file: itself, or what its first line names.
    fn prepare_file(&self, path: &[u8], mut args: Vec<Vec<u8>>, env: Option<Strings>) -> Result<Ready> {
        let loader = self.loader().ok_or(Errno::NOSYS)?;
        let mut path = path.to_vec();
        for _ in 0..FILES_MAX {
            let file = self.open_program(&path)?;
            let mut bytes = [0; script::HEAD];
            let filled = file.fill(&mut bytes)?;
            match script::head(bytes.get(..filled).unwrap_or_default()) {
                // Linux finds the current directory there.
                Head::Script(interpreter) if interpreter.path.is_empty() => return Err(Errno::ACCES),
                Head::Script(interpreter) => {
                    let own = args.into_iter().skip(1);
                    let mut new = vec![interpreter.path.to_vec()];
                    new.extend(interpreter.argument.map(<[u8]>::to_vec));
                    new.push(core::mem::replace(&mut path, interpreter.path.to_vec()));
                    new.extend(own);
                    args = new;
                }
                Head::Unusable => return Err(Errno::NOEXEC),
                Head::Other => {
                    if args.is_empty() {
                        // Programs take it for granted that there is one.
                        args.push(Vec::new());
                    }
                    let args = strings(&args)?;
                    let program = loader.load(&file)?;
                    return Ok(Ready { program, args, env, place: file.place, path });
                }
            }
        }
        Err(Errno::LOOP)
    }

    fn open_program(&self, path: &[u8]) -> Result<ProgramFile<'_>> {
        let text = VPath::new(path)?;
        let (place, file, attr) = self.call(|caller| {
            let (place, file) = caller.open_program(&self.context.load().cwd, text)?;
            let attr = place.attr(caller.cx)?;
            Ok((place, file, attr))
        })?;
        Ok(ProgramFile { process: self, place, file, attr })
    }
}
