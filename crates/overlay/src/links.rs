//! Hard links of a lower, which stay one inode when it is copied up: by a name for the copy in the index.

use std::sync::Arc;

use vnode_core::fs::{At, Filesystem, Remove};
use vnode_core::{Attr, Cx, Name, Result};

use crate::layers::{Own, Real, at};
use crate::linux;
use crate::marks::{Origin, Whose};
use crate::node::Node;
use crate::overlay::Shared;
use crate::work::Temporary;

impl Shared {
    /// Puts the copy of an inode with several names into the index; all of them are found there.
    pub(crate) fn put_in_index(
        &self,
        own: &Cx<'_>,
        node: &Arc<Node>,
        made: Temporary<'_>,
        copy: Real,
        (origin, marked): (Origin, bool),
        attr: &Attr,
    ) -> Result<()> {
        let upper = &self.layers.upper;
        // Names that were removed while there was no copy count no more.
        let mut state = node.state.lock();
        let more = i64::from(attr.nlink) - 1 + state.more_names.unwrap_or(0);
        self.layers.marks.set_more_names(own, &upper.fs, &copy, more)?;
        let entry = if marked { self.entry_for_linux(own, node, &copy, (origin, attr.dev))? } else { None };
        self.to_medium(own, &copy)?;
        match entry {
            Some(entry) => {
                made.put(at(self.layers.linux_index()?, Name::new(&entry.name)?))?;
                let _ = node.linux_name.set(Arc::clone(&entry.name));
                upper.linux.added(entry);
            }
            None => made.put(at(&upper.index, Name::new(&origin.index_name())?))?,
        }
        state.more_names = Some(more);
        drop(state);
        node.set_upper(copy);
        Ok(())
    }

    /// Says in Linux's way where a copy is from, if that is known; answers what it is to have in Linux's index then.
    fn entry_for_linux(
        &self,
        own: &Cx<'_>,
        node: &Node,
        copy: &Real,
        (origin, dev): (Origin, u64),
    ) -> Result<Option<linux::Entry>> {
        let Some(piece) = node.below() else { return Ok(None) };
        let Some(entry) = self.layers.entry_for_linux(own, piece, dev) else { return Ok(None) };
        let (marks, fs) = (self.layers.marks, &self.layers.upper.fs);
        marks.set_origin_for_linux(own, fs, copy, origin, &entry.origin)?;
        Ok(Some(entry))
    }

    /// Gives a copy that only the index has the name that it was found by, if that still is its: for those who look at the
    /// upper without the index, Linux's overlayfs say. Nobody sees that here.
    pub(crate) fn name_copy(&self, cx: &Cx<'_>, own: &Cx<'_>, node: &Arc<Node>) -> Result<()> {
        let (dir, name) = node.place()?;
        let above = self.copy_up(cx, &dir)?;
        let place = At { dir: &dir, name: Name::new(&name)? };
        let names = dir.directory()?.names.write();
        if !Arc::ptr_eq(&self.find(own, &dir, &names, place.name)?, node) {
            return Ok(());
        }
        let (kept, ctime) = (self.keep_times(own, &dir)?, self.attr(own, node)?.ctime);
        let linked = self.link_up(own, place, at(above, place.name), node);
        self.restore_times(own, &dir, above, &kept);
        self.restore_ctime(own, node, ctime);
        linked
    }

    /// One of the names that an inode has in a lower shows through no more, or the upper has it now. The inode's copy is
    /// in the index. If that can't be noted, or is lost, the next run takes it for one name more than it has: its copy
    /// stays in the index, and nothing is lost.
    pub(crate) fn lost_lower_name(&self, own: &Cx<'_>, node: &Node) {
        let mut state = node.state.lock();
        if let (Some(copy), Some(more)) = (node.upper(), state.more_names) {
            state.more_names = Some(more - 1);
            if let Some(key) = state.unmarked {
                self.unmarked.set_more_names(key, more - 1);
            }
            let _ = self.layers.marks.set_more_names(own, &self.layers.upper.fs, copy, more - 1);
        }
    }

    /// After names were changed: an inode that has lost its last one is nobody's but those who have it open. What stays
    /// in the index for a failure costs room, nothing else.
    pub(crate) fn settle_names(&self, cx: &Cx<'_>, node: &Node) {
        let own = Own::during(cx);
        let _ = self.leave_index(&own.cx(), node);
        self.forget_unmarked(&own.cx(), node);
    }

    /// Where a copy is from that the upper doesn't tell of is known until its last name is removed. If nobody can tell
    /// whether it has one, it is forgotten: its number may be given to another one.
    fn forget_unmarked(&self, own: &Cx<'_>, node: &Node) {
        let key = node.state.lock().unmarked;
        if let (Some(key), Some(copy)) = (key, node.upper())
            && !self.layers.upper_attr(own, copy).is_ok_and(|attr| attr.nlink > 0)
        {
            self.unmarked.forget(key);
        }
    }

    fn leave_index(&self, cx: &Cx<'_>, node: &Node) -> Result<()> {
        let Some(copy) = node.upper() else { return Ok(()) };
        let mut state = node.state.lock();
        let Some(more) = state.more_names else { return Ok(()) };
        let upper = &self.layers.upper;
        if i64::from(upper.fs.getattr(cx, copy)?.nlink) + more > 0 {
            return Ok(());
        }
        let (dir, name) = match node.linux_name.get() {
            Some(name) => (self.layers.linux_index()?, name.to_vec()),
            None => match self.origin_of(cx, node)? {
                Some(origin) => (&upper.index, origin.index_name()),
                None => return Ok(()),
            },
        };
        copy.pin(true);
        upper.fs.remove(cx, at(dir, Name::new(&name)?), Remove::File)?;
        state.more_names = Some(0);
        Ok(())
    }

    /// What an inode is in a lower, or was copied from.
    pub(crate) fn origin_of(&self, cx: &Cx<'_>, node: &Node) -> Result<Option<Origin>> {
        match node.below() {
            Some(piece) => {
                let attr = self.layers.fs(piece.layer).getattr(cx, &piece.inode)?;
                self.layers.origin(cx, piece, &attr).map(Some)
            }
            None => {
                let Some(copy) = node.upper() else { return Ok(None) };
                let (marks, fs) = (self.layers.marks, &self.layers.upper.fs);
                let marked = marks.origin(cx, Whose::Upper, fs, copy)?.origin;
                if marked.is_some() {
                    return Ok(marked);
                }
                let attr = self.layers.upper_attr(cx, copy)?;
                Ok(self.unmarked.get(&attr).map(|copied| copied.origin))
            }
        }
    }
}
