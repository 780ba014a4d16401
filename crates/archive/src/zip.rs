//! Zip archives as members.

mod end_record;

use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::sync::Arc;

use vnode_core::{FileType, Mode, PATH_MAX, Timespec};
use zip::{CompressionMethod, DateTime, System, ZipArchive};

use crate::content::Content;
use crate::error::ArchiveError;
use crate::index::Index;
use crate::member::{Kind, Member, id, symlink_target};
use crate::packed::{Packed, Room};
use crate::progress::Told;
use crate::store::{Reader, Store, range};

/// Bytes of the list of members, which is held in memory as a whole.
const MAX_DIRECTORY: u64 = 256 << 20;
/// Bytes of a member in that list, before its name.
const HEADER: usize = 46;
/// Bytes read at once: headers of members lie apart from one another.
const BUFFER: usize = 4096;

/// Whether a file is a zip archive: by its first bytes, a member or the end of an empty list of them, or by its end, for a
/// program may stand before it.
///
/// # Errors
/// It can't be read.
pub(crate) fn is_zip(start: &[u8], store: &Store) -> io::Result<bool> {
    let starts = start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06");
    Ok(starts || end_record::list_len(store)?.is_some())
}

/// Puts the members that `store` holds into an index, in the order of the archive's list of them.
///
/// # Errors
/// [`ArchiveError`].
pub(crate) fn read(
    store: &Arc<Store>,
    room: &Arc<Room>,
    max_inodes: u64,
    index: &mut Index,
    told: &mut Told<'_>,
) -> Result<(), ArchiveError> {
    let left = Rc::new(Cell::new(MAX_DIRECTORY));
    let limited = Limited { reader: Reader::new(store, 0), left: Rc::clone(&left) };
    let mut archive = ZipArchive::new(BufReader::with_capacity(BUFFER, limited)).map_err(damaged)?;
    if archive.len() as u64 > max_inodes {
        return Err(ArchiveError::TooMany { max_inodes });
    }
    // Some programs write no more than the lower 16 bits of how many there are.
    if archive.is_empty() && end_record::list_len(store)?.is_some_and(|len| len > 0) {
        let text = "its end tells of no members, and there is a list of them";
        return Err(ArchiveError::Read(io::Error::other(text)));
    }
    // What is read from now on is the headers of members, one at a time.
    left.set(u64::MAX);
    for number in 0..archive.len() {
        let found = found(&mut archive, number).map_err(damaged)?;
        told.member(found.at)?;
        let path = found.path.clone();
        let member = member(found, store, room);
        index.add(member.map_err(|what| ArchiveError::Member { path, what: what.to_string() })?)?;
    }
    Ok(())
}

fn damaged(error: zip::result::ZipError) -> ArchiveError {
    ArchiveError::Read(io::Error::other(format!("it can't be read as a zip archive: {error}")))
}

/// A member as the list has it.
struct Found {
    path: Vec<u8>,
    is_unix: bool,
    /// What the system that made it says of its type and mode.
    attributes: u32,
    is_encrypted: bool,
    method: CompressionMethod,
    modified: Option<DateTime>,
    /// Where its entry in the list is.
    entry: u64,
    /// Where its content is.
    at: u64,
    packed: u64,
    size: u64,
    crc: u32,
}

fn found<R: Read + Seek>(archive: &mut ZipArchive<R>, number: usize) -> zip::result::ZipResult<Found> {
    let member = archive.by_index_raw(number)?;
    let is_unix = matches!(member.system(), System::Unix | System::OsDarwin);
    // On Unix, names are bytes; elsewhere the characters of the first PC, unless they say otherwise.
    let path = if is_unix { member.name_raw().to_vec() } else { member.name()?.as_bytes().to_vec() };
    let missing = || zip::result::ZipError::InvalidArchive("a member's content is nowhere".into());
    Ok(Found {
        path,
        is_unix,
        attributes: member.external_attributes(),
        is_encrypted: member.encrypted(),
        method: member.compression(),
        modified: member.last_modified(),
        entry: member.central_header_start(),
        at: member.data_start().ok_or_else(missing)?,
        packed: member.compressed_size(),
        size: member.size(),
        crc: member.crc32(),
    })
}

