//! What the upper has, for those who compare it with what was there before: names one by one, at the cost of what was
//! changed and not of the tree.

use core::fmt;
use core::iter::FusedIterator;
use std::sync::Arc;

use vnode_core::fs::{Filesystem, Inode};
use vnode_core::{Cx, Errno, FilesystemRef, Name, Result};

use crate::layers::{Layers, Own, Piece, UPPER};
use crate::lookup::Way;
use crate::marks::{Origin, Whose};
use crate::meta::{self, Touched};
use crate::node::Node;
use crate::overlay::{Overlay, Shared};
use crate::work::names_in;

/// A name under which the upper has something, or one of before ([`Builder::frozen`](crate::Builder::frozen)): what was there
/// is what the other lowers have.
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
    /// Of a directory: where what shows through it is in the lowers, if not under its name in the directory where what is
    /// around it is: it was renamed.
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
    /// Which lower, counted from 1, the topmost; those that were uppers don't count.
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
    /// Which lower, counted from 1, the topmost; those that were uppers don't count.
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
        let start = Level { dir: self.root(), path: Vec::new(), was_at: Some(Vec::new()), names: None };
        UpperNames { shared: self.shared(), own: Own::during(cx), levels: vec![start] }
    }

    /// What the lowers had under each name when it was first touched, in this overlay or one that had an upper of before as
    /// its upper, in the order of time. Those that were uppers count as no lowers, nor do the layers' numbers count them, and
    /// paths are those of the other lowers. What of it has several names is told as it was before the first of them was
    /// touched.
    ///
    /// # Errors
    /// Those of [`touched`](crate::touched).
    pub fn touched(&self, cx: &Cx<'_>) -> Result<Vec<Touched>> {
        let (layers, own) = (&self.shared().layers, Own::during(cx));
        let mut all = Vec::new();
        for layer in (UPPER..=layers.frozen).rev() {
            for touched in meta::touched(&own.cx(), layers.fs(layer))? {
                let seen_from_here = touched.layer.checked_add(layer);
                if let Some(layer) = seen_from_here.and_then(|layer| layers.number_below(layer)) {
                    all.push(Touched { layer, ..touched });
                }
            }
        }
        Ok(meta::that_count(all))
    }

    /// Adds to what [`touched`](Self::touched) tells, as if it were touched now.
    ///
    /// # Errors
    /// Those of the upper.
    pub fn note_touched(&self, cx: &Cx<'_>, records: &[Touched]) -> Result<()> {
        let (layers, own) = (&self.shared().layers, Own::during(cx));
        let (upper, own) = (&layers.upper, own.cx());
        for touched in records {
            upper.meta.touch(&own, &upper.fs, &layers.seen_from_upper(touched)?)?;
        }
        upper.meta.to_medium(&own, &upper.fs)
    }

    /// Has [`touched`](Self::touched) tell what another overlay of the same lowers told, and nothing else: for who brought the
    /// changes of that one here. The overlay is not to be used any more after it but made anew.
    ///
    /// # Errors
    /// Those of the upper; what was told is told still then.
    pub fn replace_touched(&self, cx: &Cx<'_>, records: &[Touched]) -> Result<()> {
        let (layers, own) = (&self.shared().layers, Own::during(cx));
        let records = records.iter().map(|touched| layers.seen_from_upper(touched));
        let records = records.collect::<Result<Vec<_>>>()?;
        let upper = &layers.upper;
        meta::replace(&own.cx(), &upper.fs, &upper.work, layers.marks, &records)
    }

    /// What an inode is in the lowers, or was copied from: of a directory the topmost of what shows through.
    ///
    /// # Errors
    /// Those of looking at it.
    pub fn origin(&self, cx: &Cx<'_>, node: &Node) -> Result<Option<Identity>> {
        let (shared, own) = (self.shared(), Own::during(cx));
        let own = own.cx();
        if !node.kind().is_dir() {
            return shared.copied_from(&own, node);
        }
        let shows = shared.shows_of_base(node);
        shows.and_then(|piece| shared.original(piece)).map(|was| was.identity(&own)).transpose()
    }

    /// Where what showed through a directory that was renamed stood, if nothing is there any more: somebody removed it below.
    /// A name alone is one beside the directory's own.
    ///
    /// # Errors
    /// Those of the upper.
    pub fn lost_redirect(&self, cx: &Cx<'_>, dir: &Node) -> Result<Option<Arc<[u8]>>> {
        let (layers, own) = (&self.shared().layers, Own::during(cx));
        match dir.upper().filter(|_| dir.below().is_none()) {
            Some(upper) => layers.marks.redirect(&own.cx(), Whose::Upper, &layers.upper.fs, upper),
            None => Ok(None),
        }
    }

    /// Whether there is a copy of what a lower has under several names, which all show it. The inode is one of an overlay
    /// over the same lowers without any that was an upper.
    ///
    /// # Errors
    /// Those of looking at it.
    pub fn has_shared_copy(&self, cx: &Cx<'_>, node: &Node) -> Result<bool> {
        let (layers, own) = (&self.shared().layers, Own::during(cx));
        let Some(below) = node.below() else { return Ok(false) };
        let Some(layer) = below.layer.checked_add(layers.frozen) else { return Ok(false) };
        let piece = Piece::plain(layer, Arc::clone(&below.inode));
        let attr = layers.fs(layer).getattr(&own.cx(), &piece.inode)?;
        Ok(layers.newest(&own.cx(), &piece, &attr)?.layer != layer)
    }
}

