//! A guest with a directory of the host as its root.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use vnode_core::fs::{Access, File, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{
    Attr, Caller, Capabilities, Clock, Credentials, Cx, Errno, FileType, FilesystemRef, Follow, Mode,
    Namespace, OpenFlags, OpenHow, OpenNode, Opened, Place, Policy, Result, Timespec, VPath,
};
use vnode_host::{Host, HostBuilder};

struct Still;

impl Clock for Still {
    fn now(&self) -> Timespec {
        Timespec { sec: 1_000_000_000, nsec: 0 }
    }
}

/// A process of root's on a namespace of one directory.
pub(crate) struct Guest {
    pub(crate) host: Arc<Host>,
    ns: Namespace,
    who: Credentials,
}

impl Guest {
    pub(crate) fn new(builder: HostBuilder, dir: &Path) -> Guest {
        let host = Arc::new(builder.open(dir).unwrap());
        let ns = Namespace::new(FilesystemRef::new::<Host>(Arc::clone(&host)));
        Guest { host, ns, who: Credentials::root() }
    }

    /// A process that is no more than the owner of the files: each directory on the way is asked whether it may be searched.
    pub(crate) fn unprivileged(builder: HostBuilder, dir: &Path) -> Guest {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let who = Credentials { capabilities: Capabilities::empty(), ..Credentials::user(uid, gid, &[]) };
        Guest { who, ..Guest::new(builder, dir) }
    }

    /// One that finds names in both ways: by runs, and one by one.
    pub(crate) fn both(dir: &Path) -> [Guest; 2] {
        [false, true].map(|stepwise| Guest::new(Host::builder().stepwise(stepwise), dir))
    }

    pub(crate) fn call<T>(&self, operation: impl FnOnce(&Caller<'_>) -> T) -> T {
        let cx = Cx::new(&self.who, &Still);
        operation(&Caller { ns: &self.ns, cx: &cx, root: self.ns.root(), policy: Policy::Posix })
    }

    pub(crate) fn root(&self) -> Place {
        self.ns.root().clone()
    }

    /// An operation on a path from the root.
    pub(crate) fn on<T>(
        &self,
        path: impl AsRef<[u8]>,
        operation: impl FnOnce(&Caller<'_>, &Place, VPath<'_>) -> Result<T>,
    ) -> Result<T> {
        let path = VPath::new(path.as_ref())?;
        self.call(|caller| operation(caller, self.ns.root(), path))
    }

    pub(crate) fn stat(&self, path: impl AsRef<[u8]>) -> Result<Attr> {
        self.on(path, |caller, base, path| caller.stat(base, path, Follow::Yes))
    }

    pub(crate) fn lstat(&self, path: impl AsRef<[u8]>) -> Result<Attr> {
        self.on(path, |caller, base, path| caller.stat(base, path, Follow::No))
    }

    pub(crate) fn resolve(&self, path: impl AsRef<[u8]>) -> Result<Place> {
        self.on(path, |caller, base, path| caller.resolve(base, path, Follow::Yes))
    }

    pub(crate) fn resolve_from(&self, base: &Place, path: &str) -> Result<Place> {
        let path = VPath::new(path.as_bytes())?;
        self.call(|caller| caller.resolve(base, path, Follow::Yes))
    }

    pub(crate) fn stat_from(&self, base: &Place, path: &str) -> Result<Attr> {
        let path = VPath::new(path.as_bytes())?;
        self.call(|caller| caller.stat(base, path, Follow::Yes))
    }

    pub(crate) fn attr(&self, place: &Place) -> Result<Attr> {
        self.call(|caller| place.attr(caller.cx))
    }

    pub(crate) fn open(&self, path: impl AsRef<[u8]>, access: Access, flags: OpenFlags) -> Result<Opened> {
        let how = OpenHow { access, flags, mode: Mode::from_raw(0o644) };
        self.on(path, |caller, base, path| caller.open(base, path, &how))
    }

    /// Opens a regular file.
    pub(crate) fn file(
        &self,
        path: impl AsRef<[u8]>,
        access: Access,
        flags: OpenFlags,
    ) -> Result<Arc<dyn File>> {
        match self.open(path, access, flags)?.node {
            OpenNode::File(file) => Ok(file),
            OpenNode::Directory => Err(Errno::ISDIR),
            OpenNode::Special(_) | OpenNode::Path => Err(Errno::NXIO),
        }
    }

    pub(crate) fn read(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let file = self.file(path, Access::READ, OpenFlags::empty())?;
        let mut bytes = vec![0; 65_536];
        let count = self.call(|caller| file.read_at(caller.cx, 0, &mut Sink::from_slice(&mut bytes)))?;
        bytes.truncate(count);
        Ok(bytes)
    }

    pub(crate) fn write_at(&self, file: &dyn File, offset: u64, bytes: &[u8]) -> Result<usize> {
        self.call(|caller| file.write_at(caller.cx, offset, &mut Source::from_slice(bytes)))
    }

    /// Creates a file with that content, or changes it, through links.
    pub(crate) fn put(&self, path: impl AsRef<[u8]>, content: &[u8]) -> Result<()> {
        let file = self.file(path, Access::WRITE, OpenFlags::CREATE | OpenFlags::TRUNCATE)?;
        self.write_at(&*file, 0, content).map(drop)
    }

    pub(crate) fn mkdir(&self, path: impl AsRef<[u8]>) -> Result<()> {
        self.on(path, |caller, base, path| caller.mkdir(base, path, Mode::from_raw(0o755)))
    }

    pub(crate) fn symlink(&self, target: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Result<()> {
        self.on(path, |caller, base, path| caller.symlink(target.as_ref(), base, path))
    }

    pub(crate) fn unlink(&self, path: impl AsRef<[u8]>) -> Result<()> {
        self.on(path, |caller, base, path| caller.unlink(base, path))
    }

    pub(crate) fn rmdir(&self, path: impl AsRef<[u8]>) -> Result<()> {
        self.on(path, |caller, base, path| caller.rmdir(base, path))
    }

    pub(crate) fn truncate(&self, path: impl AsRef<[u8]>, len: u64) -> Result<()> {
        self.on(path, |caller, base, path| caller.truncate(base, path, len))
    }

    pub(crate) fn chmod(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        self.on(path, |caller, base, path| caller.chmod(base, path, Follow::Yes, Mode::from_raw(mode)))
    }

    pub(crate) fn rename(&self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>, how: Rename) -> Result<()> {
        let new = VPath::new(new.as_ref())?;
        self.on(old, |caller, base, old| caller.rename(base, old, base, new, how))
    }

    pub(crate) fn link(&self, old: impl AsRef<[u8]>, follow: Follow, new: impl AsRef<[u8]>) -> Result<()> {
        let new = VPath::new(new.as_ref())?;
        self.on(old, |caller, base, old| caller.link(base, old, follow, base, new))
    }

    /// The names of a directory and their types, without `.` and `..`.
    pub(crate) fn list(&self, path: impl AsRef<[u8]>) -> Result<BTreeMap<Vec<u8>, FileType>> {
        let place = self.resolve(path)?;
        self.list_place(&place)
    }

    pub(crate) fn list_place(&self, place: &Place) -> Result<BTreeMap<Vec<u8>, FileType>> {
        let mut found = BTreeMap::new();
        self.call(|caller| {
            caller.list(place)?.list(caller, 0, &mut |entry| {
                if entry.name != b"." && entry.name != b".." {
                    found.insert(entry.name.to_vec(), entry.kind);
                }
                ControlFlow::Continue(())
            })
        })?;
        Ok(found)
    }
}
