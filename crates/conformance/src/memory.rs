//! The memory filesystem as a subject.

use vnode_core::{FilesystemRef, Mode, Result};
use vnode_memory::Memory;

use crate::stepwise::Stepwise;
use crate::vnode::{Layout, Make, Vnode};

/// Whether the filesystem takes runs of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// As it is.
    Taken,
    /// One name at a time ([`Stepwise`]).
    Left,
    /// As it is, and taken for one that may block.
    Blocking,
}

/// A process on memory filesystems.
///
/// # Errors
/// Those of [`Vnode::new`].
pub fn subject(layout: Layout, runs: Runs) -> Result<Vnode> {
    match runs {
        Runs::Taken => Vnode::new("memory", layout, maker(runs)),
        Runs::Blocking => Vnode::new("memory that may block", layout, maker(runs)),
        Runs::Left => Vnode::new("memory by single names", layout, maker(runs)),
    }
}

fn maker(runs: Runs) -> Make {
    Box::new(move |size, inodes| {
        let mut builder = Memory::builder().mode(Mode::from_raw(0o755)).owner(0, 0);
        if size != 0 {
            builder = builder.max_bytes(size);
        }
        if inodes != 0 {
            builder = builder.max_inodes(inodes);
        }
        match runs {
            Runs::Taken => FilesystemRef::new::<Memory>(builder.build()),
            Runs::Blocking => FilesystemRef::new::<Memory>(builder.build()).that_may_block(),
            Runs::Left => FilesystemRef::new::<Stepwise<Memory>>(Stepwise(builder.build())),
        }
    })
}
