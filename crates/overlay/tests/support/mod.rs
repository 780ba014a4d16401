//! Overlays of memory filesystems, and calls on them by names.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vnode_core::fs::{
    Access, At, File, Filesystem, Inode, LinkTarget, NewInode, NewKind, Remove, Rename, SetXattr,
};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Clock, Credentials, Cx, FilesystemRef, Mode, Name, Result, Timespec};
use vnode_memory::Memory;
use vnode_overlay::{Marks, Overlay};

/// A clock that never tells the same time twice.
struct Ticking;

static NOW: AtomicU64 = AtomicU64::new(1_000_000_000_000);

impl Clock for Ticking {
    fn now(&self) -> Timespec {
        Timespec::from_nanos(NOW.fetch_add(1000, Ordering::Relaxed))
    }
}

/// Makes a call as root.
pub(crate) fn as_root<T>(call: impl FnOnce(&Cx<'_>) -> T) -> T {
    let who = Credentials::root();
    call(&Cx::new(&who, &Ticking))
}

/// An inode.
pub(crate) type Node = Arc<dyn Inode>;

/// A filesystem with calls by paths of plain names.
#[derive(Clone)]
pub(crate) struct Tree(pub(crate) FilesystemRef);

impl Tree {
    /// An empty memory filesystem.
    pub(crate) fn memory() -> Self {
        Tree(FilesystemRef::new::<Memory>(Memory::new()))
    }

    /// An overlay of these, the topmost lower first.
    pub(crate) fn over(lowers: &[&Tree], upper: &Tree) -> Self {
        Tree::marked(lowers, upper, Marks::Trusted)
    }

    pub(crate) fn marked(lowers: &[&Tree], upper: &Tree, marks: Marks) -> Self {
        let builder = lowers.iter().fold(Overlay::builder(), |builder, lower| builder.lower(lower.0.clone()));
        let overlay = as_root(|cx| builder.marks(marks).build(cx, upper.0.clone())).unwrap();
        Tree(FilesystemRef::new::<Overlay>(overlay))
    }

    pub(crate) fn node(&self, path: &str) -> Result<Node> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(self.0.root(), |dir, name| {
            let name = Name::new(name.as_bytes())?;
            as_root(|cx| self.0.lookup(cx, At { dir: &dir, name }))
        })
    }

    /// Makes a call with the directory and the name that a path leads to.
    pub(crate) fn at<T>(
        &self,
        path: &str,
        call: impl FnOnce(&Cx<'_>, At<'_, dyn Inode>) -> Result<T>,
    ) -> Result<T> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = self.node(dir)?;
        let name = Name::new(name.as_bytes())?;
        as_root(|cx| call(cx, At { dir: &dir, name }))
    }

    pub(crate) fn make(&self, path: &str, kind: NewKind<'_>) -> Result<Node> {
        let new = NewInode { kind, mode: Mode::from_raw(0o755), uid: 0, gid: 0 };
        self.at(path, |cx, at| self.0.create(cx, at, new))
    }

    pub(crate) fn mkdir(&self, path: &str) -> Result<()> {
        self.make(path, NewKind::Directory).map(drop)
    }

    /// Makes a file with this content, or changes it.
    pub(crate) fn write(&self, path: &str, content: &str) -> Result<()> {
        let node = match self.node(path) {
            Ok(node) => node,
            Err(_) => self.make(path, NewKind::Regular)?,
        };
        let file = self.open(&node, Access::WRITE)?;
        as_root(|cx| file.set_len(cx, 0))?;
        as_root(|cx| file.write_at(cx, 0, &mut Source::from_slice(content.as_bytes()))).map(drop)
    }

    pub(crate) fn open(&self, node: &Node, access: Access) -> Result<Arc<dyn File>> {
        as_root(|cx| self.0.open(cx, node, access))
    }

    pub(crate) fn read(&self, path: &str) -> Result<String> {
        content(&*self.open(&self.node(path)?, Access::READ)?)
    }

    pub(crate) fn attr(&self, path: &str) -> Result<Attr> {
        let node = self.node(path)?;
        self.attr_of(&node)
    }

    pub(crate) fn attr_of(&self, node: &Node) -> Result<Attr> {
        as_root(|cx| self.0.getattr(cx, node))
    }

    pub(crate) fn target(&self, path: &str) -> Result<String> {
        let node = self.node(path)?;
        match as_root(|cx| self.0.readlink(cx, &node))? {
            LinkTarget::Text(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            LinkTarget::Jump(_) => Ok(String::new()),
        }
    }

    pub(crate) fn unlink(&self, path: &str) -> Result<()> {
        self.at(path, |cx, at| self.0.remove(cx, at, Remove::File))
    }

    pub(crate) fn rmdir(&self, path: &str) -> Result<()> {
        self.at(path, |cx, at| self.0.remove(cx, at, Remove::Directory))
    }

    pub(crate) fn link(&self, old: &str, new: &str) -> Result<()> {
        let node = self.node(old)?;
        self.at(new, |cx, at| self.0.link(cx, at, &node))
    }

    pub(crate) fn rename(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        self.at(from, |_, from| self.at(to, |cx, to| self.0.rename(cx, from, to, how)))
    }

    pub(crate) fn set_xattr(&self, path: &str, name: &str, value: &str) -> Result<()> {
        let node = self.node(path)?;
        let (name, value) = (name.as_bytes(), value.as_bytes());
        as_root(|cx| self.0.set_xattr(cx, &node, name, value, SetXattr::Any))
    }

    pub(crate) fn xattr(&self, path: &str, name: &str) -> Result<String> {
        let node = self.node(path)?;
        let value = as_root(|cx| self.0.get_xattr(cx, &node, name.as_bytes()))?;
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    pub(crate) fn xattrs(&self, path: &str) -> Result<Vec<String>> {
        let node = self.node(path)?;
        let mut names = Vec::new();
        as_root(|cx| {
            self.0.list_xattr(cx, &node, &mut |name| names.push(String::from_utf8_lossy(name).into_owned()))
        })?;
        names.sort();
        Ok(names)
    }

    /// The names in a directory, in order.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<String>> {
        let node = self.node(path)?;
        let mut names = Vec::new();
        as_root(|cx| {
            self.0.open_dir(cx, &node)?.list(cx, 0, &mut |entry| {
                names.push(String::from_utf8_lossy(entry.name).into_owned());
                ControlFlow::Continue(())
            })
        })?;
        Ok(names)
    }

    /// Everything below a directory: each name with its type, content and owner, sorted.
    pub(crate) fn picture(&self, path: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for name in self.list(path).unwrap() {
            let path = format!("{path}/{name}");
            let attr = self.attr(&path).unwrap();
            let what = match attr.kind {
                vnode_core::FileType::Regular => self.read(&path).unwrap(),
                vnode_core::FileType::Symlink => self.target(&path).unwrap(),
                _ => String::new(),
            };
            let times = (attr.mtime, attr.atime, attr.ctime);
            lines.push(format!(
                "{path} {:?} {} {what:?} {times:?} {:?}",
                attr.kind,
                attr.nlink,
                self.xattrs(&path)
            ));
            if attr.kind.is_dir() {
                lines.extend(self.picture(&path));
            }
        }
        lines.sort();
        lines
    }
}

/// All that a file has.
pub(crate) fn content(file: &dyn File) -> Result<String> {
    let mut bytes = vec![0; 1 << 16];
    let read = as_root(|cx| file.read_at(cx, 0, &mut Sink::from_slice(&mut bytes)))?;
    Ok(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

/// A lower with directories in directories, and a file with two names.
pub(crate) fn lower() -> Tree {
    let lower = Tree::memory();
    for dir in ["d", "d/sub", "e"] {
        lower.mkdir(dir).unwrap();
    }
    for (file, content) in [("d/f", "old"), ("d/sub/deep", "deep"), ("h", "linked"), ("e/g", "other")] {
        lower.write(file, content).unwrap();
    }
    lower.link("h", "e/h").unwrap();
    lower
}

/// Names with what they are: files with their content.
pub(crate) fn names(tree: &Tree, path: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for name in tree.list(path).unwrap() {
        let path = format!("{path}/{name}");
        if tree.attr(&path).unwrap().kind.is_dir() {
            lines.push(path.clone());
            lines.extend(names(tree, &path));
        } else {
            lines.push(format!("{path}: {}", tree.read(&path).unwrap()));
        }
    }
    lines.sort();
    lines
}
