//! stat, utimensat, chmod, chown, truncate, access, statfs: what reads and changes attributes.

use crate::access::{self, May};
use crate::attr::{Attr, FileType, Mode, SetAttr, SetTime, StatFs};
use crate::caller::{Caller, Follow};
use crate::cx::Capabilities;
use crate::errno::{Errno, Result};
use crate::mount::{MountFlags, Place};
use crate::path::VPath;
use crate::walk;

impl Caller<'_> {
    /// Attributes (`stat(2)`, `lstat(2)`).
    ///
    /// # Errors
    /// Those of [`Caller::resolve`]; `EIO`.
    #[inline]
    pub fn stat(&self, base: &Place, path: VPath<'_>, follow: Follow) -> Result<Attr> {
        walk::attributes(self, base, path, follow)
    }

    /// Sets access and modification times; `None` leaves one (`utimensat(2)`).
    ///
    /// # Errors
    /// * `EPERM`: a time is given, or only one is set to now, and the caller doesn't own the file.
    /// * `EACCES`: both are set to now, and the caller neither owns nor may write it.
    /// * `EROFS`: the mount is read-only.
    pub fn set_times(
        &self,
        base: &Place,
        path: VPath<'_>,
        follow: Follow,
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<()> {
        if atime.is_none() && mtime.is_none() {
            // Linux doesn't even look at the path.
            return Ok(());
        }
        self.set_times_place(&self.resolve(base, path, follow)?, atime, mtime)
    }

    /// [`Caller::set_times`] of a place (`futimens(3)`).
    ///
    /// # Errors
    /// As there.
    pub fn set_times_place(&self, at: &Place, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
        if atime.is_none() && mtime.is_none() {
            return Ok(());
        }
        at.mount.want_write()?;
        if !self.cx.credentials().has(Capabilities::FOWNER) {
            let attr = at.attr(self.cx)?;
            if !access::is_owner(self.cx, &attr) {
                match (atime, mtime) {
                    (Some(SetTime::Now), Some(SetTime::Now)) => access::check(self.cx, &attr, May::WRITE)?,
                    _ => return Err(Errno::PERM),
                }
            }
        }
        self.setattr(at, &SetAttr { atime, mtime, ..SetAttr::default() })
    }

    /// Sets the permission bits (`fchmodat(2)`).
    ///
    /// # Errors
    /// `EPERM`: the caller doesn't own the file. `EOPNOTSUPP`: a symbolic link. `EROFS`.
    pub fn chmod(&self, base: &Place, path: VPath<'_>, follow: Follow, mode: Mode) -> Result<()> {
        self.chmod_place(&self.resolve(base, path, follow)?, mode)
    }

    /// [`Caller::chmod`] of a place (`fchmod(2)`).
    ///
    /// # Errors
    /// As there.
    pub fn chmod_place(&self, at: &Place, mode: Mode) -> Result<()> {
        at.mount.want_write()?;
        if at.kind().is_symlink() {
            return Err(Errno::OPNOTSUPP);
        }
        let attr = at.attr(self.cx)?;
        if !access::is_owner(self.cx, &attr) {
            return Err(Errno::PERM);
        }
        let who = self.cx.credentials();
        let keeps_setgid = who.in_group(attr.gid) || who.has(Capabilities::FSETID);
        let mode = if keeps_setgid { mode } else { mode - Mode::SETGID };
        self.setattr(at, &SetAttr { mode: Some(mode), ..SetAttr::default() })
    }

    /// Sets owner and group; `None` leaves one. Set-user-id and set-group-id are lost (`fchownat(2)`).
    ///
    /// # Errors
    /// `EPERM`: without `CAP_CHOWN`, the owner changes, or the group changes to one that isn't the caller's, or
    /// the caller doesn't own the file. `EROFS`.
    pub fn chown(
        &self,
        base: &Place,
        path: VPath<'_>,
        follow: Follow,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<()> {
        self.chown_place(&self.resolve(base, path, follow)?, uid, gid)
    }

    /// [`Caller::chown`] of a place (`fchown(2)`).
    ///
    /// # Errors
    /// As there.
    pub fn chown_place(&self, at: &Place, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        at.mount.want_write()?;
        let attr = at.attr(self.cx)?;
        let who = self.cx.credentials();
        if !who.has(Capabilities::CHOWN) {
            let owns = who.uid == attr.uid;
            let uid_ok = uid.is_none_or(|uid| owns && uid == attr.uid);
            let gid_ok = gid.is_none_or(|gid| owns && (gid == attr.gid || who.in_group(gid)));
            if !uid_ok || !gid_ok {
                return Err(Errno::PERM);
            }
        }
        let mode = if attr.kind.is_dir() { None } else { access::mode_without_privilege(self.cx, &attr) };
        if mode.is_some() && !access::is_owner(self.cx, &attr) {
            // Even where nothing else changes, the mode would.
            return Err(Errno::PERM);
        }
        self.setattr(at, &SetAttr { mode, uid, gid, ..SetAttr::default() })
    }

    /// Sets a regular file's size (`truncate(2)`).
    ///
    /// # Errors
    /// `EISDIR`: a directory. `EINVAL`: neither directory nor regular file, or `len` over 2^63-1. `EACCES`: the
    /// file may not be written. `EROFS`, `EFBIG`, `ENOSPC`.
    pub fn truncate(&self, base: &Place, path: VPath<'_>, len: u64) -> Result<()> {
        if i64::try_from(len).is_err() {
            return Err(Errno::INVAL);
        }
        let at = self.resolve(base, path, Follow::Yes)?;
        match at.kind() {
            FileType::Regular => {}
            FileType::Directory => return Err(Errno::ISDIR),
            _ => return Err(Errno::INVAL),
        }
        at.check(self.cx, May::WRITE)?;
        at.mount.want_write()?;
        let mode = self.mode_after_write(&at)?;
        self.setattr(&at, &SetAttr { mode, size: Some(len), ..SetAttr::default() })
    }

    /// Whether the caller may; nothing asked is whether it is there (`faccessat(2)`).
    ///
    /// # Errors
    /// `EACCES`: no. `EROFS`: writing what is on a read-only mount.
    pub fn access(&self, base: &Place, path: VPath<'_>, follow: Follow, may: May) -> Result<()> {
        let at = self.resolve(base, path, follow)?;
        if may.is_empty() {
            return Ok(());
        }
        at.check(self.cx, may)?;
        if may.contains(May::WRITE) && at.is_on_medium() { at.mount.want_write() } else { Ok(()) }
    }

    /// What the filesystem of a path has and has left (`statvfs(3)`).
    ///
    /// # Errors
    /// Those of [`Caller::resolve`]; `EIO`.
    pub fn statfs(&self, base: &Place, path: VPath<'_>) -> Result<StatFs> {
        self.statfs_place(&self.resolve(base, path, Follow::Yes)?)
    }

    /// [`Caller::statfs`] of a place (`fstatvfs(3)`).
    ///
    /// # Errors
    /// `EIO`.
    pub fn statfs_place(&self, at: &Place) -> Result<StatFs> {
        let mut statfs = at.mount.filesystem().any().statfs(self.cx)?;
        statfs.read_only |= at.mount.flags().contains(MountFlags::READ_ONLY);
        Ok(statfs)
    }

    /// Writes an inode to the medium (`fsync(2)` of a directory).
    ///
    /// # Errors
    /// `EIO`.
    pub fn sync_place(&self, at: &Place, data_only: bool) -> Result<()> {
        at.mount.filesystem().any().sync(self.cx, &at.node, data_only)
    }

    /// The mode that a write leaves, if it is another (`file_remove_privs`).
    pub(crate) fn mode_after_write(&self, at: &Place) -> Result<Option<Mode>> {
        if self.cx.credentials().has(Capabilities::FSETID) {
            return Ok(None);
        }
        Ok(access::mode_after_write(self.cx, &at.attr(self.cx)?))
    }

    fn setattr(&self, at: &Place, set: &SetAttr) -> Result<()> {
        at.mount.filesystem().any().setattr(self.cx, &at.node, set)
    }
}
