//! Makes a failing sequence small: drops calls while it still fails.

/// The smallest part of `lines` found for which `fails` holds; it must hold for all of them.
pub fn shrink<T: Clone>(lines: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = lines.to_vec();
    let mut piece = kept.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        let mut dropped = false;
        while at < kept.len() {
            let end = (at + piece).min(kept.len());
            let without = [&kept[..at], &kept[end..]].concat();
            if fails(&without) {
                kept = without;
                dropped = true;
            } else {
                at = end;
            }
        }
        if piece > 1 {
            piece = piece.div_ceil(2).min(piece - 1);
        } else if !dropped {
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_kept() {
        let lines: Vec<u32> = (0..40).collect();
        let small = shrink(&lines, |part| [3, 17, 38].iter().all(|line| part.contains(line)));
        assert_eq!(small, [3, 17, 38]);
    }

    #[test]
    fn an_empty_sequence_that_fails_is_the_smallest() {
        assert!(shrink(&[1, 2, 3], |_| true).is_empty());
    }
}
