//! Listing a directory: its entries by name, with their places in it as cookies.

use core::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{DirEntry, DirStream, FIRST_COOKIE, Inode as _};
use vnode_core::{Cx, Result};

use crate::node::Node;
use crate::tree::Tree;

/// A directory's listing.
pub(crate) struct Listing {
    pub(crate) tree: Arc<Tree>,
    pub(crate) dir: Arc<Node>,
}

impl DirStream for Listing {
    fn list(
        &mut self,
        _cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let entries = self.tree.entries_of(self.dir.directory()?);
        let first = cookie.saturating_sub(FIRST_COOKIE);
        let rest = usize::try_from(first).ok().and_then(|first| entries.get(first..)).unwrap_or_default();
        for (entry, place) in rest.iter().zip(first..) {
            let node = self.tree.node(entry.node)?;
            let next = FIRST_COOKIE + place + 1;
            let entry = DirEntry { name: self.tree.name(entry), ino: node.ino, kind: node.kind(), next };
            if emit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }
}
