//! The crate's locks, each with its place in the lock order; where debug assertions are on, the order is checked.
//!
//! A thread takes a lock only if it holds none of a later class, and, but for directories' entries, none of the same.
//! Which of two directories comes first isn't checked: that takes the tree.

use core::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Moves between directories.
pub(crate) const RENAME: usize = 0;
/// A directory's entries.
pub(crate) const ENTRIES: usize = 1;
/// A file's content.
pub(crate) const CONTENT: usize = 2;
/// An inode's attributes.
pub(crate) const META: usize = 3;
/// A directory's place.
pub(crate) const PLACE: usize = 4;

/// A lock of a class that the thread holds.
struct Held<const CLASS: usize>;

#[cfg(debug_assertions)]
mod checked {
    use super::{ENTRIES, Held, PLACE};
    use core::cell::Cell;

    thread_local! {
        /// How many locks of each class the thread holds.
        static HELD: [Cell<usize>; PLACE + 1] = const { [const { Cell::new(0) }; PLACE + 1] };
    }

    impl<const CLASS: usize> Held<CLASS> {
        pub(super) fn take() -> Self {
            HELD.with(|held| {
                let first = if CLASS == ENTRIES { CLASS + 1 } else { CLASS };
                let late = (first..=PLACE).find(|&class| held[class].get() > 0);
                debug_assert_eq!(late, None, "a lock of class {CLASS} is taken under one of a later class");
                held[CLASS].set(held[CLASS].get() + 1);
            });
            Held
        }
    }

    impl<const CLASS: usize> Drop for Held<CLASS> {
        fn drop(&mut self) {
            HELD.with(|held| held[CLASS].set(held[CLASS].get() - 1));
        }
    }
}

#[cfg(not(debug_assertions))]
impl<const CLASS: usize> Held<CLASS> {
    fn take() -> Self {
        Held
    }
}

/// A lock of a class. Taking it first asks whether its turn has come.
#[derive(Default)]
pub(crate) struct Ranked<L, const CLASS: usize>(L);

/// What a lock of a class protects, while it is held.
pub(crate) struct Guard<G, const CLASS: usize> {
    guard: G,
    _held: Held<CLASS>,
}

impl<G: Deref, const CLASS: usize> Deref for Guard<G, CLASS> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut, const CLASS: usize> DerefMut for Guard<G, CLASS> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

/// What may be read.
pub(crate) type ReadGuard<'a, T, const CLASS: usize> = Guard<RwLockReadGuard<'a, T>, CLASS>;
/// What may be changed.
pub(crate) type WriteGuard<'a, T, const CLASS: usize> = Guard<RwLockWriteGuard<'a, T>, CLASS>;
/// A lock for many readers or one writer.
pub(crate) type RankedRwLock<T, const CLASS: usize> = Ranked<RwLock<T>, CLASS>;
/// A lock for one.
pub(crate) type RankedMutex<T, const CLASS: usize> = Ranked<Mutex<T>, CLASS>;

impl<T, const CLASS: usize> RankedRwLock<T, CLASS> {
    pub(crate) const fn new(value: T) -> Self {
        Ranked(RwLock::new(value))
    }

    pub(crate) fn read(&self) -> ReadGuard<'_, T, CLASS> {
        let _held = Held::take();
        Guard { guard: self.0.read(), _held }
    }

    pub(crate) fn write(&self) -> WriteGuard<'_, T, CLASS> {
        let _held = Held::take();
        Guard { guard: self.0.write(), _held }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T, const CLASS: usize> RankedMutex<T, CLASS> {
    pub(crate) const fn new(value: T) -> Self {
        Ranked(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<MutexGuard<'_, T>, CLASS> {
        let _held = Held::take();
        Guard { guard: self.0.lock(), _held }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_order_and_given_back_in_any() {
        let rename = RankedMutex::<(), RENAME>::new(());
        let (one, two) = (RankedRwLock::<_, ENTRIES>::new(1), RankedRwLock::<_, ENTRIES>::new(2));
        let meta = RankedRwLock::<_, META>::new(3);
        for _ in 0..2 {
            let moving = rename.lock();
            let (first, second) = (one.write(), two.read());
            let attributes = meta.write();
            assert_eq!(*first + *second + *attributes, 6);
            drop(moving);
            drop(first);
            drop(attributes);
            drop(second);
        }
    }

    #[test]
    #[should_panic(expected = "a lock of class 1 is taken under one of a later class")]
    fn a_lock_out_of_order_is_told() {
        let (entries, meta) = (RankedRwLock::<_, ENTRIES>::new(1), RankedRwLock::<_, META>::new(2));
        let attributes = meta.read();
        let late = entries.read();
        drop((attributes, late));
    }

    #[test]
    #[should_panic(expected = "a lock of class 3 is taken under one of a later class")]
    fn the_attributes_of_one_inode_at_a_time() {
        let (one, two) = (RankedRwLock::<_, META>::new(1), RankedRwLock::<_, META>::new(2));
        let first = one.read();
        let second = two.read();
        drop((first, second));
    }
}
