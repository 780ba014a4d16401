//! Whether a user who isn't root may do what is planned: what is his he lets himself do, the rest is as it is.

use std::collections::{BTreeSet, HashMap};

use vnode_core::Attr;

use super::error::{ApplyError, Failure};
use super::plan::Planner;
use crate::paths::above;

impl Planner<'_> {
    /// Finds what the process's user may not do of all this.
    ///
    /// # Errors
    /// `Denied`.
    pub(crate) fn check_permissions(&self) -> Result<(), ApplyError> {
        let Some(user) = self.user.as_ref() else { return Ok(()) };
        let mut denied: BTreeSet<Vec<u8>> = self.foreign.iter().cloned().collect();
        let mut dirs: HashMap<Vec<u8>, Option<Attr>> = HashMap::new();
        let mut directory = |path: &[u8]| -> Result<Option<Attr>, Failure> {
            if let Some(known) = dirs.get(path) {
                return Ok(*known);
            }
            let attr = self.attr_at(path)?;
            dirs.insert(path.to_vec(), attr);
            Ok(attr)
        };
        for (path, leaving) in &self.leaving {
            let (Some(dir), Some(entry)) = (directory(above(path))?, self.attr_at(path)?) else { continue };
            // A directory that goes elsewhere has its `..` changed.
            let stuck = leaving.is_dir && !user.may_change(&entry);
            if stuck || !user.may_take(&dir, &entry) {
                denied.insert(path.clone());
            }
        }
        for come in &self.steps.journal.ins {
            let path = &come.path.0;
            if self.made.contains_key(above(path)) {
                continue;
            }
            let before = self.renames.before(above(path));
            let Some(dir) = directory(&before)? else { continue };
            let name = path.get(above(path).len()..).unwrap_or_default();
            let entry = if come.replaces { self.attr_at(&[&before[..], name].concat())? } else { None };
            if !entry.map_or_else(|| user.may_change(&dir), |entry| user.may_take(&dir, &entry)) {
                denied.insert(path.clone());
            }
        }
        if denied.is_empty() { Ok(()) } else { Err(ApplyError::Denied(denied.into_iter().collect())) }
    }

    /// Notes a name whose attributes are another user's to change.
    pub(crate) fn check_owner(&mut self, path: &[u8], attr: &Attr) {
        if self.user.as_ref().is_some_and(|user| !user.owns(attr)) {
            self.foreign.push(path.to_vec());
        }
    }
}
