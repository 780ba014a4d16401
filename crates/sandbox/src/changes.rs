//! What was changed in a view: the overlay tells which names, and what was there is compared with what is.

use core::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use vnode_core::fs::{At, Filesystem as _};
use vnode_core::{Cx, Errno, FilesystemRef, Name, Result};
use vnode_overlay::{Identity, Node, Overlay, UpperName};

use crate::compare::{Found, same_attributes, same_content};
use crate::moves::Moves;
use crate::user::User;

/// One difference between what a view shows and what it showed before anything was changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// From the view's root, starting with `/`: where it is, or where it was if it was removed.
    pub path: Vec<u8>,
    /// Where it was, if that is another path: it was renamed, or is in a directory that was.
    pub from: Option<Vec<u8>>,
    /// What was done.
    pub kind: ChangeKind,
    /// What was there.
    pub old: Option<Found>,
    /// What is there.
    pub new: Option<Found>,
}

/// What was done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// It is new (`A`).
    Added,
    /// It was removed (`D`).
    Removed,
    /// It was renamed, and may have been modified (`R`).
    Renamed,
    /// It is of another type (`T`).
    TypeChanged,
    /// It has other content, or leads elsewhere (`M`).
    Modified,
    /// It has other permissions, owners or extended attributes, and nothing else (`m`).
    Attributes,
    /// It is just like what was there, but another file, which has other hard links (`L`).
    Relinked,
}

impl ChangeKind {
    /// Its letter, as `git status --short` has them, as far as it has.
    pub fn letter(self) -> char {
        match self {
            ChangeKind::Added => 'A',
            ChangeKind::Removed => 'D',
            ChangeKind::Renamed => 'R',
            ChangeKind::TypeChanged => 'T',
            ChangeKind::Modified => 'M',
            ChangeKind::Attributes => 'm',
            ChangeKind::Relinked => 'L',
        }
    }
}

impl Change {
    /// Whether the content is another one, or it leads elsewhere: of what was renamed, too. What is there on one side only
    /// has no other; what is of another type always has.
    ///
    /// # Errors
    /// Those of reading both; `EINTR`: canceled.
    pub fn has_other_content(&self, cx: &Cx<'_>) -> Result<bool> {
        match (self.kind, &self.old, &self.new) {
            (ChangeKind::TypeChanged | ChangeKind::Modified, ..) => Ok(true),
            (ChangeKind::Renamed, Some(old), Some(new)) => Ok(!same_content(cx, old, new)?),
            _ => Ok(false),
        }
    }

    /// Whether permissions, owner or `user.*` attributes are others, of what is there on both sides and of one type.
    ///
    /// # Errors
    /// Those of looking at both.
    pub fn has_other_attributes(&self, cx: &Cx<'_>) -> Result<bool> {
        match (self.kind, &self.old, &self.new) {
            (ChangeKind::Attributes, ..) => Ok(true),
            (ChangeKind::Renamed | ChangeKind::Modified, Some(old), Some(new)) => {
                Ok(!same_attributes(cx, old, new)?)
            }
            _ => Ok(false),
        }
    }
}

/// An overlay, and the same as a filesystem.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) filesystem: FilesystemRef,
}

/// All changes, by their paths.
///
/// # Errors
/// Those of the layers.
pub(crate) fn changes(cx: &Cx<'_>, now: &Shown, before: &Shown) -> Result<Vec<Change>> {
    let mut room = Room(MOST_PATHS);
    let names = names(cx, now, &mut room)?;
    let moves = moves(&names);
    let (gone, shared, changes) = (Vec::new(), HashSet::new(), Vec::new());
    let user = User::of_process();
    let mut comparison = Comparison { cx, now, before, moves, last: None, gone, shared, changes, room, user };
    for told in &names {
        comparison.compare(told)?;
    }
    comparison.settle(&names)?;
    comparison.tell_of_shared(&names)?;
    let mut changes = comparison.changes;
    changes.sort_by(|one, other| one.path.cmp(&other.path).then(one.kind.cmp(&other.kind)));
    Ok(changes)
}

