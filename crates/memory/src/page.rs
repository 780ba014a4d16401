//! A page of a file that is stored by itself.

use core::ops::Range;

use vnode_core::io::{Sink, Source};

use crate::quota::PAGE;

/// The bytes of a page, from its first on: those that are not there are zero. At most [`PAGE`].
pub(crate) type Page = Vec<u8>;

/// Bytes in a page.
pub(crate) const PAGE_LEN: usize = PAGE as usize;

/// Puts `len` bytes of a page from `start` on.
pub(crate) fn read_page(page: &[u8], start: usize, len: usize, into: &mut Sink<'_>) -> usize {
    let stored = page.get(start..).unwrap_or_default();
    let stored = &stored[..stored.len().min(len)];
    let done = into.put(stored);
    if done < stored.len() { done } else { done + into.zero(len - done) }
}

/// Overwrites `len` bytes of a page from `start` on, and answers how many there were; a page that grows gets no
/// more storage than twice what it holds, and none at all if the host has none.
pub(crate) fn write_page(page: &mut Page, start: usize, len: usize, from: &mut Source<'_>) -> usize {
    let end = start + len;
    if end > page.capacity() {
        let room = end.max(page.capacity() * 2).min(PAGE_LEN);
        if page.try_reserve_exact(room - page.len()).is_err() {
            return 0;
        }
    }
    if start > page.len() {
        page.resize(start, 0);
    }
    let over = (page.len() - start).min(len);
    let taken = from.take(&mut page[start..start + over]);
    if taken < over { taken } else { taken + from.append_to(page, len - over) }
}

/// A page of these bytes, without the zero ones at the end; nothing if the host has no memory.
pub(crate) fn page_of(bytes: &[u8]) -> Option<Page> {
    let bytes = &bytes[..nonzero_end(bytes)];
    let mut page = Page::new();
    page.try_reserve_exact(bytes.len()).ok()?;
    page.extend_from_slice(bytes);
    Some(page)
}

/// Where the zero bytes at the end begin.
pub(crate) fn nonzero_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Makes bytes of a page zero.
pub(crate) fn zero_page(page: &mut Page, range: Range<usize>) {
    let end = range.end.min(page.len());
    if range.start < end {
        page[range.start..end].fill(0);
    }
}

/// Drops the bytes of a page from `len` on.
pub(crate) fn cut_page(page: &mut Page, len: usize) {
    if page.len() > len {
        page.truncate(len);
        page.shrink_to_fit();
    }
}
