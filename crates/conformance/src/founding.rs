//! The founding case, from `cases/founding.txt`: each line on every kind of filesystem, wherever it is mounted, with what
//! is kept of it (cold: opened anew; warm: all of it looked at before each call), and in another process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vnode_adapt::{Keep, SymlinkEmulation};
use vnode_core::{Credentials, Cx, Errno, FilesystemRef};
use vnode_overlay::Marks;

use crate::layers::{self, Epoch, Layers};
use crate::linkless::Linkless;
use crate::script::Case;
use crate::subject::{Needs, Subject};
use crate::suite::{self, same_effect};
use crate::vnode::{Cover, Layout, Make, Vnode};
use crate::{overlay, packed, script};

/// A kind of filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Memory.
    Memory,
    /// A directory of the host.
    Host,
    /// An overlay of memory over a directory of the host.
    MemoryOverHost,
    /// An overlay of two directories of the host.
    HostOverHost,
    /// An overlay of memory over an archive.
    MemoryOverArchive,
    /// Links that memory has, for memory without links.
    EmulatedInMemory,
    /// Links in hidden files, of memory without links.
    Emulated,
    /// Links in hidden files, of a directory of the host without links.
    EmulatedOnHost,
}

/// Whose the links are that the first command makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The filesystem's that is mounted.
    Above,
    /// The lower's of an overlay that is made afterwards.
    Below,
}

/// What there is of the filesystem from the first command when the second begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing but what it stores: it was opened anew.
    Cold,
    /// All that it remembers: every path was looked at before each call.
    Warm,
}

/// One way to run the founding case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// On what.
    pub backend: Backend,
    /// With what the first command made there.
    pub found: Found,
    /// Mounted how.
    pub layout: Layout,
    /// Opened anew or not.
    pub kept: Kept,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?}, {:?}, {:?}", self.backend, self.found, self.layout, self.kept)
    }
}

/// Where a filesystem is.
struct Ground {
    layers: Layers,
    /// Memory that stays when a filesystem is opened anew.
    memory: FilesystemRef,
    /// What is packed.
    below: FilesystemRef,
    /// Links of that memory that are in memory themselves.
    emulation: FilesystemRef,
}

impl Ground {
    fn new(within: &Path) -> Result<Self, Errno> {
        let memory = overlay::memory(0, 0);
        let emulation = emulated(memory.clone(), Keep::InMemory)?;
        Ok(Ground { layers: Layers::new(within)?, memory, below: overlay::memory(0, 0), emulation })
    }

    /// What the first command has.
    fn first(&self, way: Way) -> Result<FilesystemRef, Errno> {
        match way.found {
            Found::Below if way.backend == Backend::MemoryOverArchive => Ok(self.below.clone()),
            Found::Below => layers::host(self.layers.lower()),
            Found::Above => self.open(way.backend),
        }
    }

    fn open(&self, backend: Backend) -> Result<FilesystemRef, Errno> {
        match backend {
            Backend::Memory => Ok(self.memory.clone()),
            Backend::MemoryOverHost => {
                overlay::over(vec![layers::host(self.layers.lower())?], self.memory.clone())
            }
            Backend::MemoryOverArchive => {
                overlay::over(vec![packed::archived(&self.below)?], self.memory.clone())
            }
            Backend::Emulated => emulated(self.memory.clone(), Keep::HiddenFiles),
            Backend::EmulatedInMemory => Ok(self.emulation.clone()),
            _ => open(backend, self.layers.lower(), &self.layers.path("top")),
        }
    }
}

/// A filesystem without links that has them by emulation.
fn emulated(fs: FilesystemRef, keep: Keep) -> Result<FilesystemRef, Errno> {
    let who = Credentials::root();
    let linkless = FilesystemRef::new::<Linkless<FilesystemRef>>(Linkless(fs));
    SymlinkEmulation::over(&Cx::new(&who, &Epoch), linkless, keep)
}

/// Opens what is stored on the host.
fn open(backend: Backend, lower: &Path, top: &Path) -> Result<FilesystemRef, Errno> {
    match backend {
        Backend::HostOverHost => layers::over(&[lower.to_owned()], top, Marks::Trusted),
        Backend::EmulatedOnHost => emulated(layers::host(lower)?, Keep::HiddenFiles),
        _ => layers::host(lower),
    }
}

impl Backend {
    /// Whether another process finds what the first made.
    pub fn is_stored(self) -> bool {
        matches!(self, Backend::Host | Backend::HostOverHost | Backend::EmulatedOnHost)
    }
}

