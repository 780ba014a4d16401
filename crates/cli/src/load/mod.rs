//! Filling a memory filesystem from the host: `tree` reads a directory, `archive` what `vnode-archive` makes of a file.
//! Opening archives that are not copied.

mod archive;
mod holes;
mod progress;
mod tree;

use std::io;
use std::path::Path;
use std::rc::Rc;

use vnode_archive::{Archive, ArchiveBuilder, ArchiveError, Progress as Read};
use vnode_core::fs::Filesystem as _;
use vnode_core::{Clock, Credentials, Cx, Timespec};
use vnode_memory::{Entry, LoadError, Memory};

use crate::text::shown;
use progress::Progress;

const MORE_ROOM: &str = "size= and inodes=, or --max-fs-bytes and --max-fs-inodes, allow more";

/// Owners that everything gets in place of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Owner {
    /// User.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// Loads the directory or the archive at `source`.
///
/// # Errors
/// A sentence that says what is wrong with what.
pub fn load(memory: &Memory, source: &Path, owner: Owner, quiet: bool) -> Result<(), String> {
    let progress = Progress::new(source, quiet);
    let result = read(memory, source, owner, &progress);
    progress.clear();
    result.map_err(|problem| format!("can't copy {}: {problem}", shown(source.as_os_str())))
}

fn read(memory: &Memory, source: &Path, owner: Owner, progress: &Progress) -> Result<(), String> {
    let metadata = std::fs::metadata(source).map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return fill(memory, tree::entries(source, progress), owner);
    }
    let told = |read: Read| progress.read(read.bytes, read.total);
    let archive = archive::limited(room(memory)).progress(told).open(source);
    fill_from_archive(memory, &archive.map_err(archive::problem)?, owner, progress)
}

/// Opens the archive at `path`, to be read where it lies; `limit` sets what it may hold.
///
/// # Errors
/// What is wrong with it.
pub fn image<'a>(
    path: &Path,
    quiet: bool,
    limit: impl FnOnce(ArchiveBuilder<'a>) -> ArchiveBuilder<'a>,
) -> Result<Archive, ArchiveError> {
    let progress = Rc::new(Progress::new(path, quiet));
    let told = {
        let progress = Rc::clone(&progress);
        move |read: Read| progress.read(read.bytes, read.total)
    };
    let opened = limit(Archive::builder().progress(told)).open(path);
    progress.clear();
    opened
}

/// Loads the archive that `bytes` hold, as [`load`] does one of the host.
///
/// # Errors
/// A sentence that says what is wrong with what.
pub fn load_archive(memory: &Memory, bytes: Vec<u8>) -> Result<(), String> {
    let progress = Progress::new(Path::new("archive"), true);
    let archive = archive::limited(room(memory)).bytes(bytes).map_err(archive::problem)?;
    fill_from_archive(memory, &archive, Owner::default(), &progress)
}

fn fill_from_archive(
    memory: &Memory,
    archive: &Archive,
    owner: Owner,
    progress: &Progress,
) -> Result<(), String> {
    fill(memory, archive::entries(archive, room(memory), progress), owner)
}

/// The most bytes that a file with no holes may have, if need be a page too much.
fn room(memory: &Memory) -> u64 {
    let who = Credentials::root();
    let clock = Epoch;
    match memory.statfs(&Cx::new(&who, &clock)) {
        Ok(figures) if figures.blocks > 0 => (figures.blocks + 1).saturating_mul(figures.block_size.into()),
        _ => u64::MAX,
    }
}

/// Asking for the size changes no time.
struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
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
        LoadError::Entry { errno: vnode_core::Errno::NOSPC, .. } => format!("{error}; {MORE_ROOM}"),
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests;
