//! Opening an archive: what it is, and how much of it there may be.

use core::fmt;
use core::ops::ControlFlow;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::archive::Archive;
use crate::compressed::{self, Compression};
use crate::error::ArchiveError;
use crate::index::Index;
use crate::packed::Room;
use crate::progress::{Listener, Progress, Told};
use crate::store::Store;
use crate::{tar, zip};

/// What compressed content may unpack to unless somebody says otherwise.
const MAX_BYTES: u64 = 4 << 30;
/// How many inodes there may be unless somebody says otherwise.
const MAX_INODES: u64 = 4 << 20;
/// Bytes by which formats are told apart.
const START: usize = 512;

/// How an archive is opened.
///
/// ```no_run
/// use std::path::Path;
///
/// use vnode_archive::Archive;
///
/// let layer = Archive::builder().layer(true).max_bytes(1 << 30).open(Path::new("layer.tar.gz"))?;
/// # drop(layer);
/// # Ok::<(), vnode_archive::ArchiveError>(())
/// ```
pub struct ArchiveBuilder<'a> {
    max_bytes: u64,
    max_inodes: u64,
    is_layer: bool,
    progress: Option<Box<Listener<'a>>>,
}

impl fmt::Debug for ArchiveBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveBuilder")
            .field("max_bytes", &self.max_bytes)
            .field("max_inodes", &self.max_inodes)
            .field("is_layer", &self.is_layer)
            .finish_non_exhaustive()
    }
}

impl Default for ArchiveBuilder<'_> {
    fn default() -> Self {
        ArchiveBuilder { max_bytes: MAX_BYTES, max_inodes: MAX_INODES, is_layer: false, progress: None }
    }
}

impl<'a> ArchiveBuilder<'a> {
    /// Bytes that compressed content may unpack to, all together: of a tar archive the archive itself, of a zip archive
    /// the files that are opened. 4 GiB unless set; 0: no limit. What is not compressed is read where it lies, however
    /// large it is.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = if max_bytes == 0 { u64::MAX } else { max_bytes };
        self
    }

    /// How many inodes, and names of them, there may be: 4194304 unless set; 0: no limit but that of the format of this
    /// crate, some 4 thousand million. An inode takes some 200 bytes of memory.
    #[must_use]
    pub fn max_inodes(mut self, max_inodes: u64) -> Self {
        self.max_inodes = if max_inodes == 0 { u64::MAX } else { max_inodes };
        self
    }

    /// Whether it is a layer of a container image: a member `.wh.NAME` is not seen, and has NAME be a character device 0:0,
    /// as a whiteout is in the lower of an overlay. A member `.wh..wh..opq` gives its directory the attributes
    /// `trusted.overlay.opaque` and `user.overlay.opaque`. What the layer itself has under a name stays, and if that is a
    /// directory, a whiteout of its name makes it opaque. Otherwise these are names like any other.
    #[must_use]
    pub fn layer(mut self, is_layer: bool) -> Self {
        self.is_layer = is_layer;
        self
    }

    /// Who is told how far the reading came; [`ControlFlow::Break`] ends it, with [`ArchiveError::Interrupted`].
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(Progress) -> ControlFlow<()> + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Opens the archive that a file of the host holds. The file is read for as long as the archive lasts: whoever writes
    /// it changes what is read. Reading what was cut off is `EIO`.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Archive, ArchiveError> {
        // A FIFO is not waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = rustix::fs::open(path.as_ref(), flags, Mode::empty()).map_err(io::Error::from)?;
        let file = File::from(file);
        if !file.metadata()?.is_file() {
            return Err(ArchiveError::NoArchive);
        }
        self.read(Store::file(file)?)
    }

    /// Opens the archive that is in memory.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn bytes(self, bytes: impl Into<Arc<[u8]>>) -> Result<Archive, ArchiveError> {
        self.read(Store::Heap(bytes.into()))
    }

    fn read(mut self, store: Store) -> Result<Archive, ArchiveError> {
        let mut told = Told::new(self.progress.take());
        told.total = store.len();
        let mut unpacked = 0;
        let mut store = store;
        let mut start = first_bytes(&store)?;
        if let Some(compression) = Compression::of(&start)? {
            store = compressed::unpack(&store, compression, self.max_bytes, &mut |bytes| told.bytes(bytes))?;
            unpacked = store.len();
            told.total = unpacked;
            start = first_bytes(&store)?;
            if !tar::is_tar(&start) {
                return Err(ArchiveError::NoArchive);
            }
        }
        let store = Arc::new(store);
        let room = Arc::new(Room::new(self.max_bytes));
        let mut index = Index::new(self.max_inodes, self.is_layer);
        if tar::is_tar(&start) {
            tar::read(&store, &mut index, &mut told)?;
        } else if zip::is_zip(&start, &store)? {
            zip::read(&store, &room, self.max_inodes, &mut index, &mut told)?;
        } else {
            return Err(ArchiveError::NoArchive);
        }
        Archive::new(index, room, unpacked)
    }
}

fn first_bytes(store: &Store) -> io::Result<Vec<u8>> {
    let mut start = vec![0; START];
    let mut len = 0;
    while let Some(rest) = start.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match store.read_at(len as u64, rest)? {
            0 => break,
            count => len += count,
        }
    }
    start.truncate(len);
    Ok(start)
}