/// The process that both commands are.
///
/// # Errors
/// Those of making it in `within`.
fn subject(within: &Path, way: Way) -> Result<Vnode, Errno> {
    let ground = Arc::new(Mutex::new(Ground::new(within)?));
    let lock = |ground: &Mutex<Ground>, work: &dyn Fn(&mut Ground) -> Result<FilesystemRef, Errno>| {
        let made = work(&mut ground.lock().unwrap_or_else(PoisonError::into_inner));
        made.unwrap_or_else(|errno| unreachable!("what was made a moment ago can be opened: {errno}"))
    };
    let make: Make = {
        let (ground, within) = (Arc::clone(&ground), within.to_owned());
        Box::new(move |_, _| {
            lock(&ground, &|ground| {
                *ground = Ground::new(&within)?;
                ground.first(way)
            })
        })
    };
    let cover: Cover = Box::new(move |_| lock(&ground, &|ground| ground.open(way.backend)));
    let subject = Vnode::new(&way.to_string(), way.layout, make)?;
    let subject = match (way.kept, way.found) {
        (Kept::Warm, Found::Above) => subject,
        _ => subject.covered(cover),
    };
    Ok(subject.lacking(Needs::NEWEST_FIRST).timed_by_the_kernel())
}

/// The cases, for a way.
fn cases(layout: Layout) -> Result<Vec<Case>, String> {
    let point = if layout == Layout::Below { "/mnt" } else { "" };
    suite::founding_cases(point).map_err(|bad| bad.0)
}

/// Runs all cases one way, and compares the trees with the kernel's.
///
/// # Errors
/// What went wrong, a text for each case. Else how many cases there were.
pub fn run(within: &Path, way: Way, kernel: &mut dyn Subject) -> Result<usize, Vec<String>> {
    let cases = cases(way.layout).map_err(|why| vec![why])?;
    let mut failed = Vec::new();
    for case in &cases {
        if let Err(why) = run_case(within, way, kernel, case) {
            failed.push(format!("FAILED {} ({way})\n  {why}", case.name));
        }
    }
    if failed.is_empty() { Ok(cases.len()) } else { Err(failed) }
}

fn run_case(within: &Path, way: Way, kernel: &mut dyn Subject, case: &Case) -> Result<(), String> {
    let mut subject = subject(within, way).map_err(|errno| format!("a subject: {errno}"))?;
    if way.kept == Kept::Warm {
        subject = subject.warmed(paths(case));
    }
    let tree = suite::run_case(&mut subject, case)?;
    if way.layout != Layout::Below {
        return same_effect(&tree, kernel, case);
    }
    let mut there = case.clone();
    let mkdir = script::step(0, "mkdir /mnt 755").map_err(|bad| bad.0)?;
    there.steps.insert(0, mkdir);
    same_effect(&tree, kernel, &there)
}

/// Every absolute path that a case has.
fn paths(case: &Case) -> Vec<Vec<u8>> {
    let words = case.steps.iter().flat_map(|step| step.words.iter().skip(1));
    let mut paths: Vec<_> = words.filter(|word| word.starts_with(b"/")).cloned().collect();
    paths.sort();
    paths.dedup();
    paths
}

/// One of the two commands of every case, run by a process of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// On what.
    pub backend: Backend,
    /// Mounted how.
    pub layout: Layout,
    /// Where everything is stored.
    pub directory: PathBuf,
    /// Whether it is the one that fills the tree.
    pub fills: bool,
}

impl Command {
    /// Runs it for each case.
    ///
    /// # Errors
    /// What went wrong, a text for each case. Else how many cases there were.
    pub fn run(&self) -> Result<usize, Vec<String>> {
        let cases = cases(self.layout).map_err(|why| vec![why])?;
        let count = cases.len();
        let failed: Vec<_> = cases
            .into_iter()
            .enumerate()
            .filter_map(|(number, case)| {
                let name = case.name.clone();
                let why = self.run_case(&self.directory.join(number.to_string()), case).err()?;
                Some(format!(
                    "FAILED {name} ({:?}, {:?}, another process)\n  {why}",
                    self.backend, self.layout
                ))
            })
            .collect();
        if failed.is_empty() { Ok(count) } else { Err(failed) }
    }

    fn run_case(&self, directory: &Path, mut case: Case) -> Result<(), String> {
        let (lower, top) = (directory.join("lower"), directory.join("top"));
        let first = case.steps.iter().take_while(|step| suite::fills(step)).count();
        if self.fills {
            for path in [&lower, &top] {
                std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
            }
            case.steps.truncate(first);
        } else {
            case.steps.drain(..first);
        }
        let fs = open(self.backend, &lower, &top).map_err(|errno| format!("opening it: {errno}"))?;
        let make: Make = Box::new(move |_, _| fs.clone());
        let mut subject = Vnode::new("a process", self.layout, make)
            .map_err(|errno| format!("a subject: {errno}"))?
            .timed_by_the_kernel();
        suite::run_case(&mut subject, &case).map(|_| ())
    }
}
