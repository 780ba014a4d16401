//! Decorated memory filesystems as subjects, composed at run time: each decorator is put over a filesystem of a type
//! that it doesn't know.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use vnode_adapt::{Crash, Events, FaultControl, Faults, Keep, Quota, QuotaUsage, SymlinkEmulation};
use vnode_core::fs::Filesystem;
use vnode_core::{Credentials, Cx, FilesystemRef, Mode, Result};
use vnode_memory::{Memory, Usage};

use crate::layers::Epoch;
use crate::linkless::Linkless;
use crate::vnode::{Layout, Make, Vnode};

/// A decorator that changes nothing until it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A [`Quota`], with the limits that a mount asks for.
    Quota,
    /// [`Events`].
    Events,
    /// [`Faults`], none of them armed.
    Faults,
    /// [`Crash`], with power.
    Crash,
    /// An overlay, of which it is the upper.
    Overlay,
    /// [`Linkless`]: no symbolic links from here on up.
    Linkless,
    /// A [`SymlinkEmulation`].
    Links(Keep),
}

/// What is kept of the filesystems that a subject was given, to look at later.
#[derive(Clone, Default)]
pub struct Books(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    accounts: Vec<Account>,
    control: FaultControl,
    crashes: Vec<Arc<Crash<FilesystemRef>>>,
    findings: Vec<String>,
    unmade: usize,
}

/// A quota, and the memory filesystem below, which counts for itself.
struct Account {
    quota: Arc<Quota<FilesystemRef>>,
    memory: Arc<Memory>,
}

impl Account {
    fn finding(&self) -> Option<String> {
        let (quota, memory) = (self.quota.usage(), self.memory.usage());
        let same = (quota.bytes, quota.inodes) == (memory.bytes, memory.inodes);
        (!same).then(|| format!("the quota counts {quota:?}, the filesystem below {memory:?}"))
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").field("findings", &self.findings()).finish_non_exhaustive()
    }
}

impl Books {
    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Compares every quota with the filesystem below, and lets go of both.
    fn settle(&self) {
        self.with(|kept| {
            let wrong: Vec<_> = kept.accounts.drain(..).filter_map(|account| account.finding()).collect();
            kept.findings.extend(wrong);
            kept.crashes.clear();
        });
    }

    /// A filesystem over `below`, noted by `note`; `below` itself if there was a fault. Making filesystems is no
    /// operation of theirs, so that is only counted.
    fn or_unmade<F: Filesystem>(
        &self,
        made: Result<F>,
        below: FilesystemRef,
        note: impl FnOnce(&Arc<F>),
    ) -> FilesystemRef {
        match made {
            Ok(made) => {
                let made = Arc::new(made);
                note(&made);
                FilesystemRef::new::<F>(made)
            }
            Err(_) => {
                self.with(|kept| kept.unmade += 1);
                below
            }
        }
    }

    /// Where a quota counted other than the filesystem below, until now.
    pub fn findings(&self) -> Vec<String> {
        self.settle();
        self.with(|kept| kept.findings.clone())
    }

    /// What each quota, and the filesystem below it, count now.
    pub fn usages(&self) -> Vec<(QuotaUsage, Usage)> {
        let usage = |account: &Account| (account.quota.usage(), account.memory.usage());
        self.with(|kept| kept.accounts.iter().map(usage).collect())
    }

    /// The [`Crash`] of the subject's root.
    pub fn crash(&self) -> Option<Arc<Crash<FilesystemRef>>> {
        self.with(|kept| kept.crashes.first().cloned())
    }

    /// How many filesystems could not be made, for the one below failed.
    pub fn unmade(&self) -> usize {
        self.with(|kept| kept.unmade)
    }

    /// The control of all [`Faults`] that were made.
    pub fn control(&self) -> FaultControl {
        self.with(|kept| kept.control.clone())
    }
}

/// A process on memory filesystems under `layers`, the innermost first.
///
/// # Errors
/// Those of [`Vnode::new`].
pub fn subject(layout: Layout, layers: &[Layer]) -> Result<(Vnode, Books)> {
    subject_over("memory", Below::Memory, layout, layers)
}

/// What is below all layers.
pub enum Below {
    /// Memory filesystems, which count for themselves what a quota counts.
    Memory,
    /// Other filesystems.
    Other(Make),
}

