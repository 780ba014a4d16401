//! The content of a regular file.

use core::ops::Range;

use vnode_core::fs::{Allocate, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, Result};

use crate::chunk::{self, CHUNK, Chunk, PAGES};
use crate::chunks::Chunks;
use crate::page::{Page, cut_page, read_page, write_page, zero_page};
use crate::quota::{PAGE, Quota};
use crate::reserved::Reserved;

/// The largest size of a file.
pub(crate) const MAX_SIZE: u64 = i64::MAX as u64;

/// What is stored of a file.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// Nothing but the first page, if that: it is stored if it has bytes.
    Page(Page),
    /// Any pages.
    Chunks(Box<Chunks>),
}

/// A file's bytes and size.
///
/// A page is stored, or set aside for writing (`fallocate(2)`), or neither: a hole. Both count as used; what is
/// set aside is a hole to `SEEK_DATA`, unless it was set aside twice. A copy shares all chunks until either writes
/// to them.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) store: Store,
    /// The pages set aside, none of which is stored.
    reserved: Option<Box<Reserved>>,
    /// Pages stored or set aside.
    pub(crate) pages: u64,
}

/// The pages that have bytes of `range`.
fn touched(range: Range<u64>) -> Range<u64> {
    range.start / PAGE..range.end.div_ceil(PAGE)
}

/// The pages that have no bytes outside `range`.
fn covered(range: Range<u64>) -> Range<u64> {
    let start = range.start.div_ceil(PAGE);
    start..(range.end / PAGE).max(start)
}

/// The bytes of `range` that page `page` has, as positions in it.
fn part_in_page(range: &Range<u64>, page: u64) -> Range<usize> {
    let first = page * PAGE;
    let start = range.start.saturating_sub(first).min(PAGE);
    start as usize..range.end.saturating_sub(first).clamp(start, PAGE) as usize
}

