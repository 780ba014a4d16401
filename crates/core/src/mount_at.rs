//! Mounting by path, with directories made up where the path has none.

use std::time::SystemTime;

use crate::attr::Timespec;
use crate::caller::{Caller, Follow, Policy};
use crate::cx::{Clock, Credentials, Cx};
use crate::erase::FilesystemRef;
use crate::errno::{Errno, Result};
use crate::mount::{MountFlags, Namespace, Place};
use crate::path::{Component, Name, NameBuf, VPath, next_component};
use crate::synthetic::Synthetic;

struct Now;

impl Clock for Now {
    fn now(&self) -> Timespec {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().into()
    }
}

impl Namespace {
    /// Mounts a filesystem at a path (`mount(2)`). Directories that the path lacks are made up: listed and
    /// walked, made in no filesystem. On a mount point, the new mount hides the old one.
    ///
    /// # Errors
    /// * `EINVAL`: `path` is not absolute, or holds `.` or `..`. `EBUSY`: it is `/`.
    /// * `ENOTDIR`: a component is no directory, or one of mount and point is a directory and the other isn't.
    /// * `ENOENT`: the last component is a dangling link. `ENAMETOOLONG`, `ELOOP`.
    pub fn mount_at(&self, path: &[u8], fs: &FilesystemRef, flags: MountFlags) -> Result<Place> {
        let (dir, name) = self.point(path, true)?;
        self.mount(&dir, name.as_name()?, fs, flags)
    }

    /// Mounts what is at `source`, a file or a directory, at a path as well (`MS_BIND`).
    ///
    /// # Errors
    /// As [`Namespace::mount_at`].
    pub fn bind_at(&self, path: &[u8], source: &Place, flags: MountFlags) -> Result<Place> {
        let (dir, name) = self.point(path, source.kind().is_dir())?;
        self.bind(&dir, name.as_name()?, source, flags)
    }

    /// The directory and the name that a path means as a mount point.
    fn point(&self, path: &[u8], for_dir: bool) -> Result<(Place, NameBuf)> {
        if !VPath::new(path)?.is_absolute() {
            return Err(Errno::INVAL);
        }
        let who = Credentials::root();
        let cx = Cx::new(&who, &Now).keeping_atime();
        let caller = Caller { ns: self, cx: &cx, root: self.root(), policy: Policy::Posix };
        let mut here = self.root().clone();
        let mut last: Option<Name<'_>> = None;
        let mut at = 0;
        while let Some((component, end)) = next_component(path, at) {
            let Component::Name(bytes) = component else { return Err(Errno::INVAL) };
            if let Some(name) = last.replace(Name::new(bytes)?) {
                here = self.enter(&caller, &here, name)?;
            }
            at = end;
        }
        let name = last.ok_or(Errno::BUSY)?;
        point_in(&caller, here, name, for_dir)
    }

    /// The directory of that name, made up if it is missing.
    fn enter(&self, caller: &Caller<'_>, dir: &Place, name: Name<'_>) -> Result<Place> {
        let path = VPath::new(name.as_bytes())?;
        match caller.resolve(dir, path, Follow::No) {
            Err(Errno::NOENT) => {
                let fs = FilesystemRef::new(Synthetic::new(caller.cx.now()));
                self.mount_synthetic(dir, name, &fs)
            }
            Err(errno) => Err(errno),
            Ok(_) => {
                let place = caller.resolve(dir, path, Follow::Yes)?;
                if place.kind().is_dir() { Ok(place) } else { Err(Errno::NOTDIR) }
            }
        }
    }
}

/// A link as the last component means what it leads to.
fn point_in(caller: &Caller<'_>, dir: Place, name: Name<'_>, for_dir: bool) -> Result<(Place, NameBuf)> {
    let path = VPath::new(name.as_bytes())?;
    let found = match caller.resolve(&dir, path, Follow::No) {
        Err(Errno::NOENT) => return Ok((dir, name.into())),
        found => found?,
    };
    let meant =
        if found.kind().is_symlink() { caller.resolve(&dir, path, Follow::Yes)? } else { found.clone() };
    if meant.kind().is_dir() != for_dir {
        return Err(Errno::NOTDIR);
    }
    if !found.kind().is_symlink() {
        return Ok((dir, name.into()));
    }
    if !meant.kind().is_dir() {
        // A file doesn't know its directory.
        return Err(Errno::INVAL);
    }
    caller.step_up(&meant)
}
