//! What leaves its place, and the directories in which names change.

use std::collections::BTreeSet;

use super::error::{Doing as _, Failure};
use super::journal::{Bytes, Gone, Known, Out, Slot, Touched, Was};
use super::plan::{Leaving, Planner};
use crate::paths::{above, all_above, by_names};

impl Planner<'_> {
    /// What is taken out by itself, and what goes with something.
    pub(crate) fn take_out(&mut self) -> Result<(), Failure> {
        let mut paths: Vec<_> = self.leaving.keys().cloned().collect();
        paths.sort_by(|one, other| by_names(other, one));
        for path in paths {
            let Some(leaving) = self.leaving.get(&path).copied() else { continue };
            let goes =
                |path: &[u8]| self.leaving.get(path).filter(|leaving| leaving.is_dir && !leaving.comes);
            let mut top = (path.as_slice(), leaving);
            if !leaving.comes {
                for dir in all_above(&path) {
                    match goes(dir) {
                        Some(leaving) => top = (dir, *leaving),
                        None => break,
                    }
                }
                let below = path.get(top.0.len()..).unwrap_or_default().to_vec();
                let Leaving { is_dir, was, .. } = leaving;
                self.steps.journal.gone.push(Gone { slot: top.1.slot, path: Bytes(below), is_dir, was });
            }
            if top.0.len() == path.len() {
                let dir = self.attr_at(above(&path))?;
                self.steps.journal.outs.push(Out::new(&path, leaving.slot, dir));
                // Of a directory nothing counts that a move changes.
                if let Some(was) = leaving.was {
                    self.note_moved(&path, was);
                }
            }
        }
        Ok(())
    }

    /// What a file is that is moved, or gets another name: for whoever undoes that.
    pub(crate) fn note_moved(&mut self, path: &[u8], was: Was) {
        self.steps.journal.moved.push(Known { path: Bytes(path.to_vec()), was: Some(was) });
    }

    /// Directories in which names change, and what they are to show.
    pub(crate) fn note_touched(&mut self) -> Result<(), Failure> {
        // Staging is made and removed in the root.
        let mut dirs = BTreeSet::from([Vec::new()]);
        for out in &self.steps.journal.outs {
            let dir = above(&out.path.0);
            let stays = core::iter::once(dir).chain(all_above(dir));
            let mut stays = stays.map_while(|dir| match self.leaving.get(dir) {
                Some(leaving) if leaving.comes => None,
                leaving => Some(leaving.is_none()),
            });
            if stays.all(|stays| stays) {
                dirs.insert(self.renames.after(dir));
            }
        }
        for come in &self.steps.journal.ins {
            dirs.insert(above(&come.path.0).to_vec());
            if let Slot::Out(_) = come.slot {
                dirs.insert(come.path.0.clone());
            }
        }
        for dir in dirs {
            let shown = self.shown(&dir)?;
            let Some(shown) = shown.filter(|shown| shown.kind().is_dir()) else { continue };
            if self.made.contains_key(&dir) {
                let touched = Touched::new(&dir, shown.attr.mode, &shown.attr);
                self.steps.journal.touched.push(touched);
                continue;
            }
            let before = self.renames.before(&dir);
            if let Some(there) = self.tree.directory(&before).doing("look at", &dir)? {
                let attr = self.tree.attr(&there).doing("look at", &dir)?;
                let touched = Touched::new(&dir, attr.mode, &shown.attr);
                self.steps.journal.touched.push(touched);
            }
        }
        Ok(())
    }
}
