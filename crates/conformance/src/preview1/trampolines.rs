//! A running guest that calls what it is told to: arguments are put into its memory, the export of the call's name
//! is called, and what it wrote is read back.

use vnode_core::{Errno, Result};
use vnode_wasi::errno::from_wasi;
use vnode_wasmtime::{Guest, Instance, WasmParams};

use super::Thread;
use super::wire::{Abi, Filestat};

/// The guest's module.
pub(super) fn module(abi: Abi) -> String {
    let text = include_str!("guest.wat");
    match abi {
        Abi::Preview1 => text.to_owned(),
        Abi::Unstable => {
            let lines = text.lines().filter(|line| !line.contains("sock_accept"));
            lines.map(|line| line.replace("wasi_snapshot_preview1", "wasi_unstable") + "\n").collect()
        }
        // Its `sock_accept` has another type.
        Abi::Wasix => {
            let lines = text.lines().filter(|line| !line.contains("sock_accept"));
            let own = |line: &str| line.replace("wasi_snapshot_preview1", "wasix_32v1") + "\n";
            let text: String = lines.map(own).collect();
            text.replacen("(module\n", &format!("(module\n{WASIX}"), 1)
        }
    }
}

/// What a guest of WASIX calls besides.
const WASIX: &str = r#"
  (import "wasix_32v1" "chdir" (func $chdir (param i32 i32) (result i32)))
  (import "wasix_32v1" "getcwd" (func $getcwd (param i32 i32) (result i32)))
  (import "wasix_32v1" "path_open2"
    (func $path_open2 (param i32 i32 i32 i32 i32 i64 i64 i32 i32 i32) (result i32)))
  (export "chdir" (func $chdir))
  (export "getcwd" (func $getcwd))
  (export "path_open2" (func $path_open2))
"#;

/// Where a call's result goes; the widest is a filestat.
const RESULT: u32 = 0x100;
/// Where vectors go.
const VECTORS: u32 = 0x200;
/// Where paths go.
const PATHS: u32 = 0x1000;
/// Where content goes, to the end of the memory.
const BUFFER: u32 = 0x10_0000;
/// What a result's place holds before the call, so that one which is not written is seen.
const POISON: u8 = 0xaa;
/// How much a listing gets at a time: not a multiple of anything, so that records are cut off.
const LISTED: u32 = 1003;

/// The guest and where its next path goes.
pub(super) struct Trampolines {
    instance: Instance,
    thread: Thread,
    abi: Abi,
    next_path: u32,
    /// What ended the guest or can't be, the first time.
    pub(super) broken: Option<String>,
}

/// A path or a link's text in the guest's memory.
type Text = (u32, u32);

impl Trampolines {
    pub(super) fn new(instance: Instance, abi: Abi, thread: Thread) -> Self {
        Trampolines { instance, abi, thread, next_path: PATHS, broken: None }
    }

    pub(super) fn guest(&self) -> &Guest {
        self.instance.guest()
    }

    fn call<P: WasmParams + Sync>(&mut self, name: &str, params: P) -> Result<()> {
        self.next_path = PATHS;
        let called = match self.thread {
            Thread::Own => self.instance.call::<P, i32>(name, params),
            Thread::Executors => pollster::block_on(self.instance.call_async::<P, i32>(name, params)),
        };
        match called {
            Ok(0) => Ok(()),
            Ok(number) => match u16::try_from(number).ok().and_then(from_wasi) {
                Some(errno) => Err(errno),
                None => Err(self.breaks(format!("{name} answered {number}"))),
            },
            Err(error) => Err(self.breaks(format!("{name}: {error}"))),
        }
    }

    fn breaks(&mut self, why: String) -> Errno {
        self.broken.get_or_insert(why);
        Errno::IO
    }

