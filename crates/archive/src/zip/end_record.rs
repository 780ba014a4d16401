//! The end of a zip archive, and what it says of the list of members (APPNOTE.TXT, 4.3.14 to 4.3.16).

use std::io::{self, Read as _};

use crate::store::{Store, range};

use super::little_endian;

/// Bytes of the record, without the comment behind it.
const RECORD: usize = 22;
/// The most bytes that a comment has.
const MAX_COMMENT: u64 = u16::MAX as u64;
/// Bytes of the record of larger archives, and of what tells where that is: both come before the other one.
const RECORD64: usize = 56;
const LOCATOR: usize = 20;

/// Bytes that the list of members takes, as the end tells; nothing if there is no end. Where it is found doesn't depend on
/// what stands before the archive, so that programs may.
///
/// # Errors
/// The store can't be read.
pub(super) fn list_len(store: &Store) -> io::Result<Option<u64>> {
    let len = store.len().min(MAX_COMMENT + (LOCATOR + RECORD64 + RECORD) as u64);
    let mut tail = Vec::new();
    range(store, store.len() - len, len)?.take(len).read_to_end(&mut tail)?;
    Ok(in_tail(&tail))
}

fn in_tail(tail: &[u8]) -> Option<u64> {
    // The last one counts, as for unzip and Python.
    let at = (0..tail.len()).rev().find(|&at| {
        let record = tail.get(at..).filter(|record| record.starts_with(b"PK\x05\x06"));
        let comment = record.and_then(|record| record.get(20..RECORD)).map(little_endian);
        comment.is_some_and(|comment| (at + RECORD) as u64 + comment <= tail.len() as u64)
    })?;
    let before = tail.get(..at)?;
    let large = before.len().checked_sub(LOCATOR).and_then(|at| {
        let (before, locator) = before.split_at_checked(at)?;
        let record = before.get(before.len().checked_sub(RECORD64)?..)?;
        (locator.starts_with(b"PK\x06\x07") && record.starts_with(b"PK\x06\x06")).then_some(record)
    });
    let len = match large {
        Some(record) => record.get(40..48),
        None => tail.get(at + 12..at + 16),
    };
    len.map(little_endian)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(list: u32, comment: u16) -> Vec<u8> {
        let mut record = b"PK\x05\x06".to_vec();
        record.resize(RECORD, 0);
        record[12..16].copy_from_slice(&list.to_le_bytes());
        record[20..].copy_from_slice(&comment.to_le_bytes());
        record
    }

    #[test]
    fn the_last_whole_record_counts() {
        assert_eq!(in_tail(&record(5, 0)), Some(5));
        assert_eq!(in_tail(&[&b"before"[..], &record(5, 2), b"xyz"].concat()), Some(5));
        assert_eq!(in_tail(&[record(5, 22), record(6, 0)].concat()), Some(6));
        // Its comment would end behind the file.
        assert_eq!(in_tail(&[record(5, 22), record(6, 1)].concat()), Some(5));
        assert_eq!(in_tail(&record(5, 1)), None);
        assert_eq!(in_tail(&record(5, 0)[..RECORD - 1]), None);
        assert_eq!(in_tail(b""), None);
    }

    #[test]
    fn larger_archives_have_another_one() {
        let mut large = b"PK\x06\x06".to_vec();
        large.resize(RECORD64, 0);
        large[40..48].copy_from_slice(&(1_u64 << 33).to_le_bytes());
        let mut locator = b"PK\x06\x07".to_vec();
        locator.resize(LOCATOR, 0);
        assert_eq!(in_tail(&[&large[..], &locator, &record(u32::MAX, 0)].concat()), Some(1 << 33));
        assert_eq!(in_tail(&[&locator[..], &record(7, 0)].concat()), Some(7));
    }
}
