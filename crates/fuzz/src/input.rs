//! Bytes as choices. At the end of the input every choice is the first one.

/// What is left of the input.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(&'a [u8]);

/// Tokens of the longest path text that is made.
const MAX_TOKENS: usize = 400;

impl<'a> Input<'a> {
    /// The whole input.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Input(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    /// A flag.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of `all`.
    pub fn of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        const { assert!(N > 0) };
        all[usize::from(self.byte()) % N]
    }

    /// Up to `count` bytes as they are.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number of `N` bytes.
    pub fn number<const N: usize>(&mut self) -> u64 {
        self.bytes(N).iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// Path text up to the end of the line. Letters, dots and slashes stand for themselves; the other bytes below
    /// a blank make what would take many: long names, NUL.
    pub fn text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..MAX_TOKENS {
            if self.is_empty() {
                break;
            }
            match self.byte() {
                b'\n' => break,
                0 => text.push(0),
                1 => text.extend_from_slice(b"../"),
                2 => text.extend_from_slice(b"./"),
                3 => text.extend_from_slice(&[b'n'; 255]),
                4 => text.extend_from_slice(&[b'n'; 256]),
                5 => text.extend_from_slice(&b"/".repeat(4000)),
                6 => text.extend_from_slice(&b"a/".repeat(20)),
                byte => text.push(byte),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_never_run_out() {
        let mut input = Input::new(b"a\x01b\n\x05\x01");
        assert_eq!(input.text(), b"a../b");
        assert_eq!(input.number::<4>(), 0x0105);
        assert_eq!((input.byte(), input.number::<8>(), input.text()), (0, 0, Vec::new()));
        assert!(input.is_empty());
    }
}
