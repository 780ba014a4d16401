//! Doing what is written down: by renames and changes of attributes, each of which may be done again.
//!
//! First everything that leaves its place is taken out, then everything comes to its place. What is taken out has its slot;
//! a slot that is filled says that it was, and one that is empty later says that what was in it came to its place. Between
//! the two is a mark, for only it tells the two apart.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use vnode_core::fs::{Filesystem as _, Remove, Rename, SetXattr};
use vnode_core::{Attr, Errno, FileType, Mode, Result, SetAttr};
use vnode_overlay::{fill, make_like, with_leave};

use super::error::{ApplyError, Doing as _, Failure};
use super::journal::{Attributes, Gone, In, Journal, NewLink, Out, Slot, Was};
use super::staging::{MOVED, PLACED, Staging};
use super::tree::{Real, Tree, at};
use super::{Report, Warning};
use crate::paths::{above, all_above, split};

/// A journal on its way.
pub(crate) struct Execution<'a> {
    staging: &'a Staging<'a>,
    tree: Tree<'a>,
    journal: &'a Journal,
    /// The slots of what leaves, by where it was.
    slots: HashMap<&'a [u8], u64>,
    /// Whether inodes have the numbers that they had.
    has_numbers: bool,
    /// What was changed meanwhile and isn't overwritten nor removed: where it was, and where it is in staging.
    kept: RefCell<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl<'a> Execution<'a> {
    pub(crate) fn new(staging: &'a Staging<'a>, journal: &'a Journal) -> Self {
        let slots = journal.outs.iter().map(|out| (&*out.path.0, out.slot)).collect();
        let has_numbers =
            journal.witness.is_some_and(|witness| staging.witness().is_ok_and(|now| now == witness));
        let kept = RefCell::default();
        Execution { staging, tree: staging.tree, journal, slots, has_numbers, kept }
    }

    /// Brings everything to its place that isn't there, and removes what was there instead.
    ///
    /// # Errors
    /// `Unfinished`; while things are taken out, which is undone then, `Filesystem`.
    pub(crate) fn place(&self, report: &mut Report<'_>) -> std::result::Result<(), ApplyError> {
        if !self.is_moved().map_err(Failure::after)? {
            self.take_all_out(report).map_err(|failure| {
                // What was moved and moved back shows another time of its last change, which is a conflict next time.
                if failure.may_pass() || self.undo().is_err() { failure.after() } else { failure.before() }
            })?;
        }
        self.put_all_in(report).map_err(Failure::after)
    }

    /// Whether everything was taken out that is to be.
    pub(crate) fn is_moved(&self) -> std::result::Result<bool, Failure> {
        Ok(self.has(MOVED)? || self.has(PLACED)?)
    }

    fn take_all_out(&self, report: &mut Report<'_>) -> std::result::Result<(), Failure> {
        for link in &self.journal.links {
            self.link(link).doing("link", &link.of.0)?;
        }
        for out in &self.journal.outs {
            self.take_out(out).doing("move", &out.path.0)?;
            report.advance(0);
        }
        self.sync_after_outs().doing("sync", b"")?;
        self.staging.mark(MOVED).doing("sync", b"")
    }

    /// Puts back what was taken out, as long as nothing came to its place, and removes staging.
    pub(crate) fn undo(&self) -> std::result::Result<(), Failure> {
        self.staging.unmark(MOVED).doing("sync", b"")?;
        for out in self.journal.outs.iter().rev() {
            self.put_back(out).doing("move back", &out.path.0)?;
        }
        for out in &self.journal.outs {
            let path = above(&out.path.0);
            if let Some(inode) = self.tree.directory(path).doing("look at", path)? {
                self.set_times(&inode, &out.times()).doing("change the times of", path)?;
                self.tree.sync(&inode).doing("sync", path)?;
            }
        }
        self.staging.withdraw()?;
        if let Some(out) = self.journal.outs.iter().find(|out| above(&out.path.0).is_empty()) {
            let _ = self.tree.set(&self.tree.fs.root(), &out.times());
        }
        Ok(())
    }

    fn put_back(&self, out: &Out) -> Result<()> {
        let slot = Slot::Out(out.slot);
        let Some(taken) = self.staging.slot(slot)? else { return Ok(()) };
        let Some((dir, name)) = split(&out.path.0) else { return Ok(()) };
        let dir = self.find_before(dir)?.filter(|dir| dir.kind().is_dir()).ok_or(Errno::NOENT)?;
        let slots = self.slots_directory(slot)?;
        match self.tree.rename((&slots, &slot.name()), (&dir, name), Rename::NoReplace) {
            Err(Errno::XDEV) if !taken.kind().is_dir() => {
                if self.tree.lookup(&dir, name)?.is_some() {
                    // It was copied out, and is still there.
                    self.remove_copied(&taken, &out.path.0)?;
                }
                if self.tree.lookup(&dir, name)?.is_some() {
                    return Err(Errno::EXIST);
                }
                self.copy(&taken, (&dir, name))?;
                self.tree.remove(&slots, &slot.name(), Remove::File)
            }
            renamed => renamed,
        }
    }

    fn put_all_in(&self, report: &mut Report<'_>) -> std::result::Result<(), Failure> {
        if !self.has(PLACED)? {
            for come in &self.journal.ins {
                self.put_in(come).doing("move", &come.path.0)?;
                report.advance(0);
            }
            self.settle_attributes()?;
            self.sync_after_ins()?;
            self.staging.mark(PLACED).doing("sync", b"")?;
        }
        // What was taken out for good, and nothing else.
        for gone in &self.journal.gone {
            let slot = Slot::Out(gone.slot);
            self.clear_one(slot, gone).doing("remove", &gone.path.0)?;
        }
        Ok(())
    }

    /// Forgets that it was done.
    pub(crate) fn forget(&self) -> std::result::Result<Vec<Warning>, Failure> {
        let left = self.staging.finish()?;
        self.restore_root();
        let Some(left) = left else { return Ok(Vec::new()) };
        let kept = self.kept.take().into_iter();
        let kept = kept.map(|(path, place)| Warning::Kept { path, place: [&left[..], &place].concat() });
        let kept: Vec<_> = kept.collect();
        Ok(kept.into_iter().chain([Warning::Left { path: left }]).collect())
    }

    fn has(&self, mark: &[u8]) -> std::result::Result<bool, Failure> {
        self.staging.has(mark).doing("look at", b"")
    }

    fn slots_directory(&self, slot: Slot) -> Result<Real> {
        self.staging.directory(slot.directory())
    }

    /// What a path led to before anything was taken out, wherever it is while that goes on.
    fn find_before(&self, path: &[u8]) -> Result<Option<Real>> {
        for dir in core::iter::once(path).chain(all_above(path)) {
            if let Some(slot) = self.slots.get(dir)
                && let Some(taken) = self.staging.slot(Slot::Out(*slot))?
            {
                return self.tree.follow(taken, path.get(dir.len()..).unwrap_or_default());
            }
        }
        self.tree.find(path)
    }

    /// Gives an inode that stays a name in staging.
    fn link(&self, link: &NewLink) -> Result<()> {
        let slot = Slot::In(link.slot);
        if self.staging.slot(slot)?.is_some() {
            return Ok(());
        }
        // Gone just now: so is the new name.
        let Some(inode) = self.find_before(&link.of.0)? else { return Ok(()) };
        if self.is_another(link.ino, &self.tree.attr(&inode)?) {
            return Ok(());
        }
        let dir = self.slots_directory(slot)?;
        match self.tree.link(&inode, (&dir, &slot.name())) {
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::XDEV) => {
                self.copy(&inode, (&dir, &slot.name()))
            }
            linked => linked,
        }
    }

    /// Whether it is not the inode that was meant, and may have names outside: one of them came here meanwhile. A copy of
    /// what was meant has no other name.
    fn is_another(&self, ino: u64, attr: &Attr) -> bool {
        self.has_numbers && attr.ino != ino && attr.nlink > 1
    }

    /// Copies what is no directory, to another name at first.
    fn copy(&self, inode: &Real, (dir, name): (&Real, &[u8])) -> Result<()> {
        let Tree { cx, fs } = self.tree;
        let begun = [name, b".new"].concat();
        self.tree.remove_all(dir, &begun)?;
        let attr = self.tree.attr(inode)?;
        let copy = make_like(cx, (fs, inode), &attr, (fs, at(dir, &begun)?))?;
        fill(cx, cx, (fs, inode), &attr, (fs, &copy), attr.size)?;
        self.tree.sync(&copy)?;
        self.tree.rename((dir, &begun), (dir, name), Rename::Replace)
    }

    fn take_out(&self, out: &Out) -> Result<()> {
        let slot = Slot::Out(out.slot);
        if let Some(taken) = self.staging.slot(slot)? {
            return self.remove_copied(&taken, &out.path.0);
        }
        let Some((_, name)) = split(&out.path.0) else { return Ok(()) };
        // Gone just now.
        let Some(dir) = self.find_before(above(&out.path.0))?.filter(|dir| dir.kind().is_dir()) else {
            return Ok(());
        };
        let slots = self.slots_directory(slot)?;
        match self.tree.rename((&dir, name), (&slots, &slot.name()), Rename::NoReplace) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(Errno::XDEV) => {
                let Some(inode) = self.tree.lookup(&dir, name)? else { return Ok(()) };
                if inode.kind().is_dir() {
                    return Err(Errno::XDEV);
                }
                self.copy(&inode, (&slots, &slot.name()))?;
                self.tree.sync(&slots)?;
                self.tree.remove(&dir, name, Remove::File)
            }
            renamed => renamed,
        }
    }

    /// What was copied to its slot, from another filesystem, may be where it was still.
    fn remove_copied(&self, taken: &Real, path: &[u8]) -> Result<()> {
        let Some((dir, name)) = split(path).filter(|_| !taken.kind().is_dir()) else { return Ok(()) };
        let Some(dir) = self.find_before(dir)?.filter(|dir| dir.kind().is_dir()) else { return Ok(()) };
        let Some(there) = self.tree.lookup(&dir, name)?.filter(|there| there.kind() == taken.kind()) else {
            return Ok(());
        };
        let (copy, there) = (self.tree.attr(taken)?, self.tree.attr(&there)?);
        let same = (copy.size, copy.mtime) == (there.size, there.mtime);
        if same && copy.dev != there.dev { self.tree.remove(&dir, name, Remove::File) } else { Ok(()) }
    }

    fn sync_after_outs(&self) -> Result<()> {
        let dirs: BTreeSet<_> = self.journal.outs.iter().map(|out| above(&out.path.0)).collect();
        for dir in dirs {
            if let Some(dir) = self.find_before(dir)?.filter(|dir| dir.kind().is_dir()) {
                self.tree.sync(&dir)?;
            }
        }
        for slot in [Slot::Out(0), Slot::In(0)] {
            self.tree.sync(&self.slots_directory(slot)?)?;
        }
        Ok(())
    }

    fn put_in(&self, come: &In) -> Result<()> {
        let Some(inode) = self.staging.slot(come.slot)? else { return Ok(()) };
        let Some((dir, name)) = split(&come.path.0) else { return Ok(()) };
        // Where somebody took the directory away, what was to be in it stays in staging.
        let Some(dir) = self.tree.directory(dir)? else { return Ok(()) };
        let (slots, slot) = (self.slots_directory(come.slot)?, come.slot.name());
        if let Some(there) = self.tree.lookup(&dir, name)? {
            if there.id() == inode.id() {
                // Two names of one inode: a rename would leave both.
                return self.tree.remove(&slots, &slot, Remove::File);
            }
            if !come.replaces || there.kind().is_dir() || !self.is_as_it_was(&there, come.was.as_ref())? {
                self.displace(&dir, name, come)?;
            }
        }
        let how = if come.replaces { Rename::Replace } else { Rename::NoReplace };
        match self.tree.rename((&slots, &slot), (&dir, name), how) {
            Err(Errno::XDEV) if !inode.kind().is_dir() => {
                let beside = [super::staging::NAME, b".", &slot].concat();
                self.tree.remove_all(&dir, &beside)?;
                self.copy(&inode, (&dir, &beside))?;
                self.tree.rename((&dir, &beside), (&dir, name), how)?;
                self.tree.sync(&dir)?;
                self.tree.remove(&slots, &slot, Remove::File)
            }
            renamed => renamed,
        }
    }

    /// Something came meanwhile to where something else is to be: it is kept in staging, which stays then.
    fn displace(&self, dir: &Real, name: &[u8], come: &In) -> Result<()> {
        let out = self.slots_directory(Slot::Out(0))?;
        for number in 0u32.. {
            let aside = [&come.slot.name()[..], b".displaced", format!("-{number}").as_bytes()].concat();
            match self.tree.rename((dir, name), (&out, &aside), Rename::NoReplace) {
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => return Ok(()),
                renamed => {
                    renamed?;
                    self.note_kept(&come.path.0, &aside);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn note_kept(&self, path: &[u8], place: &[u8]) {
        self.kept.borrow_mut().push((path.to_vec(), [b"/out/", place].concat()));
    }

    fn settle_attributes(&self) -> std::result::Result<(), Failure> {
        for dir in &self.journal.touched {
            self.restore_mode(&dir.path.0, Mode::from_raw(dir.mode))
                .doing("change the mode of", &dir.path.0)?;
        }
        for one in &self.journal.attributes {
            self.set_attributes(one).doing("change the attributes of", &one.path.0)?;
        }
        // What is in a directory first: nothing changes it after that.
        for dir in self.journal.touched.iter().rev() {
            if let Some(inode) = self.tree.directory(&dir.path.0).doing("look at", &dir.path.0)? {
                self.set_times(&inode, &dir.times()).doing("change the times of", &dir.path.0)?;
            }
        }
        Ok(())
    }

    /// Who may change names in a directory may not choose its times, unless it is his: then they are those of the changes.
    fn set_times(&self, dir: &Real, times: &SetAttr) -> Result<()> {
        match self.tree.set(dir, times) {
            Err(Errno::PERM | Errno::ACCES) => Ok(()),
            set => set,
        }
    }

    /// An apply that was interrupted may have let its owner do more.
    fn restore_mode(&self, dir: &[u8], mode: Mode) -> Result<()> {
        let Some(inode) = self.tree.directory(dir)? else { return Ok(()) };
        if self.tree.attr(&inode)?.mode != mode {
            self.tree.set(&inode, &SetAttr { mode: Some(mode), ..SetAttr::default() })?;
        }
        Ok(())
    }

    fn set_attributes(&self, one: &Attributes) -> Result<()> {
        let Tree { cx, fs } = self.tree;
        let Some(inode) = self.tree.find(&one.path.0)? else { return Ok(()) };
        let attr = self.tree.attr(&inode)?;
        if self.is_another(one.ino, &attr) {
            return Ok(());
        }
        // Nothing comes to run as its owner by what a journal says.
        let allowed = if attr.kind == FileType::Regular {
            Mode::all() - ((Mode::SETUID | Mode::SETGID) - attr.mode)
        } else {
            Mode::all()
        };
        let mode = one.mode.map(|mode| Mode::from_raw(mode) & allowed).filter(|_| !attr.kind.is_symlink());
        if let Some(xattrs) = one.xattrs.as_ref().filter(|_| !attr.kind.is_symlink()) {
            with_leave(cx, fs, &[&inode], || self.set_xattrs(&inode, xattrs))?;
        }
        let owner = (attr.uid, attr.gid) != (one.uid, one.gid);
        let set = SetAttr {
            uid: owner.then_some(one.uid),
            gid: owner.then_some(one.gid),
            // A change of the owner takes bits of the mode.
            mode: mode.filter(|mode| owner || *mode != attr.mode),
            ..SetAttr::default()
        };
        if set != SetAttr::default() {
            self.tree.set(&inode, &set)?;
        }
        self.tree.sync(&inode)
    }

    fn set_xattrs(
        &self,
        inode: &Real,
        wanted: &[(super::journal::Bytes, super::journal::Bytes)],
    ) -> Result<()> {
        let Tree { cx, fs } = self.tree;
        let mut names: Vec<Box<[u8]>> = Vec::new();
        match fs.list_xattr(cx, inode, &mut |name| names.push(name.into())) {
            Err(Errno::OPNOTSUPP) if wanted.is_empty() => return Ok(()),
            listed => listed?,
        }
        for name in names.iter().filter(|name| name.starts_with(b"user.")) {
            if !wanted.iter().any(|(wanted, _)| *wanted.0 == **name) {
                fs.remove_xattr(cx, inode, name)?;
            }
        }
        for (name, value) in wanted.iter().filter(|(name, _)| name.0.starts_with(b"user.")) {
            fs.set_xattr(cx, inode, &name.0, &value.0, SetXattr::Any)?;
        }
        Ok(())
    }

    fn sync_after_ins(&self) -> std::result::Result<(), Failure> {
        let ins = self.journal.ins.iter().map(|come| above(&come.path.0));
        let touched = self.journal.touched.iter().map(|dir| &*dir.path.0);
        let links = self.journal.attributes.iter().map(|one| above(&one.path.0));
        let dirs: BTreeSet<_> = ins.chain(touched).chain(links).collect();
        for path in dirs {
            if let Some(dir) = self.tree.directory(path).doing("look at", path)? {
                self.tree.sync(&dir).doing("sync", path)?;
            }
        }
        for slot in [Slot::Out(0), Slot::In(0)] {
            let dir = self.slots_directory(slot).doing("look at", b"")?;
            self.tree.sync(&dir).doing("sync", b"")?;
        }
        Ok(())
    }

    /// Whether a file is what it was when all this was planned: an apply may have been interrupted since, for days.
    fn is_as_it_was(&self, there: &Real, was: Option<&Was>) -> Result<bool> {
        match was {
            Some(was) => Ok(was.is_still(&self.tree.attr(there)?, self.has_numbers)),
            None => Ok(true),
        }
    }

    fn clear_one(&self, slot: Slot, gone: &Gone) -> Result<()> {
        let what = if gone.is_dir { Remove::Directory } else { Remove::File };
        let Some(top) = self.staging.slot(slot)? else { return Ok(()) };
        let (dir, name) = match split(&gone.path.0) {
            None => (Some(self.slots_directory(slot)?), slot.name()),
            Some((dir, name)) => (self.tree.follow(top, dir)?, name.to_vec()),
        };
        let Some(dir) = dir.filter(|dir| dir.kind().is_dir()) else { return Ok(()) };
        if !gone.is_dir
            && let Some(there) = self.tree.lookup(&dir, &name)?
            && !self.is_as_it_was(&there, gone.was.as_ref())?
        {
            let place = [&slot.name()[..], &gone.path.0].concat();
            let out = self.journal.outs.iter().find(|out| out.slot == gone.slot);
            let was_at = out.map(|out| [&out.path.0[..], &gone.path.0].concat());
            self.note_kept(&was_at.unwrap_or_else(|| place.clone()), &place);
            return Ok(());
        }
        match self.tree.remove(&dir, &name, what) {
            // Something else is there by now, or is in it: it stays.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR | Errno::NOTDIR | Errno::BUSY) => Ok(()),
            removed => removed,
        }
    }

    /// The root shows the time that it should, though staging was removed from it. Nothing is lost if it doesn't.
    fn restore_root(&self) {
        let root = self.tree.fs.root();
        if let Some(touched) = self.journal.touched.iter().find(|dir| dir.path.0.is_empty()) {
            let _ = self.tree.set(&root, &touched.times());
        }
    }
}
