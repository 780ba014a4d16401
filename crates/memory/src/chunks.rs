//! Where a file's bytes are stored: pages, in chunks that files may share.

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chunk::{Chunk, PAGES, mask};

/// A file's chunks: the first ones in an array, as long as it is not mostly empty, the others in a tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunks {
    dense: Vec<Option<Arc<Chunk>>>,
    /// Chunks past the array.
    sparse: BTreeMap<u64, Arc<Chunk>>,
    /// Chunks in both.
    count: usize,
}

impl Chunks {
    /// The chunk, if anything of it is stored.
    pub(crate) fn get(&self, index: u64) -> Option<&Chunk> {
        match usize::try_from(index).ok().and_then(|index| self.dense.get(index)) {
            Some(chunk) => chunk.as_deref(),
            None if self.sparse.is_empty() => None,
            None => self.sparse.get(&index).map(Arc::as_ref),
        }
    }

    /// The chunk to change, which is then nobody else's.
    pub(crate) fn get_mut(&mut self, index: u64) -> Option<&mut Chunk> {
        match usize::try_from(index).ok().and_then(|index| self.dense.get_mut(index)) {
            Some(chunk) => chunk.as_mut().map(Arc::make_mut),
            None if self.sparse.is_empty() => None,
            None => self.sparse.get_mut(&index).map(Arc::make_mut),
        }
    }

    /// The chunk to change, made if there is none.
    pub(crate) fn get_or_make(&mut self, index: u64) -> &mut Chunk {
        self.widen(index);
        let count = &mut self.count;
        let make = || {
            *count += 1;
            Arc::default()
        };
        let chunk = match usize::try_from(index).ok().and_then(|index| self.dense.get_mut(index)) {
            Some(chunk) => chunk.get_or_insert_with(make),
            None => self.sparse.entry(index).or_insert_with(make),
        };
        Arc::make_mut(chunk)
    }

    /// Makes the array reach `index` if enough of it is in use then.
    fn widen(&mut self, index: u64) {
        let Ok(index) = usize::try_from(index) else { return };
        if index < self.dense.len() || index > self.count * 2 + 8 {
            return;
        }
        self.dense.resize(index + 1, None);
        while let Some(entry) = self.sparse.first_entry() {
            match usize::try_from(*entry.key()).ok().and_then(|index| self.dense.get_mut(index)) {
                Some(place) => *place = Some(entry.remove()),
                None => break,
            }
        }
    }

    /// The first chunk of a range of chunks.
    pub(crate) fn first(&self, range: Range<u64>) -> Option<(u64, &Chunk)> {
        let len = self.dense.len();
        let index = |chunk: u64| usize::try_from(chunk).map_or(len, |chunk| chunk.min(len));
        let (start, end) = (index(range.start), index(range.end));
        let dense = self.dense.get(start..end).unwrap_or_default().iter().zip(range.start..);
        let dense = dense.filter_map(|(chunk, at)| Some((at, chunk.as_deref()?))).next();
        if dense.is_some() || self.sparse.is_empty() || range.is_empty() {
            return dense;
        }
        self.sparse.range(range).next().map(|(&at, chunk)| (at, &**chunk))
    }

    /// The chunks of a range of chunks, to be shared.
    pub(crate) fn shared(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &Arc<Chunk>)> {
        let len = self.dense.len() as u64;
        let start = range.start.min(len) as usize;
        let dense =
            self.dense.get(start..range.end.min(len) as usize).unwrap_or_default().iter().zip(range.start..);
        let sparse = self.sparse.range(range.clone()).map(|(&at, chunk)| (at, chunk));
        dense.filter_map(|(chunk, at)| Some((at, chunk.as_ref()?))).chain(sparse)
    }

    /// Puts a chunk where there is none.
    pub(crate) fn put(&mut self, index: u64, chunk: Arc<Chunk>) {
        self.widen(index);
        self.count += 1;
        match usize::try_from(index).ok().and_then(|index| self.dense.get_mut(index)) {
            Some(place) => *place = Some(chunk),
            None => drop(self.sparse.insert(index, chunk)),
        }
    }

    /// The first page from `page` on that is not stored.
    pub(crate) fn first_hole(&self, page: u64) -> u64 {
        let mut page = page;
        while let Some(chunk) = self.get(page / PAGES) {
            let within = page % PAGES;
            let run = u64::from((chunk.stored() >> within).trailing_ones());
            page += run;
            if within + run < PAGES {
                break;
            }
        }
        page
    }

    /// Drops the stored pages of a range; answers how many there were.
    pub(crate) fn drop_pages(&mut self, range: Range<u64>) -> u64 {
        let mut dropped = 0;
        let mut chunks = chunks_of(&range);
        while let Some((index, chunk)) = self.first(chunks.clone()) {
            let first = index * PAGES;
            let start = range.start.saturating_sub(first) as usize;
            let part = start..(range.end - first).min(PAGES) as usize;
            let hit = chunk.stored() & mask(&part);
            if hit == chunk.stored() {
                dropped += u64::from(hit.count_ones());
                self.remove(index);
            } else if hit != 0
                && let Some(chunk) = self.get_mut(index)
            {
                dropped += chunk.drop_pages(part);
            }
            chunks.start = index + 1;
        }
        self.shrink();
        dropped
    }

    /// Removes a chunk.
    pub(crate) fn remove(&mut self, index: u64) {
        let gone = match usize::try_from(index).ok().and_then(|index| self.dense.get_mut(index)) {
            Some(chunk) => chunk.take(),
            None => self.sparse.remove(&index),
        };
        self.count -= usize::from(gone.is_some());
    }

    /// Gives back the end of an array that has become mostly empty.
    fn shrink(&mut self) {
        while let Some(None) = self.dense.last() {
            self.dense.pop();
        }
        if self.dense.len() < self.dense.capacity() / 4 {
            self.dense.shrink_to_fit();
        }
    }

    /// The stored pages of a range, in order.
    pub(crate) fn stored(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        let mut chunks = chunks_of(&range);
        core::iter::from_fn(move || {
            let (index, chunk) = self.first(chunks.clone())?;
            chunks.start = index + 1;
            Some((index * PAGES, chunk.stored()))
        })
        .flat_map(|(first, bits)| {
            (0..PAGES).filter(move |page| bits & (1 << page) != 0).map(move |page| first + page)
        })
        .filter(move |page| range.contains(page))
    }
}

/// The chunks that have pages of a range of pages.
fn chunks_of(pages: &Range<u64>) -> Range<u64> {
    let start = pages.start / PAGES;
    start..pages.end.div_ceil(PAGES).max(start)
}
