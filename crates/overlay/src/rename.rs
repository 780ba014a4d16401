//! Renaming. A directory that has something below moves by a redirection: the lowers stay as they are.

use std::sync::Arc;

use parking_lot::RwLockWriteGuard;
use vnode_core::fs::{Filesystem, Inode, Remove, Rename};
use vnode_core::{Cx, Errno, Result, Timespec};

use crate::copy_up::Kept;
use crate::layers::{Own, RealAt, at};
use crate::lookup::InUpper;
use crate::names::{Attempt, NodeAt};
use crate::node::{Names, Node, Place};
use crate::overlay::Shared;

/// The names of the two directories of a rename, which may be one.
struct Dirs<'a> {
    from: RwLockWriteGuard<'a, Names>,
    /// Nothing: the same.
    to: Option<RwLockWriteGuard<'a, Names>>,
}

impl Dirs<'_> {
    fn to(&mut self) -> &mut Names {
        self.to.as_mut().unwrap_or(&mut self.from)
    }

    fn to_ref(&self) -> &Names {
        self.to.as_ref().unwrap_or(&self.from)
    }
}

/// How the two directories lie to each other.
enum Relation {
    /// The old one is above the new one, by this directory in it, which must not move below itself.
    OldAbove(Arc<Node>),
    /// The new one is above the old one, by this directory in it, which can't be replaced.
    NewAbove(Arc<Node>),
    Apart,
}

/// The directory in `above` by which `below` is under it.
fn way_down(above: &Arc<Node>, below: &Arc<Node>) -> Option<Arc<Node>> {
    let mut here = Arc::clone(below);
    loop {
        let parent = here.place.read().parent.clone()?;
        if Arc::ptr_eq(&parent, above) {
            return Some(here);
        }
        here = parent;
    }
}

impl Relation {
    fn find(old: &Arc<Node>, new: &Arc<Node>) -> Self {
        if let Some(way) = way_down(old, new) {
            return Relation::OldAbove(way);
        }
        way_down(new, old).map_or(Relation::Apart, Relation::NewAbove)
    }
}

/// The most bytes of a redirection: what an extended attribute can have.
const LONGEST: usize = 65_536;
/// What every filesystem has room for in an extended attribute, unless it is full.
const ALWAYS_FITS: usize = 1024;

/// What keeps a directory from being moved whose redirection can't be kept: one that is too long for the upper, which on
/// ext4 is `ENOSPC` past a block, has it copied instead, as Linux does past `redirect_max`.
fn not_redirected(errno: Errno, path: &[u8]) -> Errno {
    match errno {
        Errno::TOOBIG | Errno::RANGE => Errno::XDEV,
        Errno::NOSPC if path.len() > ALWAYS_FITS => Errno::XDEV,
        errno => errno,
    }
}

/// What is renamed, both places being locked.
struct Move<'a> {
    from: NodeAt<'a>,
    to: NodeAt<'a>,
    old: Arc<Node>,
    new: Option<Arc<Node>>,
    /// Both places in the upper.
    upper_from: RealAt<'a>,
    upper_to: RealAt<'a>,
}

/// Times before a rename.
struct Before {
    ctimes: Vec<(Arc<Node>, Timespec)>,
    dirs: [Option<Kept>; 2],
}

impl Shared {
    /// `renameat2(2)`.
    pub(crate) fn rename(&self, cx: &Cx<'_>, from: NodeAt<'_>, to: NodeAt<'_>, how: Rename) -> Result<()> {
        self.attempt(cx, || {
            if Arc::ptr_eq(from.dir, to.dir) {
                let mut dirs = Dirs { from: from.dir.directory()?.names.write(), to: None };
                return self.try_rename(cx, &mut dirs, from, to, how, &Relation::Apart);
            }
            let _moving = self.renames.lock();
            let (old, new) = (from.dir.directory()?, to.dir.directory()?);
            let relation = Relation::find(from.dir, to.dir);
            // Whoever holds two directories that are not above one another holds the lock of renames too.
            let mut dirs = if matches!(relation, Relation::NewAbove(_)) {
                let to = Some(new.names.write());
                Dirs { from: old.names.write(), to }
            } else {
                let from = old.names.write();
                Dirs { from, to: Some(new.names.write()) }
            };
            self.try_rename(cx, &mut dirs, from, to, how, &relation)
        })
    }

