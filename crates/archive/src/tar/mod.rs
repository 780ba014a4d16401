//! Tar archives as members: the formats ustar, GNU and pax.

mod decimal_time;
mod fields;
mod headers;
mod pax;
mod sparse;

use std::io::{self, Read};
use std::sync::Arc;

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};
use vnode_core::{Mode, Timespec};

use crate::content::Content;
use crate::error::ArchiveError;
use crate::index::Index;
use crate::member::{Kind, Member, id, symlink_target};
use crate::progress::Told;
use crate::store::{Store, range};
use headers::{Described, Headers};

/// Bytes of a block.
const BLOCK: usize = 512;
/// The type of the archive's own label, as GNU tar writes it (`tar -V`).
const LABEL: u8 = b'V';

/// Whether a file is a tar archive, by its first bytes.
pub(crate) fn is_tar(start: &[u8]) -> bool {
    let Some(header) = start.first_chunk::<BLOCK>() else { return false };
    *header == [0; BLOCK] || checksum_fits(header)
}

/// Whether a block holds the sum of its own bytes, the sum's place counting as blanks. Some programs took bytes as
/// numbers with a sign, and every tar reads both.
fn checksum_fits(block: &[u8; BLOCK]) -> bool {
    let (before, rest) = block.split_at(148);
    let (_, after) = rest.split_at(8);
    let summed = || before.iter().chain(after);
    let blanks = 8 * i64::from(b' ');
    let unsigned = blanks + summed().map(|&byte| i64::from(byte)).sum::<i64>();
    let signed = blanks + summed().map(|&byte| i64::from(byte.cast_signed())).sum::<i64>();
    let told = Header::from_byte_slice(block).cksum().map(i64::from);
    told.is_ok_and(|told| told == unsigned || told == signed)
}

/// Puts the members that `store` holds into an index, in their order.
///
/// # Errors
/// [`ArchiveError`].
pub(crate) fn read(store: &Arc<Store>, index: &mut Index, told: &mut Told<'_>) -> Result<(), ArchiveError> {
    let mut headers = Headers::new(store);
    while let Some(described) = headers.next()? {
        told.member(headers.next_header())?;
        if let Some(member) = member(&described, store)? {
            index.add(member)?;
        }
    }
    Ok(())
}

/// What a member is; nothing for a header that stands for no file.
fn member(described: &Described, store: &Arc<Store>) -> Result<Option<Member>, ArchiveError> {
    if described.header.entry_type().as_byte() == LABEL {
        return Ok(None);
    }
    let mut path = described.path();
    let read = |path: &mut Vec<u8>| {
        let mut extra = Extra::read(&described.pax)?;
        let header = &described.header;
        let mode = Mode::from_raw(fields::mode(header)?);
        let uid = extra.uid.map_or_else(|| fields::uid(header).and_then(|uid| id("uid", uid)), Ok)?;
        let gid = extra.gid.map_or_else(|| fields::gid(header).and_then(|gid| id("gid", gid)), Ok)?;
        let mtime = match extra.mtime {
            Some(mtime) => mtime,
            None => Timespec { sec: fields::mtime(header)?.cast_signed(), nsec: 0 },
        };
        if let Some(name) = extra.sparse.as_ref().and_then(sparse::Keys::name) {
            *path = name.to_vec();
        }
        let kind = kind(described, path, extra.sparse.take(), store)?;
        let path = core::mem::take(path);
        Ok(Some(Member { path, kind, mode, uid, gid, mtime, xattrs: extra.xattrs }))
    };
    read(&mut path).map_err(|what: io::Error| ArchiveError::Member { path, what: what.to_string() })
}

