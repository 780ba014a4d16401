//! Attributes: those of the layer's inode, with what only the overlay knows.

use core::ops::ControlFlow;
use std::collections::HashSet;
use std::sync::Arc;

use vnode_core::fs::{Filesystem, Inode};
use vnode_core::{Attr, Cx, Errno, Name, Result, SetAttr, SetTime};

use crate::copy_up::First;
use crate::layers::{Own, Real, UPPER};
use crate::node::{Names, Node};
use crate::overlay::Shared;

impl Shared {
    /// The attributes.
    ///
    /// # Errors
    /// Those of the layer.
    pub(crate) fn getattr(&self, cx: &Cx<'_>, node: &Arc<Node>) -> Result<Attr> {
        let mut attr = self.attr(cx, node)?;
        if node.kind().is_dir() && attr.nlink > 0 && self.is_merged(node) {
            let mut names = node.directory()?.names.write();
            attr.nlink = if names.removed { 0 } else { 2 + self.subdirs(cx, node, &mut names)? };
        }
        Ok(attr)
    }

    /// The attributes, but for a merged directory's number of links.
    pub(crate) fn attr(&self, cx: &Cx<'_>, node: &Node) -> Result<Attr> {
        let (layer, inode) = node.shown()?;
        let mut attr = self.layers.fs(layer).getattr(cx, inode)?;
        attr.dev = 0;
        attr.ino = node.ino();
        attr.btime = node.btime.unwrap_or(attr.btime);
        if self.layers.is_change(layer)
            && node.kind().is_dir()
            && let Some(piece) =
                self.layers.piece_of_number(&node.lowers).filter(|piece| piece.layer != layer)
        {
            // What a directory takes is not what is in it: it is as below, copied up or not.
            let below = self.layers.fs(piece.layer).getattr(cx, &piece.inode)?;
            (attr.size, attr.blocks) = (below.size, below.blocks);
        }
        let state = node.state.lock();
        if let Some((own, shown)) = state.ctime
            && layer == UPPER
            && attr.ctime == own
        {
            attr.ctime = shown;
        }
        if let Some(more) = state.more_names {
            let names = i64::from(attr.nlink) + more;
            attr.nlink = u32::try_from(names.max(0)).unwrap_or(u32::MAX);
        }
        if layer != UPPER
            && let Some(gone) = state.gone
        {
            attr.nlink = 0;
            attr.ctime = gone;
        }
        Ok(attr)
    }

    /// Whether what a directory shows is in more than one layer.
    fn is_merged(&self, node: &Node) -> bool {
        node.lowers.len() + usize::from(node.upper().is_some()) > 1
    }

    /// How many directories are in a merged one: counted once, then kept.
    pub(crate) fn subdirs(&self, cx: &Cx<'_>, node: &Arc<Node>, names: &mut Names) -> Result<u32> {
        if let Some(count) = names.subdirs {
            return Ok(count);
        }
        let own = Own::during(cx);
        let own = own.cx();
        if let Some(count) = self.subdirs_by_links(&own, node)? {
            names.subdirs = Some(count);
            return Ok(count);
        }
        let upper = node.upper().map(|upper| (UPPER, upper));
        let mut found: HashSet<Box<[u8]>> = HashSet::new();
        for (layer, dir) in
            upper.into_iter().chain(node.lowers.iter().map(|piece| (piece.layer, &piece.inode)))
        {
            self.layers.fs(layer).open_dir(&own, dir)?.list(&own, 0, &mut |entry| {
                if entry.kind.is_dir() {
                    found.insert(entry.name.into());
                }
                ControlFlow::Continue(())
            })?;
        }
        let mut count = 0;
        for name in found {
            match self.find(&own, node, names, Name::new(&name)?) {
                Ok(entry) => count += u32::from(entry.kind().is_dir()),
                Err(Errno::NOENT) => {}
                // One of an upper of before that hides what is below.
                Err(Errno::ACCES) => count += 1,
                Err(errno) => return Err(errno),
            }
        }
        names.subdirs = Some(count);
        Ok(count)
    }

    /// How many directories are in a merged one, if the layers' own numbers of links tell: if none but the topmost layer
    /// has any.
    fn subdirs_by_links(&self, own: &Cx<'_>, node: &Node) -> Result<Option<u32>> {
        let upper = node.upper().map(|upper| (UPPER, upper));
        let lowers = node.lowers.iter().map(|piece| (piece.layer, &piece.inode));
        let mut top = None;
        for (layer, dir) in upper.into_iter().chain(lowers) {
            // Some filesystems don't count, and say 1.
            let Some(count) = self.layers.fs(layer).getattr(own, dir)?.nlink.checked_sub(2) else {
                return Ok(None);
            };
            if count > 0 && top.is_some() {
                return Ok(None);
            }
            top = top.or(Some(count));
        }
        Ok(top)
    }

    /// Changes attributes; of a file to be truncated no more is copied up than stays.
    ///
    /// # Errors
    /// Those of the layers.
    pub(crate) fn setattr(&self, cx: &Cx<'_>, node: &Arc<Node>, set: &SetAttr) -> Result<()> {
        let fs = &self.layers.upper.fs;
        if let (Some(size), None) = (set.size, node.upper()) {
            let attr = self.attr(cx, node)?;
            let resized = size != attr.size || attr.blocks > 0;
            if !resized && *set == (SetAttr { size: Some(size), ..SetAttr::default() }) {
                return Ok(());
            }
            let mut set = *set;
            // The copy is made with the new size, so the upper won't see that it changes.
            if resized {
                set.mtime = set.mtime.or(Some(SetTime::Now));
            }
            let act = |copy: &Real| fs.setattr(cx, copy, &set);
            if self.copy_and(cx, node, &First { size: Some(size), act: &act })? {
                return Ok(());
            }
        }
        let upper = self.copy_up(cx, node)?;
        // Not while a file takes leave to be opened again, after which it gets its mode back.
        let _alone = set.mode.map(|_| node.copying.lock());
        fs.setattr(cx, upper, set)?;
        node.changed();
        Ok(())
    }
}
