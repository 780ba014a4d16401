//! Uppers of before that are lowers now: what tells where their copies are from, read by what each of them had below.
//!
//! A layer's marks count the layers from the one below it. The origin that a copy is marked with is never a copy itself: it is
//! in the layer where the inode was made.

use std::sync::Arc;

use vnode_core::fs::Filesystem;
use vnode_core::{Attr, Cx, Errno, FilesystemRef, Name, PATH_MAX, Result};

use crate::layers::{LayerNumber, Layers, Lower, Piece, Real, UPPER, at};
use crate::linux::LinuxIndex;
use crate::lookup::{Sought, Way};
use crate::marks::{Marks, Origin, Whose};
use crate::meta;
use crate::node::Node;
use crate::overlay::Shared;
use crate::rename::path_below;
use crate::work::is_incompatible;

/// What an upper of before has besides what it shows.
pub(crate) struct Frozen {
    /// Nothing: only Linux's overlayfs used it.
    pub(crate) index: Option<Real>,
    pub(crate) linux: LinuxIndex,
}

/// Where the copies are found that a layer has of what has several names further down.
pub(crate) struct Indexes<'a> {
    pub(crate) fs: &'a FilesystemRef,
    pub(crate) ours: Option<&'a Real>,
    pub(crate) linux: &'a LinuxIndex,
}

/// A directory in the root of an upper of before.
fn part(own: &Cx<'_>, fs: &FilesystemRef, name: &[u8]) -> Result<Option<Real>> {
    match fs.lookup(own, at(&fs.root(), Name::new(name)?)) {
        Ok(dir) if dir.kind().is_dir() => Ok(Some(dir)),
        Ok(_) => Err(Errno::NOTDIR),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

impl Lower {
    /// An upper of before.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`: it is none. `EINVAL`: Linux's overlayfs says that it may not have survived a crash. Others of
    /// the filesystem.
    pub(crate) fn frozen(own: &Cx<'_>, fs: FilesystemRef) -> Result<Self> {
        let root = part(own, &fs, b"upper")?.ok_or(Errno::NOENT)?;
        let linux = match part(own, &fs, b"work")? {
            Some(work) if is_incompatible(own, &fs, &work)? => return Err(Errno::INVAL),
            Some(work) => LinuxIndex::open(own, &fs, &work)?,
            None => LinuxIndex::default(),
        };
        let frozen = Frozen { index: part(own, &fs, b"index")?, linux };
        Ok(Lower { fs, root, frozen: Some(Arc::new(frozen)) })
    }

    /// The marks that an upper of before has.
    pub(crate) fn marks(&self, own: &Cx<'_>) -> Result<Option<Marks>> {
        match meta::marks(own, &self.fs)? {
            // Linux's overlayfs has no such file.
            None => Marks::seen(own, Whose::Frozen, &self.fs, &self.root),
            marks => Ok(marks),
        }
    }
}

impl Layers {
    /// How a layer's marks are read.
    pub(crate) fn whose(&self, layer: LayerNumber) -> Whose {
        match layer {
            UPPER => Whose::Upper,
            _ if self.is_change(layer) => Whose::Frozen,
            _ => Whose::Lower,
        }
    }

    /// The topmost of what shows through a directory that never was an upper's, else the lowest: it keeps its number.
    pub(crate) fn piece_of_number<'p>(&self, lowers: &'p [Piece]) -> Option<&'p Piece> {
        lowers.iter().find(|piece| !self.is_change(piece.layer)).or(lowers.last())
    }

    /// Where an inode of a lower is from: what is a copy was made in another one.
    pub(crate) fn origin(&self, own: &Cx<'_>, piece: &Piece, attr: &Attr) -> Result<Origin> {
        let from = if self.is_change(piece.layer) && !piece.inode.kind().is_dir() {
            self.origin_of_copy(own, piece.layer, &piece.inode)?
        } else {
            None
        };
        Ok(from.unwrap_or_else(|| Origin::of(piece.layer, attr)))
    }

    /// Where a copy is from that the upper has, or one of before.
    fn origin_of_copy(&self, own: &Cx<'_>, layer: LayerNumber, copy: &Real) -> Result<Option<Origin>> {
        let fs = self.fs(layer);
        let mark = self.marks.origin(own, self.whose(layer), fs, copy)?;
        Ok(mark.origin.and_then(|origin| origin.seen_from_above(layer)))
    }

    /// How many names a copy that an upper of before has is to have more than are counted there.
    pub(crate) fn more_names_of_frozen(
        &self,
        own: &Cx<'_>,
        piece: &Piece,
        attr: &Attr,
    ) -> Result<Option<i64>> {
        let (fs, copy) = (self.fs(piece.layer), &piece.inode);
        let mark = self.marks.origin(own, Whose::Frozen, fs, copy)?;
        let linux = match (&mark.linux, self.indexes(piece.layer)) {
            (Some(bytes), Some(indexes)) => indexes.linux.name_of(own, fs, copy, bytes)?,
            _ => None,
        };
        let more = match linux {
            Some(_) => Some(self.marks.more_names_of_linux(own, Whose::Frozen, fs, copy)?),
            None if mark.origin.is_some() => self.marks.more_names(own, Whose::Frozen, fs, copy)?,
            None => None,
        };
        Ok(more.or((attr.nlink > 1).then_some(0)))
    }

    /// What a layer has copied of an inode further down that has several names.
    fn copy_in(&self, own: &Cx<'_>, layer: LayerNumber, origin: Origin, of: &Real) -> Result<Option<Real>> {
        let Some(Indexes { fs, ours, linux }) = self.indexes(layer) else { return Ok(None) };
        let Some(said) = origin.seen_from(layer) else { return Ok(None) };
        let found = match ours {
            Some(index) => match fs.lookup(own, at(index, Name::new(&said.index_name())?)) {
                Ok(copy) => Some(copy),
                Err(Errno::NOENT) => None,
                Err(errno) => return Err(errno),
            },
            None => None,
        };
        let Some(copy) = found else { return linux.copy_of(own, fs, of) };
        // Numbers, of inodes and of devices, are given again.
        let mark = self.origin_of_copy(own, layer, &copy)?;
        let of_another = mark.is_some_and(|of| of != origin);
        Ok(if of_another || copy.kind() != of.kind() { None } else { Some(copy) })
    }

    /// What is to be seen of an inode of a lower that has several names: its copy in the topmost layer that has one.
    pub(crate) fn newest(&self, own: &Cx<'_>, piece: &Piece, attr: &Attr) -> Result<Piece> {
        let mut origin = self.origin(own, piece, attr)?;
        let mut newest = piece.clone();
        for layer in (UPPER..=self.frozen.min(piece.layer.saturating_sub(1))).rev() {
            let Some(copy) = self.copy_in(own, layer, origin, &newest.inode)? else { continue };
            newest = Piece::plain(layer, copy);
            if layer != UPPER {
                let attr = self.fs(layer).getattr(own, &newest.inode)?;
                // One that can't carry where it is from is found by itself from there on.
                origin = self.origin(own, &newest, &attr)?;
            }
        }
        Ok(newest)
    }
}

