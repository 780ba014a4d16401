//! Whether what changes are brought to is what it was.

use std::any::Any;
use std::collections::{HashMap, HashSet};

use vnode_core::fs::Filesystem as _;
use vnode_core::{Attr, FileType, Timespec};
use vnode_overlay::{Node, Touched};

use super::error::{ApplyError, Conflict, ConflictKind, Doing as _, Failure};
use super::items::Item;
use super::plan::{Place, Planner};
use super::tree::{Real, Tree};
use crate::changes::ChangeKind;
use crate::compare::Found;
use crate::paths::{above, all_above};

/// What was under names of the directory when they were first touched.
#[derive(Debug, Default)]
pub(crate) struct Records {
    by_path: HashMap<Vec<u8>, Touched>,
    by_identity: HashMap<(u64, u64), Vec<Vec<u8>>>,
}

impl Records {
    pub(crate) fn new(touched: Vec<Touched>) -> Self {
        let mut records = Records::default();
        for one in touched {
            records.by_identity.entry((one.dev, one.ino)).or_default().push(one.path.clone());
            records.by_path.insert(one.path.clone(), one);
        }
        records
    }

    /// By path.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Touched> {
        self.by_path.values()
    }

    pub(crate) fn at(&self, path: &[u8]) -> Option<&Touched> {
        self.by_path.get(path)
    }

    /// The names by which an inode was touched.
    pub(crate) fn names_of(&self, dev: u64, ino: u64) -> &[Vec<u8>] {
        self.by_identity.get(&(dev, ino)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether an inode is as it was when it was touched, by whatever name; nothing if it wasn't.
    pub(crate) fn is_as_it_was(&self, path: &[u8], attr: &Attr) -> Option<bool> {
        if let Some(touched) = self.at(path) {
            return Some(is_same(touched, attr));
        }
        let names = self.names_of(attr.dev, attr.ino).iter();
        names.filter_map(|name| self.at(name)).map(|touched| is_same(touched, attr)).next_back()
    }
}

/// Whether an inode is what was touched. Of a directory the times tell nothing: they change with its names.
fn is_same(touched: &Touched, attr: &Attr) -> bool {
    let is_it = (touched.kind, touched.dev, touched.ino) == (attr.kind, attr.dev, attr.ino);
    let times = (touched.size, touched.mtime, touched.ctime) == (attr.size, attr.mtime, attr.ctime);
    is_it && (times || attr.kind.is_dir())
}

/// What was seen of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    kind: FileType,
    dev: u64,
    ino: u64,
    /// Not of directories.
    content: Option<(u64, Timespec, Timespec)>,
}

impl Seen {
    pub(crate) fn of(attr: &Attr) -> Self {
        let content = (!attr.kind.is_dir()).then_some((attr.size, attr.mtime, attr.ctime));
        Seen { kind: attr.kind, dev: attr.dev, ino: attr.ino, content }
    }
}

/// What was seen of names when it was planned what to do with them.
#[derive(Debug, Default)]
pub(crate) struct Expected(HashMap<Vec<u8>, Option<Seen>>);

impl Expected {
    pub(crate) fn note(&mut self, path: &[u8], attr: Option<&Attr>) {
        self.0.insert(path.to_vec(), attr.map(Seen::of));
    }

    /// What is otherwise now.
    pub(crate) fn differences(&self, tree: &Tree<'_>) -> vnode_core::Result<Vec<Conflict>> {
        let mut found = Vec::new();
        for (path, seen) in &self.0 {
            let now = tree.find(path)?.map(|inode| tree.attr(&inode)).transpose()?;
            if now.as_ref().map(Seen::of) != *seen {
                found.push(Conflict { path: path.clone(), kind: ConflictKind::ChangedJustNow });
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }
}

impl Planner<'_> {
    /// Something is new because the host removed it since it was touched, or removed what it is a copy of.
    pub(crate) fn check_deleted(&mut self, item: &Item, new: &Found, here: &[u8]) -> Result<(), Failure> {
        let was_there = self.records.as_ref().is_some_and(|records| records.at(here).is_some());
        if was_there {
            self.conflict(here, ConflictKind::Deleted);
        }
        let Some(node) = (&*new.inode as &dyn Any).downcast_ref::<Node>() else { return Ok(()) };
        if new.kind().is_dir() && item.kind == ChangeKind::Added {
            let redirect = self.now.overlay.lost_redirect(self.tree.cx, node).doing("look at", &item.path)?;
            if let Some(from) = redirect {
                let from =
                    if from.starts_with(b"/") { from.to_vec() } else { [above(here), b"/", &from].concat() };
                self.conflict(&from, ConflictKind::Deleted);
            }
        }
        Ok(())
    }

    /// A file is new, and what it was copied from is nowhere any more.
    pub(crate) fn check_source(&mut self, item: usize) -> Result<(), Failure> {
        let item = self.item(item);
        let (Some(new), ChangeKind::Added) = (&item.new, item.kind) else { return Ok(()) };
        let Some(node) = (&*new.inode as &dyn Any).downcast_ref::<Node>() else { return Ok(()) };
        let origin = self.now.overlay.origin(self.tree.cx, node).doing("look at", &item.path)?;
        let (Some(origin), Some(records)) = (origin, &self.records) else { return Ok(()) };
        let mut gone = None;
        for path in records.names_of(origin.dev, origin.ino) {
            if self.tree.find(path).doing("look at", path)?.is_some() {
                return Ok(());
            }
            gone = gone.or(Some(path.clone()));
        }
        if let Some(path) = gone {
            self.conflict(&path, ConflictKind::Deleted);
        }
        Ok(())
    }

    /// No directory can be moved between filesystems; files are copied.
    pub(crate) fn check_mounts(&self) -> Result<(), ApplyError> {
        let dev =
            |inode: &Real, path: &[u8]| Ok::<_, Failure>(self.tree.attr(inode).doing("look at", path)?.dev);
        let root = dev(&self.tree.fs.root(), b"")?;
        let refused = |path: &[u8]| Err(ApplyError::OtherMount { path: path.to_vec() });
        let is_elsewhere = |path: &[u8]| -> Result<bool, Failure> {
            let by_mount =
                core::iter::once(path).chain(all_above(path)).any(|path| self.mounted.contains(path));
            let there = self.tree.find(path).doing("look at", path)?;
            Ok(by_mount || there.map(|there| dev(&there, path)).transpose()?.is_some_and(|dev| dev != root))
        };
        let moved: HashSet<u64> = self.steps.journal.outs.iter().map(|out| out.slot).collect();
        for (path, leaving) in &self.leaving {
            // Where something is mounted nothing can be taken away.
            let is_moved = leaving.is_dir && moved.contains(&leaving.slot);
            if self.mounted.contains(path) || (is_moved && is_elsewhere(path)?) {
                return refused(path);
            }
        }
        for come in self.steps.journal.ins.iter().filter(|come| come.replaces) {
            if self.mounted.contains(&self.renames.before(&come.path.0)) {
                return refused(&come.path.0);
            }
        }
        let made = self.steps.staged.iter().filter(|staged| staged.like.kind().is_dir());
        let made = made.filter(|staged| matches!(staged.place, Place::Slot(_))).map(|staged| &staged.path);
        let moved = self.items.iter().filter(|item| item.is_moved_dir() && !item.done).map(|item| &item.path);
        for path in made.chain(moved) {
            if is_elsewhere(&self.renames.before(above(path)))? {
                return refused(path);
            }
        }
        Ok(())
    }
}
