//! A call that is made on another thread than the guest's, with copies of what it reads and writes of the guest's memory.
//!
//! A guest whose call is dropped takes its memory along, so a thread that goes on with the call must not know it. First
//! the call is tried where it is, over [`Notes`] that list the ranges that it checks: it checks all of them before it
//! does anything. Then [`Copies`] of these ranges are the memory of the call on the other thread; overlapping ranges
//! are one copy, so that the call can't tell. What it has written is put back when it is done, by the guest's thread.
//!
//! Reads and writes go by pieces of [`PIECE`] bytes, so that what a guest can make the host allocate is bounded, whatever
//! its vectors say. Of a range that is only written, pages that are not touched cost nothing.

use core::cell::{Cell, RefCell};

use vnode_core::{Errno, Result};

use crate::memory::{GuestMemory, zeroed};

/// The most bytes of vectors that are copied at once.
pub const PIECE: usize = 64 << 10;

/// What a call does with a range of the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Reads it.
    In,
    /// Writes it, or parts of it.
    Out,
    /// One or the other.
    Either,
}

/// What stands between a call and the guest's memory.
pub(crate) enum Apart<'a> {
    Noting(&'a Notes),
    Copied(&'a Plan),
}

/// The ranges of the guest's memory that a call checks, and which piece of its vectors is to be moved.
#[derive(Default)]
pub struct Notes {
    ranges: RefCell<Vec<Range>>,
    window: Window,
}

#[derive(Clone, Copy)]
struct Range {
    start: usize,
    end: usize,
    copy_in: bool,
}

/// The piece of a call's vectors that is moved: so many bytes from so many on.
#[derive(Default)]
struct Window {
    skip: usize,
    len: Cell<usize>,
    /// Bytes follow that the piece leaves out.
    cut: Cell<bool>,
    more: Cell<bool>,
}

impl Window {
    fn from(skip: usize) -> Window {
        Window { skip, ..Window::default() }
    }
}

impl Notes {
    /// For a call of whose vectors `skip` bytes are moved already.
    pub fn after(skip: usize) -> Notes {
        Notes { window: Window::from(skip), ..Notes::default() }
    }

    /// How many bytes are moved, if the call is to be made once more for those that are left.
    pub fn goes_on(&self) -> Option<usize> {
        self.window.goes_on()
    }

    /// Copies what was noted.
    ///
    /// # Errors
    /// `EFAULT`: the memory is another one. `ENOMEM`: the host has no memory for it.
    pub fn copies(&self, memory: &GuestMemory<'_>) -> Result<Copies> {
        let noted = self.ranges.borrow();
        let (places, len) = merge(noted.clone());
        let mut bytes = zeroed(len)?;
        let plan = Plan {
            places,
            written: RefCell::default(),
            window: Window::from(self.window.skip),
            memory: memory.len(),
        };
        for range in noted.iter().filter(|range| range.copy_in) {
            let to = plan.offset(range.start, range.end).ok_or(Errno::FAULT)?;
            let to = bytes.get_mut(to..to + (range.end - range.start)).ok_or(Errno::FAULT)?;
            memory.copy_out(range.start, to)?;
        }
        Ok(Copies { bytes, plan })
    }
}

/// The ranges, sorted and those that touch joined, each with where its copy is; and the bytes of all copies.
fn merge(mut ranges: Vec<Range>) -> (Vec<Place>, usize) {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut places: Vec<Place> = Vec::new();
    let mut len = 0;
    for range in ranges {
        match places.last_mut() {
            Some(last) if range.start <= last.end => {
                len += range.end.saturating_sub(last.end);
                last.end = last.end.max(range.end);
            }
            _ => {
                places.push(Place { start: range.start, end: range.end, offset: len });
                len += range.end - range.start;
            }
        }
    }
    (places, len)
}

/// A range of the guest's memory, and where its copy begins.
struct Place {
    start: usize,
    end: usize,
    offset: usize,
}

/// Where copies are, and what of them was written.
pub(crate) struct Plan {
    places: Vec<Place>,
    /// Offset and length, in order.
    written: RefCell<Vec<(usize, usize)>>,
    window: Window,
    /// The length of the guest's memory.
    memory: usize,
}

/// Copies of the ranges that a call checks: all that it needs of its guest's memory.
pub struct Copies {
    bytes: Vec<u8>,
    plan: Plan,
}

impl Copies {
    /// What the call takes for the guest's memory.
    pub fn memory(&mut self) -> GuestMemory<'_> {
        GuestMemory::copied(&mut self.bytes, &self.plan)
    }

    /// Puts what the call has written into the guest's memory.
    ///
    /// # Errors
    /// `EFAULT`: the memory is another one.
    pub fn put_back(&self, memory: &GuestMemory<'_>) -> Result<()> {
        for &(offset, len) in self.plan.written.borrow().iter() {
            let at = self.plan.address(offset).ok_or(Errno::FAULT)?;
            let bytes = self.bytes.get(offset..offset + len).ok_or(Errno::FAULT)?;
            let area = memory.area(u32::try_from(at).map_err(|_| Errno::FAULT)?, bytes.len() as u32)?;
            area.put(0, bytes);
        }
        Ok(())
    }

    /// As [`Notes::goes_on`].
    pub fn goes_on(&self) -> Option<usize> {
        self.plan.window.goes_on()
    }
}

