//! The changes of all mounts, by the guest's paths.

use std::collections::HashMap;

use vnode_core::{Cx, FileType};
use vnode_sandbox::{Change, ChangeKind, Found};

use super::DiffError;
use super::quote::quoted;

/// What was changed in what is mounted somewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MountChanges<'a> {
    /// Where in the guest's tree, an absolute path.
    pub(crate) mount: &'a [u8],
    pub(crate) changes: &'a [Change],
}

/// One change, as the guest names it.
pub(super) struct Entry<'a> {
    pub(super) path: Vec<u8>,
    pub(super) from: Option<Vec<u8>>,
    pub(super) change: &'a Change,
}

impl<'a> Entry<'a> {
    fn new(mount: &[u8], change: &'a Change) -> Self {
        let from = change.from.as_ref().map(|from| in_mount(mount, from));
        Entry { path: in_mount(mount, &change.path), from, change }
    }

    /// Where it was.
    pub(super) fn old_path(&self) -> &[u8] {
        self.from.as_deref().unwrap_or(&self.path)
    }

    /// What it is, or was.
    pub(super) fn found(&self) -> Option<&'a Found> {
        self.change.new.as_ref().or(self.change.old.as_ref())
    }

    /// The error of looking at it.
    pub(super) fn fails(&self, errno: vnode_core::Errno) -> DiffError {
        DiffError::Read { path: quoted(&self.path), errno }
    }
}

/// The guest's path of what is at a path in a mount.
fn in_mount(mount: &[u8], path: &[u8]) -> Vec<u8> {
    [mount.strip_suffix(b"/").unwrap_or(mount), path].concat()
}

/// Whether a path is another one or below it.
fn is_in(path: &[u8], above: &[u8]) -> bool {
    let above = above.strip_suffix(b"/").unwrap_or(above);
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether it is to be told: it is, or was, one of the paths or below one, or there are none.
fn is_wanted(entry: &Entry<'_>, paths: &[Vec<u8>]) -> bool {
    paths.is_empty() || paths.iter().any(|path| is_in(&entry.path, path) || is_in(entry.old_path(), path))
}

/// The changes in and below the paths, one mount after the other.
pub(super) fn entries<'a>(
    mounts: &'a [MountChanges<'a>],
    paths: &'a [Vec<u8>],
) -> impl Iterator<Item = Entry<'a>> {
    let all = mounts.iter().flat_map(|of| of.changes.iter().map(|change| Entry::new(of.mount, change)));
    all.filter(|entry| is_wanted(entry, paths))
}

/// What came along with directories that were renamed, which git tells file by file.
pub(super) struct Along<'a> {
    /// What is told anyway: the mount without a slash behind it, and the path there.
    told: HashMap<(&'a [u8], &'a [u8]), ChangeKind>,
    paths: &'a [Vec<u8>],
}

fn is_moved_directory(change: &Change) -> bool {
    change.kind == ChangeKind::Renamed && change.new.as_ref().is_some_and(|new| new.kind().is_dir())
}

impl<'a> Along<'a> {
    pub(super) fn of(mounts: &[MountChanges<'a>], paths: &'a [Vec<u8>]) -> Self {
        let with_moves = mounts.iter().filter(|of| of.changes.iter().any(is_moved_directory));
        let told = with_moves.flat_map(|of| {
            let mount = of.mount.strip_suffix(b"/").unwrap_or(of.mount);
            // What was removed is told by where it was, and something else may be there.
            let there = of.changes.iter().filter(|change| change.kind != ChangeKind::Removed);
            there.map(move |change| ((mount, change.path.as_slice()), change.kind))
        });
        Along { told: told.collect(), paths }
    }

    /// Tells each file and link that came along with a directory, and isn't told itself, as a rename.
    ///
    /// # Errors
    /// Those of listing the directories, and of `tell`.
    pub(super) fn each(
        &self,
        cx: &Cx<'_>,
        of: &Entry<'_>,
        tell: &mut dyn FnMut(&Entry<'_>) -> Result<(), DiffError>,
    ) -> Result<(), DiffError> {
        let Change { path, from: Some(from), new: Some(new), .. } = of.change else { return Ok(()) };
        if !is_moved_directory(of.change) {
            return Ok(());
        }
        let fails = |errno| of.fails(errno);
        let mount = of.path.strip_suffix(path.as_slice()).unwrap_or_default();
        let mut left = vec![(Vec::new(), new.clone())];
        while let Some((below, found)) = left.pop() {
            let here = [&path[..], &below].concat();
            let told = if below.is_empty() { None } else { self.told.get(&(mount, &here)) };
            match (found.kind(), told) {
                // What is in these is told with them.
                (FileType::Directory, Some(ChangeKind::Renamed | ChangeKind::Added)) => {}
                (FileType::Directory, Some(ChangeKind::TypeChanged)) => {}
                (FileType::Directory, _) => {
                    for name in found.names(cx).map_err(fails)?.iter().rev() {
                        if let Some(inside) = found.child(cx, name).map_err(fails)? {
                            left.push(([&below[..], b"/", name].concat(), inside));
                        }
                    }
                }
                (FileType::Regular | FileType::Symlink, None) => {
                    let change = Change {
                        path: here,
                        from: Some([&from[..], &below].concat()),
                        kind: ChangeKind::Renamed,
                        old: Some(found.clone()),
                        new: Some(found),
                    };
                    let entry = Entry::new(mount, &change);
                    if is_wanted(&entry, self.paths) {
                        tell(&entry)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