fn kind(
    described: &Described,
    path: &[u8],
    sparse: Option<sparse::Keys>,
    store: &Arc<Store>,
) -> io::Result<Kind> {
    let target = || described.target().ok_or_else(|| io::Error::other("the link has no target"));
    let device = || {
        let (major, minor) = fields::device(&described.header)?;
        device(major, minor)
    };
    Ok(match described.header.entry_type() {
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(symlink_target(target()?)?),
        EntryType::Link => Kind::HardLink(hard_link_target(target()?)?),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => Kind::CharDevice(device()?),
        EntryType::Block => Kind::BlockDevice(device()?),
        // Before there was a type for them, directories were files with a slash behind their names.
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::GNUSparse => Kind::File(gnu_sparse(described, store)?),
        EntryType::Regular | EntryType::Continuous => {
            let (at, stored) = (described.at, described.size);
            let content = range(store, at, stored)?;
            Kind::File(match sparse {
                None => Content::plain(Arc::clone(store), stored, at),
                Some(keys) => {
                    let map = keys.map(&mut content.take(stored), stored)?;
                    Content::sparse(Arc::clone(store), map.size, map.pieces, at + map.before)
                }
            })
        }
        other => {
            let text = format!(
                "vnode doesn't know members of type '{}'",
                char::from(other.as_byte()).escape_default()
            );
            return Err(io::Error::other(text));
        }
    })
}

/// A device as Linux numbers it: 12 bits of major and 20 of minor, of which the upper come last (`new_encode_dev`).
fn device(major: u32, minor: u32) -> io::Result<u32> {
    if major >> 12 != 0 || minor >> 20 != 0 {
        return Err(io::Error::other(format!("there is no device {major}:{minor}")));
    }
    Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

/// A file with holes as GNU tar's own format has it: their map stands in the header, and goes on in blocks behind it.
fn gnu_sparse(described: &Described, store: &Arc<Store>) -> io::Result<Content> {
    let header = described.header.as_gnu().ok_or_else(|| sparse::wrong("its header is not GNU's"))?;
    let mut offsets = Vec::new();
    let mut add = |list: &[GnuSparseHeader]| {
        for piece in list.iter().filter(|piece| !piece.is_empty()) {
            offsets.push((piece.offset()?, piece.length()?));
        }
        Ok::<(), io::Error>(())
    };
    add(&header.sparse)?;
    for at in (described.map..described.at).step_by(BLOCK) {
        let mut block = GnuExtSparseHeader::new();
        range(store, at, BLOCK as u64)?.read_exact(block.as_mut_bytes())?;
        add(block.sparse())?;
    }
    let size = header.real_size()?;
    let pieces = sparse::pieces(offsets.into_iter(), size)?;
    let stored = pieces.iter().map(|piece| piece.end - piece.start).sum();
    if stored != described.size {
        return Err(sparse::wrong("its pieces are not what is stored"));
    }
    range(store, described.at, stored)?;
    Ok(Content::sparse(Arc::clone(store), size, pieces, described.at))
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
    fn read(records: &pax::Records) -> io::Result<Extra> {
        let mut extra = Extra::default();
        for (key, value) in records.iter() {
            match key {
                // As if it were not there, nor in a header for all.
                b"mtime" if value.is_empty() => extra.mtime = None,
                b"uid" if value.is_empty() => extra.uid = None,
                b"gid" if value.is_empty() => extra.gid = None,
                b"mtime" => {
                    let time = std::str::from_utf8(value).ok().and_then(decimal_time::parse);
                    extra.mtime = Some(time.ok_or_else(|| io::Error::other("its mtime is no time"))?);
                }
                b"uid" => extra.uid = Some(decimal_id("uid", value)?),
                b"gid" => extra.gid = Some(decimal_id("gid", value)?),
                key => {
                    if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                        extra.sparse.get_or_insert_default().take(key, value)?;
                    }
                    if let Some(name) = key.strip_prefix(pax::XATTR).filter(|name| name.starts_with(b"user."))
                    {
                        extra.xattrs.push((pax::decoded(name), value.to_vec()));
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
    fn devices_are_numbered_as_on_linux() {
        assert_eq!(device(1, 3).unwrap(), 0x103);
        assert_eq!(device(0xfff, 0xf_ffff).unwrap(), u32::MAX);
        assert_eq!(device(0xabc, 0x1_2345).unwrap(), 0x123a_bc45);
        assert!(device(0x1000, 0).is_err() && device(0, 0x10_0000).is_err());
    }

    #[test]
    fn archives_are_told_from_other_files() {
        let mut header = Header::new_gnu();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert!(is_tar(header.as_bytes()));
        assert!(is_tar(&[0; BLOCK]));
        let mut broken = *header.as_bytes();
        broken[0] = b'b';
        assert!(!is_tar(&broken));
        assert!(!is_tar(b"hello"));
        assert!(!is_tar(&[b'x'; BLOCK]));
    }
}
