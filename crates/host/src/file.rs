//! The content of a regular file.

use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{Allocate, File, SeekFor};
use vnode_core::io::{Sink, Source};
use vnode_core::{Capabilities, Cx, Errno, Mode, Result, access, blocking};

use crate::copy;
use crate::pool::Descriptor;
use crate::sys::{self, AsFd, BorrowedFd, Moved};

/// The content of a regular file of the host, opened.
pub(crate) struct HostFile {
    pub(crate) descriptor: Arc<Descriptor>,
    /// Past this size the kernel would send the process a signal that ends it.
    pub(crate) largest: u64,
    set_id: SetId,
    /// The descriptor's own position, which the end is told by.
    pub(crate) position: Mutex<()>,
}

/// Refuses to let a file grow past the process's limit, before anything is done (`inode_newsize_ok` in Linux): to a size
/// past it a file may shrink.
pub(crate) fn check_growth(file: BorrowedFd<'_>, size: u64, largest: u64) -> Result<()> {
    if size > largest && sys::look(file)?.attr.size < size { Err(Errno::FBIG) } else { Ok(()) }
}

/// Makes a call that gives a file a size, or room up to it: no signal comes, though somebody else has it shrink meanwhile.
pub(crate) fn up_to(size: u64, largest: u64, call: impl FnOnce() -> Result<()>) -> Result<()> {
    if size > largest { sys::past_limit(call) } else { call() }
}

/// What a change of the content does to set-user-id and set-group-id.
pub(crate) enum SetId {
    /// There is none.
    None,
    /// It is taken, unless it was already.
    Taken(AtomicBool),
    /// It is taken unless the caller may keep it; the kernel looks at the process instead.
    AsLinux,
}

impl HostFile {
    pub(crate) fn new(descriptor: Arc<Descriptor>, largest: u64, set_id: SetId) -> Self {
        HostFile { descriptor, largest, set_id, position: Mutex::new(()) }
    }

    /// What comes before a change of the content (`file_remove_privs` in Linux).
    pub(crate) fn will_change(&self, cx: &Cx<'_>) -> Result<()> {
        let fd = self.descriptor.as_fd();
        let mode = match &self.set_id {
            SetId::None => return Ok(()),
            SetId::Taken(done) if done.swap(true, Ordering::Relaxed) => return Ok(()),
            SetId::Taken(_) => Some(sys::look(fd)?.attr.mode - (Mode::SETUID | Mode::SETGID)),
            SetId::AsLinux if cx.credentials().has(Capabilities::FSETID) => return Ok(()),
            SetId::AsLinux => access::mode_after_write(cx, &sys::look(fd)?.attr),
        };
        mode.map_or(Ok(()), |mode| sys::set_mode(fd, mode))
    }

    /// The part of a write at an offset that the process may write.
    fn allowed(&self, offset: u64, len: usize) -> Result<usize> {
        if self.largest == u64::MAX || len == 0 {
            return Ok(len);
        }
        match self.largest.checked_sub(offset) {
            None | Some(0) => Err(Errno::FBIG),
            Some(room) => Ok(usize::try_from(room).map_or(len, |room| len.min(room))),
        }
    }

    /// Goes on with a read of more segments than the kernel takes at once.
    #[cold]
    fn read_on(&self, cx: &Cx<'_>, offset: u64, mut done: usize, into: &mut Sink<'_>) -> Result<usize> {
        while cx.check_canceled().is_ok() {
            let moved = sys::read(self.descriptor.as_fd(), offset + done as u64, into)?;
            done += moved.count;
            // Short is at the end.
            if !moved.whole || into.remaining() == 0 {
                break;
            }
        }
        Ok(done)
    }

    /// Writes as much as the kernel takes at once and the process may.
    #[inline]
    fn write_once(&self, offset: u64, from: &mut Source<'_>) -> Result<Moved> {
        match self.largest {
            u64::MAX => sys::write(self.descriptor.as_fd(), offset, from),
            _ => self.write_allowed(offset, from),
        }
    }

