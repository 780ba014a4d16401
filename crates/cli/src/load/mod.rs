//! Filling a memory filesystem from the host: [`tree`] reads a directory, [`archive`] a tar file.
//!
//! They stand here until the crates for host directories and archives are there.

mod archive;
mod decimal_time;
mod progress;
mod tree;

use std::io;
use std::path::Path;

use vnode_memory::{Entry, LoadError, Memory};

use progress::Progress;

/// Owners that everything gets in place of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// Loads the directory or the tar archive at `source`.
///
/// # Errors
/// A sentence that says what is wrong with what.
pub(crate) fn load(memory: &Memory, source: &Path, owner: Owner, quiet: bool) -> Result<(), String> {
    let progress = Progress::new(source, quiet);
    let result = read(memory, source, owner, &progress);
    progress.clear();
    result.map_err(|problem| format!("can't copy {}: {problem}", source.display()))
}

fn read(memory: &Memory, source: &Path, owner: Owner, progress: &Progress) -> Result<(), String> {
    let metadata = std::fs::metadata(source).map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return fill(memory, tree::entries(source, progress), owner);
    }
    if !metadata.is_file() {
        return Err("it is neither a directory nor a tar archive".to_owned());
    }
    let mut archive = archive::open(source)?;
    let entries = archive::entries(&mut archive, progress).map_err(|error| error.to_string())?;
    fill(memory, entries, owner)
}

fn fill<'a>(
    memory: &Memory,
    entries: impl Iterator<Item = io::Result<Entry<'a>>>,
    owner: Owner,
) -> Result<(), String> {
    let owned = entries.map(|entry| {
        entry.map(|mut entry| {
            entry.uid = owner.uid.unwrap_or(entry.uid);
            entry.gid = owner.gid.unwrap_or(entry.gid);
            entry
        })
    });
    memory.load(owned).map_err(|error| match error {
        LoadError::Source(error) => error.to_string(),
        LoadError::Entry { errno: vnode_core::Errno::NOSPC, .. } => {
            format!("{error}; size= and inodes=, or --max-fs-bytes and --max-fs-inodes, allow more")
        }
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests;
