//! Renaming (`renameat2(2)`), where either name may be a link's.

use std::sync::Arc;

use vnode_core::fs::{Filesystem, Inode, Remove, Rename};
use vnode_core::{Cx, Errno, Result};

use super::link::Link;
use super::store::{Done, Edit, Proposal};
use super::table::Directory;
use super::{Found, Node, NodeAt, Shared};

/// Both names of a rename, and the directories that they are in; `dirs.0` and `dirs.1` may be one.
struct Names<'a> {
    from: NodeAt<'a>,
    to: NodeAt<'a>,
    dirs: (Arc<Directory>, Arc<Directory>),
}

impl Names<'_> {
    fn in_one(&self) -> bool {
        Arc::ptr_eq(&self.dirs.0, &self.dirs.1)
    }

    fn swapped(&self) -> Names<'_> {
        let (from, to) = &self.dirs;
        Names { from: self.to, to: self.from, dirs: (Arc::clone(to), Arc::clone(from)) }
    }
}

impl Shared {
    /// `renameat2(2)`.
    pub(super) fn rename(&self, cx: &Cx<'_>, from: NodeAt<'_>, to: NodeAt<'_>, how: Rename) -> Result<()> {
        if self.reserves(from.name) || (how == Rename::Exchange && self.reserves(to.name)) {
            return Err(Errno::NOENT);
        }
        if self.reserves(to.name) {
            return Err(Errno::INVAL);
        }
        let _names = self.names.write();
        if self.hidden.is_none() && self.table.lock().is_empty() {
            return self.fs.rename(cx, from, to, how);
        }
        let dirs = (self.current(cx, from.dir)?, self.current(cx, to.dir)?);
        let old = self.find(cx, from)?.ok_or(Errno::NOENT)?;
        let new = self.find(cx, to)?;
        match (how, &new) {
            (Rename::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (Rename::Exchange, None) => return Err(Errno::NOENT),
            _ => {}
        }
        if new.is_none() && self.is_removed(cx, to.dir)? {
            return Err(Errno::NOENT);
        }
        self.settle_before(cx, &dirs.0)?;
        self.settle_before(cx, &dirs.1)?;
        let of_links = matches!((&old, &new), (Found::Link(_), _) | (_, Some(Found::Link(_))));
        if of_links && !Arc::ptr_eq(&dirs.0, &dirs.1) {
            self.ready_for_more(cx, &dirs.1)?;
            if how == Rename::Exchange {
                self.ready_for_more(cx, &dirs.0)?;
            }
        }
        let names = Names { from, to, dirs };
        match (old, new, how) {
            (Found::Real(old), None | Some(Found::Real(_)), _) => self.move_real(cx, &names, &old, how),
            (Found::Link(old), Some(Found::Link(new)), _) if Arc::ptr_eq(&old, &new) => Ok(()),
            (Found::Link(old), Some(Found::Link(new)), Rename::Exchange) => {
                self.exchange_links(cx, &names, &old, &new)
            }
            (Found::Link(old), Some(Found::Real(new)), Rename::Exchange) => {
                self.exchange_with_real(cx, &names, &old, &new)
            }
            (Found::Real(old), Some(Found::Link(new)), Rename::Exchange) => {
                self.exchange_with_real(cx, &names.swapped(), &new, &old)
            }
            (Found::Link(old), Some(Found::Real(new)), _) => self.link_over_real(cx, &names, &old, &new),
            (Found::Link(old), Some(Found::Link(new)), _) => self.move_link(cx, &names, &old, Some(&new)),
            (Found::Link(old), None, _) => self.move_link(cx, &names, &old, None),
            (Found::Real(old), Some(Found::Link(new)), _) => self.real_over_link(cx, &names, &old, &new),
        }
    }

    /// Whether a directory is above another one, or that one itself.
    fn is_above(&self, cx: &Cx<'_>, above: &Node, below: &Node) -> Result<bool> {
        let mut at = Arc::clone(below);
        loop {
            if at.id() == above.id() {
                return Ok(true);
            }
            let parent = self.fs.parent(cx, &at)?;
            if parent.id() == at.id() {
                return Ok(false);
            }
            at = parent;
        }
    }

    /// Neither name is a link's.
    fn move_real(&self, cx: &Cx<'_>, names: &Names<'_>, old: &Node, how: Rename) -> Result<()> {
        let (from, to) = (names.from, names.to);
        let replaced = match self.fs.lookup(cx, to) {
            Ok(new) if how == Rename::Replace && new.kind().is_dir() && new.id() != old.id() => Some(new),
            Ok(_) | Err(Errno::NOENT) => None,
            Err(errno) => return Err(errno),
        };
        if let Some(new) = &replaced
            && old.kind().is_dir()
        {
            if self.is_above(cx, old, to.dir)? {
                return Err(Errno::INVAL);
            }
            self.empty_of_links(cx, new)?;
        }
        let listed = self.listed(cx, names, old);
        self.fs.rename(cx, from, to, how)?;
        if let Some(new) = &replaced {
            self.removed(new);
        }
        // Two names of one inode: nothing happened, and both are there.
        let stays = how == Rename::Exchange || self.fs.lookup(cx, from).is_ok();
        if stays {
            listed.exchange(self, cx, names)
        } else {
            listed.replace(names)
        }
        Ok(())
    }

    /// A link gets a name that is free or another link's.
    fn move_link(
        &self,
        cx: &Cx<'_>,
        names: &Names<'_>,
        old: &Arc<Link>,
        new: Option<&Arc<Link>>,
    ) -> Result<()> {
        let (from, to) = (names.from.name, names.to.name);
        let state = old.state().changed(cx.now());
        let (source, target) = &names.dirs;
        let put = Edit::Put(to, old, &state);
        if names.in_one() {
            self.commit(cx, target, &[Edit::Remove(from), put])?;
        } else {
            let proposal = self.propose(cx, source, &[Edit::Remove(from)], Done::Unknown)?;
            if let Err(errno) = self.commit(cx, target, &[put]) {
                self.withdraw(cx, source, proposal);
                return Err(errno);
            }
        }
        old.set(state);
        self.moved(cx, names, old);
        if let Some(new) = new {
            self.lost_a_name(cx, new);
        }
        Ok(())
    }

    /// A link gets the name of an inode of the filesystem within.
    fn link_over_real(&self, cx: &Cx<'_>, names: &Names<'_>, old: &Arc<Link>, new: &Node) -> Result<()> {
        if new.kind().is_dir() {
            let above = self.is_above(cx, new, names.from.dir)?;
            return Err(if above { Errno::NOTEMPTY } else { Errno::ISDIR });
        }
        let (from, to) = (names.from.name, names.to.name);
        let state = old.state().changed(cx.now());
        let put = Edit::Put(to, old, &state);
        let edits: &[_] = if names.in_one() { &[Edit::Remove(from), put] } else { &[put] };
        let target = &names.dirs.1;
        let done = (Done::Unknown, Done::Absent(to));
        let proposals = self.propose_both(cx, names, (&[Edit::Remove(from)], edits), done)?;
        if let Err(errno) = self.fs.remove(cx, names.to, Remove::File) {
            self.withdraw_both(cx, names, proposals);
            return Err(errno);
        }
        old.set(state);
        self.moved(cx, names, old);
        self.settle(cx, target);
        Ok(())
    }

    /// A link has another name now: what is known of both directories follows.
    fn moved(&self, cx: &Cx<'_>, names: &Names<'_>, link: &Arc<Link>) {
        let (source, target) = &names.dirs;
        target.put(names.to.name, link);
        source.remove(names.from.name);
        target.list(names.to.name, link.number(), link.kind());
        source.unlist(names.from.name);
        if !names.in_one() {
            self.needs_first(cx, source, target);
            self.settle(cx, source);
            self.touch_too(cx, source);
        }
        self.spread(cx, link, Some(target));
    }

    /// An inode of the filesystem within gets a link's name.
    fn real_over_link(&self, cx: &Cx<'_>, names: &Names<'_>, old: &Node, new: &Arc<Link>) -> Result<()> {
        if old.kind().is_dir() {
            let above = self.is_above(cx, old, names.to.dir)?;
            return Err(if above { Errno::INVAL } else { Errno::NOTDIR });
        }
        let (_, target) = &names.dirs;
        let to = names.to.name;
        let listed = self.listed(cx, names, old);
        let proposal = self.propose(cx, target, &[Edit::Remove(to)], Done::Present(to))?;
        if let Err(errno) = self.fs.rename(cx, names.from, names.to, Rename::Replace) {
            self.withdraw(cx, target, proposal);
            return Err(errno);
        }
        target.remove(to);
        listed.replace(names);
        self.settle(cx, target);
        self.lost_a_name(cx, new);
        Ok(())
    }

    /// A link and an inode of the filesystem within, `names.to`, exchange their names.
    fn exchange_with_real(
        &self,
        cx: &Cx<'_>,
        names: &Names<'_>,
        link: &Arc<Link>,
        real: &Node,
    ) -> Result<()> {
        let (from, to) = (names.from.name, names.to.name);
        let state = link.state().changed(cx.now());
        let put = Edit::Put(to, link, &state);
        let edits: &[_] = if names.in_one() { &[Edit::Remove(from), put] } else { &[put] };
        let done = (Done::Present(from), Done::Absent(to));
        let proposals = self.propose_both(cx, names, (&[Edit::Remove(from)], edits), done)?;
        let ino = self.ino(cx, real);
        if let Err(errno) = self.fs.rename(cx, names.to, names.from, Rename::NoReplace) {
            self.withdraw_both(cx, names, proposals);
            return Err(errno);
        }
        link.set(state);
        let (source, target) = &names.dirs;
        target.put(to, link);
        source.remove(from);
        target.list(to, link.number(), link.kind());
        source.list(from, ino, real.kind());
        self.settle(cx, target);
        if !names.in_one() {
            self.needs_first(cx, source, target);
            self.settle(cx, source);
        }
        self.spread(cx, link, Some(target));
        Ok(())
    }

    /// Two links exchange their names.
    fn exchange_links(&self, cx: &Cx<'_>, names: &Names<'_>, old: &Arc<Link>, new: &Arc<Link>) -> Result<()> {
        let (from, to) = (names.from.name, names.to.name);
        let (old_state, new_state) = (old.state().changed(cx.now()), new.state().changed(cx.now()));
        let (source, target) = &names.dirs;
        let (there, here) = (Edit::Put(to, old, &old_state), Edit::Put(from, new, &new_state));
        if names.in_one() {
            self.commit(cx, target, &[there, here])?;
        } else {
            self.commit_exchange(cx, (source, target), (here, there), (new, &new_state))?;
        }
        old.set(old_state);
        new.set(new_state);
        target.put(to, old);
        source.put(from, new);
        target.list(to, old.number(), old.kind());
        source.list(from, new.number(), new.kind());
        if !names.in_one() {
            self.needs_first(cx, source, target);
            self.touch_too(cx, source);
        }
        self.spread(cx, old, Some(target));
        self.spread(cx, new, Some(source));
        Ok(())
    }

    /// Proposes changes of both directories, or of the one that both are: the second's.
    fn propose_both(
        &self,
        cx: &Cx<'_>,
        names: &Names<'_>,
        edits: (&[Edit<'_>], &[Edit<'_>]),
        done: (Done<'_>, Done<'_>),
    ) -> Result<(Option<Proposal>, Proposal)> {
        let (source, target) = &names.dirs;
        let first = match names.in_one() {
            true => None,
            false => Some(self.propose(cx, source, edits.0, done.0)?),
        };
        match self.propose(cx, target, edits.1, done.1) {
            Ok(second) => Ok((first, second)),
            Err(errno) => {
                if let Some(first) = first {
                    self.withdraw(cx, source, first);
                }
                Err(errno)
            }
        }
    }

    fn withdraw_both(&self, cx: &Cx<'_>, names: &Names<'_>, proposals: (Option<Proposal>, Proposal)) {
        let (source, target) = &names.dirs;
        self.withdraw(cx, target, proposals.1);
        if let Some(first) = proposals.0 {
            self.withdraw(cx, source, first);
        }
    }

    /// What listings have to know of an inode that moves.
    fn listed(&self, cx: &Cx<'_>, names: &Names<'_>, old: &Node) -> Listed {
        let indexed = names.dirs.0.index().is_some() || names.dirs.1.index().is_some();
        Listed(indexed.then(|| (self.ino(cx, old), old.kind())))
    }
}

/// An inode that moves, by number and type, if somebody lists one of the directories.
struct Listed(Option<(u64, vnode_core::FileType)>);

impl Listed {
    /// It has the new name now.
    fn replace(self, names: &Names<'_>) {
        let Listed(Some((ino, kind))) = self else { return };
        names.dirs.1.list(names.to.name, ino, kind);
        names.dirs.0.unlist(names.from.name);
    }

    /// Both names are there now.
    fn exchange(self, shared: &Shared, cx: &Cx<'_>, names: &Names<'_>) {
        if self.0.is_none() {
            return;
        }
        for (at, dir) in [(names.from, &names.dirs.0), (names.to, &names.dirs.1)] {
            if let Ok(node) = shared.fs.lookup(cx, at) {
                dir.list(at.name, shared.ino(cx, &node), node.kind());
            }
        }
    }
}
