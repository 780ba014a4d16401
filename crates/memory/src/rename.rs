//! Renaming (`vfs_rename` in Linux).

use core::mem;
use std::sync::Arc;

use vnode_core::fs::{At, Inode, Rename};
use vnode_core::{Cx, Errno, Result, Timespec};

use crate::entries::{Entries, Position};
use crate::names::retire;
use crate::node::Node;
use crate::place::{Above, Place};

/// The entries of the two directories of a rename, which may be one.
enum Dirs<'a> {
    Same(&'a mut Entries),
    Two { from: &'a mut Entries, to: &'a mut Entries },
}

impl Dirs<'_> {
    fn from(&mut self) -> &mut Entries {
        match self {
            Dirs::Same(entries) => entries,
            Dirs::Two { from, .. } => from,
        }
    }

    fn to(&mut self) -> &mut Entries {
        match self {
            Dirs::Same(entries) => entries,
            Dirs::Two { to, .. } => to,
        }
    }
}

/// How the two directories of a rename lie to each other, while the rename lock is held.
enum Relation {
    /// The old one is above the new one, by this directory in it, which must not move below itself.
    OldAbove(Arc<Node>),
    /// The new one is above the old one, by this directory in it, which can't be replaced.
    NewAbove(Arc<Node>),
    Apart,
}

/// The directory in `above` by which `below` is under it.
fn way_down(above: &Arc<Node>, below: &Arc<Node>) -> Result<Option<Arc<Node>>> {
    let mut at = below.clone();
    loop {
        let parent = match &at.directory()?.place.read().above {
            Above::Root => return Ok(None),
            Above::Linked(parent) => parent.upgrade().ok_or(Errno::NOENT)?,
            Above::Removed(parent) => parent.clone(),
        };
        if Arc::ptr_eq(&parent, above) {
            return Ok(Some(at));
        }
        at = parent;
    }
}

impl Relation {
    fn find(old: &Arc<Node>, new: &Arc<Node>) -> Result<Self> {
        if let Some(way) = way_down(old, new)? {
            return Ok(Relation::OldAbove(way));
        }
        Ok(way_down(new, old)?.map_or(Relation::Apart, Relation::NewAbove))
    }
}

/// A rename, with what the directories hold.
struct Move<'a> {
    from: At<'a, Node>,
    to: At<'a, Node>,
    old: (Position, Arc<Node>),
    new: Option<(Position, Arc<Node>)>,
    now: Timespec,
}

/// `renameat2(2)`.
pub(crate) fn rename(cx: &Cx<'_>, from: At<'_, Node>, to: At<'_, Node>, how: Rename) -> Result<()> {
    let (old, new) = (from.dir.directory()?, to.dir.directory()?);
    if Arc::ptr_eq(from.dir, to.dir) {
        let mut entries = old.entries.write();
        let gone = rename_in(cx, &mut Dirs::Same(&mut entries), from, to, how, &Relation::Apart);
        drop(entries);
        return gone.map(drop);
    }
    let moving = from.dir.shared.rename.lock();
    let relation = Relation::find(from.dir, to.dir)?;
    // Whoever holds two directories that are not above one another holds the lock of renames too.
    let old_first = !matches!(relation, Relation::NewAbove(_));
    let (mut first, mut second) = if old_first {
        let first = old.entries.write();
        (first, new.entries.write())
    } else {
        let first = new.entries.write();
        (first, old.entries.write())
    };
    let (of_old, of_new) = if old_first { (&mut *first, &mut *second) } else { (&mut *second, &mut *first) };
    let gone = rename_in(cx, &mut Dirs::Two { from: of_old, to: of_new }, from, to, how, &relation);
    drop((first, second));
    drop(moving);
    gone.map(drop)
}

