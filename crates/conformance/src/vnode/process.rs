//! What a process has around the core's operations: open files, bases of paths, mounts by path.

use vnode_core::access::May;
use vnode_core::fs::Access;
use vnode_core::{
    Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Follow, Mode, MountFlags, Name, Namespace, Place,
    Policy, Result, VPath,
};

use super::{Layout, Node, Open, POINT, Vnode};
use crate::subject::{self, At, Handle};

/// Makes a directory of the namespace's root, as root.
pub(super) fn make_directory(ns: &Namespace, clock: &dyn Clock, name: &[u8]) -> Result<Place> {
    let credentials = Credentials::root();
    let cx = Cx::new(&credentials, clock);
    let caller = Caller { ns, cx: &cx, root: ns.root(), policy: Policy::Posix };
    let path = VPath::new(name)?;
    caller.mkdir(ns.root(), path, Mode::from_raw(0o755))?;
    caller.resolve(ns.root(), path, Follow::No)
}

impl Vnode {
    /// The filesystem that is tested.
    pub(super) fn served(&self) -> Result<FilesystemRef> {
        if self.layout != Layout::Below {
            return Ok(self.root.mount().filesystem().clone());
        }
        let point = self.call(|caller| caller.resolve(caller.root, VPath::new(POINT)?, Follow::No))?;
        Ok(point.mount().filesystem().clone())
    }

