//! What can be done with an open file: reading, writing, seeking, and the rest of its calls.
//!
//! The checks and their order are those of Linux: `rw_verify_area`, `generic_write_checks`, `vfs_llseek`,
//! `vfs_fallocate`, `generic_fadvise`, `do_ftruncate`.

use core::ops::ControlFlow;

use vnode_core::fs::{Access, Allocate, DirEntry, File, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Caller, Cx, Errno, Place, Result, SetTime, blocking};

use crate::open_file::{OpenFile, What};
use crate::procfs::streams;
use crate::rights::FdFlags;
use crate::stream::Stream;
use crate::wait::{Interruption, Wait};

/// The largest offset (`MAX_LFS_FILESIZE`).
const OFFSET_MAX: u64 = i64::MAX as u64;

/// From where an offset counts (`lseek(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The start.
    Set,
    /// Where the file stands.
    Current,
    /// The end.
    End,
    /// The next data at or after the offset.
    Data,
    /// The next hole at or after the offset.
    Hole,
}

/// # Errors
/// `EINVAL`: the range reaches past the largest offset.
fn check_range(offset: u64, len: usize) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= OFFSET_MAX => Ok(()),
        _ => Err(Errno::INVAL),
    }
}

/// Reads a regular file's content, leaving the access time if the mount says so.
fn read_content(
    cx: &Cx<'_>,
    place: &Place,
    file: &dyn File,
    offset: u64,
    into: &mut Sink<'_>,
) -> Result<usize> {
    check_range(offset, into.remaining())?;
    if into.remaining() == 0 {
        return Ok(0);
    }
    if place.keeps_atime() {
        file.read_at(&cx.keeping_atime(), offset, into)
    } else {
        file.read_at(cx, offset, into)
    }
}