/// Renames with everything locked; answers what was replaced, to be dropped without the locks.
fn rename_in(
    cx: &Cx<'_>,
    dirs: &mut Dirs<'_>,
    from: At<'_, Node>,
    to: At<'_, Node>,
    how: Rename,
    relation: &Relation,
) -> Result<Option<Arc<Node>>> {
    let find = |entries: &Entries, at: At<'_, Node>| {
        let position = entries.position(at.name.as_bytes())?;
        Some((position, entries.node(position)?.clone()))
    };
    if dirs.from().is_removed() || dirs.to().is_removed() {
        return Err(Errno::NOENT);
    }
    let old = find(dirs.from(), from).ok_or(Errno::NOENT)?;
    let new = find(dirs.to(), to);
    match (how, &new) {
        (Rename::NoReplace, Some(_)) => return Err(Errno::EXIST),
        (Rename::Exchange, None) => return Err(Errno::NOENT),
        _ => {}
    }
    match relation {
        Relation::OldAbove(way) if Arc::ptr_eq(way, &old.1) => return Err(Errno::INVAL),
        Relation::NewAbove(way) if new.as_ref().is_some_and(|(_, new)| Arc::ptr_eq(way, new)) => {
            return Err(if how == Rename::Exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        _ => {}
    }
    if new.as_ref().is_some_and(|(_, new)| Arc::ptr_eq(new, &old.1)) {
        return Ok(None);
    }
    let rename = Move { from, to, old, new, now: cx.now() };
    if how == Rename::Exchange { rename.exchange(dirs).map(|()| None) } else { rename.replace(dirs) }
}

impl Move<'_> {
    /// Moves the old name to the new one.
    fn replace(self, dirs: &mut Dirs<'_>) -> Result<Option<Arc<Node>>> {
        let (old_position, old) = &self.old;
        let is_dir = old.kind().is_dir();
        let to_name = self.to.name.as_bytes();
        match &self.new {
            Some((_, new)) => match (is_dir, new.kind().is_dir()) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) => retire(new, self.to.dir)?,
                (false, false) => {}
            },
            None => {
                let new_here = is_dir && matches!(dirs, Dirs::Two { .. });
                dirs.to().make_room(new_here)?;
            }
        }
        match self.new {
            Some((position, _)) => drop(dirs.to().replace(position, old.clone())),
            None => dirs.to().insert(to_name, old.clone()),
        }
        // After the insertion, so that no compaction comes between a position and its use.
        drop(dirs.from().take(*old_position));
        self.arrived(old, self.to);
        if let Some((_, new)) = &self.new {
            new.unlinked(self.now);
        }
        self.dirs_changed(dirs);
        Ok(self.new.map(|(_, new)| new))
    }

    /// Exchanges both names' nodes; each name keeps its number.
    fn exchange(self, dirs: &mut Dirs<'_>) -> Result<()> {
        let (old_position, old) = &self.old;
        let Some((new_position, new)) = &self.new else { return Err(Errno::NOENT) };
        if matches!(dirs, Dirs::Two { .. }) && old.kind().is_dir() != new.kind().is_dir() {
            dirs.from().check_subdirs(new.kind().is_dir())?;
            dirs.to().check_subdirs(old.kind().is_dir())?;
        }
        drop(dirs.from().replace(*old_position, new.clone()));
        drop(dirs.to().replace(*new_position, old.clone()));
        self.arrived(old, self.to);
        self.arrived(new, self.from);
        self.dirs_changed(dirs);
        Ok(())
    }

    /// A node has a new name.
    fn arrived(&self, node: &Arc<Node>, at: At<'_, Node>) {
        node.meta.write().ctime = self.now;
        if let Ok(directory) = node.directory() {
            let place = Place::linked(at.dir, at.name.as_bytes());
            drop(mem::replace(&mut *directory.place.write(), place));
        }
    }

    fn dirs_changed(&self, dirs: &mut Dirs<'_>) {
        self.from.dir.entries_changed(self.now, dirs.from());
        if matches!(dirs, Dirs::Two { .. }) {
            self.to.dir.entries_changed(self.now, dirs.to());
        }
    }
}
