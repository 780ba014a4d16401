//! Calls with a descriptor, and those without any file: clocks, random bytes.

use core::ops::ControlFlow;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use vnode_core::fs::DirEntry;
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Capabilities, Errno, Policy, Result, SetTime};

use crate::attempt::{self, Kept};
use crate::clock::ClockId;
use crate::fd_table::{Fd, FdEntry};
use crate::file_io::Whence;
use crate::open_file::OpenFile;
use crate::process::Process;
use crate::random;
use crate::rights::{FdFlags, Rights};
use crate::signal::Signal;
use crate::wait::{Look, Wait};

/// Every call fails with `EBADF`, `ENOTCAPABLE` and the like as [`FdTable::get`](crate::FdTable::get) tells; that
/// isn't listed again.
impl Process {
    /// Reads at the position, and moves it (`readv(2)`).
    ///
    /// # Errors
    /// `EISDIR`: a directory. `EINVAL`: past the largest offset. `EAGAIN`, `EINTR`: a stream. `EIO`.
    #[inline]
    pub fn read(&self, fd: Fd, into: &mut Sink<'_>) -> Result<usize> {
        let file = self.fds.get(fd, Rights::FD_READ)?;
        self.call_on_open(|cx| file.read(cx, self.interruption(), into))
    }

    /// Reads at an offset; the position stays (`preadv(2)`).
    ///
    /// # Errors
    /// `ESPIPE`: a stream. `EISDIR`, `EINVAL`, `EIO`.
    #[inline]
    pub fn pread(&self, fd: Fd, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        let file = self.fds.get(fd, Rights::FD_READ | Rights::FD_SEEK)?;
        self.call_on_open(|cx| file.read_at(cx, offset, into))
    }

    /// Writes at the position, and moves it (`writev(2)`).
    ///
    /// # Errors
    /// `EINVAL`: past the largest offset. `EFBIG`, `ENOSPC`, `EDQUOT`, `EIO`. `EPIPE`, `EAGAIN`, `EINTR`: a stream.
    #[inline]
    pub fn write(&self, fd: Fd, from: &mut Source<'_>) -> Result<usize> {
        let file = self.fds.get(fd, Rights::FD_WRITE)?;
        let written = self.call_on_open(|cx| file.write(cx, self.interruption(), from));
        if written == Err(Errno::PIPE) {
            self.broken_pipe();
        }
        written
    }

    /// A POSIX process is told by a signal, besides: it ends unless it handles or ignores that.
    #[cold]
    pub(crate) fn broken_pipe(&self) {
        if self.policy == Policy::Posix {
            self.signals().send(Signal::PIPE);
        }
    }

    /// Writes at an offset; the position stays (`pwritev(2)`).
    ///
    /// # Errors
    /// `ESPIPE`: a stream. Else as [`Process::write`].
    #[inline]
    pub fn pwrite(&self, fd: Fd, offset: u64, from: &mut Source<'_>) -> Result<usize> {
        let file = self.fds.get(fd, Rights::FD_WRITE | Rights::FD_SEEK)?;
        self.call_on_open(|cx| file.write_at(cx, offset, from))
    }

    /// Moves the position and answers it (`lseek(2)`). Asking where it is needs less than moving it.
    ///
    /// # Errors
    /// `ESPIPE`: a stream. `EINVAL`: before the start or past the largest offset, or the end of a directory.
    pub fn seek(&self, fd: Fd, offset: i64, whence: Whence) -> Result<u64> {
        let file = match (offset, whence) {
            (0, Whence::Current) => self.tellable(fd)?,
            _ => self.fds.get(fd, Rights::FD_SEEK)?,
        };
        self.call_on_open(|cx| file.seek(cx, offset, whence))
    }

    /// The position (`lseek(fd, 0, SEEK_CUR)`).
    ///
    /// # Errors
    /// `ESPIPE`: a stream.
    pub fn tell(&self, fd: Fd) -> Result<u64> {
        let file = self.tellable(fd)?;
        self.call_on_open(|cx| file.seek(cx, 0, Whence::Current))
    }

    /// The right to seek implies the right to tell.
    fn tellable(&self, fd: Fd) -> Result<Arc<OpenFile>> {
        let told = self.fds.get(fd, Rights::FD_TELL);
        told.or_else(|errno| self.fds.get(fd, Rights::FD_SEEK).map_err(|_| errno))
    }

