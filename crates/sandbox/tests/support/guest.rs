//! A guest of a view, with calls by paths of plain names.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{
    Access, At, Filesystem as _, Inode, LinkTarget, NewInode, NewKind, Remove, Rename, SetXattr,
};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Errno, FilesystemRef, Mode, Name, Result, SetAttr};

use super::as_root;

pub(crate) struct Guest<'a>(pub(crate) &'a FilesystemRef);

impl Guest<'_> {
    pub(crate) fn node(&self, cx: &Cx<'_>, path: impl AsRef<[u8]>) -> Result<Arc<dyn Inode>> {
        let mut names = path.as_ref().split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        names.try_fold(self.0.root(), |dir, name| {
            if !dir.kind().is_dir() {
                return Err(Errno::NOTDIR);
            }
            self.0.lookup(cx, At { dir: &dir, name: Name::new(name)? })
        })
    }

    fn at<T>(
        &self,
        path: impl AsRef<[u8]>,
        call: impl FnOnce(&Cx<'_>, At<'_, dyn Inode>) -> Result<T>,
    ) -> Result<T> {
        as_root(|cx| {
            let path = path.as_ref();
            let slash = path.iter().rposition(|&byte| byte == b'/');
            let (dir, name) = slash.map_or((&b""[..], path), |at| (&path[..at], &path[at + 1..]));
            let dir = self.node(cx, dir)?;
            if !dir.kind().is_dir() {
                return Err(Errno::NOTDIR);
            }
            call(cx, At { dir: &dir, name: Name::new(name)? })
        })
    }

    pub(crate) fn make(&self, path: impl AsRef<[u8]>, kind: NewKind<'_>) -> Result<()> {
        let mode = Mode::from_raw(if kind.file_type().is_dir() { 0o755 } else { 0o644 });
        self.at(path, |cx, at| self.0.create(cx, at, NewInode { kind, mode, uid: 0, gid: 0 }).map(drop))
    }

    pub(crate) fn write(&self, path: impl AsRef<[u8]>, text: impl AsRef<[u8]>) -> Result<()> {
        self.write_at(path, 0, text)
    }

    /// The bytes alone, with a hole before them.
    pub(crate) fn write_at(&self, path: impl AsRef<[u8]>, at: u64, text: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        if as_root(|cx| self.node(cx, path)).is_err() {
            self.make(path, NewKind::Regular)?;
        }
        as_root(|cx| {
            let file = self.0.open(cx, &self.node(cx, path)?, Access::WRITE)?;
            file.set_len(cx, 0)?;
            file.write_at(cx, at, &mut Source::from_slice(text.as_ref())).map(drop)
        })
    }

    pub(crate) fn remove(&self, path: impl AsRef<[u8]>, what: Remove) -> Result<()> {
        self.at(path, |cx, at| self.0.remove(cx, at, what))
    }

    /// With all that is in it.
    pub(crate) fn remove_all(&self, path: impl AsRef<[u8]>) -> Result<()> {
        let path = path.as_ref();
        if !as_root(|cx| self.node(cx, path))?.kind().is_dir() {
            return self.remove(path, Remove::File);
        }
        for name in self.names(path)? {
            self.remove_all([path, b"/", &name].concat())?;
        }
        self.remove(path, Remove::Directory)
    }

    pub(crate) fn names(&self, path: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
        as_root(|cx| {
            let mut names = Vec::new();
            let dir = self.node(cx, path)?;
            self.0.open_dir(cx, &dir)?.list(cx, 0, &mut |entry| {
                names.push(entry.name.to_vec());
                ControlFlow::Continue(())
            })?;
            names.sort();
            Ok(names)
        })
    }

    pub(crate) fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>, how: Rename) -> Result<()> {
        self.at(from, |_, from| self.at(to, |cx, to| self.0.rename(cx, from, to, how)))
    }

    pub(crate) fn link(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<()> {
        let node = as_root(|cx| self.node(cx, from))?;
        if node.kind().is_dir() {
            return Err(Errno::PERM);
        }
        self.at(to, |cx, at| self.0.link(cx, at, &node))
    }

    pub(crate) fn chmod(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let set = SetAttr { mode: Some(Mode::from_raw(mode)), ..SetAttr::default() };
        self.set(path, &set)
    }

    pub(crate) fn set(&self, path: impl AsRef<[u8]>, set: &SetAttr) -> Result<()> {
        as_root(|cx| self.0.setattr(cx, &self.node(cx, path)?, set))
    }

    pub(crate) fn set_xattr(&self, path: impl AsRef<[u8]>, name: &[u8], value: &[u8]) -> Result<()> {
        as_root(|cx| self.0.set_xattr(cx, &self.node(cx, path)?, name, value, SetXattr::Any))
    }

    pub(crate) fn read(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        as_root(|cx| {
            let node = self.node(cx, path)?;
            let size = self.0.getattr(cx, &node)?.size;
            let mut bytes = vec![0; usize::try_from(size).unwrap()];
            let file = self.0.open(cx, &node, Access::READ)?;
            let read = file.read_at(cx, 0, &mut Sink::from_slice(&mut bytes))?;
            bytes.truncate(read);
            Ok(bytes)
        })
    }

    pub(crate) fn target(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        as_root(|cx| match self.0.readlink(cx, &self.node(cx, path)?)? {
            LinkTarget::Text(text) => Ok(text.to_vec()),
            LinkTarget::Jump(_) => Err(Errno::INVAL),
        })
    }
}
