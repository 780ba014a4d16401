//! Files with holes in pax archives, in the three versions that GNU tar writes: 0.0, 0.1 and 1.0
//! (the GNU tar manual, "Storing Sparse Files").

use core::ops::Range;
use std::io::{self, Read};

use super::pax::number;

/// Most pieces of one file: what their list takes in memory is bounded.
const MAX_PIECES: u64 = 1 << 20;
/// Bytes of a block.
const BLOCK: usize = 512;

/// What the keys `GNU.sparse.*` of a member say.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    major: u64,
    minor: u64,
    name: Option<Vec<u8>>,
    size: Option<u64>,
    pieces: Option<u64>,
    /// Offset and length of each piece in turn.
    map: Vec<u64>,
}

impl Keys {
    /// Takes one more key, its `GNU.sparse.` taken off.
    ///
    /// # Errors
    /// The key is not known, or its value is wrong.
    pub(crate) fn take(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let wrong = || io::Error::other(format!("its GNU.sparse.{} is wrong", key.escape_ascii()));
        let as_number = || number(value).ok_or_else(wrong);
        match key {
            b"major" => self.major = as_number()?,
            b"minor" => self.minor = as_number()?,
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(as_number()?),
            b"numblocks" => self.pieces = Some(as_number()?),
            b"offset" if self.map.len().is_multiple_of(2) => self.map.push(as_number()?),
            b"numbytes" if !self.map.len().is_multiple_of(2) => self.map.push(as_number()?),
            b"map" => {
                let numbers = value.split(|&byte| byte == b',').map(number);
                self.map = numbers.collect::<Option<_>>().ok_or_else(wrong)?;
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// The file's name; the member's own is made up.
    pub(crate) fn name(&self) -> Option<&[u8]> {
        self.name.as_deref()
    }

    /// Where the file's pieces are, of a member whose content has `stored` bytes, which `reader` reads.
    ///
    /// # Errors
    /// The map doesn't fit the size or the content; the version is not known.
    pub(crate) fn map(self, reader: &mut dyn Read, stored: u64) -> io::Result<Map> {
        let size = self.size.ok_or_else(|| wrong("the size is missing"))?;
        let (map, before) = match (self.major, self.minor) {
            (0, _) => (self.map, 0),
            (1, 0) => read_map(reader)?,
            (major, minor) => {
                let text = format!(
                    "vnode doesn't know sparse files of version {major}.{minor}; use tar --format=gnu"
                );
                return Err(io::Error::other(text));
            }
        };
        let stored = stored.checked_sub(before).ok_or_else(|| wrong("the map of its pieces is cut"))?;
        if !map.len().is_multiple_of(2) || self.pieces.is_some_and(|pieces| pieces != map.len() as u64 / 2) {
            return Err(wrong("the map of its pieces is not whole"));
        }
        let pieces =
            pieces(map.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))), size)?;
        if pieces.iter().map(|piece| piece.end - piece.start).sum::<u64>() != stored {
            return Err(wrong("its pieces are not what is stored"));
        }
        Ok(Map { size, pieces, before })
    }
}

/// Where the pieces of a file are that has holes.
#[derive(Debug)]
pub(crate) struct Map {
    /// The file's size.
    pub(crate) size: u64,
    /// What is no hole, one behind the other.
    pub(crate) pieces: Vec<Range<u64>>,
    /// Bytes of the member's content that come before the first piece.
    pub(crate) before: u64,
}

/// Pieces that come one behind the other, within a file of `size` bytes, of their offsets and lengths.
///
/// # Errors
/// They don't.
pub(crate) fn pieces(offsets: impl Iterator<Item = (u64, u64)>, size: u64) -> io::Result<Vec<Range<u64>>> {
    let mut last = 0;
    let piece = |(start, len): (u64, u64)| {
        if start < last {
            return Err(wrong("its pieces overlap"));
        }
        let end = start.checked_add(len).filter(|&end| end <= size);
        last = end.ok_or_else(|| wrong("a piece lies behind its end"))?;
        Ok(start..last)
    };
    offsets.map(piece).collect()
}

