//! What the upper has, for those who compare it with what was there before: names one by one, at the cost of what was
//! changed and not of the tree.

use core::fmt;
use core::iter::FusedIterator;
use std::sync::Arc;

use vnode_core::fs::{Filesystem, Inode};
use vnode_core::{Cx, Errno, FilesystemRef, Name, PATH_MAX, Result};

use crate::layers::{Own, Piece};
use crate::lookup::InUpper;
use crate::marks::Origin;
use crate::node::Node;
use crate::overlay::{Overlay, Shared};
use crate::rename::path_below;
use crate::work::names_in;

/// A name under which the upper has something.
///
/// A directory of which something below was changed is one, whether it was changed itself or not. What is below a
/// directory that was renamed is not, unless it was changed. Nor are other names of a lower's inode that has several: the
/// upper has those by which it was changed, and the rest show the change too.
#[derive(Debug)]
pub struct UpperName {
    /// From the overlay's root, starting with `/`; that of the root is empty.
    pub path: Vec<u8>,
    /// What there is now; nothing: what was there was removed.
    pub node: Option<Arc<Node>>,
    /// What was there: what would show through if the upper had nothing under the name. Below a directory that was
    /// renamed that is what was below it where it came from.
    pub was: Option<Original>,
    /// Of a directory: where what shows through it is in the lowers, if not under its name: it was renamed.
    pub renamed_from: Option<Vec<u8>>,
    /// Of others: what it was copied from, wherever that is.
    pub copied_from: Option<Identity>,
    /// Of a directory: whether something shows through it.
    pub is_merged: bool,
}

/// What one of the lowers has.
#[derive(Clone)]
pub struct Original {
    /// The lower.
    pub filesystem: FilesystemRef,
    /// What it has.
    pub inode: Arc<dyn Inode>,
    /// Which lower, counted from 1, the topmost.
    pub layer: u8,
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, layer) = (self.inode.kind(), self.layer);
        f.debug_struct("Original").field("kind", &kind).field("layer", &layer).finish_non_exhaustive()
    }
}

/// By what an inode of a lower is told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Which lower, counted from 1, the topmost.
    pub layer: u8,
    /// Its device (`st_dev`), 0 if that is its filesystem's own.
    pub dev: u64,
    /// Its number (`st_ino`).
    pub ino: u64,
}

impl Original {
    /// Its identity.
    ///
    /// # Errors
    /// Those of looking at it.
    pub fn identity(&self, cx: &Cx<'_>) -> Result<Identity> {
        let attr = self.filesystem.getattr(cx, &self.inode)?;
        Ok(Identity { layer: self.layer, dev: attr.dev, ino: attr.ino })
    }
}

impl Overlay {
    /// The names under which the upper has something, a directory before what is in it and names in their order. Nobody may
    /// change the overlay meanwhile: what is told then is neither what was nor what is.
    ///
    /// ```
    /// use vnode_core::fs::{At, Filesystem, NewInode, NewKind};
    /// use vnode_core::{Clock, Credentials, Cx, FilesystemRef, Mode, Name, Timespec};
    /// use vnode_memory::Memory;
    /// use vnode_overlay::Overlay;
    ///
    /// # struct Epoch;
    /// # impl Clock for Epoch { fn now(&self) -> Timespec { Timespec::EPOCH } }
    /// let who = Credentials::root();
    /// let cx = Cx::new(&who, &Epoch);
    /// let memory = || FilesystemRef::new::<Memory>(Memory::new());
    /// let overlay = Overlay::builder().lower(memory()).build(&cx, memory())?;
    /// let at = At { dir: &overlay.root(), name: Name::new(b"made")? };
    /// overlay.create(&cx, at, NewInode { kind: NewKind::Directory, mode: Mode::RWXU, uid: 0, gid: 0 })?;
    /// let names: Vec<_> = overlay.upper_names(&cx).collect::<Result<_, _>>()?;
    /// assert_eq!((names.len(), names[0].path.as_slice()), (1, &b"/made"[..]));
    /// assert!(names[0].node.is_some() && names[0].was.is_none());
    /// # Ok::<(), vnode_core::Errno>(())
    /// ```
    pub fn upper_names<'a>(&'a self, cx: &Cx<'_>) -> UpperNames<'a> {
        let start = Level { dir: self.root(), path: Vec::new(), names: None };
        UpperNames { shared: self.shared(), own: Own::during(cx), levels: vec![start] }
    }

