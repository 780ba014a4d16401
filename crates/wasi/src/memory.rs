//! The guest's memory: checked ranges, raw copies, never a reference.
//!
//! Every address and length from a guest is checked here, once, before anything is done with it. Of memory
//! shared between guest threads a call sees one length; the bytes may change under it, so each is read once.
#![allow(unsafe_code)]

use core::alloc::Layout;
use core::marker::PhantomData;
use core::ptr;
use std::alloc::alloc_zeroed;

use smallvec::SmallVec;
use vnode_core::io::{Segment, Sink, Source};
use vnode_core::{Errno, PATH_MAX, Result};

use crate::apart::{Apart, Notes, Plan, Use};

/// The most segments of one call (`IOV_MAX`).
pub const IOV_MAX: u32 = 1024;
/// The most bytes that one call moves (`MAX_RW_COUNT`); what is past them is left for the next.
pub const MAX_RW_COUNT: usize = 0x7fff_f000;

/// A path or a link's target, copied in; short ones without allocation.
pub type PathBytes = SmallVec<[u8; 256]>;

/// The linear memory of the instance that calls, for the time of the call.
pub struct GuestMemory<'a> {
    base: *mut u8,
    /// 0 for a memory apart, so that only ranges that aren't here ask for it.
    len: usize,
    apart: Option<Elsewhere<'a>>,
    borrowed: PhantomData<&'a [u8]>,
}

/// What `base` is of a memory apart.
struct Elsewhere<'a> {
    apart: Apart<'a>,
    len: usize,
}

impl<'a> GuestMemory<'a> {
    /// The memory of `len` bytes at `base`.
    ///
    /// # Safety
    /// For `'a`, all of it is mapped, readable and writable, stays where it is, and no Rust reference to any of
    /// it is used. Other threads of the guest may read and write it.
    pub unsafe fn new(base: *mut u8, len: usize) -> Self {
        GuestMemory { base, len, apart: None, borrowed: PhantomData }
    }

    /// A memory of our own, without an engine.
    pub fn from_slice(bytes: &'a mut [u8]) -> Self {
        GuestMemory { base: bytes.as_mut_ptr(), len: bytes.len(), apart: None, borrowed: PhantomData }
    }

    /// The same memory, for a call whose ranges are to be noted.
    pub fn noting<'n>(&'n self, notes: &'n Notes) -> GuestMemory<'n> {
        let elsewhere = Elsewhere { apart: Apart::Noting(notes), len: self.len() };
        GuestMemory { base: self.base, len: 0, apart: Some(elsewhere), borrowed: PhantomData }
    }

    /// A memory of which there are copies of some ranges.
    pub(crate) fn copied(bytes: &'a mut [u8], plan: &'a Plan) -> Self {
        let elsewhere = Elsewhere { apart: Apart::Copied(plan), len: bytes.len() };
        GuestMemory { base: bytes.as_mut_ptr(), len: 0, apart: Some(elsewhere), borrowed: PhantomData }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.apart.as_ref().map_or(self.len, |elsewhere| elsewhere.len)
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The host address of a range; any range without bytes is fine.
    ///
    /// # Errors
    /// `EFAULT`: it is not all within the memory.
    fn range(&self, at: u32, len: usize, how: Use) -> Result<*mut u8> {
        if len == 0 {
            return Ok(ptr::dangling_mut());
        }
        let at = at as usize;
        match at.checked_add(len) {
            // SAFETY: `at` is below `self.len`, so the address is within the memory that `new` vouches for.
            Some(end) if end <= self.len => Ok(unsafe { self.base.add(at) }),
            _ => self.range_apart(at, len, how),
        }
    }

    #[cold]
    fn range_apart(&self, at: usize, len: usize, how: Use) -> Result<*mut u8> {
        let Elsewhere { apart, len: all } = self.apart.as_ref().ok_or(Errno::FAULT)?;
        let offset = apart.offset(*all, at, len, how)?;
        match offset.checked_add(len) {
            // SAFETY: as in `range`: `all` bytes are at `base`, by `new` or in the slice of `copied`.
            Some(end) if end <= *all => Ok(unsafe { self.base.add(offset) }),
            _ => Err(Errno::FAULT),
        }
    }

    /// What is to be told of writes at an address.
    fn mark(&self, to: *mut u8) -> Option<Mark<'_>> {
        let Elsewhere { apart, .. } = self.apart.as_ref()?;
        Some(Mark { apart, offset: to.addr().wrapping_sub(self.base.addr()) })
    }

