//! What is to be done, one name after the other.

use vnode_core::{Attr, FileType};

use super::tree::Real;
use crate::changes::{Change, ChangeKind};
use crate::compare::Found;

/// A change that is to be applied.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) kind: ChangeKind,
    /// Where it is then, or was if it is removed.
    pub(crate) path: Vec<u8>,
    /// Where it is before, if it is there before.
    pub(crate) old_path: Option<Vec<u8>>,
    pub(crate) old: Option<Found>,
    pub(crate) new: Option<Found>,
    /// What the directory has where it is before.
    pub(crate) now: Option<(Real, Attr)>,
    /// It is so already.
    pub(crate) done: bool,
}

impl Item {
    /// `path` is where it is to be.
    pub(crate) fn new(change: &Change, path: Vec<u8>) -> Self {
        let old_path =
            change.old.as_ref().map(|_| change.from.clone().unwrap_or_else(|| change.path.clone()));
        Item {
            kind: change.kind,
            path,
            old_path,
            old: change.old.clone(),
            new: change.new.clone(),
            now: None,
            done: false,
        }
    }

    /// Another name of a file, that is to show the change too.
    pub(crate) fn relinked(path: Vec<u8>, old_path: Vec<u8>, new: &Found) -> Self {
        Item {
            kind: ChangeKind::Modified,
            path,
            old_path: Some(old_path),
            old: None,
            new: Some(new.clone()),
            now: None,
            done: false,
        }
    }

    pub(crate) fn new_kind(&self) -> Option<FileType> {
        self.new.as_ref().map(Found::kind)
    }

    pub(crate) fn is_moved_dir(&self) -> bool {
        self.kind == ChangeKind::Renamed && self.new_kind().is_some_and(FileType::is_dir)
    }

    /// Whether what is there now is a directory.
    pub(crate) fn is_dir_now(&self) -> bool {
        self.now.as_ref().is_some_and(|(_, attr)| attr.kind.is_dir())
    }

    /// Whether what is there is taken away before anything else is put there.
    pub(crate) fn leaves(&self) -> bool {
        let is_dir = self.is_dir_now() || self.new_kind().is_some_and(FileType::is_dir);
        self.now.is_some()
            && match self.kind {
                ChangeKind::Removed | ChangeKind::Renamed => true,
                ChangeKind::TypeChanged | ChangeKind::Modified | ChangeKind::Relinked => is_dir,
                ChangeKind::Added | ChangeKind::Attributes => false,
            }
    }
}
