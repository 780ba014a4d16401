//! The user of the process, if that isn't root: what he may do, and what he could not.

use vnode_core::{Attr, Mode};

/// Who looks at changes, or applies them.
#[derive(Clone, Debug)]
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

    /// What it shows of a copy's owner and group: where the user could not give a copy those of what it was copied from
    /// nobody chose them.
    pub(crate) fn as_chosen(&self, old: &Attr, copy: &Attr) -> Attr {
        let gid = if self.groups.contains(&old.gid) { copy.gid } else { old.gid };
        let is_own = (copy.uid, copy.gid) == (old.uid, old.gid);
        // Nor does the copy run as him.
        let lost = if is_own { Mode::empty() } else { old.mode & (Mode::SETUID | Mode::SETGID) };
        Attr { uid: old.uid, gid, mode: copy.mode | lost, ..*copy }
    }

    pub(crate) fn owns(&self, attr: &Attr) -> bool {
        attr.uid == self.uid
    }

    /// Whether names in a directory may be changed.
    pub(crate) fn may_change(&self, dir: &Attr) -> bool {
        let wanted = Mode::from_raw(0o003);
        let is_member = self.groups.contains(&dir.gid);
        let bits = if is_member { dir.mode.raw() >> 3 } else { dir.mode.raw() };
        self.owns(dir) || Mode::from_raw(bits & 0o007).contains(wanted)
    }

    /// Whether this name may be taken from a directory, or replaced there (`unlink(2)`, the sticky bit).
    pub(crate) fn may_take(&self, dir: &Attr, entry: &Attr) -> bool {
        let kept = dir.mode.contains(Mode::STICKY) && !self.owns(dir) && !self.owns(entry);
        self.may_change(dir) && !kept
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
