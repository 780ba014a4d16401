//! Overlays of memory filesystems as subjects.

use vnode_core::{Clock, Credentials, Cx, FilesystemRef, Mode, Result, Timespec};
use vnode_memory::Memory;
use vnode_overlay::Overlay;

use crate::vnode::{Layout, Make, Vnode};

/// Where what a case is about stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// In the upper: the lowers are empty.
    Upper,
    /// In a lower: what fills the tree is covered before the first call that is tested.
    Lower,
    /// In a lower that is an overlay itself, with an empty lower of its own.
    LowerOverlay,
}

/// The clock of calls that set no time.
struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

/// The inodes of an upper that are no guest's: the directories of the format.
const FORMAT: u64 = 3;

/// A process on overlays.
///
/// # Errors
/// Those of [`Vnode::new`].
pub fn subject(layout: Layout, scene: Scene) -> Result<Vnode> {
    let name = format!("overlay of memory, the scene in {scene:?}");
    let cover = |lower: FilesystemRef| over(vec![lower], 0, 0);
    match scene {
        Scene::Upper => Vnode::new(&name, layout, maker()),
        Scene::Lower => {
            let memory: Make = Box::new(|size, inodes| {
                if (size, inodes) == (0, 0) { memory(0, 0) } else { over(vec![memory(0, 0)], size, inodes) }
            });
            Ok(Vnode::new(&name, layout, memory)?.covered(Box::new(cover)))
        }
        Scene::LowerOverlay => Ok(Vnode::new(&name, layout, maker())?.covered(Box::new(cover))),
    }
}

fn maker() -> Make {
    Box::new(|size, inodes| over(vec![memory(0, 0)], size, inodes))
}

fn memory(size: u64, inodes: u64) -> FilesystemRef {
    let builder = Memory::builder().mode(Mode::from_raw(0o755)).owner(0, 0);
    FilesystemRef::new::<Memory>(builder.max_bytes(size).max_inodes(inodes).build())
}

fn over(lowers: Vec<FilesystemRef>, size: u64, inodes: u64) -> FilesystemRef {
    let who = Credentials::root();
    let cx = Cx::new(&who, &Epoch);
    let inodes = if inodes == 0 { 0 } else { inodes + FORMAT };
    let builder = lowers.into_iter().fold(Overlay::builder(), |builder, lower| builder.lower(lower));
    match builder.build(&cx, memory(size, inodes)) {
        Ok(overlay) => FilesystemRef::new::<Overlay>(overlay),
        Err(errno) => unreachable!("an overlay of memory can be made: {errno}"),
    }
}
