//! Overlays as subjects.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use vnode_adapt::Faults;
use vnode_core::fs::{At, Filesystem, Inode};
use vnode_core::{Credentials, Cx, FilesystemRef, Mode, Name, Result};
use vnode_memory::Memory;
use vnode_overlay::Overlay;

use crate::adapted::{self, Books, Layer};
use crate::host::{self, Calls};
use crate::layers::Epoch;
use crate::packed;
use crate::stepwise::Stepwise;
use crate::subject::Needs;
use crate::vnode::{Layout, Make, Vnode};

/// Where what a case is about stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// In the upper: the lowers are empty.
    Upper,
    /// In a lower: what fills the tree is covered before the first call that is tested.
    Lower,
    /// The same, with names found one by one.
    LowerByName,
    /// In a lower that is an overlay itself, with an empty lower of its own.
    LowerOverlay,
    /// In an archive, which has what fills the tree. What no archive holds stays where it is.
    Archive,
}

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A memory filesystem.
    Memory,
    /// A directory of the host.
    Host,
    /// An archive; before it is one, memory.
    Archive,
}

/// What is made of the tree each time that it is sunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// All that was there, an overlay or not, is the one lower of another.
    Nested,
    /// The upper that there was is one more lower, over those that there were.
    Flat,
    /// All that was there is a lower between two empty ones.
    Between,
}

/// So many overlays are made one over the other; sinking once more changes nothing.
const DEEPEST: usize = 4;

/// The layers that there are: they are found by what they hold.
struct Stacked {
    lowers: Vec<(FilesystemRef, Arc<dyn Inode>)>,
    upper: Option<FilesystemRef>,
}

/// The inodes of an upper that are no guest's: the directories of the format.
const FORMAT: u64 = 3;

/// A process on overlays.
///
/// # Errors
/// Those of [`Vnode::new`].
pub fn subject(layout: Layout, scene: Scene) -> Result<Vnode> {
    let name = format!("overlay of memory, the scene in {scene:?}");
    let cover = move |lower: FilesystemRef| match limited(vec![beneath(lower, scene)], 0, 0) {
        overlay if scene == Scene::LowerByName => FilesystemRef::new(Stepwise(overlay)),
        overlay => overlay,
    };
    match scene {
        Scene::Upper => Vnode::new(&name, layout, maker()),
        Scene::Lower | Scene::LowerByName | Scene::Archive => {
            let memory: Make = Box::new(|size, inodes| {
                if (size, inodes) == (0, 0) {
                    memory(0, 0)
                } else {
                    limited(vec![memory(0, 0)], size, inodes)
                }
            });
            Ok(Vnode::new(&name, layout, memory)?.covered(Box::new(cover)))
        }
        Scene::LowerOverlay => Ok(Vnode::new(&name, layout, maker())?.covered(Box::new(cover))),
    }
}

/// A process on overlays whose upper, and whose lower once the tree is filled, suffer the same faults: of memory or, in
/// `within`, of directories of the host.
///
/// # Errors
/// As [`stacked`].
pub fn suffering(within: &Path, medium: Medium) -> Result<(Vnode, Books)> {
    let layers = [Layer::Faults, Layer::Overlay];
    let uppers = host::maker(within, Calls::Runs)?;
    let (subject, books) = match medium {
        Medium::Memory | Medium::Archive => adapted::subject(Layout::Root, &layers)?,
        Medium::Host => host::subject_under(&layers, within, Layout::Root, Calls::Runs)?,
    };
    let control = books.control();
    let cover = move |lower: FilesystemRef| {
        let faulty = |fs| FilesystemRef::new::<Faults<FilesystemRef>>(Faults::controlled_by(fs, &control));
        let upper = if medium == Medium::Host { uppers(0, 0) } else { memory(0, 0) };
        let archive = if medium == Medium::Archive { packed::archived(&lower).ok() } else { None };
        made(over(vec![archive.map_or(lower, faulty)], faulty(upper)))
    };
    Ok((subject.covered(Box::new(cover)), books))
}

/// A process on overlays of directories of the host, each made empty in `within`, with the scene in a lower.
///
/// # Errors
/// Those of [`Vnode::new`]; `EIO`: no directory could be made in `within`.
pub fn of_host(within: &Path, layout: Layout, scene: Scene) -> Result<Vnode> {
    let directories = Arc::new(Mutex::new(host::maker(within, Calls::Runs)?));
    let name = format!("overlay of host directories in {}, the scene in {scene:?}", within.display());
    let make = {
        let directories = Arc::clone(&directories);
        move |size, inodes| directories.lock().unwrap_or_else(PoisonError::into_inner)(size, inodes)
    };
    let uppers = make.clone();
    let cover = move |lower: FilesystemRef| made(over(vec![beneath(lower, scene)], uppers(0, 0)));
    let subject = match scene {
        Scene::Lower | Scene::LowerByName | Scene::Archive => {
            Vnode::new(&name, layout, Box::new(make))?.covered(Box::new(cover))
        }
        Scene::Upper | Scene::LowerOverlay => {
            let overlays: Make = Box::new(move |size, inodes| match (size, inodes) {
                (0, 0) => made(over(vec![make(0, 0)], make(0, 0))),
                // A directory has no limit of its own.
                limits => limited(vec![memory(0, 0)], limits.0, limits.1),
            });
            let subject = Vnode::new(&name, layout, overlays)?;
            if scene == Scene::Upper { subject } else { subject.covered(Box::new(cover)) }
        }
    };
    Ok(subject.lacking(Needs::NEWEST_FIRST).timed_by_the_kernel())
}