    fn text(&mut self, bytes: &[u8]) -> Result<Text> {
        let at = self.next_path;
        self.instance.write_memory(at, bytes)?;
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::FAULT)?;
        self.next_path = at + len;
        Ok((at, len))
    }

    fn poison(&mut self) -> Result<u32> {
        self.instance.write_memory(RESULT, &[POISON; 64])?;
        Ok(RESULT)
    }

    fn result<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.instance.read_memory(RESULT, &mut bytes)?;
        Ok(bytes)
    }

    fn filestat(&mut self) -> Result<Filestat> {
        let stat = self.abi.filestat(&self.result()?, POISON);
        stat.map_err(|_| self.breaks("more than a filestat was written".to_owned()))
    }

    fn number(&self) -> Result<u32> {
        self.result().map(u32::from_le_bytes)
    }

    /// Three vectors over `len` bytes of the buffer, the middle one empty and nowhere.
    fn vectors(&mut self, len: usize) -> Result<Text> {
        let len = u32::try_from(len).map_err(|_| Errno::FAULT)?;
        let first = len / 3;
        let vectors = [(BUFFER, first), (u32::MAX - 7, 0), (BUFFER + first, len - first)];
        let bytes: Vec<u8> =
            vectors.iter().flat_map(|(at, len)| [at.to_le_bytes(), len.to_le_bytes()]).flatten().collect();
        self.instance.write_memory(VECTORS, &bytes)?;
        Ok((VECTORS, vectors.len() as u32))
    }

    fn content(&self, len: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.instance.read_memory(BUFFER, &mut bytes)?;
        Ok(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<Text> {
        self.instance.write_memory(BUFFER, bytes)?;
        self.vectors(bytes.len())
    }

    pub(super) fn open(&mut self, dir: u32, path: &[u8], how: &Open) -> Result<u32> {
        let ((at, len), out) = (self.text(path)?, self.poison()?);
        let Open { lookup, oflags, rights, fdflags } = *how;
        match self.abi {
            Abi::Wasix => {
                self.call("path_open2", (dir, lookup, at, len, oflags, rights, rights, fdflags, 0, out))?;
            }
            _ => self.call("path_open", (dir, lookup, at, len, oflags, rights, rights, fdflags, out))?,
        }
        self.number()
    }

    pub(super) fn chdir(&mut self, path: &[u8]) -> Result<()> {
        let (at, len) = self.text(path)?;
        self.call("chdir", (at, len))
    }

    pub(super) fn getcwd(&mut self) -> Result<Vec<u8>> {
        let room: u32 = 8192;
        self.instance.write_memory(RESULT, &room.to_le_bytes())?;
        self.call("getcwd", (BUFFER, RESULT))?;
        self.content(self.number()?)
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<()> {
        self.call("fd_close", fd)
    }

    pub(super) fn read(&mut self, fd: u32, count: usize) -> Result<Vec<u8>> {
        let ((at, vectors), out) = (self.vectors(count)?, self.poison()?);
        self.call("fd_read", (fd, at, vectors, out))?;
        self.content(self.number()?)
    }

    pub(super) fn pread(&mut self, fd: u32, count: usize, offset: i64) -> Result<Vec<u8>> {
        let ((at, vectors), out) = (self.vectors(count)?, self.poison()?);
        self.call("fd_pread", (fd, at, vectors, offset, out))?;
        self.content(self.number()?)
    }

    pub(super) fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<usize> {
        let ((at, vectors), out) = (self.put(bytes)?, self.poison()?);
        self.call("fd_write", (fd, at, vectors, out))?;
        self.number().map(|count| count as usize)
    }

    pub(super) fn pwrite(&mut self, fd: u32, bytes: &[u8], offset: i64) -> Result<usize> {
        let ((at, vectors), out) = (self.put(bytes)?, self.poison()?);
        self.call("fd_pwrite", (fd, at, vectors, offset, out))?;
        self.number().map(|count| count as usize)
    }

    pub(super) fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Result<i64> {
        let out = self.poison()?;
        self.call("fd_seek", (fd, offset, whence, out))?;
        self.result().map(i64::from_le_bytes)
    }

    pub(super) fn tell(&mut self, fd: u32) -> Result<i64> {
        let out = self.poison()?;
        self.call("fd_tell", (fd, out))?;
        self.result().map(i64::from_le_bytes)
    }

    pub(super) fn sync(&mut self, fd: u32) -> Result<()> {
        self.call("fd_sync", fd)
    }

    pub(super) fn set_size(&mut self, fd: u32, size: i64) -> Result<()> {
        self.call("fd_filestat_set_size", (fd, size))
    }

    pub(super) fn allocate(&mut self, fd: u32, offset: i64, len: i64) -> Result<()> {
        self.call("fd_allocate", (fd, offset, len))
    }

    pub(super) fn stat(&mut self, fd: u32) -> Result<Filestat> {
        let out = self.poison()?;
        self.call("fd_filestat_get", (fd, out))?;
        self.filestat()
    }

    pub(super) fn set_times(&mut self, fd: u32, atime: u64, mtime: u64, flags: u32) -> Result<()> {
        self.call("fd_filestat_set_times", (fd, atime, mtime, flags))
    }

    /// Records from a cookie on, the last cut off, and whether there are no more.
    pub(super) fn list(&mut self, fd: u32, cookie: u64) -> Result<(Vec<u8>, bool)> {
        let out = self.poison()?;
        self.call("fd_readdir", (fd, BUFFER, LISTED, cookie, out))?;
        let used = self.number()?;
        Ok((self.content(used)?, used < LISTED))
    }

    pub(super) fn make_directory(&mut self, dir: u32, path: &[u8]) -> Result<()> {
        let (at, len) = self.text(path)?;
        self.call("path_create_directory", (dir, at, len))
    }

    pub(super) fn stat_at(&mut self, dir: u32, path: &[u8], lookup: u32) -> Result<Filestat> {
        let ((at, len), out) = (self.text(path)?, self.poison()?);
        self.call("path_filestat_get", (dir, lookup, at, len, out))?;
        self.filestat()
    }

    pub(super) fn set_times_at(
        &mut self,
        dir: u32,
        path: &[u8],
        lookup: u32,
        times: (u64, u64, u32),
    ) -> Result<()> {
        let (at, len) = self.text(path)?;
        let (atime, mtime, flags) = times;
        self.call("path_filestat_set_times", (dir, lookup, at, len, atime, mtime, flags))
    }

    pub(super) fn link(&mut self, old: (u32, &[u8]), lookup: u32, new: (u32, &[u8])) -> Result<()> {
        let ((old_at, old_len), (new_at, new_len)) = (self.text(old.1)?, self.text(new.1)?);
        self.call("path_link", (old.0, lookup, old_at, old_len, new.0, new_at, new_len))
    }

    pub(super) fn readlink(&mut self, dir: u32, path: &[u8], size: usize) -> Result<Vec<u8>> {
        let ((at, len), out) = (self.text(path)?, self.poison()?);
        let size = u32::try_from(size).map_err(|_| Errno::FAULT)?;
        self.call("path_readlink", (dir, at, len, BUFFER, size, out))?;
        self.content(self.number()?)
    }

    pub(super) fn remove_directory(&mut self, dir: u32, path: &[u8]) -> Result<()> {
        let (at, len) = self.text(path)?;
        self.call("path_remove_directory", (dir, at, len))
    }

    pub(super) fn rename(&mut self, old: (u32, &[u8]), new: (u32, &[u8])) -> Result<()> {
        let ((old_at, old_len), (new_at, new_len)) = (self.text(old.1)?, self.text(new.1)?);
        self.call("path_rename", (old.0, old_at, old_len, new.0, new_at, new_len))
    }

    pub(super) fn symlink(&mut self, target: &[u8], dir: u32, path: &[u8]) -> Result<()> {
        let ((target_at, target_len), (at, len)) = (self.text(target)?, self.text(path)?);
        self.call("path_symlink", (target_at, target_len, dir, at, len))
    }

    pub(super) fn unlink(&mut self, dir: u32, path: &[u8]) -> Result<()> {
        let (at, len) = self.text(path)?;
        self.call("path_unlink_file", (dir, at, len))
    }
}

/// The numbers of `path_open`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) lookup: u32,
    pub(super) oflags: u32,
    pub(super) rights: u64,
    pub(super) fdflags: u32,
}
