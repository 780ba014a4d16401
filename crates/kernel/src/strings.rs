//! Arguments and environment: lists of C strings.

use vnode_core::{Errno, Result};

/// A list of strings as a C program gets them: one after the other, each ended by a NUL byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Strings {
    /// The list of `strings`.
    ///
    /// # Errors
    /// `EINVAL`: one holds a NUL byte. `E2BIG`: more than 2^31 - 1 bytes.
    pub fn new<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut list = Strings::default();
        for string in strings {
            let string = string.as_ref();
            if string.contains(&0) {
                return Err(Errno::INVAL);
            }
            list.starts.push(u32::try_from(list.bytes.len()).map_err(|_| Errno::TOOBIG)?);
            list.bytes.extend_from_slice(string);
            list.bytes.push(0);
            if list.bytes.len() > i32::MAX as usize {
                return Err(Errno::TOOBIG);
            }
        }
        Ok(list)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// All of them, each ended by a NUL byte.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each starts in [`Strings::bytes`].
    pub fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// Each without its NUL byte.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split_inclusive(|&byte| byte == 0).map(|string| &string[..string.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_with_nul() {
        let strings = Strings::new(["a", "", "bc"]).unwrap();
        assert_eq!(strings.bytes(), b"a\0\0bc\0");
        assert_eq!(strings.starts(), [0, 2, 3]);
        assert_eq!(strings.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"bc"]);
        assert_eq!(Strings::new(["a\0b"]), Err(Errno::INVAL));
    }
}