/// The map at the front of a member's content, in decimal lines, and the bytes that it takes there.
fn read_map(reader: &mut dyn Read) -> io::Result<(Vec<u64>, u64)> {
    let bad = || wrong("the map of its pieces is wrong");
    let (mut numbers, mut wanted, mut len) = (Vec::new(), None, 0);
    let mut number: Option<u64> = None;
    let mut block = [0; BLOCK];
    while wanted.is_none_or(|wanted| (numbers.len() as u64) < wanted) {
        reader.read_exact(&mut block)?;
        len += BLOCK as u64;
        for &byte in &block {
            match (byte, number) {
                (b'0'..=b'9', _) => {
                    let more = number.unwrap_or(0).checked_mul(10);
                    number = Some(more.and_then(|n| n.checked_add(u64::from(byte - b'0'))).ok_or_else(bad)?);
                }
                (b'\n', Some(count)) if wanted.is_none() => {
                    if count > MAX_PIECES {
                        return Err(wrong("it has more than 1048576 pieces"));
                    }
                    (wanted, number) = (Some(2 * count), None);
                }
                (b'\n', Some(value)) => {
                    numbers.push(value);
                    number = None;
                }
                _ => return Err(bad()),
            }
            if wanted.is_some_and(|wanted| numbers.len() as u64 == wanted) {
                break;
            }
        }
    }
    Ok((numbers, len))
}

pub(super) fn wrong(how: &str) -> io::Error {
    io::Error::other(format!("the sparse file can't be read: {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file whole, its holes as zeros.
    fn read(keys: &[(&str, &str)], stored: &[u8]) -> Result<Vec<u8>, String> {
        let mut taken = Keys::default();
        let map = keys
            .iter()
            .try_for_each(|(key, value)| taken.take(key.as_bytes(), value.as_bytes()))
            .and_then(|()| taken.map(&mut &*stored, stored.len() as u64))
            .map_err(|error| error.to_string())?;
        let index = |at: u64| usize::try_from(at).unwrap();
        let mut whole = vec![0; index(map.size)];
        let mut rest = &stored[index(map.before)..];
        for piece in map.pieces {
            let (bytes, behind) = rest.split_at(index(piece.end - piece.start));
            whole[index(piece.start)..index(piece.end)].copy_from_slice(bytes);
            rest = behind;
        }
        assert!(rest.is_empty());
        Ok(whole)
    }

    #[test]
    fn maps_are_followed() {
        let map = |map| [("size", "8"), ("map", map)];
        assert_eq!(read(&map("1,2,4,1"), b"abc").unwrap(), b"\0ab\0c\0\0\0");
        assert_eq!(read(&map("0,8"), b"abcdefgh").unwrap(), b"abcdefgh");
        assert_eq!(read(&map("0,0,2,0,3,1,8,0"), b"x").unwrap(), b"\0\0\0x\0\0\0\0");
        assert_eq!(read(&[("size", "3")], b"").unwrap(), b"\0\0\0");
        assert_eq!(read(&[("size", "0")], b"").unwrap(), b"");
        let keys = [("numblocks", "1"), ("offset", "1"), ("numbytes", "1"), ("size", "3")];
        assert_eq!(read(&keys, b"x").unwrap(), b"\0x\0");
    }

    #[test]
    fn maps_at_the_front_of_the_content_are_followed() {
        let keys = [("major", "1"), ("minor", "0"), ("realsize", "5")];
        let content = |map: &str, data: &[u8]| {
            let mut content = map.as_bytes().to_vec();
            content.resize(BLOCK, 0);
            [content, data.to_vec()].concat()
        };
        assert_eq!(read(&keys, &content("2\n1\n2\n5\n0\n", b"ab")).unwrap(), b"\0ab\0\0");
        assert_eq!(read(&keys, &content("0\n", b"")).unwrap(), [0; 5]);
        for bad in ["", "x\n", "\n", "1\n1\n", "1\n1\n99999999999999999999\n", "1048577\n", "1\n-1\n1\n"] {
            assert!(read(&keys, &content(bad, b"")).is_err(), "{bad:?}");
        }
        assert!(read(&keys, b"2\n1\n").is_err());
    }

    #[test]
    fn maps_that_dont_fit_are_errors() {
        let fails = |keys: &[(&str, &str)], says: &str| {
            let text = read(keys, b"ab").unwrap_err();
            assert!(text.contains(says), "{text}");
        };
        fails(&[("map", "0,2")], "the size is missing");
        fails(&[("size", "5"), ("map", "3,1,2,1")], "overlap");
        fails(&[("size", "5"), ("map", "4,2")], "behind its end");
        fails(&[("size", "5"), ("map", "1,18446744073709551615")], "behind its end");
        fails(&[("size", "5"), ("map", "1,1")], "not what is stored");
        fails(&[("size", "5"), ("map", "1")], "not whole");
        fails(&[("size", "5"), ("map", "1,")], "GNU.sparse.map is wrong");
        fails(&[("size", "5"), ("numblocks", "2"), ("map", "1,2")], "not whole");
        fails(&[("size", "5"), ("numbytes", "2")], "GNU.sparse.numbytes is wrong");
        fails(&[("size", "5"), ("major", "2")], "version 2.0; use tar --format=gnu");
        fails(&[("what", "5")], "GNU.sparse.what is wrong");
    }
}
