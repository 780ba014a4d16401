//! What is left where only some changes were applied: the directory that keeps them goes on with the rest.

use std::collections::HashSet;

use vnode_core::{Cx, FileType, Timespec};
use vnode_overlay::{Brought, Touched};

use super::Applied;
use super::error::{ApplyError, Doing as _, Failure};
use super::journal::{Bytes, Known, Rest, Was};
use super::links::identity;
use super::plan::Planner;
use super::tree::Tree;
use crate::changes::ChangeKind;
use crate::view::View;

/// The one directory among what a view is of, as its records count.
const LAYER: u8 = 1;

impl Planner<'_> {
    /// Notes what the rest of the changes needs to know.
    pub(crate) fn note_rest(&mut self) -> Result<(), Failure> {
        let renamed = self.items.iter().any(|item| item.is_moved_dir() && !item.done);
        let mut rest = Rest { renamed, ..Rest::default() };
        let mut paths: HashSet<&[u8]> = HashSet::new();
        for item in &self.items {
            if item.kind == ChangeKind::Removed {
                paths.extend(item.old_path.as_deref());
            }
            if item.kind == ChangeKind::Added && item.new_kind().is_some_and(FileType::is_dir) {
                // What is left may be in it, or be that it was renamed.
                rest.known.push(Known { path: Bytes(item.path.clone()), was: None });
            }
            if item.new_kind().is_none_or(FileType::is_dir) {
                continue;
            }
            rest.files.push(Bytes(self.not_renamed.after(&item.path)));
            paths.extend(item.old_path.as_deref());
        }
        for touched in self.records.iter().flat_map(|records| records.all()) {
            if paths.contains(touched.path.as_slice()) || self.is_shown_again(touched)? {
                continue;
            }
            if let Some(known) = self.known(touched)? {
                rest.known.push(known);
            }
        }
        rest.known.sort_by(|one, other| one.path.cmp(&other.path));
        self.steps.journal.rest = Some(rest);
        Ok(())
    }

    /// Whether a name stands for a file that stays, and whose changes were applied: who touches it again notes it again.
    /// Another thing may be under the name in the view.
    fn is_shown_again(&self, touched: &Touched) -> Result<bool, Failure> {
        let Touched { path, dev, ino, .. } = touched;
        if touched.kind.is_dir() || !self.kept.contains(&(*dev, *ino)) {
            return Ok(false);
        }
        let Some(found) = self.shown(&self.renames.after(path))? else { return Ok(false) };
        let origin = identity(self.tree.cx, self.now, &found).doing("look at", path)?;
        Ok(origin.is_some_and(|origin| (origin.dev, origin.ino) == (*dev, *ino)))
    }

    fn known(&self, touched: &Touched) -> Result<Option<Known>, Failure> {
        let path = &touched.path;
        let there = self.tree.find(path).doing("look at", path)?;
        // What is gone is seen to be.
        let Some(there) = there else { return Ok(None) };
        let attr = self.tree.attr(&there).doing("look at", path)?;
        let records = self.records.as_ref();
        let is_same = records.and_then(|records| records.is_as_it_was(path, &attr)) == Some(true);
        let was = (!is_same).then(|| Was::touched(touched));
        Ok(Some(Known { path: Bytes(self.renames.after(path)), was }))
    }
}

impl Known {
    /// What is to be noted; nothing if nothing is there.
    fn touched(&self, tree: Tree<'_>) -> vnode_core::Result<Option<Touched>> {
        let path = self.path.0.clone();
        if let Some(was) = &self.was {
            let time = |(sec, nsec)| Timespec { sec, nsec };
            let Some(kind) = FileType::from_mode(was.kind) else { return Ok(None) };
            let Was { dev, ino, size, .. } = *was;
            let (mtime, ctime) = (time(was.mtime), time(was.ctime));
            return Ok(Some(Touched { layer: LAYER, path, kind, dev, ino, size, mtime, ctime }));
        }
        let Some(inode) = tree.find(&path)? else { return Ok(None) };
        let attr = tree.attr(&inode)?;
        let (kind, dev, ino, size, mtime, ctime) =
            (attr.kind, attr.dev, attr.ino, attr.size, attr.mtime, attr.ctime);
        Ok(Some(Touched { layer: LAYER, path, kind, dev, ino, size, mtime, ctime }))
    }
}

impl View {
    /// Has what keeps the changes keep only those that were not applied, of what [`View::apply`] did with a selection of
    /// them. May be done again, from the start, if it was interrupted, also by a view that was opened since. The view is to
    /// be opened anew after it.
    ///
    /// # Errors
    /// `NotOneDirectory`: the view is of something else than one directory, or over changes of before. Others of
    /// [`ApplyError`], about the directory that keeps the changes.
    pub fn settle(&self, cx: &Cx<'_>, applied: &Applied) -> Result<(), ApplyError> {
        let Some(rest) = &applied.rest else { return Ok(()) };
        let directory = self.directory.as_ref().ok_or(ApplyError::NotOneDirectory)?;
        let fs = directory.open(cx)?;
        let tree = Tree { cx, fs: &fs };
        let mut touched = Vec::with_capacity(rest.known.len());
        for known in &rest.known {
            touched.extend(known.touched(tree).doing("look at", &known.path.0)?);
        }
        let files: Vec<_> = rest.files.iter().map(|path| path.0.clone()).collect();
        let brought = Brought { files: &files, renamed: rest.renamed, touched: &touched };
        self.now().overlay.settle(cx, &brought).doing("settle what keeps the changes of", b"")?;
        Ok(())
    }
}
