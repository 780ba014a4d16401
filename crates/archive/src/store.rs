//! Where bytes of content lie: in memory, or in a file, which is mapped where that can be.

use core::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use vnode_core::io::Sink;
use vnode_core::{Errno, Result};

use crate::mapping::Mapping;

/// Bytes read at once where a file is not mapped.
const PIECE: usize = 8 << 10;

/// Bytes that nobody changes through vnode.
pub(crate) enum Store {
    /// In memory.
    Heap(Arc<[u8]>),
    /// In a file.
    File(Filed),
}

/// A part of a file.
#[derive(Debug)]
pub(crate) struct Filed {
    file: Arc<File>,
    start: u64,
    len: u64,
    /// Nothing where there is no room for it.
    mapping: Option<Mapping>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Store::Heap(bytes) => f.debug_tuple("Heap").field(&bytes.len()).finish(),
            Store::File(filed) => filed.fmt(f),
        }
    }
}

/// What a store has in memory, whether or not it still is the file's.
impl AsRef<[u8]> for Store {
    fn as_ref(&self) -> &[u8] {
        match self {
            Store::Heap(bytes) => bytes,
            Store::File(Filed { mapping: Some(mapping), .. }) => mapping.bytes(),
            Store::File(Filed { mapping: None, .. }) => &[],
        }
    }
}

impl Store {
    /// A whole file as it is now.
    ///
    /// # Errors
    /// Its size can't be asked for.
    pub(crate) fn file(file: File) -> io::Result<Store> {
        let len = file.metadata()?.len();
        Ok(Store::part(Arc::new(file), 0, len))
    }

    /// A part of a file, from a multiple of [`page_size`](crate::mapping::page_size).
    pub(crate) fn part(file: Arc<File>, start: u64, len: u64) -> Store {
        let mapping = usize::try_from(len)
            .ok()
            .filter(|&len| len > 0)
            .map(|len| Mapping::new(Arc::clone(&file), start, len));
        Store::File(Filed { file, start, len, mapping: mapping.and_then(io::Result::ok) })
    }

    /// Bytes that there were when it was made.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Store::Heap(bytes) => bytes.len() as u64,
            Store::File(filed) => filed.len,
        }
    }

    /// What it has in memory of a range, if all of it is.
    pub(crate) fn in_memory(&self, start: u64, len: u64) -> Option<core::ops::Range<usize>> {
        let is_whole = match self {
            Store::Heap(_) => true,
            Store::File(filed) => filed.mapping.as_ref().is_some_and(Mapping::is_whole),
        };
        let range = usize::try_from(start).ok()?..usize::try_from(start.checked_add(len)?).ok()?;
        (is_whole && self.as_ref().get(range.clone()).is_some()).then_some(range)
    }

    /// Reads `len` bytes from `start` into a sink that has room for them.
    ///
    /// # Errors
    /// `EIO`: they are not all there any more, or can't be read. What of the sink was filled is unsaid.
    #[inline]
    pub(crate) fn read(&self, start: u64, len: usize, into: &mut Sink<'_>) -> Result<()> {
        if let Some(range) = self.in_memory(start, len as u64)
            && let Some(bytes) = self.as_ref().get(range)
        {
            into.first(len).put(bytes);
            if self.still_whole() {
                into.advance(len);
                return Ok(());
            }
        }
        self.read_file(start, len, into)
    }

    /// Whether what it has up to `end` is still there: of a file, whether it is as long now.
    pub(crate) fn has(&self, end: u64) -> bool {
        match self {
            Store::Heap(_) => true,
            Store::File(filed) => {
                let end = filed.start.saturating_add(end);
                filed.file.metadata().is_ok_and(|metadata| metadata.len() >= end)
            }
        }
    }

    fn still_whole(&self) -> bool {
        match self {
            Store::File(Filed { mapping: Some(mapping), .. }) => mapping.is_whole(),
            _ => true,
        }
    }

    #[cold]
    fn read_file(&self, start: u64, len: usize, into: &mut Sink<'_>) -> Result<()> {
        let mut piece = [0; PIECE];
        let (mut at, mut left) = (start, len);
        while left > 0 {
            let piece = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
            let count = self.read_at(at, piece).map_err(|_| Errno::IO)?;
            let Some(got) = piece.get(..count).filter(|got| !got.is_empty()) else { return Err(Errno::IO) };
            into.put(got);
            (at, left) = (at + count as u64, left - count);
        }
        Ok(())
    }

    /// Reads what there is now, with no use of a mapping; 0 bytes at the end.
    pub(crate) fn read_at(&self, start: u64, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len().saturating_sub(start)).unwrap_or(usize::MAX);
        let len = into.len().min(left);
        let into = into.get_mut(..len).unwrap_or_default();
        match self {
            Store::Heap(bytes) => {
                let from = usize::try_from(start).ok().and_then(|start| bytes.get(start..));
                let from = from.and_then(|from| from.get(..len)).unwrap_or_default();
                into.get_mut(..from.len()).unwrap_or_default().copy_from_slice(from);
                Ok(from.len())
            }
            Store::File(filed) => loop {
                match filed.file.read_at(into, filed.start.saturating_add(start)) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            },
        }
    }
}

/// What reads the content of a member, which has `len` bytes from `at`.
///
/// # Errors
/// The archive ends before they do.
pub(crate) fn range(store: &Store, at: u64, len: u64) -> io::Result<Reader<'_>> {
    match at.checked_add(len) {
        Some(end) if end <= store.len() => Ok(Reader::new(store, at)),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends in the middle of it")),
    }
}

/// Reads a store from some place on.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    store: &'a Store,
    at: u64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(store: &'a Store, at: u64) -> Self {
        Reader { store, at }
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.store.read_at(self.at, into)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.store.len().checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn read(store: &Store, start: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![1; len];
        store.read(start, len, &mut Sink::from_slice(&mut bytes)).map(|()| bytes)
    }

    /// As on a filesystem that maps nothing.
    #[test]
    fn a_file_that_is_not_mapped_is_read() {
        let bytes: Vec<u8> = (0..50_000_u32).map(|number| number as u8).collect();
        let whole = file(&bytes);
        let len = bytes.len() as u64;
        let store = Store::File(Filed { file: Arc::new(whole), start: 0, len, mapping: None });
        assert_eq!(read(&store, 0, bytes.len()), Ok(bytes.clone()));
        assert_eq!(read(&store, 20_000, 100), Ok(bytes[20_000..20_100].to_vec()));
        assert_eq!(read(&store, len - 1, 2), Err(Errno::IO));
        assert_eq!((store.in_memory(0, 1), store.as_ref().len()), (None, 0));
    }

    #[test]
    fn a_part_of_a_file_is_mapped() {
        let page = crate::mapping::page_size();
        let bytes: Vec<u8> = (0..page * 3).map(|number| (number / 7) as u8).collect();
        let part = Store::part(Arc::new(file(&bytes)), page, page + 5);
        assert_eq!(part.in_memory(1, page), Some(1..page as usize + 1));
        assert_eq!(read(&part, 3, 4000), Ok(bytes[page as usize + 3..page as usize + 4003].to_vec()));
        assert_eq!(part.in_memory(6, page), None);
        assert_eq!(read(&part, 6, page as usize), Err(Errno::IO));
        assert_eq!(part.in_memory(u64::MAX, 2), None);
        // Nothing is no mapping, and is read as nothing.
        assert_eq!(read(&Store::file(file(b"")).unwrap(), 0, 0), Ok(vec![]));
    }
}
