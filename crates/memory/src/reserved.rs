//! The pages of a file that are set aside but not stored.

use core::ops::Range;
use std::collections::BTreeMap;

/// A set of page numbers, kept as ranges that neither overlap nor touch: start to end.
///
/// Setting aside a range of any length costs the same.
#[derive(Clone, Debug, Default)]
struct Ranges {
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges that have pages of `range`, cut to it.
    fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let Range { start, end } = range;
        let before = self.ranges.range(..start).next_back();
        let inside = self.ranges.range(start..end.max(start));
        before
            .into_iter()
            .chain(inside)
            .map(move |(&from, &to)| from.max(start)..to.min(end))
            .filter(|part| part.start < part.end)
    }

    /// How many pages of `range` are in the set.
    fn count(&self, range: Range<u64>) -> u64 {
        self.within(range).map(|part| part.end - part.start).sum()
    }

    /// Adds all pages of `range`.
    fn insert(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let Range { mut start, mut end } = range;
        if let Some((&from, &to)) = self.ranges.range(..=start).next_back()
            && to >= start
        {
            start = from;
            end = end.max(to);
        }
        while let Some((&from, &to)) = self.ranges.range(start..=end).next() {
            self.ranges.remove(&from);
            end = end.max(to);
        }
        self.ranges.insert(start, end);
    }

    /// Removes all pages of `range`; answers how many there were.
    fn remove(&mut self, range: Range<u64>) -> u64 {
        let mut removed = 0;
        while let Some((from, to)) = self.first_meeting(&range) {
            self.ranges.remove(&from);
            if from < range.start {
                self.ranges.insert(from, range.start);
            }
            if to > range.end {
                self.ranges.insert(range.end, to);
            }
            removed += to.min(range.end) - from.max(range.start);
        }
        removed
    }

    /// The end of the range that `page` is in; `page` if it is in none.
    fn end_of(&self, page: u64) -> u64 {
        self.ranges.range(..=page).next_back().map_or(page, |(_, &to)| to.max(page))
    }

    fn first_meeting(&self, range: &Range<u64>) -> Option<(u64, u64)> {
        if range.start >= range.end {
            return None;
        }
        let before = self.ranges.range(..range.start).next_back().filter(|&(_, &to)| to > range.start);
        before.or_else(|| self.ranges.range(range.clone()).next()).map(|(&from, &to)| (from, to))
    }
}

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
        self.data.end_of(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_a_set(steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 1..60)) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (add, start, len) in steps {
                let range = start..start + len;
                prop_assert_eq!(ranges.count(range.clone()) as usize, model.range(range.clone()).count());
                if add {
                    ranges.insert(range.clone());
                    model.extend(range);
                } else {
                    let before = model.len();
                    model.retain(|page| !range.contains(page));
                    prop_assert_eq!(ranges.remove(range) as usize, before - model.len());
                }
                let all: Vec<u64> = ranges.within(0..100).flatten().collect();
                prop_assert_eq!(all, model.iter().copied().collect::<Vec<_>>());
                let ends: Vec<_> = ranges.ranges.iter().collect();
                prop_assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0));
            }
        }
    }

    #[test]
    fn a_huge_range_costs_one_entry() {
        let mut ranges = Ranges::default();
        ranges.insert(0..1 << 51);
        assert_eq!(ranges.remove(5..6), 1);
        assert_eq!(ranges.count(0..u64::MAX), (1 << 51) - 1);
        assert_eq!(ranges.ranges.len(), 2);
    }
}