impl OpenFile {
    fn wait<'a>(&self, interruption: &'a Interruption) -> Wait<'a> {
        if self.flags().contains(FdFlags::NONBLOCK) {
            Wait::nonblocking(interruption)
        } else {
            Wait::blocking(interruption)
        }
    }

    /// The stream that reads and writes go to.
    fn to_stream(&self) -> Result<&dyn Stream> {
        self.as_stream().map(|stream| &**stream).ok_or(Errno::BADF)
    }

    fn check_access(&self, access: Access) -> Result<()> {
        if self.access().contains(access) { Ok(()) } else { Err(Errno::BADF) }
    }

    /// Reads at the position, and moves it (`readv(2)`).
    #[inline]
    pub(crate) fn read(&self, cx: &Cx<'_>, stop: &Interruption, into: &mut Sink<'_>) -> Result<usize> {
        self.check_access(Access::READ)?;
        match &self.what {
            What::Regular { place, file } => {
                let mut position = blocking::lock(&self.position)?;
                let count = read_content(cx, place, &**file, *position, into)?;
                *position += count as u64;
                Ok(count)
            }
            What::Directory { .. } => Err(Errno::ISDIR),
            What::Device { device, .. } if device.stream().is_none() => device.read(cx, into),
            What::Device { .. } | What::Stream { .. } => self.to_stream()?.read(self.wait(stop), into),
        }
    }

    /// Reads at `offset`; the position stays (`preadv(2)`).
    #[inline]
    pub(crate) fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        if offset > OFFSET_MAX {
            return Err(Errno::INVAL);
        }
        match &self.what {
            _ if self.as_stream().is_some() => Err(Errno::SPIPE),
            What::Stream { .. } => Err(Errno::SPIPE),
            What::Directory { .. } => Err(Errno::ISDIR),
            What::Device { device, .. } => {
                self.check_access(Access::READ)?;
                check_range(offset, into.remaining())?;
                device.read(cx, into)
            }
            What::Regular { place, file } => {
                self.check_access(Access::READ)?;
                read_content(cx, place, &**file, offset, into)
            }
        }
    }

    /// Writes at the position, or at the end if the file is open for appending, and moves the position behind
    /// what was written (`writev(2)`).
    #[inline]
    pub(crate) fn write(&self, cx: &Cx<'_>, stop: &Interruption, from: &mut Source<'_>) -> Result<usize> {
        self.check_access(Access::WRITE)?;
        match &self.what {
            What::Regular { file, .. } => {
                let mut position = blocking::lock(&self.position)?;
                let (count, end) = self.write_content(cx, &**file, *position, from)?;
                *position = end;
                Ok(count)
            }
            What::Directory { .. } => Err(Errno::BADF),
            What::Device { device, .. } if device.stream().is_none() => device.write(from),
            What::Device { .. } | What::Stream { .. } => self.to_stream()?.write(self.wait(stop), from),
        }
    }

    /// Writes at `offset`; the position stays. A file that is open for appending is appended to all the same
    /// (`pwritev(2)`, BUGS).
    #[inline]
    pub(crate) fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        if offset > OFFSET_MAX {
            return Err(Errno::INVAL);
        }
        match &self.what {
            _ if self.as_stream().is_some() => Err(Errno::SPIPE),
            What::Stream { .. } => Err(Errno::SPIPE),
            What::Directory { .. } => Err(Errno::BADF),
            What::Device { device, .. } => {
                self.check_access(Access::WRITE)?;
                check_range(offset, from.remaining())?;
                device.write(from)
            }
            What::Regular { file, .. } => {
                self.check_access(Access::WRITE)?;
                self.write_content(cx, &**file, offset, from).map(|(count, _)| count)
            }
        }
    }

    /// Answers how much was written, and where that ends.
    #[inline]
    fn write_content(
        &self,
        cx: &Cx<'_>,
        file: &dyn File,
        offset: u64,
        from: &mut Source<'_>,
    ) -> Result<(usize, u64)> {
        check_range(offset, from.remaining())?;
        if from.remaining() == 0 {
            return Ok((0, offset));
        }
        let flags = self.flags();
        let written = if flags.contains(FdFlags::APPEND) {
            file.append(cx, from)?
        } else {
            let count = file.write_at(cx, offset, from)?;
            (count, offset.saturating_add(count as u64))
        };
        if flags.intersects(FdFlags::SYNC | FdFlags::RSYNC | FdFlags::DSYNC) {
            file.sync(cx, !flags.intersects(FdFlags::SYNC | FdFlags::RSYNC))?;
        }
        Ok(written)
    }

    /// Moves the position and answers it (`lseek(2)`).
    pub(crate) fn seek(&self, cx: &Cx<'_>, offset: i64, whence: Whence) -> Result<u64> {
        let mut position = blocking::lock(&self.position)?;
        let target = match (&self.what, whence) {
            (What::Stream { .. }, _) => return Err(Errno::SPIPE),
            (What::Device { device, .. }, _) if device.stream().is_some() => return Err(Errno::SPIPE),
            // Whatever is asked (`null_lseek`).
            (What::Device { .. }, _) => return Ok(0),
            (_, Whence::Set) => 0u64.checked_add_signed(offset),
            (_, Whence::Current) => position.checked_add_signed(offset),
            (What::Directory { .. }, _) => return Err(Errno::INVAL),
            (What::Regular { place, .. }, Whence::End) => place.attr(cx)?.size.checked_add_signed(offset),
            (What::Regular { file, .. }, Whence::Data | Whence::Hole) => {
                let what = if whence == Whence::Data { SeekFor::Data } else { SeekFor::Hole };
                let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
                Some(file.seek_data_or_hole(cx, what, offset)?)
            }
        };
        let target = target.filter(|&target| target <= OFFSET_MAX).ok_or(Errno::INVAL)?;
        *position = target;
        Ok(target)
    }

    /// Makes sure that a range has storage (`posix_fallocate(3)`).
    pub(crate) fn allocate(&self, cx: &Cx<'_>, offset: u64, len: u64) -> Result<()> {
        if offset > OFFSET_MAX || len > OFFSET_MAX || len == 0 {
            return Err(Errno::INVAL);
        }
        self.check_access(Access::WRITE)?;
        match &self.what {
            What::Stream { .. } => Err(Errno::SPIPE),
            What::Directory { .. } => Err(Errno::BADF),
            What::Device { .. } => Err(Errno::NODEV),
            What::Regular { .. } if offset + len > OFFSET_MAX => Err(Errno::FBIG),
            What::Regular { file, .. } => file.allocate(cx, Allocate::Extend, offset, len),
        }
    }

    /// Takes advice, which changes nothing here (`posix_fadvise(3)`).
    pub(crate) fn advise(&self, len: u64) -> Result<()> {
        match &self.what {
            What::Stream { .. } => Err(Errno::SPIPE),
            _ if len > OFFSET_MAX => Err(Errno::INVAL),
            _ => Ok(()),
        }
    }

    /// Sets the size (`ftruncate(2)`).
    pub(crate) fn set_size(&self, cx: &Cx<'_>, size: u64) -> Result<()> {
        match &self.what {
            What::Regular { file, .. } if self.access().contains(Access::WRITE) && size <= OFFSET_MAX => {
                file.set_len(cx, size)
            }
            _ => Err(Errno::INVAL),
        }
    }

    /// Writes to the medium (`fsync(2)`, `fdatasync(2)`).
    pub(crate) fn sync(&self, caller: &Caller<'_>, data_only: bool) -> Result<()> {
        match &self.what {
            What::Regular { file, .. } => file.sync(caller.cx, data_only),
            What::Directory { place, .. } => caller.sync_place(place, data_only),
            What::Device { .. } | What::Stream { .. } => Err(Errno::INVAL),
        }
    }

    /// Sets access and modification time (`futimens(3)`).
    pub(crate) fn set_times(
        &self,
        caller: &Caller<'_>,
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<()> {
        match self.place() {
            Some(place) => caller.set_times_place(place, atime, mtime),
            None => Err(Errno::INVAL),
        }
    }

    /// The attributes (`fstat(2)`).
    #[inline]
    pub(crate) fn attr(&self, cx: &Cx<'_>) -> Result<Attr> {
        match &self.what {
            What::Regular { place, .. } | What::Directory { place, .. } | What::Device { place, .. } => {
                place.attr(cx)
            }
            What::Stream { stream, ino } => streams::attr(stream.kind(), *ino, cx),
        }
    }

    /// Lists a directory from `cookie` on (`getdents64(2)`).
    pub(crate) fn list(
        &self,
        caller: &Caller<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let What::Directory { place, listing } = &self.what else { return Err(Errno::NOTDIR) };
        let mut listing = blocking::lock(listing)?;
        let listing = match &mut *listing {
            Some(listing) => listing,
            none => none.insert(caller.list(place)?),
        };
        listing.list(caller, cookie, emit)
    }
}
