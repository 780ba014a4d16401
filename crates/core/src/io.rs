//! Where a read puts its bytes and a write takes them from: raw segments, often in guest memory.
//!
//! No `&mut [u8]` of guest memory exists anywhere: another guest thread may write it at any time. A segment is
//! an address and a length whose validity its maker vouches for once; bytes move by raw copies.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ptr;

/// A run of bytes of memory that may be shared with a running guest.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    start: *mut u8,
    len: usize,
}

impl Segment {
    /// A segment without bytes.
    pub const EMPTY: Segment = Segment { start: ptr::dangling_mut(), len: 0 };

    /// A segment of `len` bytes from `start`. Making one is harmless; [`Sink::new`] and [`Source::new`] demand
    /// that it is valid.
    pub const fn new(start: *mut u8, len: usize) -> Self {
        Segment { start, len }
    }

    /// The first byte's address.
    pub const fn as_ptr(&self) -> *mut u8 {
        self.start
    }

    /// Bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A position in a list of segments: what `Sink` and `Source` share.
struct Cursor<'a> {
    current: Segment,
    rest: &'a [Segment],
    /// Bytes that may still be used, though the segments may have more.
    remaining: usize,
}

impl<'a> Cursor<'a> {
    fn new(segments: &'a [Segment]) -> Self {
        let remaining = segments.iter().fold(0usize, |sum, segment| sum.saturating_add(segment.len));
        match segments.split_first() {
            Some((first, rest)) => Cursor { current: *first, rest, remaining },
            None => Cursor { current: Segment::EMPTY, rest: &[], remaining },
        }
    }

    /// Takes the next piece, of at most `limit` bytes; nothing when all are used or the limit is 0.
    fn next(&mut self, limit: usize) -> Option<Segment> {
        let limit = limit.min(self.remaining);
        if limit == 0 {
            return None;
        }
        while self.current.is_empty() {
            let (first, rest) = self.rest.split_first()?;
            self.current = *first;
            self.rest = rest;
        }
        let len = self.current.len.min(limit);
        let piece = Segment { start: self.current.start, len };
        // Stays within the segment (or one past its end), which the maker vouched for.
        self.current = Segment { start: self.current.start.wrapping_add(len), len: self.current.len - len };
        self.remaining -= len;
        Some(piece)
    }

    fn advance(&mut self, count: usize) {
        let mut left = count;
        while let Some(piece) = self.next(left) {
            left -= piece.len;
        }
    }

    /// The same position, with at most `limit` bytes to go.
    fn first(&self, limit: usize) -> Cursor<'_> {
        Cursor { current: self.current, rest: self.rest, remaining: self.remaining.min(limit) }
    }

    fn single(&self) -> Option<Segment> {
        let whole = self.remaining > 0 && self.remaining <= self.current.len;
        whole.then_some(Segment { start: self.current.start, len: self.remaining })
    }

    fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        let mut left = self.remaining;
        let all = core::iter::once(self.current).chain(self.rest.iter().copied());
        let cut = all.map(move |segment| {
            let len = segment.len.min(left);
            left -= len;
            Segment { start: segment.start, len }
        });
        cut.filter(|segment| !segment.is_empty())
    }
}

