//! Sets of numbers that come in long runs: the pages of a file that are stored, set aside, counted.

use core::ops::Range;
use std::collections::BTreeMap;

/// A set of numbers, of pages say, kept as ranges that neither overlap nor touch: start to end.
///
/// A range of any length costs the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges that have numbers of `range`, cut to it, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let Range { start, end } = range;
        let before = self.ranges.range(..start).next_back();
        let inside = self.ranges.range(start..end.max(start));
        before
            .into_iter()
            .chain(inside)
            .map(move |(&from, &to)| from.max(start)..to.min(end))
            .filter(|part| part.start < part.end)
    }

    /// How many numbers of `range` are in the set.
    pub fn count(&self, range: Range<u64>) -> u64 {
        self.within(range).map(|part| part.end - part.start).sum()
    }

    /// Adds all numbers of `range`.
    pub fn insert(&mut self, range: Range<u64>) {
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

    /// Removes all numbers of `range`; answers how many there were.
    pub fn remove(&mut self, range: Range<u64>) -> u64 {
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

    /// The first number from `from` on that is not in the set.
    pub fn first_outside(&self, from: u64) -> u64 {
        self.ranges.range(..=from).next_back().map_or(from, |(_, &to)| to.max(from))
    }

    fn first_meeting(&self, range: &Range<u64>) -> Option<(u64, u64)> {
        if range.start >= range.end {
            return None;
        }
        let before = self.ranges.range(..range.start).next_back().filter(|&(_, &to)| to > range.start);
        before.or_else(|| self.ranges.range(range.clone()).next()).map(|(&from, &to)| (from, to))
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
