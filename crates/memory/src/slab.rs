//! Blocks of 64 KiB for the content of files, cut from slabs of 2 MiB, each of which the host may back with one
//! huge page: what is new then costs a fault for every 512 pages instead of one for each.
//!
//! # What the host gives for it
//!
//! A block is resident whole as soon as it is in use. The arena sees to it that of the blocks that are not in
//! use no more are resident than are in use and one slab: a slab of which nothing is in use is unmapped, but for
//! one, and the free blocks of others are given back to the host when there are too many. So the resident bytes
//! are at most twice those of the blocks in use, and 2 MiB. How much of a block is in use is up to its holder.
//!
//! # Unsafe code
//!
//! A block is memory of a mapping that lives elsewhere, so its bytes are reached through a pointer. What makes
//! that sound stands once, in [`Block`].
#![allow(unsafe_code)]

use core::ops::{Deref, DerefMut, Range};
use core::{fmt, ptr};
use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

/// Bytes in a block.
pub(crate) const BLOCK: usize = 64 << 10;

/// Blocks in a slab.
const BLOCKS: usize = 32;

/// Bytes in a slab, and what its address is a multiple of: a huge page of most hosts.
const SLAB: usize = BLOCK * BLOCKS;

/// Where blocks come from. It is as cheap as it is empty.
#[derive(Default)]
pub(crate) struct Arena {
    slabs: Mutex<Slabs>,
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").finish_non_exhaustive()
    }
}

impl Arena {
    /// A block, with whatever bytes its last holder left; nothing if the host gives no memory.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Block> {
        let (start, slab, index) = self.slabs.lock().take()?;
        Some(Block { start, slab, index, arena: self.clone() })
    }

    /// Blocks that are in use, or free and perhaps resident.
    #[cfg(test)]
    pub(crate) fn resident(&self) -> usize {
        let slabs = self.slabs.lock();
        slabs.used + slabs.idle
    }
}

/// 64 KiB, which may hold anything when they are taken: the holder reads only what it has written.
pub(crate) struct Block {
    /// Invariant: these bytes are mapped, initialized, and nobody else's, as long as the block is there. They lie
    /// in the slab of this number, at this index, and the slab has the index marked as in use: it marks it when it
    /// hands out the block, hands out only what is not marked, and takes the mark away when the block is dropped.
    /// A slab is unmapped only when nothing in it is marked, or with the arena, which the block holds. Anonymous
    /// memory is zero until it is written, and again after it was given back, so it is always initialized.
    start: ptr::NonNull<[u8; BLOCK]>,
    slab: u32,
    index: u8,
    arena: Arc<Arena>,
}

impl Block {
    /// Another block from where this one is from.
    pub(crate) fn another(&self) -> Option<Block> {
        self.arena.take()
    }
}

impl Deref for Block {
    type Target = [u8; BLOCK];

    fn deref(&self) -> &Self::Target {
        // SAFETY: valid for reads, aligned (bytes) and initialized by the invariant of `start`; only who has the
        // block exclusively gets a mutable reference, see `deref_mut`.
        unsafe { self.start.as_ref() }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: as above, valid for writes too, and the block is borrowed exclusively.
        unsafe { self.start.as_mut() }
    }
}

// SAFETY: the block owns its bytes, which are plain memory of the process, as a box of them would.
unsafe impl Send for Block {}
// SAFETY: a shared block only gives shared references to its bytes.
unsafe impl Sync for Block {}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("slab", &self.slab).field("index", &self.index).finish_non_exhaustive()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let unused = self.arena.slabs.lock().give(self.slab, self.index);
        // Unmapped here, where the lock is free again.
        drop(unused);
    }
}

/// 2 MiB. Each block is in use, or idle (free and perhaps resident), or with the host.
struct Slab {
    mapping: mapping::Mapping,
    used: u32,
    idle: u32,
}

impl Slab {
    fn new() -> Option<Self> {
        Some(Slab { mapping: mapping::Mapping::new()?, used: 0, idle: u32::MAX })
    }

    /// Those with the host.
    fn away(&self) -> u32 {
        !(self.used | self.idle)
    }
}

