//! Archives that are compressed as a whole: unpacked once, into memory if they are small, else into a file that has no
//! name.

use core::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::error::ArchiveError;
use crate::spill::Spill;
use crate::store::{Reader, Store};

/// Bytes read and unpacked at once.
const PIECE: usize = 128 << 10;
/// Bytes of an archive that is held in memory.
const SMALL: usize = 1 << 20;

/// What archives are compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// What a file is compressed with, by its first bytes.
    ///
    /// # Errors
    /// [`ArchiveError::Compressed`]: in a way that vnode doesn't know.
    pub(crate) fn of(start: &[u8]) -> Result<Option<Compression>, ArchiveError> {
        let program = match start {
            [0x1f, 0x8b, ..] => return Ok(Some(Compression::Gzip)),
            // A frame, or one that is to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                return Ok(Some(Compression::Zstd));
            }
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => "bzip2",
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
            [b'L', b'Z', b'I', b'P', 1, ..] => "lzip",
            [0x04, 0x22, 0x4d, 0x18, ..] => "lz4",
            [0x1f, 0x9d, ..] => "compress",
            _ => return Ok(None),
        };
        Err(ArchiveError::Compressed { program })
    }

    fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// Unpacks what `store` holds, members and frames that follow one another as one. `told` is told the bytes read.
///
/// # Errors
/// [`ArchiveError::Read`]: it is damaged or cut, or what it unpacks to can't be put anywhere.
/// [`ArchiveError::TooLarge`], and what `told` says.
pub(crate) fn unpack(
    store: &Store,
    compression: Compression,
    max_bytes: u64,
    told: &mut dyn FnMut(u64) -> Result<(), ArchiveError>,
) -> Result<Store, ArchiveError> {
    let read = Cell::new(0);
    let packed = BufReader::with_capacity(PIECE, Counted { reader: Reader::new(store, 0), count: &read });
    let mut unpacked: Box<dyn Read + '_> = match compression {
        Compression::Gzip => Box::new(GzipMembers { member: Some(GzDecoder::new(packed)) }),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(packed)?),
    };
    let mut out = Out::Memory(Vec::new());
    let mut piece = vec![0; PIECE];
    loop {
        told(read.get())?;
        let count = match unpacked.read(&mut piece) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let text = format!("it can't be unpacked as {} does: {error}", compression.name());
                return Err(ArchiveError::Read(io::Error::new(error.kind(), text)));
            }
        };
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        out.put(bytes, max_bytes)?;
    }
    out.finish()
}

/// The members of a gzip file, one behind the other. Zeros may follow the last, as tapes and disks fill their blocks
/// (`gzip(1)` passes over them too).
struct GzipMembers<R: BufRead> {
    /// Nothing at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let rest = self.member.take().map(GzDecoder::into_inner);
            if let Some(mut rest) = rest
                && another(&mut rest)?
            {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// Whether another member follows, and not only zeros or nothing.
fn another(rest: &mut impl BufRead) -> io::Result<bool> {
    let mut zeros = false;
    loop {
        let bytes = rest.fill_buf()?;
        match bytes.iter().position(|&byte| byte != 0) {
            None if bytes.is_empty() => return Ok(false),
            None => {
                let len = bytes.len();
                rest.consume(len);
                zeros = true;
            }
            Some(0) if !zeros => return Ok(true),
            Some(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "something stands behind its end"));
            }
        }
    }
}

/// Where what is unpacked goes.
enum Out {
    Memory(Vec<u8>),
    File { file: File, len: u64 },
}

impl Out {
    fn put(&mut self, bytes: &[u8], max_bytes: u64) -> Result<(), ArchiveError> {
        let there = match self {
            Out::Memory(there) => there.len() as u64,
            Out::File { len, .. } => *len,
        };
        if there.saturating_add(bytes.len() as u64) > max_bytes {
            return Err(ArchiveError::TooLarge { max_bytes });
        }
        match self {
            Out::Memory(there) if there.len() + bytes.len() <= SMALL => there.extend_from_slice(bytes),
            Out::Memory(there) => {
                let there = core::mem::take(there);
                *self = Out::File { file: tempfile::tempfile().map_err(no_place)?, len: 0 };
                for bytes in [&there, bytes] {
                    self.append(bytes)?;
                }
            }
            Out::File { .. } => self.append(bytes)?,
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        if let Out::File { file, len } = self {
            Spill::new(file, *len).write(bytes).map_err(no_place)?;
            *len += bytes.len() as u64;
        }
        Ok(())
    }

    fn finish(self) -> Result<Store, ArchiveError> {
        match self {
            Out::Memory(bytes) => Ok(Store::Heap(bytes.into())),
            Out::File { file, len } => {
                file.set_len(len).map_err(no_place)?;
                Ok(Store::file(file)?)
            }
        }
    }
}

/// Says where there was no room, for that is not where the archive is.
fn no_place(error: io::Error) -> ArchiveError {
    let text = format!("it can't be unpacked to {}: {error}", std::env::temp_dir().display());
    ArchiveError::Read(io::Error::new(error.kind(), text))
}

/// Counts what is read through it.
struct Counted<'a> {
    reader: Reader<'a>,
    count: &'a Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}
