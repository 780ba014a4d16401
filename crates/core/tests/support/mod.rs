//! A namespace over a memory filesystem, with the operations as short calls.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::ops::ControlFlow;

use vnode_core::fs::{Access, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{
    Attr, Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, MountFlags, Namespace,
    OpenFlags, OpenHow, OpenNode, Opened, Place, Policy, Result, Timespec, VPath,
};
use vnode_memory::Memory;

pub struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec { sec: 1_000_000, nsec: 0 }
    }
}

/// A process: root, base and policy over a namespace.
pub struct Process<'a> {
    pub ns: &'a Namespace,
    pub who: Credentials,
    pub root: Place,
    pub base: Place,
    pub policy: Policy,
}

pub fn memory() -> FilesystemRef {
    FilesystemRef::new(Memory::new())
}

impl<'a> Process<'a> {
    pub fn new(ns: &'a Namespace) -> Self {
        let root = ns.root().clone();
        Process { ns, who: Credentials::root(), base: root.clone(), root, policy: Policy::Posix }
    }

    /// The same process with its base at a path, under a policy.
    pub fn at(&self, path: &str, policy: Policy) -> Process<'a> {
        let base = self.resolve(path).unwrap();
        Process { ns: self.ns, who: self.who.clone(), root: self.root.clone(), base, policy }
    }

    pub fn run<T>(&self, call: impl FnOnce(Caller<'_>) -> T) -> T {
        let cx = Cx::new(&self.who, &Epoch);
        call(Caller { ns: self.ns, cx: &cx, root: &self.root, policy: self.policy })
    }

    pub fn resolve(&self, path: &str) -> Result<Place> {
        self.run(|caller| caller.resolve(&self.base, vpath(path)?, Follow::Yes))
    }

    pub fn stat(&self, path: &str) -> Result<Attr> {
        self.run(|caller| caller.stat(&self.base, vpath(path)?, Follow::Yes))
    }

    pub fn mkdir(&self, path: &str) -> Result<()> {
        self.run(|caller| caller.mkdir(&self.base, vpath(path)?, Mode::from_raw(0o755)))
    }

    pub fn rmdir(&self, path: &str) -> Result<()> {
        self.run(|caller| caller.rmdir(&self.base, vpath(path)?))
    }

    pub fn unlink(&self, path: &str) -> Result<()> {
        self.run(|caller| caller.unlink(&self.base, vpath(path)?))
    }

    pub fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.run(|caller| caller.symlink(target.as_bytes(), &self.base, vpath(path)?))
    }

    pub fn readlink(&self, path: &str) -> Result<String> {
        self.run(|caller| caller.readlink(&self.base, vpath(path)?))
            .map(|target| String::from_utf8_lossy(&target).into_owned())
    }

    pub fn link(&self, old: &str, new: &str) -> Result<()> {
        self.run(|caller| caller.link(&self.base, vpath(old)?, Follow::No, &self.base, vpath(new)?))
    }

    pub fn rename(&self, old: &str, new: &str) -> Result<()> {
        self.run(|caller| caller.rename(&self.base, vpath(old)?, &self.base, vpath(new)?, Rename::Replace))
    }

    pub fn open(&self, path: &str, access: Access, flags: OpenFlags) -> Result<Opened> {
        let how = OpenHow { access, flags, mode: Mode::from_raw(0o644) };
        self.run(|caller| caller.open(&self.base, vpath(path)?, &how))
    }

    pub fn write(&self, path: &str, content: &str) -> Result<()> {
        let opened = self.open(path, Access::WRITE, OpenFlags::CREATE | OpenFlags::TRUNCATE)?;
        let OpenNode::File(file) = opened.node else { return Err(Errno::NXIO) };
        let mut source = Source::from_slice(content.as_bytes());
        self.run(|caller| file.write_at(caller.cx, 0, &mut source)).map(drop)
    }

    pub fn read(&self, path: &str) -> Result<String> {
        let OpenNode::File(file) = self.open(path, Access::READ, OpenFlags::empty())?.node else {
            return Err(Errno::NXIO);
        };
        let mut bytes = [0; 64];
        let count = self.run(|caller| file.read_at(caller.cx, 0, &mut Sink::from_slice(&mut bytes)))?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    }

    pub fn getcwd(&self) -> Result<String> {
        self.run(|caller| caller.getcwd(&self.base)).map(|path| String::from_utf8_lossy(&path).into_owned())
    }

    /// The names of a directory, listed one call an entry.
    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        self.run(|caller| {
            let mut listing = caller.list(&self.resolve(path)?)?;
            let (mut names, mut cookie) = (Vec::new(), 0);
            loop {
                let mut seen = false;
                listing.list(&caller, cookie, &mut |entry| {
                    seen = true;
                    cookie = entry.next;
                    names.push(String::from_utf8_lossy(entry.name).into_owned());
                    ControlFlow::Break(())
                })?;
                if !seen {
                    names.sort();
                    return Ok(names);
                }
            }
        })
    }
}

pub fn vpath(path: &str) -> Result<VPath<'_>> {
    VPath::new(path.as_bytes())
}

pub fn mount(ns: &Namespace, path: &str) -> Place {
    ns.mount_at(path.as_bytes(), &memory(), MountFlags::empty()).unwrap()
}
