//! Bytes on their way through a pipe or a socket, in pages.
//!
//! How a pipe of Linux fills up can be seen: sixteen pages are sixteen writes that don't fit the page of the one before
//! (`pipe_buffer`, `fs/pipe.c`). So it is pages that count here, too. A page is taken when bytes come, and given back
//! when they are gone; two are kept, as Linux does (`tmp_page`), for the next.

use std::collections::VecDeque;

use smallvec::SmallVec;
use vnode_core::io::{Sink, Source};

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;
/// Pages without bytes that are kept for the next ones.
const SPARE: usize = 2;

/// A queue of bytes that has room for so many pages.
pub(super) struct Pages {
    pages: VecDeque<Page>,
    spare: SmallVec<[Vec<u8>; SPARE]>,
    limit: usize,
}

struct Page {
    bytes: Vec<u8>,
    read: usize,
}

impl Page {
    fn unread(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }
}

impl Pages {
    /// Room for `limit` pages. None is allocated.
    pub(super) fn new(limit: usize) -> Self {
        Pages { pages: VecDeque::new(), spare: SmallVec::new(), limit }
    }

    /// Pages that hold bytes.
    pub(super) fn used(&self) -> usize {
        self.pages.len()
    }

    /// Pages that may still be taken.
    pub(super) fn free(&self) -> usize {
        self.limit.saturating_sub(self.pages.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Bytes to be read.
    pub(super) fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.unread().len()).sum()
    }

    /// Takes the odd bytes of a whole write, those that fill no page, if the last page has room for them all. To be
    /// tried once, before [`Pages::push`]. What is small then stays whole, and takes no page of its own.
    pub(super) fn merge(&mut self, from: &mut Source<'_>) -> usize {
        let odd = from.remaining() % PAGE;
        match self.pages.back_mut() {
            Some(last) if last.bytes.len() + odd <= PAGE => from.append_to(&mut last.bytes, odd),
            _ => 0,
        }
    }

    /// Takes what there is room for in pages of their own. At most a page is taken whole or not at all.
    pub(super) fn push(&mut self, from: &mut Source<'_>) -> usize {
        let mut done = 0;
        while self.free() > 0 {
            let mut bytes = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(PAGE));
            let count = from.append_to(&mut bytes, PAGE);
            if count == 0 {
                self.recycle(bytes);
                break;
            }
            self.pages.push_back(Page { bytes, read: 0 });
            done += count;
        }
        done
    }

    /// Gives the oldest bytes, as many as fit.
    pub(super) fn pull(&mut self, into: &mut Sink<'_>) -> usize {
        let mut done = 0;
        while let Some(first) = self.pages.front_mut() {
            let count = into.put(first.unread());
            first.read += count;
            done += count;
            if !first.unread().is_empty() {
                break;
            }
            if let Some(page) = self.pages.pop_front() {
                self.recycle(page.bytes);
            }
        }
        done
    }

    /// Gives the oldest bytes, which stay.
    pub(super) fn peek(&self, into: &mut Sink<'_>) -> usize {
        self.pages.iter().map(|page| into.put(page.unread())).sum()
    }

    /// Forgets all, and gives the memory back.
    pub(super) fn clear(&mut self) {
        *self = Pages::new(self.limit);
    }

    fn recycle(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < SPARE {
            bytes.clear();
            self.spare.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(pages: &mut Pages, bytes: &[u8]) -> usize {
        let mut from = Source::from_slice(bytes);
        pages.merge(&mut from) + pages.push(&mut from)
    }

    #[test]
    fn small_writes_share_a_page_and_large_ones_have_their_own() {
        let mut pages = Pages::new(4);
        assert_eq!(write(&mut pages, &[1; 10]), 10);
        assert_eq!(write(&mut pages, &[2; PAGE - 10]), PAGE - 10);
        assert_eq!(pages.used(), 1);
        assert_eq!(write(&mut pages, &[3; 1]), 1);
        assert_eq!(write(&mut pages, &[4; PAGE]), PAGE);
        assert_eq!((pages.used(), pages.bytes()), (3, 2 * PAGE + 1));
        assert_eq!(write(&mut pages, &[5; PAGE + 7]), PAGE);
        assert_eq!((pages.free(), write(&mut pages, &[6; 1])), (0, 0));
    }

    #[test]
    fn what_goes_in_comes_out_and_little_memory_stays() {
        let mut pages = Pages::new(16);
        assert_eq!(pages.pages.capacity(), 0);
        let content: Vec<u8> = (0..70_000u32).map(|at| (at % 251) as u8).collect();
        assert_eq!(write(&mut pages, &content), 16 * PAGE);
        let mut seen = vec![0; 16 * PAGE];
        assert_eq!(pages.peek(&mut Sink::from_slice(&mut seen)), 16 * PAGE);
        assert!(seen == content[..16 * PAGE]);
        let mut into = Sink::from_slice(&mut seen[..5000]);
        assert_eq!(pages.pull(&mut into), 5000);
        assert_eq!((pages.used(), pages.bytes()), (15, 16 * PAGE - 5000));
        assert_eq!(pages.pull(&mut Sink::from_slice(&mut seen)), 16 * PAGE - 5000);
        assert!(seen[..16 * PAGE - 5000] == content[5000..16 * PAGE]);
        assert_eq!((pages.used(), pages.spare.len()), (0, SPARE));
        pages.clear();
        assert_eq!((pages.pages.capacity(), pages.spare.len()), (0, 0));
    }
}
