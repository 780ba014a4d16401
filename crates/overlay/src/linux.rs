//! The index that Linux's overlayfs keeps in its work directory (mount option `index=on`): a name for each inode that it
//! copied up and that has several names in a lower; with `nfs_export=on` for every one. It is read, so that what was one
//! inode there is one here; what is copied up here is not put into it.

use std::collections::HashMap;
use std::sync::Arc;

use vnode_core::fs::{FileHandle, Filesystem};
use vnode_core::{Cx, Errno, FilesystemRef, Name, Result};

use crate::layers::{Layers, Real, at};
use crate::work::names_in;

/// The index, in the work directory.
pub(crate) const NAME: &[u8] = b"index";

/// A file handle as it is in marks and, in hexadecimal, in the index (`struct ovl_fb`): version, magic, length, flags, the
/// handle's type, the filesystem's uuid, the handle.
const KIND: usize = 4;
const HANDLE: usize = 21;
/// `OVL_FH_FLAG_PATH_UPPER`: of a directory of the upper, which is indexed otherwise.
const OF_UPPER: u8 = 1 << 2;

/// What is in the index.
#[derive(Default)]
pub(crate) struct LinuxIndex {
    dir: Option<Real>,
    /// The names, by what they tell of an inode of a lower.
    names: HashMap<FileHandle, Arc<[u8]>>,
}

impl LinuxIndex {
    /// Reads it, if there is one.
    pub(crate) fn open(own: &Cx<'_>, fs: &FilesystemRef, work: &Real) -> Result<Self> {
        let dir = match fs.lookup(own, at(work, Name::new(NAME)?)) {
            Ok(dir) if dir.kind().is_dir() => dir,
            // So Linux makes its directories, which another user can't look into.
            Ok(_) | Err(Errno::NOENT | Errno::ACCES) => return Ok(LinuxIndex::default()),
            Err(errno) => return Err(errno),
        };
        let names = names_in(own, fs, &dir)?;
        let names =
            names.into_iter().filter_map(|name| Some((handle(&unhex(&name)?)?, name.into()))).collect();
        Ok(LinuxIndex { dir: Some(dir), names })
    }
}

/// The handle that a mark or a name tells.
fn handle(bytes: &[u8]) -> Option<FileHandle> {
    let [version, magic, len, flags] = *bytes.first_chunk()?;
    let known = (version, magic, usize::from(len)) == (0, 0xfb, bytes.len()) && flags & OF_UPPER == 0;
    let (kind, id) = (*bytes.get(KIND)?, bytes.get(HANDLE..)?);
    (known && !id.is_empty()).then(|| FileHandle { kind, id: id.into() })
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let pairs = text.chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok());
    if text.len().is_multiple_of(2) { pairs.collect() } else { None }
}

impl Layers {
    /// What Linux copied up of an inode of a lower that has several names, with its name in Linux's index.
    pub(crate) fn copied_by_linux(&self, own: &Cx<'_>, of: &Real) -> Result<Option<Real>> {
        let index = &self.upper.linux;
        let Some(dir) = index.dir.as_ref().filter(|_| !index.names.is_empty()) else { return Ok(None) };
        let Some(name) = of.handle().and_then(|handle| index.names.get(&handle)) else { return Ok(None) };
        match self.upper.fs.lookup(own, at(dir, Name::new(name)?)) {
            Ok(copy) if copy.kind() == of.kind() => Ok(Some(copy)),
            // A whiteout: of what has no names any more.
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// The name that an inode of the upper has in Linux's index.
    pub(crate) fn name_by_linux(&self, own: &Cx<'_>, copy: &Real) -> Result<Option<Arc<[u8]>>> {
        let index = &self.upper.linux;
        let Some(dir) = index.dir.as_ref().filter(|_| !index.names.is_empty()) else { return Ok(None) };
        let origin = self.marks.origin_of_linux(own, &self.upper.fs, copy)?;
        let Some(name) = origin.and_then(|bytes| index.names.get(&handle(&bytes)?)) else { return Ok(None) };
        match self.upper.fs.lookup(own, at(dir, Name::new(name)?)) {
            Ok(indexed) if indexed.id() == copy.id() => Ok(Some(Arc::clone(name))),
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Linux's index.
    pub(crate) fn linux_index(&self) -> Result<&Real> {
        self.upper.linux.dir.as_ref().ok_or(Errno::IO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_read_as_linux_writes_them() {
        let name = b"00fb2100012847ef7238fb44e9b6aa9e0a76f9f8a06bc6424d87c2f20200000000";
        let bytes = unhex(name).unwrap();
        let id = [0x6b, 0xc6, 0x42, 0x4d, 0x87, 0xc2, 0xf2, 2, 0, 0, 0, 0];
        assert_eq!(handle(&bytes), Some(FileHandle { kind: 1, id: id.into() }));
        for len in 0..bytes.len() {
            assert_eq!(handle(&bytes[..len]), None, "{len}");
        }
        for bad in [&name[1..], b"#fafa3", b"", b"0g", b"\xff\xff"] {
            assert_eq!(unhex(bad).and_then(|bytes| handle(&bytes)), None);
        }
    }
}
