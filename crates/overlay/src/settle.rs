//! Going on after some of what the upper has was brought to the lower: the rest is told rightly then.

use std::collections::HashSet;
use std::sync::Arc;

use vnode_core::fs::{Filesystem, InodeId, Remove};
use vnode_core::{Cx, Errno, Name, PATH_MAX, Result, SetAttr, SetTime};

use crate::layers::{Layers, Own, Real, UPPER, at};
use crate::leave::with_leave;
use crate::marks::{Opaque, Whose};
use crate::meta::{self, Touched};
use crate::overlay::Overlay;
use crate::work::names_in;

/// What was brought to the lower of what an upper has.
#[derive(Clone, Copy, Debug)]
pub struct Brought<'a> {
    /// Paths of files, from the overlay's root: the lower has them as they are here, by all their names.
    pub files: &'a [Vec<u8>],
    /// Whether all directories that were renamed here are renamed in the lower.
    pub renamed: bool,
    /// What is to be noted of the lower from now on; nothing else is.
    pub touched: &'a [Touched],
}

/// A directory of the upper.
struct Level {
    dir: Real,
    /// The level that it is in; its own if that is the root.
    above: usize,
    /// What is below it in the lower now.
    below: Option<Real>,
    /// Nothing showed through it.
    is_pure: bool,
    is_opaque: bool,
    has_redirect: bool,
}

impl Overlay {
    /// Has the upper keep no more than what the one lower lacks: what was brought there shows through from now on. May be
    /// done again, from the start, if it was interrupted. The overlay is not to be used any more after it but made anew.
    ///
    /// # Errors
    /// `EINVAL`: there are several lowers. Those of the layers.
    pub fn settle(&self, cx: &Cx<'_>, brought: &Brought<'_>) -> Result<()> {
        let (layers, own) = (&self.shared().layers, Own::during(cx));
        if layers.lowers.len() != 1 {
            return Err(Errno::INVAL);
        }
        layers.settle(&own.cx(), brought)
    }
}

impl Layers {
    fn settle(&self, own: &Cx<'_>, brought: &Brought<'_>) -> Result<()> {
        let levels = self.levels(own, brought.renamed)?;
        // In this order: at no moment does a directory hide what it is to show, or show what it hid.
        for level in levels.iter().filter(|level| level.is_pure) {
            self.hide_the_rest(own, level)?;
        }
        for level in levels.iter().filter(|level| level.is_opaque && level.below.is_some()) {
            self.marks.clear_opaque(own, &self.upper.fs, &level.dir)?;
            self.sync(own, &level.dir)?;
        }
        for level in levels.iter().filter(|level| level.has_redirect && brought.renamed) {
            self.marks.clear_redirect(own, &self.upper.fs, &level.dir)?;
            self.sync(own, &level.dir)?;
        }
        self.drop_files(own, &levels, brought.files)?;
        for level in &levels {
            self.drop_whiteouts(own, level)?;
        }
        meta::replace(own, &self.upper.fs, &self.upper.work, self.marks, brought.touched)
    }

    /// All directories that the upper has, each before those in it.
    fn levels(&self, own: &Cx<'_>, renamed: bool) -> Result<Vec<Level>> {
        let fs = &self.upper.fs;
        let lower = self.lowers.first().ok_or(Errno::INVAL)?;
        let is_opaque = self.marks.opaque(own, Whose::Upper, fs, &self.upper.root)? == Opaque::Yes;
        let (dir, below) = (Arc::clone(&self.upper.root), Some(Arc::clone(&lower.root)));
        let root = Level { dir, above: 0, below, is_pure: is_opaque, is_opaque, has_redirect: false };
        let mut levels = vec![root];
        let mut next = 0;
        while let Some(level) = levels.get(next) {
            let (dir, here, is_pure) = (Arc::clone(&level.dir), level.below.clone(), level.is_pure);
            let above = next;
            next += 1;
            for name in with_leave(own, fs, &[&dir], || names_in(own, fs, &dir))? {
                let inode = fs.lookup(own, at(&dir, Name::new(&name)?))?;
                if !inode.kind().is_dir() {
                    continue;
                }
                let redirect = self.marks.redirect(own, Whose::Upper, fs, &inode)?;
                let is_opaque = self.marks.opaque(own, Whose::Upper, fs, &inode)? == Opaque::Yes;
                let is_pure = is_opaque || (is_pure && redirect.is_none());
                let below = match &redirect {
                    // What is there now is where it was.
                    Some(path) if !renamed && path.starts_with(b"/") => {
                        self.find_below(own, Some(&lower.root), path)?
                    }
                    Some(name) if !renamed => self.find_below(own, here.as_ref(), name)?,
                    _ => self.find_below(own, here.as_ref(), &name)?,
                };
                let has_redirect = redirect.is_some();
                levels.push(Level { dir: inode, above, below, is_pure, is_opaque, has_redirect });
            }
        }
        if !renamed {
            leave_renamed(&mut levels);
        }
        Ok(levels)
    }