    /// Bytes that a call's vectors have moved before this piece of them.
    pub(crate) fn skipped(&self) -> usize {
        self.apart.as_ref().map_or(0, |elsewhere| elsewhere.apart.skipped())
    }

    /// Counts what a call has moved: with all earlier pieces, if it goes by pieces.
    pub(crate) fn moved(&self, count: usize, may_go_on: impl FnOnce() -> bool) -> usize {
        match &self.apart {
            None => count,
            Some(Elsewhere { apart, .. }) => {
                apart.moved(count, may_go_on());
                apart.skipped() + count
            }
        }
    }

    /// Fills `into` with bytes from `at` on.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn copy_out(&self, at: usize, into: &mut [u8]) -> Result<()> {
        let at = u32::try_from(at).map_err(|_| Errno::FAULT)?;
        let from = self.range(at, into.len(), Use::In)?;
        // SAFETY: `from` is as many readable bytes by `range`; `into` is ours, so they don't overlap.
        unsafe { ptr::copy_nonoverlapping(from.cast_const(), into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// Copies `N` bytes out of the guest.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read<const N: usize>(&self, at: u32) -> Result<[u8; N]> {
        let from = self.range(at, N, Use::In)?;
        let mut bytes = [0; N];
        // SAFETY: `from` is `N` readable bytes by `range`; `bytes` is ours, so they don't overlap.
        unsafe { ptr::copy_nonoverlapping(from.cast_const(), bytes.as_mut_ptr(), N) };
        Ok(bytes)
    }

    /// Checks a place for a result of `N` bytes, before the call does anything.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn slot<const N: usize>(&self, at: u32) -> Result<Slot<'_, N>> {
        let to = self.range(at, N, Use::Out)?;
        Ok(Slot { to, mark: self.mark(to), memory: PhantomData })
    }

    /// Checks a place for up to `len` bytes of result.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn area(&self, at: u32, len: u32) -> Result<Area<'_>> {
        let len = len as usize;
        let to = self.range(at, len, Use::Out)?;
        Ok(Area { to, len, mark: self.mark(to), memory: PhantomData })
    }

    /// Copies a path in.
    ///
    /// # Errors
    /// * `EFAULT`.
    /// * `ENAMETOOLONG`: longer than [`PATH_MAX`], told before anything is copied.
    pub fn path<'b>(&self, at: u32, len: u32, into: &'b mut PathBytes) -> Result<&'b [u8]> {
        let len = len as usize;
        let from = self.range(at, len, Use::In)?;
        if len > PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        into.clear();
        if len > into.capacity() {
            into.reserve_exact(len);
        }
        // SAFETY: `from` is `len` readable bytes by `range`; `into` has room for them and is ours, so they don't
        // overlap; its length is set after they are written.
        unsafe {
            ptr::copy_nonoverlapping(from.cast_const(), into.as_mut_ptr(), len);
            into.set_len(len);
        }
        Ok(into)
    }

    /// Reads an array of `iovec` and checks every range, so that a call does all or nothing. Bytes past
    /// [`MAX_RW_COUNT`] are cut off, as Linux does.
    ///
    /// # Errors
    /// * `EINVAL`: more than [`IOV_MAX`], or a length over 2^31 - 1 (`ssize_t` of a 32-bit guest).
    /// * `EFAULT`: the array or a range is not within the memory; a range without bytes may be anywhere.
    pub fn segments(&self, at: u32, count: u32) -> Result<Segments<'_>> {
        if count > IOV_MAX {
            return Err(Errno::INVAL);
        }
        let table = self.range(at, count as usize * 8, Use::In)?;
        if let Some(elsewhere) = &self.apart {
            return self.segments_apart(elsewhere, table, count);
        }
        let mut list = SmallVec::with_capacity(count as usize);
        let mut room = MAX_RW_COUNT;
        for index in 0..count as usize {
            // SAFETY: `table` is `count * 8` readable bytes by `range`, and `index` is below `count`.
            let (start, len) = unsafe { vector(table, index) }?;
            let base = self.range(start, len, Use::Either)?;
            let len = len.min(room);
            room -= len;
            list.push(Segment::new(base, len));
        }
        Ok(Segments { list, apart: None, memory: PhantomData })
    }

    /// The piece of the vectors that is to be moved now; all are checked.
    #[cold]
    fn segments_apart<'s>(
        &'s self,
        elsewhere: &'s Elsewhere<'a>,
        table: *mut u8,
        count: u32,
    ) -> Result<Segments<'s>> {
        let apart = &elsewhere.apart;
        let mut vectors = SmallVec::<[(u32, usize); 8]>::new();
        let mut room = MAX_RW_COUNT;
        for index in 0..count as usize {
            // SAFETY: as in `segments`.
            let (start, len) = unsafe { vector(table, index) }?;
            apart.check(elsewhere.len, start, len)?;
            let len = len.min(room);
            room -= len;
            vectors.push((start, len));
        }
        let mut list = SmallVec::new();
        let mut marks = Vec::new();
        for (start, len) in apart.piece(vectors) {
            let base = self.range(start, len, Use::Either)?;
            marks.push(base.addr().wrapping_sub(self.base.addr()));
            list.push(Segment::new(base, len));
        }
        Ok(Segments { list, apart: Some(Box::new((apart, marks))), memory: PhantomData })
    }

    /// A buffer as one segment.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn buffer(&self, at: u32, len: u32) -> Result<Segments<'_>> {
        let base = self.range(at, len as usize, Use::Either)?;
        let list = SmallVec::from_slice(&[Segment::new(base, len as usize)]);
        let apart = self.mark(base).map(|mark| Box::new((mark.apart, vec![mark.offset])));
        Ok(Segments { list, apart, memory: PhantomData })
    }
}