impl Shared {
    /// Where what is below a directory stands in the lowers that never were uppers: the way to it from their roots. Nothing:
    /// it is longer than `most`, or leads nowhere.
    pub(crate) fn path_in_base(&self, own: &Cx<'_>, dir: &Arc<Node>, most: usize) -> Result<Option<Vec<u8>>> {
        let directory = dir.directory()?;
        if let Some(known) = directory.in_base.get() {
            return Ok(Some(known.to_vec()));
        }
        let path = {
            let redirect = directory.redirect.lock();
            path_below(dir, redirect.as_deref(), most)
        };
        let Some(mut path) = path else { return Ok(None) };
        if self.layers.frozen == 0 {
            return Ok(Some(path));
        }
        for (layer, lower) in self.layers.lowers().take(self.layers.frozen.into()) {
            match self.by_path(own, layer, &lower.root, &path)? {
                Sought::End => return Ok(None),
                Sought::Nothing => {}
                Sought::Elsewhere(way) => path = way.into_path().unwrap_or(path),
                Sought::There(step) => {
                    path = step.redirect.and_then(Way::into_path).unwrap_or(path);
                }
            }
        }
        if path.len() > PATH_MAX {
            return Ok(None);
        }
        // What is below a directory never changes.
        let _ = directory.in_base.set(path.as_slice().into());
        Ok(Some(path))
    }
}

impl Origin {
    /// As a layer says it that has nothing to do with those above it; nothing: it isn't below that.
    fn seen_from(self, layer: LayerNumber) -> Option<Self> {
        let number = self.layer.checked_sub(layer).filter(|number| *number > 0)?;
        Some(Origin { layer: number, ..self })
    }

    /// What a layer says, as the layers are counted by who has others above it.
    fn seen_from_above(self, layer: LayerNumber) -> Option<Self> {
        Some(Origin { layer: self.layer.checked_add(layer)?, ..self })
    }
}
