//! Whether a user who isn't root may do what is planned: what is his he lets himself do, the rest is as it is.

use std::collections::{BTreeSet, HashMap};

use vnode_core::{Attr, Mode};

use super::error::{ApplyError, Doing as _, Failure};
use super::plan::Planner;
use crate::paths::above;

/// Who applies.
pub(crate) struct User {
    uid: u32,
    groups: Vec<u32>,
}

impl User {
    /// The process's; nothing if that is root, who may do everything.
    pub(crate) fn of_process() -> Option<Self> {
        let uid = rustix::process::geteuid();
        if uid.is_root() {
            return None;
        }
        let mut groups: Vec<_> =
            rustix::process::getgroups().unwrap_or_default().iter().map(|group| group.as_raw()).collect();
        groups.push(rustix::process::getegid().as_raw());
        Some(User { uid: uid.as_raw(), groups })
    }

    fn owns(&self, attr: &Attr) -> bool {
        attr.uid == self.uid
    }

    /// Whether names in a directory may be changed.
    fn may_change(&self, dir: &Attr) -> bool {
        let wanted = Mode::from_raw(0o003);
        let is_member = self.groups.contains(&dir.gid);
        let bits = if is_member { dir.mode.raw() >> 3 } else { dir.mode.raw() };
        self.owns(dir) || Mode::from_raw(bits & 0o007).contains(wanted)
    }

    /// Whether this name may be taken from a directory, or replaced there (`unlink(2)`, the sticky bit).
    fn may_take(&self, dir: &Attr, entry: &Attr) -> bool {
        let kept = dir.mode.contains(Mode::STICKY) && !self.owns(dir) && !self.owns(entry);
        self.may_change(dir) && !kept
    }
}

impl Planner<'_> {
    /// Finds what the process's user may not do of all this.
    ///
    /// # Errors
    /// `Denied`.
    pub(crate) fn check_permissions(&self) -> Result<(), ApplyError> {
        let Some(user) = self.user.as_ref() else { return Ok(()) };
        let mut denied: BTreeSet<Vec<u8>> = self.foreign.iter().cloned().collect();
        let mut dirs: HashMap<Vec<u8>, Option<Attr>> = HashMap::new();
        let mut directory = |path: &[u8]| -> Result<Option<Attr>, Failure> {
            if let Some(known) = dirs.get(path) {
                return Ok(*known);
            }
            let attr = self.attr_at(path)?;
            dirs.insert(path.to_vec(), attr);
            Ok(attr)
        };
        for (path, leaving) in &self.leaving {
            let (Some(dir), Some(entry)) = (directory(above(path))?, self.attr_at(path)?) else { continue };
            // A directory that goes elsewhere has its `..` changed.
            let stuck = leaving.is_dir && !user.may_change(&entry);
            if stuck || !user.may_take(&dir, &entry) {
                denied.insert(path.clone());
            }
        }
        for come in &self.steps.journal.ins {
            let path = &come.path.0;
            if self.made.contains_key(above(path)) {
                continue;
            }
            let before = self.renames.before(above(path));
            let Some(dir) = directory(&before)? else { continue };
            let name = path.get(above(path).len()..).unwrap_or_default();
            let entry = if come.replaces { self.attr_at(&[&before[..], name].concat())? } else { None };
            if !entry.map_or_else(|| user.may_change(&dir), |entry| user.may_take(&dir, &entry)) {
                denied.insert(path.clone());
            }
        }
        if denied.is_empty() { Ok(()) } else { Err(ApplyError::Denied(denied.into_iter().collect())) }
    }

    /// Notes a name whose attributes are another user's to change.
    pub(crate) fn check_owner(&mut self, path: &[u8], attr: &Attr) {
        if self.user.as_ref().is_some_and(|user| !user.owns(attr)) {
            self.foreign.push(path.to_vec());
        }
    }

    fn attr_at(&self, path: &[u8]) -> Result<Option<Attr>, Failure> {
        let found = self.tree.find(path).doing("look at", path)?;
        found.map(|inode| self.tree.attr(&inode)).transpose().doing("look at", path)
    }
}

#[cfg(test)]
mod tests {
    use vnode_core::FileType;

    use super::*;

    #[test]
    fn modes_and_owners_say_who_may() {
        let user = User { uid: 5, groups: vec![7] };
        let dir =
            |mode, uid, gid| Attr { uid, gid, ..Attr::bare(1, FileType::Directory, Mode::from_raw(mode)) };
        for (mode, uid, gid, may) in [
            (0o000, 5, 0, true),
            (0o755, 0, 0, false),
            (0o775, 0, 7, true),
            (0o757, 0, 7, false),
            (0o757, 0, 0, true),
            (0o702, 0, 0, false),
        ] {
            assert_eq!(user.may_change(&dir(mode, uid, gid)), may, "{mode:o} {uid} {gid}");
        }
        let (mine, other) = (dir(0o644, 5, 0), dir(0o644, 0, 0));
        assert!(user.may_take(&dir(0o1777, 0, 0), &mine) && !user.may_take(&dir(0o1777, 0, 0), &other));
        assert!(user.may_take(&dir(0o1700, 5, 0), &other) && user.may_take(&dir(0o777, 0, 0), &other));
    }
}
