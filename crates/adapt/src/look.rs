//! Looking at what a filesystem holds: the names in a directory, the extended attributes of an inode, the data of a
//! file.

use core::ops::{ControlFlow, Range};
use std::sync::Arc;

use vnode_core::fs::{File, Filesystem, SeekFor};
use vnode_core::{Cx, Errno, Result};

/// The names in a directory, whose access time stays.
///
/// # Errors
/// Those of listing it.
pub(crate) fn names<F: Filesystem>(cx: &Cx<'_>, fs: &F, dir: &Arc<F::Inode>) -> Result<Vec<Box<[u8]>>> {
    let mut names = Vec::new();
    fs.open_dir(cx, dir)?.list(&cx.keeping_atime(), 0, &mut |entry| {
        names.push(entry.name.into());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// The names of an inode's extended attributes: none where the filesystem has no such attributes.
///
/// # Errors
/// Those of listing them.
pub(crate) fn xattr_names<F: Filesystem>(
    cx: &Cx<'_>,
    fs: &F,
    inode: &Arc<F::Inode>,
) -> Result<Vec<Box<[u8]>>> {
    let mut names = Vec::new();
    match fs.list_xattr(cx, inode, &mut |name| names.push(name.into())) {
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        listed => listed.map(|()| names),
    }
}

/// Each range of a file's first `size` bytes that is data, in order; all of them where the filesystem can't tell holes.
///
/// # Errors
/// Those of `lseek(2)` but the ones that say so, and those of `found`.
pub(crate) fn extents(
    cx: &Cx<'_>,
    file: &dyn File,
    size: u64,
    found: &mut dyn FnMut(Range<u64>) -> Result<()>,
) -> Result<()> {
    let seek = |what, from, untold| match file.seek_data_or_hole(cx, what, from) {
        // There is no more, or the file was truncated since.
        Err(Errno::NXIO) => Ok(size),
        Err(Errno::OPNOTSUPP | Errno::INVAL) => Ok(untold),
        sought => sought,
    };
    let mut at = 0;
    while at < size {
        let start = seek(SeekFor::Data, at, at)?;
        if start >= size {
            break;
        }
        // Whatever the filesystem says, the next look is further on.
        at = seek(SeekFor::Hole, start, size)?.clamp(start + 1, size);
        found(start..at)?;
    }
    Ok(())
}
