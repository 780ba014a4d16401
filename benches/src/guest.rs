//! A process of preview1 with a memory of bytes, and its calls as a guest makes them.

use anyhow::{Result, bail};
use std::sync::Arc;
use vnode_core::{Clock, Namespace, Place, Timespec};
use vnode_kernel::{ClockId, Clocks, Process, Rights};
use vnode_wasi::{GuestMemory, Outcome, preview1};

/// The descriptor of the directory that all paths start in.
pub(crate) const DIR: u32 = 3;

/// Where in the memory what stands.
const RESULT: u32 = 0;
const VECTOR: u32 = 128;
const PATH: u32 = 1024;
const OTHER_PATH: u32 = 2048;
const BUFFER: u32 = 8192;
const MEMORY: usize = 8192 + 65536;

/// Rights that choose reading and writing.
const READ_WRITE: u64 = Rights::FD_READ.bits() | Rights::FD_WRITE.bits();
const CREATE_EXCLUSIVE: u32 = 0b101;
const APPEND: u32 = 1;

/// A clock that stands.
pub(crate) struct Still;

impl Clocks for Still {
    fn time(&self, _clock: ClockId) -> vnode_core::Result<u64> {
        Ok(1)
    }

    fn resolution(&self, _clock: ClockId) -> vnode_core::Result<u64> {
        Ok(1)
    }
}

impl Clock for Still {
    fn now(&self) -> Timespec {
        self.coarse()
    }
}

/// A guest.
pub(crate) struct Guest {
    process: Process,
    memory: Vec<u8>,
}

impl Guest {
    /// A process whose directory is `place`.
    pub(crate) fn new(namespace: &Arc<Namespace>, place: Place) -> Result<Self> {
        Ok(Self::of(Process::builder(namespace.clone()).preopen("/", place).build()?))
    }

    /// The same, for which time stands still: a run under callgrind has no vDSO to ask, and all runs are alike.
    pub(crate) fn out_of_time(namespace: &Arc<Namespace>, place: Place) -> Result<Self> {
        let builder = Process::builder(namespace.clone()).clocks(Arc::new(Still));
        Ok(Self::of(builder.preopen("/", place).build()?))
    }

    fn of(process: Process) -> Self {
        Guest { process, memory: vec![7; MEMORY] }
    }