/// All slabs, by number.
#[derive(Default)]
struct Slabs {
    slabs: Vec<Option<Slab>>,
    /// Numbers that no slab has.
    vacant: Vec<u32>,
    /// The slabs that have idle blocks, and those that have blocks with the host.
    with_idle: BTreeSet<u32>,
    with_away: BTreeSet<u32>,
    /// The slab that is not in use at all, if there is one; all its blocks are idle.
    spare: Option<u32>,
    /// Blocks in use, and idle ones.
    used: usize,
    idle: usize,
}

impl Slabs {
    /// Takes the first idle block, or one that is with the host, or the first one of a new slab.
    fn take(&mut self) -> Option<(ptr::NonNull<[u8; BLOCK]>, u32, u8)> {
        let number = match self.with_idle.first().or(self.with_away.first()) {
            Some(&number) => number,
            None => self.map()?,
        };
        let slab = self.slabs.get_mut(number as usize)?.as_mut()?;
        let was_idle = slab.idle != 0;
        let index = if was_idle { slab.idle } else { slab.away() }.trailing_zeros() as u8;
        let start = slab.mapping.start().wrapping_add(usize::from(index) * BLOCK);
        let start = ptr::NonNull::new(start.cast::<[u8; BLOCK]>())?;
        slab.used |= 1 << index;
        slab.idle &= !(1 << index);
        self.used += 1;
        self.idle -= usize::from(was_idle);
        if was_idle && slab.idle == 0 {
            self.with_idle.remove(&number);
        }
        if !was_idle && slab.away() == 0 {
            self.with_away.remove(&number);
        }
        self.spare.take_if(|spare| *spare == number);
        Some((start, number, index))
    }

    /// Maps a new slab; answers its number.
    fn map(&mut self) -> Option<u32> {
        let slab = Slab::new()?;
        let number = match self.vacant.pop() {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.slabs.len()).ok()?;
                self.slabs.try_reserve(1).ok()?;
                self.slabs.push(None);
                number
            }
        };
        *self.slabs.get_mut(number as usize)? = Some(slab);
        self.with_idle.insert(number);
        self.idle += BLOCKS;
        self.spare = Some(number);
        Some(number)
    }

    /// Takes a block back; answers the slabs that are to be unmapped.
    fn give(&mut self, number: u32, index: u8) -> SmallVec<[Slab; 2]> {
        let mut unused = SmallVec::new();
        let Some(Some(slab)) = self.slabs.get_mut(number as usize) else { return unused };
        slab.used &= !(1 << index);
        slab.idle |= 1 << index;
        self.with_idle.insert(number);
        self.used -= 1;
        self.idle += 1;
        if slab.used == 0 {
            if slab.away() == 0 && self.spare.is_none() {
                self.spare = Some(number);
            } else {
                unused.extend(self.remove(number));
            }
        }
        while self.idle > self.used + BLOCKS {
            match (self.spare.take(), self.with_idle.last()) {
                (Some(spare), _) => unused.extend(self.remove(spare)),
                (None, Some(&last)) => self.give_back(last),
                (None, None) => break,
            }
        }
        unused
    }

    /// Removes a slab of which nothing is in use.
    fn remove(&mut self, number: u32) -> Option<Slab> {
        let slab = self.slabs.get_mut(number as usize)?.take()?;
        self.idle -= slab.idle.count_ones() as usize;
        self.with_idle.remove(&number);
        self.with_away.remove(&number);
        self.vacant.push(number);
        Some(slab)
    }

    /// Gives a slab's idle blocks back to the host.
    fn give_back(&mut self, number: u32) {
        self.with_idle.remove(&number);
        let Some(Some(slab)) = self.slabs.get_mut(number as usize) else { return };
        slab.mapping.stay_small();
        for run in runs(slab.idle) {
            // SAFETY: the blocks of the run are not in use, so nobody has a reference to these bytes.
            unsafe { slab.mapping.give_back(run.start * BLOCK..run.end * BLOCK) };
        }
        self.idle -= slab.idle.count_ones() as usize;
        slab.idle = 0;
        self.with_away.insert(number);
    }
}