    /// The directory of the lower that names lead to.
    fn find_below(&self, own: &Cx<'_>, from: Option<&Real>, path: &[u8]) -> Result<Option<Real>> {
        let lower = self.lowers.first().ok_or(Errno::INVAL)?;
        let Some(mut here) = from.cloned().filter(|_| path.len() <= PATH_MAX) else { return Ok(None) };
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            here = match lower.fs.lookup(own, at(&here, Name::new(name)?)) {
                Ok(inode) if inode.kind().is_dir() => inode,
                Ok(_) | Err(Errno::NOENT) => return Ok(None),
                Err(errno) => return Err(errno),
            };
        }
        Ok(Some(here))
    }

    /// Removes files that the lower has too, by all their names: those that are not told first, so that what is told finds
    /// them as long as one is left.
    fn drop_files(&self, own: &Cx<'_>, levels: &[Level], files: &[Vec<u8>]) -> Result<()> {
        let fs = &self.upper.fs;
        let mut told: Vec<(Real, Box<[u8]>, Real)> = Vec::new();
        for path in files {
            let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { continue };
            let (above, name) = path.split_at(slash);
            let name = name.get(1..).unwrap_or_default();
            let mut dir = Some(Arc::clone(&self.upper.root));
            for name in above.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
                dir = match dir {
                    Some(dir) => found(fs.lookup(own, at(&dir, Name::new(name)?)))?,
                    None => None,
                };
                dir = dir.filter(|dir| dir.kind().is_dir());
            }
            let Some(dir) = dir else { continue };
            let inode = found(fs.lookup(own, at(&dir, Name::new(name)?)))?;
            if let Some(inode) = inode.filter(|inode| !inode.kind().is_dir())
                && !self.is_device_whiteout(own, UPPER, &inode)?
            {
                told.push((dir, name.into(), inode));
            }
        }
        let dropped: HashSet<InodeId> = told.iter().map(|(.., inode)| inode.id()).collect();
        for (.., inode) in &told {
            self.leave_index(own, inode)?;
        }
        if dropped.is_empty() {
            return Ok(());
        }
        let places: HashSet<(InodeId, &[u8])> =
            told.iter().map(|(dir, name, _)| (dir.id(), &**name)).collect();
        for level in levels {
            for name in with_leave(own, fs, &[&level.dir], || names_in(own, fs, &level.dir))? {
                let inode = fs.lookup(own, at(&level.dir, Name::new(&name)?))?;
                if dropped.contains(&inode.id()) && !places.contains(&(level.dir.id(), &*name)) {
                    self.drop_name(own, &level.dir, &name)?;
                }
            }
        }
        told.iter().try_for_each(|(dir, name, _)| self.drop_name(own, dir, name))
    }

    /// What is found by the number of its origin is not any more.
    fn leave_index(&self, own: &Cx<'_>, copy: &Real) -> Result<()> {
        let fs = &self.upper.fs;
        let mark = self.marks.origin(own, Whose::Upper, fs, copy)?;
        let linux = match &mark.linux {
            Some(bytes) => self.upper.linux.name_of(own, fs, copy, bytes)?,
            None => None,
        };
        if let Some(name) = linux {
            let place = at(self.linux_index()?, Name::new(&name)?);
            return match fs.remove(own, place, Remove::File) {
                Err(Errno::NOENT) => Ok(()),
                removed => removed,
            };
        }
        let Some(origin) = mark.origin else { return Ok(()) };
        let name = origin.index_name();
        let place = at(&self.upper.index, Name::new(&name)?);
        match found(fs.lookup(own, place))? {
            Some(indexed) if indexed.id() == copy.id() => fs.remove(own, place, Remove::File),
            _ => Ok(()),
        }
    }

    /// Removes a name of the upper; its directory shows the times that it did.
    fn drop_name(&self, own: &Cx<'_>, dir: &Real, name: &[u8]) -> Result<()> {
        self.keeping_times(own, dir, || {
            let fs = &self.upper.fs;
            let place = at(dir, Name::new(name)?);
            match with_leave(own, fs, &[dir], || fs.remove(own, place, Remove::File)) {
                Err(Errno::NOENT) => Ok(()),
                removed => removed,
            }
        })
    }

    fn keeping_times(&self, own: &Cx<'_>, dir: &Real, change: impl FnOnce() -> Result<()>) -> Result<()> {
        let attr = self.upper.fs.getattr(own, dir)?;
        change()?;
        let mtime = Some(SetTime::To(attr.mtime));
        self.upper.fs.setattr(own, dir, &SetAttr { mtime, ..SetAttr::default() })
    }

    /// Hides what the lower has in a directory that showed nothing of it, and the upper hasn't.
    fn hide_the_rest(&self, own: &Cx<'_>, level: &Level) -> Result<()> {
        let (Some(below), Some(lower)) = (&level.below, self.lowers.first()) else { return Ok(()) };
        for name in names_in(own, &lower.fs, below)? {
            let place = at(&level.dir, Name::new(&name)?);
            if found(self.upper.fs.lookup(own, place))?.is_none() {
                self.keeping_times(own, &level.dir, || self.whiteout(own)?.put(place))?;
            }
        }
        self.sync(own, &level.dir)
    }

    fn sync(&self, own: &Cx<'_>, dir: &Real) -> Result<()> {
        with_leave(own, &self.upper.fs, &[dir], || self.upper.fs.sync(own, dir, false))
    }

    /// Removes whiteouts that hide nothing: they would hide what comes there.
    fn drop_whiteouts(&self, own: &Cx<'_>, level: &Level) -> Result<()> {
        let fs = &self.upper.fs;
        let lower = self.lowers.first().ok_or(Errno::INVAL)?;
        for name in with_leave(own, fs, &[&level.dir], || names_in(own, fs, &level.dir))? {
            let inode = fs.lookup(own, at(&level.dir, Name::new(&name)?))?;
            if inode.kind().is_dir() || !self.is_device_whiteout(own, UPPER, &inode)? {
                continue;
            }
            let hidden = match &level.below {
                Some(below) => found(lower.fs.lookup(own, at(below, Name::new(&name)?)))?,
                None => None,
            };
            if hidden.is_none() {
                self.drop_name(own, &level.dir, &name)?;
            }
        }
        self.sync(own, &level.dir)
    }
}

/// What is where a directory was that is somewhere else here has nothing to do with that.
fn leave_renamed(levels: &mut [Level]) {
    let renamed = levels.iter().filter(|level| level.has_redirect);
    let renamed: HashSet<InodeId> = renamed.filter_map(|level| Some(level.below.as_ref()?.id())).collect();
    for index in 1..levels.len() {
        let above = levels.get(index).and_then(|level| levels.get(level.above));
        let is_left = above.is_some_and(|above| above.below.is_none());
        if let Some(level) = levels.get_mut(index).filter(|level| !level.has_redirect)
            && (is_left || level.below.as_ref().is_some_and(|below| renamed.contains(&below.id())))
        {
            level.below = None;
        }
    }
}

fn found(looked_up: Result<Real>) -> Result<Option<Real>> {
    match looked_up {
        Ok(inode) => Ok(Some(inode)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