impl Content {
    pub(crate) fn new() -> Self {
        Content { size: 0, store: Store::Page(Page::new()), reserved: None, pages: 0 }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Pages stored or set aside.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// The chunks, which there are then even if there is nothing in them.
    pub(crate) fn chunks_mut(&mut self) -> &mut Chunks {
        if let Store::Page(first) = &mut self.store {
            let first = core::mem::take(first);
            let mut chunks = Box::<Chunks>::default();
            if !first.is_empty() {
                chunks.get_or_make(0).set(0, first);
            }
            self.store = Store::Chunks(chunks);
        }
        match &mut self.store {
            Store::Chunks(chunks) => chunks,
            Store::Page(_) => unreachable!("they were made just now"),
        }
    }

    /// Reads at `offset` until `into` is full or the end is reached.
    pub(crate) fn read(&self, offset: u64, into: &mut Sink<'_>) -> usize {
        let end = self.size.min(offset.saturating_add(into.remaining() as u64));
        let mut at = offset;
        while at < end {
            let (done, asked) = match &self.store {
                Store::Page(page) if at < PAGE => {
                    let len = (PAGE.min(end) - at) as usize;
                    (read_page(page, at as usize, len, into), len)
                }
                Store::Page(_) => {
                    let len = (end - at) as usize;
                    (into.zero(len), len)
                }
                Store::Chunks(chunks) => match chunks.get(at / CHUNK) {
                    Some(chunk) => {
                        let len = (CHUNK - at % CHUNK).min(end - at) as usize;
                        (chunk.read((at % CHUNK) as usize, len, into), len)
                    }
                    None => {
                        let next = chunks.first(at / CHUNK..end.div_ceil(CHUNK));
                        let len = (next.map_or(end, |(chunk, _)| chunk * CHUNK) - at) as usize;
                        (into.zero(len), len)
                    }
                },
            };
            at += done as u64;
            if done < asked {
                break;
            }
        }
        at.saturating_sub(offset) as usize
    }

    /// Writes at `offset`; answers the bytes written.
    ///
    /// # Errors
    /// `EFBIG`: nothing fits below the largest size. `ENOSPC`: there is no room for the first byte.
    pub(crate) fn write(&mut self, quota: &Quota, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        if from.remaining() == 0 {
            return Ok(0);
        }
        let room = MAX_SIZE.checked_sub(offset).filter(|&room| room > 0).ok_or(Errno::FBIG)?;
        let end = offset + room.min(from.remaining() as u64);
        let mut at = offset;
        while at < end {
            let len = (CHUNK - at % CHUNK).min(end - at) as usize;
            let start = (at % CHUNK) as usize;
            let stored = match &mut self.store {
                Store::Page(_) => None,
                Store::Chunks(chunks) => {
                    chunks.get_mut(at / CHUNK).filter(|chunk| chunk.has_all(&(start..start + len)))
                }
            };
            let done = match stored {
                Some(chunk) => chunk.write(start, len, from),
                None => self.write_more(quota, at, len, from),
            };
            // Before what is not ours is written to, it is copied.
            let done = if done == 0 && self.is_foreign(at / CHUNK) {
                self.write_more(quota, at, len, from)
            } else {
                done
            };
            at += done as u64;
            if done < len {
                break;
            }
        }
        if at == offset {
            return Err(Errno::NOSPC);
        }
        self.size = self.size.max(at);
        Ok((at - offset) as usize)
    }

    /// Writes `len` bytes, at least one, of a chunk of which not all is stored; answers how many there was room for.
    #[inline(never)]
    fn write_more(&mut self, quota: &Quota, at: u64, len: usize, from: &mut Source<'_>) -> usize {
        match &self.store {
            Store::Page(_) if at + len as u64 <= PAGE => self.write_first_page(quota, at as usize, len, from),
            _ => self.write_in_chunk(quota, at, len, from),
        }
    }

    /// Writes `len` bytes, at least one, of the first page while there is no other; answers how many there was room
    /// for.
    fn write_first_page(&mut self, quota: &Quota, start: usize, len: usize, from: &mut Source<'_>) -> usize {
        let Store::Page(page) = &mut self.store else { return 0 };
        if !page.is_empty() {
            return write_page(page, start, len, from);
        }
        let set_aside = self.reserved.as_ref().is_some_and(|reserved| reserved.count(0..1) > 0);
        if !set_aside && quota.take_pages(1).is_err() {
            return 0;
        }
        let done = write_page(page, start, len, from);
        match (done, set_aside) {
            (0, true) => {}
            (0, false) => quota.give_pages(1),
            (_, true) => self.use_set_aside(0..1),
            (_, false) => self.pages += 1,
        }
        done
    }

    /// Writes `len` bytes, at least one, of a chunk; answers how many there was room for.
    fn write_in_chunk(&mut self, quota: &Quota, at: u64, len: usize, from: &mut Source<'_>) -> usize {
        let (index, start) = (at / CHUNK, (at % CHUNK) as usize);
        let touched = chunk::touched(&(start..start + len));
        let before = self.stored_pages_of(index);
        let set_aside = self.set_aside_pages_of(index);
        let new = touched & !before & !set_aside;
        let counted = quota.take_pages_up_to(u64::from(new.count_ones()));
        let len = len.min(chunk::room(new, counted).saturating_sub(start));
        if len == 0 {
            return 0;
        }
        let chunks = self.chunks_mut();
        let chunk = chunks.get_or_make(index);
        if chunk.wants_block(chunk::touched(&(start..start + len)))
            && let Some(block) = quota.block()
        {
            chunk.move_to(block);
        }
        chunk.make_own();
        let done = chunk.write(start, len, from);
        let stored = chunk.stored();
        if stored == 0 {
            chunks.remove(index);
        }
        self.pages += counted;
        self.give_back(quota, counted - u64::from((stored & new).count_ones()));
        let used = stored & set_aside;
        (0..PAGES).filter(|page| used & (1 << page) != 0).for_each(|page| {
            let page = index * PAGES + page;
            self.use_set_aside(page..page + 1);
        });
        done
    }

    #[inline(never)]
    fn is_foreign(&self, chunk: u64) -> bool {
        match &self.store {
            Store::Page(_) => false,
            Store::Chunks(chunks) => chunks.get(chunk).is_some_and(Chunk::is_foreign),
        }
    }

    /// Which pages of a chunk are stored, one bit each.
    fn stored_pages_of(&self, chunk: u64) -> u16 {
        match &self.store {
            Store::Page(page) => u16::from(chunk == 0 && !page.is_empty()),
            Store::Chunks(chunks) => chunks.get(chunk).map_or(0, Chunk::stored),
        }
    }

    /// Which pages of a chunk are set aside, one bit each.
    fn set_aside_pages_of(&self, chunk: u64) -> u16 {
        let first = chunk * PAGES;
        let ranges = self.reserved.iter().flat_map(|reserved| reserved.within(first..first + PAGES));
        ranges.fold(0, |pages, range| {
            pages | chunk::mask(&((range.start - first) as usize..(range.end - first) as usize))
        })
    }

    /// Pages that were set aside are stored now.
    fn use_set_aside(&mut self, pages: Range<u64>) {
        if let Some(reserved) = &mut self.reserved {
            reserved.remove(pages);
        }
        self.reserved.take_if(|reserved| reserved.is_empty());
    }

    fn give_back(&mut self, quota: &Quota, pages: u64) {
        self.pages -= pages;
        quota.give_pages(pages);
    }

    /// Sets the size; what is past it is dropped, and so is what was set aside there.
    ///
    /// # Errors
    /// `EFBIG`.
    pub(crate) fn set_size(&mut self, quota: &Quota, size: u64) -> Result<()> {
        if size > MAX_SIZE {
            return Err(Errno::FBIG);
        }
        if size <= self.size && self.pages > 0 {
            self.drop_pages(quota, size.div_ceil(PAGE)..u64::MAX);
            self.cut_page_at(size);
        }
        self.size = size;
        Ok(())
    }

    /// Drops what the page that has a position has from there on.
    pub(crate) fn cut_page_at(&mut self, position: u64) {
        let within = (position % PAGE) as usize;
        match &mut self.store {
            _ if within == 0 => {}
            Store::Page(page) if position < PAGE => cut_page(page, within),
            Store::Page(_) => {}
            Store::Chunks(chunks) => {
                if let Some(chunk) = chunks.get_mut(position / CHUNK) {
                    chunk.cut((position / PAGE % PAGES) as usize, within);
                }
            }
        }
    }

    /// Makes holes of pages.
    pub(crate) fn drop_pages(&mut self, quota: &Quota, range: Range<u64>) {
        if range == (0..u64::MAX) {
            self.store = Store::Page(Page::new());
            self.reserved = None;
            return self.give_back(quota, self.pages);
        }
        let stored = match &mut self.store {
            Store::Page(page) if range.contains(&0) && !page.is_empty() => {
                *page = Page::new();
                1
            }
            Store::Page(_) => 0,
            Store::Chunks(chunks) => chunks.drop_pages(range.clone()),
        };
        let set_aside = self.reserved.as_mut().map_or(0, |reserved| reserved.remove(range));
        self.reserved.take_if(|reserved| reserved.is_empty());
        self.give_back(quota, stored + set_aside);
    }

    /// Reserves, punches or zeroes a range (`shmem_fallocate`).
    ///
    /// # Errors
    /// `EFBIG`, `ENOSPC`.
    pub(crate) fn allocate(&mut self, quota: &Quota, how: Allocate, offset: u64, len: u64) -> Result<()> {
        let end = offset.checked_add(len).filter(|&end| end <= MAX_SIZE).ok_or(Errno::FBIG)?;
        if how == Allocate::PunchHole {
            self.drop_pages(quota, covered(offset..end));
            self.zero(offset..end);
            return Ok(());
        }
        self.set_aside(quota, touched(offset..end))?;
        if how == Allocate::ZeroRange {
            self.zero(offset..end);
        }
        if how != Allocate::KeepSize {
            self.size = self.size.max(end);
        }
        Ok(())
    }

    /// Makes stored bytes zero.
    fn zero(&mut self, range: Range<u64>) {
        let mut pages = touched(range.clone());
        while let Some(index) = self.first_stored(pages.clone()) {
            let part = part_in_page(&range, index);
            match &mut self.store {
                Store::Page(page) => zero_page(page, part),
                Store::Chunks(chunks) => {
                    if let Some(chunk) = chunks.get_mut(index / PAGES) {
                        chunk.zero((index % PAGES) as usize, part);
                    }
                }
            }
            pages.start = index + 1;
        }
    }

    /// Counts the pages of a range that are not counted yet.
    fn set_aside(&mut self, quota: &Quota, range: Range<u64>) -> Result<()> {
        let mut holes = Vec::new();
        let mut from = range.start;
        for stored in self.stored_in(range.clone()) {
            if from < stored {
                holes.push(from..stored);
            }
            from = stored + 1;
        }
        if from < range.end {
            holes.push(from..range.end);
        }
        let reserved = self.reserved.as_deref();
        let counted = |hole: &Range<u64>| reserved.map_or(0, |reserved| reserved.count(hole.clone()));
        let more: u64 = holes.iter().map(|hole| hole.end - hole.start - counted(hole)).sum();
        quota.take_pages(more)?;
        self.pages += more;
        if !holes.is_empty() {
            self.reserved.get_or_insert_default().set_aside(range, holes.into_iter());
        }
        Ok(())
    }

    /// The stored pages of a range.
    fn stored_in(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        let (first, chunks) = match &self.store {
            Store::Page(page) => ((!page.is_empty() && range.contains(&0)).then_some(0), None),
            Store::Chunks(chunks) => (None, Some(chunks.stored(range))),
        };
        first.into_iter().chain(chunks.into_iter().flatten())
    }

    /// The first stored page of a range.
    fn first_stored(&self, range: Range<u64>) -> Option<u64> {
        self.stored_in(range).next()
    }

    /// Finds data or a hole at or after `offset`.
    ///
    /// # Errors
    /// `ENXIO`.
    pub(crate) fn seek(&self, what: SeekFor, offset: u64) -> Result<u64> {
        if offset >= self.size {
            return Err(Errno::NXIO);
        }
        let page = offset / PAGE;
        let found = match what {
            SeekFor::Data => {
                let range = page..self.size.div_ceil(PAGE);
                let cleared = self.reserved.as_ref().and_then(|reserved| reserved.first_data(range.clone()));
                let stored = self.first_stored(range.start..cleared.unwrap_or(range.end));
                stored.or(cleared).ok_or(Errno::NXIO)?
            }
            SeekFor::Hole => self.first_hole(page),
        };
        Ok((found * PAGE).clamp(offset, self.size))
    }

    /// The first page from `page` on that is no data.
    fn first_hole(&self, page: u64) -> u64 {
        let mut page = page;
        loop {
            let stored_end = match &self.store {
                Store::Page(first) => page + u64::from(page == 0 && !first.is_empty()),
                Store::Chunks(chunks) => chunks.first_hole(page),
            };
            let end = self.reserved.as_ref().map_or(stored_end, |reserved| reserved.data_end(stored_end));
            if end == page {
                return page;
            }
            page = end;
        }
    }

    /// Gives back all that is counted; only the file's last holder does that.
    pub(crate) fn release(&mut self, quota: &Quota) {
        let pages = core::mem::take(&mut self.pages);
        quota.give_pages(pages);
    }
}

#[cfg(test)]
impl Content {
    /// The pages that are stored.
    pub(crate) fn stored_pages(&self) -> Vec<u64> {
        self.stored_in(0..u64::MAX).collect()
    }

