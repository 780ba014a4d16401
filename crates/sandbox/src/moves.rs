//! Directories that were renamed: where a path was before, at the cost of its length and not of their number.

use std::collections::{HashMap, HashSet};

/// The renamed directories.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// By where they are: where they were.
    from: HashMap<Vec<u8>, Vec<u8>>,
    /// Where they were.
    left: HashSet<Vec<u8>>,
}

/// A path and those above it, the longest first, but for the root's.
fn and_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::successors(Some(path), |&path| above(path)).filter(|path| !path.is_empty())
}

fn above(path: &[u8]) -> Option<&[u8]> {
    path.get(..path.iter().rposition(|&byte| byte == b'/')?)
}

impl Moves {
    /// Notes that a directory was renamed; those above it that were are noted already.
    pub(crate) fn note(&mut self, now: &[u8], from: &[u8]) {
        // It may be back where it was.
        if self.along(now).0 != from {
            self.from.insert(now.to_vec(), from.to_vec());
            self.left.insert(from.to_vec());
        }
    }

    /// Where a directory was that has another name now.
    pub(crate) fn from(&self, now: &[u8]) -> Option<&Vec<u8>> {
        self.from.get(now)
    }

    /// Where what is at a path was, as far as directories above it were renamed; and where the innermost of those was.
    fn along(&self, path: &[u8]) -> (Vec<u8>, Option<&Vec<u8>>) {
        let innermost = and_above(path).skip(1).find_map(|above| Some((above.len(), self.from.get(above)?)));
        match innermost {
            Some((len, was)) => ([was, path.get(len..).unwrap_or_default()].concat(), Some(was)),
            None => (path.to_vec(), None),
        }
    }

    /// The same; nothing if what was there is in a directory, or is one, that is somewhere else now.
    pub(crate) fn path_before(&self, path: &[u8]) -> Option<Vec<u8>> {
        let (before, above) = self.along(path);
        let moved = and_above(&before).find_map(|path| self.left.get(path));
        (moved == above).then_some(before)
    }

    /// Whether what was at a path is a directory that has another name now.
    pub(crate) fn was_renamed(&self, path: &[u8]) -> bool {
        self.left.contains(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_followed_along_the_innermost_directory() {
        let mut moves = Moves::default();
        moves.note(b"/x", b"/d");
        // It came along, and is where it was.
        moves.note(b"/x/same", b"/d/same");
        moves.note(b"/x/y", b"/e/f");
        let before = |path: &[u8]| moves.path_before(path);
        for (now, was) in [
            (&b"/x/a"[..], &b"/d/a"[..]),
            (b"/x/same/a", b"/d/same/a"),
            (b"/x/y/b/c", b"/e/f/b/c"),
            (b"/xx/a", b"/xx/a"),
            (b"/e/g", b"/e/g"),
            (b"/a", b"/a"),
        ] {
            assert_eq!(before(now).as_deref(), Some(was), "{}", now.escape_ascii());
        }
        // What was there has gone elsewhere.
        for now in [&b"/d/a"[..], b"/d", b"/e/f", b"/e/f/b"] {
            assert_eq!(before(now), None, "{}", now.escape_ascii());
        }
        assert_eq!(moves.from(b"/x/y"), Some(&b"/e/f".to_vec()));
        assert!(moves.was_renamed(b"/e/f") && !moves.was_renamed(b"/x") && moves.from(b"/x/same").is_none());
    }
}
