//! The names of files that have several.

use std::collections::{HashMap, HashSet};

use super::ExportError;
use super::archive::{Visit, below, visit};
use super::plan::{Plan, Planned};
use crate::compare::Found;

/// A file's device and number.
type Identity = (u64, u64);

/// What a file is known by, if it has several names.
fn identity(found: &Found) -> Option<Identity> {
    let attr = &found.attr;
    (attr.nlink > 1 && !attr.kind.is_dir()).then_some((attr.dev, attr.ino))
}

/// Plans each other name of what is in the archive: changes tell of the names by which something was done. All there is is
/// looked at for that, if there may be such.
pub(super) fn complete(planned: &Planned<'_>, plan: &mut Plan) -> Result<(), ExportError> {
    // Of everything there is nothing else.
    if plan.has(b"") {
        return Ok(());
    }
    let missing = missing(planned, plan)?;
    if missing.is_empty() {
        return Ok(());
    }
    let Some(root) = planned.find(planned.now, b"")? else { return Ok(()) };
    let mut others = Vec::new();
    below(planned.cx, b"", &root, &planned.options.exclude, &mut |path, found| {
        let is_missing = identity(found).is_some_and(|identity| missing.contains(&identity));
        if is_missing && !plan.has(path) {
            others.push((path.to_vec(), found.clone()));
        }
        Ok(())
    })?;
    others.into_iter().try_for_each(|(path, found)| planned.add(plan, &path, found))
}

/// Files of which the archive doesn't have all names.
fn missing(planned: &Planned<'_>, plan: &Plan) -> Result<HashSet<Identity>, ExportError> {
    let mut left: HashMap<Identity, u32> = HashMap::new();
    visit(planned.cx, plan, &planned.options.exclude, &mut |visited| {
        if let Visit::Found(_, found) = visited
            && let Some(identity) = identity(found)
        {
            let left = left.entry(identity).or_insert(found.attr.nlink);
            *left = left.saturating_sub(1);
        }
        Ok(())
    })?;
    Ok(left.into_iter().filter(|(_, left)| *left > 0).map(|(identity, _)| identity).collect())
}
