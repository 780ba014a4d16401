//! 64 KiB of a file: sixteen pages, each stored or not.
//!
//! A chunk of few pages has each by itself, as long as its bytes; one of many has them in a block (see
//! [`slab`](crate::slab)), where they are whole and side by side. At least three quarters of a block's pages are stored.
//! One that is read where another filesystem has it in memory is that filesystem's until it is changed.

use core::ops::Range;

use vnode_core::fs::SharedBytes;
use vnode_core::io::{Sink, Source};

use crate::page::{PAGE_LEN, Page, cut_page, page_of, read_page, write_page, zero_page};
use crate::quota::PAGE;
use crate::slab::{BLOCK, Block};

/// Pages in a chunk.
pub(crate) const PAGES: u64 = 16;

/// Bytes in a chunk: as many as in a block.
pub(crate) const CHUNK: u64 = PAGES * PAGE;

const _: () = assert!(CHUNK == BLOCK as u64);

/// From how many stored pages on they go into a block.
const MANY: u32 = 14;

/// Under how many they leave it. Less than the other, or a page to and fro would cost a copy of all.
const FEW: u32 = 12;

/// A chunk is only ever behind a pointer, and a box more would cost each access to a page.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
enum Body {
    Pages([Page; PAGES as usize]),
    /// A page that is not stored may hold anything.
    Block(Block),
    /// Bytes that are not ours; what they don't reach is zero. A page that is not stored may hold anything.
    Foreign(SharedBytes),
}

/// 64 KiB of a file.
#[derive(Debug)]
pub(crate) struct Chunk {
    stored: u16,
    body: Body,
}

impl Default for Chunk {
    fn default() -> Self {
        Chunk { stored: 0, body: Body::Pages(Default::default()) }
    }
}

impl Clone for Chunk {
    fn clone(&self) -> Self {
        let body = match &self.body {
            Body::Pages(pages) => Body::Pages(pages.clone()),
            Body::Block(block) => match block.another() {
                Some(mut copy) => {
                    runs(self.stored).for_each(|run| copy[run.clone()].copy_from_slice(&block[run]));
                    Body::Block(copy)
                }
                None => self.own_pages(),
            },
            Body::Foreign(bytes) => Body::Foreign(bytes.clone()),
        };
        Chunk { stored: self.stored, body }
    }
}

/// The bits of the pages of `range`.
pub(crate) fn mask(range: &Range<usize>) -> u16 {
    let ones = |count: usize| ((1u32 << count) - 1) as u16;
    ones(range.end) & !ones(range.start)
}

/// The bits of the pages that have bytes of `range`.
pub(crate) fn touched(range: &Range<usize>) -> u16 {
    mask(&(range.start / PAGE_LEN..range.end.div_ceil(PAGE_LEN)))
}

/// Where a page is.
fn place(index: usize) -> Range<usize> {
    index * PAGE_LEN..(index + 1) * PAGE_LEN
}

/// The bytes of the runs of pages.
fn runs(pages: u16) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let rest = u32::from(pages) >> at;
        if rest == 0 {
            return None;
        }
        let start = at + rest.trailing_zeros();
        at = start + (u32::from(pages) >> start).trailing_ones();
        Some(start as usize * PAGE_LEN..at as usize * PAGE_LEN)
    })
}

impl Chunk {
    /// A chunk of at most [`CHUNK`] bytes that are not ours.
    pub(crate) fn foreign(bytes: SharedBytes) -> Chunk {
        Chunk { stored: mask(&(0..bytes.len().div_ceil(PAGE_LEN))), body: Body::Foreign(bytes) }
    }

    /// Which pages are stored, one bit each.
    pub(crate) fn stored(&self) -> u16 {
        self.stored
    }

    /// Whether all pages are stored that have bytes of a range, which is not empty.
    #[inline]
    pub(crate) fn has_all(&self, range: &Range<usize>) -> bool {
        if range.start / PAGE_LEN == (range.end - 1) / PAGE_LEN {
            return self.has(range.start / PAGE_LEN);
        }
        touched(range) & !self.stored == 0
    }

    #[inline]
    fn has(&self, index: usize) -> bool {
        self.stored & (1 << index) != 0
    }

