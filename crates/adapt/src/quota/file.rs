//! An open file of a filesystem with a quota.

use core::ops::Range;
use std::sync::Arc;

use vnode_core::fs::{Allocate, File, Filesystem, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Errno, Result};

use super::counts::PAGE;
use super::node::{QuotaNode, covered, touched};

/// The end of the largest file.
const MAX_SIZE: u64 = i64::MAX as u64;

pub(super) struct QuotaFile<F: Filesystem> {
    file: Arc<dyn File>,
    /// Held, so that an unlinked file's last close is seen.
    node: Arc<QuotaNode<F>>,
}

impl<F: Filesystem> QuotaFile<F> {
    pub(super) fn opened(file: Arc<dyn File>, node: Arc<QuotaNode<F>>) -> Arc<dyn File> {
        Arc::new(QuotaFile { file, node })
    }

    /// Writes what there is room for. The room for all pages that may be needed is taken before, and given back for
    /// those that weren't, so that no number of writers comes over the limit.
    ///
    /// # Errors
    /// Full: there is no room for the first byte. Those of `write`, which nothing was counted for.
    fn write(
        &self,
        cx: &Cx<'_>,
        offset: Option<u64>,
        from: &mut Source<'_>,
        write: impl FnOnce(&mut Source<'_>) -> Result<usize>,
    ) -> Result<usize> {
        let node = &self.node;
        let counts = &node.shared.counts;
        let mut state = node.state.lock();
        let offset = match offset {
            Some(offset) => offset,
            None => node.shared.fs.getattr(cx, &node.inode)?.size,
        };
        let ledger = node.ledger(cx, &mut state)?;
        let end = offset.saturating_add(from.remaining() as u64).min(MAX_SIZE);
        if end <= offset {
            // Nothing to write, or nothing that can be: it needs no room.
            return write(from);
        }
        let pages = touched(&(offset..end));
        let missing = ledger.missing(pages.clone());
        let granted = counts.take_some_pages(missing);
        let reach = if granted == missing { end } else { ledger.reach(pages, granted) * PAGE };
        let Some(limit) = reach.checked_sub(offset).filter(|&limit| limit > 0) else {
            return Err(counts.full);
        };
        let result = write(&mut from.first(usize::try_from(limit).unwrap_or(usize::MAX)));
        let done = *result.as_ref().unwrap_or(&0);
        from.advance(done);
        let done = done as u64;
        let used = if done > 0 { ledger.add(touched(&(offset..offset + done))) } else { 0 };
        counts.give_pages(granted.saturating_sub(used));
        node.keep(&state);
        result
    }
}

impl<F: Filesystem> File for QuotaFile<F> {
    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        self.file.read_at(cx, offset, into)
    }

    fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        self.write(cx, Some(offset), from, |part| self.file.write_at(cx, offset, part))
    }

    fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        let mut end = 0;
        let done = self.write(cx, None, from, |part| {
            let (done, after) = self.file.append(cx, part)?;
            end = after;
            Ok(done)
        })?;
        Ok((done, end))
    }

    fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()> {
        self.node.resize(cx, len, || self.file.set_len(cx, len))
    }

    fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        let node = &self.node;
        let counts = &node.shared.counts;
        let mut state = node.state.lock();
        let ledger = node.ledger(cx, &mut state)?;
        let allocate = || self.file.allocate(cx, how, offset, len);
        let Some(end) = offset.checked_add(len).filter(|&end| end <= MAX_SIZE) else {
            return allocate();
        };
        if how == Allocate::PunchHole {
            allocate()?;
            counts.give_pages(ledger.remove(covered(&(offset..end))));
        } else {
            let pages = touched(&(offset..end));
            let missing = ledger.missing(pages.clone());
            counts.take_pages(missing)?;
            allocate().inspect_err(|_| counts.give_pages(missing))?;
            ledger.add(pages);
        }
        node.keep(&state);
        Ok(())
    }

    fn seek_data_or_hole(&self, cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64> {
        self.file.seek_data_or_hole(cx, what, offset)
    }

    /// Counted as if it were written, shared or not: all of it before, for then it is not begun.
    fn copy_range(
        &self,
        cx: &Cx<'_>,
        offset: u64,
        from: &dyn File,
        from_offset: u64,
        len: u64,
    ) -> Result<u64> {
        let node = &self.node;
        let counts = &node.shared.counts;
        let mut state = node.state.lock();
        let ledger = node.ledger(cx, &mut state)?;
        let extents = extents(cx, from, from_offset, len.min(MAX_SIZE - offset.min(MAX_SIZE)))?;
        let pages = |extent: &Range<u64>| touched(&(extent.start + offset..extent.end + offset));
        // Extents that meet in a page may count it twice, until they are added.
        let missing = extents.iter().map(|extent| ledger.missing(pages(extent))).sum();
        counts.take_pages(missing)?;
        let copied = self.file.copy_range(cx, offset, from, from_offset, len);
        let done = *copied.as_ref().unwrap_or(&0);
        let cut = |extent: Range<u64>| extent.start..extent.end.min(done);
        let taken = extents.into_iter().map(cut).filter(|extent| !extent.is_empty());
        let used: u64 = taken.map(|extent| ledger.add(pages(&extent))).sum();
        counts.give_pages(missing.saturating_sub(used));
        node.keep(&state);
        copied
    }

    fn lend(&self, cx: &Cx<'_>, take: &mut dyn FnMut(&dyn File) -> Result<u64>) -> Result<u64> {
        self.file.lend(cx, take)
    }

    fn sync(&self, cx: &Cx<'_>, data_only: bool) -> Result<()> {
        self.file.sync(cx, data_only)
    }
}

/// What of a range of a file is data, by its distance from `offset`.
fn extents(cx: &Cx<'_>, file: &dyn File, offset: u64, len: u64) -> Result<Vec<Range<u64>>> {
    let end = offset.saturating_add(len);
    let mut extents = Vec::new();
    let mut at = offset;
    while at < end {
        let start = match file.seek_data_or_hole(cx, SeekFor::Data, at) {
            Err(Errno::NXIO) => break,
            sought => sought?,
        };
        if start >= end {
            break;
        }
        at = file.seek_data_or_hole(cx, SeekFor::Hole, start)?.max(start + 1).min(end);
        extents.push(start - offset..at - offset);
    }
    Ok(extents)
}

impl<F: Filesystem> QuotaNode<F> {
    /// Sets the size by `set`; what is past it counts no more, what was set aside there included.
    pub(super) fn resize(
        self: &Arc<Self>,
        cx: &Cx<'_>,
        len: u64,
        set: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        let size = self.shared.fs.getattr(cx, &self.inode)?.size;
        let ledger = self.ledger(cx, &mut state)?;
        set()?;
        if len <= size {
            self.shared.counts.give_pages(ledger.remove(len.div_ceil(PAGE)..u64::MAX));
        }
        self.keep(&state);
        Ok(())
    }
}