fn member(found: Found, store: &Arc<Store>, room: &Arc<Room>) -> io::Result<Member> {
    let extra = Extra::read(store, found.entry)?;
    let (kind, mode) = found.type_and_mode()?;
    let mtime = match extra.mtime {
        Some(sec) => Timespec { sec: sec.into(), nsec: 0 },
        None => found.modified.map_or(Timespec::EPOCH, |time| Timespec { sec: seconds(time), nsec: 0 }),
    };
    let kind = match kind {
        FileType::Directory => Kind::Directory,
        FileType::Fifo => Kind::Fifo,
        FileType::Symlink => Kind::Symlink(found.target(store, room)?),
        FileType::Regular => found.content(store, room)?,
        _ => return Err(io::Error::other("it is a device or a socket, and zip archives don't tell which")),
    };
    let (uid, gid) = (id("uid", extra.uid)?, id("gid", extra.gid)?);
    Ok(Member { path: found.path, kind, mode, uid, gid, mtime, xattrs: Vec::new() })
}

impl Found {
    fn type_and_mode(&self) -> io::Result<(FileType, Mode)> {
        const DOS_READ_ONLY: u32 = 1;
        const DOS_DIRECTORY: u32 = 0x10;
        let is_dir = self.path.ends_with(b"/");
        let mode = self.attributes >> 16;
        if self.is_unix && mode != 0 {
            let kind = match FileType::from_mode(mode) {
                _ if is_dir => FileType::Directory,
                Some(kind) => kind,
                None if mode & 0o170000 == 0 => FileType::Regular,
                None => {
                    return Err(io::Error::other(format!("there is no type of file for the mode {mode:o}")));
                }
            };
            return Ok((kind, Mode::from_raw(mode)));
        }
        Ok(if is_dir || self.attributes & DOS_DIRECTORY != 0 {
            (FileType::Directory, Mode::from_raw(0o755))
        } else if self.attributes & DOS_READ_ONLY != 0 {
            (FileType::Regular, Mode::from_raw(0o444))
        } else {
            (FileType::Regular, Mode::from_raw(0o644))
        })
    }

    fn content(&self, store: &Arc<Store>, room: &Arc<Room>) -> io::Result<Kind> {
        if self.is_encrypted {
            return Err(io::Error::other("it is encrypted"));
        }
        range(store, self.at, self.packed)?;
        match self.method {
            CompressionMethod::Stored if self.packed == self.size => {
                Ok(Kind::File(Content::plain(Arc::clone(store), self.size, self.at)))
            }
            CompressionMethod::Stored => {
                Err(io::Error::other(format!("it has {} bytes, and {} are there", self.size, self.packed)))
            }
            CompressionMethod::DEFLATE => {
                let (store, room) = (Arc::clone(store), Arc::clone(room));
                Ok(Kind::Packed(Packed::new(store, room, self.at, self.packed, self.size, self.crc)))
            }
            method => {
                let text = format!("it is compressed with {method}; vnode only knows deflate");
                Err(io::Error::other(text))
            }
        }
    }

    /// A link's target, which is its content.
    fn target(&self, store: &Arc<Store>, room: &Arc<Room>) -> io::Result<Vec<u8>> {
        if self.size > PATH_MAX as u64 {
            return symlink_target(vec![0; PATH_MAX + 1]);
        }
        match self.content(store, room)? {
            Kind::Packed(packed) => {
                packed.bytes().ok_or_else(|| io::Error::other("the target of the link is damaged"))
            }
            _ => {
                let mut target = Vec::new();
                range(store, self.at, self.size)?.take(self.size).read_to_end(&mut target)?;
                Ok(target)
            }
        }
    }
}

/// What extra fields say of a member: those of Info-ZIP, "UT" and "ux" (its `proginfo/extrafld.txt`).
#[derive(Default)]
struct Extra {
    mtime: Option<i32>,
    uid: u64,
    gid: u64,
}

