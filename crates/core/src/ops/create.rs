//! mkdir, mknod, symlink, link: what makes a name.

use crate::access::{self, May};
use crate::attr::{FileType, Mode};
use crate::caller::{Caller, Follow, Policy};
use crate::cx::Capabilities;
use crate::errno::{Errno, Result};
use crate::fs::NewKind;
use crate::mount::Place;
use crate::path::{Name, PATH_MAX, VPath};
use crate::walk::{self, Last, Parent};

impl Caller<'_> {
    /// Makes a directory; the umask is already taken off `mode` (`mkdir(2)`).
    ///
    /// # Errors
    /// * `EEXIST`: the path is there, a dangling link included.
    /// * `EROFS`: the mount is read-only. `EACCES`: the parent may not be written.
    /// * `EMLINK`, `ENOSPC`, `EDQUOT`.
    pub fn mkdir(&self, base: &Place, path: VPath<'_>, mode: Mode) -> Result<()> {
        let mode = mode & (Mode::RWXU | Mode::RWXG | Mode::RWXO | Mode::STICKY);
        self.create(base, path, NewKind::Directory, mode)
    }

    /// Makes a node that is no directory: a regular file, FIFO, socket or device (`mknod(2)`).
    ///
    /// # Errors
    /// As [`Caller::mkdir`]. `EPERM`: a directory is asked for, or a device without the capability, or the
    /// filesystem has no such nodes. `ENOENT`: a slash follows the name.
    pub fn mknod(&self, base: &Place, path: VPath<'_>, kind: NewKind<'_>, mode: Mode) -> Result<()> {
        match kind {
            NewKind::Directory => Err(Errno::PERM),
            NewKind::Symlink(_) => Err(Errno::INVAL),
            _ => self.create(base, path, kind, mode),
        }
    }

    /// Makes a symbolic link to `target`, which is kept byte for byte (`symlink(2)`).
    ///
    /// # Errors
    /// As [`Caller::mkdir`]. `ENOENT`: `target` is empty, or a slash follows the name. `ENAMETOOLONG`: `target`
    /// is over 4095 bytes. `EINVAL`: it holds NUL. `EPERM`: the target is absolute under [`Policy::Strict`].
    pub fn symlink(&self, target: &[u8], base: &Place, path: VPath<'_>) -> Result<()> {
        if target.is_empty() {
            return Err(Errno::NOENT);
        }
        if target.len() > PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        if target.contains(&0) {
            return Err(Errno::INVAL);
        }
        if self.policy == Policy::Strict && target.first() == Some(&b'/') {
            return Err(Errno::PERM);
        }
        self.create(base, path, NewKind::Symlink(target), Mode::RWXU | Mode::RWXG | Mode::RWXO)
    }

    fn create(&self, base: &Place, path: VPath<'_>, kind: NewKind<'_>, mode: Mode) -> Result<()> {
        let parent = walk::resolve_parent(self, base, path)?;
        let Last::Name(last) = &parent.last else { return Err(Errno::EXIST) };
        let name = last.name_in(self, &parent.dir)?;
        let wants_dir = matches!(kind, NewKind::Directory);
        self.check_slot(&parent, name, wants_dir)?;
        // Device 0:0 drives nothing: it is an overlay's whiteout, and anybody may make it.
        let device = matches!(kind, NewKind::CharDevice(1..) | NewKind::BlockDevice(_));
        let dir = parent.dir.attr(self.cx)?;
        self.may_create(&parent, name, |caller| {
            access::check(caller.cx, &dir, May::WRITE | May::EXEC)?;
            if device && !caller.cx.credentials().has(Capabilities::MKNOD) {
                return Err(Errno::PERM);
            }
            Ok(())
        })?;
        let new = self.new_inode(&dir, kind, mode);
        parent.dir.mount.filesystem().any().create(self.cx, parent.dir.at(name), new)?;
        Ok(())
    }

    /// Makes another name for what is at `old` (`linkat(2)`).
    ///
    /// # Errors
    /// * `EEXIST`: the new path is there. `ENOENT`: a slash follows the new name.
    /// * `EXDEV`: both are not in the same mount.
    /// * `EPERM`: the old path is a directory; or a file that the caller neither owns nor may read and write, or
    ///   whose mode is special (`fs.protected_hardlinks`); or the filesystem has no hard links.
    /// * `EROFS`, `EACCES`, `EMLINK`, `ENOSPC`, `EDQUOT`.
    pub fn link(
        &self,
        old_base: &Place,
        old: VPath<'_>,
        follow: Follow,
        new_base: &Place,
        new: VPath<'_>,
    ) -> Result<()> {
        let target = self.resolve(old_base, old, follow)?;
        let parent = walk::resolve_parent(self, new_base, new)?;
        let Last::Name(last) = &parent.last else { return Err(Errno::EXIST) };
        let name = last.name_in(self, &parent.dir)?;
        self.check_slot(&parent, name, false)?;
        if target.mount.id() != parent.dir.mount.id() {
            return self.may_create(&parent, name, |_| Err(Errno::XDEV));
        }
        self.may_create(&parent, name, |caller| {
            caller.may_link(&target)?;
            access::check(caller.cx, &parent.dir.attr(caller.cx)?, May::WRITE | May::EXEC)?;
            if target.kind().is_dir() { Err(Errno::PERM) } else { Ok(()) }
        })?;
        parent.dir.mount.filesystem().any().link(self.cx, parent.dir.at(name), &target.node)
    }

    /// `may_linkat` in Linux's `fs/namei.c`.
    fn may_link(&self, target: &Place) -> Result<()> {
        let who = self.cx.credentials();
        if who.has(Capabilities::FOWNER) {
            return Ok(());
        }
        let attr = target.attr(self.cx)?;
        let safe = attr.kind == FileType::Regular
            && !attr.mode.contains(Mode::SETUID)
            && !attr.mode.contains(Mode::SETGID | Mode::XGRP)
            && access::check(self.cx, &attr, May::READ | May::WRITE).is_ok();
        if safe || access::is_owner(self.cx, &attr) { Ok(()) } else { Err(Errno::PERM) }
    }

    /// What `filename_create` checks of a name before the mount and the directory are asked.
    fn check_slot(&self, parent: &Parent<'_>, name: Name<'_>, wants_dir: bool) -> Result<()> {
        if parent.table.at(&parent.dir, name.as_bytes()).is_some() {
            return Err(Errno::EXIST);
        }
        if parent.trailing_slash && !wants_dir {
            self.check_missing(parent, name)?;
            return Err(Errno::NOENT);
        }
        Ok(())
    }

    /// Runs the checks of a creation; a name that is there goes before whatever they find.
    ///
    /// The filesystem itself answers `EEXIST`, so the name is looked up only when a check failed.
    pub(crate) fn may_create(
        &self,
        parent: &Parent<'_>,
        name: Name<'_>,
        checks: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let checked = parent.dir.mount.want_write().and_then(|()| checks(self));
        if checked.is_err() {
            self.check_missing(parent, name)?;
        }
        checked
    }

    fn check_missing(&self, parent: &Parent<'_>, name: Name<'_>) -> Result<()> {
        match parent.child(self, name) {
            Ok(_) => Err(Errno::EXIST),
            // In a directory that was removed, that is the error, before any other.
            Err(Errno::NOENT) if parent.dir.attr(self.cx)?.nlink == 0 => Err(Errno::NOENT),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
