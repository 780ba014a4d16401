//! Which changes are applied, if not all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vnode_core::FileType;

use super::items::Item;
use super::renames::Renames;
use crate::changes::{Change, ChangeKind};
use crate::compare::Found;
use crate::paths::{above, is_in};

/// Which changes are applied: by where they are, or were if they were renamed. What they can't be without comes along:
///
/// * new directories that they are in, and what must go from where they come to be;
/// * of a directory that is removed or becomes something else, all that was in it;
/// * the other names of a file that has several;
/// * all directories that were renamed, if one of them is needed. Otherwise what was changed in one is changed where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those at these paths and below them.
    Only(Vec<Vec<u8>>),
    /// All but those at these paths and below them.
    Except(Vec<Vec<u8>>),
}

impl Selection {
    fn has(&self, change: &Change) -> bool {
        let is_below = |path: &Vec<u8>| {
            let path = path.strip_suffix(b"/").unwrap_or(path);
            is_in(&change.path, path) || change.from.as_ref().is_some_and(|from| is_in(from, path))
        };
        match self {
            Selection::All => true,
            Selection::Only(paths) => paths.iter().any(is_below),
            Selection::Except(paths) => !paths.iter().any(is_below),
        }
    }
}

/// What is to be applied.
pub(crate) struct Chosen {
    pub(crate) items: Vec<Item>,
    /// Directories that were renamed and stay where they are.
    pub(crate) not_renamed: Renames,
    /// Whether that is all.
    pub(crate) everything: bool,
}

/// The changes of a selection, with all that they need.
pub(crate) fn chosen(changes: &[Change], selection: &Selection) -> Chosen {
    let needs = Needs::new(changes);
    let mut is_chosen: Vec<bool> = changes.iter().map(|change| selection.has(change)).collect();
    let mut left: Vec<usize> = (0..changes.len()).filter(|index| is_chosen[*index]).collect();
    while let Some(index) = left.pop() {
        for needed in needs.of(index) {
            if !core::mem::replace(&mut is_chosen[needed], true) {
                left.push(needed);
            }
        }
    }
    let renames = needs.renamed.iter().map(|index| &changes[*index]);
    let renames = renames.filter_map(|change| Some((change.from.as_deref()?, &*change.path)));
    let are_renamed = needs.renamed.iter().any(|index| is_chosen[*index]);
    let not_renamed = if are_renamed { Renames::default() } else { Renames::new(renames) };
    let everything = is_chosen.iter().all(|chosen| *chosen);
    let chosen = changes.iter().zip(is_chosen).filter(|(_, chosen)| *chosen);
    let items = chosen.map(|(change, _)| match change.new {
        Some(_) => Item::new(change, not_renamed.before(&change.path)),
        None => Item::new(change, change.path.clone()),
    });
    Chosen { items: items.collect(), not_renamed, everything }
}

fn old_path(change: &Change) -> Option<&[u8]> {
    change.old.as_ref().map(|_| change.from.as_deref().unwrap_or(&change.path))
}

fn is_dir(found: Option<&Found>) -> bool {
    found.is_some_and(|found| found.kind() == FileType::Directory)
}

/// What changes can't be without.
struct Needs<'a> {
    changes: &'a [Change],
    /// By where they are.
    new: HashMap<&'a [u8], usize>,
    /// By where they were.
    old: HashMap<&'a [u8], usize>,
    /// Those that were directly in a directory.
    were_in: BTreeMap<&'a [u8], Vec<usize>>,
    /// Files that have or had several names, by number: what was copied keeps its own.
    linked: HashMap<u64, BTreeSet<usize>>,
    /// Directories that were renamed.
    renamed: Vec<usize>,
    renames: Renames,
}

impl<'a> Needs<'a> {
    fn new(changes: &'a [Change]) -> Self {
        let mut needs = Needs {
            changes,
            new: HashMap::new(),
            old: HashMap::new(),
            were_in: BTreeMap::new(),
            linked: HashMap::new(),
            renamed: Vec::new(),
            renames: Renames::default(),
        };
        for (index, change) in changes.iter().enumerate() {
            if let Some(new) = &change.new {
                needs.new.insert(&change.path, index);
                if change.kind == ChangeKind::Renamed && is_dir(Some(new)) {
                    needs.renamed.push(index);
                }
            }
            for found in [&change.old, &change.new].into_iter().flatten() {
                if !is_dir(Some(found)) && found.attr.nlink > 1 {
                    needs.linked.entry(found.attr.ino).or_default().insert(index);
                }
            }
            if let Some(old) = old_path(change) {
                needs.old.insert(old, index);
                needs.were_in.entry(above(old)).or_default().push(index);
            }
        }
        for (index, change) in changes.iter().enumerate() {
            let new = change.new.as_ref().filter(|new| !is_dir(Some(new)));
            if let Some(names) = new.and_then(|new| needs.linked.get_mut(&new.attr.ino)) {
                names.insert(index);
            }
        }
        let renamed = needs.renamed.iter().map(|index| &changes[*index]);
        needs.renames =
            Renames::new(renamed.filter_map(|change| Some((change.from.as_deref()?, &*change.path))));
        needs
    }

    fn of(&self, index: usize) -> Vec<usize> {
        let change = &self.changes[index];
        let mut needed = Vec::new();
        if let Some(new) = &change.new {
            let dir = self.new.get(above(&change.path)).copied();
            // A directory that is new.
            needed.extend(dir.filter(|dir| {
                matches!(self.changes[*dir].kind, ChangeKind::Added | ChangeKind::TypeChanged)
            }));
            let comes = change.old.is_none() || change.kind == ChangeKind::Renamed;
            if comes {
                // What is where it comes to be, whether directories are renamed or not.
                let before = self.renames.before(above(&change.path));
                let name = change.path.get(above(&change.path).len()..).unwrap_or_default();
                let places = [change.path.clone(), [&before[..], name].concat()];
                let there = places.iter().filter_map(|place| self.old.get(place.as_slice()).copied());
                needed.extend(there.filter(|there| *there != index));
            }
            if change.kind == ChangeKind::Renamed && is_dir(Some(new)) {
                needed.extend(&self.renamed);
            }
        }
        for found in [&change.old, &change.new].into_iter().flatten().filter(|found| !is_dir(Some(found))) {
            needed.extend(self.linked.get(&found.attr.ino).into_iter().flatten());
        }
        let leaves = matches!(change.kind, ChangeKind::Removed | ChangeKind::TypeChanged);
        if leaves && is_dir(change.old.as_ref()) {
            let old = old_path(change).unwrap_or_default();
            needed.extend(self.were_in.get(old).into_iter().flatten());
        }
        needed
    }
}
