//! A file's content: pieces of a store, and holes between them.

use core::ops::Range;
use std::sync::Arc;

use vnode_core::fs::{InPlace, SeekFor, SharedBytes};
use vnode_core::io::Sink;
use vnode_core::{Errno, Result};

use crate::store::Store;

/// The unit that `st_blocks` counts in.
const BLOCK: u64 = 512;
/// The unit that files are stored in.
const PAGE: u64 = 4096;

/// Units of 512 bytes in the pages that so many bytes take.
pub(crate) fn blocks_of(len: u64) -> u64 {
    len.div_ceil(PAGE) * (PAGE / BLOCK)
}

/// Bytes of a file that are no hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where in the file.
    pub(crate) start: u64,
    /// How many.
    pub(crate) len: u64,
    /// Where in the store.
    pub(crate) at: u64,
}

impl Extent {
    fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// What a file is made of.
#[derive(Debug)]
pub(crate) struct Content {
    store: Arc<Store>,
    size: u64,
    extents: Extents,
}

/// One behind the other, none empty, no two of them parts of one.
#[derive(Debug)]
enum Extents {
    /// At most one, which a file without holes has.
    One(Option<Extent>),
    Many(Box<[Extent]>),
}

impl Content {
    /// A file whose bytes all lie in one place.
    pub(crate) fn plain(store: Arc<Store>, size: u64, at: u64) -> Content {
        let extent = Extent { start: 0, len: size, at };
        Content { store, size, extents: Extents::One(Some(extent).filter(|extent| extent.len > 0)) }
    }