/// Where a read puts its bytes.
pub struct Sink<'a> {
    cursor: Cursor<'a>,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Sink<'a> {
    /// A sink over `segments`, filled in order.
    ///
    /// # Safety
    /// For `'a`, every segment is memory that may be written; no Rust reference to any of it is used in that
    /// time. Other threads of a guest may read and write it: what is read there is then any mixture of bytes.
    pub unsafe fn new(segments: &'a [Segment]) -> Self {
        Sink { cursor: Cursor::new(segments), memory: PhantomData }
    }

    /// A sink over a slice of our own.
    pub fn from_slice(slice: &'a mut [u8]) -> Self {
        let current = Segment { start: slice.as_mut_ptr(), len: slice.len() };
        Sink { cursor: Cursor { current, rest: &[], remaining: slice.len() }, memory: PhantomData }
    }

    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        self.cursor.remaining
    }

    /// Puts as many of `bytes` as fit, and answers how many.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while let Some(piece) = self.cursor.next(bytes.len() - done) {
            // SAFETY: `piece` is writable by the contract of `new` (or lies in the slice of `from_slice`) and
            // as long as asked at most; `bytes` is host memory, never a guest's, so they don't overlap.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr().add(done), piece.start, piece.len) };
            done += piece.len;
        }
        done
    }

    /// Puts as many as fit of `count` zero bytes, and answers how many.
    pub fn zero(&mut self, count: usize) -> usize {
        let mut done = 0;
        while let Some(piece) = self.cursor.next(count - done) {
            // SAFETY: `piece` is writable by the contract of `new`, or lies in the slice of `from_slice`.
            unsafe { ptr::write_bytes(piece.start, 0, piece.len) };
            done += piece.len;
        }
        done
    }

    /// All that is not filled yet, if it is some bytes in one piece: for a plain system call.
    pub fn single(&self) -> Option<Segment> {
        self.cursor.single()
    }

    /// The segments not filled yet, for a vectored system call; pass what it filled to [`Sink::advance`].
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        self.cursor.segments()
    }

    /// A sink for the next `limit` bytes at most; pass what it was given to [`Sink::advance`].
    pub fn first(&mut self, limit: usize) -> Sink<'_> {
        Sink { cursor: self.cursor.first(limit), memory: PhantomData }
    }

    /// Counts the next `count` bytes as filled.
    pub fn advance(&mut self, count: usize) {
        self.cursor.advance(count);
    }
}

/// Where a write takes its bytes from.
pub struct Source<'a> {
    cursor: Cursor<'a>,
    memory: PhantomData<&'a [u8]>,
}

impl<'a> Source<'a> {
    /// A source over `segments`, used in order.
    ///
    /// # Safety
    /// For `'a`, every segment is memory that may be read; no mutable Rust reference to any of it is used in
    /// that time. Other threads of a guest may write it: what is taken is then any mixture of bytes.
    pub unsafe fn new(segments: &'a [Segment]) -> Self {
        Source { cursor: Cursor::new(segments), memory: PhantomData }
    }

    /// A source over a slice of our own.
    pub fn from_slice(slice: &'a [u8]) -> Self {
        let current = Segment { start: slice.as_ptr().cast_mut(), len: slice.len() };
        Source { cursor: Cursor { current, rest: &[], remaining: slice.len() }, memory: PhantomData }
    }

    /// Bytes not taken yet.
    pub fn remaining(&self) -> usize {
        self.cursor.remaining
    }

    /// Fills `into` with the next bytes, and answers how many there were.
    pub fn take(&mut self, into: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(piece) = self.cursor.next(into.len() - done) {
            // SAFETY: `piece` is readable by the contract of `new` (or lies in the slice of `from_slice`) and
            // no longer than what is left of `into`, which is host memory, so they don't overlap.
            unsafe {
                ptr::copy_nonoverlapping(piece.start.cast_const(), into.as_mut_ptr().add(done), piece.len)
            };
            done += piece.len;
        }
        done
    }

    /// Appends the next bytes, at most `limit`, to `into`, and answers how many there were.
    pub fn append_to(&mut self, into: &mut Vec<u8>, limit: usize) -> usize {
        let mut done = 0;
        into.reserve(limit.min(self.remaining()));
        while let Some(piece) = self.cursor.next(limit - done) {
            // The maker's segments may be longer than what was reserved only if `remaining` saturated.
            into.reserve(piece.len);
            // SAFETY: `piece` is readable as above; `into` has room for `piece.len` bytes behind its length, and
            // exactly those are written before the length grows.
            unsafe {
                ptr::copy_nonoverlapping(
                    piece.start.cast_const(),
                    into.as_mut_ptr().add(into.len()),
                    piece.len,
                );
                into.set_len(into.len() + piece.len);
            }
            done += piece.len;
        }
        done
    }

    /// All that is not taken yet, if it is some bytes in one piece: for a plain system call.
    pub fn single(&self) -> Option<Segment> {
        self.cursor.single()
    }

