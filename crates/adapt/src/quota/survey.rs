//! Looking at what is there already.

use std::collections::HashMap;

use std::sync::Arc;

use vnode_core::fs::{Access, At, Filesystem, Inode, InodeId};
use vnode_core::ranges::Ranges;
use vnode_core::{Attr, Cx, Errno, FileType, Name, Result};

use super::counts::{Counts, PAGE};
use crate::look;

/// A symbolic link's target from this length on takes a page, as on Linux's tmpfs (`SHORT_SYMLINK_LEN`).
const LONG_TARGET: u64 = 128;

/// What an extended attribute is counted as besides its name and value.
const XATTR_OVERHEAD: u64 = 64;

/// What an inode takes.
#[derive(Debug, Default)]
pub(super) struct Holding {
    pub(super) pages: Ranges,
    pub(super) xattrs: u64,
}

/// The pages that a symbolic link takes.
pub(super) fn pages_of_target(len: u64) -> u64 {
    u64::from(len >= LONG_TARGET)
}

/// What an extended attribute counts as.
pub(super) fn xattr_cost(name: &[u8], value: &[u8]) -> u64 {
    name.len() as u64 + value.len() as u64 + XATTR_OVERHEAD
}

/// Looks at an inode.
///
/// # Errors
/// `EIO`.
pub(super) fn holding<F: Filesystem>(
    cx: &Cx<'_>,
    fs: &F,
    inode: &Arc<F::Inode>,
    attr: &Attr,
) -> Result<Holding> {
    let cx = &cx.keeping_atime();
    let mut holding = Holding { pages: Ranges::default(), xattrs: xattrs(cx, fs, inode)? };
    match attr.kind {
        FileType::Symlink => holding.pages.insert(0..pages_of_target(attr.size)),
        FileType::Regular if attr.size > 0 => holding.pages = data(cx, fs, inode, attr.size)?,
        _ => {}
    }
    Ok(holding)
}

fn xattrs<F: Filesystem>(cx: &Cx<'_>, fs: &F, inode: &Arc<F::Inode>) -> Result<u64> {
    let mut sum = 0;
    for name in look::xattr_names(cx, fs, inode)? {
        sum += match fs.get_xattr(cx, inode, &name) {
            // Listed, and no longer there.
            Err(Errno::NODATA) => 0,
            value => xattr_cost(&name, &value?),
        };
    }
    Ok(sum)
}

/// The pages of a file that are data; all of them where the filesystem can't tell.
fn data<F: Filesystem>(cx: &Cx<'_>, fs: &F, inode: &Arc<F::Inode>, size: u64) -> Result<Ranges> {
    let file = fs.open(cx, inode, Access::READ)?;
    let mut pages = Ranges::default();
    look::extents(cx, &*file, size, &mut |data| {
        pages.insert(data.start / PAGE..data.end.div_ceil(PAGE));
        Ok(())
    })?;
    Ok(pages)
}

/// Counts a whole filesystem: an inode for each name, and what each inode takes. Not by recursion, for trees are
/// deep.
///
/// # Errors
/// Those of looking at it.
pub(super) fn count<F: Filesystem>(cx: &Cx<'_>, fs: &F, counts: &Counts) -> Result<()> {
    let mut linked: HashMap<InodeId, Arc<F::Inode>> = HashMap::new();
    let mut pending = vec![fs.root()];
    counts.inodes.add(1);
    while let Some(dir) = pending.pop() {
        let attr = fs.getattr(cx, &dir)?;
        counts.bytes.add(holding(cx, fs, &dir, &attr)?.xattrs);
        for name in look::names(cx, fs, &dir)? {
            let inode = fs.lookup(cx, At { dir: &dir, name: Name::new(&name)? })?;
            counts.inodes.add(1);
            if inode.kind().is_dir() {
                pending.push(inode);
                continue;
            }
            let attr = fs.getattr(cx, &inode)?;
            if attr.nlink > 1 && linked.insert(inode.id(), inode.clone()).is_some() {
                continue;
            }
            let Holding { pages, xattrs } = holding(cx, fs, &inode, &attr)?;
            counts.bytes.add(xattrs + pages.count(0..u64::MAX) * PAGE);
        }
    }
    Ok(())
}
