//! Which paths an archive has.

use std::collections::BTreeMap;

use vnode_core::{Cx, Errno, FilesystemRef};

use super::{ExportError, ExportFormat, ExportOptions};
use crate::changes::{Change, ChangeKind};
use crate::compare::Found;

/// What an archive has at a path.
#[derive(Debug)]
pub(super) enum Item {
    /// What is there; of a directory, nothing that is below it.
    Alone(Found),
    /// A directory and all that is below it.
    Whole {
        found: Found,
        /// Something was there whose content doesn't show through.
        is_opaque: bool,
    },
    /// That nothing is there any more.
    Whiteout,
}

/// By what paths are in order: a directory before what is in it, whiteouts before what is beside them, as the image
/// specification asks for, and names by their bytes. No name has a NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<u8>);

impl Key {
    fn of(path: &[u8]) -> Key {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        Key(path.iter().map(|&byte| if byte == b'/' { 0 } else { byte }).collect())
    }

    fn of_whiteout(path: &[u8]) -> Key {
        let Key(mut key) = Key::of(path);
        let name = key.iter().rposition(|&byte| byte == 0).map_or(0, |end| end + 1);
        key.insert(name, 0);
        Key(key)
    }
}

/// The paths of an archive, but for what is below whole directories.
#[derive(Debug, Default)]
pub(super) struct Plan(BTreeMap<Key, (Vec<u8>, Item)>);

/// What a plan is made from.
pub(super) struct Planned<'a> {
    pub(super) cx: &'a Cx<'a>,
    pub(super) now: &'a FilesystemRef,
    pub(super) before: &'a FilesystemRef,
    pub(super) options: &'a ExportOptions,
}

/// The paths above one, the innermost first, but for the root's.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = (1..path.len()).rev().filter(|&end| path.get(end) == Some(&b'/'));
    ends.filter_map(|end| path.get(..end))
}

impl Plan {
    /// The paths and what is there, in the order of the archive.
    pub(super) fn items(&self) -> impl Iterator<Item = (&[u8], &Item)> {
        self.0.values().map(|(path, item)| (path.as_slice(), item))
    }

    fn get(&self, path: &[u8]) -> Option<&Item> {
        self.0.get(&Key::of(path)).map(|(_, item)| item)
    }

    fn insert(&mut self, path: &[u8], item: Item) {
        let key = if matches!(item, Item::Whiteout) { Key::of_whiteout(path) } else { Key::of(path) };
        self.0.insert(key, (path.to_vec(), item));
    }

    /// Whether what is at a path is told with a directory that it is in.
    fn is_below_whole(&self, path: &[u8]) -> bool {
        above(path).chain([&b""[..]]).any(|above| matches!(self.get(above), Some(Item::Whole { .. })))
    }

    /// Whether the archive has what is at a path.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.get(path).is_some() || self.is_below_whole(path)
    }
}

impl Planned<'_> {
    /// What is at a path.
    pub(super) fn find(&self, filesystem: &FilesystemRef, path: &[u8]) -> Result<Option<Found>, ExportError> {
        Found::at(self.cx, filesystem, path).map_err(|errno| fails(path, errno))
    }

    /// Plans an archive of the changes, or of everything.
    pub(super) fn plan(&self, changes: &[Change]) -> Result<Plan, ExportError> {
        let mut plan = Plan::default();
        if self.options.format == ExportFormat::Tree {
            if let Some(found) = self.find(self.now, b"")? {
                plan.insert(b"", Item::Whole { found, is_opaque: false });
            }
            return Ok(plan);
        }
        for change in changes {
            self.add_new(&mut plan, change)?;
        }
        if self.options.format == ExportFormat::Layer {
            for change in changes {
                self.add_gone(&mut plan, change)?;
            }
        }
        // What is told twice is told with the directory.
        let below: Vec<Key> = {
            let below = plan.0.iter().filter(|(_, (path, _))| plan.is_below_whole(path));
            below.map(|(key, _)| key.clone()).collect()
        };
        for key in below {
            plan.0.remove(&key);
        }
        self.add_parents(&mut plan)?;
        Ok(plan)
    }

    fn add_new(&self, plan: &mut Plan, change: &Change) -> Result<(), ExportError> {
        let Some(found) = change.new.clone() else { return Ok(()) };
        let is_dir = found.kind().is_dir();
        if self.options.exclude.has_or_above(&change.path, is_dir) {
            return Ok(());
        }
        let is_new = !matches!(change.kind, ChangeKind::Modified | ChangeKind::Attributes);
        let item = if is_dir && is_new {
            let replaced = self.find(self.before, &change.path)?;
            let is_opaque =
                self.options.format == ExportFormat::Layer && replaced.is_some_and(|was| was.kind().is_dir());
            Item::Whole { found, is_opaque }
        } else {
            Item::Alone(found)
        };
        plan.insert(&change.path, item);
        Ok(())
    }

    /// Plans the whiteout of what was removed or renamed, if it would show through: nothing is there now, in a directory
    /// through which what was there shows.
    fn add_gone(&self, plan: &mut Plan, change: &Change) -> Result<(), ExportError> {
        let path = match (change.kind, &change.from) {
            (ChangeKind::Removed, _) => &change.path,
            (ChangeKind::Renamed, Some(from)) => from,
            _ => return Ok(()),
        };
        let is_dir = change.old.as_ref().is_some_and(|old| old.kind().is_dir());
        if self.options.exclude.has_or_above(path, is_dir) || plan.is_below_whole(path) {
            return Ok(());
        }
        let dir =
            path.get(..path.iter().rposition(|&byte| byte == b'/').unwrap_or_default()).unwrap_or_default();
        let shows = self.find(self.now, dir)?.is_some_and(|dir| dir.kind().is_dir());
        if shows && self.find(self.now, path)?.is_none() {
            plan.insert(path, Item::Whiteout);
        }
        Ok(())
    }

    /// Plans each directory that something planned is in.
    fn add_parents(&self, plan: &mut Plan) -> Result<(), ExportError> {
        let paths: Vec<Vec<u8>> = plan.items().map(|(path, _)| path.to_vec()).collect();
        paths.iter().try_for_each(|path| self.add_parents_of(plan, path))
    }

    fn add_parents_of(&self, plan: &mut Plan, path: &[u8]) -> Result<(), ExportError> {
        for above in above(path) {
            if plan.get(above).is_some() {
                break;
            }
            let found = self.find(self.now, above)?.ok_or_else(|| fails(above, Errno::NOENT))?;
            plan.insert(above, Item::Alone(found));
        }
        Ok(())
    }

    /// Plans one more path.
    pub(super) fn add(&self, plan: &mut Plan, path: &[u8], found: Found) -> Result<(), ExportError> {
        plan.insert(path, Item::Alone(found));
        self.add_parents_of(plan, path)
    }
}

pub(super) fn fails(path: &[u8], errno: Errno) -> ExportError {
    ExportError::Read { path: path.to_vec(), errno }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_comes_before_what_is_in_it_and_whiteouts_before_both() {
        let (key, whiteout) = (Key::of, Key::of_whiteout);
        let ordered = [
            key(b""),
            whiteout(b"/z"),
            key(b"/a"),
            whiteout(b"/a/x"),
            key(b"/a/\x01"),
            key(b"/a/b"),
            key(b"/a/b/c"),
            key(b"/a/b-c"),
            key(b"/a-b"),
            key(b"/b"),
        ];
        assert!(ordered.windows(2).all(|two| two[0] < two[1]));
        assert_eq!(above(b"/a/b/c").collect::<Vec<_>>(), [&b"/a/b"[..], b"/a"]);
    }
}