    fn try_rename(
        &self,
        cx: &Cx<'_>,
        dirs: &mut Dirs<'_>,
        from: NodeAt<'_>,
        to: NodeAt<'_>,
        how: Rename,
        relation: &Relation,
    ) -> Result<Attempt<()>> {
        if dirs.to_ref().removed {
            return Err(Errno::NOENT);
        }
        let old = self.find(cx, from.dir, &dirs.from, from.name)?;
        let new = match self.find(cx, to.dir, dirs.to_ref(), to.name) {
            Ok(new) => Some(new),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno),
        };
        match (how, &new) {
            (Rename::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (Rename::Exchange, None) => return Err(Errno::NOENT),
            _ => {}
        }
        match relation {
            Relation::OldAbove(way) if Arc::ptr_eq(way, &old) => return Err(Errno::INVAL),
            Relation::NewAbove(way) if new.as_ref().is_some_and(|new| Arc::ptr_eq(way, new)) => {
                return Err(if how == Rename::Exchange { Errno::INVAL } else { Errno::NOTEMPTY });
            }
            _ => {}
        }
        if new.as_ref().is_some_and(|new| Arc::ptr_eq(new, &old)) {
            return Ok(Attempt::Done(()));
        }
        let exchange = how == Rename::Exchange;
        let replaced = new.as_ref().filter(|_| !exchange).map(Arc::clone);
        let mut below = None;
        if let Some(new) = &replaced {
            match (old.kind().is_dir(), new.kind().is_dir()) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) => {
                    let names = new.directory()?.names.write();
                    if !self.is_empty(cx, new)? {
                        return Err(Errno::NOTEMPTY);
                    }
                    below = Some(names);
                }
                (false, false) => {}
            }
        }
        let counted = |new: &&Arc<Node>| exchange || new.is_indexed();
        let needed = [Some(&old), Some(from.dir), Some(to.dir), new.as_ref().filter(counted)];
        let missing: Vec<_> =
            needed.into_iter().flatten().filter(|node| node.upper().is_none()).cloned().collect();
        let (Some(upper_from), Some(upper_to)) = (from.dir.upper(), to.dir.upper()) else {
            return Ok(Attempt::After(missing));
        };
        if !missing.is_empty() {
            return Ok(Attempt::After(missing));
        }
        let (upper_from, upper_to) = (at(upper_from, from.name), at(upper_to, to.name));
        let rename = Move { from, to, old, new, upper_from, upper_to };
        let own = Own::during(cx);
        let own = own.cx();
        let replaced = rename.new.clone().filter(|_| !exchange);
        let _held = replaced.as_ref().and_then(|new| new.hold_unmarked());
        let before = self.before(&own, &rename);
        let renamed =
            if exchange { self.exchange(cx, &own, &rename) } else { self.replace(cx, &own, &rename) };
        if renamed.is_err() {
            self.undone(&own, &rename, before);
            return renamed.map(Attempt::Done);
        }
        if exchange {
            rename.exchanged(dirs);
        } else {
            if let Some(names) = &mut below {
                names.removed = true;
            }
            rename.replaced(dirs);
        }
        drop(below);
        if let Some(new) = &rename.new {
            self.settle_names(cx, new);
        }
        Ok(Attempt::Done(()))
    }

    /// The times of all that a rename changes.
    fn before(&self, own: &Cx<'_>, rename: &Move<'_>) -> Before {
        let inodes = [Some(&rename.old), rename.new.as_ref()];
        let ctime = |node: &Arc<Node>| Some((Arc::clone(node), self.attr(own, node).ok()?.ctime));
        Before {
            ctimes: inodes.into_iter().flatten().filter_map(ctime).collect(),
            dirs: [rename.from.dir, rename.to.dir].map(|dir| self.keep_times(own, dir).ok()),
        }
    }

    /// What was done on the way to a failure was undone: everything shows the times that it had.
    fn undone(&self, own: &Cx<'_>, rename: &Move<'_>, before: Before) {
        let dirs = [(rename.from, rename.upper_from), (rename.to, rename.upper_to)];
        for ((place, upper), kept) in dirs.into_iter().zip(before.dirs) {
            if let Some(kept) = kept {
                self.restore_times(own, place.dir, upper.dir, &kept);
            }
        }
        for (node, ctime) in before.ctimes {
            self.restore_ctime(own, &node, ctime);
        }
    }

    fn exchange(&self, cx: &Cx<'_>, own: &Cx<'_>, rename: &Move<'_>) -> Result<()> {
        let Some(new) = &rename.new else { return Err(Errno::NOENT) };
        self.link_up(own, rename.from, rename.upper_from, &rename.old)?;
        self.link_up(own, rename.to, rename.upper_to, new)?;
        self.mark_moved(own, &rename.old, rename.to.dir)?;
        self.mark_moved(own, new, rename.from.dir)?;
        self.layers.upper.fs.rename(cx, rename.upper_from, rename.upper_to, Rename::Exchange)
    }

    /// Gives an inode that only the index has in the upper the name that it has in a lower.
    pub(crate) fn link_up(
        &self,
        own: &Cx<'_>,
        place: NodeAt<'_>,
        upper: RealAt<'_>,
        node: &Arc<Node>,
    ) -> Result<()> {
        let Some(copy) = node.upper().filter(|_| node.is_indexed()) else { return Ok(()) };
        if !matches!(self.in_upper(own, place.dir, place.name)?, InUpper::Nothing) {
            return Ok(());
        }
        self.touch(own, place.dir, place.name)?;
        self.layers.upper.fs.link(own, upper, copy)?;
        self.lost_lower_name(own, node);
        Ok(())
    }

    /// Has a directory show the same wherever it is: what is below it by a redirection, or nothing.
    fn mark_moved(&self, own: &Cx<'_>, node: &Arc<Node>, to: &Node) -> Result<()> {
        let Ok(directory) = node.directory() else { return Ok(()) };
        let upper = node.upper().ok_or(Errno::IO)?;
        let (marks, fs) = (self.layers.marks, &self.layers.upper.fs);
        if node.lowers.is_empty() {
            if !to.lowers.is_empty() {
                marks.set_opaque(own, fs, upper)?;
                self.to_medium(own, upper)?;
            }
            return Ok(());
        }
        let mut redirect = directory.redirect.lock();
        if redirect.as_ref().is_some_and(|path| path.starts_with(b"/")) {
            return Ok(());
        }
        // As on Linux, where `redirect_max` is less: whoever moves it is to copy it.
        let path = path_below(node, redirect.as_deref(), LONGEST).ok_or(Errno::XDEV)?;
        marks.set_redirect(own, fs, upper, &path).map_err(|errno| not_redirected(errno, &path))?;
        *redirect = Some(path.into());
        self.to_medium(own, upper)
    }

    /// Moves the old name to the new one.
    fn replace(&self, cx: &Cx<'_>, own: &Cx<'_>, rename: &Move<'_>) -> Result<()> {
        let Move { from, to, old, new, upper_from, upper_to } = rename;
        let at_target = self.in_upper(own, to.dir, to.name)?;
        let shows = self.shows_through(own, from.dir, from.name)?;
        self.link_up(own, *from, *upper_from, old)?;
        self.mark_moved(own, old, to.dir)?;
        // A file that shows through at the new name loses that one.
        let hidden = new.as_ref().filter(|_| matches!(at_target, InUpper::Nothing));
        if hidden.is_some() {
            self.touch(own, to.dir, to.name)?;
        }
        match (shows, at_target) {
            (false, at_target) => self.move_away(cx, own, rename, &at_target),
            // The whiteout is exchanged for what it is to hide.
            (true, InUpper::Whiteout) => {
                self.layers.upper.fs.rename(cx, *upper_from, *upper_to, Rename::Exchange)
            }
            (true, at_target) if old.kind().is_dir() => self.move_directory(cx, own, rename, &at_target),
            (true, InUpper::Nothing) if new.is_none() => {
                self.move_directory(cx, own, rename, &InUpper::Nothing)
            }
            (true, at_target) => self.move_over(cx, own, rename, &at_target),
        }?;
        if let Some(hidden) = hidden {
            self.lost_lower_name(own, hidden);
        }
        if let Some(new) = new
            && new.upper().is_none()
        {
            new.state.lock().gone = Some(cx.now());
        }
        Ok(())
    }

    /// Moves what hides nothing.
    fn move_away(&self, cx: &Cx<'_>, own: &Cx<'_>, rename: &Move<'_>, target: &InUpper) -> Result<()> {
        let Move { old, upper_from: from, upper_to: to, .. } = rename;
        let fs = &self.layers.upper.fs;
        match target {
            InUpper::Whiteout if old.kind().is_dir() => {
                fs.rename(cx, *from, *to, Rename::Exchange)?;
                // Nothing is hidden by it.
                let _ = fs.remove(own, *from, Remove::File);
                Ok(())
            }
            InUpper::There(_) if old.kind().is_dir() => match fs.rename(cx, *from, *to, Rename::Replace) {
                // Only whiteouts are in it.
                Err(Errno::NOTEMPTY) => {
                    fs.rename(cx, *from, *to, Rename::Exchange)?;
                    let away = self.layers.temporary(own);
                    away.take(*from).inspect_err(|_| {
                        let _ = fs.rename(own, *from, *to, Rename::Exchange);
                    })
                }
                renamed => renamed,
            },
            _ => fs.rename(cx, *from, *to, Rename::Replace),
        }
    }

    /// Moves something, and leaves a whiteout: it is put where the new name is to be, and both are exchanged.
    fn move_directory(&self, cx: &Cx<'_>, own: &Cx<'_>, rename: &Move<'_>, target: &InUpper) -> Result<()> {
        let Move { upper_from: from, upper_to: to, .. } = rename;
        let fs = &self.layers.upper.fs;
        let whiteout = self.layers.whiteout(own)?;
        if let InUpper::There(replaced) = target {
            // For a moment it stands where what moves away showed through.
            self.layers.marks.set_opaque(own, fs, replaced)?;
            self.to_medium(own, replaced)?;
            fs.rename(cx, *from, *to, Rename::Exchange)?;
            return whiteout.exchange(*from).inspect_err(|_| {
                let _ = fs.rename(own, *from, *to, Rename::Exchange);
            });
        }
        whiteout.put(*to)?;
        fs.rename(cx, *from, *to, Rename::Exchange).inspect_err(|_| {
            let _ = fs.remove(own, *to, Remove::File);
        })
    }

    /// Moves a file over another one, and leaves a whiteout: for a moment it has both names, so that the new one is
    /// there at every moment.
    fn move_over(&self, cx: &Cx<'_>, own: &Cx<'_>, rename: &Move<'_>, target: &InUpper) -> Result<()> {
        let Move { old, upper_from: from, upper_to: to, .. } = rename;
        let fs = &self.layers.upper.fs;
        let copy = old.upper().ok_or(Errno::IO)?;
        let whiteout = self.layers.whiteout(own)?;
        let (second, ()) = self.layers.prepare(own, |at| fs.link(cx, at, copy))?;
        if let InUpper::Nothing = target {
            second.put(*to)?;
            return whiteout.put(*from).inspect_err(|_| {
                let _ = fs.remove(own, *to, Remove::File);
            });
        }
        second.exchange(*to)?;
        whiteout.put(*from).inspect_err(|_| {
            let _ = second.exchange(*to);
        })
    }
}

