//! Pax headers: records of a key and a value (POSIX, "pax Extended Header").

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::rc::Rc;

/// What stands before the name of an extended attribute.
pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";
/// Bytes of records for all members that are held in memory, and looked at for each of them.
const MAX_GLOBAL: usize = 64 << 10;

/// The records of one header, over those for all members.
#[derive(Debug, Default)]
pub(super) struct Records {
    global: Rc<Global>,
    bytes: Vec<u8>,
    /// Where each key and its value stand.
    records: Vec<(Range<usize>, Range<usize>)>,
}

impl Records {
    /// Takes a header apart: its length, a blank, the key, `=`, the value and a newline, again and again. A value may
    /// have any bytes.
    ///
    /// # Errors
    /// It is not so.
    pub(super) fn parse(bytes: Vec<u8>) -> io::Result<Records> {
        let wrong = || io::Error::other("its pax header can't be read");
        let mut records = Vec::new();
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            // Some programs fill the block.
            if rest.iter().all(|&byte| byte == 0) {
                break;
            }
            let digits = rest.iter().position(|&byte| byte == b' ').ok_or_else(wrong)?;
            let len = rest.get(..digits).and_then(number).and_then(|len| usize::try_from(len).ok());
            let record = len.and_then(|len| rest.get(digits + 1..len)).ok_or_else(wrong)?;
            let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(wrong)?;
            let start = at + digits + 1;
            records.push((start..start + equals, start + equals + 1..start + record.len()));
            at = start + record.len() + 1;
        }
        Ok(Records { global: Rc::default(), bytes, records })
    }

    /// Has those of `global` hold where these say nothing.
    pub(super) fn over(self, global: &Rc<Global>) -> Records {
        Records { global: Rc::clone(global), ..self }
    }

    /// Keys and values, in their order. Those for all members come first, to be replaced.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        let part = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        let own = self.records.iter().map(move |(key, value)| (part(key), part(value)));
        self.global.records.iter().map(|(key, value)| (&key[..], &value[..])).chain(own)
    }

    /// The value of a key, the last if there are several; an empty one is none.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let value = self.iter().rfind(|(there, _)| *there == key).map(|(_, value)| value);
        value.filter(|value| !value.is_empty())
    }
}

/// What global headers say of the members that follow.
#[derive(Clone, Debug, Default)]
pub(super) struct Global {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of keys and values.
    len: usize,
}

impl Global {
    /// Takes the records of one more header: each replaces that of the same key, and an empty value removes it (POSIX). Keys
    /// that say nothing of a member, as the comment of git, are passed over, and so are maps of holes, of which each file
    /// has its own.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn take(&mut self, header: &Records) -> io::Result<()> {
        for (key, value) in header.iter() {
            let is_known = matches!(key, b"path" | b"linkpath" | b"size" | b"mtime" | b"uid" | b"gid")
                || key.starts_with(XATTR);
            if !is_known {
                continue;
            }
            if let Some(before) = self.records.remove(key) {
                self.len -= key.len() + before.len();
            }
            if value.is_empty() {
                continue;
            }
            self.len += key.len() + value.len();
            if self.len > MAX_GLOBAL {
                let text = format!("the global headers take more than {} KiB", MAX_GLOBAL >> 10);
                return Err(io::Error::other(text));
            }
            self.records.insert(key.to_vec(), value.to_vec());
        }
        Ok(())
    }
}

/// The name of an attribute, in which a `=` would end the key (`xattr_decode_keyword` in GNU tar's `xheader.c`).
pub(super) fn decoded(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, behind)) = rest.split_first() {
        let (byte, behind) = match rest {
            [b'%', b'3', b'D', behind @ ..] => (b'=', behind),
            [b'%', b'2', b'5', behind @ ..] => (b'%', behind),
            _ => (first, behind),
        };
        decoded.push(byte);
        rest = behind;
    }
    decoded
}

/// A number in decimal digits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Option<Vec<(String, String)>> {
        let records = Records::parse(bytes.to_vec()).ok()?;
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        Some(records.iter().map(|(key, value)| (text(key), text(value))).collect())
    }

    #[test]
    fn values_have_any_bytes() {
        let pairs = |list: &[(&str, &str)]| {
            Some(list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(parse(b"10 a=b\nc=\n11 path=xy\n"), pairs(&[("a", "b\\nc="), ("path", "xy")]));
        assert_eq!(parse(b"5 a=\n"), pairs(&[("a", "")]));
        assert_eq!(parse(b"6 a==\n\0\0\0"), pairs(&[("a", "=")]));
        assert_eq!(parse(b""), pairs(&[]));
    }

    #[test]
    fn what_is_no_record_is_an_error() {
        for bad in [
            "x",
            "5 a=",
            "6 a=\n",
            "4 a=\n",
            "3 a\n",
            "5a=b\n",
            " a=b\n",
            "-5 a=b\n",
            "1 =\n",
            "0 \n",
            "99999999999999999999 a=b\n",
            "5 a=b",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn the_last_value_counts() {
        let records = Records::parse(b"6 a=1\n6 a=2\n5 b=\n".to_vec()).unwrap();
        assert_eq!((records.get(b"a"), records.get(b"b"), records.get(b"c")), (Some(&b"2"[..]), None, None));
    }
}
