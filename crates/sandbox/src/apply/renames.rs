//! Directories that are renamed: where what is below them was, and where it is then.

use std::collections::HashMap;

use crate::paths::all_above;

/// Paths of directories before, and after.
#[derive(Debug, Default)]
pub(crate) struct Renames {
    was: HashMap<Vec<u8>, Vec<u8>>,
    is: HashMap<Vec<u8>, Vec<u8>>,
}

impl Renames {
    pub(crate) fn new<'p>(pairs: impl Iterator<Item = (&'p [u8], &'p [u8])>) -> Self {
        let mut renames = Renames::default();
        for (from, to) in pairs {
            renames.was.insert(to.to_vec(), from.to_vec());
            renames.is.insert(from.to_vec(), to.to_vec());
        }
        renames
    }

    /// Where what is at `path` then is before, as far as directories above it or it itself are renamed.
    pub(crate) fn before(&self, path: &[u8]) -> Vec<u8> {
        mapped(&self.was, path)
    }

    /// Where what is at `path` before is then.
    pub(crate) fn after(&self, path: &[u8]) -> Vec<u8> {
        mapped(&self.is, path)
    }
}

fn mapped(names: &HashMap<Vec<u8>, Vec<u8>>, path: &[u8]) -> Vec<u8> {
    if names.is_empty() {
        return path.to_vec();
    }
    for dir in core::iter::once(path).chain(all_above(path)) {
        if let Some(other) = names.get(dir) {
            return [other, path.get(dir.len()..).unwrap_or_default()].concat();
        }
    }
    path.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_directory_that_moves_counts() {
        let pairs: [(&[u8], &[u8]); 3] = [(b"/a", b"/x/y"), (b"/a/b", b"/b"), (b"/c", b"/x")];
        let renames = Renames::new(pairs.into_iter());
        assert_eq!(renames.before(b"/x/y/f"), b"/a/f");
        assert_eq!(renames.before(b"/x/f"), b"/c/f");
        assert_eq!(renames.before(b"/b"), b"/a/b");
        assert_eq!(renames.before(b"/other"), b"/other");
        assert_eq!(renames.after(b"/a/b/f"), b"/b/f");
        assert_eq!(renames.after(b"/a/f"), b"/x/y/f");
    }
}
