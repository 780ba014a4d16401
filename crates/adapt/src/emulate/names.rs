//! Making and removing names, and changing links.

use std::sync::Arc;

use vnode_core::fs::{Caps, Filesystem, Inode, NewInode, Remove};
use vnode_core::{Cx, Errno, FilesystemRef, Result};

use super::link::{Link, State};
use super::store::Edit;
use super::table::Directory;
use super::{Found, Node, NodeAt, Shared};

impl Shared {
    /// The directory in which a name is to be a link's.
    ///
    /// # Errors
    /// `EINVAL`: the name is the emulation's own. `EEXIST`. `ENOENT`: the directory was removed.
    fn ready(&self, cx: &Cx<'_>, at: NodeAt<'_>) -> Result<Arc<Directory>> {
        if self.reserves(at.name) {
            return Err(Errno::INVAL);
        }
        if self.is_removed(cx, at.dir)? {
            return Err(Errno::NOENT);
        }
        let dir = self.current(cx, at.dir)?;
        match self.find(cx, at)? {
            Some(_) => Err(Errno::EXIST),
            None => Ok(dir),
        }
    }

    /// Makes a link (`symlink(2)`).
    pub(super) fn create_link(
        &self,
        cx: &Cx<'_>,
        at: NodeAt<'_>,
        new: &NewInode<'_>,
        target: &[u8],
    ) -> Result<Arc<Link>> {
        let _names = self.names.write();
        let dir = self.ready(cx, at)?;
        let state = State::of(new.attr(cx, self.numbers.next()), target);
        let link = Link::new(target.into(), state.clone(), &self.room)?;
        self.commit(cx, &dir, &[Edit::Put(at.name, &link, &state)])?;
        self.know(&link);
        dir.put(at.name, &link);
        dir.list(at.name, link.number(), link.kind());
        Ok(link)
    }

    /// Makes another name of a link (`link(2)`).
    pub(super) fn link(&self, cx: &Cx<'_>, at: NodeAt<'_>, link: &Arc<Link>) -> Result<()> {
        if !self.fs.caps().contains(Caps::HARDLINKS) {
            return Err(Errno::PERM);
        }
        let _names = self.names.write();
        let dir = self.ready(cx, at)?;
        match link.attr().nlink {
            0 => return Err(Errno::NOENT),
            u32::MAX => return Err(Errno::MLINK),
            _ => {}
        }
        let state = link.state().with_names(true, cx.now());
        self.commit(cx, &dir, &[Edit::Put(at.name, link, &state)])?;
        link.set(state);
        dir.put(at.name, link);
        dir.list(at.name, link.number(), link.kind());
        self.spread(cx, link, Some(&dir));
        Ok(())
    }

    /// Makes a name of an inode of the filesystem within, by `make`.
    pub(super) fn making<T>(
        &self,
        cx: &Cx<'_>,
        at: NodeAt<'_>,
        make: impl FnOnce(&FilesystemRef) -> Result<(Node, T)>,
    ) -> Result<T> {
        let _names = self.names.read();
        if self.reserves(at.name) {
            return Err(Errno::INVAL);
        }
        let dir = self.links_in(cx, at.dir)?;
        let Some(dir) = dir else { return make(&self.fs).map(|(_, made)| made) };
        if dir.get(at.name).is_some() {
            return Err(Errno::EXIST);
        }
        self.settle_before(cx, &dir)?;
        let index = dir.index();
        let _changing = index.as_ref().map(|index| index.changing.lock());
        let (node, made) = make(&self.fs)?;
        if let Some(index) = &index {
            index.set(at.name, self.ino(cx, &node), node.kind());
        }
        Ok(made)
    }

    /// Removes a name (`unlink(2)`, `rmdir(2)`).
    pub(super) fn remove(&self, cx: &Cx<'_>, at: NodeAt<'_>, what: Remove) -> Result<()> {
        if self.reserves(at.name) {
            return Err(Errno::NOENT);
        }
        match what {
            Remove::File => {
                let names = self.names.read();
                if self.link_at(cx, at)?.is_none() {
                    return self.remove_real(cx, at, what);
                }
                drop(names);
                let _names = self.names.write();
                let dir = self.current(cx, at.dir)?;
                match dir.get(at.name) {
                    Some(link) => self.remove_link(cx, at, &dir, &link),
                    None => self.remove_real(cx, at, what),
                }
            }
            Remove::Directory => {
                let _names = self.names.write();
                let node = match self.find(cx, at)? {
                    Some(Found::Real(node)) => node,
                    Some(Found::Link(_)) => return Err(Errno::NOTDIR),
                    None => return Err(Errno::NOENT),
                };
                if !node.kind().is_dir() {
                    return Err(Errno::NOTDIR);
                }
                self.empty_of_links(cx, &node)?;
                self.remove_real(cx, at, what)?;
                self.removed(&node);
                Ok(())
            }
        }
    }

    /// Removes a name of an inode of the filesystem within.
    fn remove_real(&self, cx: &Cx<'_>, at: NodeAt<'_>, what: Remove) -> Result<()> {
        let dir = self.links_in(cx, at.dir)?;
        if let Some(dir) = &dir {
            self.settle_before(cx, dir)?;
        }
        let index = dir.and_then(|dir| dir.index());
        let _changing = index.as_ref().map(|index| index.changing.lock());
        self.fs.remove(cx, at, what)?;
        if let Some(index) = &index {
            index.remove(at.name);
        }
        Ok(())
    }

    /// Removes a name of a link.
    fn remove_link(&self, cx: &Cx<'_>, at: NodeAt<'_>, dir: &Arc<Directory>, link: &Arc<Link>) -> Result<()> {
        self.commit(cx, dir, &[Edit::Remove(at.name)])?;
        dir.remove(at.name);
        dir.unlist(at.name);
        self.lost_a_name(cx, link);
        Ok(())
    }

    /// Counts a name less of a link.
    pub(super) fn lost_a_name(&self, cx: &Cx<'_>, link: &Link) {
        link.set(link.state().with_names(false, cx.now()));
        self.spread(cx, link, None);
    }

    /// Changes a link's attributes.
    pub(super) fn change(
        &self,
        cx: &Cx<'_>,
        link: &Link,
        change: impl FnOnce(&State) -> Result<State>,
    ) -> Result<()> {
        let _names = self.names.write();
        let state = change(&link.state())?;
        link.check_room(&state)?;
        self.store_state(cx, link, &state)?;
        link.set(state);
        Ok(())
    }

    /// Links have extended attributes where files have.
    ///
    /// # Errors
    /// `EOPNOTSUPP`.
    pub(super) fn check_has_xattrs(&self) -> Result<()> {
        if self.fs.caps().contains(Caps::XATTR) { Ok(()) } else { Err(Errno::OPNOTSUPP) }
    }
}
