//! Copying what is in a lower to the upper: ancestors first, made in the work directory and put in place at once.

use std::sync::Arc;

use vnode_core::fs::{Caps, Filesystem, Inode};
use vnode_core::{Attr, Cx, Errno, FileType, Name, Result, SetAttr, SetTime, Timespec};

use crate::duplicate::{fill, make_like};
use crate::layers::{LayerNumber, Own, Real, RealAt, at};
use crate::marks::Origin;
use crate::node::Node;
use crate::overlay::Shared;
use crate::unmarked::{self, Copied};
use crate::work::Temporary;

/// What is done to a copy before it gets its place; if that fails there is none.
pub(crate) struct First<'a> {
    /// The bytes that stay, if it is truncated: no byte is copied that is dropped.
    pub(crate) size: Option<u64>,
    /// Makes the change to the copy, or opens it.
    pub(crate) act: &'a dyn Fn(&Real) -> Result<()>,
}

/// A directory of the upper whose times are to stay, while the overlay changes its names.
pub(crate) struct Kept {
    atime: SetTime,
    mtime: SetTime,
    shown: Attr,
}

impl Shared {
    /// The inode in the upper, copied up if need be.
    ///
    /// # Errors
    /// Those of the layers: `ENOSPC`, `EDQUOT`, `EIO`. Nothing was changed then that anybody sees.
    pub(crate) fn copy_up<'n>(&self, cx: &Cx<'_>, node: &'n Arc<Node>) -> Result<&'n Real> {
        if node.upper().is_none() {
            self.copy_with_ancestors(cx, node, None)?;
        }
        node.upper().ok_or(Errno::IO)
    }

    /// Does something to a file while it is copied up. Tells whether it did: the file may be in the upper already.
    ///
    /// # Errors
    /// As [`Shared::copy_up`], and those of what is done.
    pub(crate) fn copy_and(&self, cx: &Cx<'_>, node: &Arc<Node>, first: &First<'_>) -> Result<bool> {
        if node.upper().is_some() {
            return Ok(false);
        }
        self.copy_with_ancestors(cx, node, Some(first))
    }

    fn copy_with_ancestors(&self, cx: &Cx<'_>, node: &Arc<Node>, first: Option<&First<'_>>) -> Result<bool> {
        let own = Own::during(cx);
        let own = own.cx();
        let mut above = Vec::new();
        while let Some(parent) = parent_to_copy(above.last().unwrap_or(node)) {
            above.push(parent);
        }
        while let Some(parent) = above.pop() {
            self.copy_one(cx, &own, &parent, None)?;
        }
        let copied = self.copy_one(cx, &own, node, first)?;
        if copied && node.is_indexed() {
            // What can't be is no failure: the copy is found all the same.
            let _ = self.name_copy(cx, &own, node);
        }
        Ok(copied)
    }

    /// Copies up one inode whose parent is in the upper; tells whether it wasn't there before.
    fn copy_one(
        &self,
        cx: &Cx<'_>,
        own: &Cx<'_>,
        node: &Arc<Node>,
        first: Option<&First<'_>>,
    ) -> Result<bool> {
        let _copying = node.copying.lock();
        if node.upper().is_some() {
            return Ok(false);
        }
        let piece = node.below().ok_or(Errno::IO)?;
        let attr = self.layers.fs(piece.layer).getattr(own, &piece.inode)?;
        let (origin, below) = (self.layers.origin(own, piece, &attr)?, self.layers.fs(piece.layer));
        let (made, upper) = self
            .layers
            .prepare(own, |at| make_like(own, (below, &piece.inode), &attr, (&self.layers.upper.fs, at)))?;
        let left = first.and_then(|first| first.size);
        let size = left.map_or(attr.size, |left| left.min(attr.size));
        fill(cx, own, (below, &piece.inode), &attr, (&self.layers.upper.fs, &upper), size)?;
        let fs = &self.layers.upper.fs;
        let marked = node.kind().is_dir() || self.layers.marks.set_origin(own, fs, &upper, origin)?;
        let unmarked = if marked { None } else { Some(fs.getattr(own, &upper)?) };
        if let Some(first) = first {
            (first.act)(&upper)?;
        }
        if node.is_indexed() {
            let (parent, name) = node.place()?;
            self.touch_known(own, &parent, Name::new(&name)?, (piece.layer, &attr))?;
            self.put_in_index(own, node, made, upper, (origin, marked), &attr)?;
        } else {
            self.to_medium(own, &upper)?;
            self.put_in_place(own, node, made, upper, (piece.layer, &attr))?;
        }
        // Nothing may fail from here on: it is seen.
        if left.is_none()
            && let Some(Ok(raw)) = node.upper().map(|upper| fs.getattr(own, upper))
        {
            let mut state = node.state.lock();
            state.ctime = Some((raw.ctime, state.gone.unwrap_or(attr.ctime)));
        }
        if let Some(upper) = unmarked {
            self.keep_unmarked(node, &upper, origin);
        }
        Ok(true)
    }