impl Plan {
    /// Where the copy of a range is.
    fn offset(&self, start: usize, end: usize) -> Option<usize> {
        let after = self.places.partition_point(|place| place.start <= start);
        let place = self.places.get(after.checked_sub(1)?)?;
        (end <= place.end).then(|| place.offset + (start - place.start))
    }

    /// The guest's address of a place in the copies.
    fn address(&self, offset: usize) -> Option<usize> {
        let after = self.places.partition_point(|place| place.offset <= offset);
        let place = self.places.get(after.checked_sub(1)?)?;
        Some(place.start + (offset - place.offset))
    }

    /// Notes that bytes of the copies are written.
    pub(crate) fn wrote(&self, offset: usize, len: usize) {
        let mut written = self.written.borrow_mut();
        match written.last_mut() {
            // Across two places nothing is ever written at once, but one may end where the next begins.
            Some((start, all))
                if *start + *all == offset
                    && self.address(offset) == self.address(*start).map(|at| at + *all) =>
            {
                *all += len
            }
            _ => written.push((offset, len)),
        }
    }
}

impl Window {
    fn goes_on(&self) -> Option<usize> {
        self.more.get().then(|| self.skip + self.len.get())
    }
}

impl Apart<'_> {
    fn window(&self) -> &Window {
        match self {
            Apart::Noting(notes) => &notes.window,
            Apart::Copied(plan) => &plan.window,
        }
    }

    /// Where a range is, as an offset into the guest's memory or into the copies.
    ///
    /// # Errors
    /// `EFAULT`.
    pub(crate) fn offset(&self, memory: usize, start: usize, len: usize, how: Use) -> Result<usize> {
        let end = start.checked_add(len).ok_or(Errno::FAULT)?;
        match self {
            Apart::Noting(notes) if end <= memory => {
                notes.ranges.borrow_mut().push(Range { start, end, copy_in: how != Use::Out });
                Ok(start)
            }
            Apart::Noting(_) => Err(Errno::FAULT),
            Apart::Copied(plan) => plan.offset(start, end).ok_or(Errno::FAULT),
        }
    }

    /// Checks a range that is not touched yet.
    ///
    /// # Errors
    /// `EFAULT`.
    pub(crate) fn check(&self, memory: usize, start: u32, len: usize) -> Result<()> {
        let memory = match self {
            Apart::Noting(_) => memory,
            Apart::Copied(plan) => plan.memory,
        };
        match (start as usize).checked_add(len) {
            _ if len == 0 => Ok(()),
            Some(end) if end <= memory => Ok(()),
            _ => Err(Errno::FAULT),
        }
    }

    /// Cuts the piece to be moved out of a call's vectors.
    pub(crate) fn piece(&self, vectors: impl IntoIterator<Item = (u32, usize)>) -> Vec<(u32, usize)> {
        let window = self.window();
        let (mut skip, mut room, mut cut) = (window.skip, PIECE, false);
        let mut piece = Vec::new();
        for (start, len) in vectors {
            let passed = len.min(skip);
            skip -= passed;
            let taken = (len - passed).min(room);
            room -= taken;
            cut |= taken < len - passed;
            if taken > 0 {
                // Both are within a memory of 32-bit addresses: `check` has seen them.
                piece.push((start.wrapping_add(passed as u32), taken));
            }
        }
        window.len.set(PIECE - room);
        window.cut.set(cut);
        piece
    }

    /// Bytes of the vectors that earlier pieces moved.
    pub(crate) fn skipped(&self) -> usize {
        self.window().skip
    }

    /// A piece was moved; whether there is to be another, if it was moved whole.
    pub(crate) fn moved(&self, count: usize, may_go_on: bool) {
        let window = self.window();
        window.more.set(may_go_on && window.cut.get() && count == window.len.get());
    }

    /// Notes that bytes are written.
    pub(crate) fn wrote(&self, offset: usize, len: usize) {
        if let Apart::Copied(plan) = self {
            plan.wrote(offset, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnode_core::io::Sink;

    /// Makes a call apart: over copies of what it checks of `guest`, then puts back what it wrote.
    fn apart<T>(guest: &mut [u8], skip: usize, call: impl Fn(&GuestMemory<'_>) -> T) -> (T, Copies) {
        let notes = Notes::after(skip);
        // A call that is noted fails before it does anything; these don't, so they get a memory to spoil.
        call(&GuestMemory::from_slice(&mut guest.to_vec()).noting(&notes));
        let memory = GuestMemory::from_slice(guest);
        let mut copies = notes.copies(&memory).unwrap();
        let result = call(&copies.memory());
        copies.put_back(&memory).unwrap();
        (result, copies)
    }

    #[test]
    fn ranges_that_touch_are_one_copy() {
        let range = |start, end| Range { start, end, copy_in: true };
        let (places, len) =
            merge(vec![range(10, 20), range(40, 41), range(0, 5), range(15, 30), range(12, 13)]);
        let places: Vec<_> = places.iter().map(|place| (place.start, place.end, place.offset)).collect();
        assert_eq!((places, len), (vec![(0, 5, 0), (10, 30, 5), (40, 41, 25)], 26));
    }

    #[test]
    fn only_what_was_written_is_put_back() {
        let mut guest: Vec<u8> = (0..100).collect();
        let (read, copies) = apart(&mut guest, 0, |memory| {
            let read = memory.read::<3>(10).unwrap();
            let (area, slot) = (memory.area(20, 50).unwrap(), memory.slot::<2>(90).unwrap());
            area.put(5, b"xy");
            slot.put([7, 8]);
            read
        });
        assert_eq!(read, [10, 11, 12]);
        assert_eq!(copies.bytes.len(), 55, "nothing else of the guest's memory");
        let mut expected: Vec<u8> = (0..100).collect();
        expected[25..27].copy_from_slice(b"xy");
        expected[90..92].copy_from_slice(&[7, 8]);
        assert_eq!(guest, expected);
    }

    #[test]
    fn addresses_are_checked_as_in_the_guests_memory() {
        let memory_len = 64u32;
        let mut guest = vec![0; memory_len as usize];
        let memory = GuestMemory::from_slice(&mut guest);
        let notes = Notes::default();
        let noting = memory.noting(&notes);
        assert_eq!(noting.read::<4>(memory_len - 3), Err(Errno::FAULT));
        assert_eq!(noting.slot::<4>(u32::MAX).err(), Some(Errno::FAULT));
        assert!(noting.read::<4>(memory_len - 4).is_ok());
        let mut copies = notes.copies(&memory).unwrap();
        // What was not noted is not there.
        assert_eq!(copies.memory().read::<4>(0), Err(Errno::FAULT));
        assert!(copies.memory().read::<4>(memory_len - 4).is_ok());
    }

    #[test]
    fn vectors_go_by_pieces() {
        let (first, second) = (50_000u32, 60_000u32);
        let mut guest = vec![0; 200_000];
        for (at, number) in [(0, 1000), (4, first), (8, 1000 + first), (12, second)] {
            guest[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let mut skip = 0;
        let mut pieces = Vec::new();
        loop {
            let (count, copies) = apart(&mut guest, skip, |memory| {
                let segments = memory.segments(0, 2).unwrap();
                let count = segments.sink().put(&[9; 100_000]);
                memory.moved(count, || true)
            });
            pieces.push(count);
            match copies.goes_on() {
                Some(moved) => skip = moved,
                None => break,
            }
        }
        assert_eq!(pieces, [PIECE, 110_000]);
        assert!(guest[1000..111_000].iter().all(|byte| *byte == 9));
        assert!(guest[111_000..].iter().all(|byte| *byte == 0));
        // A piece that was not moved whole is the last.
        let (_, copies) = apart(&mut guest, 0, |memory| {
            let mut few = [0; 10];
            let segments = memory.segments(0, 2).unwrap();
            segments.source().take(&mut few);
            memory.moved(Sink::from_slice(&mut few).put(&[1; 10]), || true)
        });
        assert_eq!(copies.goes_on(), None);
    }
}
