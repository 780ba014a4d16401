//! Members of zip archives that are compressed: unpacked when they are opened first, and kept.

use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::{Arc, OnceLock};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use parking_lot::Mutex;
use vnode_core::{Errno, Result};

use crate::content::Content;
use crate::mapping::page_size;
use crate::spill::Spill;
use crate::store::{Reader, Store};

/// Bytes of a member that is held in memory once it is unpacked; larger ones are put into a file.
const SMALL: u64 = 64 << 10;
/// Bytes that all members in memory may have together.
const IN_MEMORY: u64 = 64 << 20;
/// Bytes read and unpacked at once.
const PIECE: usize = 64 << 10;

/// A compressed member.
#[derive(Debug)]
pub(crate) struct Packed {
    store: Arc<Store>,
    room: Arc<Room>,
    at: u64,
    packed: u64,
    size: u64,
    crc: u32,
    /// Nothing inside if what is packed is damaged.
    content: OnceLock<Option<Content>>,
    /// Held while it is unpacked.
    unpacking: Mutex<()>,
}

/// Where members are unpacked to, and how much there may be of them.
#[derive(Debug)]
pub(crate) struct Room {
    left: AtomicU64,
    unpacked: AtomicU64,
    in_memory: AtomicU64,
    spill: Mutex<Option<Spilled>>,
}

#[derive(Debug)]
struct Spilled {
    file: Arc<File>,
    /// Where the next member goes, at a page's start.
    end: u64,
}

impl Room {
    pub(crate) fn new(max_bytes: u64) -> Room {
        Room {
            left: AtomicU64::new(max_bytes),
            unpacked: AtomicU64::new(0),
            in_memory: AtomicU64::new(IN_MEMORY),
            spill: Mutex::new(None),
        }
    }

    /// Bytes that were unpacked so far.
    pub(crate) fn unpacked(&self) -> u64 {
        self.unpacked.load(Ordering::Relaxed)
    }

    /// A place of `len` bytes in the file for what is large.
    fn reserve(&self, len: u64) -> io::Result<(Arc<File>, u64)> {
        let mut spill = self.spill.lock();
        let spilled = match &mut *spill {
            Some(spilled) => spilled,
            None => spill.insert(Spilled { file: Arc::new(tempfile::tempfile()?), end: 0 }),
        };
        let start = spilled.end;
        let end = start.checked_add(len).and_then(|end| end.checked_next_multiple_of(page_size()));
        spilled.end = end.ok_or(io::ErrorKind::FileTooLarge)?;
        Ok((Arc::clone(&spilled.file), start))
    }
}

/// Takes of what is left, if there is as much.
fn take(left: &AtomicU64, count: u64) -> bool {
    let less = |left: u64| left.checked_sub(count);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
}

/// Why a member can't be unpacked.
enum Failed {
    /// It is not what the archive says: it never will be.
    Damaged,
    /// This time.
    Now(Errno),
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Failed::Now(Errno::IO)
    }
}

impl Packed {
    /// A deflated member: `packed` bytes of `store` from `at`, which unpack to `size`.
    pub(crate) fn new(
        store: Arc<Store>,
        room: Arc<Room>,
        at: u64,
        packed: u64,
        size: u64,
        crc: u32,
    ) -> Packed {
        let (content, unpacking) = (OnceLock::new(), Mutex::new(()));
        Packed { store, room, at, packed, size, crc, content, unpacking }
    }

    /// Bytes, unpacked.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What it unpacked to.
    ///
    /// # Errors
    /// `EIO`: it was never unpacked, or is damaged.
    pub(crate) fn content(&self) -> Result<&Content> {
        self.content.get().and_then(Option::as_ref).ok_or(Errno::IO)
    }

    /// Unpacks it, unless that was done. `check` is asked again and again whether to go on.
    ///
    /// # Errors
    /// `EIO`: it is not what the archive says it is, or there is no room. What `check` says.
    pub(crate) fn unpack(&self, check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        if self.content.get().is_some() {
            return self.content().map(drop);
        }
        let _unpacking = self.unpacking.lock();
        if self.content.get().is_none() {
            let content = match self.unpacked(check) {
                Ok(content) => Some(content),
                Err(Failed::Damaged) => None,
                Err(Failed::Now(errno)) => return Err(errno),
            };
            self.content.get_or_init(|| content);
        }
        self.content().map(drop)
    }

    fn unpacked(&self, check: &mut dyn FnMut() -> Result<()>) -> core::result::Result<Content, Failed> {
        // There is room for what it says that it is, and it is no more.
        if !take(&self.room.left, self.size) {
            return Err(Failed::Now(Errno::IO));
        }
        let store = if self.size <= SMALL && take(&self.room.in_memory, self.size) {
            self.to_memory(check).inspect_err(|_| {
                self.room.in_memory.fetch_add(self.size, Ordering::Relaxed);
            })
        } else {
            self.to_file(check)
        };
        let store = store.inspect_err(|_| {
            self.room.left.fetch_add(self.size, Ordering::Relaxed);
        })?;
        self.room.unpacked.fetch_add(self.size, Ordering::Relaxed);
        Ok(Content::plain(Arc::new(store), self.size, 0))
    }

    fn to_memory(&self, check: &mut dyn FnMut() -> Result<()>) -> core::result::Result<Store, Failed> {
        let mut bytes = Vec::new();
        self.read(check, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(Store::Heap(bytes.into()))
    }

    fn to_file(&self, check: &mut dyn FnMut() -> Result<()>) -> core::result::Result<Store, Failed> {
        let (file, start) = self.room.reserve(self.size)?;
        let mut spill = Spill::new(&file, start);
        self.read(check, &mut |piece| spill.write(piece)).inspect_err(|_| spill.forget())?;
        spill.finish(self.size)?;
        Ok(Store::part(file, start, self.size))
    }

    /// Unpacks it piece by piece, and makes sure of its size and its sum.
    fn read(
        &self,
        check: &mut dyn FnMut() -> Result<()>,
        put: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> core::result::Result<(), Failed> {
        let packed = BufReader::with_capacity(PIECE, Reader::new(&self.store, self.at).take(self.packed));
        let mut unpacked = DeflateDecoder::new(packed);
        let mut piece = vec![0; PIECE];
        let (mut crc, mut count) = (Crc::new(), 0);
        loop {
            check().map_err(Failed::Now)?;
            let got = match unpacked.read(&mut piece) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Failed::Damaged),
            };
            let Some(got) = piece.get(..got).filter(|got| !got.is_empty()) else { break };
            count += got.len() as u64;
            if count > self.size {
                return Err(Failed::Damaged);
            }
            crc.update(got);
            put(got)?;
        }
        if count == self.size && crc.sum() == self.crc { Ok(()) } else { Err(Failed::Damaged) }
    }

    /// What it unpacks to, of a member that is held in memory by whoever asks, as a link's target.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.read(&mut || Ok(()), &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        read.ok().map(|()| bytes)
    }
}
