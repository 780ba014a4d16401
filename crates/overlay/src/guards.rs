//! Extended attributes of what is copied, and among them what guards it on the host besides its mode: access control lists
//! (`acl(5)`) and capabilities of programs, which a layer may keep from callers.

use std::sync::Arc;

use vnode_core::fs::{Filesystem, SetXattr};
use vnode_core::{Cx, Errno, FilesystemRef, Mode, Result, SetAttr};

use crate::layers::Real;
use crate::marks::is_private;

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";
/// In the order in which they are set.
const GUARDS: [&[u8]; 3] = [ACCESS, DEFAULT, b"security.capability"];

/// An inode and its filesystem.
pub(crate) type On<'a> = (&'a FilesystemRef, &'a Real);

/// What guards an inode.
pub(crate) struct Guards {
    found: Vec<Guard>,
}

struct Guard {
    name: &'static [u8],
    /// Nothing: it can't be read.
    value: Option<Arc<[u8]>>,
    /// Whether callers see it.
    shown: bool,
}

/// Gives an inode the extended attributes of another one, but for what guards it, which comes after owner and mode:
/// [`Guards::set`].
pub(crate) fn copy_xattrs(own: &Cx<'_>, (from, inode): On<'_>, (to, copy): On<'_>) -> Result<Guards> {
    let seeing = own.seeing_guards();
    let mut names: Vec<Box<[u8]>> = Vec::new();
    match from.list_xattr(&seeing, inode, &mut |name| names.push(name.into())) {
        Err(Errno::OPNOTSUPP) => {}
        listed => listed?,
    }
    let is_there = |name: &[u8]| names.iter().any(|there| **there == *name);
    let mut found = Vec::new();
    for name in GUARDS.into_iter().filter(|name| is_there(name)) {
        let value = match from.get_xattr(&seeing, inode, name) {
            Err(Errno::NODATA) => continue,
            // Of users that the process's user namespace hasn't.
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::OVERFLOW | Errno::INVAL) => None,
            value => Some(value?),
        };
        found.push(Guard { name, value, shown: from.get_xattr(own, inode, name).is_ok() });
    }
    for name in names.iter().filter(|name| !is_private(name) && !GUARDS.contains(&&***name)) {
        let value = from.get_xattr(own, inode, name)?;
        to.set_xattr(own, copy, name, &value, SetXattr::Any)?;
    }
    Ok(Guards { found })
}

impl Guards {
    /// Gives them to a copy that has its owner and its mode. One that doesn't take a list allows nobody more than that.
    pub(crate) fn set(&self, own: &Cx<'_>, to: On<'_>) -> Result<()> {
        for guard in &self.found {
            if !guard.set(own, to)? && guard.name == ACCESS {
                let mode = to.0.getattr(own, to.1)?.mode;
                let less = mode & most_without(guard.value.as_deref().unwrap_or_default());
                if less != mode {
                    to.0.setattr(own, to.1, &SetAttr { mode: Some(less), ..SetAttr::default() })?;
                }
            }
        }
        Ok(())
    }
}

impl Guard {
    /// Tells whether it was taken.
    fn set(&self, own: &Cx<'_>, (to, copy): On<'_>) -> Result<bool> {
        let Some(value) = &self.value else { return Ok(false) };
        let refused = |errno| matches!(errno, Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL);
        let hidden = matches!(to.get_xattr(own, copy, self.name), Err(Errno::OPNOTSUPP));
        // Callers see no more of the copy than of what it is of.
        if !self.shown && !hidden {
            return Ok(false);
        }
        match to.set_xattr(&own.seeing_guards(), copy, self.name, value, SetXattr::Any) {
            Err(errno) if refused(errno) => Ok(false),
            set => set.map(|()| true),
        }
    }
}

