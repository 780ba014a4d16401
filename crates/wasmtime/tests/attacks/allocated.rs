//! What the calling thread has allocated: the allocator of this test program counts it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// Bytes allocated by this thread, less those that it freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: all is left to the system's allocator; counting allocates nothing, for the cells are constants without
// destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of the host's heap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes {
    /// The most that there were at a time, over what there was before.
    pub(crate) peak: usize,
    /// What is still there.
    pub(crate) kept: isize,
}

/// Runs `work` and tells what it allocated on this thread.
pub(crate) fn measured<T>(work: impl FnOnce() -> T) -> (T, Bytes) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    let bytes = Bytes { peak: (PEAK.get() - before).max(0) as usize, kept: LIVE.get() - before };
    (result, bytes)
}

#[test]
fn what_is_allocated_is_counted() {
    let (kept, bytes) = measured(|| {
        drop(vec![1u8; 1 << 20]);
        vec![1u8; 1 << 16]
    });
    assert_eq!((bytes.peak, bytes.kept), (1 << 20, 1 << 16));
    drop(kept);
}