    /// Remembers where a copy is from that the upper doesn't tell of, unless nobody will find it.
    fn keep_unmarked(&self, node: &Node, upper: &Attr, origin: Origin) {
        let mut state = node.state.lock();
        if state.gone.is_none() {
            state.unmarked = Some(unmarked::key(upper));
            self.unmarked.keep(upper, Copied { origin, more_names: state.more_names });
        }
    }

    /// Puts a copy where its origin is, unless that was removed.
    fn put_in_place(
        &self,
        own: &Cx<'_>,
        node: &Arc<Node>,
        made: Temporary<'_>,
        upper: Real,
        from: (LayerNumber, &Attr),
    ) -> Result<()> {
        let (parent, name) = node.place()?;
        let _names = parent.directory()?.names.write();
        if node.state.lock().gone.is_some() {
            // Only those who have it open see it; nothing holds it but they.
            upper.pin(true);
            node.set_upper(upper);
            return Ok(());
        }
        let above = parent.upper().ok_or(Errno::IO)?;
        let kept = self.keep_times(own, &parent)?;
        self.touch_known(own, &parent, Name::new(&name)?, from)?;
        let place = at(above, Name::new(&name)?);
        made.put_copy(place)?;
        node.set_upper(self.found_there(own, place, upper));
        self.restore_times(own, &parent, above, &kept);
        Ok(())
    }

    /// A copy as it is found where it is from now on. Inodes of the host are found again by that when their descriptors
    /// were closed.
    fn found_there(&self, own: &Cx<'_>, place: RealAt<'_>, copy: Real) -> Real {
        let fs = &self.layers.upper.fs;
        if !fs.caps().contains(Caps::BLOCKING) {
            return copy;
        }
        fs.lookup(own, place).ok().filter(|found| found.id() == copy.id()).unwrap_or(copy)
    }

    /// Brings an inode of the upper to the medium: before it gets a name, or before its name gets another meaning.
    pub(crate) fn to_medium(&self, own: &Cx<'_>, upper: &Real) -> Result<()> {
        let opens = matches!(upper.kind(), FileType::Regular | FileType::Directory);
        if self.layers.upper.volatile || !opens {
            return Ok(());
        }
        self.layers.upper.fs.sync(own, upper, false)
    }

    /// What is to be shown of a directory after the overlay put something into it that was there before.
    pub(crate) fn keep_times(&self, own: &Cx<'_>, dir: &Arc<Node>) -> Result<Kept> {
        let shown = self.attr(own, dir)?;
        Ok(Kept { atime: SetTime::To(shown.atime), mtime: SetTime::To(shown.mtime), shown })
    }

    /// Gives a directory its times back. It is no failure of the caller's if that can't be.
    pub(crate) fn restore_times(&self, own: &Cx<'_>, dir: &Arc<Node>, upper: &Real, kept: &Kept) {
        let set = SetAttr { atime: Some(kept.atime), mtime: Some(kept.mtime), ..SetAttr::default() };
        let fs = &self.layers.upper.fs;
        if fs.setattr(own, upper, &set).is_ok()
            && let Ok(raw) = fs.getattr(own, upper)
        {
            dir.state.lock().ctime = Some((raw.ctime, kept.shown.ctime));
        }
    }

    /// Shows a `ctime` from before, after what changed an inode was undone.
    pub(crate) fn restore_ctime(&self, own: &Cx<'_>, node: &Node, shown: Timespec) {
        if let Some(Ok(raw)) = node.upper().map(|upper| self.layers.upper_attr(own, upper)) {
            node.state.lock().ctime = Some((raw.ctime, shown));
        }
    }
}

/// The directory above a node, if it must be copied up first.
fn parent_to_copy(node: &Arc<Node>) -> Option<Arc<Node>> {
    if node.state.lock().gone.is_some() {
        return None;
    }
    if !node.kind().is_dir() && node.is_indexed() {
        return None;
    }
    let parent = node.place.read().parent.clone()?;
    parent.upper().is_none().then_some(parent)
}
