//! Making and removing names.

use std::sync::Arc;

use vnode_core::fs::{At, Inode, NewInode, Remove};
use vnode_core::{Cx, Errno, Result};

use crate::entries::Entries;
use crate::node::Node;
use crate::place::{Above, Place};
use crate::rank::{ENTRIES, WriteGuard};

/// The entries of a directory in which something is to be made, and room for one name more.
fn entries_for_new<'a>(at: At<'a, Node>, dir: bool) -> Result<WriteGuard<'a, Entries, ENTRIES>> {
    let mut entries = at.dir.directory()?.entries.write();
    if entries.is_removed() {
        return Err(Errno::NOENT);
    }
    if entries.position(at.name.as_bytes()).is_some() {
        return Err(Errno::EXIST);
    }
    entries.make_room(dir)?;
    Ok(entries)
}

/// `mknod(2)`, `mkdir(2)`, `symlink(2)`.
pub(crate) fn create(cx: &Cx<'_>, at: At<'_, Node>, new: &NewInode<'_>) -> Result<Arc<Node>> {
    let At { dir, name } = at;
    let mut entries = entries_for_new(at, new.kind.file_type().is_dir())?;
    let now = cx.now();
    let node = Node::new(&dir.shared, new, now, || Place::linked(dir, name.as_bytes()))?;
    entries.insert(name.as_bytes(), node.clone());
    dir.entries_changed(now, &entries);
    Ok(node)
}

/// `link(2)`.
pub(crate) fn link(cx: &Cx<'_>, at: At<'_, Node>, target: &Arc<Node>) -> Result<()> {
    let At { dir, name } = at;
    if target.kind().is_dir() {
        return Err(Errno::PERM);
    }
    let mut entries = entries_for_new(at, false)?;
    let now = cx.now();
    let mut meta = target.meta.write();
    match meta.nlink {
        0 => return Err(Errno::NOENT),
        u32::MAX => return Err(Errno::MLINK),
        _ => dir.shared.quota.inodes.take(1)?,
    }
    meta.nlink += 1;
    meta.ctime = now;
    drop(meta);
    entries.insert(name.as_bytes(), target.clone());
    dir.entries_changed(now, &entries);
    Ok(())
}

/// `unlink(2)`, `rmdir(2)`.
pub(crate) fn remove(cx: &Cx<'_>, at: At<'_, Node>, what: Remove) -> Result<()> {
    let At { dir, name } = at;
    let mut entries = dir.directory()?.entries.write();
    let position = entries.position(name.as_bytes()).ok_or(Errno::NOENT)?;
    let node = entries.node(position).ok_or(Errno::NOENT)?;
    match (what, node.kind().is_dir()) {
        (Remove::File, true) => return Err(Errno::ISDIR),
        (Remove::Directory, false) => return Err(Errno::NOTDIR),
        (Remove::Directory, true) => retire(node, dir)?,
        (Remove::File, false) => {}
    }
    let node = entries.take(position);
    let now = cx.now();
    dir.entries_changed(now, &entries);
    if let Some(node) = &node {
        node.unlinked(now);
    }
    drop(entries);
    // Only now, without the lock, does what the node held go.
    drop(node);
    Ok(())
}

/// Makes an empty directory a removed one, which holds the parent that it had.
///
/// # Errors
/// `ENOTEMPTY`.
pub(crate) fn retire(node: &Node, parent: &Arc<Node>) -> Result<()> {
    let directory = node.directory()?;
    let mut entries = directory.entries.write();
    if !entries.is_empty() {
        return Err(Errno::NOTEMPTY);
    }
    entries.set_removed();
    directory.place.write().above = Above::Removed(parent.clone());
    Ok(())
}