    fn call(&mut self, function: impl FnOnce(&Process, &GuestMemory<'_>) -> Outcome) -> Result<()> {
        match function(&self.process, &GuestMemory::from_slice(&mut self.memory)) {
            Ok(0) => Ok(()),
            other => bail!("a call that has to succeed gave {other:?}"),
        }
    }

    /// A call that has to fail with this number.
    fn call_fails(
        &mut self,
        errno: u16,
        function: impl FnOnce(&Process, &GuestMemory<'_>) -> Outcome,
    ) -> Result<()> {
        match function(&self.process, &GuestMemory::from_slice(&mut self.memory)) {
            Ok(number) if number == errno => Ok(()),
            other => bail!("a call that has to fail with {errno} gave {other:?}"),
        }
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> (u32, u32) {
        self.memory[at as usize..][..bytes.len()].copy_from_slice(bytes);
        (at, bytes.len() as u32)
    }

    fn number(&self) -> u32 {
        let bytes: [u8; 4] = self.memory[RESULT as usize..][..4].try_into().unwrap_or_default();
        u32::from_le_bytes(bytes)
    }

    fn vector(&mut self, len: u32) {
        self.put(VECTOR, &BUFFER.to_le_bytes());
        self.put(VECTOR + 4, &len.to_le_bytes());
    }

    pub(crate) fn stat(&mut self, path: &str) -> Result<()> {
        let (at, len) = self.put(PATH, path.as_bytes());
        self.call(|process, memory| preview1::path_filestat_get(process, memory, DIR, 1, at, len, RESULT))
    }

    pub(crate) fn stat_missing(&mut self, path: &str) -> Result<()> {
        const NOENT: u16 = 44;
        let (at, len) = self.put(PATH, path.as_bytes());
        self.call_fails(NOENT, |process, memory| {
            preview1::path_filestat_get(process, memory, DIR, 1, at, len, RESULT)
        })
    }

    pub(crate) fn fstat(&mut self, fd: u32) -> Result<()> {
        self.call(|process, memory| preview1::fd_filestat_get(process, memory, fd, RESULT))
    }

    fn open_with(&mut self, path: &str, oflags: u32, fdflags: u32) -> Result<u32> {
        let (at, len) = self.put(PATH, path.as_bytes());
        self.call(|process, memory| {
            preview1::path_open(
                process, memory, DIR, 1, at, len, oflags, READ_WRITE, READ_WRITE, fdflags, RESULT,
            )
        })?;
        Ok(self.number())
    }

    pub(crate) fn open(&mut self, path: &str) -> Result<u32> {
        self.open_with(path, 0, 0)
    }

    pub(crate) fn create(&mut self, path: &str) -> Result<u32> {
        self.open_with(path, CREATE_EXCLUSIVE, 0)
    }

    pub(crate) fn open_to_append(&mut self, path: &str) -> Result<u32> {
        self.open_with(path, 0, APPEND)
    }

    pub(crate) fn open_dir(&mut self, path: &str) -> Result<u32> {
        let (at, len) = self.put(PATH, path.as_bytes());
        let (rights, directory) = (Rights::FD_READDIR.bits(), 2);
        self.call(|process, memory| {
            preview1::path_open(process, memory, DIR, 1, at, len, directory, rights, 0, 0, RESULT)
        })?;
        Ok(self.number())
    }

    pub(crate) fn close(&mut self, fd: u32) -> Result<()> {
        self.call(|process, memory| preview1::fd_close(process, memory, fd))
    }

    pub(crate) fn readlink(&mut self, path: &str) -> Result<()> {
        let (at, len) = self.put(PATH, path.as_bytes());
        self.call(|process, memory| {
            preview1::path_readlink(process, memory, DIR, at, len, BUFFER, 64, RESULT)
        })
    }

    pub(crate) fn symlink(&mut self, target: &str, path: &str) -> Result<()> {
        let (old, old_len) = self.put(OTHER_PATH, target.as_bytes());
        let (at, len) = self.put(PATH, path.as_bytes());
        self.call(|process, memory| preview1::path_symlink(process, memory, old, old_len, DIR, at, len))
    }

    pub(crate) fn unlink(&mut self, path: &str) -> Result<()> {
        let (at, len) = self.put(PATH, path.as_bytes());
        self.call(|process, memory| preview1::path_unlink_file(process, memory, DIR, at, len))
    }

    pub(crate) fn mkdir(&mut self, path: &str) -> Result<()> {
        let (at, len) = self.put(PATH, path.as_bytes());
        self.call(|process, memory| preview1::path_create_directory(process, memory, DIR, at, len))
    }

    pub(crate) fn rmdir(&mut self, path: &str) -> Result<()> {
        let (at, len) = self.put(PATH, path.as_bytes());
        self.call(|process, memory| preview1::path_remove_directory(process, memory, DIR, at, len))
    }

    pub(crate) fn rename(&mut self, old: &str, new: &str) -> Result<()> {
        let (from, from_len) = self.put(PATH, old.as_bytes());
        let (to, to_len) = self.put(OTHER_PATH, new.as_bytes());
        self.call(|process, memory| {
            preview1::path_rename(process, memory, DIR, from, from_len, DIR, to, to_len)
        })
    }

    /// Lists a whole directory in buffers of 4 KiB, as wasi-libc does; answers the bytes.
    pub(crate) fn list(&mut self, fd: u32) -> Result<u32> {
        const LEN: u32 = 4096;
        let (mut cookie, mut total) = (0, 0);
        loop {
            self.call(|process, memory| {
                preview1::fd_readdir(process, memory, fd, BUFFER, LEN, cookie, RESULT)
            })?;
            let used = self.number();
            total += used;
            if used < LEN {
                return Ok(total);
            }
            cookie = self.last_cookie(used);
        }
    }

    /// The cookie of the last whole entry in the buffer.
    fn last_cookie(&self, used: u32) -> u64 {
        let (mut at, mut cookie) = (BUFFER as usize, 0);
        let end = at + used as usize;
        while at + 24 <= end {
            let word = |offset: usize| -> u64 {
                self.memory[at + offset..][..8].try_into().map_or(0, u64::from_le_bytes)
            };
            let next = at + 24 + (word(16) as u32) as usize;
            if next > end {
                break;
            }
            cookie = word(0);
            at = next;
        }
        cookie
    }

    pub(crate) fn read_at(&mut self, fd: u32, len: u32, offset: u64) -> Result<()> {
        self.vector(len);
        self.call(|process, memory| preview1::fd_pread(process, memory, fd, VECTOR, 1, offset, RESULT))
    }

    pub(crate) fn write_at(&mut self, fd: u32, len: u32, offset: u64) -> Result<()> {
        self.vector(len);
        self.call(|process, memory| preview1::fd_pwrite(process, memory, fd, VECTOR, 1, offset, RESULT))
    }

    pub(crate) fn write(&mut self, fd: u32, len: u32) -> Result<()> {
        self.vector(len);
        self.call(|process, memory| preview1::fd_write(process, memory, fd, VECTOR, 1, RESULT))
    }

    pub(crate) fn rewind(&mut self, fd: u32) -> Result<()> {
        self.call(|process, memory| preview1::fd_seek(process, memory, fd, 0, 0, RESULT))
    }

    pub(crate) fn truncate(&mut self, fd: u32) -> Result<()> {
        self.call(|process, memory| preview1::fd_filestat_set_size(process, memory, fd, 0))
    }
}
