//! Extended attributes: `xattr(7)`.

use std::sync::Arc;

use crate::access::{self, May};
use crate::attr::{FileType, Mode};
use crate::caller::{Caller, Follow};
use crate::cx::Capabilities;
use crate::errno::{Errno, Result};
use crate::fs::SetXattr;
use crate::mount::Place;
use crate::path::VPath;

/// The longest name (`XATTR_NAME_MAX`).
const NAME_MAX: usize = 255;
/// The largest value (`XATTR_SIZE_MAX`).
const SIZE_MAX: usize = 65536;

impl Caller<'_> {
    /// Reads an extended attribute (`getxattr(2)`); the caller cuts it to his buffer (`ERANGE`).
    ///
    /// # Errors
    /// `ENODATA`: no such attribute, or not the caller's to see. `ERANGE`: the name is empty or too long.
    /// `EOPNOTSUPP`: none here, or an unknown namespace. `EACCES`.
    pub fn get_xattr(&self, base: &Place, path: VPath<'_>, follow: Follow, name: &[u8]) -> Result<Arc<[u8]>> {
        self.get_xattr_place(&self.resolve(base, path, follow)?, name)
    }

    /// [`Caller::get_xattr`] of a place (`fgetxattr(2)`).
    ///
    /// # Errors
    /// As there.
    pub fn get_xattr_place(&self, at: &Place, name: &[u8]) -> Result<Arc<[u8]>> {
        self.check_xattr(at, name, May::READ)?;
        at.mount.filesystem().any().get_xattr(self.cx, &at.node, name)
    }

    /// Sets an extended attribute (`setxattr(2)`).
    ///
    /// # Errors
    /// `EEXIST`, `ENODATA`: as `how` says. `EPERM`: `user.` on what is neither file nor directory, or
    /// `trusted.` without privilege. `E2BIG`: over 64 KiB. `ERANGE`: the name is empty or too long.
    /// `EROFS`, `EACCES`, `ENOSPC`, `EDQUOT`, `EOPNOTSUPP`.
    pub fn set_xattr(
        &self,
        base: &Place,
        path: VPath<'_>,
        follow: Follow,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<()> {
        check_name(name)?;
        if value.len() > SIZE_MAX {
            return Err(Errno::TOOBIG);
        }
        self.set_xattr_place(&self.resolve(base, path, follow)?, name, value, how)
    }

    /// [`Caller::set_xattr`] of a place (`fsetxattr(2)`).
    ///
    /// # Errors
    /// As there.
    pub fn set_xattr_place(&self, at: &Place, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
        check_name(name)?;
        if value.len() > SIZE_MAX {
            return Err(Errno::TOOBIG);
        }
        at.mount.want_write()?;
        self.check_xattr(at, name, May::WRITE)?;
        at.mount.filesystem().any().set_xattr(self.cx, &at.node, name, value, how)
    }

    /// Lists the names of the extended attributes that the caller may see (`listxattr(2)`).
    ///
    /// # Errors
    /// `EOPNOTSUPP`: none here.
    pub fn list_xattr(
        &self,
        base: &Place,
        path: VPath<'_>,
        follow: Follow,
        emit: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        self.list_xattr_place(&self.resolve(base, path, follow)?, emit)
    }

    /// [`Caller::list_xattr`] of a place (`flistxattr(2)`).
    ///
    /// # Errors
    /// As there.
    pub fn list_xattr_place(&self, at: &Place, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let sees_trusted = self.cx.credentials().has(Capabilities::SYS_ADMIN);
        at.mount.filesystem().any().list_xattr(self.cx, &at.node, &mut |name| {
            if sees_trusted || !name.starts_with(b"trusted.") {
                emit(name);
            }
        })
    }

    /// Removes an extended attribute (`removexattr(2)`).
    ///
    /// # Errors
    /// `ENODATA`: no such attribute; else as [`Caller::set_xattr`].
    pub fn remove_xattr(&self, base: &Place, path: VPath<'_>, follow: Follow, name: &[u8]) -> Result<()> {
        check_name(name)?;
        self.remove_xattr_place(&self.resolve(base, path, follow)?, name)
    }

    /// [`Caller::remove_xattr`] of a place (`fremovexattr(2)`).
    ///
    /// # Errors
    /// As there.
    pub fn remove_xattr_place(&self, at: &Place, name: &[u8]) -> Result<()> {
        check_name(name)?;
        at.mount.want_write()?;
        self.check_xattr(at, name, May::WRITE)?;
        at.mount.filesystem().any().remove_xattr(self.cx, &at.node, name)
    }

    /// `xattr_permission` in Linux's `fs/xattr.c`.
    fn check_xattr(&self, at: &Place, name: &[u8], may: May) -> Result<()> {
        check_name(name)?;
        let writes = may.contains(May::WRITE);
        let privileged = self.cx.credentials().has(Capabilities::SYS_ADMIN);
        let refused = Err(if writes { Errno::PERM } else { Errno::NODATA });
        if name.starts_with(b"trusted.") {
            return if privileged { Ok(()) } else { refused };
        }
        if name.starts_with(b"security.") {
            return if privileged || !writes { Ok(()) } else { Err(Errno::PERM) };
        }
        if name.starts_with(b"system.") {
            return Err(Errno::OPNOTSUPP);
        }
        let user = name.starts_with(b"user.");
        if user && !matches!(at.kind(), FileType::Regular | FileType::Directory) {
            return refused;
        }
        let attr = at.attr(self.cx)?;
        if user
            && writes
            && attr.kind.is_dir()
            && attr.mode.contains(Mode::STICKY)
            && !access::is_owner(self.cx, &attr)
        {
            return Err(Errno::PERM);
        }
        access::check(self.cx, &attr, may)?;
        // That a namespace is unknown is found last.
        if user { Ok(()) } else { Err(Errno::OPNOTSUPP) }
    }
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > NAME_MAX { Err(Errno::RANGE) } else { Ok(()) }
}
