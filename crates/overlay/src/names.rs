//! Making and removing names.

use std::sync::Arc;

use vnode_core::fs::{Access, At, File, Filesystem, Inode, NewInode, NewKind, Remove};
use vnode_core::{Cx, Errno, Name, Result};

use crate::layers::{Own, Real, RealAt, at};
use crate::lookup::InUpper;
use crate::node::{Names, Node};
use crate::overlay::Shared;
use crate::work::WHITEOUT;

/// A directory of an overlay and a name in it.
pub(crate) type NodeAt<'a> = At<'a, Node>;

/// What came of an attempt that is made with directories locked.
pub(crate) enum Attempt<T> {
    Done(T),
    /// It would succeed, once these are copied up: for that no directory is locked.
    After(Vec<Arc<Node>>),
}

/// A new inode, and its content if that was to be opened.
pub(crate) struct Made {
    pub(crate) node: Arc<Node>,
    pub(crate) file: Option<Arc<dyn File>>,
}

impl Shared {
    /// Makes attempts until all is copied up that must be.
    pub(crate) fn attempt<T>(
        &self,
        cx: &Cx<'_>,
        mut attempt: impl FnMut() -> Result<Attempt<T>>,
    ) -> Result<T> {
        loop {
            match attempt()? {
                Attempt::Done(done) => return Ok(done),
                Attempt::After(nodes) => {
                    for node in nodes {
                        self.copy_up(cx, &node)?;
                    }
                }
            }
        }
    }

    /// Makes a name with a new inode, opened if `access` is given.
    pub(crate) fn create(
        &self,
        cx: &Cx<'_>,
        place: NodeAt<'_>,
        new: &NewInode<'_>,
        access: Option<Access>,
    ) -> Result<Made> {
        if matches!(new.kind, NewKind::CharDevice(0)) {
            // It would be a whiteout.
            return Err(Errno::PERM);
        }
        self.attempt(cx, || self.try_create(cx, place, new, access))
    }

    fn try_create(
        &self,
        cx: &Cx<'_>,
        place: NodeAt<'_>,
        new: &NewInode<'_>,
        access: Option<Access>,
    ) -> Result<Attempt<Made>> {
        let mut names = place.dir.directory()?.names.write();
        let whiteout = self.free_name(cx, place, &names)?;
        let Some(upper) = place.dir.upper() else { return Ok(Attempt::After(vec![Arc::clone(place.dir)])) };
        let to = at(upper, place.name);
        let own = Own::during(cx);
        let kept = self.keep_times(&own.cx(), place.dir)?;
        let (inode, file) = if whiteout {
            self.make_over_whiteout(cx, to, new, access)?
        } else {
            self.make(cx, to, new, access)?
        };
        let node = match self.node_of_upper(cx, place.dir, place.name, inode) {
            Ok(node) => node,
            Err(errno) => {
                // What was made is not handed out: it is as if it never was.
                let _ = self.unmake(&own.cx(), to, whiteout);
                self.restore_times(&own.cx(), place.dir, upper, &kept);
                return Err(errno);
            }
        };
        names.added(place.name, &node);
        place.dir.changed();
        Ok(Attempt::Done(Made { node, file }))
    }

    /// Checks that a name is free; tells whether the upper has a whiteout there.
    fn free_name(&self, cx: &Cx<'_>, place: NodeAt<'_>, names: &Names) -> Result<bool> {
        if names.removed {
            return Err(Errno::NOENT);
        }
        match self.in_upper(cx, place.dir, place.name)? {
            InUpper::There(_) => Err(Errno::EXIST),
            InUpper::Whiteout => Ok(true),
            InUpper::Nothing if self.shows_through(cx, place.dir, place.name)? => Err(Errno::EXIST),
            InUpper::Nothing => Ok(false),
        }
    }

    /// Takes away what was made.
    fn unmake(&self, own: &Cx<'_>, to: RealAt<'_>, whiteout: bool) -> Result<()> {
        if whiteout { self.layers.whiteout(own)?.exchange(to) } else { self.layers.temporary(own).take(to) }
    }

    fn make(
        &self,
        cx: &Cx<'_>,
        to: RealAt<'_>,
        new: &NewInode<'_>,
        access: Option<Access>,
    ) -> Result<(Real, Option<Arc<dyn File>>)> {
        let fs = &self.layers.upper.fs;
        match access {
            Some(access) => {
                let (inode, file) = fs.create_open(cx, to, *new, access)?;
                Ok((inode, Some(file)))
            }
            None => Ok((fs.create(cx, to, *new)?, None)),
        }
    }

    /// Makes an inode where a whiteout is: in the work directory first. What the whiteout hid stays hidden.
    fn make_over_whiteout(
        &self,
        cx: &Cx<'_>,
        to: RealAt<'_>,
        new: &NewInode<'_>,
        access: Option<Access>,
    ) -> Result<(Real, Option<Arc<dyn File>>)> {
        let own = Own::during(cx);
        let own = own.cx();
        let (temporary, made) = self.layers.prepare(&own, |at| self.make(cx, at, new, access))?;
        if new.kind.file_type().is_dir() {
            self.layers.marks.set_opaque(&own, &self.layers.upper.fs, &made.0)?;
            self.to_medium(&own, &made.0)?;
            temporary.exchange(to)?;
        } else {
            temporary.put(to)?;
        }
        Ok(made)
    }

