//! The pages of a file that are set aside but not stored.

use core::ops::Range;

use vnode_core::ranges::Ranges;

/// The pages of a file that are set aside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reserved {
    pages: Ranges,
    /// Those that were set aside a second time. They are still not stored, but Linux's tmpfs clears a page then,
    /// and takes it for data from there on (`shmem_get_folio_gfp`).
    data: Ranges,
}

impl Reserved {
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// How many pages of `range` are set aside.
    pub(crate) fn count(&self, range: Range<u64>) -> u64 {
        self.pages.count(range)
    }

    /// The pages of `range` that are set aside.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        self.pages.within(range)
    }

    /// Sets aside the pages of `holes`, which lie in `range`; those of `range` that are set aside are data now.
    pub(crate) fn set_aside(&mut self, range: Range<u64>, holes: impl Iterator<Item = Range<u64>>) {
        let again: Vec<_> = self.pages.within(range).collect();
        again.into_iter().for_each(|part| self.data.insert(part));
        holes.for_each(|hole| self.pages.insert(hole));
    }

    /// Removes the pages of `range`; answers how many there were.
    pub(crate) fn remove(&mut self, range: Range<u64>) -> u64 {
        self.data.remove(range.clone());
        self.pages.remove(range)
    }

    /// The first page of `range` that is data.
    pub(crate) fn first_data(&self, range: Range<u64>) -> Option<u64> {
        self.data.within(range).next().map(|part| part.start)
    }

    /// The first page from `page` on that is not data.
    pub(crate) fn data_end(&self, page: u64) -> u64 {
        self.data.first_outside(page)
    }
}
