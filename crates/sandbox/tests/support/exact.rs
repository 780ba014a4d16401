//! Directories of the host as they are to be that nobody changes.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// By path: all that tells whether somebody changed it.
pub(crate) type Exact = BTreeMap<PathBuf, String>;

/// All that is in a directory, but not itself, nor when what is there was moved away and back.
pub(crate) fn below(root: &Path) -> Exact {
    let mut all = looked_at(root, false);
    all.remove(root);
    all
}

/// A directory and all that is in it.
pub(crate) fn exact(root: &Path) -> Exact {
    looked_at(root, true)
}

fn looked_at(root: &Path, changed: bool) -> Exact {
    let mut found = Exact::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let content = if meta.is_file() {
            fs::read(&path).unwrap().escape_ascii().to_string()
        } else if meta.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else {
            String::new()
        };
        let (ino, mode, nlink) = (meta.ino(), meta.mode(), meta.nlink());
        let changed = changed.then(|| (meta.ctime(), meta.ctime_nsec()));
        let times = (meta.mtime(), meta.mtime_nsec(), changed);
        let told = format!("{ino} {mode:o} {nlink} {}:{} {times:?} {content}", meta.uid(), meta.gid());
        found.insert(path, told);
    }
    found
}
