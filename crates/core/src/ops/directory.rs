//! Listing, chdir, getcwd.

use core::ops::ControlFlow;
use std::sync::Arc;

use crate::access::{self, May};
use crate::attr::FileType;
use crate::caller::{Caller, Follow};
use crate::errno::{Errno, Result};
use crate::fs::{DirEntry, DirStream};
use crate::mount::Place;
use crate::path::{NameBuf, PATH_MAX, VPath};

/// From here on, cookies are those of mount points that their directory doesn't have.
const SYNTHETIC: u64 = 1 << 63;

/// An open directory's listing: `.`, `..`, mount points that the directory doesn't have, then its entries.
///
/// A cookie is a place in the listing that stays valid whatever is added or removed; 0 is the start.
pub struct Listing {
    dir: Place,
    stream: Box<dyn DirStream>,
}

impl Caller<'_> {
    /// Opens the listing of a directory that was opened for reading.
    ///
    /// # Errors
    /// `ENOTDIR`: not a directory. `EIO`.
    pub fn list(&self, at: &Place) -> Result<Listing> {
        if !at.kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        let stream = self.reading(&at.mount, |cx| at.mount.filesystem().any().open_dir(cx, &at.node))?;
        Ok(Listing { dir: at.clone(), stream })
    }

    /// The directory that a path leads to, for a working directory (`chdir(2)`).
    ///
    /// # Errors
    /// `ENOTDIR`: not a directory. `EACCES`: it may not be searched.
    pub fn chdir(&self, base: &Place, path: VPath<'_>) -> Result<Place> {
        let place = self.resolve(base, path, Follow::Yes)?;
        self.chdir_place(&place)?;
        Ok(place)
    }

    /// Whether a place can be a working directory (`fchdir(2)`).
    ///
    /// # Errors
    /// `ENOTDIR`: not a directory. `EACCES`: it may not be searched.
    pub fn chdir_place(&self, at: &Place) -> Result<()> {
        if !at.kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        access::check(self.cx, &at.attr(self.cx)?, May::EXEC)
    }

    /// The absolute path of a directory (or of another mount's root), from the caller's root (`getcwd(2)`).
    ///
    /// # Errors
    /// `ENOENT`: it was removed, or is not below the root. `ENAMETOOLONG`: the path is over 4095 bytes.
    pub fn getcwd(&self, at: &Place) -> Result<Vec<u8>> {
        let mut names: Vec<NameBuf> = Vec::new();
        let mut length = 0;
        let mut here = at.clone();
        while !here.is(self.root) {
            let (above, name) = self.step_up(&here)?;
            length += 1 + name.as_bytes().len();
            if length > PATH_MAX {
                return Err(Errno::NAMETOOLONG);
            }
            names.push(name);
            here = above;
        }
        let mut path = Vec::with_capacity(length.max(1));
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(path)
    }

    /// The directory above and the name in it.
    pub(crate) fn step_up(&self, here: &Place) -> Result<(Place, NameBuf)> {
        if here.is_mount_root() {
            return match (here.mount.above(), here.mount.point_name()) {
                (Some(above), Some(name)) => Ok((above.clone(), name.clone())),
                _ => Err(Errno::NOENT),
            };
        }
        let fs = here.mount.filesystem().any();
        let mut name = NameBuf::new();
        fs.name_of(self.cx, &here.node, &mut name)?;
        if name.as_bytes().is_empty() {
            // The filesystem's root, and not the mount's: it was moved out of what a bind mount shows.
            return Err(Errno::NOENT);
        }
        Ok((here.sibling(fs.parent(self.cx, &here.node)?), name))
    }
}

impl Listing {
    /// The directory.
    pub fn place(&self) -> &Place {
        &self.dir
    }

    /// Lists from `cookie` on, until `emit` breaks or nothing is left (`getdents64(2)`).
    ///
    /// # Errors
    /// `ENOENT`: the directory was removed. `EIO`.
    pub fn list(
        &mut self,
        caller: &Caller<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let attr = self.dir.attr(caller.cx)?;
        if attr.nlink == 0 {
            return Err(Errno::NOENT);
        }
        if cookie == 0 {
            let dot = DirEntry { name: b".", ino: attr.ino, kind: FileType::Directory, next: 1 };
            if emit(dot).is_break() {
                return Ok(());
            }
        }
        if cookie <= 1 && emit(self.dot_dot(caller)?).is_break() {
            return Ok(());
        }
        if (cookie <= 2 || cookie >= SYNTHETIC) && self.list_synthetic(caller, cookie, emit)?.is_break() {
            return Ok(());
        }
        let from = if cookie >= SYNTHETIC { 0 } else { cookie };
        let (dir, stream) = (&self.dir, &mut self.stream);
        caller.reading(dir.mount(), |cx| stream.list(cx, from, emit))
    }

    fn dot_dot(&self, caller: &Caller<'_>) -> Result<DirEntry<'static>> {
        let fs = self.dir.mount.filesystem().any();
        let parent = match fs.parent(caller.cx, &self.dir.node) {
            // Moved out of what the filesystem serves: what is above it is nobody's to know. Or it may be read and not
            // searched, on a host that goes up by a search: its names are there to be listed all the same.
            Err(Errno::NOENT | Errno::ACCES) => Arc::clone(&self.dir.node),
            parent => parent?,
        };
        let ino = fs.getattr(caller.cx, &parent)?.ino;
        Ok(DirEntry { name: b"..", ino, kind: FileType::Directory, next: 2 })
    }

    /// Mount points that the directory doesn't have; their cookies count up.
    fn list_synthetic(
        &self,
        caller: &Caller<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let table = caller.ns.table();
        if table.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let fs = self.dir.mount.filesystem().any();
        for (number, name, root) in table.points_in(&self.dir) {
            let next = SYNTHETIC | number;
            if cookie >= SYNTHETIC && next <= cookie {
                continue;
            }
            match fs.lookup(caller.cx, self.dir.at(name.as_name()?)) {
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
                Ok(_) => continue,
            }
            let attr = root.attr(caller.cx)?;
            let entry = DirEntry { name: name.as_bytes(), ino: attr.ino, kind: attr.kind, next };
            if emit(entry).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