    #[cold]
    fn write_allowed(&self, offset: u64, from: &mut Source<'_>) -> Result<Moved> {
        let allowed = self.allowed(offset, from.remaining())?;
        let moved = sys::write(self.descriptor.as_fd(), offset, &mut from.first(allowed))?;
        from.advance(moved.count);
        Ok(moved)
    }

    /// Goes on with a write as [`Self::read_on`] does.
    #[cold]
    fn write_on(&self, cx: &Cx<'_>, offset: u64, mut done: usize, from: &mut Source<'_>) -> Result<usize> {
        while cx.check_canceled().is_ok() {
            let Ok(moved) = self.write_once(offset + done as u64, from) else { break };
            done += moved.count;
            if !moved.whole || from.remaining() == 0 {
                break;
            }
        }
        Ok(done)
    }

    fn end(&self) -> Result<u64> {
        sys::seek_end(self.descriptor.as_fd())
    }
}

impl File for HostFile {
    fn asks_itself(&self) -> bool {
        true
    }

    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        blocking::check()?;
        let moved = sys::read(self.descriptor.as_fd(), offset, into)?;
        if moved.whole && into.remaining() > 0 {
            return self.read_on(cx, offset, moved.count, into);
        }
        Ok(moved.count)
    }

    fn write_at(&self, cx: &Cx<'_>, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        blocking::check()?;
        // A descriptor that is open for appending appends whatever the offset, there.
        #[cfg(any(target_os = "macos", vnode_as_macos))]
        let _position = self.position.lock();
        if from.remaining() > 0 {
            self.will_change(cx)?;
        }
        let moved = self.write_once(offset, from)?;
        if moved.whole && from.remaining() > 0 {
            return self.write_on(cx, offset, moved.count, from);
        }
        Ok(moved.count)
    }

    fn append(&self, cx: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        blocking::check()?;
        let _position = self.position.lock();
        if from.remaining() == 0 {
            return Ok((0, self.end()?));
        }
        self.will_change(cx)?;
        let limited = self.largest != u64::MAX;
        let len = if limited { self.allowed(self.end()?, from.remaining())? } else { from.remaining() };
        let mut part = from.first(len);
        let count = sys::append(self.descriptor.as_fd(), &mut part, limited)?;
        from.advance(count);
        Ok((count, sys::position(self.descriptor.as_fd())?))
    }

    fn set_len(&self, cx: &Cx<'_>, len: u64) -> Result<()> {
        blocking::check()?;
        let fd = self.descriptor.as_fd();
        check_growth(fd, len, self.largest)?;
        self.will_change(cx)?;
        up_to(len, self.largest, || sys::set_len(fd, len))
    }

    fn allocate(&self, cx: &Cx<'_>, how: Allocate, offset: u64, len: u64) -> Result<()> {
        blocking::check()?;
        let (fd, end) = (self.descriptor.as_fd(), offset.saturating_add(len));
        if matches!(how, Allocate::Extend | Allocate::ZeroRange) {
            check_growth(fd, end, self.largest)?;
        }
        self.will_change(cx)?;
        // Room beyond the size is room past the limit to some filesystems, too.
        up_to(end, self.largest, || sys::allocate(fd, how, offset, len))
    }

    fn seek_data_or_hole(&self, _: &Cx<'_>, what: SeekFor, offset: u64) -> Result<u64> {
        blocking::check()?;
        let _position = self.position.lock();
        sys::seek_data_or_hole(self.descriptor.as_fd(), what, offset)
    }

    /// Of a file of any host directory.
    fn copy_range(
        &self,
        cx: &Cx<'_>,
        offset: u64,
        from: &dyn File,
        from_offset: u64,
        len: u64,
    ) -> Result<u64> {
        blocking::check()?;
        match (from as &dyn Any).downcast_ref::<HostFile>() {
            Some(from) => copy::range(cx, self, offset, from, from_offset, len),
            None => Err(Errno::OPNOTSUPP),
        }
    }

    fn lend(&self, _: &Cx<'_>, take: &mut dyn FnMut(&dyn File) -> Result<u64>) -> Result<u64> {
        blocking::check()?;
        take(self)
    }

    fn sync(&self, _: &Cx<'_>, data_only: bool) -> Result<()> {
        blocking::check()?;
        sys::sync(self.descriptor.as_fd(), data_only)
    }
}
