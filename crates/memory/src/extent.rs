//! What files share: chunks, which are one file's own again as soon as it writes to them.

use std::sync::Arc;

use vnode_core::fs::InPlace;
use vnode_core::{Errno, Result};

use crate::chunk::{CHUNK, Chunk, PAGES, mask};
use crate::content::{Content, MAX_SIZE, Store};
use crate::page::{Page, cut_page};
use crate::quota::{PAGE, Quota};

/// Content of a file, to become another's.
pub(crate) struct Extent {
    len: u64,
    /// Whether more follows it, which its last chunk may have.
    cut: bool,
    store: Stored,
}

/// What of it is stored.
enum Stored {
    /// The first page at most.
    Page(Page),
    /// Chunks, by their number in the extent.
    Chunks(Vec<(u64, Arc<Chunk>)>),
}

impl Extent {
    /// What another filesystem has in memory. A page at most is copied: that takes less than to hold on to it.
    pub(crate) fn foreign(what: &InPlace) -> Extent {
        let bytes = match what {
            InPlace::Bytes(bytes) => bytes,
            InPlace::Hole(len) => return Extent { len: *len, cut: false, store: Stored::Chunks(Vec::new()) },
        };
        let len = bytes.len();
        let store = if len as u64 <= PAGE {
            Stored::Page(bytes.to_vec())
        } else {
            let starts = (0..len).step_by(CHUNK as usize);
            let parts = starts.filter_map(|start| bytes.part(start..len.min(start + CHUNK as usize)));
            Stored::Chunks((0..).zip(parts.map(|part| Arc::new(Chunk::foreign(part)))).collect())
        };
        Extent { len: len as u64, cut: false, store }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many pages of one of its chunks are not past the end.
    fn pages_within(&self, index: u64) -> usize {
        (self.len - index * CHUNK).div_ceil(PAGE).min(PAGES) as usize
    }

    /// Stored pages.
    fn pages(&self) -> u64 {
        match &self.store {
            Stored::Page(page) => u64::from(!page.is_empty()),
            Stored::Chunks(chunks) => {
                let stored = |(index, chunk): &(u64, Arc<Chunk>)| {
                    u64::from((chunk.stored() & mask(&(0..self.pages_within(*index)))).count_ones())
                };
                chunks.iter().map(stored).sum()
            }
        }
    }
}

impl Content {
    /// At most `len` bytes from `offset` on; nothing if that is not where a chunk begins.
    pub(crate) fn extent(&self, offset: u64, len: u64) -> Option<Extent> {
        if !offset.is_multiple_of(CHUNK) {
            return None;
        }
        let left = self.size.saturating_sub(offset);
        let len = len.min(left);
        let store = match &self.store {
            Store::Page(page) if offset == 0 => {
                let mut page = page.clone();
                cut_page(&mut page, len.min(PAGE) as usize);
                Stored::Page(page)
            }
            Store::Page(_) => Stored::Page(Page::new()),
            Store::Chunks(chunks) => {
                let first = offset / CHUNK;
                let shared = chunks.shared(first..first + len.div_ceil(CHUNK));
                Stored::Chunks(shared.map(|(at, chunk)| (at - first, Arc::clone(chunk))).collect())
            }
        };
        Some(Extent { len, cut: len < left, store })
    }

    /// Takes an extent at `offset`, at or past the end.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: that is not where a chunk begins, or not past the end. `EFBIG`, `ENOSPC`.
    pub(crate) fn take_extent(&mut self, quota: &Quota, offset: u64, extent: Extent) -> Result<()> {
        if offset < self.size || !offset.is_multiple_of(CHUNK) {
            return Err(Errno::OPNOTSUPP);
        }
        let end = offset.checked_add(extent.len).filter(|&end| end <= MAX_SIZE).ok_or(Errno::FBIG)?;
        let pages = extent.pages();
        quota.take_pages(pages)?;
        if self.pages > 0 {
            // What was set aside past the end.
            self.drop_pages(quota, offset / PAGE..end.div_ceil(PAGE));
        }
        let past_end = extent.cut.then(|| extent.pages_within(extent.len.saturating_sub(1) / CHUNK));
        match extent.store {
            Stored::Page(page) if page.is_empty() => {}
            Stored::Page(page) if offset == 0 => self.store = Store::Page(page),
            Stored::Page(page) => self.chunks_mut().get_or_make(offset / CHUNK).set(0, page),
            Stored::Chunks(mut shared) => {
                let last = (extent.len - 1) / CHUNK;
                if let Some(past_end) = past_end
                    && let Some((_, chunk)) = shared.last_mut().filter(|(index, _)| *index == last)
                    && chunk.stored() & !mask(&(0..past_end)) != 0
                {
                    Arc::make_mut(chunk).drop_pages(past_end..PAGES as usize);
                }
                let chunks = self.chunks_mut();
                for (index, chunk) in shared.into_iter().filter(|(_, chunk)| chunk.stored() != 0) {
                    chunks.put(offset / CHUNK + index, chunk);
                }
            }
        }
        self.pages += pages;
        self.size = end;
        if extent.cut {
            self.cut_page_at(end);
        }
        Ok(())
    }
}