/// What the upper has.
fn names(cx: &Cx<'_>, now: &Shown, room: &mut Room) -> Result<Vec<UpperName>> {
    let names = now.overlay.upper_names(cx).map(|told| {
        let told = told?;
        room.take(&told.path)?;
        Ok(told)
    });
    names.collect()
}

fn moves(names: &[UpperName]) -> Moves {
    let mut moves = Moves::default();
    for told in names {
        if let Some(from) = &told.renamed_from {
            moves.note(&told.path, from);
        }
    }
    moves
}

/// Where what the upper has something for was before directories were renamed.
///
/// # Errors
/// Those of the layers.
pub(crate) fn covered(cx: &Cx<'_>, now: &Shown) -> Result<HashSet<Vec<u8>>> {
    let names = names(cx, now, &mut Room(MOST_PATHS))?;
    let moves = moves(&names);
    Ok(names.iter().filter_map(|told| moves.path_before(&told.path)).collect())
}

struct Comparison<'a> {
    cx: &'a Cx<'a>,
    now: &'a Shown,
    before: &'a Shown,
    moves: Moves,
    /// The directory where something that was there was found last, and its path: the next is often in it too.
    last: Option<(Vec<u8>, Found)>,
    /// Paths under which nothing is left of what was there, with what was.
    gone: Vec<(Vec<u8>, Found)>,
    /// Files with several names that lost one, and may have been changed by that one.
    shared: HashSet<Identity>,
    changes: Vec<Change>,
    room: Room,
    user: Option<User>,
}

/// The most bytes of paths that are told. A guest may make directories in one another as deep as it has room.
const MOST_PATHS: usize = 256 << 20;

/// How many bytes of paths there may still be.
struct Room(usize);

impl Room {
    fn take(&mut self, path: &[u8]) -> Result<()> {
        self.0 = self.0.checked_sub(path.len()).ok_or(Errno::NAMETOOLONG)?;
        Ok(())
    }
}

