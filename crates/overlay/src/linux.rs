//! The index that Linux's overlayfs keeps in its work directory (mount option `index=on`): a name for each inode that it
//! copied up and that has several names in a lower; with `nfs_export=on` for every one.
//!
//! What is in it is one inode here too. What has several names in a lower and is copied up is put into it instead of
//! `index/`, if the lower can tell what Linux knows it by.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use vnode_core::fs::{FileHandle, Filesystem, NewInode, NewKind};
use vnode_core::{Cx, Errno, FilesystemRef, Mode, Name, Result};

use crate::layers::{LayerNumber, Layers, Piece, Real, at};
use crate::work::names_in;

/// The index, in the work directory.
pub(crate) const NAME: &[u8] = b"index";

/// A file handle as it is in marks and, in hexadecimal, in the index (`struct ovl_fb`): version, magic, length, flags, the
/// handle's type, the filesystem's uuid, the handle.
const VERSION: u8 = 0;
const MAGIC: u8 = 0xfb;
const KIND: usize = 4;
const HANDLE: usize = 21;
/// `OVL_FH_FLAG_CPU_ENDIAN`.
const NATIVE: u8 = if cfg!(target_endian = "big") { 1 } else { 0 };
/// `OVL_FH_FLAG_PATH_UPPER`: of a directory of the upper, which is indexed otherwise.
const OF_UPPER: u8 = 1 << 2;

/// What is in the index.
#[derive(Default)]
pub(crate) struct LinuxIndex {
    dir: OnceLock<Real>,
    /// The names, by what they tell of an inode of a lower.
    names: Mutex<HashMap<FileHandle, Arc<[u8]>>>,
    /// What lowers' filesystems are told from others by.
    uuids: Mutex<HashMap<LayerNumber, Option<[u8; 16]>>>,
}

/// What a copy is to have in Linux's index.
pub(crate) struct Entry {
    handle: FileHandle,
    /// The mark of where it was copied from.
    pub(crate) origin: Vec<u8>,
    /// The name.
    pub(crate) name: Arc<[u8]>,
}

impl LinuxIndex {
    /// Reads it, if there is one.
    pub(crate) fn open(own: &Cx<'_>, fs: &FilesystemRef, work: &Real) -> Result<Self> {
        let index = LinuxIndex::default();
        let dir = match fs.lookup(own, at(work, Name::new(NAME)?)) {
            Ok(dir) if dir.kind().is_dir() => dir,
            Ok(_) | Err(Errno::NOENT) => return Ok(index),
            Err(errno) => return Err(errno),
        };
        let names = match names_in(own, fs, &dir) {
            // Linux's own, which another user can't look into.
            Err(Errno::ACCES) => return Ok(index),
            names => names?,
        };
        let known = names.into_iter().filter_map(|name| Some((handle(&unhex(&name)?)?, name.into())));
        *index.names.lock() = known.collect();
        let _ = index.dir.set(dir);
        Ok(index)
    }

    fn name(&self, handle: &FileHandle) -> Option<Arc<[u8]>> {
        self.names.lock().get(handle).cloned()
    }