    /// The bytes of a page, if it is stored; those that are not there are zero.
    #[inline]
    pub(crate) fn page(&self, index: usize) -> Option<&[u8]> {
        if !self.has(index) {
            return None;
        }
        match &self.body {
            Body::Pages(pages) => pages.get(index).map(Vec::as_slice),
            Body::Block(block) => block.get(place(index)),
            Body::Foreign(bytes) => {
                let place = place(index);
                bytes.get(place.start..place.end.min(bytes.len()))
            }
        }
    }

    /// Stores a page that was not stored.
    pub(crate) fn set(&mut self, index: usize, page: Page) {
        self.make_own();
        match &mut self.body {
            Body::Pages(pages) => pages[index] = page,
            Body::Block(block) => put_page(block, index, &page),
            Body::Foreign(_) => return,
        }
        self.stored |= 1 << index;
    }

    /// Whether it is to be given a block before these pages are stored, too.
    pub(crate) fn wants_block(&self, pages: u16) -> bool {
        (self.stored | pages).count_ones() >= MANY && !matches!(self.body, Body::Block(_))
    }

    /// Moves the pages into a block.
    pub(crate) fn move_to(&mut self, block: Block) {
        let before =
            Chunk { stored: self.stored, body: core::mem::replace(&mut self.body, Body::Block(block)) };
        let Body::Block(block) = &mut self.body else { return };
        for index in 0..PAGES as usize {
            if let Some(page) = before.page(index) {
                put_page(block, index, page);
            }
        }
    }

    /// The pages, each by itself.
    fn own_pages(&self) -> Body {
        Body::Pages(core::array::from_fn(|index| self.page(index).map(<[u8]>::to_vec).unwrap_or_default()))
    }

    /// Whether the bytes are not ours.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.body, Body::Foreign(_))
    }

    /// Copies what is not ours, to be changed.
    #[inline(never)]
    pub(crate) fn make_own(&mut self) {
        if self.is_foreign() {
            self.body = self.own_pages();
        }
    }

    /// Puts `len` bytes, of which those that are not stored are zero.
    #[inline]
    pub(crate) fn read(&self, start: usize, len: usize, into: &mut Sink<'_>) -> usize {
        if start % PAGE_LEN + len > PAGE_LEN {
            return self.read_runs(start, len, into);
        }
        match self.page(start / PAGE_LEN) {
            Some(page) => read_page(page, start % PAGE_LEN, len, into),
            None => into.zero(len),
        }
    }

    #[inline(never)]
    fn read_runs(&self, start: usize, len: usize, into: &mut Sink<'_>) -> usize {
        let end = start + len;
        let mut at = start;
        while at < end {
            let first = at / PAGE_LEN;
            let rest = u32::from(self.stored) >> first;
            let until = |pages: u32| end.min((first + pages as usize) * PAGE_LEN);
            let (stop, done) = if rest & 1 == 0 {
                let stop = until(rest.trailing_zeros().min(PAGES as u32));
                (stop, into.zero(stop - at))
            } else {
                match &self.body {
                    Body::Pages(pages) => {
                        let stop = until(1);
                        (stop, read_page(&pages[first], at % PAGE_LEN, stop - at, into))
                    }
                    Body::Block(block) => {
                        let stop = until(rest.trailing_ones());
                        (stop, into.put(&block[at..stop]))
                    }
                    Body::Foreign(bytes) => {
                        let stop = until(rest.trailing_ones());
                        (stop, read_page(bytes, at, stop - at, into))
                    }
                }
            };
            at += done;
            if at < stop {
                break;
            }
        }
        at - start
    }

    /// Writes `len` bytes, at least one, and answers how many there were, or how many the host has memory for. The
    /// pages are stored then. Where the bytes are not ours nothing is written.
    #[inline]
    pub(crate) fn write(&mut self, start: usize, len: usize, from: &mut Source<'_>) -> usize {
        match &mut self.body {
            Body::Pages(pages) if start % PAGE_LEN + len <= PAGE_LEN => {
                let index = start / PAGE_LEN;
                let done = write_page(&mut pages[index], start % PAGE_LEN, len, from);
                self.stored |= u16::from(done > 0) << index;
                done
            }
            Body::Pages(pages) => write_pages(pages, &mut self.stored, start, len, from),
            Body::Block(block) => write_block(block, &mut self.stored, start, len, from),
            Body::Foreign(_) => 0,
        }
    }

    /// Makes bytes of a page zero, if it is stored.
    pub(crate) fn zero(&mut self, index: usize, range: Range<usize>) {
        if !self.has(index) {
            return;
        }
        self.make_own();
        match &mut self.body {
            Body::Pages(pages) => zero_page(&mut pages[index], range),
            Body::Block(block) => block[place(index)][range].fill(0),
            Body::Foreign(_) => {}
        }
    }

    /// Drops the bytes of a page from `len` on, if it is stored: they are zero then.
    pub(crate) fn cut(&mut self, index: usize, len: usize) {
        self.make_own();
        match &mut self.body {
            Body::Pages(pages) if self.stored & (1 << index) != 0 => cut_page(&mut pages[index], len),
            _ => self.zero(index, len..PAGE_LEN),
        }
    }

    /// Drops the pages of a range; answers how many there were.
    pub(crate) fn drop_pages(&mut self, range: Range<usize>) -> u64 {
        let hit = self.stored & mask(&range);
        self.stored &= !hit;
        match &mut self.body {
            Body::Pages(pages) => pages[range].fill_with(Page::new),
            Body::Block(_) if self.stored.count_ones() < FEW => self.leave_block(),
            Body::Block(_) | Body::Foreign(_) => {}
        }
        u64::from(hit.count_ones())
    }

    /// Whether the pages are in a block.
    #[cfg(test)]
    pub(crate) fn has_block(&self) -> bool {
        matches!(self.body, Body::Block(_))
    }

    /// Stores each page by itself, if the host has memory for that.
    fn leave_block(&mut self) {
        let mut pages: [Page; PAGES as usize] = Default::default();
        for (index, place) in pages.iter_mut().enumerate() {
            if let Some(bytes) = self.page(index) {
                let Some(page) = page_of(bytes) else { return };
                *place = page;
            }
        }
        self.body = Body::Pages(pages);
    }
}

