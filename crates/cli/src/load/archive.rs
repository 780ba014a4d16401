//! A tar archive as entries to load: the formats ustar, GNU and pax.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use tar::{Archive, EntryType, Header};
use vnode_core::{Errno, Mode, PATH_MAX, Timespec};
use vnode_memory::{Data, Entry, EntryKind};

use super::progress::Progress;
use super::{MORE_ROOM, decimal_time, sparse};

/// Bytes of a block.
const BLOCK: usize = 512;
/// Bytes of what may stand before a member and is held in memory: its long names, attributes and map of holes.
const MAX_HEADERS: u64 = 4 << 20;
/// Bytes of all holes together. They take no room but are read as zeros, and an archive of few bytes could have
/// vnode read them for years.
const MAX_HOLES: u64 = 64 << 30;
/// What may be holes even where there is little room.
const MIN_HOLES: u64 = 1 << 30;

/// An archive.
pub(crate) struct Members<R: Read> {
    archive: Archive<Metered<R>>,
    allowance: Rc<Cell<u64>>,
}

/// A file of which no more is read than is allowed at the time.
struct Metered<R> {
    file: BufReader<R>,
    position: u64,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowance.get();
        let len = usize::try_from(allowed).map_or(into.len(), |allowed| allowed.min(into.len()));
        if len == 0 && !into.is_empty() {
            let text = format!(
                "the headers of a member take more than {} MiB (at byte {})",
                MAX_HEADERS >> 20,
                self.position
            );
            return Err(io::Error::other(text));
        }
        let count = self.file.read(into.get_mut(..len).unwrap_or_default())?;
        self.position += count as u64;
        self.allowance.set(allowed.saturating_sub(count as u64));
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            // What is in the buffer is kept.
            SeekFrom::Current(by) => {
                self.file.seek_relative(by)?;
                self.position.saturating_add_signed(by)
            }
            to => self.file.seek(to)?,
        };
        Ok(self.position)
    }
}

/// Opens a file and makes sure that it is a tar archive.
///
/// # Errors
/// A sentence that says what else it is.
pub(crate) fn open(path: &Path) -> Result<Members<File>, String> {
    members(File::open(path).map_err(|error| error.to_string())?)
}

/// Makes sure that what a file holds is a tar archive.
///
/// # Errors
/// A sentence that says what else it is.
pub(crate) fn members<R: Read + Seek>(mut file: R) -> Result<Members<R>, String> {
    let mut start = Vec::new();
    file.by_ref().take(BLOCK as u64).read_to_end(&mut start).map_err(|error| error.to_string())?;
    recognize(&start)?;
    file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let allowance = Rc::new(Cell::new(MAX_HEADERS));
    let file = BufReader::with_capacity(64 << 10, file);
    let metered = Metered { file, position: 0, allowance: Rc::clone(&allowance) };
    Ok(Members { archive: Archive::new(metered), allowance })
}

fn recognize(start: &[u8]) -> Result<(), String> {
    let packed_by = match start {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [b'B', b'Z', b'h', ..] => Some("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Some("xz"),
        _ => None,
    };
    if let Some(program) = packed_by {
        return Err(format!("it is compressed with {program}; unpack it first ({program} -d)"));
    }
    if start.starts_with(b"PK\x03\x04") {
        return Err("it is a zip archive; only directories and tar archives are copied".to_owned());
    }
    let header: [u8; BLOCK] =
        start.try_into().map_err(|_| "it is neither a directory nor a tar archive".to_owned())?;
    let is_end = header == [0; BLOCK];
    if is_end || checksum_fits(&header) {
        Ok(())
    } else {
        Err("it is neither a directory nor a tar archive".to_owned())
    }
}

/// Whether a block holds the sum of its own bytes, the sum's place counting as blanks.
fn checksum_fits(block: &[u8; BLOCK]) -> bool {
    let (before, rest) = block.split_at(148);
    let (_, after) = rest.split_at(8);
    let sum: u32 = before.iter().chain(after).map(|&byte| u32::from(byte)).sum::<u32>() + 8 * u32::from(b' ');
    Header::from_byte_slice(block).cksum().is_ok_and(|told| told == sum)
}

/// The members, in their order, for a filesystem that has room for `room` bytes.
///
/// # Errors
/// The archive can't be read.
pub(crate) fn entries<'a, R: Read + Seek>(
    members: &'a mut Members<R>,
    room: u64,
    progress: &'a Progress,
) -> io::Result<impl Iterator<Item = io::Result<Entry<'a>>>> {
    let allowance = Rc::clone(&members.allowance);
    let mut members = members.archive.entries_with_seek()?;
    let mut allowed = Allowed { room, holes: holes_for(room) };
    Ok(std::iter::from_fn(move || {
        loop {
            progress.entry();
            // Until the content is read, all that is read is held in memory. Content left unread is not read.
            allowance.set(MAX_HEADERS);
            let entry = members.next()?.and_then(|member| entry(member, &mut allowed, progress)).transpose();
            allowance.set(u64::MAX);
            if entry.is_some() {
                return entry;
            }
        }
    }))
}

