//! Two trees of the host: what a program left where it ran on vnode, and where it ran on the kernel.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What stands at a path: mode with the type, number of links, and the content or the target of a link.
type Entry = (u32, u64, Vec<u8>);

/// A tree, and the name by which the program that made it knew it.
pub(super) struct Tree<'a> {
    pub(super) top: &'a Path,
    pub(super) known_as: &'a str,
}

impl Tree<'_> {
    /// Everything in the tree; of files with these extensions, not the content.
    fn entries(&self, without_content: &[&str]) -> Result<BTreeMap<PathBuf, Entry>> {
        let mut found = BTreeMap::new();
        let mut left = vec![PathBuf::new()];
        while let Some(path) = left.pop() {
            let full = self.top.join(&path);
            let meta = fs::symlink_metadata(&full).with_context(|| full.display().to_string())?;
            let content = if meta.is_symlink() {
                self.without_top(fs::read_link(&full)?.into_os_string())
            } else if meta.is_file()
                && !path.extension().is_some_and(|it| without_content.iter().any(|no| it == *no))
            {
                fs::read(&full)?
            } else {
                Vec::new()
            };
            if meta.is_dir() {
                for entry in fs::read_dir(&full)? {
                    left.push(path.join(entry?.file_name()));
                }
            }
            // The directory itself was made by whoever set the program up.
            if path != Path::new("") {
                found.insert(path, (meta.mode(), meta.nlink(), content));
            }
        }
        Ok(found)
    }

    /// A link's target without the beginning that only this tree has.
    fn without_top(&self, target: OsString) -> Vec<u8> {
        let within = target.as_bytes().strip_prefix(self.known_as.as_bytes()).map(<[u8]>::to_vec);
        within.map_or_else(|| target.into_vec(), |within| [b"TOP".as_slice(), &within].concat())
    }
}

/// Fails with the first path at which the trees differ; gives the number of paths.
pub(super) fn same(vnode: &Tree<'_>, kernel: &Tree<'_>, without_content: &[&str]) -> Result<usize> {
    let (ours, theirs) = (vnode.entries(without_content)?, kernel.entries(without_content)?);
    for path in ours.keys().chain(theirs.keys()) {
        match (ours.get(path), theirs.get(path)) {
            (ours, theirs) if ours == theirs => {}
            (ours, theirs) => {
                let show = |entry: Option<&Entry>| {
                    entry.map_or("nothing".to_owned(), |(mode, links, content)| {
                        format!("mode {mode:o}, {links} links, {} bytes", content.len())
                    })
                };
                bail!("{} differs\n  vnode:  {}\n  kernel: {}", path.display(), show(ours), show(theirs));
            }
        }
    }
    Ok(theirs.len())
}

#[cfg(test)]
mod tests {
    use super::super::Scratch;
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_difference_is_named() {
        let (left, right) = (Scratch::new("tree-left").unwrap(), Scratch::new("tree-right").unwrap());
        let compare = || {
            let theirs = Tree { top: &right.0, known_as: "/right" };
            same(&Tree { top: &left.0, known_as: "/left" }, &theirs, &["db"])
                .map_err(|error| error.to_string())
        };
        fs::create_dir(left.0.join("d")).unwrap();
        assert!(compare().unwrap_err().starts_with("d differs\n"));
        fs::create_dir(right.0.join("d")).unwrap();
        symlink("/left/d", left.0.join("d/link")).unwrap();
        symlink("/right/d", right.0.join("d/link")).unwrap();
        fs::write(left.0.join("a.db"), "one").unwrap();
        fs::write(right.0.join("a.db"), "another").unwrap();
        assert_eq!(compare(), Ok(3));
        fs::write(left.0.join("d/f"), "one").unwrap();
        fs::write(right.0.join("d/f"), "two").unwrap();
        assert!(compare().unwrap_err().starts_with("d/f differs\n"));
    }
}
