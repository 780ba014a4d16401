//! Links kept for a filesystem, and paths of one or two names in it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use vnode_adapt::{Keep, SymlinkEmulation};
use vnode_core::fs::{Access, At, Filesystem, Inode, LinkTarget, NewKind, Remove, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, FileType, FilesystemRef, Name, Result};
use vnode_memory::Memory;

use super::On;

pub(crate) type Node = Arc<dyn Inode>;
pub(crate) type User = On<SymlinkEmulation>;

pub(crate) const FILE: &str = ".vnode-symlinks";
pub(crate) const WORK: &str = ".vnode-symlinks-work";

/// A process on links kept for `fs`.
pub(crate) fn over(fs: &FilesystemRef, keep: Keep) -> User {
    let within = On::<FilesystemRef>::new(fs.clone());
    On::new(SymlinkEmulation::new(&within.cx(), fs.clone(), keep).unwrap())
}

pub(crate) fn memory() -> FilesystemRef {
    FilesystemRef::new::<Memory>(Memory::new())
}

pub(crate) fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

/// What paths of one or two names stand for, and what is done there.
pub(crate) trait Paths {
    fn dir_of<'p>(&self, path: &'p str) -> (Node, &'p str);
    fn at(&self, path: &str) -> Result<Node>;
    fn symlink(&self, target: &str, path: &str) -> Result<Node>;
    fn mkdir(&self, path: &str) -> Result<Node>;
    fn file(&self, path: &str) -> Result<Node>;
    fn moves(&self, from: &str, to: &str, how: Rename) -> Result<()>;
    fn linked(&self, path: &str, new: &str) -> Result<()>;
    fn remove(&self, path: &str, what: Remove) -> Result<()>;
    fn reads(&self, path: &str) -> Result<String>;
    fn attr(&self, path: &str) -> Attr;
    fn names(&self, dir: &str) -> BTreeMap<String, FileType>;
    fn content(&self, path: &str) -> Vec<u8>;
    fn overwrite(&self, path: &str, bytes: &[u8]);
}

impl<F: Filesystem<Inode = dyn Inode>> Paths for On<F> {
    fn dir_of<'p>(&self, path: &'p str) -> (Node, &'p str) {
        match path.split_once('/') {
            Some((dir, name)) => (self.lookup(dir).unwrap(), name),
            None => (self.fs.root(), path),
        }
    }

    fn at(&self, path: &str) -> Result<Node> {
        let (dir, last) = self.dir_of(path);
        self.lookup_in(&dir, last)
    }

    fn symlink(&self, target: &str, path: &str) -> Result<Node> {
        let (dir, last) = self.dir_of(path);
        self.make_in(&dir, last, NewKind::Symlink(target.as_bytes()))
    }

    fn mkdir(&self, path: &str) -> Result<Node> {
        let (dir, last) = self.dir_of(path);
        self.make_in(&dir, last, NewKind::Directory)
    }

    fn file(&self, path: &str) -> Result<Node> {
        let (dir, last) = self.dir_of(path);
        self.make_in(&dir, last, NewKind::Regular)
    }

    fn moves(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        let ((old, from), (new, to)) = (self.dir_of(from), self.dir_of(to));
        let from = At { dir: &old, name: name(from) };
        self.fs.rename(&self.cx(), from, At { dir: &new, name: name(to) }, how)
    }

    fn linked(&self, path: &str, new: &str) -> Result<()> {
        let (target, (dir, last)) = (self.at(path)?, self.dir_of(new));
        self.fs.link(&self.cx(), At { dir: &dir, name: name(last) }, &target)
    }

    fn remove(&self, path: &str, what: Remove) -> Result<()> {
        let (dir, last) = self.dir_of(path);
        self.fs.remove(&self.cx(), At { dir: &dir, name: name(last) }, what)
    }

    fn reads(&self, path: &str) -> Result<String> {
        match self.fs.readlink(&self.cx(), &self.at(path)?)? {
            LinkTarget::Text(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            LinkTarget::Jump(_) => unreachable!("no link of /proc"),
        }
    }

    fn attr(&self, path: &str) -> Attr {
        self.fs.getattr(&self.cx(), &self.at(path).unwrap()).unwrap()
    }

    fn names(&self, dir: &str) -> BTreeMap<String, FileType> {
        let dir = if dir.is_empty() { self.fs.root() } else { self.at(dir).unwrap() };
        let mut names = BTreeMap::new();
        let mut stream = self.fs.open_dir(&self.cx(), &dir).unwrap();
        stream
            .list(&self.cx(), 0, &mut |entry| {
                let name = String::from_utf8_lossy(entry.name).into_owned();
                assert_eq!(names.insert(name, entry.kind), None, "listed twice");
                ControlFlow::Continue(())
            })
            .unwrap();
        names
    }

    fn content(&self, path: &str) -> Vec<u8> {
        let node = self.at(path).unwrap();
        let size = self.fs.getattr(&self.cx(), &node).unwrap().size;
        let mut bytes = vec![0; size as usize];
        let file = self.fs.open(&self.cx(), &node, Access::READ).unwrap();
        assert_eq!(file.read_at(&self.cx(), 0, &mut Sink::from_slice(&mut bytes)).unwrap(), bytes.len());
        bytes
    }

    fn overwrite(&self, path: &str, bytes: &[u8]) {
        let node = self.at(path).unwrap();
        let file = self.fs.open(&self.cx(), &node, Access::READ | Access::WRITE).unwrap();
        file.set_len(&self.cx(), 0).unwrap();
        assert_eq!(file.write_at(&self.cx(), 0, &mut Source::from_slice(bytes)).unwrap(), bytes.len());
    }
}