/// The path by which a directory's part below is reached from the lowers' roots, if `redirect` is its own redirection.
/// Nothing: it has more than `most` bytes.
pub(crate) fn path_below(node: &Arc<Node>, redirect: Option<&[u8]>, most: usize) -> Option<Vec<u8>> {
    let mut parts: Vec<Box<[u8]>> = Vec::new();
    let mut above = step_below(node, redirect, &mut parts);
    let mut bytes = 0;
    while let Some(here) = above {
        bytes += parts.last().map_or(0, |part| part.len() + 1);
        if bytes > most {
            return None;
        }
        let Ok(directory) = here.directory() else { break };
        // Locked: whoever renames it gives it a redirection before another name.
        let redirect = directory.redirect.lock();
        above = step_below(&here, redirect.as_deref(), &mut parts);
    }
    let mut path = Vec::with_capacity(bytes);
    for part in parts.iter().rev() {
        if !part.starts_with(b"/") {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    Some(path)
}

/// Takes one directory's part of the path; answers the directory whose part comes before, if any does.
fn step_below(node: &Node, redirect: Option<&[u8]>, parts: &mut Vec<Box<[u8]>>) -> Option<Arc<Node>> {
    let place = node.place.read();
    let parent = place.parent.clone()?;
    let part = redirect.unwrap_or(&place.name);
    parts.push(part.into());
    (!part.starts_with(b"/")).then_some(parent)
}

impl Move<'_> {
    /// A node has a new place.
    fn arrived(node: &Node, at: NodeAt<'_>) {
        node.changed();
        let place = Place { parent: Some(Arc::clone(at.dir)), name: at.name.as_bytes().into() };
        let before = core::mem::replace(&mut *node.place.write(), place);
        drop(before);
    }

    fn replaced(&self, dirs: &mut Dirs<'_>) {
        let is_dir = self.old.kind().is_dir();
        dirs.from.lost(self.from.name, is_dir);
        dirs.to().lost_subdir(is_dir && self.new.is_some());
        dirs.to().added(self.to.name, &self.old);
        Move::arrived(&self.old, self.to);
        self.dirs_changed();
    }

    fn exchanged(&self, dirs: &mut Dirs<'_>) {
        let Some(new) = &self.new else { return };
        dirs.from.lost_subdir(self.old.kind().is_dir());
        dirs.to().lost_subdir(new.kind().is_dir());
        dirs.from.added(self.from.name, new);
        dirs.to().added(self.to.name, &self.old);
        Move::arrived(&self.old, self.to);
        Move::arrived(new, self.from);
        self.dirs_changed();
    }

    fn dirs_changed(&self) {
        self.from.dir.changed();
        self.to.dir.changed();
        if let Some(new) = &self.new {
            new.changed();
        }
    }
}
