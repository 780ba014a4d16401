//! Which lines of two files differ.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp};

/// The most lines of a file that are compared.
const MOST_LINES: usize = 4 << 20;
/// Lines that are the same around those that differ.
const CONTEXT: usize = 3;
/// How long the lines of two files are compared with care: what is left then is told as replaced.
const CARE: Duration = Duration::from_secs(1);

/// How long files are compared with care, all together.
#[derive(Debug)]
pub(super) struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Patience(10 * CARE)
    }
}

/// The lines of a text, each with its newline if it has one.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n')
}

/// The lines of two texts, and what makes one of the other.
pub(super) struct Compared<'a> {
    pub(super) old: Vec<&'a [u8]>,
    pub(super) new: Vec<&'a [u8]>,
    operations: Vec<DiffOp>,
}

impl<'a> Compared<'a> {
    /// Compares two texts; nothing if there are too many lines.
    pub(super) fn of(old: &'a [u8], new: &'a [u8], patience: &mut Patience) -> Option<Self> {
        let few = |text| {
            let lines: Vec<&[u8]> = lines(text).take(MOST_LINES + 1).collect();
            Some(lines).filter(|lines| lines.len() <= MOST_LINES)
        };
        let (old, new) = (few(old)?, few(new)?);
        // Numbers are compared faster than lines, and there are as many as there are lines that differ.
        let mut numbers: HashMap<&[u8], u32> = HashMap::new();
        let mut number = |line: &&'a [u8]| {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *numbers.entry(*line).or_insert(next)
        };
        let old_numbers: Vec<u32> = old.iter().map(&mut number).collect();
        let new_numbers: Vec<u32> = new.iter().map(&mut number).collect();
        let start = Instant::now();
        let deadline = start.checked_add(CARE.min(patience.0));
        let operations =
            similar::capture_diff_slices_deadline(Algorithm::Myers, &old_numbers, &new_numbers, deadline);
        patience.0 = patience.0.saturating_sub(start.elapsed());
        Some(Compared { old, new, operations })
    }

    /// How many lines are new, and how many are gone.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.operations.iter().fold((0, 0), |(added, removed), operation| match operation {
            DiffOp::Equal { .. } => (added, removed),
            _ => (added + operation.new_range().len(), removed + operation.old_range().len()),
        })
    }

    /// What differs, with what is around it.
    pub(super) fn hunks(&self) -> Vec<Vec<DiffOp>> {
        similar::group_diff_ops(self.operations.clone(), CONTEXT)
    }
}
