//! What is changed of one directory of the host by way of several mounts.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::apply::{Conflict, ConflictKind};
use crate::changes::{Change, ChangeKind};
use crate::paths::all_above;

/// What is changed by way of one mount.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// By the host's paths: the path in the mount, and whether what is below is another's then.
    paths: BTreeMap<Vec<u8>, (Vec<u8>, bool)>,
}

impl Changed {
    pub(super) fn of(directory: &Path, changes: &[Change]) -> Self {
        let top = directory.as_os_str().as_bytes();
        let top = top.strip_suffix(b"/").unwrap_or(top);
        let mut changed = Changed::default();
        for change in changes {
            let is_whole =
                !matches!(change.kind, ChangeKind::Modified | ChangeKind::Attributes | ChangeKind::Relinked);
            for path in [Some(&change.path), change.from.as_ref()].into_iter().flatten() {
                changed.paths.insert([top, path].concat(), (path.clone(), is_whole));
            }
        }
        changed
    }

    /// What others change too, or change what is around it.
    pub(super) fn met_by(&self, others: &[&Changed]) -> Vec<Conflict> {
        let is_met = |path: &[u8]| {
            others.iter().any(|other| {
                let is_around = |above: &[u8]| other.paths.get(above).is_some_and(|(_, is_whole)| *is_whole);
                other.paths.contains_key(path) || all_above(path).any(is_around)
            })
        };
        let met = self.paths.iter().filter(|(host, _)| is_met(host));
        met.map(|(_, (path, _))| Conflict { path: path.clone(), kind: ConflictKind::Twice }).collect()
    }
}