/// Bytes of holes that an archive may have for a filesystem of `room` bytes.
fn holes_for(room: u64) -> u64 {
    room.saturating_mul(1024).clamp(MIN_HOLES, MAX_HOLES)
}

/// What the members left may have.
struct Allowed {
    /// The most bytes of a file with no holes.
    room: u64,
    /// Bytes of holes.
    holes: u64,
}

impl Allowed {
    /// Lets a file of `size` bytes be read of which `stored` are in the archive.
    fn file(&mut self, size: u64, stored: u64) -> io::Result<()> {
        if stored > self.room {
            let text = format!("its {stored} bytes are more than the filesystem may hold; {MORE_ROOM}");
            return Err(io::Error::other(text));
        }
        let holes = self.holes.checked_sub(size.saturating_sub(stored));
        self.holes = holes.ok_or_else(|| {
            let most = holes_for(self.room) >> 30;
            io::Error::other(format!("with its holes, the archive's have more than {most} GiB"))
        })?;
        Ok(())
    }
}

/// A member as an entry; nothing for a header that stands for no file.
fn entry<'a, R: Read>(
    mut member: tar::Entry<'a, R>,
    allowed: &mut Allowed,
    progress: &'a Progress,
) -> io::Result<Option<Entry<'a>>> {
    let mut path = member.path_bytes().into_owned();
    if member.header().entry_type() == EntryType::XGlobalHeader {
        return Ok(None);
    }
    let named = |error| named(&path, &error);
    let mut extra = Extra::read(&mut member).map_err(named)?;
    let header = member.header();
    let mode = Mode::from_raw(header.mode().map_err(named)?);
    let uid = extra.uid.map_or_else(|| header.uid().and_then(|uid| id("uid", uid)), Ok).map_err(named)?;
    let gid = extra.gid.map_or_else(|| header.gid().and_then(|gid| id("gid", gid)), Ok).map_err(named)?;
    let mtime = match extra.mtime {
        Some(mtime) => mtime,
        None => Timespec { sec: header.mtime().map_err(named)?.cast_signed(), nsec: 0 },
    };
    if let Some(name) = extra.sparse.as_ref().and_then(sparse::Keys::name) {
        path = name.to_vec();
    }
    let named = |error| self::named(&path, &error);
    let Some(kind) = kind(member, extra.sparse.take(), allowed, progress).map_err(named)? else {
        return Ok(None);
    };
    let xattrs = extra.xattrs;
    Ok(Some(Entry { path: Cow::Owned(path), kind, mode, uid, gid, mtime, xattrs }))
}

fn named(path: &[u8], error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.escape_ascii()))
}

/// An owner: the highest number means none to every call that takes one.
fn id(what: &str, number: u64) -> io::Result<u32> {
    let id = u32::try_from(number).ok().filter(|&id| id != u32::MAX);
    id.ok_or_else(|| io::Error::other(format!("its {what} {number} is not from 0 to 4294967294")))
}

