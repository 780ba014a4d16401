//! A filesystem that tells what is done with it.

use core::fmt;

use tracing::Level;
use vnode_core::fs::{Filesystem, Inode, InodeId};
use vnode_core::{Cx, Result};

use crate::call::Call;
use crate::forward::forward;
use crate::hook::Hook;

/// `F`, each call of which is one [`tracing`] event: of target [`Events::TARGET`] and level `TRACE`, sent when the call
/// is over.
///
/// | field | what |
/// | --- | --- |
/// | `op` | the operation, as [`Op::name`](crate::Op::name) says |
/// | `inode` | the inode, or the directory that `name` is in |
/// | `name` | the name in the directory, other bytes than printable ASCII escaped |
/// | `to`, `to_name` | directory and name that a rename leads to |
/// | `bytes` | how many were asked to be read or written |
/// | `errno` | the name of the error; not there if there was none |
///
/// An inode is told as its identity, which names it as long as somebody holds it. Paths are not a filesystem's to
/// know. Without a subscriber that wants the event, a call costs one comparison more.
///
/// ```
/// use vnode_adapt::Events;
/// use vnode_core::FilesystemRef;
/// use vnode_memory::Memory;
///
/// let mounted = FilesystemRef::new::<Events<Memory>>(Events::new(Memory::new()));
/// assert_eq!(Events::<Memory>::TARGET, "vnode::fs");
/// # drop(mounted);
/// ```
#[derive(Debug)]
pub struct Events<F> {
    fs: F,
    hook: Tell,
}

impl<F> Events<F> {
    /// The target of the events.
    pub const TARGET: &'static str = TARGET;
}

const TARGET: &str = "vnode::fs";

impl<F: Filesystem> Events<F> {
    /// Has the calls of `fs` told.
    pub fn new(fs: F) -> Self {
        Events { fs, hook: Tell }
    }

    /// The filesystem within.
    pub fn inner(&self) -> &F {
        &self.fs
    }
}

impl<F: Filesystem> Filesystem for Events<F> {
    type Inode = F::Inode;

    forward!(caps root statfs names inodes opens);
}

#[derive(Clone, Copy, Debug)]
struct Tell;

impl Tell {
    fn tell<T>(call: &Call<'_>, bytes: Option<usize>, result: &Result<T>) {
        tracing::event!(
            target: TARGET,
            Level::TRACE,
            op = call.op.name(),
            inode = call.inode.map(Shown).map(tracing::field::display),
            name = call.name.map(tracing::field::display),
            to = call.to.map(|(dir, _)| tracing::field::display(Shown(dir))),
            to_name = call.to.map(|(_, name)| tracing::field::display(name)),
            bytes = bytes,
            errno = result.as_ref().err().map(|errno| errno.name()),
        );
    }
}

impl Hook for Tell {
    fn around<T>(
        &self,
        cx: &Cx<'_>,
        call: &Call<'_>,
        forward: impl FnOnce(&Cx<'_>) -> Result<T>,
    ) -> Result<T> {
        let result = forward(cx);
        Tell::tell(call, None, &result);
        result
    }

    fn transfer<T>(
        &self,
        cx: &Cx<'_>,
        call: &Call<'_>,
        asked: usize,
        forward: impl FnOnce(&Cx<'_>, usize) -> Result<T>,
    ) -> Result<T> {
        let result = forward(cx, asked);
        Tell::tell(call, Some(asked), &result);
        result
    }
}

/// An inode's identity as text: the second number only where a filesystem uses it.
struct Shown(InodeId);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            InodeId(number, 0) => write!(f, "{number}"),
            InodeId(number, more) => write!(f, "{number}:{more}"),
        }
    }
}
