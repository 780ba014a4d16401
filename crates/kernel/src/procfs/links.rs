//! The links that lead to what is open (`proc_pid_get_link` in Linux): where they lead and how they read.

use core::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{Access, Jump};
use vnode_core::{
    Caller, Capabilities, Credentials, Cx, Errno, FileType, Follow, Place, Policy, Result, VPath,
};

use super::entry::{Entry, ProcNode};
use super::streams::{self, OpenStream};
use crate::fd_table::FdEntry;
use crate::open_file::{OpenFile, What};
use crate::process::Process;
use crate::rights::Rights;

/// What Linux says behind the path of something whose name is gone.
const DELETED: &[u8] = b" (deleted)";

/// Whether the caller may look into a process (`__ptrace_may_access`).
///
/// # Errors
/// `EACCES`.
pub(super) fn check_look(cx: &Cx<'_>, process: &Process) -> Result<()> {
    let (who, whose) = (cx.credentials(), &process.credentials);
    let same = who.uid == whose.uid && who.gid == whose.gid && who.has(whose.capabilities);
    if same || who.has(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::ACCES) }
}

/// A link to what a process has.
pub(super) struct Link {
    process: Arc<Process>,
    entry: Entry,
}

/// What a link is about.
enum Target {
    Open(Arc<OpenFile>, FdEntry),
    Directory(Place),
    Program { place: Place, path: Arc<[u8]> },
}

impl Link {
    /// # Errors
    /// `ENOENT`: the process is gone. `EINVAL`: no link.
    pub(super) fn of(node: &ProcNode) -> Result<Self> {
        match node.entry() {
            Entry::Fd(_) | Entry::Cwd | Entry::ProcessRoot | Entry::Exe => {
                Ok(Link { process: node.process()?, entry: node.entry() })
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// # Errors
    /// `ENOENT`: closed meanwhile, or the process has ended. `EACCES`: it is not for the caller.
    fn target(&self, caller: &Caller<'_>) -> Result<Target> {
        check_look(caller.cx, &self.process)?;
        if self.process.exit().is_some() {
            return Err(Errno::NOENT);
        }
        let place = |place: &Place| Target::Directory(place.clone());
        match self.entry {
            Entry::Fd(fd) => {
                let open = self.process.fds().get_entry(fd, Rights::empty());
                open.map(|(file, entry)| Target::Open(file, entry)).map_err(|_| Errno::NOENT)
            }
            Entry::Cwd => Ok(place(&self.process.context().cwd)),
            Entry::ProcessRoot => Ok(place(&self.process.context().root)),
            _ => {
                let program = self.process.executable().ok_or(Errno::NOENT)?;
                Ok(Target::Program { place: Place::clone(&program.place), path: Arc::clone(&program.path) })
            }
        }
    }

    /// Whether the process that calls is the one that the link is of. A number alone doesn't tell, for whoever makes
    /// processes may give one twice; but each has its root through a mount that is its own.
    fn is_own(&self, caller: &Caller<'_>) -> bool {
        let context = self.process.context();
        caller.cx.pid() == self.process.pid() && Arc::ptr_eq(caller.root.mount(), context.root.mount())
    }

    /// Checks that a place is no more than what the caller has or could reach. What a process has open is its own; of
    /// another one's, who must have the same root, streams, and what has a path below that.
    ///
    /// # Errors
    /// `EACCES`.
    fn check_reach(&self, caller: &Caller<'_>, target: &Target) -> Result<()> {
        if self.is_own(caller) {
            return Ok(());
        }
        let context = self.process.context();
        let one_tree = core::ptr::eq(caller.ns, &*self.process.namespace) && caller.root.is(&context.root);
        let is_stream = matches!(target, Target::Open(file, _) if file.place().is_none());
        let reached = one_tree && (is_stream || path_of(caller, &self.process, target).is_ok());
        if reached { Ok(()) } else { Err(Errno::ACCES) }
    }
}

impl Jump for Link {
    fn place(&self, caller: &Caller<'_>) -> Result<Place> {
        let target = self.target(caller)?;
        self.check_reach(caller, &target)?;
        match &target {
            Target::Directory(place) | Target::Program { place, .. } => Ok(place.clone()),
            Target::Open(file, entry) => place_of_open(file, entry, &self.process.credentials),
        }
    }

    fn text(&self, caller: &Caller<'_>) -> Result<Arc<[u8]>> {
        let target = self.target(caller)?;
        if let Target::Open(file, _) = &target
            && let What::Stream { stream, ino } = &file.what
        {
            return Ok(match stream.kind() {
                FileType::Fifo => format!("pipe:[{ino}]").into_bytes().into(),
                FileType::Socket => format!("socket:[{ino}]").into_bytes().into(),
                _ => Arc::from(&b"/dev/tty"[..]),
            });
        }
        match path_of(caller, &self.process, &target) {
            Ok(path) => Ok(path.into()),
            // What doesn't lead there any more is told with a word; what is outside of the caller's root isn't.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                if let Target::Open(file, _) = &target
                    && let Some(path) = renamed(caller, file)?
                {
                    return Ok(path.into());
                }
                let mut path = last_path(caller, &target)?;
                path.extend_from_slice(DELETED);
                Ok(path.into())
            }
            Err(errno) => Err(errno),
        }
    }
}

/// The place of what a descriptor stands for. One with fewer rights than the place gives is no way there.
///
/// # Errors
/// `EACCES`: it has fewer.
fn place_of_open(file: &OpenFile, entry: &FdEntry, owner: &Credentials) -> Result<Place> {
    let whole = match &file.what {
        What::Regular { .. } => file.origin().is_some_and(|origin| origin.whole),
        What::Directory { .. } => entry.inheriting().contains(Rights::INHERITABLE),
        What::Device { .. } => true,
        What::Stream { stream, ino } => {
            let mut access = stream.access();
            for (part, right) in [(Access::READ, Rights::FD_READ), (Access::WRITE, Rights::FD_WRITE)] {
                access.set(part, access.contains(part) && entry.base().contains(right));
            }
            let stream = Arc::clone(stream);
            let (uid, gid) = (owner.uid, owner.gid);
            return Ok(streams::place_of(OpenStream { stream, ino: *ino, access, uid, gid }));
        }
    };
    if whole { file.place().cloned().ok_or(Errno::NOENT) } else { Err(Errno::ACCES) }
}

/// The caller as a POSIX process: `/proc` tells paths as the process's root has them, whatever its paths may do.
fn posix<'a>(caller: &Caller<'a>) -> Caller<'a> {
    Caller { policy: Policy::Posix, ..*caller }
}

