//! The snapshots of a guest's stack that `stack_checkpoint` made, and which of them are kept.
//!
//! A guest tells the host of each that it makes, and of none that it needs no more. So the host drops:
//!
//! * those of frames that are gone: of a call of the guest that is over, or of a function that had its C stack lower
//!   than it is now;
//! * while they take more than they may: the oldest first, but before those the ones over which the guest has written
//!   another. It may have a copy of such a one.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::asyncify::Frames;
use crate::limits::Limiter;

/// Bytes that a guest's snapshots may take of the host.
const MOST: u64 = 16 << 20;

/// What each takes besides its frames.
const EACH: u64 = 256;

/// Bytes that the C stack of a function that returns a snapshot to its caller (`setjmp`) may take: the caller's, whose
/// snapshot it is, is so much higher.
const WRAPPER: u32 = 512;

/// A call of the host into the guest, on which a snapshot stands.
pub(crate) type Base = u64;

/// A snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) frames: Arc<Frames>,
    pub(crate) base: Base,
    /// Where the C stack was; 0 if that is not known.
    pub(crate) stack: u32,
    /// Where the guest has the snapshot's name.
    pub(crate) address: u32,
    /// Where the value goes that a jump brings.
    pub(crate) value: u32,
}

/// What the guest knows a snapshot by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) number: u64,
    /// Tells a name that was given from one that wasn't.
    pub(crate) mark: u64,
}

/// A guest's snapshots.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// In the order in which they were made.
    all: BTreeMap<u64, Snapshot>,
    by_stack: BTreeSet<(Base, u32, u64)>,
    /// The newest at each address.
    newest: HashMap<u32, u64>,
    /// Those that are not the newest at their address.
    written_over: BTreeSet<u64>,
    last: u64,
    bytes: u64,
    marks: RandomState,
}

impl Snapshot {
    fn bytes(&self) -> u64 {
        self.frames.bytes() + EACH
    }
}

impl Snapshots {
    /// Keeps a snapshot; nothing if it takes more than all may.
    pub(crate) fn keep(&mut self, snapshot: Snapshot, limiter: &mut Limiter) -> Option<Name> {
        let bytes = snapshot.bytes();
        if !limiter.host_memory(bytes, MOST) {
            return None;
        }
        self.drop_gone(snapshot.base, snapshot.stack);
        while !limiter.host_memory(self.bytes.saturating_add(bytes), MOST) {
            self.drop_one()?;
        }
        self.last += 1;
        let number = self.last;
        self.bytes += bytes;
        self.by_stack.insert((snapshot.base, snapshot.stack, number));
        if let Some(older) = self.newest.insert(snapshot.address, number) {
            self.written_over.insert(older);
        }
        self.all.insert(number, snapshot);
        Some(Name { number, mark: self.marks.hash_one(number) })
    }

    /// The snapshot of a name, if it is one that a function may still be jumped to in.
    pub(crate) fn find(&self, name: Name, stack: Option<u32>) -> Option<&Snapshot> {
        let snapshot = self.all.get(&name.number)?;
        let is_there = stack.is_none_or(|stack| !is_gone(snapshot.stack, stack));
        (is_there && name.mark == self.marks.hash_one(name.number)).then_some(snapshot)
    }

    /// Drops what stood on a call that is over.
    pub(crate) fn drop_base(&mut self, base: Base) {
        self.drop_range((base, 0, 0), (base + 1, 0, 0));
    }

    fn drop_gone(&mut self, base: Base, stack: u32) {
        self.drop_range((base, 0, 0), (base, stack.saturating_sub(WRAPPER), 0));
    }

    fn drop_range(&mut self, from: (Base, u32, u64), to: (Base, u32, u64)) {
        while let Some(&(_, _, number)) = self.by_stack.range(from..to).next() {
            self.forget(number);
        }
    }

    fn drop_one(&mut self) -> Option<()> {
        let number = self.written_over.first().copied();
        let number = number.or_else(|| self.all.keys().next().copied())?;
        self.forget(number);
        Some(())
    }

    fn forget(&mut self, number: u64) {
        self.written_over.remove(&number);
        let Some(snapshot) = self.all.remove(&number) else { return };
        self.by_stack.remove(&(snapshot.base, snapshot.stack, number));
        self.bytes -= snapshot.bytes();
        if self.newest.get(&snapshot.address) == Some(&number) {
            self.newest.remove(&snapshot.address);
        }
    }
}

