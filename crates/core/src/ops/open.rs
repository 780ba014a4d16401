//! open.

use std::sync::Arc;

use crate::access::{self, May};
use crate::attr::{FileType, Mode, SetAttr, SetTime};
use crate::caller::{Caller, Follow};
use crate::errno::{Errno, Result};
use crate::fs::{Access, File, NewKind};
use crate::mount::Place;
use crate::path::{NameBuf, VPath};
use crate::walk::{self, Found, Slot};

bitflags::bitflags! {
    /// The flags of `open(2)` that concern the filesystem.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct OpenFlags: u32 {
        /// Makes a regular file if the path is missing (`O_CREAT`).
        const CREATE = 1 << 0;
        /// With `CREATE`: fails if the path is there (`O_EXCL`).
        const EXCLUSIVE = 1 << 1;
        /// Empties a regular file (`O_TRUNC`).
        const TRUNCATE = 1 << 2;
        /// Fails if it is no directory (`O_DIRECTORY`).
        const DIRECTORY = 1 << 3;
        /// Fails if the last component is a symbolic link (`O_NOFOLLOW`).
        const NOFOLLOW = 1 << 4;
        /// Only finds the place, of whatever type, and opens nothing (`O_PATH`).
        const PATH = 1 << 5;
    }
}

/// How to open.
#[derive(Clone, Copy, Debug)]
pub struct OpenHow {
    /// What the file is used for. Neither reading nor writing asks for no permission.
    pub access: Access,
    /// Flags.
    pub flags: OpenFlags,
    /// The mode of a file that is made; the umask is already taken off.
    pub mode: Mode,
}

/// What was opened.
pub struct Opened {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub node: OpenNode,
    /// Whether it was made by this call.
    pub created: bool,
}

/// What an open gave.
pub enum OpenNode {
    /// A regular file's content.
    File(Arc<dyn File>),
    /// A directory; list it with [`Caller::list`].
    Directory,
    /// A FIFO, socket or device: allowed by its mode, to be opened by whoever knows such things, if anybody.
    Special(FileType),
    /// Only the place was asked for.
    Path,
}

/// Times that a file that others keep creating and removing is tried.
const TRIES: u32 = 40;

