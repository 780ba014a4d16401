//! Who may do what: the discretionary checks of `path_resolution(7)` and `inode(7)`.

use crate::attr::{Attr, Mode};
use crate::cx::{Capabilities, Credentials, Cx};
use crate::errno::{Errno, Result};

bitflags::bitflags! {
    /// What is asked of a mode (`access(2)`); the bits are `R_OK`, `W_OK` and `X_OK`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct May: u8 {
        /// Read; list a directory.
        const READ = 4;
        /// Write; change a directory's entries.
        const WRITE = 2;
        /// Execute; search a directory.
        const EXEC = 1;
    }
}

/// Checks the caller against an inode's mode (`generic_permission` in Linux).
///
/// # Errors
/// `EACCES`.
pub fn check(cx: &Cx<'_>, attr: &Attr, may: May) -> Result<()> {
    let who = cx.credentials();
    let bits = attr.mode.raw();
    let granted = if who.uid == attr.uid {
        bits >> 6
    } else if who.in_group(attr.gid) {
        bits >> 3
    } else {
        bits
    };
    if May::from_bits_truncate(granted as u8).contains(may) || overrides(who, attr, may) {
        Ok(())
    } else {
        Err(Errno::ACCES)
    }
}

/// `CAP_DAC_OVERRIDE` passes all but the execution of a file that nobody may execute.
fn overrides(who: &Credentials, attr: &Attr, may: May) -> bool {
    who.has(Capabilities::DAC_OVERRIDE)
        && (attr.kind.is_dir() || !may.contains(May::EXEC) || attr.mode.raw() & 0o111 != 0)
}

/// Checks that the caller may search a directory.
///
/// # Errors
/// `EACCES`.
pub fn search(cx: &Cx<'_>, dir: &Attr) -> Result<()> {
    if cx.credentials().has(Capabilities::DAC_OVERRIDE) { Ok(()) } else { check(cx, dir, May::EXEC) }
}

/// Whether the caller counts as an inode's owner (`inode_owner_or_capable`).
pub fn is_owner(cx: &Cx<'_>, attr: &Attr) -> bool {
    let who = cx.credentials();
    who.uid == attr.uid || who.has(Capabilities::FOWNER)
}

/// Checks that a name of `dir` may be removed or renamed as far as the directory says (`may_delete`).
///
/// # Errors
/// `EACCES`: the directory may not be written or searched. `EPERM`: it is sticky, and neither it nor `victim`
/// is the caller's.
pub fn change_entry(cx: &Cx<'_>, dir: &Attr, victim: &Attr) -> Result<()> {
    check(cx, dir, May::WRITE | May::EXEC)?;
    let who = cx.credentials();
    if dir.mode.contains(Mode::STICKY)
        && who.uid != victim.uid
        && who.uid != dir.uid
        && !who.has(Capabilities::FOWNER)
    {
        return Err(Errno::PERM);
    }
    Ok(())
}

/// The mode that a write or truncation leaves, if it is another: set-user-id goes, and set-group-id where the
/// group may execute, unless the caller has `CAP_FSETID` (`file_remove_privs` in Linux).
///
/// A filesystem calls this for each write to a file with one of these bits.
pub fn mode_after_write(cx: &Cx<'_>, attr: &Attr) -> Option<Mode> {
    if cx.credentials().has(Capabilities::FSETID) {
        return None;
    }
    mode_without_privilege(cx, attr)
}

/// The mode without what a change of owner or content takes, if that is another (`setattr_should_drop_suidgid`
/// in Linux): of a group that isn't the caller's, set-group-id even where nobody may execute.
pub(crate) fn mode_without_privilege(cx: &Cx<'_>, attr: &Attr) -> Option<Mode> {
    let who = cx.credentials();
    let mut mode = attr.mode - Mode::SETUID;
    let foreign_group = !who.in_group(attr.gid) && !who.has(Capabilities::FSETID);
    if mode.contains(Mode::XGRP) || foreign_group {
        mode -= Mode::SETGID;
    }
    (mode != attr.mode).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{FileType, Timespec};
    use crate::cx::Clock;

    struct Epoch;
    impl Clock for Epoch {
        fn now(&self) -> Timespec {
            Timespec::EPOCH
        }
    }

    fn attr(kind: FileType, mode: u32, uid: u32, gid: u32) -> Attr {
        Attr { uid, gid, ..Attr::bare(1, kind, Mode::from_raw(mode)) }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let user = Credentials::user(1000, 1000, &[20]);
        let cx = Cx::new(&user, &Epoch);
        let file = |mode, uid, gid| attr(FileType::Regular, mode, uid, gid);
        assert_eq!(check(&cx, &file(0o077, 1000, 1000), May::READ), Err(Errno::ACCES));
        assert_eq!(check(&cx, &file(0o707, 1, 20), May::READ), Err(Errno::ACCES));
        assert_eq!(check(&cx, &file(0o070, 1, 20), May::READ | May::WRITE), Ok(()));
        assert_eq!(check(&cx, &file(0o004, 1, 1), May::READ), Ok(()));
        assert_eq!(check(&cx, &file(0o004, 1, 1), May::READ | May::WRITE), Err(Errno::ACCES));
    }

    #[test]
    fn root_executes_only_what_somebody_may() {
        let root = Credentials::root();
        let cx = Cx::new(&root, &Epoch);
        assert_eq!(check(&cx, &attr(FileType::Regular, 0o600, 5, 5), May::EXEC), Err(Errno::ACCES));
        assert_eq!(check(&cx, &attr(FileType::Regular, 0o001, 5, 5), May::EXEC), Ok(()));
        assert_eq!(check(&cx, &attr(FileType::Directory, 0, 5, 5), May::all()), Ok(()));
    }

    #[test]
    fn sticky_directories_leave_removal_to_owners() {
        let user = Credentials::user(1000, 1000, &[]);
        let cx = Cx::new(&user, &Epoch);
        let tmp = attr(FileType::Directory, 0o1777, 0, 0);
        let mine = attr(FileType::Regular, 0, 1000, 0);
        let other = attr(FileType::Regular, 0o777, 1, 1000);
        assert_eq!(change_entry(&cx, &tmp, &mine), Ok(()));
        assert_eq!(change_entry(&cx, &tmp, &other), Err(Errno::PERM));
        assert_eq!(change_entry(&cx, &attr(FileType::Directory, 0o1777, 1000, 0), &other), Ok(()));
    }
}
