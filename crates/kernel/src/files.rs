//! A tree of mounts as its embedder uses it: whole files by path, before and after guests.

use core::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{Access, File};
use vnode_core::io::{Sink, Source};
use vnode_core::{
    Attr, Caller, Credentials, Cx, Errno, Follow, Mode, Namespace, OpenFlags, OpenHow, OpenNode, Policy,
    Result, VPath,
};

use crate::clock::{CallClock, HostClocks};

/// Files of a tree, for its embedder: as root, by paths from the tree's root. Links are followed as a guest's are, and
/// lead nowhere else.
///
/// ```
/// use std::sync::Arc;
/// use vnode_core::{Errno, FilesystemRef, Namespace};
/// use vnode_kernel::Files;
/// use vnode_memory::Memory;
///
/// let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
/// let files = Files::of(&namespace);
/// files.make_directory("/in")?;
/// files.write("/in/name", b"world")?;
/// // ... guests run in the namespace ...
/// assert_eq!(files.read("/in/name", 1 << 20)?, b"world");
/// assert_eq!(files.list("/")?, [b"in"]);
/// assert_eq!(files.read("/in/name", 3), Err(Errno::FBIG));
/// # Ok::<(), Errno>(())
/// ```
pub struct Files {
    namespace: Arc<Namespace>,
    credentials: Credentials,
    clocks: HostClocks,
}

impl Files {
    /// The files of a tree.
    pub fn of(namespace: &Arc<Namespace>) -> Files {
        let credentials = Credentials::root();
        Files { namespace: Arc::clone(namespace), credentials, clocks: HostClocks::new() }
    }

    /// A file's content. A guest may have made it longer than the host has memory: `limit` is the most that is read.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`: the path leads nowhere. `EISDIR`, `ENXIO`: not to a regular file. `EFBIG`: it is
    /// longer than `limit`. `EIO`.
    pub fn read(&self, path: impl AsRef<[u8]>, limit: usize) -> Result<Vec<u8>> {
        self.call(path.as_ref(), |caller, path| {
            let size = caller.stat(caller.root, path, Follow::Yes)?.size;
            if size > limit as u64 {
                return Err(Errno::FBIG);
            }
            let file = open(caller, path, Access::READ, OpenFlags::empty())?;
            let mut content = vec![0; size as usize];
            let mut done = 0;
            while let Some(rest) = content.get_mut(done..).filter(|rest| !rest.is_empty()) {
                match file.read_at(caller.cx, done as u64, &mut Sink::from_slice(rest))? {
                    0 => break,
                    count => done += count,
                }
            }
            content.truncate(done);
            Ok(content)
        })
    }

    /// Makes a file of this content, with mode 0644, or gives it to the one that is there.
    ///
    /// # Errors
    /// As [`Files::read`]; `ENOSPC`, `EDQUOT`: there is no room; what there was room for is written. `EROFS`.
    pub fn write(&self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Result<()> {
        self.call(path.as_ref(), |caller, path| {
            let file = open(caller, path, Access::WRITE, OpenFlags::CREATE | OpenFlags::TRUNCATE)?;
            let mut from = Source::from_slice(content.as_ref());
            let mut done = 0;
            while from.remaining() > 0 {
                done += file.write_at(caller.cx, done, &mut from)? as u64;
            }
            Ok(())
        })
    }

    /// Makes a directory with mode 0755.
    ///
    /// # Errors
    /// `EEXIST`, `ENOENT`, `ENOTDIR`, `ENOSPC`, `EROFS`.
    pub fn make_directory(&self, path: impl AsRef<[u8]>) -> Result<()> {
        self.call(path.as_ref(), |caller, path| caller.mkdir(caller.root, path, Mode::from_raw(0o755)))
    }

    /// Sets the permissions of what a path leads to (`chmod(2)`): a program has to be executable, 0755 say, to be executed.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`, `EROFS`, `EIO`.
    pub fn chmod(&self, path: impl AsRef<[u8]>, mode: Mode) -> Result<()> {
        self.call(path.as_ref(), |caller, path| caller.chmod(caller.root, path, Follow::Yes, mode))
    }

    /// The names in a directory, without `.` and `..`, in the order of its listing.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`, `EIO`.
    pub fn list(&self, path: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
        self.call(path.as_ref(), |caller, path| {
            let directory = caller.resolve(caller.root, path, Follow::Yes)?;
            let mut names = Vec::new();
            caller.list(&directory)?.list(caller, 0, &mut |entry| {
                names.push(entry.name.to_vec());
                ControlFlow::Continue(())
            })?;
            names.retain(|name| name != b"." && name != b"..");
            Ok(names)
        })
    }

    /// The attributes of what a path leads to; of a link itself with [`Follow::No`].
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`, `EIO`.
    pub fn attr(&self, path: impl AsRef<[u8]>, follow: Follow) -> Result<Attr> {
        self.call(path.as_ref(), |caller, path| caller.stat(caller.root, path, follow))
    }

    fn call<T>(&self, path: &[u8], work: impl FnOnce(&Caller<'_>, VPath<'_>) -> Result<T>) -> Result<T> {
        let clock = CallClock(&self.clocks);
        let cx = Cx::new(&self.credentials, &clock);
        let root = self.namespace.root();
        work(&Caller { ns: &self.namespace, cx: &cx, root, policy: Policy::Posix }, VPath::new(path)?)
    }
}

fn open(caller: &Caller<'_>, path: VPath<'_>, access: Access, flags: OpenFlags) -> Result<Arc<dyn File>> {
    let how = OpenHow { access, flags, mode: Mode::from_raw(0o644) };
    match caller.open(caller.root, path, &how)?.node {
        OpenNode::File(file) => Ok(file),
        OpenNode::Directory => Err(Errno::ISDIR),
        OpenNode::Special(_) | OpenNode::Path => Err(Errno::NXIO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnode_core::FilesystemRef;
    use vnode_memory::Memory;

    #[test]
    fn files_are_read_and_written_whole() {
        let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
        let files = Files::of(&namespace);
        let content: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
        files.write("f", &content).unwrap();
        assert!(files.read("/f", 300_000).unwrap() == content);
        assert_eq!(files.read("f", 299_999), Err(Errno::FBIG));
        files.write("f", b"").unwrap();
        assert_eq!(files.read("f", 0), Ok(vec![]));
        assert_eq!(files.attr("f", Follow::No).unwrap().mode, Mode::from_raw(0o644));
        files.chmod("f", Mode::from_raw(0o755)).unwrap();
        assert_eq!(files.attr("f", Follow::No).unwrap().mode, Mode::from_raw(0o755));
        assert_eq!(files.chmod("none", Mode::from_raw(0o755)), Err(Errno::NOENT));
    }

    #[test]
    fn what_is_no_file_is_told() {
        let full = Memory::builder().max_bytes(8192).build();
        let namespace = Arc::new(Namespace::new(FilesystemRef::new::<Memory>(full)));
        let files = Files::of(&namespace);
        files.make_directory("d").unwrap();
        assert_eq!(files.make_directory("d"), Err(Errno::EXIST));
        assert_eq!(files.read("d", 1 << 20), Err(Errno::ISDIR));
        assert_eq!(files.write("d", b"x"), Err(Errno::ISDIR));
        assert_eq!(files.read("none", 1), Err(Errno::NOENT));
        assert_eq!(files.list("d/none"), Err(Errno::NOENT));
        assert_eq!(files.list("d").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(files.write("much", vec![1; 10_000]), Err(Errno::NOSPC));
        assert_eq!(files.attr("much", Follow::Yes).unwrap().size, 8192);
    }
}