    /// A file of such pieces, which come one behind the other and within the file; empty ones mean nothing.
    pub(crate) fn sparse(
        store: Arc<Store>,
        size: u64,
        pieces: impl IntoIterator<Item = Range<u64>>,
        at: u64,
    ) -> Content {
        let mut extents: Vec<Extent> = Vec::new();
        let mut at = at;
        for piece in pieces {
            let len = piece.end.saturating_sub(piece.start);
            match extents.last_mut() {
                _ if len == 0 => {}
                Some(last) if last.end() == piece.start => last.len += len,
                _ => extents.push(Extent { start: piece.start, len, at }),
            }
            at += len;
        }
        let extents = match extents[..] {
            [] => Extents::One(None),
            [one] => Extents::One(Some(one)),
            _ => Extents::Many(extents.into()),
        };
        Content { store, size, extents }
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Units of 512 bytes in the pages that have bytes of its pieces: as many as a copy in memory takes.
    pub(crate) fn blocks(&self) -> u64 {
        let (mut blocks, mut from) = (0, 0);
        for extent in self.extents() {
            let (first, end) = (extent.start / PAGE, extent.end().div_ceil(PAGE));
            blocks += (end - first.max(from).min(end)) * (PAGE / BLOCK);
            from = end;
        }
        blocks
    }

    /// Bytes of its pieces.
    pub(crate) fn stored(&self) -> u64 {
        self.extents().iter().map(|extent| extent.len).sum()
    }

    /// Bytes that the list of its pieces takes.
    pub(crate) fn map_len(&self) -> u64 {
        match &self.extents {
            Extents::One(_) => 0,
            Extents::Many(extents) => size_of_val::<[Extent]>(extents) as u64,
        }
    }

    fn extents(&self) -> &[Extent] {
        match &self.extents {
            Extents::One(extent) => extent.as_slice(),
            Extents::Many(extents) => extents,
        }
    }

    /// The first piece that ends behind `offset`.
    fn extent_from(&self, offset: u64) -> Option<Extent> {
        let extents = self.extents();
        extents.get(extents.partition_point(|extent| extent.end() <= offset)).copied()
    }

    /// Reads at `offset` until the sink is full or the file ends.
    ///
    /// # Errors
    /// `EIO`, if nothing was read.
    pub(crate) fn read(&self, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        let mut at = offset;
        let mut done = 0;
        while at < self.size && into.remaining() > 0 {
            let extent = self.extent_from(at);
            // The file's end counts as a hole's.
            let data = extent.map_or(self.size, |extent| extent.start.max(at));
            let limit = |len: u64| usize::try_from(len).unwrap_or(usize::MAX).min(into.remaining());
            let count = if data > at {
                let len = limit(data - at);
                into.zero(len)
            } else if let Some(extent) = extent {
                let len = limit(extent.end() - at);
                match self.store.read(extent.at + (at - extent.start), len, into) {
                    Ok(()) => len,
                    Err(_) if done > 0 => break,
                    Err(error) => return Err(error),
                }
            } else {
                break;
            };
            at += count as u64;
            done += count;
        }
        Ok(done)
    }

    /// `lseek(2)` with `SEEK_DATA` and `SEEK_HOLE`.
    ///
    /// # Errors
    /// `ENXIO`: at or past the end, or no data follows.
    pub(crate) fn seek(&self, what: SeekFor, offset: u64) -> Result<u64> {
        if offset >= self.size {
            return Err(Errno::NXIO);
        }
        let extent = self.extent_from(offset);
        match (what, extent) {
            (SeekFor::Data, Some(extent)) => Ok(extent.start.max(offset)),
            (SeekFor::Data, None) => Err(Errno::NXIO),
            (SeekFor::Hole, Some(extent)) if extent.start <= offset => Ok(extent.end()),
            (SeekFor::Hole, _) => Ok(offset),
        }
    }

    /// What lies in memory at `offset`, at most `len` bytes.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: it lies in a file that is not mapped, or is not whole any more. `EIO`: it was cut off.
    pub(crate) fn in_place(&self, offset: u64, len: u64) -> Result<InPlace> {
        let len = len.min(self.size.saturating_sub(offset));
        match self.extent_from(offset) {
            Some(extent) if extent.start <= offset => {
                let len = len.min(extent.end() - offset);
                let range =
                    self.store.in_memory(extent.at + (offset - extent.start), len).ok_or(Errno::OPNOTSUPP)?;
                if !self.store.has(range.end as u64) {
                    return Err(Errno::IO);
                }
                let bytes = SharedBytes::new(self.store.clone()).part(range).ok_or(Errno::OPNOTSUPP)?;
                Ok(InPlace::Bytes(bytes))
            }
            Some(extent) => Ok(InPlace::Hole(len.min(extent.start - offset))),
            None => Ok(InPlace::Hole(len)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        let store = Arc::new(Store::Heap(b"..abcdef".as_slice().into()));
        // .a bcd ... ef, with an empty piece and one that goes on where another ends.
        Content::sparse(store, 12, [1..1, 1..2, 3..5, 5..6, 9..11], 2)
    }

    fn read(content: &Content, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![b'?'; len];
        let count = content.read(offset, &mut Sink::from_slice(&mut bytes)).unwrap();
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn holes_are_zeros() {
        let content = content();
        let whole = b"\0a\0bcd\0\0\0ef\0";
        for offset in 0..14 {
            for len in 0..14 {
                let end = (offset + len).min(whole.len());
                let expected = whole.get(offset..end).unwrap_or_default();
                assert_eq!(read(&content, offset as u64, len), expected, "{offset} {len}");
            }
        }
        assert_eq!((content.size(), content.blocks(), content.stored()), (12, 8, 6));
    }

    #[test]
    fn data_and_holes_are_found() {
        let content = content();
        let data: Vec<_> = (0..13).map(|at| content.seek(SeekFor::Data, at)).collect();
        let none = Err(Errno::NXIO);
        let starts = [1, 1, 3, 3, 4, 5, 9, 9, 9, 9, 10].map(Ok);
        assert_eq!(data, [&starts[..], &[none, none]].concat());
        let holes: Vec<_> = (0..13).map(|at| content.seek(SeekFor::Hole, at)).collect();
        let ends = [0, 2, 2, 6, 6, 6, 6, 7, 8, 11, 11, 11].map(Ok);
        assert_eq!(holes, [&ends[..], &[none]].concat());
        let plain = Content::plain(Arc::new(Store::Heap(b"abc".as_slice().into())), 2, 1);
        assert_eq!(plain.seek(SeekFor::Data, 1), Ok(1));
        assert_eq!(plain.seek(SeekFor::Hole, 1), Ok(2));
        assert_eq!(read(&plain, 0, 9), b"bc");
    }

    #[test]
    fn what_lies_in_memory_is_handed_out() {
        let content = content();
        let at = |offset, len| match content.in_place(offset, len).unwrap() {
            InPlace::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            InPlace::Hole(len) => "-".repeat(usize::try_from(len).unwrap()),
        };
        assert_eq!(
            (at(0, 9), at(3, 9), at(4, 1), at(6, 9)),
            ("-".into(), "bcd".into(), "c".into(), "---".into())
        );
        assert_eq!((at(11, 9), at(12, 9)), ("-".into(), String::new()));
    }
}
