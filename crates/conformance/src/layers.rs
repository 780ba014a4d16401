//! Directories of the host that are the layers of an overlay: vnode's, and the kernel's.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use vnode_core::{Clock, Credentials, Cx, Errno, FilesystemRef, Result, Timespec};
use vnode_host::Host;
use vnode_overlay::{Marks, Overlay};

use crate::tree::{Times, Tree};
use crate::vnode::{Layout, Vnode};
use crate::{call, value};

/// The clock of calls that set no time.
pub(crate) struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

/// A directory with the layers of an overlay, that goes with it: `lower`, `top/upper`, `top/work` and, for what the
/// kernel mounts, `mounted`.
#[derive(Debug)]
pub struct Layers {
    path: PathBuf,
    lowers: Vec<PathBuf>,
}

impl Layers {
    /// Empty ones, with one lower.
    ///
    /// # Errors
    /// `EIO`: they can't be made there.
    pub fn new(within: &Path) -> Result<Self> {
        let mut layers = Layers::over(within, Vec::new())?;
        let lower = layers.path.join("lower");
        make_all(&lower)?;
        layers.lowers.push(lower);
        Ok(layers)
    }

    /// An empty upper, over lowers that are there and stay.
    ///
    /// # Errors
    /// As [`Layers::new`].
    pub fn over(within: &Path, lowers: Vec<PathBuf>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = within.join(format!("vnode-layers-{}-{number}", std::process::id()));
        for name in ["top/upper", "top/work", "mounted"] {
            make_all(&path.join(name))?;
        }
        Ok(Layers { path, lowers })
    }

    /// A directory in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The topmost lower.
    pub fn lower(&self) -> &Path {
        self.lowers.first().map_or(&self.path, PathBuf::as_path)
    }

    /// Where the kernel's overlay is to be mounted.
    pub fn point(&self) -> PathBuf {
        self.path("mounted")
    }

    /// The kernel's mount options, with some more.
    pub fn options(&self, more: &str) -> String {
        let lowers: Vec<_> = self.lowers.iter().map(|lower| lower.display().to_string()).collect();
        let of = |name: &str| self.path(name).display().to_string();
        format!(
            "lowerdir={},upperdir={},workdir={},{more}",
            lowers.join(":"),
            of("top/upper"),
            of("top/work")
        )
    }

    /// vnode's overlay of them.
    ///
    /// # Errors
    /// Those of making it.
    pub fn overlay(&self, marks: Marks) -> Result<FilesystemRef> {
        over(&self.lowers, &self.path("top"), marks)
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn make_all(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|_| Errno::IO)
}

/// An overlay of directories of the host, the topmost lower first.
///
/// # Errors
/// Those of making it.
pub fn over(lowers: &[PathBuf], top: &Path, marks: Marks) -> Result<FilesystemRef> {
    let who = Credentials::root();
    let mut builder = Overlay::builder().marks(marks);
    for lower in lowers {
        builder = builder.lower(host(lower)?);
    }
    let overlay = builder.build(&Cx::new(&who, &Epoch), host(top)?)?;
    Ok(FilesystemRef::new::<Overlay>(overlay))
}

/// A directory of the host, in which devices, owners and set-user-id are as anywhere; nobody but root may.
///
/// # Errors
/// Those of opening it.
pub fn host(path: &Path) -> Result<FilesystemRef> {
    let builder = Host::builder().set_id(true).devices(true).owners(true);
    Ok(FilesystemRef::new::<Host>(builder.open(path).map_err(|error| error.errno)?))
}

/// A process on a filesystem.
///
/// # Errors
/// Those of [`Vnode::new`].
pub fn process(fs: FilesystemRef) -> Result<Vnode> {
    Vnode::new("layers", Layout::Root, Box::new(move |_, _| fs.clone()))
}

/// All that a filesystem holds.
///
/// # Errors
/// Those of looking at it.
pub fn tree(fs: &FilesystemRef) -> Result<Tree> {
    Tree::of(&mut process(fs.clone())?, &call::Env::default(), Times::Left)
}

/// A process, and what it has at hand.
pub struct Process {
    /// The process.
    pub subject: Vnode,
    env: call::Env,
}

impl Process {
    /// A process on a filesystem.
    ///
    /// # Panics
    /// It can't be made.
    pub fn on(fs: &FilesystemRef) -> Self {
        match process(fs.clone()) {
            Ok(subject) => Process { subject, env: call::Env::default() },
            Err(errno) => unreachable!("a process at the root of a filesystem: {errno}"),
        }
    }

    /// What a line comes to.
    ///
    /// # Panics
    /// It is none of the language.
    pub fn does(&mut self, line: &str) -> String {
        match call::run_text(&mut self.subject, &mut self.env, line) {
            Ok(outcome) => value::describe(&outcome),
            Err(call_is_bad) => unreachable!("{}", call_is_bad.0),
        }
    }

    /// Checks what lines come to.
    ///
    /// # Panics
    /// A line comes to something else.
    pub fn all_do(&mut self, lines: &[(&str, &str)]) {
        for (line, right) in lines {
            assert_eq!(self.does(line), *right, "{line}");
        }
    }
}

/// Carries out lines none of which may fail.
///
/// # Errors
/// The line, and what it came to.
pub fn carry_out(fs: &FilesystemRef, script: &str) -> std::result::Result<(), String> {
    let mut process = Process::on(fs);
    for line in script.lines().filter(|line| !line.is_empty()) {
        let outcome = call::run_text(&mut process.subject, &mut process.env, line).map_err(|bad| bad.0)?;
        if outcome.is_err() {
            return Err(format!("{line}: {}", value::describe(&outcome)));
        }
    }
    Ok(())
}
