//! A process on a filesystem, for tests.

#![allow(dead_code, reason = "not every test uses all of it")]

pub(crate) mod paths;

use std::sync::atomic::{AtomicI64, Ordering};

use vnode_core::fs::{Access, Allocate, At, File, Filesystem, NewInode, NewKind, Remove, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{Clock, Credentials, Cx, Mode, Name, Result, SetAttr, Timespec};

use std::sync::Arc;

/// A clock that never tells the same time twice.
pub(crate) struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timespec {
        Timespec { sec: 1_000_000 + self.0.fetch_add(1, Ordering::Relaxed), nsec: 0 }
    }
}

/// Root, on a filesystem; names are those of its root directory.
pub(crate) struct On<F: Filesystem> {
    pub(crate) fs: Arc<F>,
    who: Credentials,
    clock: Ticking,
}

impl<F: Filesystem> On<F> {
    pub(crate) fn new(fs: impl Into<Arc<F>>) -> Self {
        On { fs: fs.into(), who: Credentials::root(), clock: Ticking(AtomicI64::new(0)) }
    }

    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx::new(&self.who, &self.clock)
    }

    pub(crate) fn lookup(&self, name: &str) -> Result<Arc<F::Inode>> {
        self.lookup_in(&self.fs.root(), name)
    }

    pub(crate) fn lookup_in(&self, dir: &Arc<F::Inode>, name: &str) -> Result<Arc<F::Inode>> {
        self.fs.lookup(&self.cx(), At { dir, name: Name::new(name.as_bytes())? })
    }

    pub(crate) fn make(&self, name: &str, kind: NewKind<'_>) -> Result<Arc<F::Inode>> {
        self.make_in(&self.fs.root(), name, kind)
    }

    pub(crate) fn make_in(
        &self,
        dir: &Arc<F::Inode>,
        name: &str,
        kind: NewKind<'_>,
    ) -> Result<Arc<F::Inode>> {
        let new = NewInode { kind, mode: Mode::from_raw(0o755), uid: 0, gid: 0 };
        self.fs.create(&self.cx(), At { dir, name: Name::new(name.as_bytes())? }, new)
    }

    pub(crate) fn open_new(&self, name: &str) -> Result<Arc<dyn File>> {
        let new = NewInode { kind: NewKind::Regular, mode: Mode::from_raw(0o644), uid: 0, gid: 0 };
        let root = self.fs.root();
        let at = At { dir: &root, name: Name::new(name.as_bytes())? };
        Ok(self.fs.create_open(&self.cx(), at, new, Access::READ | Access::WRITE)?.1)
    }

    pub(crate) fn open(&self, name: &str) -> Result<Arc<dyn File>> {
        self.fs.open(&self.cx(), &self.lookup(name)?, Access::READ | Access::WRITE)
    }

    pub(crate) fn link(&self, old: &str, new: &str) -> Result<()> {
        let root = self.fs.root();
        let at = At { dir: &root, name: Name::new(new.as_bytes())? };
        self.fs.link(&self.cx(), at, &self.lookup(old)?)
    }

    pub(crate) fn unlink(&self, name: &str) -> Result<()> {
        self.remove_in(&self.fs.root(), name, Remove::File)
    }

    pub(crate) fn rmdir(&self, name: &str) -> Result<()> {
        self.remove_in(&self.fs.root(), name, Remove::Directory)
    }

    pub(crate) fn remove_in(&self, dir: &Arc<F::Inode>, name: &str, what: Remove) -> Result<()> {
        self.fs.remove(&self.cx(), At { dir, name: Name::new(name.as_bytes())? }, what)
    }

    pub(crate) fn rename(&self, old: &str, new: &str, how: Rename) -> Result<()> {
        let root = self.fs.root();
        let from = At { dir: &root, name: Name::new(old.as_bytes())? };
        self.fs.rename(&self.cx(), from, At { dir: &root, name: Name::new(new.as_bytes())? }, how)
    }

    pub(crate) fn truncate(&self, name: &str, size: u64) -> Result<()> {
        let set = SetAttr { size: Some(size), ..SetAttr::default() };
        self.fs.setattr(&self.cx(), &self.lookup(name)?, &set)
    }

    pub(crate) fn write(&self, file: &Arc<dyn File>, offset: u64, bytes: &[u8]) -> Result<usize> {
        file.write_at(&self.cx(), offset, &mut Source::from_slice(bytes))
    }

    pub(crate) fn append(&self, file: &Arc<dyn File>, bytes: &[u8]) -> Result<usize> {
        Ok(file.append(&self.cx(), &mut Source::from_slice(bytes))?.0)
    }

    pub(crate) fn read(&self, file: &Arc<dyn File>, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let done = file.read_at(&self.cx(), offset, &mut Sink::from_slice(&mut bytes))?;
        bytes.truncate(done);
        Ok(bytes)
    }

    pub(crate) fn allocate(&self, file: &Arc<dyn File>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        file.allocate(&self.cx(), how, offset, len)
    }
}