/// A list as an extended attribute (`struct posix_acl_xattr_header` in Linux): its version, and entries of a tag, what is
/// allowed, and whom it names.
const VERSION: [u8; 4] = 2u32.to_le_bytes();
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The most that a mode may have without the list, so that nobody gets more than the list gave. A user that it names may
/// be in the group, or be one of the others, then; a group that it names may have others in it.
fn most_without(list: &[u8]) -> Mode {
    let above = Mode::all() - Mode::RWXG - Mode::RWXO;
    let Some(entries) = list.strip_prefix(&VERSION) else { return above };
    let (entries, rest) = entries.as_chunks::<8>();
    if !rest.is_empty() {
        return above;
    }
    let [mut named_users, mut named_groups, mut mask, mut group, mut other] = [7, 7, 7, 0, 0];
    let mut names_any = false;
    for &[tag, tag2, allows, allows2, ..] in entries {
        let allows = u32::from(u16::from_le_bytes([allows, allows2])) & 7;
        let tag = u16::from_le_bytes([tag, tag2]);
        names_any |= matches!(tag, USER | GROUP);
        match tag {
            USER => named_users &= allows,
            GROUP => named_groups &= allows,
            GROUP_OBJ => group = allows,
            MASK => mask = allows,
            OTHER => other = allows,
            _ => {}
        }
    }
    let group = group & mask & named_users;
    if names_any {
        other &= named_users & named_groups & mask;
    }
    above | Mode::from_raw(group << 3 | other)
}

/// Takes lists from a directory of the overlay's own, which it inherited from where it was made, so that nothing does from
/// it: Linux takes them from its work directory.
pub(crate) fn strip(own: &Cx<'_>, fs: &FilesystemRef, dir: &Real) -> Result<()> {
    let seeing = own.seeing_guards();
    for name in [DEFAULT, ACCESS] {
        match fs.remove_xattr(&seeing, dir, name) {
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
            // What was the list's mask would be the group's now.
            Ok(()) if name == ACCESS => {
                let mode = fs.getattr(own, dir)?.mode - Mode::RWXG - Mode::RWXO;
                fs.setattr(own, dir, &SetAttr { mode: Some(mode), ..SetAttr::default() })?;
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_OBJ: u16 = 0x01;

    fn list(entries: &[(u16, u16)]) -> Vec<u8> {
        let entry = |&(tag, allows): &(u16, u16)| {
            [&tag.to_le_bytes()[..], &allows.to_le_bytes(), &1234u32.to_le_bytes()].concat()
        };
        [&VERSION[..], &entries.iter().flat_map(entry).collect::<Vec<u8>>()].concat()
    }

    #[test]
    fn nobody_gets_more_without_a_list() {
        let most = |entries: &[(u16, u16)]| most_without(&list(entries)).raw() & 0o777;
        let (owner, group, other) = ((USER_OBJ, 6), (GROUP_OBJ, 4), (OTHER, 4));
        assert_eq!(most(&[owner, group, other]), 0o744);
        assert_eq!(most(&[owner, (USER, 6), (GROUP_OBJ, 0), (MASK, 6), (OTHER, 0)]), 0o700);
        assert_eq!(most(&[owner, (USER, 6), (GROUP_OBJ, 7), (MASK, 6), (OTHER, 7)]), 0o766);
        assert_eq!(most(&[owner, (USER, 0), group, (MASK, 7), other]), 0o700);
        assert_eq!(most(&[owner, group, (GROUP, 2), (MASK, 7), (OTHER, 6)]), 0o742);
        assert_eq!(most(&[owner, group, (GROUP, 7), (MASK, 1), (OTHER, 7)]), 0o701);
        assert_eq!(most(&[owner, (USER, 7), group, (MASK, 2), other]), 0o700);
        // Nobody is named.
        assert_eq!(most(&[owner, (GROUP_OBJ, 6), (MASK, 4), (OTHER, 7)]), 0o747);
    }

    #[test]
    fn what_is_no_list_allows_the_owner_alone() {
        let whole = list(&[(USER_OBJ, 7), (GROUP_OBJ, 7), (OTHER, 7)]);
        assert_eq!(most_without(&whole).raw() & 0o777, 0o777);
        for len in [0, 3, 4, whole.len() - 1] {
            assert_eq!(most_without(&whole[..len]).raw() & 0o777, 0o700, "{len} bytes");
        }
        let later = [&[3, 0, 0, 0], &whole[4..]].concat();
        assert_eq!(most_without(&later).raw() & 0o777, 0o700);
    }
}
