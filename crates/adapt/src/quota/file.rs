//! An open file of a filesystem with a quota.

use std::sync::Arc;

use vnode_core::fs::{Allocate, File, Filesystem, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Result};

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

    fn sync(&self, cx: &Cx<'_>, data_only: bool) -> Result<()> {
        self.file.sync(cx, data_only)
    }
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
