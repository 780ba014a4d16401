//! rename, with all that Linux's `renameat2(2)` can do.

use crate::access::{self, May};
use crate::caller::{Caller, same_inode};
use crate::cx::Capabilities;
use crate::errno::{Errno, Result};
use crate::fs::Rename;
use crate::mount::Place;
use crate::path::{Name, VPath};
use crate::walk::{self, Last, Parent};

impl Caller<'_> {
    /// Renames, replaces or exchanges (`renameat2(2)`). Symbolic links are renamed, not followed. Two names of
    /// one inode: nothing happens.
    ///
    /// # Errors
    /// * `ENOENT`: the old path is missing; for an exchange, the new one.
    /// * `EEXIST`: [`Rename::NoReplace`] and the new path is there.
    /// * `EXDEV`: both are not in the same mount.
    /// * `EBUSY`: a path ends in `.`, `..` or is `/`; a mount point.
    /// * `ENOTDIR`: a slash follows a name that is no directory's; a directory would replace something else.
    /// * `EISDIR`: something else would replace a directory.
    /// * `EINVAL`: a directory would come to be below itself. `ENOTEMPTY`: a directory with entries would be
    ///   replaced.
    /// * `EROFS`, `EACCES`, `EPERM` (sticky), `EMLINK`, `ENOSPC`, `EDQUOT`.
    pub fn rename(
        &self,
        old_base: &Place,
        old: VPath<'_>,
        new_base: &Place,
        new: VPath<'_>,
        how: Rename,
    ) -> Result<()> {
        let from = walk::resolve_parent(self, old_base, old)?;
        let to = walk::resolve_parent(self, new_base, new)?;
        if from.dir.mount.id() != to.dir.mount.id() {
            return Err(Errno::XDEV);
        }
        let Last::Name(old_last) = &from.last else { return Err(Errno::BUSY) };
        let Last::Name(new_last) = &to.last else {
            return Err(if how == Rename::NoReplace { Errno::EXIST } else { Errno::BUSY });
        };
        from.dir.mount.want_write()?;
        let old = old_last.name_in(self, &from.dir)?;
        let new = match new_last.name_in(self, &to.dir) {
            Ok(new) => new,
            Err(errno) => {
                // The old name is looked up before the new one is found to be too long.
                self.victim(&from, old)?;
                return Err(errno);
            }
        };
        let ends = Ends { from: &from, to: &to, old, new, how };
        let across = !same_inode(&from.dir, &to.dir);
        let _moving = across.then(|| from.dir.mount.filesystem().renames().moving()).transpose()?;
        if !ends.is_plain(self) {
            ends.check(self, across)?;
        }
        let fs = from.dir.mount.filesystem().any();
        fs.rename(self.cx, from.dir.at(ends.old), to.dir.at(ends.new), how)
    }
}

/// Both ends of a rename.
struct Ends<'a> {
    from: &'a Parent<'a>,
    to: &'a Parent<'a>,
    old: Name<'a>,
    new: Name<'a>,
    how: Rename,
}

impl Ends<'_> {
    /// Whether the filesystem's own checks are all that there are.
    fn is_plain(&self, caller: &Caller<'_>) -> bool {
        caller.cx.credentials().has(Capabilities::DAC_OVERRIDE | Capabilities::FOWNER)
            && !self.from.table.has_points_on(self.from.dir.mount.filesystem())
            && !self.from.trailing_slash
            && !self.to.trailing_slash
    }

    /// The checks of `do_renameat2` and `vfs_rename` in their order.
    fn check(&self, caller: &Caller<'_>, across: bool) -> Result<()> {
        let source = caller.victim(self.from, self.old)?;
        let target = match caller.victim(self.to, self.new) {
            Ok(target) => Some(target),
            Err(Errno::NOENT) if self.to.dir.attr(caller.cx)?.nlink == 0 => return Err(Errno::NOENT),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno),
        };
        match (self.how, &target) {
            (Rename::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (Rename::Exchange, None) => return Err(Errno::NOENT),
            _ => {}
        }
        self.check_slashes(&source, target.as_ref())?;
        self.check_ancestry(caller, &source, target.as_ref())?;
        if target.as_ref().is_some_and(|target| same_inode(&source, target)) {
            return Ok(());
        }
        self.check_permissions(caller, &source, target.as_ref(), across)?;
        self.check_mount_points(target.as_ref())
    }

    fn check_slashes(&self, source: &Place, target: Option<&Place>) -> Result<()> {
        let source_is_dir = source.kind().is_dir();
        if self.how == Rename::Exchange {
            let target_is_dir = target.is_some_and(|target| target.kind().is_dir());
            if self.to.trailing_slash && !target_is_dir {
                return Err(Errno::NOTDIR);
            }
        } else if self.to.trailing_slash && !source_is_dir {
            return Err(Errno::NOTDIR);
        }
        if self.from.trailing_slash && !source_is_dir { Err(Errno::NOTDIR) } else { Ok(()) }
    }

    /// What the filesystem checks too, here for its place before the permissions.
    fn check_ancestry(&self, caller: &Caller<'_>, source: &Place, target: Option<&Place>) -> Result<()> {
        if source.kind().is_dir() && self.is_at_or_above(caller, source, &self.to.dir)? {
            return Err(Errno::INVAL);
        }
        let Some(target) = target else { return Ok(()) };
        if target.kind().is_dir() && self.is_at_or_above(caller, target, &self.from.dir)? {
            return Err(if self.how == Rename::Exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        Ok(())
    }

    fn is_at_or_above(&self, caller: &Caller<'_>, dir: &Place, below: &Place) -> Result<bool> {
        let mut here = below.clone();
        loop {
            if same_inode(&here, dir) {
                return Ok(true);
            }
            let above = here.sibling(here.mount.filesystem().any().parent(caller.cx, &here.node)?);
            if same_inode(&above, &here) {
                return Ok(false);
            }
            here = above;
        }
    }

    fn check_permissions(
        &self,
        caller: &Caller<'_>,
        source: &Place,
        target: Option<&Place>,
        across: bool,
    ) -> Result<()> {
        let source_is_dir = source.kind().is_dir();
        caller.may_delete(&self.from.dir, source, source_is_dir)?;
        match target {
            Some(target) => {
                let as_dir =
                    if self.how == Rename::Exchange { target.kind().is_dir() } else { source_is_dir };
                caller.may_delete(&self.to.dir, target, as_dir)?;
            }
            None => access::check(caller.cx, &self.to.dir.attr(caller.cx)?, May::WRITE | May::EXEC)?,
        }
        if !across {
            return Ok(());
        }
        // A directory that gets another parent has its `..` written.
        if source_is_dir {
            access::check(caller.cx, &source.attr(caller.cx)?, May::WRITE)?;
        }
        match target {
            Some(target) if self.how == Rename::Exchange && target.kind().is_dir() => {
                access::check(caller.cx, &target.attr(caller.cx)?, May::WRITE)
            }
            _ => Ok(()),
        }
    }

    fn check_mount_points(&self, target: Option<&Place>) -> Result<()> {
        let table = &self.from.table;
        if table.is_busy(&self.from.dir, self.old.as_bytes())
            || table.is_busy(&self.to.dir, self.new.as_bytes())
        {
            return Err(Errno::BUSY);
        }
        match target {
            Some(target) if self.how == Rename::Replace && table.has_points_in(target) => {
                Err(Errno::NOTEMPTY)
            }
            _ => Ok(()),
        }
    }
}