impl Comparison<'_> {
    /// What was at a path.
    fn find_before(&mut self, path: &[u8]) -> Result<Option<Found>> {
        let end = path.iter().rposition(|&byte| byte == b'/').unwrap_or_default();
        let (above, name) = path.split_at(end);
        let dir = match self.last.take().filter(|(at, _)| at == above) {
            Some((_, dir)) => Some(dir),
            None => Found::at(self.cx, &self.before.filesystem, above)?,
        };
        let Some(dir) = dir else { return Ok(None) };
        let found = dir.child(self.cx, name.get(1..).unwrap_or_default())?;
        self.last = Some((above.to_vec(), dir));
        Ok(found)
    }

    fn compare(&mut self, told: &UpperName) -> Result<()> {
        let (path_before, old) = match self.moves.path_before(&told.path) {
            Some(path) => {
                let old = self.find_before(&path)?;
                (path, old)
            }
            None => (told.path.clone(), None),
        };
        if let Some(old) = &old {
            self.note_shared(old, told.copied_from)?;
        }
        let Some(node) = &told.node else {
            if let Some(old) = old {
                self.gone.push((path_before, old));
            }
            return Ok(());
        };
        let node = Arc::clone(node);
        let new = Found::new(self.cx, &self.now.filesystem, node)?;
        if let Some(from) = self.moves.from(&told.path).cloned() {
            // What it took the place of is gone.
            if let Some(replaced) = old {
                self.gone.push((path_before, replaced));
            }
            let old = self.find_before(&from)?;
            let new = self.as_chosen(old.as_ref(), new);
            self.add(told, Some(from), ChangeKind::Renamed, old, Some(new));
            return Ok(());
        }
        let from = (path_before != told.path).then(|| path_before.clone());
        let Some(old) = old else {
            self.add(told, None, ChangeKind::Added, None, Some(new));
            return Ok(());
        };
        if old.kind() != new.kind() {
            if old.kind().is_dir() {
                self.below_is_gone(&path_before, &old, None)?;
            }
            self.add(told, from, ChangeKind::TypeChanged, Some(old), Some(new));
            return Ok(());
        }
        if old.kind().is_dir() && !told.is_merged {
            self.below_is_gone(&path_before, &old, Some(&new))?;
        }
        if !same_content(self.cx, &old, &new)? {
            self.add(told, from, ChangeKind::Modified, Some(old), Some(new));
            return Ok(());
        }
        let is_copy =
            if old.kind().is_dir() { told.is_merged } else { told.copied_from == self.identity(&old)? };
        let new = if is_copy { self.as_chosen(Some(&old), new) } else { new };
        if !same_attributes(self.cx, &old, &new)? {
            self.add(told, from, ChangeKind::Attributes, Some(old), Some(new));
        } else if !is_copy && is_linked(&old, &new) {
            self.add(told, from, ChangeKind::Relinked, Some(old), Some(new));
        }
        Ok(())
    }

    /// A copy of something, with the owner and the group that somebody chose: what the process's user can't give to what he
    /// makes nobody did.
    fn as_chosen(&self, old: Option<&Found>, copy: Found) -> Found {
        match (&self.user, old) {
            (Some(user), Some(old)) => Found { attr: user.as_chosen(&old.attr, &copy.attr), ..copy },
            _ => copy,
        }
    }

    fn add(
        &mut self,
        told: &UpperName,
        from: Option<Vec<u8>>,
        kind: ChangeKind,
        old: Option<Found>,
        new: Option<Found>,
    ) {
        self.changes.push(Change { path: told.path.clone(), from, kind, old, new });
    }

    /// Of what was in a directory nothing is left but what another one has under the same name.
    fn below_is_gone(&mut self, path: &[u8], old: &Found, new: Option<&Found>) -> Result<()> {
        if self.moves.was_renamed(path) {
            return Ok(());
        }
        let left = match new {
            Some(new) => new.names(self.cx)?,
            None => Vec::new(),
        };
        for name in old.names(self.cx)?.into_iter().filter(|name| left.binary_search(name).is_err()) {
            let path = [path, b"/", &name].concat();
            if let Some(found) = old.child(self.cx, &name)? {
                self.gone.push((path, found));
            }
        }
        Ok(())
    }

    /// Tells what is gone from what was renamed.
    fn settle(&mut self, names: &[UpperName]) -> Result<()> {
        let mut removed: Vec<(Vec<u8>, Found)> = Vec::new();
        let mut left: Vec<(Vec<u8>, Found)> = core::mem::take(&mut self.gone);
        while let Some((path, found)) = left.pop() {
            // What is below a directory that was renamed is told where that is now.
            if self.moves.was_renamed(&path) {
                continue;
            }
            if found.kind().is_dir() {
                for name in found.names(self.cx)? {
                    let path = [&path[..], b"/", &name].concat();
                    self.room.take(&path)?;
                    let below = found.child(self.cx, &name)?;
                    let below = below.ok_or(Errno::IO)?;
                    left.push((path, below));
                }
            }
            self.note_shared(&found, None)?;
            removed.push((path, found));
        }
        removed.sort_by(|one, other| one.0.cmp(&other.0));
        self.pair_up(names, removed)
    }

    /// Makes a rename of what was added as a copy of what was removed.
    fn pair_up(&mut self, names: &[UpperName], removed: Vec<(Vec<u8>, Found)>) -> Result<()> {
        let sources: HashMap<&[u8], Identity> =
            names.iter().filter_map(|told| Some((told.path.as_slice(), told.copied_from?))).collect();
        let mut was: HashMap<Identity, Vec<usize>> = HashMap::new();
        for (index, (_, found)) in removed.iter().enumerate().rev() {
            if found.kind().is_dir() {
                continue;
            }
            if let Some(identity) = self.identity(found)? {
                was.entry(identity).or_default().push(index);
            }
        }
        let mut claimed = vec![false; removed.len()];
        for change in self.changes.iter_mut().filter(|change| change.kind == ChangeKind::Added) {
            let Some(source) = sources.get(change.path.as_slice()) else { continue };
            let Some(index) = was.get_mut(source).and_then(Vec::pop) else { continue };
            let Some((path, found)) = removed.get(index) else { continue };
            if Some(found.kind()) != change.new.as_ref().map(Found::kind) {
                continue;
            }
            if let Some(claimed) = claimed.get_mut(index) {
                *claimed = true;
            }
            if let (Some(user), Some(new)) = (&self.user, &mut change.new) {
                new.attr = user.as_chosen(&found.attr, &new.attr);
            }
            (change.kind, change.from, change.old) =
                (ChangeKind::Renamed, Some(path.clone()), Some(found.clone()));
        }
        let gone = removed.into_iter().zip(claimed).filter(|(_, claimed)| !claimed);
        self.changes.extend(gone.map(|((path, found), _)| Change {
            path,
            from: None,
            kind: ChangeKind::Removed,
            old: Some(found),
            new: None,
        }));
        Ok(())
    }

    /// A file isn't under a name any more, which has others.
    fn note_shared(&mut self, old: &Found, now: Option<Identity>) -> Result<()> {
        if old.kind().is_dir() || old.attr.nlink < 2 {
            return Ok(());
        }
        let Some(node) = (&*old.inode as &dyn Any).downcast_ref::<Node>() else { return Ok(()) };
        let identity = self.before.overlay.origin(self.cx, node)?;
        if let Some(identity) = identity.filter(|_| identity != now)
            && self.now.overlay.has_shared_copy(self.cx, node)?
        {
            self.shared.insert(identity);
        }
        Ok(())
    }

    /// Tells of files that were changed by a name that is gone: by those that are left. All there is must be looked
    /// through for that.
    fn tell_of_shared(&mut self, names: &[UpperName]) -> Result<()> {
        for told in names.iter().filter(|told| told.node.is_some()) {
            if let Some(identity) = &told.copied_from {
                self.shared.remove(identity);
            }
        }
        if self.shared.is_empty() {
            return Ok(());
        }
        let told: HashSet<Vec<u8>> = self
            .changes
            .iter()
            .filter(|change| change.new.is_some())
            .map(|change| change.path.clone())
            .collect();
        let mut left =
            vec![(Vec::new(), Found::new(self.cx, &self.now.filesystem, self.now.filesystem.root())?)];
        while let Some((path, found)) = left.pop() {
            self.cx.check_canceled()?;
            if found.kind().is_dir() {
                for name in found.names(self.cx)? {
                    let at = At { dir: &found.inode, name: Name::new(&name)? };
                    let below = self.now.filesystem.lookup(self.cx, at)?;
                    let below = Found::new(self.cx, &self.now.filesystem, below)?;
                    left.push(([&path[..], b"/", &name].concat(), below));
                }
                continue;
            }
            let Some(node) = (&*found.inode as &dyn Any).downcast_ref::<Node>() else { continue };
            let origin = self.now.overlay.origin(self.cx, node)?;
            if told.contains(&path) || !origin.is_some_and(|origin| self.shared.contains(&origin)) {
                continue;
            }
            let Some(from) = self.moves.path_before(&path) else { continue };
            let Some(old) = Found::at(self.cx, &self.before.filesystem, &from)? else { continue };
            let chosen = self.as_chosen(Some(&old), found.clone());
            let kind = if !same_content(self.cx, &old, &found)? {
                ChangeKind::Modified
            } else if !same_attributes(self.cx, &old, &chosen)? {
                ChangeKind::Attributes
            } else {
                continue;
            };
            let from = (from != path).then_some(from);
            let found = if kind == ChangeKind::Modified { found } else { chosen };
            self.changes.push(Change { path, from, kind, old: Some(old), new: Some(found) });
        }
        Ok(())
    }

    /// By what the overlay knows what was there.
    fn identity(&self, found: &Found) -> Result<Option<Identity>> {
        match (&*found.inode as &dyn Any).downcast_ref::<Node>() {
            Some(node) => self.before.overlay.origin(self.cx, node),
            None => Ok(None),
        }
    }
}

/// Whether one of two that are alike is no directory and has more names: of two with one name nobody can tell which it is.
fn is_linked(old: &Found, new: &Found) -> bool {
    !old.kind().is_dir() && (old.attr.nlink > 1 || new.attr.nlink > 1)
}
