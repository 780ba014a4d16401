//! The inode numbers that an overlay shows: those of the layers, told apart by the top 8 bits.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::layers::LayerNumber;

/// Bits of a number that are the layer's own.
const OWN_BITS: u32 = 56;

/// How numbers that use the top bits themselves are told apart, as those of an overlay that is a lower do.
///
/// A layer's numbers with no top bits have the layer's number there. Every other combination of layer and top bits is
/// given a number when it is first met, from 255 down. When there is none left they are folded, and may meet.
#[derive(Default)]
pub(crate) struct Numbers {
    given: Mutex<HashMap<(LayerNumber, u8), u8>>,
}

impl Numbers {
    /// The number that is shown for a layer's, of an overlay with so many lowers.
    pub(crate) fn shown(&self, layers: usize, layer: LayerNumber, ino: u64) -> u64 {
        let own = ino & ((1 << OWN_BITS) - 1);
        let top = (ino >> OWN_BITS) as u8;
        let (top, own) = match top {
            0 => (layer, own),
            top => match self.top(layers, layer, top) {
                Some(top) => (top, own),
                None => (layer, own ^ u64::from(top)),
            },
        };
        u64::from(top) << OWN_BITS | own
    }

    fn top(&self, layers: usize, layer: LayerNumber, top: u8) -> Option<u8> {
        let mut given = self.given.lock();
        if let Some(number) = given.get(&(layer, top)) {
            return Some(*number);
        }
        let number = usize::from(u8::MAX).checked_sub(given.len()).filter(|number| *number > layers)?;
        let number = u8::try_from(number).ok()?;
        given.insert((layer, top), number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_top_bits_don_t_meet_others() {
        let numbers = Numbers::default();
        let shown: Vec<u64> =
            [(0, 2), (1, 2), (1, 1 << 56 | 2), (1, 2 << 56 | 2), (2, 1 << 56 | 2), (1, 1 << 56 | 3)]
                .map(|(layer, ino)| numbers.shown(2, layer, ino))
                .into();
        assert_eq!(shown[..2], [2, 1 << 56 | 2]);
        for (at, number) in shown.iter().enumerate() {
            assert!(!shown[..at].contains(number), "{number:x}");
        }
        assert_eq!(numbers.shown(2, 1, 2 << 56 | 2), shown[3]);
        assert_eq!(numbers.shown(254, 7, 9 << 56 | 2), 7 << 56 | 11);
    }
}