/// A vector of a table: address and length.
///
/// # Errors
/// `EINVAL`: a length over 2^31 - 1.
///
/// # Safety
/// `table` is more than `index` times 8 readable bytes, which need no alignment.
unsafe fn vector(table: *mut u8, index: usize) -> Result<(u32, usize)> {
    // SAFETY: the contract.
    let pair: [u8; 8] = unsafe { ptr::read_unaligned(table.add(index * 8).cast()) };
    let (start, len) = halves(pair);
    if i32::try_from(len).is_err() {
        return Err(Errno::INVAL);
    }
    Ok((start, len as usize))
}

/// Where a result is in a memory apart, to which its writing is told.
#[derive(Clone, Copy)]
struct Mark<'m> {
    apart: &'m Apart<'m>,
    offset: usize,
}

/// Bytes that are zero, and take none of the host's memory until they are touched.
///
/// # Errors
/// `ENOMEM`: the host won't have so many. `vec![0; len]` would end the process.
pub(crate) fn zeroed(len: usize) -> Result<Vec<u8>> {
    let layout = Layout::array::<u8>(len).map_err(|_| Errno::NOMEM)?;
    if len == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout is of at least one byte.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        return Err(Errno::NOMEM);
    }
    // SAFETY: `start` is `len` bytes from the global allocator, aligned as bytes are, all of them zero.
    Ok(unsafe { Vec::from_raw_parts(start, len, len) })
}

/// The two little-endian numbers of 8 bytes.
fn halves(pair: [u8; 8]) -> (u32, u32) {
    let both = u64::from_le_bytes(pair);
    (both as u32, (both >> 32) as u32)
}

/// Checked ranges of the guest's memory.
pub struct Segments<'m> {
    /// A C library's stream moves two; more are rare, and make every call's copies of this longer.
    list: SmallVec<[Segment; 4]>,
    /// Of a memory apart: where each is in it.
    apart: Option<Box<(&'m Apart<'m>, Vec<usize>)>>,
    memory: PhantomData<&'m ()>,
}

