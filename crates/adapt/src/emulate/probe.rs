//! Whether a filesystem has symbolic links.

use std::hash::{BuildHasher, RandomState};

use vnode_core::fs::{At, Caps, Filesystem, NewInode, NewKind, Remove};
use vnode_core::{Cx, Errno, FilesystemRef, Mode, Name, Result};

use super::own::leaving_times;

/// Tries to make a link, where the filesystem says that it can, and leaves the root's times as far as that can be.
pub(super) fn needed(cx: &Cx<'_>, fs: &FilesystemRef) -> Result<bool> {
    if !fs.caps().contains(Caps::SYMLINKS) {
        return Ok(true);
    }
    let name = format!(".vnode-probe-{:016x}", RandomState::new().hash_one(cx.now().to_nanos()));
    let (root, who) = (fs.root(), cx.credentials());
    let at = At { dir: &root, name: Name::new(name.as_bytes())? };
    let kind = NewKind::Symlink(b"nowhere");
    let new = NewInode { kind, mode: Mode::from_raw(0o777), uid: who.uid, gid: who.gid };
    let made_and_removed = || {
        fs.create(cx, at, new)?;
        Ok(fs.remove(cx, at, Remove::File))
    };
    match leaving_times(cx, fs, &root, made_and_removed) {
        Ok(removed) => removed.map(|()| false),
        // Whatever it could do if it were to be written: it isn't, and its own links are left as they are.
        Err(Errno::ROFS) => Ok(true),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(true),
        Err(errno) => Err(errno),
    }
}