/// Stores a page in a block.
fn put_page(block: &mut Block, index: usize, page: &[u8]) {
    let (bytes, rest) = block[place(index)].split_at_mut(page.len());
    bytes.copy_from_slice(page);
    rest.fill(0);
}

#[inline(never)]
fn write_pages(
    pages: &mut [Page; PAGES as usize],
    stored: &mut u16,
    start: usize,
    len: usize,
    from: &mut Source<'_>,
) -> usize {
    let end = start + len;
    let mut at = start;
    while at < end {
        let index = at / PAGE_LEN;
        let len = (PAGE_LEN - at % PAGE_LEN).min(end - at);
        let done = write_page(&mut pages[index], at % PAGE_LEN, len, from);
        if done > 0 {
            *stored |= 1 << index;
        }
        at += done;
        if done < len {
            break;
        }
    }
    at - start
}

#[inline(never)]
fn write_block(
    block: &mut Block,
    stored: &mut u16,
    start: usize,
    len: usize,
    from: &mut Source<'_>,
) -> usize {
    let done = from.take(&mut block[start..start + len]);
    if done == 0 {
        return 0;
    }
    // What is written neither now nor before is somebody else's until it is zero.
    let end = start + done;
    let (first, last) = (start / PAGE_LEN, (end - 1) / PAGE_LEN);
    if *stored & (1 << first) == 0 {
        block[first * PAGE_LEN..start].fill(0);
    }
    if *stored & (1 << last) == 0 {
        block[end..(last + 1) * PAGE_LEN].fill(0);
    }
    *stored |= mask(&(first..last + 1));
    done
}

/// How many bytes of a chunk can be written if `new` pages are not stored and there is room for the first `count`
/// of them.
pub(crate) fn room(new: u16, count: u64) -> usize {
    let without = (0..count).fold(new, |pages, _| pages & pages.wrapping_sub(1));
    without.trailing_zeros() as usize * PAGE_LEN
}