/// Whether the function has returned that had its C stack at `then`.
fn is_gone(then: u32, now: u32) -> bool {
    then != 0 && now.saturating_sub(WRAPPER) > then
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn snapshot(base: Base, stack: u32, address: u32, bytes: usize) -> Snapshot {
        Snapshot { frames: Arc::new(Frames::of(bytes)), base, stack, address, value: 0 }
    }

    struct Kept {
        snapshots: Snapshots,
        limiter: Limiter,
    }

    impl Kept {
        fn within(memory: Option<u64>) -> Kept {
            let limits = Limits { memory, ..Limits::default() };
            Kept { snapshots: Snapshots::default(), limiter: Limiter::new(&limits) }
        }

        fn keep(&mut self, base: Base, stack: u32, address: u32, bytes: usize) -> Option<Name> {
            self.snapshots.keep(snapshot(base, stack, address, bytes), &mut self.limiter)
        }

        fn has(&self, name: Name) -> bool {
            self.snapshots.find(name, None).is_some()
        }
    }

    #[test]
    fn only_names_that_were_given_are_found() {
        let mut kept = Kept::within(None);
        let one = kept.keep(1, 5000, 100, 10).unwrap();
        let other = kept.keep(1, 5000, 200, 10).unwrap();
        assert!(one != other && kept.has(one) && kept.has(other));
        assert!(!kept.has(Name { number: one.number, mark: other.mark }));
        assert!(!kept.has(Name { number: 0, mark: 0 }));
        let elsewhere = Kept::within(None).keep(1, 5000, 100, 10).unwrap();
        assert!(elsewhere.number == one.number && !kept.has(elsewhere), "another guest's");
    }

    #[test]
    fn what_frames_are_gone_of_is_not_there() {
        let mut kept = Kept::within(None);
        let outer = kept.keep(1, 9000, 100, 10).unwrap();
        let inner = kept.keep(1, 5000, 200, 10).unwrap();
        assert!(kept.snapshots.find(inner, Some(5000 + WRAPPER)).is_some(), "its caller's frame");
        assert!(kept.snapshots.find(inner, Some(5001 + WRAPPER)).is_none());
        assert!(kept.snapshots.find(outer, Some(5000)).is_some());
        let third = kept.keep(1, 8000, 300, 10).unwrap();
        assert!(!kept.has(inner) && kept.has(outer) && kept.has(third), "dropped at the next");
        let on_a_handler = kept.keep(2, 7000, 400, 10).unwrap();
        kept.snapshots.drop_base(2);
        assert!(!kept.has(on_a_handler) && kept.has(outer));
        let unknown = kept.keep(3, 0, 400, 10).unwrap();
        assert!(kept.snapshots.find(unknown, Some(u32::MAX)).is_some());
    }

    #[test]
    fn they_take_no_more_than_they_may() {
        let each = 1000 + EACH;
        let mut kept = Kept::within(Some(10 * each));
        let names: Vec<Name> = (0..10).map(|at| kept.keep(1, 5000, at % 9, 1000).unwrap()).collect();
        assert!(names.iter().all(|name| kept.has(*name)));
        kept.keep(1, 5000, 100, 1000).unwrap();
        assert!(!kept.has(names[0]), "that was written over by the tenth");
        kept.keep(1, 5000, 101, 1000).unwrap();
        assert!(!kept.has(names[1]) && kept.has(names[2]), "the oldest");
        assert!(kept.keep(1, 5000, 102, 100_000).is_none(), "more than all may");
        assert_eq!((kept.snapshots.all.len() as u64, kept.snapshots.bytes), (10, 10 * each), "as before");
        kept.snapshots.drop_base(1);
        assert_eq!((kept.snapshots.all.len(), kept.snapshots.bytes), (0, 0));
        assert!(kept.snapshots.newest.is_empty() && kept.snapshots.by_stack.is_empty());
        let mut free = Kept::within(None);
        for number in 0..100_000 {
            free.keep(1, 5000, number, 1000).unwrap();
        }
        assert_eq!(free.snapshots.all.len() as u64, MOST / each);
        assert_eq!(free.snapshots.newest.len() as u64, MOST / each);
    }
}
