//! The content of files: what a filesystem hands out when one is opened.

use core::any::Any;

use crate::cx::Cx;
use crate::errno::{Errno, Result};
#[cfg(doc)]
use crate::fs::Caps;
use crate::in_place::InPlace;
use crate::io::{Sink, Source};

/// How `fallocate(2)` changes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    /// Makes sure that the range has storage, and the size reaches its end (`posix_fallocate(3)`).
    Extend,
    /// The same, leaving the size (`FALLOC_FL_KEEP_SIZE`).
    KeepSize,
    /// Makes the range a hole, leaving the size (`FALLOC_FL_PUNCH_HOLE`).
    PunchHole,
    /// Makes the range read as zeros, growing the size if needed (`FALLOC_FL_ZERO_RANGE`).
    ZeroRange,
}

/// What `SEEK_DATA` and `SEEK_HOLE` look for (`lseek(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekFor {
    /// The next byte with data.
    Data,
    /// The next hole; the end of the file counts as one.
    Hole,
}

/// The content of an open regular file. Offsets, append position and flags are the opener's, not the file's.
///
/// All offsets are below 2^63; the caller has checked that offset and length don't overflow that.
pub trait File: Any + Send + Sync {
    /// Reads at `offset` until `into` is full or the end is reached; answers the bytes read, 0 at the end.
    ///
    /// # Errors
    /// `EIO`: the medium fails.
    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize>;

    /// Writes at `offset` and answers the bytes written, which are fewer than given only if something ran out;
    /// a gap before `offset` becomes a hole.
    ///
    /// # Errors
    /// `ENOSPC`, `EDQUOT`: no byte could be written for lack of room. `EFBIG`: past the largest size. `EIO`.
    fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize>;

    /// Writes at the end, atomically with finding it; answers the bytes written and the new end. To write nothing
    /// changes nothing.
    ///
    /// # Errors
    /// As [`File::write_at`].
    fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)>;

    /// Sets the size (`ftruncate(2)`).
    ///
    /// # Errors
    /// `EFBIG`: past the largest size. `ENOSPC`, `EIO`.
    fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()>;

    /// Reserves, punches or zeroes a range (`fallocate(2)`); `len` is not 0.
    ///
    /// # Errors
    /// `EFBIG`, `ENOSPC`; `EOPNOTSUPP`: this file can't do that, as none can unless it says how.
    fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        let _ = (cx, how, offset, len);
        Err(Errno::OPNOTSUPP)
    }

    /// Finds the first data or hole at or after `offset` (`lseek(2)`). A file that says nothing else is all data
    /// (`generic_file_llseek` in Linux).
    ///
    /// # Errors
    /// `ENXIO`: `offset` is at or past the end, or no data follows.
    fn seek_data_or_hole(&self, cx: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64> {
        // Appending nothing tells where the end is.
        let (_, end) = self.append(cx, &mut Source::from_slice(b""))?;
        match what {
            _ if offset >= end => Err(Errno::NXIO),
            SeekFor::Data => Ok(offset),
            SeekFor::Hole => Ok(end),
        }
    }

    /// Writes to the medium what was written here (`fsync(2)`, `fdatasync(2)`). Without a medium there is nothing to do
    /// (`noop_fsync` in Linux); a filesystem that has one must do it here.
    ///
    /// # Errors
    /// `EIO`.
    fn sync(&self, cx: &Cx<'_>, data_only: bool) -> Result<()> {
        let _ = (cx, data_only);
        Ok(())
    }

    /// Takes content of another file at `from_offset` to `offset`, which is at or past the end here, without its bytes
    /// passing through the caller: shared until either file is written to where that can be (`FICLONERANGE`), else
    /// copied (`copy_file_range(2)`). Holes stay holes. Answers how many bytes of at most `len` there are now, fewer only
    /// if it is to be called again for the rest or the other file ends there. The size reaches their end.
    ///
    /// `from` is what [`File::lend`] lent. What it takes of room is as if all had been written.
    ///
    /// # Errors
    /// * `EOPNOTSUPP`: this file can't take these bytes from that one, as none can unless it says how; nothing was done,
    ///   and reading and writing may do.
    /// * As [`File::write_at`]; nothing was changed then.
    fn copy_range(
        &self,
        cx: &Cx<'_>,
        offset: u64,
        from: &dyn File,
        from_offset: u64,
        len: u64,
    ) -> Result<u64> {
        let _ = (cx, offset, from, from_offset, len);
        Err(Errno::OPNOTSUPP)
    }

    /// Has `take` take content from the file that has it: from this one, or from the one that this one stands before.
    /// Answers what `take` does. How a file is found out to be of a type of one's own: it is [`Any`].
    ///
    /// # Errors
    /// Those of `take`, of a read, and `EOPNOTSUPP`: it has nothing to share, as none has unless it says so.
    fn lend(&self, cx: &Cx<'_>, take: &mut dyn FnMut(&dyn File) -> Result<u64>) -> Result<u64> {
        let _ = (cx, take);
        Err(Errno::OPNOTSUPP)
    }

    /// What it has at `offset`, of at most `len` bytes, without a copy: of a file that never changes and whose content
    /// lies in memory. There may be more behind it.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: it isn't such a file, as none is unless it says so. `EIO`.
    fn in_place(&self, cx: &Cx<'_>, offset: u64, len: u64) -> Result<InPlace> {
        let _ = (cx, offset, len);
        Err(Errno::OPNOTSUPP)
    }

    /// Whether each of its calls asks [`blocking::check`](crate::blocking::check) itself before it does anything else.
    /// Of a filesystem with [`Caps::BLOCKING`] nothing is put before such a file, which takes an allocation of each
    /// open and time of each call.
    fn asks_itself(&self) -> bool {
        false
    }
}
