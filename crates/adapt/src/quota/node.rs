//! The inode of a filesystem with a quota: the inode within, and what it takes.

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{Filesystem, Inode, InodeId};
use vnode_core::ranges::Ranges;
use vnode_core::{Cx, FileType, Result};

use super::Shared;
use super::counts::PAGE;
use super::survey::{self, Holding};

/// The pages that have bytes of `range`.
pub(super) fn touched(range: &Range<u64>) -> Range<u64> {
    range.start / PAGE..range.end.div_ceil(PAGE)
}

/// The pages that have no bytes outside `range`.
pub(super) fn covered(range: &Range<u64>) -> Range<u64> {
    let start = range.start.div_ceil(PAGE);
    start..(range.end / PAGE).max(start)
}

/// What an inode takes, once it was looked at.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The pages that count.
    pub(super) pages: Ranges,
    /// How many they are.
    pub(super) count: u64,
    /// Bytes of extended attributes.
    pub(super) xattrs: u64,
}

impl Ledger {
    fn of(holding: Holding) -> Self {
        let count = holding.pages.count(0..u64::MAX);
        Ledger { pages: holding.pages, count, xattrs: holding.xattrs }
    }

    /// How many pages of `range` don't count yet.
    pub(super) fn missing(&self, range: Range<u64>) -> u64 {
        (range.end - range.start) - self.pages.count(range)
    }

    /// The end of the longest part of `range`, from its start, in which no more than `granted` pages are missing.
    pub(super) fn reach(&self, range: Range<u64>, granted: u64) -> u64 {
        let (mut at, mut left) = (range.start, granted);
        for part in self.pages.within(range.clone()) {
            if part.start - at > left {
                return at + left;
            }
            left -= part.start - at;
            at = part.end;
        }
        at + left.min(range.end - at)
    }

    /// Has the pages of `range` count; answers how many didn't.
    pub(super) fn add(&mut self, range: Range<u64>) -> u64 {
        let more = self.missing(range.clone());
        self.pages.insert(range);
        self.count += more;
        more
    }

    /// Has the pages of `range` count no more; answers how many did.
    pub(super) fn remove(&mut self, range: Range<u64>) -> u64 {
        let gone = self.pages.remove(range);
        self.count -= gone;
        gone
    }
}

/// What is known of an inode.
pub(super) struct State<F: Filesystem> {
    /// Nothing until it matters.
    ledger: Option<Ledger>,
    /// Whether its last name is gone: what it takes is given back with its last holder.
    removed: bool,
    /// Whether the inode itself counts.
    counted: bool,
    /// The directory that a removed one was in last, which is held as long.
    above: Option<Arc<QuotaNode<F>>>,
}

/// An inode of a [`Quota`](super::Quota).
pub struct QuotaNode<F: Filesystem> {
    pub(super) inode: Arc<F::Inode>,
    pub(super) shared: Arc<Shared<F>>,
    pub(super) state: Mutex<State<F>>,
}

impl<F: Filesystem> fmt::Debug for QuotaNode<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaNode")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

impl<F: Filesystem> Inode for QuotaNode<F> {
    fn id(&self) -> InodeId {
        self.inode.id()
    }

    fn kind(&self) -> FileType {
        self.inode.kind()
    }

    fn pin(&self, held: bool) {
        self.inode.pin(held);
    }
}

impl<F: Filesystem> QuotaNode<F> {
    pub(super) fn new(inode: Arc<F::Inode>, shared: Arc<Shared<F>>) -> Self {
        let state = State { ledger: None, removed: false, counted: true, above: None };
        QuotaNode { inode, shared, state: Mutex::new(state) }
    }

    /// What it takes, looked at now if it wasn't before.
    ///
    /// # Errors
    /// `EIO`.
    pub(super) fn ledger<'s>(&self, cx: &Cx<'_>, state: &'s mut State<F>) -> Result<&'s mut Ledger> {
        if state.ledger.is_none() {
            let fs = &self.shared.fs;
            let attr = fs.getattr(cx, &self.inode)?;
            let holding = if attr.nlink > 0 {
                survey::holding(cx, fs, &self.inode, &attr)?
            } else {
                // All that it took was given back with its last holder. Somebody found it again, as the directory
                // above another removed one say: only what it takes from now on counts.
                (state.removed, state.counted) = (true, false);
                Holding::default()
            };
            state.ledger = Some(Ledger::of(holding));
        }
        Ok(state.ledger.get_or_insert_with(|| Ledger::of(Holding::default())))
    }

    /// Its content was changed: what is known of it is kept as long as it has a name, for a second look would see
    /// only what is stored, not what was set aside.
    pub(super) fn keep(self: &Arc<Self>, state: &State<F>) {
        if !state.removed {
            self.shared.table.keep(self);
        }
    }

    /// Its last name, in `above`, is gone.
    pub(super) fn removed_from(self: &Arc<Self>, above: &Arc<Self>) {
        let mut state = self.state.lock();
        state.removed = true;
        if self.kind().is_dir() {
            state.above = Some(above.clone());
        }
        drop(state);
        drop(self.shared.table.let_go(self));
    }
}

impl<F: Filesystem> Drop for QuotaNode<F> {
    /// Gives back what a removed inode took.
    fn drop(&mut self) {
        self.shared.table.forget(self.inode.id());
        let state = self.state.get_mut();
        if state.removed {
            let counts = &self.shared.counts;
            if let Some(ledger) = &state.ledger {
                counts.give_pages(ledger.count);
                counts.bytes.give(ledger.xattrs);
            }
            counts.inodes.give(u64::from(state.counted));
        }
        // A chain of removed directories is let go one by one, however long it is.
        let mut above = state.above.take();
        while let Some(node) = above {
            above = Arc::into_inner(node).and_then(|mut node| node.state.get_mut().above.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_range_is_reached() {
        let mut ledger = Ledger::of(Holding::default());
        assert_eq!(ledger.add(2..4), 2);
        assert_eq!(ledger.add(3..5), 1);
        assert_eq!((ledger.missing(0..7), ledger.count), (4, 3));
        let reached: Vec<_> = (0..6).map(|granted| ledger.reach(0..7, granted)).collect();
        assert_eq!(reached, [0, 1, 5, 6, 7, 7]);
        assert_eq!(ledger.reach(2..4, 0), 4);
        assert_eq!((ledger.remove(0..3), ledger.count), (1, 2));
    }
}