/// The path that leads there now.
///
/// # Errors
/// `ENOENT` and such: none is known.
fn path_of(caller: &Caller<'_>, process: &Process, target: &Target) -> Result<Vec<u8>> {
    let caller = &posix(caller);
    match target {
        Target::Directory(place) => caller.getcwd(place),
        Target::Program { place, path } => caller.path_of(place, &process.context().root, VPath::new(path)?),
        Target::Open(file, _) => match &file.what {
            What::Directory { place, .. } => caller.getcwd(place),
            What::Regular { place, .. } | What::Device { place, .. } => {
                let origin = file.origin().ok_or(Errno::NOENT)?;
                caller.path_of(place, &origin.base, VPath::new(&origin.path)?)
            }
            What::Stream { .. } => Err(Errno::NOENT),
        },
    }
}

/// The path that led there once.
///
/// # Errors
/// `ENOENT`: none is known.
fn last_path(caller: &Caller<'_>, target: &Target) -> Result<Vec<u8>> {
    let (base, path) = match target {
        Target::Directory(_) => return Err(Errno::NOENT),
        Target::Program { path, .. } => return Ok(path.to_vec()),
        Target::Open(file, _) => {
            let origin = file.origin().ok_or(Errno::NOENT)?;
            (&origin.base, &origin.path)
        }
    };
    if path.starts_with(b"/") {
        return Ok(path.to_vec());
    }
    let mut text = posix(caller).getcwd(base)?;
    if text.last() != Some(&b'/') {
        text.push(b'/');
    }
    text.extend_from_slice(path);
    Ok(text)
}

/// Another name of an open file in the directory that it was found in: files are renamed while they are open, and no
/// filesystem tells what a file is called.
fn renamed(caller: &Caller<'_>, file: &OpenFile) -> Result<Option<Vec<u8>>> {
    let (Some(origin), What::Regular { place, .. }) = (file.origin(), &file.what) else { return Ok(None) };
    let attr = place.attr(caller.cx)?;
    if attr.nlink == 0 {
        return Ok(None);
    }
    let caller = &posix(caller);
    let slash = origin.path.iter().rposition(|&byte| byte == b'/');
    let dir = match slash {
        None => Place::clone(&origin.base),
        Some(slash) => caller.resolve(&origin.base, VPath::new(&origin.path[..=slash])?, Follow::Yes)?,
    };
    let mut found = None;
    caller.list(&dir)?.list(caller, 0, &mut |entry| {
        if entry.ino == attr.ino && entry.kind == FileType::Regular {
            found = VPath::new(entry.name).and_then(|name| caller.path_of(place, &dir, name)).ok();
        }
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}