impl Layers {
    /// A record with the layer counted from the upper.
    fn seen_from_upper(&self, touched: &Touched) -> Result<Touched> {
        let layer = touched.layer.checked_add(self.frozen).ok_or(Errno::INVAL)?;
        Ok(Touched { layer, ..touched.clone() })
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
    /// Where what shows through it is in the lowers.
    was_at: Option<Vec<u8>>,
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
                unasked => match self.shared.names_changed(&cx, &level.dir) {
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
            match self.shared.tell(&cx, level, &name) {
                Ok(Some((told, below))) => {
                    self.levels.extend(below);
                    return Some(Ok(told));
                }
                Ok(None) => {}
                Err(errno) => return Some(Err(errno)),
            }
        }
    }
}

impl FusedIterator for UpperNames<'_> {}

impl Shared {
    /// The names that a directory of the upper has, or of one of before, whiteouts too, the first of them last.
    fn names_changed(&self, own: &Cx<'_>, dir: &Node) -> Result<Vec<Box<[u8]>>> {
        let mut names = match dir.upper() {
            Some(upper) => names_in(own, &self.layers.upper.fs, upper)?,
            None => Vec::new(),
        };
        for piece in dir.lowers.iter().filter(|piece| self.layers.is_change(piece.layer)) {
            names.extend(names_in(own, self.layers.fs(piece.layer), &piece.inode)?);
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        names.dedup();
        Ok(names)
    }

    /// What there is to tell of a name, and of a directory what is below; nothing of a whiteout that hides nothing.
    fn tell(&self, own: &Cx<'_>, level: &Level, name: &[u8]) -> Result<Option<(UpperName, Option<Level>)>> {
        let (dir, path) = (&level.dir, [&level.path[..], b"/", name].concat());
        let name = Name::new(name)?;
        let names = dir.directory()?.names.read();
        let was = self.in_base(own, dir, name)?.into_iter().next();
        let node = match self.find(own, dir, &names, name) {
            Ok(node) => Some(node),
            Err(Errno::NOENT) if was.is_some() => None,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        drop(names);
        let was = was.and_then(|piece| self.original(&piece));
        let mut told = UpperName { path, node, was, renamed_from: None, copied_from: None, is_merged: false };
        let Some(node) = told.node.clone() else { return Ok(Some((told, None))) };
        let Ok(directory) = node.directory() else {
            told.copied_from = self.copied_from(own, &node)?;
            return Ok(Some((told, None)));
        };
        told.is_merged = self.shows_of_base(&node).is_some();
        let mut was_at = None;
        if told.is_merged {
            let redirect = directory.redirect.lock().clone();
            let below = |name: &[u8]| level.was_at.as_ref().map(|at| [&at[..], b"/", name].concat());
            was_at = match self.way_to_base(own, dir, name, redirect.as_deref())? {
                Some(Way::Name(name)) => below(&name),
                Some(Way::Path(path)) => Some(path.into()),
                None => None,
            };
            let natural = below(name.as_bytes());
            told.renamed_from = was_at.clone().filter(|at| Some(at) != natural.as_ref());
        }
        let below = Level { dir: node, path: told.path.clone(), was_at, names: None };
        Ok(Some((told, Some(below))))
    }

    /// The topmost of what shows through a directory, but for what was changed.
    fn shows_of_base<'n>(&self, dir: &'n Node) -> Option<&'n Piece> {
        dir.lowers.iter().find(|piece| !self.layers.is_change(piece.layer))
    }

    /// What an inode was copied from or is, as far as that is told; nothing if no lower had it that never was an upper.
    fn copied_from(&self, own: &Cx<'_>, node: &Node) -> Result<Option<Identity>> {
        let origin = self.origin_of(own, node)?;
        Ok(origin.and_then(|Origin { layer, dev, ino, .. }| {
            Some(Identity { layer: self.layers.number_below(layer)?, dev, ino })
        }))
    }

    fn original(&self, piece: &Piece) -> Option<Original> {
        Some(Original {
            filesystem: self.layers.fs(piece.layer).clone(),
            inode: Arc::clone(&piece.inode),
            layer: self.layers.number_below(piece.layer)?,
        })
    }
}