    /// What an inode is in the lowers, or was copied from: of a directory the topmost of what shows through.
    ///
    /// # Errors
    /// Those of looking at it.
    pub fn origin(&self, cx: &Cx<'_>, node: &Node) -> Result<Option<Identity>> {
        let (shared, own) = (self.shared(), Own::during(cx));
        match node.origin() {
            Some(piece) => shared.original(piece).identity(&own.cx()).map(Some),
            None => shared.copied_from(&own.cx(), node),
        }
    }
}

/// See [`Overlay::upper_names`]. After an error it goes on behind what failed.
pub struct UpperNames<'a> {
    shared: &'a Shared,
    own: Own,
    levels: Vec<Level>,
}

/// A directory on the way.
struct Level {
    dir: Arc<Node>,
    path: Vec<u8>,
    /// The names left, the first of them last; nothing before they were asked for.
    names: Option<Vec<Box<[u8]>>>,
}

impl fmt::Debug for UpperNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpperNames").field("depth", &self.levels.len()).finish_non_exhaustive()
    }
}

impl Iterator for UpperNames<'_> {
    type Item = Result<UpperName>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let cx = self.own.cx();
            let level = self.levels.last_mut()?;
            let names = match &mut level.names {
                Some(names) => names,
                unasked => match self.shared.names_of_upper(&cx, &level.dir) {
                    Ok(names) => unasked.insert(names),
                    Err(errno) => {
                        self.levels.pop();
                        return Some(Err(errno));
                    }
                },
            };
            let Some(name) = names.pop() else {
                self.levels.pop();
                continue;
            };
            let path = [&level.path[..], b"/", &name].concat();
            let told = self.shared.tell(&cx, &level.dir, &name, path);
            let told = match told {
                Ok(Some(told)) => told,
                Ok(None) => continue,
                Err(errno) => return Some(Err(errno)),
            };
            if let Some(node) = told.node.as_ref().filter(|node| node.kind().is_dir()) {
                let level = Level { dir: Arc::clone(node), path: told.path.clone(), names: None };
                self.levels.push(level);
            }
            return Some(Ok(told));
        }
    }
}

impl FusedIterator for UpperNames<'_> {}

impl Shared {
    /// The names that a directory of the upper has, whiteouts too, the first of them last.
    fn names_of_upper(&self, own: &Cx<'_>, dir: &Node) -> Result<Vec<Box<[u8]>>> {
        let Some(upper) = dir.upper() else { return Ok(Vec::new()) };
        let mut names = names_in(own, &self.layers.upper.fs, upper)?;
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(names)
    }

    /// What there is to tell of a name of the upper; nothing of a whiteout that hides nothing.
    fn tell(&self, own: &Cx<'_>, dir: &Arc<Node>, name: &[u8], path: Vec<u8>) -> Result<Option<UpperName>> {
        let name = Name::new(name)?;
        let names = dir.directory()?.names.read();
        let was = self.below(own, dir, name)?.into_iter().next();
        let is_there = match self.in_upper(own, dir, name)? {
            InUpper::There(_) => true,
            InUpper::Whiteout if was.is_some() => false,
            InUpper::Whiteout | InUpper::Nothing => return Ok(None),
        };
        let mut told = UpperName {
            path,
            node: None,
            was: was.map(|piece| self.original(&piece)),
            renamed_from: None,
            copied_from: None,
            is_merged: false,
        };
        if !is_there {
            return Ok(Some(told));
        }
        let node = self.find(own, dir, &names, name)?;
        drop(names);
        if let Ok(directory) = node.directory() {
            told.is_merged = !node.lowers.is_empty();
            let redirect = directory.redirect.lock();
            if told.is_merged && redirect.is_some() {
                let path = path_below(&node, redirect.as_deref(), PATH_MAX);
                told.renamed_from = Some(path.ok_or(Errno::NAMETOOLONG)?);
            }
        } else {
            told.copied_from = self.copied_from(own, &node)?;
        }
        told.node = Some(node);
        Ok(Some(told))
    }

    /// What an inode of the upper was copied from, as far as that is told.
    fn copied_from(&self, own: &Cx<'_>, node: &Node) -> Result<Option<Identity>> {
        let Some(upper) = node.upper() else { return Ok(None) };
        let origin = match self.layers.marks.origin(own, &self.layers.upper.fs, upper)?.origin {
            Some(origin) => Some(origin),
            None => self.unmarked.get(&self.layers.upper_attr(own, upper)?).map(|copied| copied.origin),
        };
        Ok(origin.map(|Origin { layer, dev, ino, .. }| Identity { layer, dev, ino }))
    }

    fn original(&self, piece: &Piece) -> Original {
        Original {
            filesystem: self.layers.fs(piece.layer).clone(),
            inode: Arc::clone(&piece.inode),
            layer: piece.layer,
        }
    }
}
