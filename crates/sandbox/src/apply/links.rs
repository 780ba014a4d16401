//! Names of one inode: what is one inode in the view is one where changes are applied.

use std::any::Any;
use std::collections::{BTreeMap, HashMap, HashSet};

use vnode_core::fs::{At, Filesystem as _, InodeId};
use vnode_core::{FileType, Mode, Name};
use vnode_overlay::{Identity, Node};

use super::Warning;
use super::error::{Doing as _, Failure};
use super::items::Item;
use super::plan::{ByInode, Planner};
use super::tree::Real;
use crate::changes::{ChangeKind, Shown};
use crate::compare::{Found, same_content};

/// Files that are one inode in the view, as far as they are changed.
pub(crate) struct Group {
    pub(crate) items: Vec<usize>,
    /// Where the inode is that it is still, if its content is the same.
    pub(crate) home: Option<Vec<u8>>,
}

/// Where what comes to a name is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// What is there stays, and gets other attributes.
    InPlace,
    /// From where it is now.
    Moved,
    /// It is another name of what is there now, wherever that comes to be.
    LinkTo(Vec<u8>),
    /// It is made.
    Made,
    /// It is another name of what is made for this item.
    Second(usize),
}

/// By what an inode of the view is known in what the view is of.
pub(crate) fn identity(
    cx: &vnode_core::Cx<'_>,
    shown: &Shown,
    found: &Found,
) -> vnode_core::Result<Option<Identity>> {
    match (&*found.inode as &dyn Any).downcast_ref::<Node>() {
        Some(node) => shown.overlay.origin(cx, node),
        None => Ok(None),
    }
}

