//! The way up: the directory above another, and its name there.
//!
//! What the host says is above a directory need not be below the root: the directory may have been moved out of it. So
//! the directory above is taken only if a climb from it comes to the root. Each step of that is true when it is made.

use core::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{DirStream, Inode};
use vnode_core::{Cx, Errno, Name, NameBuf, Result};

use crate::host::Host;
use crate::listing::HostListing;
use crate::node::HostNode;
use crate::pool::Descriptor;
use crate::sys::{self, AsFd, OwnedFd, Stat};

/// The directory above one; the root's is the root.
///
/// # Errors
/// `ENOENT`: that isn't below the root.
pub(crate) fn parent(host: &Host, cx: &Cx<'_>, dir: &Arc<HostNode>) -> Result<Arc<HostNode>> {
    let root = host.root.id();
    if dir.id() == root {
        return Ok(Arc::clone(&host.root));
    }
    let (above, stat) = above(host, dir)?;
    if stat.id == root {
        return Ok(Arc::clone(&host.root));
    }
    let levels = match dir.levels().saturating_sub(1) {
        levels if is_below_root_by(host, cx, &above, levels)? => levels,
        _ => levels_below_root(host, cx, &above, stat)?,
    };
    match dir.way() {
        // The one that it was found from, which can be found again.
        Some(way) if way.is_one() && way.from.id() == stat.id => Ok(Arc::clone(&way.from)),
        _ => Ok(HostNode::fixed(&host.pool, levels, stat.id, above)),
    }
}

fn above(host: &Host, dir: &HostNode) -> Result<(Descriptor, Stat)> {
    let held = dir.fd()?;
    let above = host.pool.open(|| sys::find_above(held.as_fd()))?;
    let stat = sys::stat(above.as_fd())?;
    Ok((above, stat))
}

/// Whether so many steps up lead to the root: a climb of few calls, where the directory is as deep as when it was found.
fn is_below_root_by(host: &Host, cx: &Cx<'_>, dir: &Descriptor, levels: u32) -> Result<bool> {
    let mut here: Option<OwnedFd> = None;
    let mut left = levels;
    while left > 0 {
        cx.check_canceled()?;
        let steps = left.min(sys::MOST_LEVELS);
        here = Some(sys::find_up(here.as_ref().map_or(dir.as_fd(), |here| here.as_fd()), steps)?);
        left -= steps;
    }
    here.map_or(Ok(false), |here| Ok(sys::stat(here.as_fd())?.id == host.root.id()))
}

/// The steps up to the root, one by one.
///
/// # Errors
/// `ENOENT`: it isn't below the root.
fn levels_below_root(host: &Host, cx: &Cx<'_>, dir: &Descriptor, stat: Stat) -> Result<u32> {
    let root = host.root.id();
    let mut here: Option<OwnedFd> = None;
    let mut id = stat.id;
    let mut levels = 0u32;
    loop {
        // As many steps as the tree is deep.
        cx.check_canceled()?;
        let above = sys::find_above(here.as_ref().map_or(dir.as_fd(), |here| here.as_fd()))?;
        let stat = sys::stat(above.as_fd())?;
        levels = levels.saturating_add(1);
        if stat.id == root {
            return Ok(levels);
        }
        if stat.id == id {
            // The host's own root, or that of a mount which isn't mounted any more.
            return Err(Errno::NOENT);
        }
        (here, id) = (Some(above), stat.id);
    }
}

/// The name of a directory in the one above it: the one that it was found by, if it is that still.
///
/// # Errors
/// `ENOENT`: it was removed, or isn't below the root.
pub(crate) fn name_of(host: &Host, cx: &Cx<'_>, dir: &Arc<HostNode>, out: &mut NameBuf) -> Result<()> {
    if dir.id() == host.root.id() {
        *out = NameBuf::new();
        return Ok(());
    }
    let above = parent(host, cx, dir)?;
    let held = above.fd()?;
    let is_dir = |name: &[u8]| match sys::stat_at(held.as_fd(), name) {
        Err(Errno::NOENT) => Ok(false),
        stat => stat.map(|stat| stat.id == dir.id()),
    };
    if let Some(way) = dir.way()
        && is_dir(way.last_name()) == Ok(true)
    {
        *out = Name::new(way.last_name())?.into();
        return Ok(());
    }
    let listing = host.pool.open(|| sys::open_directory(held.as_fd(), true))?;
    let mut found = Err(Errno::NOENT);
    HostListing::new(listing).list(cx, 0, &mut |entry| {
        match if entry.kind.is_dir() { is_dir(entry.name) } else { Ok(false) } {
            Ok(true) => {
                found = Ok(entry.name.to_vec());
                return ControlFlow::Break(());
            }
            Ok(false) => {}
            // It may be another's, and is told of if none is found.
            Err(errno) => found = Err(errno),
        }
        ControlFlow::Continue(())
    })?;
    *out = Name::new(&found?)?.into();
    Ok(())
}