/// The runs of ones.
fn runs(bits: u32) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let rest = u64::from(bits) >> at;
        if rest == 0 {
            return None;
        }
        let start = at + rest.trailing_zeros() as usize;
        at = start + (u64::from(bits) >> start).trailing_ones() as usize;
        Some(start..at)
    })
}

/// Memory from the host.
#[cfg(not(miri))]
mod mapping {
    use core::ops::Range;

    use memmap2::{MmapMut, MmapRaw};

    use super::SLAB;

    /// Anonymous memory of a slab.
    pub(super) struct Mapping {
        map: MmapRaw,
        /// Where in it the slab begins.
        offset: usize,
    }

    impl Mapping {
        pub(super) fn new() -> Option<Self> {
            let mut map = MmapRaw::from(MmapMut::map_anon(SLAB).ok()?);
            if map.as_ptr().align_offset(SLAB) != 0 {
                // The host doesn't align by itself; what is before the slab and behind it is never touched.
                map = MmapRaw::from(MmapMut::map_anon(2 * SLAB).ok()?);
            }
            let offset = map.as_ptr().align_offset(SLAB);
            #[cfg(target_os = "linux")]
            // Where there are no huge pages, small ones do.
            let _ = map.advise_range(memmap2::Advice::HugePage, offset, SLAB);
            Some(Mapping { map, offset })
        }

        pub(super) fn start(&self) -> *mut u8 {
            self.map.as_mut_ptr().wrapping_add(self.offset)
        }

        /// Gives the memory of these bytes of the slab, whole blocks, back to the host; they are zero then.
        ///
        /// # Safety
        /// Nobody has a reference to them.
        #[cfg(target_os = "linux")]
        pub(super) unsafe fn give_back(&self, bytes: Range<usize>) {
            let offset = self.offset + bytes.start;
            // SAFETY: the range lies in the slab and nobody refers to it, by the contract. It is whole pages, of
            // which the largest are as large as a block, so nothing around it is given back. Bytes that are zero,
            // or as before if this fails, are as initialized as any.
            let _ = unsafe {
                self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, bytes.len())
            };
        }

        /// Keeps the host from making a huge page of what is not given back.
        #[cfg(target_os = "linux")]
        pub(super) fn stay_small(&self) {
            let _ = self.map.advise_range(memmap2::Advice::NoHugePage, self.offset, SLAB);
        }

        /// Does nothing: here memory only goes back with its slab.
        ///
        /// # Safety
        /// There is nothing to ensure.
        #[cfg(not(target_os = "linux"))]
        pub(super) unsafe fn give_back(&self, _bytes: Range<usize>) {}

        #[cfg(not(target_os = "linux"))]
        pub(super) fn stay_small(&self) {}
    }
}

/// The same from the allocator: the interpreter that checks unsafe code knows no mappings.
#[cfg(miri)]
mod mapping {
    use core::ops::Range;
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    use super::SLAB;

