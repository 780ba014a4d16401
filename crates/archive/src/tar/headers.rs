//! The headers of a tar archive, one member's after the other's, content passed over.
//!
//! The fields of a header are read by the crate `tar`. Its own walk over archives is not used: it ends a value of a pax
//! header at a newline, which names and attributes may have.

use std::io::{self, BufReader, Read};
use std::rc::Rc;

use tar::{EntryType, Header};

use crate::error::ArchiveError;
use crate::store::{Reader, Store};

use super::{BLOCK, checksum_fits, fields, pax};

/// Bytes of what may stand before a member and is held in memory: its long names and its attributes.
const MAX_HEADERS: u64 = 4 << 20;
/// Bytes read at once, of small members their content with them.
const BUFFER: usize = 64 << 10;

/// What an archive says of one member.
pub(super) struct Described {
    pub(super) header: Header,
    /// The name in a header of its own, as GNU tar has it.
    long_name: Option<Vec<u8>>,
    /// The same of a link's target.
    long_link: Option<Vec<u8>>,
    pub(super) pax: pax::Records,
    /// Where the blocks start, right behind the header, that go on with the map of a file's holes.
    pub(super) map: u64,
    /// Where the member's content starts, behind them.
    pub(super) at: u64,
    /// Bytes of it, blocks of a map before it not counted.
    pub(super) size: u64,
}

impl Described {
    /// The path.
    pub(super) fn path(&self) -> Vec<u8> {
        let told = self.pax.get(b"path").or_else(|| self.long_name.as_deref().map(without_nul));
        told.map_or_else(|| self.header.path_bytes().into_owned(), <[u8]>::to_vec)
    }

    /// A link's target.
    pub(super) fn target(&self) -> Option<Vec<u8>> {
        let told = self.pax.get(b"linkpath").or_else(|| self.long_link.as_deref().map(without_nul));
        told.map(<[u8]>::to_vec).or_else(|| self.header.link_name_bytes().map(|name| name.into_owned()))
    }
}

/// Names in headers of their own end with a NUL.
fn without_nul(name: &[u8]) -> &[u8] {
    name.strip_suffix(b"\0").unwrap_or(name)
}

/// Reads headers.
pub(super) struct Headers<'a> {
    reader: BufReader<Reader<'a>>,
    /// Where the reader is.
    position: u64,
    /// Where the next header is.
    next: u64,
    /// What holds for all members from here on.
    global: Rc<pax::Global>,
}

