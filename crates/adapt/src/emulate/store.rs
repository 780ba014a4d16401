//! Changes of links, made to last: the hidden file of a directory first, what is known of it afterwards.
//!
//! What changes a hidden file and something else too - another hidden file, a name of the filesystem within - is proposed
//! in the files, done by one call, and settled. Until it is done it is withdrawn when anything fails; afterwards nothing
//! that fails matters: the file says how to see that it is done, or has a name too many.

use std::collections::HashSet;
use std::sync::Arc;

use vnode_core::fs::{At, Filesystem};
use vnode_core::{Cx, Errno, Name, NameBuf, Result, SetAttr, SetTime};

use super::hidden::{Hidden, Log};
use super::link::{Link, State};
use super::own::{Own, leaving_times};
use super::table::Directory;
use super::{Node, Shared};

/// A change of a directory's links.
#[derive(Clone, Copy)]
pub(super) enum Edit<'a> {
    /// A name is this link's, which is so.
    Put(Name<'a>, &'a Link, &'a State),
    /// A name is no link's.
    Remove(Name<'a>),
    /// A link that has names in it is so.
    Set(&'a Link, &'a State),
}

/// How what was proposed is known to be done, when nothing follows it in the hidden file: by a name that the filesystem
/// within has, or has no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done<'a> {
    /// Not at all: it counts as not done.
    Unknown,
    /// There is this name.
    Present(Name<'a>),
    /// There is no such name. The proposal is on the medium before that can be.
    Absent(Name<'a>),
}

/// What was proposed, to be withdrawn if it isn't done.
#[must_use]
pub(super) enum Proposal {
    /// Nothing was written.
    None,
    /// The hidden file was so long before.
    Appended(u64),
    /// The hidden file is new; the directory had these times.
    Made(SetAttr),
}

impl Shared {
    /// Changes a directory's links, and its times: all or nothing.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn commit(&self, cx: &Cx<'_>, dir: &Arc<Directory>, edits: &[Edit<'_>]) -> Result<()> {
        let Some(hidden) = &self.hidden else { return self.touch(cx, dir) };
        let own = Own::during(cx);
        let cx = &own.cx();
        let mut log = dir.log.lock();
        if log.exists() && left(dir, edits) == 0 {
            return log.remove(cx, &self.fs, &dir.inode);
        }
        if !log.has_head() || log.is_long() {
            return log.rewrite(cx, (hidden, &self.fs), dir, None, edits);
        }
        let (len, unsettled) = (log.len(), log.unsettled);
        log.append(cx, &self.fs, &dir.inode, None, edits)?;
        self.touch(cx, dir).inspect_err(|_| {
            log.cut(cx, &self.fs, len);
            log.unsettled = unsettled;
        })
    }

    /// Proposes changes of a directory's links.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn propose(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Directory>,
        edits: &[Edit<'_>],
        done: Done<'_>,
    ) -> Result<Proposal> {
        let Some(hidden) = &self.hidden else { return Ok(Proposal::None) };
        let own = Own::during(cx);
        let cx = &own.cx();
        let mut log = dir.log.lock();
        if log.has_head() {
            let len = log.len();
            log.append(cx, &self.fs, &dir.inode, Some(done), edits)?;
            return Ok(Proposal::Appended(len));
        }
        let attr = self.fs.getattr(cx, &dir.inode)?;
        let (atime, mtime) = (Some(SetTime::To(attr.atime)), Some(SetTime::To(attr.mtime)));
        log.rewrite(cx, (hidden, &self.fs), dir, Some(done), edits)?;
        let made = Proposal::Made(SetAttr { atime, mtime, ..SetAttr::default() });
        // Neither its content nor its name may be missing where the name is that it stands for.
        let synced = log.sync(cx, &self.fs, &dir.inode).and_then(|()| self.fs.sync(cx, &dir.inode, false));
        drop(log);
        match synced {
            Ok(()) => Ok(made),
            Err(errno) => {
                self.withdraw(cx, dir, made);
                Err(errno)
            }
        }
    }

    /// Takes back what wasn't done.
    pub(super) fn withdraw(&self, cx: &Cx<'_>, dir: &Arc<Directory>, proposal: Proposal) {
        let own = Own::during(cx);
        let cx = &own.cx();
        let mut log = dir.log.lock();
        match proposal {
            Proposal::None => {}
            Proposal::Appended(len) => log.cut(cx, &self.fs, len),
            Proposal::Made(times) => {
                let _ = log.remove(cx, &self.fs, &dir.inode);
                let _ = self.fs.setattr(cx, &dir.inode, &times);
            }
        }
    }

    /// Says that what was proposed is done. What can't be said now is said before the next change.
    pub(super) fn settle(&self, cx: &Cx<'_>, dir: &Arc<Directory>) {
        if self.hidden.is_some() {
            let own = Own::during(cx);
            let mut log = dir.log.lock();
            log.ahead = true;
            log.unsettled = self.try_to_settle(&own.cx(), dir, &mut log).is_err();
        }
    }

    fn try_to_settle(&self, cx: &Cx<'_>, dir: &Directory, log: &mut Log) -> Result<()> {
        match (log.exists(), dir.has_links()) {
            (false, _) => Ok(()),
            (true, false) => log.remove(cx, &self.fs, &dir.inode),
            (true, true) => log.append(cx, &self.fs, &dir.inode, None, &[]),
        }
    }

    /// The same, where it is still to be said and a name is about to change.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn settle_before(&self, cx: &Cx<'_>, dir: &Arc<Directory>) -> Result<()> {
        if self.hidden.is_none() {
            return Ok(());
        }
        let mut log = dir.log.lock();
        if log.unsettled {
            self.try_to_settle(&Own::during(cx).cx(), dir, &mut log)?;
            log.unsettled = false;
        }
        Ok(())
    }

    /// Two links of two directories exchange their names: `here` in the first directory, `there` in the second. `back`,
    /// which leaves the second one, has a further name there until it is known to have the other.
    pub(super) fn commit_exchange(
        &self,
        cx: &Cx<'_>,
        (first, second): (&Arc<Directory>, &Arc<Directory>),
        (here, there): (Edit<'_>, Edit<'_>),
        back: (&Link, &State),
    ) -> Result<()> {
        if self.hidden.is_none() {
            return self.touch(cx, second);
        }
        let own = Own::during(cx);
        let cx = &own.cx();
        let spare = self.spare_name(cx, second, back.0)?;
        let spare = spare.as_name()?;
        let before = self.propose(cx, second, &[Edit::Put(spare, back.0, back.1)], Done::Absent(spare))?;
        let proposed = self.propose(cx, first, &[here], Done::Unknown);
        let done = match &proposed {
            // Should the file be written whole, it has the further name again.
            Ok(_) => self.commit(cx, second, &[Edit::Put(spare, back.0, back.1), there]),
            Err(errno) => Err(*errno),
        };
        if let Err(errno) = done {
            self.withdraw(cx, second, before);
            if let Ok(proposal) = proposed {
                self.withdraw(cx, first, proposal);
            }
            return Err(errno);
        }
        // What is on the medium there may go here, and then the further name.
        let there = second.log.lock().sync(cx, &self.fs, &second.inode).is_ok();
        self.settle(cx, first);
        let mut log = first.log.lock();
        let both = there && !log.unsettled && log.sync(cx, &self.fs, &first.inode).is_ok();
        drop(log);
        if both {
            let _ = second.log.lock().append(cx, &self.fs, &second.inode, None, &[Edit::Remove(spare)]);
        }
        Ok(())
    }

    /// A name that a directory doesn't have.
    fn spare_name(&self, cx: &Cx<'_>, dir: &Directory, link: &Link) -> Result<NameBuf> {
        let mut spare = NameBuf::new();
        // One more than there are names is enough.
        for more in 0..=u64::MAX {
            spare.set(Name::new(format!(".vnode-exchanged-{:x}-{more}", link.number()).as_bytes())?);
            let name = spare.as_name()?;
            if dir.get(name).is_some() {
                continue;
            }
            match self.fs.lookup(cx, At { dir: &dir.inode, name }) {
                Ok(_) => {}
                Err(Errno::NOENT) => return Ok(spare),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::NOSPC)
    }

    /// Has the directories of a link's other names know what became of it. Where that can't be written, it is said again
    /// with the next change of the link.
    pub(super) fn spread(&self, cx: &Cx<'_>, link: &Link, but: Option<&Arc<Directory>>) {
        if self.hidden.is_none() {
            return;
        }
        let own = Own::during(cx);
        let cx = &own.cx();
        let state = link.state();
        for home in link.homes() {
            if but.is_none_or(|but| !Arc::ptr_eq(but, &home)) {
                let _ = home.log.lock().append(cx, &self.fs, &home.inode, None, &[Edit::Set(link, &state)]);
            }
        }
    }

    /// Writes down what is to become of a link, in all directories that have names of it: all or none.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn store_state(&self, cx: &Cx<'_>, link: &Link, state: &State) -> Result<()> {
        let Some(hidden) = &self.hidden else { return Ok(()) };
        let own = Own::during(cx);
        let cx = &own.cx();
        let mut done: Vec<(Arc<Directory>, u64)> = Vec::new();
        for home in link.homes() {
            let mut log = home.log.lock();
            let len = log.len();
            let edits = [Edit::Set(link, state)];
            let written = match log.is_long() {
                true => self.rewrite_quietly(cx, hidden, &home, &mut log, &edits),
                false => log.append(cx, &self.fs, &home.inode, None, &edits).map(|()| len),
            };
            drop(log);
            match written {
                Ok(len) => done.push((home, len)),
                Err(errno) => {
                    done.iter().for_each(|(home, len)| home.log.lock().cut(cx, &self.fs, *len));
                    return Err(errno);
                }
            }
        }
        Ok(())
    }

    /// Writes a log whole, then `edits`, leaving the directory's times as far as that can be; answers how long it is
    /// without them.
    fn rewrite_quietly(
        &self,
        cx: &Cx<'_>,
        hidden: &Hidden,
        dir: &Directory,
        log: &mut Log,
        edits: &[Edit<'_>],
    ) -> Result<u64> {
        let whole = || log.rewrite(cx, (hidden, &self.fs), dir, None, &[]);
        leaving_times(cx, &self.fs, &dir.inode, whole)?;
        let len = log.len();
        log.append(cx, &self.fs, &dir.inode, None, edits).map(|()| len)
    }

    /// Checks that a directory has no links, and removes a hidden file that says nothing, if that is all that it has.
    ///
    /// # Errors
    /// `ENOTEMPTY`. Those of reading and removing the file.
    pub(super) fn empty_of_links(&self, cx: &Cx<'_>, dir: &Node) -> Result<()> {
        let Some(known) = self.links_in(cx, dir)? else { return Ok(()) };
        if known.has_links() {
            return Err(Errno::NOTEMPTY);
        }
        let mut log = known.log.lock();
        if log.exists() {
            let names = crate::look::names(cx, &self.fs, dir)?;
            if names.iter().all(|name| super::hidden::is_reserved(name)) {
                log.remove(cx, &self.fs, dir)?;
            }
        }
        Ok(())
    }

    /// Gives a directory the times of a change of its names.
    pub(super) fn touch(&self, cx: &Cx<'_>, dir: &Directory) -> Result<()> {
        let now = SetAttr { mtime: Some(SetTime::Now), ..SetAttr::default() };
        self.fs.setattr(cx, &dir.inode, &now)
    }

    /// The same of the other directory of a rename, which is done: what can't be marked stays as it is.
    pub(super) fn touch_too(&self, cx: &Cx<'_>, dir: &Directory) {
        let _ = self.touch(cx, dir);
    }

    /// A link of `from` is in `to` now, and must be there on the medium before it is gone here.
    pub(super) fn needs_first(&self, cx: &Cx<'_>, from: &Directory, to: &Directory) {
        if self.hidden.is_some() && from.log.lock().put_first(&to.inode) {
            // Too many to be kept in mind: now, then, as far as that can be.
            let _ = self.sync_first(cx, &from.inode);
            from.log.lock().first.clear();
        }
    }

    /// Has a directory need no other one first on the medium, before another one needs it: so none ever needs itself.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn ready_for_more(&self, cx: &Cx<'_>, dir: &Directory) -> Result<()> {
        let is_ready = self.hidden.is_none() || dir.log.lock().first.is_empty();
        if is_ready { Ok(()) } else { self.sync_first(cx, &dir.inode) }
    }

    /// Writes the links of a directory to the medium, and before them those that were its own.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn sync_links(&self, cx: &Cx<'_>, dir: &Node) -> Result<()> {
        if self.hidden.is_none() {
            return Ok(());
        }
        let _names = self.names.read();
        self.sync_first(cx, dir)?;
        let Some(known) = self.links_in(cx, dir)? else { return Ok(()) };
        self.settle_before(cx, &known)?;
        known.log.lock().sync(cx, &self.fs, dir)
    }

    /// Writes the links to the medium that must be there before those of a directory, and what these need.
    pub(super) fn sync_first(&self, cx: &Cx<'_>, dir: &Node) -> Result<()> {
        let mut seen = HashSet::from([dir.id()]);
        // Each once to see what it needs, and once, when that is there, to be written.
        let mut pending = vec![(Arc::clone(dir), false)];
        while let Some((inode, ready)) = pending.pop() {
            let Some(known) = self.links_in(cx, &inode)? else { continue };
            if !ready {
                pending.push((Arc::clone(&inode), true));
                let first = known.log.lock().first.clone();
                pending.extend(first.into_iter().filter(|it| seen.insert(it.id())).map(|it| (it, false)));
                continue;
            }
            if inode.id() != dir.id() {
                self.settle_before(cx, &known)?;
                known.log.lock().sync(cx, &self.fs, &inode)?;
                match self.fs.sync(cx, &inode, false) {
                    // Removed since, and with it all that it had.
                    Ok(()) | Err(Errno::NOENT | Errno::STALE) => {}
                    Err(errno) => return Err(errno),
                }
            }
            known.log.lock().first.clear();
        }
        Ok(())
    }
}

/// How many names of links a directory has after these changes.
fn left(dir: &Directory, edits: &[Edit<'_>]) -> usize {
    dir.with(|names| {
        let mut left = names.len();
        for edit in edits {
            match edit {
                Edit::Remove(name) if names.get(*name).is_some() => left = left.saturating_sub(1),
                Edit::Put(name, ..) if names.get(*name).is_none() => left += 1,
                _ => {}
            }
        }
        left
    })
}
