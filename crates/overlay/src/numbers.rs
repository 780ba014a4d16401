//! The inode numbers that an overlay shows: those of the layers, told apart by the top 8 bits.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::layers::LayerNumber;

/// Bits of a number that are the layer's own.
const OWN_BITS: u32 = 56;

/// What has numbers of its own: a layer, one of the devices that its tree spans (0 is the one of its root), and what the
/// number has in its top bits.
type Space = (LayerNumber, u64, u8);

/// How numbers are told apart that use the top bits themselves, as those of an overlay that is a lower do, or that are of
/// another device than the layer's root.
///
/// The numbers of a layer's own device with no top bits have the layer's number there. Every other space of numbers is
/// given one when it is first met, from 255 down. When there is none left they are folded, and may meet.
#[derive(Default)]
pub(crate) struct Numbers {
    given: Mutex<HashMap<Space, u8>>,
}

impl Numbers {
    /// The number that is shown for a layer's, of an overlay with so many lowers.
    pub(crate) fn shown(&self, layers: usize, layer: LayerNumber, dev: u64, ino: u64) -> u64 {
        let own = ino & ((1 << OWN_BITS) - 1);
        let top = (ino >> OWN_BITS) as u8;
        let (top, own) = match (dev, top) {
            (0, 0) => (layer, own),
            _ => match self.top(layers, (layer, dev, top)) {
                Some(top) => (top, own),
                None => (layer, own ^ folded(dev, top)),
            },
        };
        u64::from(top) << OWN_BITS | own
    }

    fn top(&self, layers: usize, space: Space) -> Option<u8> {
        let mut given = self.given.lock();
        if let Some(number) = given.get(&space) {
            return Some(*number);
        }
        let number = usize::from(u8::MAX).checked_sub(given.len()).filter(|number| *number > layers)?;
        let number = u8::try_from(number).ok()?;
        given.insert(space, number);
        Some(number)
    }
}

/// A space as bits to tell its numbers apart by: the device far from where small numbers differ.
fn folded(dev: u64, top: u8) -> u64 {
    u64::from(top) ^ (dev << (OWN_BITS / 2)) & ((1 << OWN_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_different_spaces_don_t_meet() {
        let numbers = Numbers::default();
        let all = [
            (0, 0, 2),
            (1, 0, 2),
            (1, 0, 1 << 56 | 2),
            (1, 0, 2 << 56 | 2),
            (2, 0, 1 << 56 | 2),
            (1, 0, 1 << 56 | 3),
            (1, 7, 2),
            (2, 7, 2),
            (1, 8, 2),
            (1, 7, 1 << 56 | 2),
        ];
        let shown: Vec<u64> = all.map(|(layer, dev, ino)| numbers.shown(2, layer, dev, ino)).into();
        assert_eq!(shown[..2], [2, 1 << 56 | 2]);
        for (at, number) in shown.iter().enumerate() {
            assert!(!shown[..at].contains(number), "{number:x}");
        }
        assert_eq!(numbers.shown(2, 1, 0, 2 << 56 | 2), shown[3]);
        assert_eq!(numbers.shown(2, 1, 7, 2), shown[6]);
    }

    #[test]
    fn numbers_are_folded_when_there_are_too_many_spaces() {
        let numbers = Numbers::default();
        assert_eq!(numbers.shown(255, 7, 0, 9 << 56 | 2), 7 << 56 | 11);
        let [one, other] = [1 << 63 | 5, 1 << 63 | 6].map(|dev| numbers.shown(255, 7, dev, 2));
        assert!(one != other && one != 7 << 56 | 2, "{one:x} {other:x}");
        assert_eq!((one >> 56, other >> 56), (7, 7));
    }
}