    /// What was copied up, to the filesystem that it is on, of an inode of a lower that has several names.
    pub(crate) fn copy_of(&self, own: &Cx<'_>, fs: &FilesystemRef, of: &Real) -> Result<Option<Real>> {
        let Some(dir) = self.dir.get() else { return Ok(None) };
        let Some(name) = of.handle().and_then(|handle| self.name(&handle)) else { return Ok(None) };
        match fs.lookup(own, at(dir, Name::new(&name)?)) {
            Ok(copy) if copy.kind() == of.kind() => Ok(Some(copy)),
            // A whiteout: of what has no names any more.
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The name that a copy has in it, if its mark in Linux's way is this one.
    pub(crate) fn name_of(
        &self,
        own: &Cx<'_>,
        fs: &FilesystemRef,
        copy: &Real,
        origin: &[u8],
    ) -> Result<Option<Arc<[u8]>>> {
        let Some(dir) = self.dir.get() else { return Ok(None) };
        let Some(name) = handle(origin).and_then(|handle| self.name(&handle)) else { return Ok(None) };
        match fs.lookup(own, at(dir, Name::new(&name)?)) {
            Ok(indexed) if indexed.id() == copy.id() => Ok(Some(name)),
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Something was put into it.
    pub(crate) fn added(&self, entry: Entry) {
        self.names.lock().insert(entry.handle, entry.name);
    }
}

/// Makes it.
fn make(own: &Cx<'_>, fs: &FilesystemRef, work: &Real) -> Result<Real> {
    let new = NewInode { kind: NewKind::Directory, mode: Mode::RWXU, uid: 0, gid: 0 };
    fs.create(own, at(work, Name::new(NAME)?), new)
}

/// The handle that a mark or a name tells.
fn handle(bytes: &[u8]) -> Option<FileHandle> {
    let [version, magic, len, flags] = *bytes.first_chunk()?;
    let known = (version, magic, usize::from(len)) == (VERSION, MAGIC, bytes.len()) && flags & OF_UPPER == 0;
    let (kind, id) = (*bytes.get(KIND)?, bytes.get(HANDLE..)?);
    (known && !id.is_empty()).then(|| FileHandle { kind, id: id.into() })
}

/// What is to have this handle, on the filesystem with this uuid.
fn entry(handle: FileHandle, uuid: [u8; 16]) -> Option<Entry> {
    let len = u8::try_from(HANDLE + handle.id.len()).ok()?;
    let origin = [&[VERSION, MAGIC, len, NATIVE, handle.kind][..], &uuid, &handle.id].concat();
    let name: String = origin.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Entry { handle, origin, name: name.into_bytes().into() })
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let pairs = text.chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok());
    if text.len().is_multiple_of(2) { pairs.collect() } else { None }
}

impl Layers {
    /// Linux's index.
    pub(crate) fn linux_index(&self) -> Result<&Real> {
        self.upper.linux.dir.get().ok_or(Errno::IO)
    }

    /// What a copy is to have in Linux's index; nothing, if it isn't known what Linux knows the original by.
    pub(crate) fn entry_for_linux(&self, own: &Cx<'_>, of: &Piece, dev: u64) -> Option<Entry> {
        let handle = of.inode.handle().filter(|_| dev == 0)?;
        let entry = entry(handle, self.uuid(of.layer)?)?;
        if self.upper.linux.dir.get().is_none() {
            // If there is one, it is none that can be looked into.
            let _ = self.upper.linux.dir.set(make(own, &self.upper.fs, &self.upper.work).ok()?);
        }
        Some(entry)
    }

    fn uuid(&self, layer: LayerNumber) -> Option<[u8; 16]> {
        let (_, lower) = self.lowers().find(|(number, _)| *number == layer)?;
        *self.upper.linux.uuids.lock().entry(layer).or_insert_with(|| lower.root.filesystem_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_read_and_written_as_linux_does() {
        let name = b"00fb2100012847ef7238fb44e9b6aa9e0a76f9f8a06bc6424d87c2f20200000000";
        let bytes = unhex(name).unwrap();
        let id = [0x6b, 0xc6, 0x42, 0x4d, 0x87, 0xc2, 0xf2, 2, 0, 0, 0, 0];
        let known = FileHandle { kind: 1, id: id.into() };
        assert_eq!(handle(&bytes), Some(known.clone()));
        let entry = entry(known, bytes[5..21].try_into().unwrap()).unwrap();
        if NATIVE == 0 {
            assert_eq!((entry.origin, &*entry.name), (bytes.clone(), &name[..]));
        }
        for len in 0..bytes.len() {
            assert_eq!(handle(&bytes[..len]), None, "{len}");
        }
        for bad in [&name[1..], b"#fafa3", b"", b"0g", b"\xff\xff"] {
            assert_eq!(unhex(bad).and_then(|bytes| handle(&bytes)), None);
        }
    }
}