/// A process on a filesystem of one medium that gets uppers of another each time it is sunk. Directories of the host are
/// made in `within`.
///
/// # Errors
/// Those of [`Vnode::new`]; `EIO`: no directory could be made in `within`.
pub fn stacked(within: &Path, [bottom, upper]: [Medium; 2], stack: Stack) -> Result<Vnode> {
    let name = format!("overlays of {bottom:?} and {upper:?}, {stack:?}");
    let hosts = Arc::new(Mutex::new(host::maker(within, Calls::Runs)?));
    let make = move |medium| match medium {
        Medium::Memory | Medium::Archive => memory(0, 0),
        Medium::Host => hosts.lock().unwrap_or_else(PoisonError::into_inner)(0, 0),
    };
    let layers = Arc::new(Mutex::new(Stacked { lowers: Vec::new(), upper: None }));
    let first: Make = {
        let (make, layers) = (make.clone(), layers.clone());
        Box::new(move |size, inodes| {
            if (size, inodes) != (0, 0) {
                return memory(size, inodes);
            }
            let mut layers = layers.lock().unwrap_or_else(PoisonError::into_inner);
            let bottom = make(bottom);
            *layers = Stacked { lowers: vec![(bottom.clone(), bottom.root())], upper: None };
            bottom
        })
    };
    let cover = move |lower: FilesystemRef| {
        let mut layers = layers.lock().unwrap_or_else(PoisonError::into_inner);
        if layers.lowers.len() > DEEPEST {
            return lower;
        }
        let lower = if bottom == Medium::Archive { packed::archived(&lower).unwrap_or(lower) } else { lower };
        let covered = layers.cover(lower, make(upper), stack);
        made(covered)
    };
    let subject = Vnode::new(&name, Layout::Root, first)?.covered(Box::new(cover));
    let hosts = [bottom, upper].contains(&Medium::Host);
    Ok(if hosts { subject.lacking(Needs::NEWEST_FIRST).timed_by_the_kernel() } else { subject })
}

impl Stacked {
    /// An overlay of all that there was and another upper.
    fn cover(&mut self, whole: FilesystemRef, upper: FilesystemRef, stack: Stack) -> Result<FilesystemRef> {
        let who = Credentials::root();
        let cx = Cx::new(&who, &Epoch);
        if let Some(last) = self.upper.replace(upper.clone()) {
            let shown = shown_by(&cx, &last)?;
            self.lowers.insert(0, (last, shown));
        }
        let builder = match stack {
            Stack::Nested => Overlay::builder().lower(whole),
            Stack::Between => {
                // With nothing in it, but a root like the other's.
                let above = memory(0, 0);
                Overlay::builder().lower(whole.clone()).build(&cx, above.clone())?;
                let shown = shown_by(&cx, &above)?;
                Overlay::builder().lower_from(above, shown).lower(whole).lower(memory(0, 0))
            }
            Stack::Flat => self.lowers.iter().fold(Overlay::builder(), |builder, (fs, root)| {
                builder.lower_from(fs.clone(), Arc::clone(root))
            }),
        };
        Ok(FilesystemRef::new::<Overlay>(builder.build(&cx, upper)?))
    }
}

/// The root of what an overlay shows of its upper.
fn shown_by(cx: &Cx<'_>, upper: &FilesystemRef) -> Result<Arc<dyn Inode>> {
    upper.lookup(cx, At { dir: &upper.root(), name: Name::new(b"upper")? })
}

/// What is to be a lower, packed if the scene is in an archive.
fn beneath(lower: FilesystemRef, scene: Scene) -> FilesystemRef {
    if scene == Scene::Archive { packed::archived(&lower).unwrap_or(lower) } else { lower }
}

fn maker() -> Make {
    Box::new(|size, inodes| limited(vec![memory(0, 0)], size, inodes))
}

/// A memory filesystem with limits; 0 is none.
pub fn memory(size: u64, inodes: u64) -> FilesystemRef {
    let builder = Memory::builder().mode(Mode::from_raw(0o755)).owner(0, 0);
    FilesystemRef::new::<Memory>(builder.max_bytes(size).max_inodes(inodes).build())
}

fn limited(lowers: Vec<FilesystemRef>, size: u64, inodes: u64) -> FilesystemRef {
    let inodes = if inodes == 0 { 0 } else { inodes + FORMAT };
    made(over(lowers, memory(size, inodes)))
}

fn made(overlay: Result<FilesystemRef>) -> FilesystemRef {
    match overlay {
        Ok(overlay) => overlay,
        Err(errno) => unreachable!("an overlay of memory can be made: {errno}"),
    }
}

/// An overlay over these.
///
/// # Errors
/// Those of making it.
pub fn over(lowers: Vec<FilesystemRef>, upper: FilesystemRef) -> Result<FilesystemRef> {
    let who = Credentials::root();
    let builder = lowers.into_iter().fold(Overlay::builder(), |builder, lower| builder.lower(lower));
    let overlay = builder.build(&Cx::new(&who, &Epoch), upper)?;
    Ok(FilesystemRef::new::<Overlay>(overlay))
}
