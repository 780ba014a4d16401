//! From what was changed to what is to be done.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use vnode_core::fs::InodeId;
use vnode_core::{Attr, FileType, Mode};

use super::check::{Expected, Records};
use super::error::{ApplyError, Conflict, ConflictKind, Doing as _, Failure};
use super::items::Item;
use super::journal::{Attributes, Bytes, In, Journal, NewLink, Slot, VERSION, Was};
use super::links::Source;
use super::renames::Renames;
use super::staging::is_reserved;
use super::tree::{Real, Tree};
use super::{Operation, Warning};
use crate::changes::{ChangeKind, Shown};
use crate::compare::{Found, same_attributes, same_content};
use crate::paths::{above, all_above, by_names, split};
use crate::user::User;

/// What is made before anything is changed.
pub(crate) struct Staged {
    /// Where it is then.
    pub(crate) path: Vec<u8>,
    pub(crate) place: Place,
    pub(crate) content: Content,
    pub(crate) like: Found,
}

/// Where it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Slot(u64),
    /// In a directory that is made too.
    Below(usize),
}

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// An inode.
    New,
    /// Another name of one that was made.
    Link(usize),
}

/// What is to be done, and what is in the way of it.
pub(crate) struct Steps {
    pub(crate) journal: Journal,
    pub(crate) staged: Vec<Staged>,
    pub(crate) expected: Expected,
    pub(crate) operations: Vec<Operation>,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) warnings: Vec<Warning>,
}

/// What planning looks at.
pub(crate) struct Planner<'a> {
    pub(crate) tree: Tree<'a>,
    pub(crate) now: &'a Shown,
    pub(crate) before: &'a Shown,
    /// Nothing: what changes are brought to is taken to be as it was.
    pub(crate) records: Option<Records>,
    pub(crate) force: bool,
    pub(crate) items: Vec<Item>,
    pub(crate) renames: Renames,
    /// Directories that were renamed in the view and stay where they are.
    pub(crate) not_renamed: Renames,
    /// What is taken away, and whether it goes for good.
    pub(crate) leaving: HashMap<Vec<u8>, Leaving>,
    /// Directories that are made, by where they are then.
    pub(crate) made: HashMap<Vec<u8>, usize>,
    /// What is made, by where it is then.
    staged: HashMap<Vec<u8>, usize>,
    /// Items by where they are before.
    pub(crate) by_old_path: HashMap<Vec<u8>, usize>,
    /// Where something is mounted in the directory.
    pub(crate) mounted: HashSet<Vec<u8>>,
    /// Who applies, if that isn't root.
    pub(crate) user: Option<User>,
    /// Where the directory is on the host.
    pub(crate) host: Option<&'a Path>,
    /// What gets other attributes and is another user's.
    pub(crate) foreign: Vec<Vec<u8>>,
    /// Files that stay, whatever their names are then.
    pub(crate) kept: HashSet<(u64, u64)>,
    pub(crate) steps: Steps,
}