    const LAYOUT: Layout = match Layout::from_size_align(SLAB, SLAB) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    };

    pub(super) struct Mapping(*mut u8);

    // SAFETY: the memory is owned, and may be freed by any thread.
    unsafe impl Send for Mapping {}

    impl Mapping {
        pub(super) fn new() -> Option<Self> {
            // SAFETY: the layout has a size.
            let start = unsafe { alloc_zeroed(LAYOUT) };
            (!start.is_null()).then_some(Mapping(start))
        }

        pub(super) fn start(&self) -> *mut u8 {
            self.0
        }

        /// # Safety
        /// Nobody has a reference to these bytes.
        pub(super) unsafe fn give_back(&self, bytes: Range<usize>) {
            // SAFETY: the range lies in the slab, and nobody refers to it by the contract.
            unsafe { self.0.add(bytes.start).write_bytes(0, bytes.len()) };
        }

        pub(super) fn stay_small(&self) {}
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: allocated in `new` with this layout.
            unsafe { dealloc(self.0, LAYOUT) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use proptest::prelude::*;

    use super::*;

    /// How many steps: the interpreter is slow.
    const MANY: usize = if cfg!(miri) { 3 } else { 64 };

    /// Counts again; answers the slabs that are mapped.
    fn check(arena: &Arena) -> usize {
        let slabs = arena.slabs.lock();
        let mut mapped = 0;
        let (mut used, mut idle) = (0, 0);
        for (number, slab) in slabs.slabs.iter().enumerate() {
            let number = number as u32;
            let Some(slab) = slab else {
                assert!(slabs.vacant.contains(&number));
                assert!(!slabs.with_idle.contains(&number) && !slabs.with_away.contains(&number));
                continue;
            };
            mapped += 1;
            assert_eq!(slab.used & slab.idle, 0);
            assert_eq!(slab.mapping.start().align_offset(SLAB), 0);
            assert_eq!(slabs.with_idle.contains(&number), slab.idle != 0);
            assert_eq!(slabs.with_away.contains(&number), slab.away() != 0);
            assert_eq!(slab.used == 0, slabs.spare == Some(number));
            used += slab.used.count_ones() as usize;
            idle += slab.idle.count_ones() as usize;
        }
        assert_eq!((used, idle), (slabs.used, slabs.idle));
        assert_eq!(mapped + slabs.vacant.len(), slabs.slabs.len());
        assert!(idle <= used + BLOCKS, "{idle} blocks are idle beside {used} in use");
        mapped
    }

    /// Writes a number all over a block: under the interpreter, at both ends.
    fn mark(block: &mut Block, number: u32) {
        let step = if cfg!(miri) { BLOCK - 4 } else { 4 };
        for at in (0..BLOCK).step_by(step) {
            block[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
    }

    fn is_marked(block: &Block, number: u32) -> bool {
        let step = if cfg!(miri) { BLOCK - 4 } else { 4 };
        (0..BLOCK).step_by(step).all(|at| block[at..at + 4] == number.to_le_bytes())
    }

    #[test]
    fn blocks_are_apart_and_slabs_are_mapped_when_needed() {
        let arena = Arc::new(Arena::default());
        assert_eq!(check(&arena), 0);
        let mut blocks: Vec<_> = (0..BLOCKS + 1).map(|_| arena.take().unwrap()).collect();
        assert_eq!(check(&arena), 2);
        (0..).zip(&mut blocks).for_each(|(number, block)| mark(block, number));
        assert!((0..).zip(&blocks).all(|(number, block)| is_marked(block, number)));
        // Neighbours are neighbours.
        assert_eq!(blocks[0].as_ptr().wrapping_add(BLOCK), blocks[1].as_ptr());
        drop(arena);
        assert!((0..).zip(&blocks).all(|(number, block)| is_marked(block, number)));
    }

    #[test]
    fn slabs_go_back_but_for_one() {
        let arena = Arc::new(Arena::default());
        let mut blocks: Vec<_> = (0..5 * BLOCKS).map(|_| arena.take().unwrap()).collect();
        assert_eq!(check(&arena), 5);
        blocks.truncate(3 * BLOCKS + 1);
        assert_eq!(check(&arena), 4 + 1);
        blocks.truncate(3 * BLOCKS);
        assert_eq!(check(&arena), 3 + 1);
        blocks.clear();
        assert_eq!(check(&arena), 1);
        assert_eq!(arena.resident(), BLOCKS);
        blocks.push(arena.take().unwrap());
        assert_eq!(check(&arena), 1);
    }

    #[test]
    fn a_block_in_each_slab_holds_little_more() {
        let arena = Arc::new(Arena::default());
        let mut blocks: Vec<_> = (0..MANY * BLOCKS).map(|_| arena.take().unwrap()).collect();
        (0..).zip(&mut blocks).for_each(|(number, block)| mark(block, number));
        let kept: Vec<_> = (0..).zip(blocks).filter(|(number, _)| number % BLOCKS as u32 == 7).collect();
        assert_eq!(check(&arena), MANY);
        assert!(arena.resident() <= 2 * MANY + BLOCKS);
        #[cfg(all(target_os = "linux", not(miri)))]
        assert!(resident_bytes(&arena) <= (2 * MANY + BLOCKS) * BLOCK);
        assert!(kept.iter().all(|(number, block)| is_marked(block, *number)));
        // What is with the host is used before anything new is mapped, and is not what it was.
        let again: Vec<_> = (0..MANY * (BLOCKS - 1)).map(|_| arena.take().unwrap()).collect();
        assert_eq!(check(&arena), MANY);
        let zero = again.iter().filter(|block| is_marked(block, 0)).count();
        assert!(zero >= again.len() - MANY - BLOCKS);
        assert!(kept.iter().all(|(number, block)| is_marked(block, *number)));
        drop((kept, again));
        assert_eq!(check(&arena), 1);
    }

    /// Bytes of the arena's slabs that the kernel says are in memory.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn resident_bytes(arena: &Arena) -> usize {
        use rustix::fs::{Mode, OFlags};
        const PRESENT: u64 = 1 << 63;
        let size = rustix::param::page_size();
        let map = rustix::fs::open("/proc/self/pagemap", OFlags::RDONLY, Mode::empty()).unwrap();
        let mut pages = 0;
        for slab in arena.slabs.lock().slabs.iter().flatten() {
            let mut entries = vec![0; SLAB / size * 8];
            let at = (slab.mapping.start().addr() / size * 8) as u64;
            assert_eq!(rustix::io::pread(&map, &mut entries, at), Ok(entries.len()));
            let present = |entry: &&[u8]| u64::from_ne_bytes((*entry).try_into().unwrap()) & PRESENT != 0;
            pages += entries.chunks(8).filter(present).count();
        }
        pages * size
    }

    #[test]
    fn threads_give_each_other_blocks() {
        let arena = Arc::new(Arena::default());
        let (sender, receiver) = mpsc::sync_channel::<(u32, Block)>(8);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (arena, sender) = (&arena, sender.clone());
                scope.spawn(move || {
                    for round in 0..20 * MANY as u32 {
                        let number = thread << 24 | round;
                        let mut block = arena.take().unwrap();
                        mark(&mut block, number);
                        let mut own = block.another().unwrap();
                        mark(&mut own, !number);
                        sender.send((number, block)).unwrap();
                        assert!(is_marked(&own, !number));
                    }
                });
            }
            drop(sender);
            let mut kept = Vec::new();
            for (number, block) in receiver {
                assert!(is_marked(&block, number));
                kept.push((number, block));
                if kept.len() == 100 {
                    kept.retain(|(number, block)| is_marked(block, *number) && number % 3 == 0);
                    assert!(!kept.is_empty());
                    kept.truncate(50);
                }
            }
            assert!(kept.iter().all(|(number, block)| is_marked(block, *number)));
        });
        assert!(check(&arena) <= 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(MANY as u32) })]

        #[test]
        fn what_is_counted_is_what_is_there(steps in prop::collection::vec((0usize..4, 0usize..1000), 1..30)) {
            let arena = Arc::new(Arena::default());
            let mut blocks = Vec::new();
            let mut next = 0;
            for (what, number) in steps {
                if what < 2 {
                    for _ in 0..number % 90 {
                        let mut block = arena.take().unwrap();
                        block[..4].copy_from_slice(&u32::to_le_bytes(next));
                        block[BLOCK - 4..].copy_from_slice(&u32::to_le_bytes(next));
                        blocks.push((next, block));
                        next += 1;
                    }
                } else {
                    // Here and there, or all but a few in a row.
                    let (each, stay) = if what == 2 { (number % 7 + 2, 1) } else { (40, number % 40) };
                    let mut at = 0;
                    blocks.retain(|_| {
                        at += 1;
                        at % each < stay
                    });
                }
                check(&arena);
                for (number, block) in &blocks {
                    prop_assert_eq!(&block[..4], number.to_le_bytes());
                    prop_assert_eq!(&block[BLOCK - 4..], number.to_le_bytes());
                }
            }
            blocks.clear();
            prop_assert!(check(&arena) <= 1);
        }
    }
}
