//! A filesystem that is never changed.

use std::sync::Arc;

use vnode_core::fs::{Access, At, Caps, File, Filesystem, Inode, NewInode, OpenedNew};
use vnode_core::{Cx, Errno, Result, StatFs};

use crate::call::Call;
use crate::forward::forward;
use crate::hook::{Hook, HookedFile};

/// `F`, of which nothing is ever changed through this: a filesystem mounted read-only as a whole (`mount -o ro`, or
/// remounted `remount,ro`; not a read-only bind mount, which [`MountFlags`](vnode_core::MountFlags) makes).
///
/// * Every change is `EROFS`, and opening for writing too. Which errors go before it is the core's to know, as it
///   is the kernel's on Linux: [`Caps::READ_ONLY`] tells it.
/// * Access times stay. `statfs` says read-only.
/// * Whoever holds `F` itself can go on changing it.
///
/// ```
/// use std::sync::Arc;
/// use vnode_adapt::ReadOnly;
/// use vnode_core::fs::{At, Filesystem, NewInode, NewKind};
/// use vnode_core::{Clock, Credentials, Cx, Errno, Mode, Name, Timespec};
/// use vnode_memory::Memory;
///
/// # struct Epoch;
/// # impl Clock for Epoch { fn now(&self) -> Timespec { Timespec::EPOCH } }
/// let fs = ReadOnly::new(Memory::new());
/// let (root, who) = (fs.root(), Credentials::root());
/// let cx = Cx::new(&who, &Epoch);
/// let at = At { dir: &root, name: Name::new(b"made")? };
/// let new = NewInode { kind: NewKind::Directory, mode: Mode::RWXU, uid: 0, gid: 0 };
/// assert_eq!(fs.create(&cx, at, new).unwrap_err(), Errno::ROFS);
/// assert!(fs.statfs(&cx)?.read_only);
/// # Ok::<(), Errno>(())
/// ```
#[derive(Debug)]
pub struct ReadOnly<F> {
    fs: F,
    hook: Refuse,
}

impl<F: Filesystem> ReadOnly<F> {
    /// Makes `fs` read-only.
    pub fn new(fs: F) -> Self {
        ReadOnly { fs, hook: Refuse }
    }

    /// The filesystem within.
    pub fn inner(&self) -> &F {
        &self.fs
    }
}

/// Refuses changes, and has reads leave access times.
#[derive(Clone, Copy, Debug)]
struct Refuse;

impl Hook for Refuse {
    fn around<T>(
        &self,
        cx: &Cx<'_>,
        call: &Call<'_>,
        forward: impl FnOnce(&Cx<'_>) -> Result<T>,
    ) -> Result<T> {
        if call.op.changes() { Err(Errno::ROFS) } else { forward(&cx.keeping_atime()) }
    }
}

impl<F: Filesystem> Filesystem for ReadOnly<F> {
    type Inode = F::Inode;

    forward!(root names inodes open_dir);

    fn caps(&self) -> Caps {
        self.fs.caps() | Caps::READ_ONLY
    }

    fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs> {
        Ok(StatFs { read_only: true, ..self.fs.statfs(cx)? })
    }

    fn create_open(
        &self,
        _: &Cx<'_>,
        _: At<'_, F::Inode>,
        _: NewInode<'_>,
        _: Access,
    ) -> Result<OpenedNew<F::Inode>> {
        Err(Errno::ROFS)
    }

    fn open(&self, cx: &Cx<'_>, inode: &Arc<F::Inode>, access: Access) -> Result<Arc<dyn File>> {
        if access.contains(Access::WRITE) {
            return Err(Errno::ROFS);
        }
        let file = self.fs.open(&cx.keeping_atime(), inode, access)?;
        Ok(HookedFile::opened(file, inode.id(), &self.hook))
    }
}
