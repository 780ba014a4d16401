//! A tar archive as entries to load: the formats ustar, GNU and pax.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use tar::{Archive, EntryType, Header};
use vnode_core::{Mode, Timespec};
use vnode_memory::{Data, Entry, EntryKind};

use super::decimal_time;
use super::progress::Progress;

/// Bytes of a block.
const BLOCK: usize = 512;

/// Opens a file and makes sure that it is a tar archive.
///
/// # Errors
/// A sentence that says what else it is.
pub(crate) fn open(path: &Path) -> Result<Archive<BufReader<File>>, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let mut start = Vec::new();
    file.by_ref().take(BLOCK as u64).read_to_end(&mut start).map_err(|error| error.to_string())?;
    recognize(&start)?;
    file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    Ok(Archive::new(BufReader::with_capacity(64 << 10, file)))
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

/// The members, in their order.
///
/// # Errors
/// The archive can't be read.
pub(crate) fn entries<'a, R: Read>(
    archive: &'a mut Archive<R>,
    progress: &'a Progress,
) -> io::Result<impl Iterator<Item = io::Result<Entry<'a>>>> {
    Ok(archive.entries()?.filter_map(move |member| {
        progress.entry();
        member.and_then(|member| entry(member, progress)).transpose()
    }))
}

/// A member as an entry; nothing for a header that stands for no file.
fn entry<'a, R: Read>(
    mut member: tar::Entry<'a, R>,
    progress: &'a Progress,
) -> io::Result<Option<Entry<'a>>> {
    let path = member.path_bytes().into_owned();
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.escape_ascii()));
    let extra = Extra::read(&mut member).map_err(named)?;
    let header = member.header();
    let mode = Mode::from_raw(header.mode().map_err(named)?);
    let uid = extra.uid.map_or_else(|| header.uid().and_then(id), Ok).map_err(named)?;
    let gid = extra.gid.map_or_else(|| header.gid().and_then(id), Ok).map_err(named)?;
    let mtime = match extra.mtime {
        Some(mtime) => mtime,
        None => Timespec { sec: header.mtime().map_err(named)?.cast_signed(), nsec: 0 },
    };
    let Some(kind) = kind(member, progress).map_err(named)? else { return Ok(None) };
    let xattrs = extra.xattrs;
    Ok(Some(Entry { path: Cow::Owned(path), kind, mode, uid, gid, mtime, xattrs }))
}

fn id(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| io::Error::other(format!("the owner {number} is no user or group")))
}

fn kind<'a, R: Read>(member: tar::Entry<'a, R>, progress: &'a Progress) -> io::Result<Option<EntryKind<'a>>> {
    let target = || {
        let name = member.link_name_bytes().map(Cow::into_owned);
        name.ok_or_else(|| io::Error::other("the link has no target"))
    };
    let device = || {
        let header = member.header();
        let major = header.device_major()?.unwrap_or_default();
        Ok::<_, io::Error>(rustix::fs::makedev(major, header.device_minor()?.unwrap_or_default()))
    };
    Ok(Some(match member.header().entry_type() {
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink(Cow::Owned(target()?)),
        EntryType::Link => EntryKind::HardLink(Cow::Owned(target()?)),
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::Char => EntryKind::CharDevice(device()?),
        EntryType::Block => EntryKind::BlockDevice(device()?),
        // Before there was a type for them, directories were files with a slash behind their names.
        EntryType::Regular if member.path_bytes().ends_with(b"/") => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let whole = Whole { left: member.size(), reader: member };
            EntryKind::File(Data::Reader(Box::new(progress.count(whole))))
        }
        EntryType::XGlobalHeader => return Ok(None),
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
                b"uid" => extra.uid = Some(value()?.parse().map_err(io::Error::other)?),
                b"gid" => extra.gid = Some(value()?.parse().map_err(io::Error::other)?),
                key => {
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
