//! unlink, rmdir.

use crate::access;
use crate::attr::FileType;
use crate::caller::Caller;
use crate::cx::Capabilities;
use crate::errno::{Errno, Result};
use crate::fs::Remove;
use crate::mount::Place;
use crate::path::{Name, VPath};
use crate::walk::{self, Last, Parent};

impl Caller<'_> {
    /// Removes a name that is no directory (`unlink(2)`).
    ///
    /// # Errors
    /// * `EISDIR`: a directory, `.`, `..` or `/`. `ENOTDIR`: a slash follows the name of something else.
    /// * `EROFS`: the mount is read-only. `EACCES`: the directory may not be written.
    /// * `EPERM`: the directory is sticky and neither it nor the file is the caller's.
    /// * `EBUSY`: a mount point.
    pub fn unlink(&self, base: &Place, path: VPath<'_>) -> Result<()> {
        let parent = walk::resolve_parent(self, base, path)?;
        let Last::Name(last) = &parent.last else { return Err(Errno::ISDIR) };
        parent.dir.mount.want_write()?;
        let name = last.name_in(self, &parent.dir)?;
        if parent.trailing_slash {
            let kind = self.victim(&parent, name)?.kind();
            return Err(if kind.is_dir() { Errno::ISDIR } else { Errno::NOTDIR });
        }
        self.may_remove(&parent, name, Remove::File)?;
        parent.dir.mount.filesystem().any().remove(self.cx, parent.dir.at(name), Remove::File)
    }

    /// Removes an empty directory (`rmdir(2)`).
    ///
    /// # Errors
    /// * `ENOTEMPTY`: it has entries, or a mount point in it; the path ends in `..`.
    /// * `EINVAL`: the path ends in `.`. `EBUSY`: the path is `/`, or a mount point.
    /// * `ENOTDIR`: not a directory.
    /// * `EROFS`, `EACCES`, `EPERM`: as [`Caller::unlink`].
    pub fn rmdir(&self, base: &Place, path: VPath<'_>) -> Result<()> {
        let parent = walk::resolve_parent(self, base, path)?;
        let last = match &parent.last {
            Last::Name(last) => last,
            Last::Dot => return Err(Errno::INVAL),
            Last::DotDot => return Err(Errno::NOTEMPTY),
            Last::Root => return Err(Errno::BUSY),
        };
        parent.dir.mount.want_write()?;
        let name = last.name_in(self, &parent.dir)?;
        self.may_remove(&parent, name, Remove::Directory)?;
        parent.dir.mount.filesystem().any().remove(self.cx, parent.dir.at(name), Remove::Directory)
    }

    /// `may_delete` and the mount points of Linux's `vfs_unlink` and `vfs_rmdir`.
    fn may_remove(&self, parent: &Parent<'_>, name: Name<'_>, what: Remove) -> Result<()> {
        let privileged = self.cx.credentials().has(Capabilities::DAC_OVERRIDE | Capabilities::FOWNER);
        if privileged && !parent.table.has_points_on(parent.dir.mount.filesystem()) {
            return Ok(());
        }
        let victim = self.victim(parent, name)?;
        self.may_delete(&parent.dir, &victim, what == Remove::Directory)?;
        if parent.table.is_busy(&parent.dir, name.as_bytes()) {
            return Err(Errno::BUSY);
        }
        if what == Remove::Directory && parent.table.has_points_in(&victim) {
            return Err(Errno::NOTEMPTY);
        }
        Ok(())
    }

    /// What a name to be removed stands for: the inode below a mount, if there is one.
    pub(crate) fn victim(&self, parent: &Parent<'_>, name: Name<'_>) -> Result<Place> {
        let dir = &parent.dir;
        match dir.mount.filesystem().any().lookup(self.cx, dir.at(name)) {
            Ok(node) => Ok(dir.sibling(node)),
            Err(Errno::NOENT) => parent.table.at(dir, name.as_bytes()).ok_or(Errno::NOENT),
            Err(errno) => Err(errno),
        }
    }

    /// Whether `victim` may be taken out of `dir`, as a directory or as something else (`may_delete` in Linux).
    pub(crate) fn may_delete(&self, dir: &Place, victim: &Place, as_dir: bool) -> Result<()> {
        access::change_entry(self.cx, &dir.attr(self.cx)?, &victim.attr(self.cx)?)?;
        match (as_dir, victim.kind()) {
            (true, FileType::Directory) => Ok(()),
            (true, _) => Err(Errno::NOTDIR),
            (false, FileType::Directory) => Err(Errno::ISDIR),
            (false, _) => Ok(()),
        }
    }
}