/// Something that is taken away from where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    pub(crate) slot: u64,
    pub(crate) is_dir: bool,
    /// Whether it comes back somewhere else.
    pub(crate) comes: bool,
    /// What it is now, if that is no directory.
    pub(crate) was: Option<Was>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(tree: Tree<'a>, now: &'a Shown, before: &'a Shown, items: Vec<Item>) -> Self {
        let journal = Journal { version: VERSION, ..Journal::default() };
        let steps = Steps {
            journal,
            staged: Vec::new(),
            expected: Expected::default(),
            operations: Vec::new(),
            conflicts: Vec::new(),
            warnings: Vec::new(),
        };
        let dirs = items.iter().filter(|item| item.is_moved_dir());
        let renames = Renames::new(dirs.filter_map(|item| Some((item.old_path.as_deref()?, &*item.path))));
        Planner {
            tree,
            now,
            before,
            records: None,
            force: false,
            items,
            renames,
            not_renamed: Renames::default(),
            leaving: HashMap::new(),
            made: HashMap::new(),
            staged: HashMap::new(),
            by_old_path: HashMap::new(),
            kept: HashSet::new(),
            mounted: HashSet::new(),
            user: None,
            host: None,
            foreign: Vec::new(),
            steps,
        }
    }

    /// Plans all of it.
    pub(crate) fn plan(mut self) -> Result<Steps, ApplyError> {
        self.items.sort_by(|one, other| by_names(&one.path, &other.path).then(one.kind.cmp(&other.kind)));
        for item in &self.items {
            let old = item.old_path.as_deref().unwrap_or_default();
            if is_reserved(&item.path) || is_reserved(old) {
                return Err(ApplyError::Reserved { path: item.path.clone() });
            }
        }
        for (index, item) in self.items.iter().enumerate() {
            self.by_old_path.extend(item.old_path.clone().map(|path| (path, index)));
        }
        for index in 0..self.items.len() {
            self.look_at_old(index)?;
        }
        let mut groups = self.groups()?;
        for group in groups.iter().filter(|group| group.home.is_none()) {
            for index in &group.items {
                self.check_source(*index)?;
            }
        }
        self.take_others_along(&mut groups)?;
        let stay: HashSet<usize> = groups
            .iter()
            .filter(|group| group.home.is_some())
            .flat_map(|group| group.items.iter().copied())
            .collect();
        for index in 0..self.items.len() {
            self.take_away(index, &stay);
        }
        self.clear_below()?;
        let sources = self.sources(&groups);
        for index in 0..self.items.len() {
            if !self.item(index).done && self.item(index).new.is_some() {
                self.bring(index, sources.get(&index))?;
            }
        }
        self.steps.journal.ins.sort_by(|one, other| by_names(&one.path.0, &other.path.0));
        self.take_out()?;
        self.check_mounts()?;
        self.check_permissions()?;
        self.check_seals()?;
        self.note_touched()?;
        self.note_rest()?;
        self.tell();
        Ok(self.steps)
    }

    /// What the view shows for a path where changes are brought to.
    pub(crate) fn shown(&self, path: &[u8]) -> Result<Option<Found>, Failure> {
        let there = self.not_renamed.after(path);
        Found::at(self.tree.cx, &self.now.filesystem, &there).doing("look at", &there)
    }

    pub(crate) fn item(&self, index: usize) -> &Item {
        &self.items[index]
    }

    pub(crate) fn conflict(&mut self, path: &[u8], kind: ConflictKind) {
        self.steps.conflicts.push(Conflict { path: path.to_vec(), kind });
    }

    /// Finds what an item is about, and whether it is what it was.
    pub(crate) fn look_at_old(&mut self, index: usize) -> Result<(), Failure> {
        let item = self.item(index).clone();
        let Some(path) = item.old_path.clone() else { return Ok(()) };
        let (tree, kind) = (self.tree, item.kind);
        let found = tree.find(&path).doing("look at", &path)?;
        let Some(inode) = found else {
            self.steps.expected.note(&path, None);
            if kind == ChangeKind::Removed {
                self.items[index].done = true;
                return Ok(());
            }
            self.conflict(&path, ConflictKind::Deleted);
            let item = &mut self.items[index];
            // Forced, it is made anew.
            (item.kind, item.old, item.old_path) = (ChangeKind::Added, None, None);
            return Ok(());
        };
        let attr = tree.attr(&inode).doing("look at", &path)?;
        self.steps.expected.note(&path, Some(&attr));
        let wanted = item.old.as_ref().map(Found::kind);
        let fits = match &self.records {
            Some(records) => records.is_as_it_was(&path, &attr),
            None => Some(wanted.is_none_or(|kind| kind == attr.kind)),
        };
        let there = Found { filesystem: tree.fs.clone(), inode: inode.clone(), attr };
        if fits != Some(true) {
            let stays = item.path == self.renames.after(&path)
                && !matches!(kind, ChangeKind::Renamed | ChangeKind::Relinked);
            if let (Some(new), true) = (&item.new, stays)
                && self.is_equal(&there, new).doing("compare", &path)?
            {
                self.items[index].done = true;
                return Ok(());
            }
            let why = if fits.is_none() { ConflictKind::Unrecorded } else { ConflictKind::Changed };
            self.conflict(&path, why);
            let item = &mut self.items[index];
            let is_alike = matches!(item.kind, ChangeKind::Attributes | ChangeKind::Relinked);
            if is_alike && item.new_kind() != Some(attr.kind) {
                item.kind = ChangeKind::TypeChanged;
            }
        }
        self.items[index].now = Some((inode, attr));
        Ok(())
    }

    pub(crate) fn is_equal(&self, there: &Found, new: &Found) -> vnode_core::Result<bool> {
        let cx = self.tree.cx;
        Ok(there.kind() == new.kind() && same_content(cx, there, new)? && same_attributes(cx, there, new)?)
    }

    /// What leaves its place.
    fn take_away(&mut self, index: usize, stay: &HashSet<usize>) {
        let item = self.item(index);
        if item.done || !item.leaves() {
            return;
        }
        let comes = item.kind == ChangeKind::Renamed && (item.is_moved_dir() || stay.contains(&index));
        let is_dir = item.is_dir_now();
        let was = item.now.as_ref().filter(|_| !is_dir).map(|(_, attr)| Was::of(attr));
        if let Some(path) = item.old_path.clone() {
            let slot = self.steps.journal.slot();
            self.leaving.insert(path, Leaving { slot, is_dir, comes, was });
        }
    }

    /// Finds what is in directories that go, and isn't known of.
    fn clear_below(&mut self) -> Result<(), Failure> {
        let dirs = self.leaving.iter().filter(|(_, leaving)| leaving.is_dir && !leaving.comes);
        let mut left: Vec<_> = dirs.map(|(path, _)| path.clone()).collect();
        while let Some(dir) = left.pop() {
            let Some(inode) = self.tree.directory(&dir).doing("look at", &dir)? else { continue };
            for (name, kind) in self.tree.list(&inode).doing("list", &dir)? {
                let path = [&dir[..], b"/", &name].concat();
                if self.leaving.contains_key(&path) {
                    continue;
                }
                self.conflict(&path, ConflictKind::NotEmpty);
                self.forced_away(&path, kind)?;
                if kind.is_dir() {
                    left.push(path);
                }
            }
        }
        Ok(())
    }

    /// Something goes that no change tells of.
    fn forced_away(&mut self, path: &[u8], kind: FileType) -> Result<(), Failure> {
        if !self.force {
            return Ok(());
        }
        let attr = self.attr_at(path)?;
        self.steps.expected.note(path, attr.as_ref());
        let (slot, is_dir) = (self.steps.journal.slot(), kind.is_dir());
        let was = attr.as_ref().filter(|_| !is_dir).map(Was::of);
        self.leaving.insert(path.to_vec(), Leaving { slot, is_dir, comes: false, was });
        self.steps.operations.push(Operation { kind: ChangeKind::Removed, path: path.to_vec(), from: None });
        Ok(())
    }

    /// What comes to its place, or is changed where it is.
    fn bring(&mut self, index: usize, source: Option<&Source>) -> Result<(), Failure> {
        let item = self.item(index).clone();
        let (Some(new), path) = (item.new.clone(), item.path.clone()) else { return Ok(()) };
        if new.kind().is_dir() {
            return self.bring_directory(&item, &new);
        }
        let now = item.now.as_ref().filter(|_| !item.leaves());
        let replaced = now.map(|(_, attr)| Was::of(attr));
        let in_place = matches!(source, Some(Source::InPlace));
        if in_place {
            return self.set_attributes(&item, &new);
        }
        // Nothing takes the place of what stays but another name of it.
        if replaced.is_none() && !self.is_free(&item, &new)? {
            return Ok(());
        }
        let slot = match source {
            Some(Source::Moved) => match item.old_path.as_ref().and_then(|path| self.leaving.get(path)) {
                Some(leaving) => Slot::Out(leaving.slot),
                None => return Ok(()),
            },
            Some(Source::LinkTo(home)) => {
                let Some((_, attr)) = self.there_now(home)? else { return Ok(()) };
                let slot = self.steps.journal.slot();
                self.steps.journal.links.push(NewLink { of: Bytes(home.clone()), ino: attr.ino, slot });
                self.note_moved(home, Was::of(&attr));
                Slot::In(slot)
            }
            Some(Source::Second(first)) => match self.staged_for(*first) {
                Some(first) => return self.stage(path, new, Content::Link(first), replaced),
                None => return self.stage(path, new, Content::New, replaced),
            },
            _ => return self.stage(path, new, Content::New, replaced),
        };
        self.steps.journal.ins.push(In::new(slot, path, replaced));
        match source {
            Some(Source::LinkTo(home)) => {
                let now = self.there_now(home)?;
                self.set_attributes(&Item { now, ..item }, &new)
            }
            _ => self.set_attributes(&item, &new),
        }
    }

    fn there_now(&self, path: &[u8]) -> Result<Option<(Real, Attr)>, Failure> {
        let found = self.tree.find(path).doing("look at", path)?;
        let found = found.map(|inode| self.tree.attr(&inode).map(|attr| (inode, attr)));
        found.transpose().doing("look at", path)
    }

    pub(crate) fn attr_at(&self, path: &[u8]) -> Result<Option<Attr>, Failure> {
        Ok(self.there_now(path)?.map(|(_, attr)| attr))
    }

    fn staged_for(&self, item: usize) -> Option<usize> {
        self.staged.get(&self.item(item).path).copied()
    }

    /// Has something made, in its directory if that is made too.
    fn stage(
        &mut self,
        path: Vec<u8>,
        like: Found,
        content: Content,
        replaced: Option<Was>,
    ) -> Result<(), Failure> {
        let place = match self.made.get(above(&path)) {
            Some(dir) => Place::Below(*dir),
            None => {
                let slot = self.steps.journal.slot();
                let to = In::new(Slot::In(slot), path.clone(), replaced);
                self.steps.journal.ins.push(to);
                Place::Slot(slot)
            }
        };
        if like.kind().is_dir() {
            self.made.insert(path.clone(), self.steps.staged.len());
        }
        if content == Content::New {
            self.staged.insert(path.clone(), self.steps.staged.len());
        }
        self.warn_of(&path, &like);
        self.steps.staged.push(Staged { path, place, content, like });
        Ok(())
    }

    fn warn_of(&mut self, path: &[u8], made: &Found) {
        let path = path.to_vec();
        match made.kind() {
            FileType::CharDevice | FileType::BlockDevice => {
                self.steps.warnings.push(Warning::Device { path })
            }
            FileType::Regular if made.attr.mode.intersects(Mode::SETUID | Mode::SETGID) => {
                self.steps.warnings.push(Warning::SetId { path });
            }
            _ => {}
        }
    }

    fn bring_directory(&mut self, item: &Item, new: &Found) -> Result<(), Failure> {
        if item.is_moved_dir() && item.now.is_some() {
            if self.is_free(item, new)?
                && let Some(leaving) = item.old_path.as_ref().and_then(|path| self.leaving.get(path))
            {
                let come = In::new(Slot::Out(leaving.slot), item.path.clone(), None);
                self.steps.journal.ins.push(come);
                self.set_attributes(item, new)?;
            }
            return Ok(());
        }
        if item.now.is_some() && !item.leaves() {
            return self.set_attributes(item, new);
        }
        if self.is_free(item, new)? {
            self.stage(item.path.clone(), new.clone(), Content::New, None)?;
        }
        Ok(())
    }

    /// Gives what is there the attributes that are to be, if it has others.
    fn set_attributes(&mut self, item: &Item, new: &Found) -> Result<(), Failure> {
        let Some((inode, attr)) = &item.now else { return Ok(()) };
        if !attr.kind.is_dir() {
            self.kept.insert((attr.dev, attr.ino));
        }
        let there = Found { filesystem: self.tree.fs.clone(), inode: inode.clone(), attr: *attr };
        if same_attributes(self.tree.cx, &there, new).doing("compare", &item.path)? {
            return Ok(());
        }
        let attr = *attr;
        self.check_owner(&item.path, &attr);
        self.warn_of(&item.path, new);
        let has_xattrs = matches!(new.kind(), FileType::Regular | FileType::Directory);
        let xattrs =
            if has_xattrs { Some(new.xattrs(self.tree.cx).doing("read", &item.path)?) } else { None };
        let pair =
            |(name, value): (Box<[u8]>, std::sync::Arc<[u8]>)| (Bytes(name.into()), Bytes(value.to_vec()));
        self.steps.journal.attributes.push(Attributes {
            path: Bytes(item.path.clone()),
            ino: attr.ino,
            mode: (!new.kind().is_symlink()).then_some(new.attr.mode.raw()),
            uid: new.attr.uid,
            gid: new.attr.gid,
            xattrs: xattrs.map(|xattrs| xattrs.into_iter().map(pair).collect()),
        });
        Ok(())
    }

    /// Whether something can be put where nothing was. What is there already and the same counts as done.
    fn is_free(&mut self, item: &Item, new: &Found) -> Result<bool, Failure> {
        let Some((dir, name)) = split(&item.path) else { return Ok(false) };
        if self.made.contains_key(dir) {
            return Ok(true);
        }
        let dir_before = self.renames.before(dir);
        let here = [&dir_before[..], b"/", name].concat();
        let is_dir = match self.leaving.get(&dir_before) {
            // The directory that is to be there is another one, and isn't made: it is gone.
            Some(leaving) if !leaving.comes => false,
            _ => self.tree.directory(&dir_before).doing("look at", dir)?.is_some(),
        };
        if !is_dir {
            self.conflict(dir, ConflictKind::Deleted);
            if self.force {
                self.make_directories(dir)?;
            }
            return Ok(self.force);
        }
        if self.leaving.contains_key(&here) {
            return Ok(true);
        }
        let Some(inode) = self.tree.find(&here).doing("look at", &here)? else {
            self.steps.expected.note(&here, None);
            self.check_deleted(item, new, &here)?;
            return Ok(true);
        };
        let attr = self.tree.attr(&inode).doing("look at", &here)?;
        self.steps.expected.note(&here, Some(&attr));
        let there = Found { filesystem: self.tree.fs.clone(), inode, attr };
        if item.kind == ChangeKind::Added && self.is_equal(&there, new).doing("compare", &here)? {
            return Ok(false);
        }
        self.conflict(&item.path, ConflictKind::Appeared);
        if self.force {
            self.forced_away(&here, attr.kind)?;
            self.clear_below()?;
        }
        Ok(self.force)
    }

    /// Has directories made that are gone.
    fn make_directories(&mut self, dir: &[u8]) -> Result<(), Failure> {
        let mut missing = Vec::new();
        for dir in core::iter::once(dir).chain(all_above(dir)) {
            if self.made.contains_key(dir)
                || self.tree.directory(&self.renames.before(dir)).doing("look at", dir)?.is_some()
            {
                break;
            }
            missing.push(dir.to_vec());
        }
        while let Some(dir) = missing.pop() {
            let like = self.shown(&dir)?;
            let Some(like) = like.filter(|like| like.kind().is_dir()) else { continue };
            self.stage(dir, like, Content::New, None)?;
        }
        Ok(())
    }

    /// What is told of it.
    fn tell(&mut self) {
        let done = self.items.iter().filter(|item| !item.done);
        let told = done.map(|item| Operation {
            kind: item.kind,
            path: item.path.clone(),
            from: item.old_path.clone().filter(|_| item.kind == ChangeKind::Renamed),
        });
        let mut operations: Vec<_> = told.chain(self.steps.operations.drain(..)).collect();
        operations.sort_by(|one, other| one.path.cmp(&other.path).then(one.kind.cmp(&other.kind)));
        operations.dedup();
        self.steps.journal.changes = operations.iter().map(Operation::noted).collect();
        self.steps.operations = operations;
        self.steps.conflicts.sort_by(|one, other| one.path.cmp(&other.path).then(one.kind.cmp(&other.kind)));
        self.steps.conflicts.dedup();
    }
}

/// Items by what their names stand for then.
pub(crate) type ByInode = BTreeMap<InodeId, Vec<usize>>;