    /// Takes advice on a range (`posix_fadvise(3)`).
    ///
    /// # Errors
    /// `ESPIPE`: a stream. `EINVAL`: the length is past the largest offset.
    pub fn advise(&self, fd: Fd, len: u64) -> Result<()> {
        self.fds.get(fd, Rights::FD_ADVISE)?.advise(len)
    }

    /// Makes sure that a range has storage (`posix_fallocate(3)`).
    ///
    /// # Errors
    /// * `EINVAL`: no bytes, or offset or length past the largest offset. `EFBIG`: their sum is.
    /// * `EBADF`: not open for writing, or a directory. `ESPIPE`: a stream. `ENOSPC`, `EDQUOT`, `EIO`.
    pub fn allocate(&self, fd: Fd, offset: u64, len: u64) -> Result<()> {
        let file = self.fds.get(fd, Rights::FD_ALLOCATE)?;
        self.call_on_open(|cx| file.allocate(cx, offset, len))
    }

    /// Writes to the medium (`fsync(2)`).
    ///
    /// # Errors
    /// `EINVAL`: a stream. `EIO`.
    pub fn sync(&self, fd: Fd) -> Result<()> {
        let file = self.fds.get(fd, Rights::FD_SYNC)?;
        self.call(|caller| file.sync(caller, false))
    }

    /// Writes content to the medium (`fdatasync(2)`).
    ///
    /// # Errors
    /// As [`Process::sync`].
    pub fn datasync(&self, fd: Fd) -> Result<()> {
        let file = self.fds.get(fd, Rights::FD_DATASYNC)?;
        self.call(|caller| file.sync(caller, true))
    }

    /// Sets the size (`ftruncate(2)`).
    ///
    /// # Errors
    /// `EINVAL`: not a regular file open for writing, or past the largest offset. `EFBIG`, `ENOSPC`, `EIO`.
    pub fn set_size(&self, fd: Fd, size: u64) -> Result<()> {
        let file = self.fds.get(fd, Rights::FD_FILESTAT_SET_SIZE)?;
        self.call_on_open(|cx| file.set_size(cx, size))
    }

    /// Sets access and modification time (`futimens(3)`).
    ///
    /// # Errors
    /// `EPERM`, `EACCES`: not the owner. `EROFS`. `EINVAL`: a stream.
    pub fn set_times(&self, fd: Fd, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
        let file = self.fds.get(fd, Rights::FD_FILESTAT_SET_TIMES)?;
        self.call(|caller| file.set_times(caller, atime, mtime))
    }

    /// The attributes (`fstat(2)`).
    ///
    /// # Errors
    /// `EIO`.
    #[inline]
    pub fn stat(&self, fd: Fd) -> Result<Attr> {
        let file = self.fds.get(fd, Rights::FD_FILESTAT_GET)?;
        self.call_on_open(|cx| file.attr(cx))
    }

    /// Lists a directory from `cookie` on (`getdents64(2)`).
    ///
    /// # Errors
    /// `ENOTDIR`. `ENOENT`: it was removed. `EIO`.
    pub fn readdir(
        &self,
        fd: Fd,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let file = self.fds.get(fd, Rights::FD_READDIR)?;
        self.call(|caller| file.list(caller, cookie, emit))
    }