impl Extra {
    /// Reads those of the entry at `at` in the list of members.
    fn read(store: &Store, at: u64) -> io::Result<Extra> {
        let mut header = [0; HEADER];
        range(store, at, HEADER as u64)?.read_exact(&mut header)?;
        let number = |at: usize| header.get(at..at + 2).map_or(0, little_endian);
        let (name, len) = (number(28), number(30));
        let mut fields = Vec::new();
        range(store, at.saturating_add(HEADER as u64).saturating_add(name), len)?
            .take(len)
            .read_to_end(&mut fields)?;
        Ok(Extra::parse(&fields))
    }

    /// What is cut or unknown is passed over.
    fn parse(fields: &[u8]) -> Extra {
        let mut extra = Extra::default();
        let mut rest = fields;
        while let Some((head, behind)) = rest.split_at_checked(4) {
            let (kind, len) = head.split_at(2);
            let Some((field, behind)) = behind.split_at_checked(little_endian(len) as usize) else { break };
            match (kind, field) {
                // Flags, and the time of the last change if the lowest is set.
                (b"UT", [flags, a, b, c, d, ..]) if flags & 1 != 0 => {
                    extra.mtime = Some(i32::from_le_bytes([*a, *b, *c, *d]));
                }
                // Version 1, then owner and group, each with its length before it.
                (b"ux", [1, owners @ ..]) => {
                    if let Some((uid, rest)) = number_with_length(owners)
                        && let Some((gid, _)) = number_with_length(rest)
                    {
                        (extra.uid, extra.gid) = (uid, gid);
                    }
                }
                _ => {}
            }
            rest = behind;
        }
        extra
    }
}

fn number_with_length(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (len, rest) = bytes.split_first()?;
    let (number, rest) = rest.split_at_checked((*len).into())?;
    (number.len() <= 8).then(|| (little_endian(number), rest))
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Seconds since 1970 of a time of the list, which tells no time zone: that of Greenwich is as good as any.
fn seconds(time: DateTime) -> i64 {
    // Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let (year, month, day) = (i64::from(time.year()), i64::from(time.month()), i64::from(time.day()));
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    days * 86_400 + i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second())
}

/// A reader of which no more than a bound is read before the first member.
struct Limited<'a> {
    reader: Reader<'a>,
    left: Rc<Cell<u64>>,
}

impl Read for Limited<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !into.is_empty() {
            let text = format!("the list of its members takes more than {} MiB", MAX_DIRECTORY >> 20);
            return Err(io::Error::other(text));
        }
        let len = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        let count = self.reader.read(into.get_mut(..len).unwrap_or_default())?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}

impl Seek for Limited<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted() {
        let at = |year, month, day| seconds(DateTime::from_date_and_time(year, month, day, 1, 2, 4).unwrap());
        let time = 3600 + 2 * 60 + 4;
        assert_eq!(at(1980, 1, 1), 315_532_800 + time);
        assert_eq!(at(2000, 2, 29), 951_782_400 + time);
        assert_eq!(at(2000, 3, 1), 951_868_800 + time);
        assert_eq!(at(2100, 12, 31), 4_133_894_400 + time);
    }

    #[test]
    fn extra_fields_are_read_as_far_as_they_go() {
        let field = |kind: &[u8], data: &[u8]| {
            [kind, &u16::try_from(data.len()).unwrap().to_le_bytes(), data].concat()
        };
        let owners = [1, 2, 0x34, 0x12, 4, 1, 0, 1, 0];
        let fields =
            [field(b"xx", b"?"), field(b"UT", &[3, 0xff, 0xff, 0xff, 0xff]), field(b"ux", &owners)].concat();
        let extra = Extra::parse(&fields);
        assert_eq!((extra.mtime, extra.uid, extra.gid), (Some(-1), 0x1234, 0x1_0001));
        for len in 0..fields.len() {
            let extra = Extra::parse(&fields[..len]);
            assert_eq!((extra.uid, extra.gid), (0, 0), "{len}");
        }
        assert_eq!(Extra::parse(&field(b"UT", &[2, 1, 1, 1, 1])).mtime, None);
        assert_eq!(Extra::parse(&field(b"ux", &[1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1])).uid, 0);
    }
}