impl Caller<'_> {
    /// Opens, and makes if asked (`openat(2)`).
    ///
    /// # Errors
    /// * `EEXIST`: [`OpenFlags::EXCLUSIVE`] and the path is there, a dangling link included.
    /// * `EISDIR`: a directory is to be written or made; with [`OpenFlags::CREATE`], a slash follows the name.
    /// * `ENOTDIR`: [`OpenFlags::DIRECTORY`] and it is none. `ELOOP`: [`OpenFlags::NOFOLLOW`] and it is a link.
    /// * `EINVAL`: [`OpenFlags::CREATE`] with [`OpenFlags::DIRECTORY`].
    /// * `EACCES`: the mode forbids it. `EROFS`: the mount is read-only.
    /// * `ENOSPC`, `EDQUOT`, `EIO`.
    pub fn open(&self, base: &Place, path: VPath<'_>, how: &OpenHow) -> Result<Opened> {
        let flags = how.flags;
        if flags.contains(OpenFlags::PATH) {
            return self.open_path(base, path, flags);
        }
        if flags.contains(OpenFlags::CREATE | OpenFlags::DIRECTORY) {
            return Err(Errno::INVAL);
        }
        let exclusive = flags.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
        let follow = if exclusive { Follow::No } else { Self::follow(flags) };
        if !flags.contains(OpenFlags::CREATE) {
            return self.open_found(self.find_to_open(base, path, follow, how)?, how);
        }
        for _ in 0..TRIES {
            match walk::resolve_or_slot(self, base, path, follow)? {
                Slot::Found(_) if exclusive => return Err(Errno::EXIST),
                Slot::Found(place) if place.kind().is_dir() => return Err(Errno::ISDIR),
                Slot::Found(place) => return self.open_found(place.into(), how),
                Slot::Missing { dir, name } => match self.open_new(dir, &name, how) {
                    // Somebody else made it between the walk and the creation: it is there now, maybe as a link.
                    Err(Errno::EXIST) if !exclusive => {}
                    result => return result,
                },
            }
        }
        Err(Errno::EXIST)
    }

    /// Opens a program, to be read because it is executed: its mode is asked whether the caller may execute it, not
    /// whether he may read it (`do_open_execat` in Linux).
    ///
    /// # Errors
    /// `EACCES`: no regular file, or its mode forbids it.
    pub fn open_program(&self, base: &Place, path: VPath<'_>) -> Result<(Place, Arc<dyn File>)> {
        let place = self.resolve(base, path, Follow::Yes)?;
        if place.kind() != FileType::Regular {
            return Err(Errno::ACCES);
        }
        access::check(self.cx, &place.attr(self.cx)?, May::EXEC)?;
        let file = self
            .reading(&place.mount, |cx| place.mount.filesystem().any().open(cx, &place.node, Access::READ))?;
        Ok((place, file))
    }

    fn follow(flags: OpenFlags) -> Follow {
        if flags.contains(OpenFlags::NOFOLLOW) { Follow::No } else { Follow::Yes }
    }

    fn open_path(&self, base: &Place, path: VPath<'_>, flags: OpenFlags) -> Result<Opened> {
        let place = self.resolve(base, path, Self::follow(flags))?;
        if flags.contains(OpenFlags::DIRECTORY) && !place.kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        Ok(Opened { place, node: OpenNode::Path, created: false })
    }

    fn find_to_open(&self, base: &Place, path: VPath<'_>, follow: Follow, how: &OpenHow) -> Result<Found> {
        // A directory is not opened, and without an access there is nothing to open for.
        if how.access.is_empty() || how.flags.contains(OpenFlags::DIRECTORY) {
            return Ok(self.resolve(base, path, follow)?.into());
        }
        walk::resolve_to_open(self, base, path, follow, how.access)
    }

    /// Opens what is there (`do_open` and `may_open` in Linux).
    fn open_found(&self, Found { place, opened }: Found, how: &OpenHow) -> Result<Opened> {
        let kind = place.kind();
        if how.flags.contains(OpenFlags::DIRECTORY) && !kind.is_dir() {
            return Err(Errno::NOTDIR);
        }
        let truncate = how.flags.contains(OpenFlags::TRUNCATE);
        let regular = kind == FileType::Regular;
        if truncate && regular {
            place.mount.want_write()?;
        }
        let writes = how.access.contains(Access::WRITE) || truncate;
        match kind {
            FileType::Symlink => return Err(Errno::LOOP),
            FileType::Directory if writes => return Err(Errno::ISDIR),
            _ => {}
        }
        let mut may = May::empty();
        may.set(May::READ, how.access.contains(Access::READ));
        may.set(May::WRITE, writes);
        if !may.is_empty() {
            match &opened {
                Some(opened) => place.check_attr(self.cx, may, &opened.0)?,
                None => place.check(self.cx, may)?,
            }
        }
        if how.access.contains(Access::WRITE) && regular {
            place.mount.want_write()?;
        }
        let node = match kind {
            FileType::Directory => OpenNode::Directory,
            FileType::Regular => {
                let file = match opened {
                    Some(opened) => opened.1,
                    None => self.reading(&place.mount, |cx| {
                        place.mount.filesystem().any().open(cx, &place.node, how.access)
                    })?,
                };
                if truncate {
                    self.empty(&place)?;
                }
                OpenNode::File(file)
            }
            _ => OpenNode::Special(kind),
        };
        Ok(Opened { place, node, created: false })
    }

    /// `O_TRUNC`: the modification time changes even if nothing was there.
    fn empty(&self, place: &Place) -> Result<()> {
        let mode = self.mode_after_write(place)?;
        let set = SetAttr { mode, size: Some(0), mtime: Some(SetTime::Now), ..SetAttr::default() };
        place.mount.filesystem().any().setattr(self.cx, &place.node, &set)
    }

    /// Makes a regular file and opens it (`lookup_open` in Linux).
    fn open_new(&self, dir: Place, name: &NameBuf, how: &OpenHow) -> Result<Opened> {
        let attr = dir.attr(self.cx)?;
        if attr.nlink == 0 {
            return Err(Errno::NOENT);
        }
        dir.mount.want_write()?;
        access::check(self.cx, &attr, May::WRITE | May::EXEC)?;
        let new = self.new_inode(&attr, NewKind::Regular, how.mode);
        let fs = dir.mount.filesystem().any();
        let (node, file) = fs.create_open(self.cx, dir.at(name.as_name()?), new, how.access)?;
        Ok(Opened { place: dir.sibling(node), node: OpenNode::File(file), created: true })
    }
}
