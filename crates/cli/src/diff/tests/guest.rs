//! A guest that changes a view by paths of plain names.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use vnode_core::fs::{
    Access, At, Filesystem as _, Inode, LinkTarget, NewInode, NewKind, Remove, Rename, SetXattr,
};
use vnode_core::io::{Sink, Source};
use vnode_core::{Clock, Credentials, Cx, FileType, FilesystemRef, Mode, Name, Result, SetAttr, Timespec};
use vnode_memory::Memory;
use vnode_sandbox::{Change, View};

use crate::diff::{self, Colour, DiffOptions, Form, MountChanges, Screen};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timespec {
        Timespec { sec: 1_000_000_000, nsec: 5 }
    }
}

/// Makes a call as root.
pub(super) fn as_root<T>(call: impl FnOnce(&Cx<'_>) -> T) -> T {
    let who = Credentials::root();
    call(&Cx::new(&who, &Noon))
}

pub(super) struct Guest(pub(super) FilesystemRef);

impl Guest {
    /// Fills a filesystem in memory.
    pub(super) fn in_memory(fill: impl FnOnce(&Guest)) -> FilesystemRef {
        let guest = Guest(FilesystemRef::new::<Memory>(Memory::new()));
        fill(&guest);
        guest.0
    }

    pub(super) fn node(&self, path: &[u8]) -> Result<Arc<dyn Inode>> {
        let mut names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
        names.try_fold(self.0.root(), |dir, name| {
            as_root(|cx| self.0.lookup(cx, At { dir: &dir, name: Name::new(name)? }))
        })
    }

    fn at<T>(&self, path: &[u8], call: impl FnOnce(&Cx<'_>, At<'_, dyn Inode>) -> Result<T>) -> T {
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let (dir, name) = slash.map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]));
        let dir = self.node(dir).unwrap();
        as_root(|cx| call(cx, At { dir: &dir, name: Name::new(name)? })).unwrap()
    }

    pub(super) fn make(&self, path: impl AsRef<[u8]>, kind: NewKind<'_>) {
        let mode = Mode::from_raw(if kind.file_type().is_dir() { 0o755 } else { 0o644 });
        let new = NewInode { kind, mode, uid: 0, gid: 0 };
        self.at(path.as_ref(), |cx, at| self.0.create(cx, at, new).map(drop));
    }

    pub(super) fn dir(&self, path: impl AsRef<[u8]>) {
        self.make(path, NewKind::Directory);
    }

    pub(super) fn symlink(&self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) {
        self.make(path, NewKind::Symlink(target.as_ref()));
    }

    /// Writes a file anew, or makes it.
    pub(super) fn write(&self, path: impl AsRef<[u8]>, text: impl AsRef<[u8]>) {
        let path = path.as_ref();
        if self.node(path).is_err() {
            self.make(path, NewKind::Regular);
        }
        as_root(|cx| {
            let file = self.0.open(cx, &self.node(path)?, Access::WRITE)?;
            file.set_len(cx, 0)?;
            file.write_at(cx, 0, &mut Source::from_slice(text.as_ref())).map(drop)
        })
        .unwrap();
    }

    pub(super) fn truncate(&self, path: &str, len: u64) {
        let open =
            |cx: &Cx<'_>| self.0.open(cx, &self.node(path.as_bytes())?, Access::WRITE)?.set_len(cx, len);
        as_root(open).unwrap();
    }

    /// Removes a name, and what is below it.
    pub(super) fn remove(&self, path: impl AsRef<[u8]>) {
        let path = path.as_ref();
        let is_dir = self.node(path).unwrap().kind().is_dir();
        if is_dir {
            for name in self.names(path) {
                self.remove([path, b"/", &name].concat());
            }
        }
        let what = if is_dir { Remove::Directory } else { Remove::File };
        self.at(path, |cx, at| self.0.remove(cx, at, what));
    }

    pub(super) fn names(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let dir = self.node(path).unwrap();
        let mut names = Vec::new();
        let list = |cx: &Cx<'_>| {
            self.0.open_dir(cx, &dir)?.list(cx, 0, &mut |entry| {
                names.push(entry.name.to_vec());
                std::ops::ControlFlow::Continue(())
            })
        };
        as_root(list).unwrap();
        names.sort();
        names
    }

    pub(super) fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) {
        self.at(from.as_ref(), |_, from| {
            self.at(to.as_ref(), |cx, to| self.0.rename(cx, from, to, Rename::Replace));
            Ok(())
        });
    }

    pub(super) fn link(&self, from: &str, to: &str) {
        let node = self.node(from.as_bytes()).unwrap();
        self.at(to.as_bytes(), |cx, at| self.0.link(cx, at, &node));
    }

    pub(super) fn set(&self, path: &str, set: &SetAttr) {
        as_root(|cx| self.0.setattr(cx, &self.node(path.as_bytes())?, set)).unwrap();
    }

    pub(super) fn chmod(&self, path: &str, mode: u32) {
        self.set(path, &SetAttr { mode: Some(Mode::from_raw(mode)), ..SetAttr::default() });
    }

    pub(super) fn set_xattr(&self, path: &str, name: &str, value: &str) {
        let node = self.node(path.as_bytes()).unwrap();
        as_root(|cx| self.0.set_xattr(cx, &node, name.as_bytes(), value.as_bytes(), SetXattr::Any)).unwrap();
    }

    /// Puts a tree in a directory of the host: files, links, and the owner's permission to execute.
    pub(super) fn put(&self, below: &[u8], host: &Path) {
        for name in self.names(below) {
            let path = [below, b"/", &name].concat();
            let at = host.join(std::ffi::OsStr::from_bytes(&name));
            let node = self.node(&path).unwrap();
            let found = as_root(|cx| {
                let attr = self.0.getattr(cx, &node)?;
                Ok::<_, vnode_core::Errno>((attr, self.content(cx, &node)?))
            });
            let (attr, content) = found.unwrap();
            if attr.kind.is_dir() {
                std::fs::create_dir(&at).unwrap();
                self.put(&path, &at);
            } else if attr.kind.is_symlink() {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&content), &at).unwrap();
            } else {
                std::fs::write(&at, &content).unwrap();
                std::fs::set_permissions(&at, PermissionsExt::from_mode(attr.mode.raw())).unwrap();
            }
        }
    }

    /// What is in a file, or where a link leads.
    fn content(&self, cx: &Cx<'_>, node: &Arc<dyn Inode>) -> Result<Vec<u8>> {
        match node.kind() {
            FileType::Regular => {
                let file = self.0.open(cx, node, Access::READ)?;
                let mut bytes = vec![0; usize::try_from(self.0.getattr(cx, node)?.size).unwrap()];
                let read = file.read_at(cx, 0, &mut Sink::from_slice(&mut bytes))?;
                bytes.truncate(read);
                Ok(bytes)
            }
            FileType::Symlink => match self.0.readlink(cx, node)? {
                LinkTarget::Text(text) => Ok(text.to_vec()),
                LinkTarget::Jump(_) => Ok(Vec::new()),
            },
            _ => Ok(Vec::new()),
        }
    }
}

/// A view, and its guest.
pub(super) fn changed(base: FilesystemRef, change: impl FnOnce(&Guest)) -> (View, Vec<Change>) {
    let view = View::of_filesystem(base).open().unwrap();
    change(&Guest(view.filesystem.clone()));
    let changes = as_root(|cx| view.changes(cx)).unwrap();
    (view, changes)
}

/// What is told of changes, piped.
pub(super) fn told(changes: &[Change], form: Form) -> String {
    let options = DiffOptions { form, colour: Colour::Never, paths: Vec::new() };
    let bytes = told_as(&[MountChanges { mount: b"/", changes }], &options, false);
    String::from_utf8(bytes).unwrap()
}

pub(super) fn told_as(mounts: &[MountChanges<'_>], options: &DiffOptions, is_terminal: bool) -> Vec<u8> {
    let mut out = Vec::new();
    as_root(|cx| diff::write(cx, mounts, options, Screen { is_terminal, columns: 80 }, &mut out)).unwrap();
    out
}