    /// The segments not taken yet, for a vectored system call; pass what it took to [`Source::advance`].
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        self.cursor.segments()
    }

    /// A source of the next `limit` bytes at most; pass what was taken of it to [`Source::advance`].
    pub fn first(&mut self, limit: usize) -> Source<'_> {
        Source { cursor: self.cursor.first(limit), memory: PhantomData }
    }

    /// Counts the next `count` bytes as taken.
    pub fn advance(&mut self, count: usize) {
        self.cursor.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(buffers: &mut [Vec<u8>]) -> Vec<Segment> {
        buffers.iter_mut().map(|buffer| Segment::new(buffer.as_mut_ptr(), buffer.len())).collect()
    }

    #[test]
    fn a_sink_fills_segments_in_order_and_stops_at_the_end() {
        let mut buffers = [vec![9; 2], vec![], vec![9; 3]];
        let segments = segments(&mut buffers);
        // SAFETY: `buffers` outlive the sink and aren't used while it lives.
        let mut sink = unsafe { Sink::new(&segments) };
        assert_eq!(sink.remaining(), 5);
        assert_eq!(sink.put(b"abc"), 3);
        assert_eq!(sink.zero(1), 1);
        assert_eq!(sink.segments().map(|segment| segment.len()).collect::<Vec<_>>(), [1]);
        assert_eq!(sink.put(b"xyz"), 1);
        assert_eq!(sink.remaining(), 0);
        assert_eq!(sink.put(b"z"), 0);
        assert_eq!(buffers, [b"ab".to_vec(), vec![], b"c\0x".to_vec()]);
    }

    #[test]
    fn a_source_gives_segments_in_order() {
        let mut buffers = [b"ab".to_vec(), b"".to_vec(), b"cdef".to_vec()];
        let segments = segments(&mut buffers);
        // SAFETY: `buffers` outlive the source and aren't used while it lives.
        let mut source = unsafe { Source::new(&segments) };
        let mut three = [0; 3];
        assert_eq!(source.take(&mut three), 3);
        assert_eq!(&three, b"abc");
        source.advance(1);
        let mut rest = b"-".to_vec();
        assert_eq!(source.append_to(&mut rest, 9), 2);
        assert_eq!(rest, b"-ef");
        assert_eq!(source.remaining(), 0);
    }

    #[test]
    fn a_part_ends_within_a_segment() {
        let mut buffers = [b"ab".to_vec(), b"cdef".to_vec()];
        let segments = segments(&mut buffers);
        // SAFETY: `buffers` outlive both and aren't used while they live.
        let (mut source, mut sink) = unsafe { (Source::new(&segments), Sink::new(&segments)) };
        let mut four = [0; 4];
        let mut part = source.first(3);
        assert_eq!(part.segments().map(|segment| segment.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(part.take(&mut four), 3);
        assert_eq!((&four[..3], part.remaining(), part.segments().count()), (&b"abc"[..], 0, 0));
        assert_eq!(source.remaining(), 6);
        source.advance(3);
        assert_eq!(source.take(&mut four), 3);
        assert_eq!(&four[..3], b"def");
        assert_eq!(sink.first(3).put(b"123456"), 3);
        assert_eq!(sink.first(99).remaining(), 6);
        assert_eq!(buffers, [b"12".to_vec(), b"3def".to_vec()]);
    }

    #[test]
    fn what_is_in_one_piece_is_told_as_one() {
        let mut buffers = [b"ab".to_vec(), b"".to_vec(), b"cdef".to_vec()];
        let segments = segments(&mut buffers);
        let single = |segment: Option<Segment>| segment.map(|segment| (segment.as_ptr(), segment.len()));
        // SAFETY: `buffers` outlive both and aren't used while they live.
        let (mut source, mut sink) = unsafe { (Source::new(&segments), Sink::new(&segments[..1])) };
        assert_eq!(single(sink.single()), Some((segments[0].as_ptr(), 2)));
        sink.advance(1);
        assert_eq!(single(sink.single()), Some((segments[0].as_ptr().wrapping_add(1), 1)));
        sink.advance(1);
        assert_eq!(single(sink.single()), None);
        assert_eq!(single(source.single()), None);
        assert_eq!(single(source.first(2).single()), Some((segments[0].as_ptr(), 2)));
        source.advance(3);
        assert_eq!(single(source.single()), Some((segments[2].as_ptr().wrapping_add(1), 3)));
        // SAFETY: there is nothing to fill.
        assert_eq!(single(unsafe { Sink::new(&[]) }.single()), None);
    }

    #[test]
    fn slices_need_no_unsafe() {
        let mut buffer = [0; 4];
        assert_eq!(Sink::from_slice(&mut buffer).put(b"hello"), 4);
        assert_eq!(&buffer, b"hell");
        assert_eq!(Source::from_slice(b"xy").take(&mut buffer), 2);
        assert_eq!(&buffer, b"xyll");
    }
}