impl<'a> Headers<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        let reader = BufReader::with_capacity(BUFFER, Reader::new(store, 0));
        Headers { reader, position: 0, next: 0, global: Rc::default() }
    }

    /// Where the next header is.
    pub(super) fn next_header(&self) -> u64 {
        self.next
    }

    /// The next member; nothing at the end.
    ///
    /// # Errors
    /// The archive can't be read, or a header is none.
    pub(super) fn next(&mut self) -> Result<Option<Described>, ArchiveError> {
        let (mut long_name, mut long_link, mut records) = (None, None, None);
        let mut allowed = MAX_HEADERS;
        loop {
            let before = long_name.is_some() || long_link.is_some() || records.is_some();
            let Some(header) = self.header()? else {
                if before {
                    return Err(cut("it ends with headers for a member that is missing"));
                }
                return Ok(None);
            };
            let kind = header.entry_type();
            let is_told = header.as_gnu().is_some() || header.as_ustar().is_some();
            let slot = match kind {
                EntryType::GNULongName if is_told => &mut long_name,
                EntryType::GNULongLink if is_told => &mut long_link,
                EntryType::XHeader if is_told => &mut records,
                EntryType::XGlobalHeader => {
                    let records = self.content(entry_size(&header)?, &mut allowed)?;
                    let taken = pax::Records::parse(records)
                        .and_then(|records| Rc::make_mut(&mut self.global).take(&records));
                    taken.map_err(|error| member_error(&header, &error.to_string()))?;
                    continue;
                }
                _ => {
                    let records = pax::Records::parse(records.unwrap_or_default());
                    return self.described(header, long_name, long_link, records).map(Some);
                }
            };
            if slot.is_some() {
                let text = "two headers of one kind for the same member";
                return Err(member_error(&header, text));
            }
            *slot = Some(self.content(entry_size(&header)?, &mut allowed)?);
        }
    }

    fn described(
        &mut self,
        header: Header,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        pax: io::Result<pax::Records>,
    ) -> Result<Described, ArchiveError> {
        let pax = pax.map_err(|error| member_error(&header, &error.to_string()))?.over(&self.global);
        let size = match pax.get(b"size") {
            Some(size) => {
                let size = pax::number(size);
                size.ok_or_else(|| member_error(&header, "its size is no number from 0"))?
            }
            // Nothing stands behind a hard link or a directory, whatever its size is: that of a directory may be the most
            // that it is to hold (`ustar` in POSIX's `pax`).
            None if matches!(header.entry_type(), EntryType::Link | EntryType::Directory) => 0,
            None => entry_size(&header)?,
        };
        let mut described =
            Described { header, long_name, long_link, pax, map: self.next, at: self.next, size };
        if described.header.entry_type() == EntryType::GNUSparse {
            described.at = self.behind_map(&described)?;
        }
        self.next = described.at;
        self.pass_over(size)?;
        Ok(described)
    }

    /// Where the blocks end that go on with the map of a file's holes.
    fn behind_map(&mut self, described: &Described) -> Result<u64, ArchiveError> {
        let mut at = described.at;
        let mut goes_on = described.header.as_gnu().is_some_and(|header| header.is_extended());
        while goes_on {
            let mut block = tar::GnuExtSparseHeader::new();
            self.read_at(at, block.as_mut_bytes())?;
            at = at.saturating_add(BLOCK as u64);
            if at - described.at > MAX_HEADERS {
                return Err(too_much(described.at));
            }
            goes_on = block.is_extended();
        }
        Ok(at)
    }

    /// The next header; nothing where the archive ends.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        self.seek(self.next)?;
        let block = header.as_mut_bytes();
        let mut len = 0;
        while let Some(rest) = block.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest)? {
                0 if len == 0 => return Ok(None),
                0 => return Err(cut("it ends in the middle of a header")),
                count => len += count,
            }
        }
        self.position = self.next + BLOCK as u64;
        if *block == [0; BLOCK] {
            return Ok(None);
        }
        if !checksum_fits(block) {
            let text = format!("there is no header of a member at byte {}: its sum is wrong", self.next);
            return Err(ArchiveError::Read(io::Error::other(text)));
        }
        self.next = self.position;
        Ok(Some(header))
    }

    /// What stands behind a header, to be held in memory.
    fn content(&mut self, len: u64, allowed: &mut u64) -> Result<Vec<u8>, ArchiveError> {
        *allowed = allowed.checked_sub(len).ok_or_else(|| too_much(self.next))?;
        let mut content = Vec::new();
        self.seek(self.next)?;
        let count = self.reader.by_ref().take(len).read_to_end(&mut content)?;
        self.position += count as u64;
        if (count as u64) < len {
            return Err(cut("it ends in the middle of a header"));
        }
        self.pass_over(len)?;
        Ok(content)
    }

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<(), ArchiveError> {
        self.seek(at)?;
        self.reader.read_exact(into).map_err(|_| cut("it ends in the middle of a header"))?;
        self.position += into.len() as u64;
        Ok(())
    }

    /// Has the next header be behind `len` bytes of content.
    fn pass_over(&mut self, len: u64) -> Result<(), ArchiveError> {
        let end = len.checked_next_multiple_of(BLOCK as u64).and_then(|len| self.next.checked_add(len));
        // Files are shorter than that.
        let end = end.filter(|&end| i64::try_from(end).is_ok());
        self.next = end.ok_or_else(|| cut("it ends in the middle of a member of more than 8 EiB"))?;
        Ok(())
    }

    /// Goes on at `to`, keeping what was read of it.
    fn seek(&mut self, to: u64) -> io::Result<()> {
        let by = to.cast_signed().wrapping_sub(self.position.cast_signed());
        self.reader.seek_relative(by)?;
        self.position = to;
        Ok(())
    }
}

fn entry_size(header: &Header) -> Result<u64, ArchiveError> {
    fields::size(header).map_err(|error| member_error(header, &error.to_string()))
}

fn member_error(header: &Header, what: &str) -> ArchiveError {
    ArchiveError::Member { path: header.path_bytes().into_owned(), what: what.to_owned() }
}

fn too_much(at: u64) -> ArchiveError {
    let text = format!("the headers of a member take more than {} MiB (at byte {at})", MAX_HEADERS >> 20);
    ArchiveError::Read(io::Error::other(text))
}

fn cut(how: &str) -> ArchiveError {
    ArchiveError::Read(io::Error::new(io::ErrorKind::UnexpectedEof, how))
}
