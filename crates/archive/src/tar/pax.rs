//! Pax headers: records of a key and a value (POSIX, "pax Extended Header").

use std::io;
use std::ops::Range;

/// The records of one header.
#[derive(Debug, Default)]
pub(super) struct Records {
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
        Ok(Records { bytes, records })
    }

    /// Keys and values, in their order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        let part = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.records.iter().map(move |(key, value)| (part(key), part(value)))
    }

    /// The value of a key, the last if there are several; an empty one is none.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let value = self.iter().rfind(|(there, _)| *there == key).map(|(_, value)| value);
        value.filter(|value| !value.is_empty())
    }
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