    /// Makes another name for an inode.
    pub(crate) fn link(&self, cx: &Cx<'_>, place: NodeAt<'_>, target: &Arc<Node>) -> Result<()> {
        if target.kind().is_dir() {
            return Err(Errno::PERM);
        }
        self.attempt(cx, || self.try_link(cx, place, target))
    }

    fn try_link(&self, cx: &Cx<'_>, place: NodeAt<'_>, target: &Arc<Node>) -> Result<Attempt<()>> {
        let mut names = place.dir.directory()?.names.write();
        let whiteout = self.free_name(cx, place, &names)?;
        if self.attr(cx, target)?.nlink == 0 {
            return Err(Errno::NOENT);
        }
        let (Some(upper), Some(copy)) = (place.dir.upper(), target.upper()) else {
            return Ok(Attempt::After(vec![Arc::clone(place.dir), Arc::clone(target)]));
        };
        let to = at(upper, place.name);
        let fs = &self.layers.upper.fs;
        if whiteout {
            let own = Own::during(cx);
            let own = own.cx();
            self.layers.prepare(&own, |at| fs.link(cx, at, copy))?.0.put(to)?;
        } else {
            fs.link(cx, to, copy)?;
        }
        names.added(place.name, target);
        target.changed();
        place.dir.changed();
        Ok(Attempt::Done(()))
    }

    /// Removes a name.
    pub(crate) fn remove(&self, cx: &Cx<'_>, place: NodeAt<'_>, what: Remove) -> Result<()> {
        self.attempt(cx, || self.try_remove(cx, place, what))
    }

    fn try_remove(&self, cx: &Cx<'_>, place: NodeAt<'_>, what: Remove) -> Result<Attempt<()>> {
        let mut names = place.dir.directory()?.names.write();
        let victim = self.find(cx, place.dir, &names, place.name)?;
        let is_dir = victim.kind().is_dir();
        match (what, is_dir) {
            (Remove::File, true) => return Err(Errno::ISDIR),
            (Remove::Directory, false) => return Err(Errno::NOTDIR),
            _ => {}
        }
        let below = victim.directory().ok().map(|directory| directory.names.write());
        if below.is_some() && !self.is_empty(cx, &victim)? {
            return Err(Errno::NOTEMPTY);
        }
        let shows = self.shows_through(cx, place.dir, place.name)?;
        if victim.is_indexed() && victim.upper().is_none() {
            return Ok(Attempt::After(vec![victim.clone()]));
        }
        let _held = victim.hold_unmarked();
        match place.dir.upper() {
            Some(upper) => self.take_name(cx, at(upper, place.name), place, &victim, shows)?,
            None => return Ok(Attempt::After(vec![Arc::clone(place.dir)])),
        }
        if let Some(mut below) = below {
            below.removed = true;
        }
        names.lost(place.name, is_dir);
        place.dir.changed();
        victim.changed();
        self.settle_names(cx, &victim);
        drop(names);
        Ok(Attempt::Done(()))
    }

    /// Has a name's inode be seen there no more; it is in the upper, or in a lower under a directory of the upper.
    fn take_name(
        &self,
        cx: &Cx<'_>,
        from: RealAt<'_>,
        place: NodeAt<'_>,
        victim: &Node,
        shows: bool,
    ) -> Result<()> {
        let own = Own::during(cx);
        let own = own.cx();
        let fs = &self.layers.upper.fs;
        let is_dir = victim.kind().is_dir();
        match self.in_upper(cx, place.dir, place.name)? {
            InUpper::There(_) if shows && is_dir => self.layers.whiteout(&own)?.exchange(from),
            InUpper::There(_) if shows => self.layers.whiteout(&own)?.put(from),
            InUpper::There(_) if is_dir => match fs.remove(cx, from, Remove::Directory) {
                // Whiteouts of what is hidden now.
                Err(Errno::NOTEMPTY) => {
                    let away = self.layers.temporary(&own);
                    away.take(from)
                }
                removed => removed,
            },
            InUpper::There(_) => fs.remove(cx, from, Remove::File),
            InUpper::Nothing => {
                self.touch(&own, place.dir, place.name)?;
                self.hide(cx, &own, from, victim)
            }
            InUpper::Whiteout => Err(Errno::NOENT),
        }
    }

    /// Hides what shows through under a name.
    fn hide(&self, cx: &Cx<'_>, own: &Cx<'_>, from: RealAt<'_>, victim: &Node) -> Result<()> {
        self.layers.upper.fs.create(cx, from, WHITEOUT)?;
        self.lost_lower_name(own, victim);
        if victim.upper().is_none() {
            victim.state.lock().gone = Some(cx.now());
        }
        Ok(())
    }
}

impl Names {
    /// A name was added.
    pub(crate) fn added(&mut self, name: Name<'_>, node: &Node) {
        self.table.known.forget(self.dir, name);
        if let Some(count) = &mut self.subdirs {
            *count = count.saturating_add(u32::from(node.kind().is_dir()));
        }
        if let Some(index) = self.index.upgrade() {
            index.set(name, node);
        }
    }

    /// A name is gone.
    pub(crate) fn lost(&mut self, name: Name<'_>, is_dir: bool) {
        self.table.known.forget(self.dir, name);
        self.lost_subdir(is_dir);
        if let Some(index) = self.index.upgrade() {
            index.remove(name);
        }
    }

    /// A directory is gone from here, if it is one.
    pub(crate) fn lost_subdir(&mut self, is_dir: bool) {
        if let Some(count) = &mut self.subdirs {
            *count = count.saturating_sub(u32::from(is_dir));
        }
    }
}