impl Segments<'_> {
    /// To read into.
    pub fn sink(&self) -> Sink<'_> {
        if let Some((apart, offsets)) = self.apart.as_deref() {
            // Their old content was copied in, so what is not filled is put back as it was.
            offsets.iter().zip(&self.list).for_each(|(offset, segment)| apart.wrote(*offset, segment.len()));
        }
        // SAFETY: every segment was made by `GuestMemory::range` and lies in memory that its maker vouches for
        // while `self` lives; no reference to it exists.
        unsafe { Sink::new(&self.list) }
    }

    /// To write from.
    pub fn source(&self) -> Source<'_> {
        // SAFETY: as in `sink`.
        unsafe { Source::new(&self.list) }
    }

    /// Bytes in all.
    pub fn total(&self) -> usize {
        self.list.iter().map(Segment::len).sum()
    }
}

/// A checked place for a result of `N` bytes.
pub struct Slot<'m, const N: usize> {
    to: *mut u8,
    mark: Option<Mark<'m>>,
    memory: PhantomData<&'m ()>,
}

impl<const N: usize> Slot<'_, N> {
    /// Puts the result there.
    pub fn put(&self, bytes: [u8; N]) {
        // SAFETY: `to` is `N` writable bytes by `GuestMemory::range`; `bytes` is ours, so they don't overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.to, N) };
        if let Some(Mark { apart, offset }) = self.mark {
            apart.wrote(offset, N);
        }
    }
}

/// A checked place for up to so many bytes of result.
pub struct Area<'m> {
    to: *mut u8,
    len: usize,
    mark: Option<Mark<'m>>,
    memory: PhantomData<&'m ()>,
}