    /// The pages that are set aside.
    pub(crate) fn set_aside_pages(&self) -> Vec<Range<u64>> {
        self.reserved.iter().flat_map(|reserved| reserved.within(0..u64::MAX)).collect()
    }

    /// How many pages are stored once for both.
    pub(crate) fn pages_shared_with(&self, other: &Content) -> usize {
        let same = |&&page: &&u64| match (self.page(page), other.page(page)) {
            (Some(one), Some(two)) => core::ptr::eq(one.as_ptr(), two.as_ptr()),
            _ => false,
        };
        self.stored_pages().iter().filter(same).count()
    }

    fn page(&self, index: u64) -> Option<&[u8]> {
        match &self.store {
            Store::Page(page) => (index == 0 && !page.is_empty()).then_some(page),
            Store::Chunks(chunks) => chunks.get(index / PAGES)?.page((index % PAGES) as usize),
        }
    }

    /// Where a page lies.
    pub(crate) fn page_address(&self, index: u64) -> Option<*const u8> {
        self.page(index).map(<[u8]>::as_ptr)
    }

    /// Whether a chunk's pages are in a block.
    pub(crate) fn has_block(&self, chunk: u64) -> bool {
        match &self.store {
            Store::Page(_) => false,
            Store::Chunks(chunks) => chunks.get(chunk).is_some_and(Chunk::has_block),
        }
    }

    /// How many bytes a page has; those after them are zero.
    pub(crate) fn byte_count(&self, index: u64) -> u64 {
        let in_block = self.has_block(index / PAGES);
        let count = |page: &[u8]| if in_block { crate::page::nonzero_end(page) } else { page.len() };
        self.page(index).map_or(0, |page| count(page) as u64)
    }
}