impl Planner<'_> {
    /// The files that are to be somewhere, by inode.
    pub(crate) fn groups(&self) -> Result<Vec<Group>, Failure> {
        let mut by_inode = ByInode::new();
        for (index, item) in self.items.iter().enumerate().filter(|(_, item)| !item.done) {
            if let Some(new) = item.new.as_ref().filter(|new| !new.kind().is_dir()) {
                by_inode.entry(new.inode.id()).or_default().push(index);
            }
        }
        by_inode.into_values().map(|items| self.group(items)).collect()
    }

    fn group(&self, items: Vec<usize>) -> Result<Group, Failure> {
        let Some((first, new)) =
            items.first().and_then(|index| Some((*index, self.item(*index).new.as_ref()?)))
        else {
            return Ok(Group { items, home: None });
        };
        let path = &self.item(first).path;
        let home = match identity(self.tree.cx, self.now, new).doing("look at", path)? {
            Some(origin) => self.home(&items, origin, new)?,
            None => None,
        };
        Ok(Group { items, home })
    }

    /// Where the inode is that a file was copied from, if it has the same content.
    fn home(&self, items: &[usize], origin: Identity, new: &Found) -> Result<Option<Vec<u8>>, Failure> {
        let cx = self.tree.cx;
        let (mut found, mut is_compared) = (None, false);
        for item in items.iter().map(|index| self.item(*index)) {
            let (Some(old), Some((inode, attr)), Some(path)) = (&item.old, &item.now, &item.old_path) else {
                continue;
            };
            if identity(cx, self.before, old).doing("look at", path)? == Some(origin) {
                if item.kind == ChangeKind::Modified {
                    return Ok(None);
                }
                found = Some((path.clone(), inode.clone(), *attr));
                is_compared = item.kind == ChangeKind::Attributes;
                break;
            }
        }
        if found.is_none() {
            found = self.recorded(origin)?;
        }
        let Some((path, inode, attr)) = found else { return Ok(None) };
        let there = Found { filesystem: self.tree.fs.clone(), inode, attr };
        let runs_as = |mode: Mode| mode & (Mode::SETUID | Mode::SETGID);
        // What is to run as its owner is made, so that no journal says so.
        let gets_set_id =
            new.kind() == FileType::Regular && !runs_as(attr.mode).contains(runs_as(new.attr.mode));
        let same = !gets_set_id
            && self.is_still(&path, new)?
            && there.kind() == new.kind()
            && (is_compared || same_content(cx, &there, new).doing("compare", &path)?);
        Ok(same.then_some(path))
    }

    /// Whether a name of an inode stands for it in the view too, if it stays: another one may be just like it.
    fn is_still(&self, path: &[u8], new: &Found) -> Result<bool, Failure> {
        // One that gets other attributes may get them where it is, and one that is renamed may take it along.
        if let Some(item) = self.by_old_path.get(path).map(|index| self.item(*index)) {
            let is_it = item.new.as_ref().is_some_and(|other| other.inode.id() == new.inode.id());
            let goes = matches!(
                item.kind,
                ChangeKind::Removed | ChangeKind::Modified | ChangeKind::TypeChanged | ChangeKind::Relinked
            );
            return Ok(is_it || (goes && !item.done));
        }
        let shown = self.shown(&self.renames.after(path))?;
        Ok(shown.is_some_and(|shown| shown.inode.id() == new.inode.id()))
    }

    /// An inode by the names by which it was touched.
    fn recorded(&self, origin: Identity) -> Result<Option<(Vec<u8>, Real, vnode_core::Attr)>, Failure> {
        let Some(records) = &self.records else { return Ok(None) };
        for path in records.names_of(origin.dev, origin.ino) {
            let Some(inode) = self.tree.find(path).doing("look at", path)? else { continue };
            let attr = self.tree.attr(&inode).doing("look at", path)?;
            if records.is_as_it_was(path, &attr) == Some(true) {
                return Ok(Some((path.clone(), inode, attr)));
            }
        }
        Ok(None)
    }

    /// Finds the names that no change tells of, of files that are made anew.
    pub(crate) fn take_others_along(&mut self, groups: &mut [Group]) -> Result<(), Failure> {
        let mut wanted: HashMap<InodeId, usize> = HashMap::new();
        for (number, group) in groups.iter().enumerate() {
            let news = group.items.iter().filter_map(|index| self.item(*index).new.as_ref());
            let names = news.clone().count();
            let more = news.clone().next().filter(|new| new.attr.nlink as usize > names);
            // What stays shows its changes by all names.
            if let Some(new) = more.filter(|_| group.home.is_none()) {
                wanted.insert(new.inode.id(), number);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let told: HashSet<Vec<u8>> =
            self.items.iter().filter(|item| item.new.is_some()).map(|item| item.path.clone()).collect();
        let mut found = self.other_names(&wanted)?;
        for (path, ..) in &mut found {
            *path = self.not_renamed.before(path);
        }
        found.retain(|(path, ..)| !told.contains(path));
        for (path, inode, number) in found {
            let Some(group) = groups.get_mut(number) else { continue };
            let new = Found::new(self.tree.cx, &self.now.filesystem, inode).doing("look at", &path)?;
            let old_path = self.renames.before(&path);
            group.items.push(self.items.len());
            self.items.push(Item::relinked(path, old_path, &new));
            self.look_at_old(self.items.len() - 1)?;
        }
        for number in wanted.into_values() {
            let Some(group) = groups.get(number) else { continue };
            let first = group.items.first().map(|index| self.item(*index));
            let Some((item, new)) = first.and_then(|item| Some((item, item.new.as_ref()?))) else { continue };
            if new.attr.nlink as usize > group.items.len() {
                let path = item.path.clone();
                self.steps.warnings.push(Warning::LinkedOutside { path });
            }
        }
        Ok(())
    }

    /// All names in the view of these inodes.
    fn other_names(&self, wanted: &HashMap<InodeId, usize>) -> Result<Vec<(Vec<u8>, Real, usize)>, Failure> {
        let (cx, fs) = (self.tree.cx, &self.now.filesystem);
        let mut found = Vec::new();
        let mut left = vec![(Vec::new(), fs.root())];
        while let Some((dir, inode)) = left.pop() {
            cx.check_canceled().doing("look for links in", &dir)?;
            let shown = Found::new(cx, fs, inode).doing("look at", &dir)?;
            for name in shown.names(cx).doing("list", &dir)? {
                let path = [&dir[..], b"/", &name].concat();
                let name = Name::new(&name).doing("look at", &path)?;
                let inode = fs.lookup(cx, At { dir: &shown.inode, name }).doing("look at", &path)?;
                if inode.kind().is_dir() {
                    left.push((path, inode));
                } else if let Some(number) = wanted.get(&inode.id()) {
                    found.push((path, inode, *number));
                }
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(found)
    }

    /// Where what comes to each item's name is from.
    pub(crate) fn sources(&self, groups: &[Group]) -> BTreeMap<usize, Source> {
        let mut sources = BTreeMap::new();
        for group in groups {
            let alone = group.items.len() == 1;
            let first = group.items.iter().copied().min();
            for &index in &group.items {
                let item = self.item(index);
                let names = |found: &Option<Found>| found.as_ref().map_or(0, |found| found.attr.nlink);
                let in_place = item.kind == ChangeKind::Attributes
                    && match &group.home {
                        Some(home) => item.old_path.as_ref() == Some(home) || self.is_name_of(item, home),
                        None => {
                            alone && names(&item.old) == 1 && names(&item.new) == 1 && !self.gets_set_id(item)
                        }
                    };
                let source = match &group.home {
                    _ if in_place => Source::InPlace,
                    Some(_) if item.kind == ChangeKind::Renamed => Source::Moved,
                    Some(home) => Source::LinkTo(home.clone()),
                    None if first == Some(index) => Source::Made,
                    None => Source::Second(first.unwrap_or(index)),
                };
                sources.insert(index, source);
            }
        }
        sources
    }

    fn gets_set_id(&self, item: &Item) -> bool {
        let runs_as = |mode: Mode| mode & (Mode::SETUID | Mode::SETGID);
        let (Some((_, now)), Some(new)) = (&item.now, &item.new) else { return false };
        new.kind() == FileType::Regular && !runs_as(now.mode).contains(runs_as(new.attr.mode))
    }

    /// Whether an item's name is another one of what is there.
    fn is_name_of(&self, item: &Item, home: &[u8]) -> bool {
        let there = self.tree.find(home).ok().flatten();
        there.zip(item.now.as_ref()).is_some_and(|(there, (now, _))| there.id() == now.id())
    }
}