impl Area<'_> {
    /// How many fit.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none fit.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts as many of `bytes` as fit at an offset, and answers how many.
    pub fn put(&self, offset: usize, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.len.saturating_sub(offset));
        if count > 0 {
            // SAFETY: `offset + count` is at most `len`, and `to` is `len` writable bytes by
            // `GuestMemory::range`; `bytes` is host memory, so they don't overlap.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.to.add(offset), count) };
            if let Some(mark) = self.mark {
                mark.apart.wrote(mark.offset + offset, count);
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_memory(len: usize, test: impl FnOnce(&GuestMemory<'_>)) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
        test(&GuestMemory::from_slice(&mut bytes));
        bytes
    }

    #[test]
    fn ranges_are_checked_to_the_last_byte() {
        with_memory(64, |memory| {
            assert_eq!(memory.read::<4>(60), Ok([60, 61, 62, 63]));
            for at in [61, 64, 65, u32::MAX, u32::MAX - 3, i32::MAX as u32] {
                assert_eq!(memory.read::<4>(at), Err(Errno::FAULT), "{at}");
                assert_eq!(memory.slot::<4>(at).err(), Some(Errno::FAULT), "{at}");
            }
            assert_eq!(memory.read::<0>(u32::MAX), Ok([]));
            assert!(memory.area(u32::MAX, 0).is_ok());
            assert_eq!(memory.area(0, 65).err(), Some(Errno::FAULT));
            assert_eq!(memory.area(1, u32::MAX).err(), Some(Errno::FAULT));
            assert_eq!(memory.area(u32::MAX, u32::MAX).err(), Some(Errno::FAULT));
        });
    }

    #[test]
    fn more_zeros_than_there_is_memory_are_enomem() {
        assert_eq!(zeroed(0), Ok(Vec::new()));
        assert_eq!(zeroed(100_000), Ok(vec![0; 100_000]));
        for len in [usize::MAX, isize::MAX as usize, 1 << 60] {
            assert_eq!(zeroed(len), Err(Errno::NOMEM), "{len}");
        }
    }

    #[test]
    fn an_empty_memory_has_only_empty_ranges() {
        // SAFETY: there are no bytes to be valid.
        let memory = unsafe { GuestMemory::new(ptr::null_mut(), 0) };
        assert_eq!(memory.read::<1>(0), Err(Errno::FAULT));
        assert_eq!(memory.path(0, 0, &mut PathBytes::new()).unwrap().len(), 0);
    }

    #[test]
    fn paths_are_bounded_before_they_are_copied() {
        with_memory(10_000, |memory| {
            assert_eq!(memory.path(8, 3, &mut PathBytes::new()).unwrap(), [8, 9, 10]);
            assert_eq!(memory.path(0, 4095, &mut PathBytes::new()).unwrap().len(), 4095);
            assert_eq!(memory.path(0, 4096, &mut PathBytes::new()).err(), Some(Errno::NAMETOOLONG));
            assert_eq!(memory.path(u32::MAX, u32::MAX, &mut PathBytes::new()).err(), Some(Errno::FAULT));
            assert_eq!(memory.path(0, 10_000, &mut PathBytes::new()).err(), Some(Errno::NAMETOOLONG));
            assert_eq!(memory.path(9_999, 2, &mut PathBytes::new()).err(), Some(Errno::FAULT));
            let mut path = PathBytes::new();
            memory.path(0, 256, &mut path).unwrap();
            assert!(!path.spilled());
        });
    }

    fn iovecs(bytes: &mut [u8], at: usize, vectors: &[(u32, u32)]) {
        for (index, (start, len)) in vectors.iter().enumerate() {
            bytes[at + index * 8..][..4].copy_from_slice(&start.to_le_bytes());
            bytes[at + index * 8 + 4..][..4].copy_from_slice(&len.to_le_bytes());
        }
    }

    fn segments_of(vectors: &[(u32, u32)]) -> Result<Vec<usize>> {
        let mut bytes = vec![0; 0x10000];
        // Odd on purpose: a guest need not align anything.
        iovecs(&mut bytes, 3, vectors);
        // SAFETY: `bytes` outlives the memory and is not used while it lives.
        let memory = unsafe { GuestMemory::new(bytes.as_mut_ptr(), bytes.len()) };
        let segments = memory.segments(3, vectors.len() as u32)?;
        Ok(segments.list.iter().map(Segment::len).collect())
    }

    #[test]
    fn vectors_are_all_checked() {
        assert_eq!(segments_of(&[(0, 5), (0xffff, 1), (7, 0)]), Ok(vec![5, 1, 0]));
        assert_eq!(segments_of(&[(0, 5), (0xffff, 2)]), Err(Errno::FAULT));
        assert_eq!(segments_of(&[(u32::MAX, 0), (0, 0x10000)]), Ok(vec![0, 0x10000]));
        assert_eq!(segments_of(&[(0, i32::MAX as u32)]), Err(Errno::FAULT));
        assert_eq!(segments_of(&[(0, 1 << 31)]), Err(Errno::INVAL));
        assert_eq!(segments_of(&[(0, u32::MAX)]), Err(Errno::INVAL));
        assert_eq!(segments_of(&[]), Ok(vec![]));
        assert_eq!(segments_of(&[(0, 1); 1024]).map(|list| list.len()), Ok(1024));
        assert_eq!(segments_of(&[(0, 1); 1025]), Err(Errno::INVAL));
        with_memory(64, |memory| {
            for count in [1 << 31, u32::MAX, 1 << 29] {
                assert_eq!(memory.segments(0, count).err(), Some(Errno::INVAL), "{count}");
            }
            assert_eq!(memory.segments(60, 1).err(), Some(Errno::FAULT));
            assert_eq!(memory.segments(u32::MAX - 4, 1).err(), Some(Errno::FAULT));
        });
    }

    #[test]
    fn what_one_call_moves_is_bounded() {
        let len = 1usize << 30;
        let mut table = vec![0; 64];
        iovecs(&mut table, 0, &[(0, len as u32); 4]);
        // SAFETY: only the table at the start is read; nothing is read or written through the segments.
        let memory = unsafe { GuestMemory::new(table.as_mut_ptr(), len) };
        let segments = memory.segments(0, 4).unwrap();
        assert_eq!(segments.total(), MAX_RW_COUNT);
        assert_eq!(segments.list.last().map(Segment::len), Some(0));
    }

    #[test]
    fn results_land_where_they_were_checked() {
        let bytes = with_memory(16, |memory| {
            memory.slot::<2>(14).unwrap().put([1, 2]);
            let area = memory.area(0, 4).unwrap();
            assert_eq!(area.put(2, b"abc"), 2);
            assert_eq!(area.put(4, b"x"), 0);
            assert_eq!(area.put(usize::MAX, b"x"), 0);
        });
        assert_eq!(bytes, [0, 1, b'a', b'b', 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 1, 2]);
    }
}
