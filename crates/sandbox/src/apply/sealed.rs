//! What nobody may change: immutable and append-only files and directories (`chattr(1)`). A rename would find out only when
//! other things were moved already.

use std::collections::BTreeSet;

use super::error::ApplyError;
use super::plan::Planner;
use crate::paths::above;

impl Planner<'_> {
    /// Finds what is sealed of all that is to be taken away, replaced or changed, and of where that is (`may_delete`,
    /// `may_create` and `notify_change` of Linux).
    ///
    /// # Errors
    /// `Sealed`.
    pub(crate) fn check_seals(&self) -> Result<(), ApplyError> {
        let Some(seals) = self.host.and_then(Seals::of) else { return Ok(()) };
        let mut asked = BTreeSet::new();
        for path in self.leaving.keys() {
            asked.extend([above(path).to_vec(), path.clone()]);
        }
        for come in &self.steps.journal.ins {
            let (path, dir) = (&come.path.0, above(&come.path.0));
            if self.made.contains_key(dir) {
                continue;
            }
            let before = self.renames.before(dir);
            if come.replaces {
                let name = path.get(dir.len()..).unwrap_or_default();
                asked.insert([&before[..], name].concat());
            }
            asked.insert(before);
        }
        for one in &self.steps.journal.attributes {
            asked.insert(self.renames.before(&one.path.0));
        }
        let sealed: Vec<_> = asked.into_iter().filter(|path| seals.has(path)).collect();
        if sealed.is_empty() { Ok(()) } else { Err(ApplyError::Sealed(sealed)) }
    }
}

#[cfg(target_os = "linux")]
use linux::Seals;

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsStr;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, openat2, statx};

    /// A directory of the host.
    pub(super) struct Seals(OwnedFd);

    impl Seals {
        /// Nothing where it isn't told: whoever changes something finds out.
        pub(super) fn of(directory: &Path) -> Option<Self> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, directory, flags, Mode::empty()).ok().map(Seals)
        }

        /// Whether what a path leads to is sealed. Follows no link.
        pub(super) fn has(&self, path: &[u8]) -> bool {
            let path = path.strip_prefix(b"/").filter(|path| !path.is_empty()).unwrap_or(b".");
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let found = openat2(&self.0, OsStr::from_bytes(path), flags, Mode::empty(), resolve);
            let told = found.and_then(|inode| statx(inode, c"", AtFlags::EMPTY_PATH, StatxFlags::empty()));
            let seals = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
            told.is_ok_and(|told| told.stx_attributes.intersects(seals))
        }
    }
}

#[cfg(not(target_os = "linux"))]
struct Seals;

#[cfg(not(target_os = "linux"))]
impl Seals {
    fn of(_: &std::path::Path) -> Option<Self> {
        None
    }

    fn has(&self, _: &[u8]) -> bool {
        false
    }
}