fn kind<'a, R: Read>(
    member: tar::Entry<'a, R>,
    sparse: Option<sparse::Keys>,
    allowed: &mut Allowed,
    progress: &'a Progress,
) -> io::Result<Option<EntryKind<'a>>> {
    let target = || {
        let name = member.link_name_bytes().map(Cow::into_owned);
        name.ok_or_else(|| io::Error::other("the link has no target"))
    };
    let device = || {
        let header = member.header();
        let major = header.device_major()?.unwrap_or_default();
        let minor = header.device_minor()?.unwrap_or_default();
        let number = u32::try_from(rustix::fs::makedev(major, minor));
        number.map_err(|_| io::Error::other(format!("there is no device {major}:{minor}")))
    };
    Ok(Some(match member.header().entry_type() {
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink(Cow::Owned(symlink_target(target()?)?)),
        EntryType::Link => EntryKind::HardLink(Cow::Owned(hard_link_target(target()?)?)),
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::Char => EntryKind::CharDevice(device()?),
        EntryType::Block => EntryKind::BlockDevice(device()?),
        // Before there was a type for them, directories were files with a slash behind their names.
        EntryType::Regular if member.path_bytes().ends_with(b"/") => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let size = member.size();
            // GNU's own sparse files come whole, those of pax as what is stored.
            let stored = match member.header().entry_type() {
                EntryType::GNUSparse => member.header().entry_size()?,
                _ => size,
            };
            allowed.file(sparse.as_ref().and_then(sparse::Keys::size).unwrap_or(size), stored)?;
            let whole = Whole { left: size, reader: member };
            EntryKind::File(Data::Reader(match sparse {
                Some(keys) => Box::new(progress.count(keys.open(whole, size)?)),
                None => Box::new(progress.count(whole)),
            }))
        }
        // The archive's label, as GNU tar writes it.
        other if other.as_byte() == b'V' => return Ok(None),
        other => {
            let text = format!(
                "vnode doesn't know members of type '{}'",
                char::from(other.as_byte()).escape_default()
            );
            return Err(io::Error::other(text));
        }
    }))
}

fn symlink_target(target: Vec<u8>) -> io::Result<Vec<u8>> {
    if target.len() <= PATH_MAX {
        return Ok(target);
    }
    let (len, why) = (target.len(), Errno::NAMETOOLONG.text());
    Err(io::Error::other(format!("the target of the link has {len} bytes: {why}")))
}

fn hard_link_target(target: Vec<u8>) -> io::Result<Vec<u8>> {
    let problem = if target.starts_with(b"/") {
        "is absolute"
    } else if target.split(|&byte| byte == b'/').any(|name| name == b"..") {
        "has a `..`"
    } else {
        return Ok(target);
    };
    Err(io::Error::other(format!("the target of the hard link, {}, {problem}", target.escape_ascii())))
}

/// A member's content: that the archive ends before it is an error.
struct Whole<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        if count == 0 && self.left > 0 && !into.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends in the middle of it"));
        }
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// What pax headers say better than the member's own.
#[derive(Default)]
struct Extra {
    mtime: Option<Timespec>,
    uid: Option<u32>,
    gid: Option<u32>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: Option<sparse::Keys>,
}

impl Extra {
    fn read<R: Read>(member: &mut tar::Entry<'_, R>) -> io::Result<Extra> {
        let mut extra = Extra::default();
        let Some(headers) = member.pax_extensions()? else { return Ok(extra) };
        for header in headers {
            let header = header?;
            let value = || header.value().map_err(io::Error::other);
            match header.key_bytes() {
                b"mtime" => {
                    let time = decimal_time::parse(value()?);
                    extra.mtime = Some(time.ok_or_else(|| io::Error::other("its mtime is no time"))?);
                }
                b"uid" => extra.uid = Some(decimal_id("uid", header.value_bytes())?),
                b"gid" => extra.gid = Some(decimal_id("gid", header.value_bytes())?),
                key => {
                    if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                        extra.sparse.get_or_insert_default().take(key, header.value_bytes())?;
                    }
                    if let Some(name) =
                        key.strip_prefix(b"SCHILY.xattr.").filter(|name| name.starts_with(b"user."))
                    {
                        extra.xattrs.push((name.to_vec(), header.value_bytes().to_vec()));
                    }
                }
            }
        }
        Ok(extra)
    }
}

fn decimal_id(what: &str, text: &[u8]) -> io::Result<u32> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let wrong = || io::Error::other(format!("its {what} is no number from 0: {}", text.escape_ascii()));
    id(what, number.ok_or_else(wrong)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_from_other_files() {
        let mut header = Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert_eq!(recognize(header.as_bytes()), Ok(()));
        assert_eq!(recognize(&[0; BLOCK]), Ok(()));
        let mut broken = *header.as_bytes();
        broken[0] = b'b';
        assert!(recognize(&broken).is_err());
        assert!(recognize(b"hello").is_err());
        assert!(recognize(&[b'x'; BLOCK]).is_err());
        assert!(recognize(&[0x1f, 0x8b, 8]).unwrap_err().contains("gzip -d"));
    }
}