    /// What a descriptor holds; needs no right.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn fd_state(&self, fd: Fd) -> Result<(Arc<OpenFile>, FdEntry)> {
        self.fds.get_entry(fd, Rights::empty())
    }

    /// The name of a preopen.
    ///
    /// # Errors
    /// `EBADF`: not open, or no preopen.
    pub fn preopen_name(&self, fd: Fd) -> Result<Arc<[u8]>> {
        let (_, entry) = self.fds.get_entry(fd, Rights::empty())?;
        entry.preopen().cloned().ok_or(Errno::BADF)
    }

    /// Sets the status flags (`F_SETFL`).
    ///
    /// # Errors
    /// Those of the descriptor.
    pub fn set_flags(&self, fd: Fd, flags: FdFlags) -> Result<()> {
        self.fds.get(fd, Rights::FD_FDSTAT_SET_FLAGS)?.set_flags(flags);
        Ok(())
    }

    /// Closes (`close(2)`).
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&self, fd: Fd) -> Result<()> {
        self.fds.close(fd)
    }

    /// Moves `from` to `to`, closing what `to` was; a POSIX process keeps `from` as well, for its C library makes
    /// `dup2` of it.
    ///
    /// # Errors
    /// `EBADF`: one of them is not open.
    pub fn renumber(&self, from: Fd, to: Fd) -> Result<()> {
        match self.policy {
            Policy::Posix => self.fds.duplicate_to(from, to),
            Policy::Beneath | Policy::Strict => self.fds.renumber(from, to),
        }
    }

    /// Makes the lowest free number another descriptor of the same open file (`dup(2)`).
    ///
    /// # Errors
    /// `EBADF`. `EMFILE`.
    pub fn dup(&self, fd: Fd) -> Result<Fd> {
        self.fds.duplicate(fd, 0, false)
    }

    /// The same from a number on (`F_DUPFD`, `F_DUPFD_CLOEXEC`).
    ///
    /// # Errors
    /// `EBADF`. `EINVAL`: `min` is past all numbers. `EMFILE`.
    pub fn dup_from(&self, fd: Fd, min: Fd, close_on_exec: bool) -> Result<Fd> {
        self.fds.duplicate(fd, min, close_on_exec)
    }

    /// Sets whether another program's execution closes the descriptor (`F_SETFD`).
    ///
    /// # Errors
    /// `EBADF`.
    pub fn set_close_on_exec(&self, fd: Fd, close: bool) -> Result<()> {
        self.fds.set_close_on_exec(fd, close)
    }

    /// Waits until another thread wakes a word of the guest's memory, or for so long (`FUTEX_WAIT`). `unchanged` tells
    /// whether the word has still the value that the guest expects.
    ///
    /// # Errors
    /// `EAGAIN`: it has not. `ETIMEDOUT`. `EINTR`: the process is to end. What `unchanged` says.
    pub fn futex_wait(
        &self,
        address: u32,
        timeout: Option<Duration>,
        unchanged: impl FnOnce() -> Result<bool>,
    ) -> Result<()> {
        self.futexes.wait(self.interruption(), address, timeout, unchanged)
    }

    /// Wakes up to `count` of those who wait for a word longest, and answers how many (`FUTEX_WAKE`).
    pub fn futex_wake(&self, address: u32, count: usize) -> usize {
        self.futexes.wake(address, count)
    }

    /// Sleeps (`clock_nanosleep(2)` of the monotonic clock).
    ///
    /// # Errors
    /// `EINTR`: the process is to end.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let deadline = attempt::kept().until.or_else(|| Instant::now().checked_add(time));
        let slept = Wait::blocking(self.interruption()).until(&[], || {
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => Ok(Look::Found(())),
                left => Ok(Look::NotYet(left)),
            }
        });
        if slept.is_err() {
            attempt::keep_time(Kept { until: deadline, ..Kept::default() }, self.interruption());
        }
        slept
    }

    /// The time of a clock in nanoseconds.
    ///
    /// # Errors
    /// `EINVAL`: no such clock here. `EOVERFLOW`: the time has no number.
    pub fn time(&self, clock: ClockId) -> Result<u64> {
        self.clocks.time(clock)
    }

    /// Sets a clock, for all who have these clocks: the times of files follow (`clock_settime(2)`).
    ///
    /// # Errors
    /// * `EINVAL`: only the realtime clock can be set, and not to any time
    ///   ([`Clocks::set_realtime`](crate::Clocks::set_realtime)).
    /// * `EPERM`: the process may not (`CAP_SYS_TIME`).
    pub fn set_time(&self, clock: ClockId, time: u64) -> Result<()> {
        match clock {
            ClockId::Realtime if self.credentials.has(Capabilities::SYS_TIME) => {
                self.clocks.set_realtime(time)
            }
            ClockId::Realtime => Err(Errno::PERM),
            ClockId::Monotonic | ClockId::ProcessCpu | ClockId::ThreadCpu => Err(Errno::INVAL),
        }
    }

    /// The resolution of a clock in nanoseconds.
    ///
    /// # Errors
    /// `EINVAL`: no such clock here.
    pub fn resolution(&self, clock: ClockId) -> Result<u64> {
        self.clocks.resolution(clock)
    }

    /// Fills with random bytes (`getrandom(2)`).
    ///
    /// # Errors
    /// `EINTR`: the process is to end. `EIO`.
    pub fn random(&self, into: &mut Sink<'_>) -> Result<()> {
        self.call_on_open(|cx| random::fill(cx, &*self.random, into))
    }
}
