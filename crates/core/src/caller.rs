//! Who asks, and how far they may go.

use std::sync::Arc;

use crate::attr::{Attr, Mode};
use crate::cx::{Capabilities, Cx};
use crate::errno::Result;
use crate::fs::{At, Inode, NewInode, NewKind};
use crate::mount::{Mount, Namespace, Place};
use crate::path::{Name, VPath};
use crate::walk;

/// Where path text may lead; see the scope table in `docs/ARCHITECTURE.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A POSIX process: absolute text starts at its root, `..` stops there.
    Posix,
    /// WASI preview1: the caller's own text stays at or below the directory that it starts from (`ENOTCAPABLE`
    /// otherwise); links lead anywhere below the process's root, absolute ones from it.
    Beneath,
    /// WASI preview1 as its test-suite demands: neither text nor links lead out of the directory that the walk
    /// starts from, and absolute links are refused (`EPERM`).
    Strict,
}

/// Whether a symbolic link as the last component is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Its target is meant.
    Yes,
    /// The link itself is meant (`AT_SYMLINK_NOFOLLOW`).
    No,
}

/// Who asks and from where: what every operation needs. It borrows all, so it is made for each call.
///
/// `base` of the operations is the place that a relative path starts from: the working directory or what a
/// directory descriptor stands for. A base that is no directory gives `ENOTDIR`.
///
/// ```
/// use vnode_core::{
///     Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, Namespace, Policy, Timespec, VPath,
/// };
/// use vnode_memory::Memory;
///
/// struct Noon;
/// impl Clock for Noon {
///     fn now(&self) -> Timespec {
///         Timespec { sec: 43_200, nsec: 0 }
///     }
/// }
///
/// let ns = Namespace::new(FilesystemRef::new(Memory::new()));
/// let who = Credentials::root();
/// let (cx, root) = (Cx::new(&who, &Noon), ns.root());
/// let caller = Caller { ns: &ns, cx: &cx, root, policy: Policy::Posix };
///
/// let path = |text: &'static [u8]| VPath::new(text).unwrap();
/// caller.mkdir(root, path(b"lib"), Mode::from_raw(0o755))?;
/// caller.symlink(b"/lib", root, path(b"usr"))?;
/// assert!(caller.stat(root, path(b"usr/"), Follow::No)?.kind.is_dir(), "a trailing slash follows");
/// assert_eq!(*caller.readlink(root, path(b"usr"))?, *b"/lib");
/// assert_eq!(caller.rmdir(root, path(b"usr")), Err(Errno::NOTDIR));
/// assert_eq!(caller.stat(root, path(b"lib"), Follow::Yes)?.mtime.sec, 43_200);
/// # Ok::<(), Errno>(())
/// ```
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The tree of mounts.
    pub ns: &'a Namespace,
    /// Credentials, clock, cancellation.
    pub cx: &'a Cx<'a>,
    /// The process's root directory.
    pub root: &'a Place,
    /// How far paths may lead.
    pub policy: Policy,
}

impl Caller<'_> {
    /// What a path leads to, of whatever type.
    ///
    /// # Errors
    /// * `ENOENT`: a component is missing. `ENOTDIR`: one that must be a directory isn't.
    /// * `EACCES`: a directory may not be searched. `ELOOP`: over 40 links. `ENAMETOOLONG`: a name over 255 bytes.
    /// * `ENOTCAPABLE`, `EPERM`: the path leads where the [`Policy`] forbids.
    ///
    /// Every operation that takes a path has these errors; they aren't listed again.
    pub fn resolve(&self, base: &Place, path: VPath<'_>, follow: Follow) -> Result<Place> {
        walk::resolve(self, base, path, follow)
    }

    /// Runs a read of something on `mount`, which may ask that access times stay.
    #[inline(always)]
    pub(crate) fn reading<T>(&self, mount: &Mount, read: impl FnOnce(&Cx<'_>) -> T) -> T {
        if mount.keeps_atime() { read(&self.cx.keeping_atime()) } else { read(self.cx) }
    }

    /// An inode to be made in a directory: its owner, group and mode (`inode_init_owner` in Linux).
    pub(crate) fn new_inode<'k>(&self, dir: &Attr, kind: NewKind<'k>, mode: Mode) -> NewInode<'k> {
        let who = self.cx.credentials();
        let inherits = dir.mode.contains(Mode::SETGID);
        let mut mode = mode;
        if inherits && matches!(kind, NewKind::Directory) {
            mode |= Mode::SETGID;
        } else if inherits
            && mode.contains(Mode::SETGID | Mode::XGRP)
            && !who.in_group(dir.gid)
            && !who.has(Capabilities::FSETID)
        {
            mode -= Mode::SETGID;
        }
        NewInode { kind, mode, uid: who.uid, gid: if inherits { dir.gid } else { who.gid } }
    }
}

impl Place {
    pub(crate) fn at<'a>(&'a self, name: Name<'a>) -> At<'a, dyn Inode> {
        At { dir: &self.node, name }
    }

    /// Whether reads through the mount leave access times.
    pub fn keeps_atime(&self) -> bool {
        self.mount.keeps_atime()
    }
}

/// Same filesystem and same inode, whatever the mount.
pub(crate) fn same_inode(one: &Place, other: &Place) -> bool {
    Arc::ptr_eq(&one.node, &other.node) || one.identity() == other.identity()
}