    /// Runs an operation as the process.
    pub(super) fn call<T>(&self, operation: impl FnOnce(Caller<'_>) -> Result<T>) -> Result<T> {
        let cx = Cx::new(&self.credentials, &self.clock);
        operation(Caller { ns: &self.ns, cx: &cx, root: &self.root, policy: self.policy })
    }

    /// Runs an operation on a path. Absolute paths need no open directory.
    pub(super) fn on_path<T>(
        &self,
        at: At<'_>,
        operation: impl FnOnce(Caller<'_>, &Place, VPath<'_>) -> Result<T>,
    ) -> Result<T> {
        let (base, path) = self.start(at)?;
        self.call(|caller| operation(caller, base, path))
    }

    /// Runs an operation on two paths. What is wrong with the second's text or descriptor is met only when the
    /// first was walked, by `first`.
    pub(super) fn on_paths<T>(
        &self,
        one: At<'_>,
        other: At<'_>,
        first: impl FnOnce(Caller<'_>, &Place, VPath<'_>) -> Result<()>,
        operation: impl FnOnce(Caller<'_>, (&Place, VPath<'_>), (&Place, VPath<'_>)) -> Result<T>,
    ) -> Result<T> {
        let (base, path) = self.start(one)?;
        match self.start(other) {
            Ok(other) => self.call(|caller| operation(caller, (base, path), other)),
            Err(errno) => {
                self.call(|caller| first(caller, base, path))?;
                Err(errno)
            }
        }
    }

    fn start<'a>(&'a self, at: At<'a>) -> Result<(&'a Place, VPath<'a>)> {
        let path = VPath::new(at.path)?;
        Ok((self.base(at)?, path))
    }

    fn base(&self, at: At<'_>) -> Result<&Place> {
        match at.dir {
            Some(_) if at.path.first() == Some(&b'/') => Ok(&self.root),
            Some(handle) => Ok(&self.file(handle)?.place),
            None => Ok(&self.cwd),
        }
    }

    /// An open file.
    pub(super) fn file(&self, handle: Handle) -> Result<&Open> {
        self.open.get(&handle.0).ok_or(Errno::BADF)
    }

    /// An open file that is more than a place.
    pub(super) fn opened(&self, handle: Handle) -> Result<&Open> {
        match self.file(handle)? {
            Open { node: Node::Path, .. } => Err(Errno::BADF),
            open => Ok(open),
        }
    }

    /// An open file for reading or writing its content.
    pub(super) fn for_access(&self, handle: Handle, access: Access) -> Result<&Open> {
        let open = self.opened(handle)?;
        if open.access.contains(access) { Ok(open) } else { Err(Errno::BADF) }
    }

    pub(super) fn keep(&mut self, open: Open) -> Handle {
        let number = self.next;
        self.next += 1;
        self.open.insert(number, open);
        Handle(number)
    }

    /// Moves a file's offset.
    pub(super) fn set_offset(&mut self, handle: Handle, offset: u64) {
        if let Some(open) = self.open.get_mut(&handle.0) {
            open.offset = offset;
        }
    }

    /// The mode of what is made: the umask taken off.
    pub(super) fn new_mode(&self, mode: u32) -> Mode {
        Mode::from_raw(mode & !self.umask)
    }

    /// The directory and the name in it that a mount on `path` covers, and the place that is covered.
    pub(super) fn mount_point(&self, path: &[u8]) -> Result<(Place, Vec<u8>, Place)> {
        let place =
            self.on_path(At::cwd(path), |caller, base, path| caller.resolve(base, path, Follow::Yes))?;
        if self.credentials.uid != 0 {
            return Err(Errno::PERM);
        }
        // A directory knows its name, whatever links led to it; a file's is the one in the path.
        let absolute =
            if place.kind().is_dir() { self.call(|caller| caller.getcwd(&place))? } else { path.to_vec() };
        let cut = absolute.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let parent = if cut == 0 { &b"."[..] } else { &absolute[..cut] };
        let parent =
            self.on_path(At::cwd(parent), |caller, base, path| caller.resolve(base, path, Follow::Yes))?;
        Ok((parent, absolute[cut..].to_vec(), place))
    }

    pub(super) fn mount_filesystem(
        &self,
        what: subject::Mount<'_>,
        path: &[u8],
        read_only: bool,
    ) -> Result<()> {
        let flags = if read_only { MountFlags::READ_ONLY } else { MountFlags::empty() };
        let (dir, name, covered) = self.mount_point(path)?;
        let name = Name::new(&name)?;
        match what {
            subject::Mount::Memory { size, inodes } => {
                if !covered.kind().is_dir() {
                    return Err(Errno::NOTDIR);
                }
                self.ns.mount(&dir, name, &(self.make)(size, inodes), flags)?;
            }
            subject::Mount::Bind(source) => {
                let source = self
                    .on_path(At::cwd(source), |caller, base, path| caller.resolve(base, path, Follow::Yes))?;
                if source.kind().is_dir() != covered.kind().is_dir() {
                    return Err(Errno::NOTDIR);
                }
                self.ns.bind(&dir, name, &source, flags)?;
            }
        }
        Ok(())
    }
}

/// Walks to the directory that a path's last component is in.
pub(super) fn walk_to_parent(caller: Caller<'_>, base: &Place, path: VPath<'_>) -> Result<()> {
    let text = path.as_bytes();
    let end = text.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let start = text[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    // The dot has the directory itself checked for search, as a name in it would.
    let parent = [&text[..start], b"."].concat();
    caller.resolve(base, VPath::new(&parent)?, Follow::Yes).map(|_| ())
}

/// What `faccessat(2)` asks, for the core.
pub(super) fn may(access: subject::Access) -> May {
    let mut may = May::empty();
    may.set(May::READ, access.contains(subject::Access::READ));
    may.set(May::WRITE, access.contains(subject::Access::WRITE));
    may.set(May::EXEC, access.contains(subject::Access::EXECUTE));
    may
}

/// The offset that `lseek(2)` moves to.
pub(super) fn moved(from: u64, by: i64) -> Result<u64> {
    let from = i64::try_from(from).map_err(|_| Errno::OVERFLOW)?;
    // Linux adds in 64 bits; what overflows is negative.
    let to = from.checked_add(by).ok_or(Errno::INVAL)?;
    u64::try_from(to).map_err(|_| Errno::INVAL)
}

/// Checks an offset and a length of `pread(2)` and `pwrite(2)` (`rw_verify_area` in Linux).
pub(super) fn area(offset: i64, count: usize) -> Result<u64> {
    let start = u64::try_from(offset).map_err(|_| Errno::INVAL)?;
    let count = i64::try_from(count).map_err(|_| Errno::INVAL)?;
    offset.checked_add(count).ok_or(Errno::INVAL)?;
    Ok(start)
}
