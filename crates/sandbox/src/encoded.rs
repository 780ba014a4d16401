//! Paths in JSON: what is no plain character of text is `%XX`, and so is `%`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

/// Bytes as text that says them all, also those that are none.
pub fn encode(bytes: &[u8]) -> String {
    use core::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char == '%' || char.is_control() {
                char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                    let _ = write!(text, "%{byte:02X}");
                });
            } else {
                text.push(char);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string can't fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// What [`encode`] was given; nothing if this is not what comes of it.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = core::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
            rest = after.get(2..)?;
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    Some(bytes)
}

/// For bytes: `#[serde(with = "encoded::bytes")]`.
pub(crate) mod bytes {
    use super::{Deserializer, Serializer, decode, encode};
    use serde::Deserialize as _;
    use serde::de::Error as _;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&encode(bytes))
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        decode(&text).ok_or_else(|| D::Error::custom("a path that is not encoded as paths are"))
    }
}

/// For a path: `#[serde(with = "encoded")]`.
pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&encode(path.as_os_str().as_bytes()))
}

/// See [`serialize`].
pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<PathBuf, D::Error> {
    let text = String::deserialize(from)?;
    let bytes = decode(&text).ok_or_else(|| D::Error::custom("a path that is not encoded as paths are"))?;
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_comes_back() {
        let every: Vec<u8> = (0..=255).collect();
        for bytes in [&b""[..], b"/a b", "/gr\u{fc}n".as_bytes(), b"100%\n\xff\xfe", &every] {
            let text = encode(bytes);
            assert!(!text.chars().any(char::is_control), "{text}");
            assert_eq!(decode(&text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(encode("/gr\u{fc}n%\n".as_bytes()), "/gr\u{fc}n%25%0A");
        for bad in ["%", "%4", "%zz", "%+1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