/// A process on other filesystems under `layers`, the innermost first.
///
/// # Errors
/// Those of [`Vnode::new`].
pub fn subject_over(name: &str, below: Below, layout: Layout, layers: &[Layer]) -> Result<(Vnode, Books)> {
    let books = Books::default();
    let names: Vec<_> = layers.iter().rev().map(|layer| format!("{layer:?} over ")).collect();
    let subject = Vnode::new(&format!("{}{name}", names.concat()), layout, maker(layers, &books, below))?;
    Ok((subject, books))
}

/// A process on a memory filesystem that holds what survived the crash of another's, under `layers`.
///
/// # Errors
/// Those of making it.
pub fn survivor(crash: &Crash<FilesystemRef>, layers: &[Layer]) -> Result<Vnode> {
    let who = Credentials::root();
    let memory = Memory::builder().mode(Mode::from_raw(0o755)).owner(0, 0).build();
    crash.recovered().write_into(&Cx::new(&who, &Epoch), &memory)?;
    let memory = FilesystemRef::new::<Memory>(memory);
    let fs = layered(memory, None, layers, &Books::default(), (0, 0));
    Vnode::new("what survived", Layout::Root, Box::new(move |_, _| fs.clone()))
}

fn maker(layers: &[Layer], books: &Books, below: Below) -> Make {
    let (layers, books) = (layers.to_vec(), books.clone());
    Box::new(move |size, inodes| {
        // The filesystems of the last case are done with; those of this one may be several.
        if size == 0 && inodes == 0 {
            books.settle();
        }
        let limited = layers.contains(&Layer::Quota);
        let (fs, memory) = match &below {
            Below::Other(make) if limited => (make(0, 0), None),
            Below::Other(make) => (make(size, inodes), None),
            Below::Memory => {
                let builder = Memory::builder().mode(Mode::from_raw(0o755)).owner(0, 0);
                let builder = if limited { builder } else { builder.max_bytes(size).max_inodes(inodes) };
                let memory = Arc::new(builder.build());
                // A memory filesystem doesn't count the links that others keep.
                let counts_links = !layers.contains(&Layer::Linkless);
                (FilesystemRef::new::<Memory>(memory.clone()), counts_links.then_some(memory))
            }
        };
        layered(fs, memory, &layers, &books, (size, inodes))
    })
}

fn layered(
    fs: FilesystemRef,
    memory: Option<Arc<Memory>>,
    layers: &[Layer],
    books: &Books,
    (size, inodes): (u64, u64),
) -> FilesystemRef {
    let mut fs = fs;
    for layer in layers {
        fs = match layer {
            Layer::Quota => {
                let builder = Quota::<FilesystemRef>::builder().max_bytes(size).max_inodes(inodes);
                books.or_unmade(builder.build(fs.clone()), fs, |quota| {
                    let accounts = memory.clone().map(|memory| Account { quota: quota.clone(), memory });
                    books.with(|kept| kept.accounts.extend(accounts));
                })
            }
            Layer::Crash => {
                let who = Credentials::root();
                let crash = Crash::new(&Cx::new(&who, &Epoch), fs.clone());
                books.or_unmade(crash, fs, |crash| books.with(|kept| kept.crashes.push(crash.clone())))
            }
            Layer::Events => FilesystemRef::new::<Events<FilesystemRef>>(Events::new(fs)),
            Layer::Overlay => match crate::overlay::over(vec![crate::overlay::memory(0, 0)], fs.clone()) {
                Ok(overlay) => overlay,
                Err(_) => {
                    books.with(|kept| kept.unmade += 1);
                    fs
                }
            },
            Layer::Linkless => FilesystemRef::new::<Linkless<FilesystemRef>>(Linkless(fs)),
            Layer::Links(keep) => {
                let who = Credentials::root();
                let emulation = SymlinkEmulation::new(&Cx::new(&who, &Epoch), fs.clone(), *keep);
                books.or_unmade(emulation, fs, |_| ())
            }
            Layer::Faults => {
                let faults = Faults::controlled_by(fs, &books.control());
                FilesystemRef::new::<Faults<FilesystemRef>>(faults)
            }
        };
    }
    fs
}
