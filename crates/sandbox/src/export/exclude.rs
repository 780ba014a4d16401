//! What an archive leaves out, by patterns as they are in `.gitignore`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Patterns of what is left out, with all that is below it.
///
/// As in `gitignore(5)`: `*.o` is a name anywhere, `/a/*.o` and `a/*.o` are paths from the root, `a/**/b` has any directories
/// between, and with a slash at its end a pattern is of directories alone. There are no exceptions (`!`).
#[derive(Clone, Debug, Default)]
pub struct Exclude {
    all: GlobSet,
    directories: GlobSet,
}

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is no pattern: {problem}", pattern.escape_debug())]
pub struct PatternError {
    /// As it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Exclude {
    /// Takes patterns.
    ///
    /// # Errors
    /// One of them is none, or all together are too large.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Exclude, PatternError> {
        let (mut all, mut directories) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let given = pattern.as_ref();
            let wrong = |problem: String| PatternError { pattern: given.to_owned(), problem };
            if given.starts_with('!') {
                return Err(wrong(
                    "there are no exceptions; for a name with an exclamation mark write \\!".to_owned(),
                ));
            }
            let (pattern, of_directories) = match given.strip_suffix('/') {
                Some(pattern) => (pattern, true),
                None => (given, false),
            };
            let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
            if matches!(pattern.trim_matches('/'), "" | "." | "..") {
                return Err(wrong("it names nothing".to_owned()));
            }
            let glob = match pattern.strip_prefix('/') {
                Some(path) => path.to_owned(),
                None if pattern.contains('/') => pattern.to_owned(),
                None => format!("**/{pattern}"),
            };
            let glob = GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build();
            let glob = glob.map_err(|error| wrong(error.kind().to_string()))?;
            if of_directories { &mut directories } else { &mut all }.add(glob);
        }
        let built = |set: GlobSetBuilder| {
            let wrong = |error: globset::Error| PatternError {
                pattern: error.glob().unwrap_or_default().to_owned(),
                problem: error.kind().to_string(),
            };
            set.build().map_err(wrong)
        };
        Ok(Exclude { all: built(all)?, directories: built(directories)? })
    }

    /// Whether a path from the root, with a slash before it, is left out by itself.
    pub(super) fn has(&self, path: &[u8], is_dir: bool) -> bool {
        if self.all.is_empty() && self.directories.is_empty() {
            return false;
        }
        let path = OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path));
        self.all.is_match(path) || is_dir && self.directories.is_match(path)
    }

    /// The same, or by a directory that it is in.
    pub(super) fn has_or_above(&self, path: &[u8], is_dir: bool) -> bool {
        let mut slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
        slashes.any(|(end, _)| self.has(path.get(..end).unwrap_or_default(), true)) || self.has(path, is_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_as_in_gitignore() {
        for (pattern, path, is_dir, expected) in [
            ("*.o", &b"/a.o"[..], false, true),
            ("*.o", b"/d/e/a.o", false, true),
            ("*.o", b"/d.o/e", false, true),
            ("*.o", b"/a.ob", false, false),
            ("/*.o", b"/d/a.o", false, false),
            ("d/*.o", b"/d/a.o", false, true),
            ("./d/*.o", b"/d/a.o", false, true),
            ("d/*.o", b"/x/d/a.o", false, false),
            ("d/*.o", b"/d/e/a.o", false, false),
            ("d/**/*.o", b"/d/e/f/a.o", false, true),
            ("target/", b"/x/target", true, true),
            ("target/", b"/x/target", false, false),
            ("target/", b"/x/target/f", false, true),
            ("/target/", b"/x/target", true, false),
            ("a/b/", b"/a/b/c", false, true),
            ("?", b"/\xff", false, true),
            ("[ab]", b"/a", false, true),
            ("\\!a", b"/!a", false, true),
            ("\\*", b"/a", false, false),
            ("-x", b"/-x", false, true),
        ] {
            let exclude = Exclude::new([pattern]).unwrap();
            assert_eq!(exclude.has_or_above(path, is_dir), expected, "{pattern} {}", path.escape_ascii());
        }
        assert!(!Exclude::default().has_or_above(b"/a", false));
        for bad in ["", "/", "./", "!a", "[a", "a\\"] {
            assert_eq!(Exclude::new(["x", bad]).unwrap_err().pattern, bad);
        }
    }
}
