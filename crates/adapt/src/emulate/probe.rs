//! Whether a filesystem has symbolic links.

use std::hash::{BuildHasher, RandomState};

use vnode_core::fs::{At, Caps, Filesystem, NewInode, NewKind, Remove};
use vnode_core::{Cx, Errno, FilesystemRef, Mode, Name, Result};

/// Tries to make a link, where the filesystem says that it can.
pub(super) fn needed(cx: &Cx<'_>, fs: &FilesystemRef) -> Result<bool> {
    if !fs.caps().contains(Caps::SYMLINKS) {
        return Ok(true);
    }
    let name = format!(".vnode-probe-{:016x}", RandomState::new().hash_one(cx.now().to_nanos()));
    let (root, who) = (fs.root(), cx.credentials());
    let at = At { dir: &root, name: Name::new(name.as_bytes())? };
    let kind = NewKind::Symlink(b"nowhere");
    let new = NewInode { kind, mode: Mode::from_raw(0o777), uid: who.uid, gid: who.gid };
    match fs.create(cx, at, new) {
        Ok(_) => fs.remove(cx, at, Remove::File).map(|()| false),
        // Whatever it could do if it were to be written: it isn't, and its own links are left as they are.
        Err(Errno::ROFS) => Ok(true),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(true),
        Err(errno) => Err(errno),
    }
}
