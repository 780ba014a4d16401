//! A guest without WebAssembly: a process on a memory filesystem, and memory to pass arguments in.
#![allow(unsafe_code)]

use std::sync::Arc;

use vnode_core::{Errno, FilesystemRef, Namespace};
use vnode_kernel::{Exit, Process, ProcessBuilder};
use vnode_memory::Memory;
use vnode_wasi::{GuestMemory, Leave, Outcome, errno, preview1};

pub(crate) const READ: u64 = 1 << 1 | 1 << 14;
pub(crate) const WRITE: u64 = 1 << 6;
pub(crate) const CREAT: u32 = 1;
pub(crate) const DIRECTORY: u32 = 2;
pub(crate) const EXCL: u32 = 4;
pub(crate) const TRUNC: u32 = 8;
/// The preopen of the root.
pub(crate) const ROOT: u32 = 3;

/// Where the fixture puts things: results, vectors, two paths, buffers.
pub(crate) const RESULT: u32 = 16;
pub(crate) const VECTORS: u32 = 256;
pub(crate) const PATH: u32 = 0x4000;
pub(crate) const OTHER_PATH: u32 = 0x8000;
pub(crate) const BUFFER: u32 = 0x10000;
pub(crate) const MEMORY: u32 = 0x40000;
/// Not in the memory.
pub(crate) const OUTSIDE: u32 = MEMORY - 3;

pub(crate) type Got<T> = Result<T, Errno>;

pub(crate) struct Guest {
    pub(crate) process: Process,
    memory: Vec<u8>,
}

pub(crate) fn namespace() -> Arc<Namespace> {
    Arc::new(Namespace::new(FilesystemRef::new::<Memory>(Memory::new())))
}

impl Guest {
    pub(crate) fn new() -> Self {
        Guest::with(|builder| builder)
    }

    /// A guest whose root is preopened as `/work`.
    pub(crate) fn with(change: impl FnOnce(ProcessBuilder) -> ProcessBuilder) -> Self {
        Guest::built(|namespace| {
            let root = namespace.root().clone();
            change(Process::builder(namespace).preopen("/work", root))
        })
    }

    pub(crate) fn built(build: impl FnOnce(Arc<Namespace>) -> ProcessBuilder) -> Self {
        Guest { process: build(namespace()).build().unwrap(), memory: vec![0xee; MEMORY as usize] }
    }

    pub(crate) fn outcome(&mut self, call: impl FnOnce(&Process, &GuestMemory<'_>) -> Outcome) -> Outcome {
        // SAFETY: the vector lives longer than the memory made of it and is not used until the call is over.
        let memory = unsafe { GuestMemory::new(self.memory.as_mut_ptr(), self.memory.len()) };
        call(&self.process, &memory)
    }

    pub(crate) fn call(&mut self, call: impl FnOnce(&Process, &GuestMemory<'_>) -> Outcome) -> Got<()> {
        match self.outcome(call) {
            Ok(0) => Ok(()),
            Ok(number) => Err(errno::from_wasi(number).unwrap()),
            Err(exit) => panic!("the guest ended: {exit:?}"),
        }
    }

    pub(crate) fn put(&mut self, at: u32, bytes: &[u8]) {
        self.memory[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn get(&self, at: u32, len: u32) -> Vec<u8> {
        self.memory[at as usize..][..len as usize].to_vec()
    }

    pub(crate) fn u8(&self, at: u32) -> u8 {
        self.memory[at as usize]
    }

    pub(crate) fn u16(&self, at: u32) -> u16 {
        u16::from_le_bytes(self.get(at, 2).try_into().unwrap())
    }

    pub(crate) fn u32(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.get(at, 4).try_into().unwrap())
    }

    pub(crate) fn u64(&self, at: u32) -> u64 {
        u64::from_le_bytes(self.get(at, 8).try_into().unwrap())
    }

    /// Puts a path where paths go and answers where and how long.
    pub(crate) fn path(&mut self, path: impl AsRef<[u8]>) -> (u32, u32) {
        self.put(PATH, path.as_ref());
        (PATH, path.as_ref().len() as u32)
    }

    pub(crate) fn other_path(&mut self, path: impl AsRef<[u8]>) -> (u32, u32) {
        self.put(OTHER_PATH, path.as_ref());
        (OTHER_PATH, path.as_ref().len() as u32)
    }

    /// Puts vectors where they go and answers where and how many.
    pub(crate) fn vectors(&mut self, vectors: &[(u32, u32)]) -> (u32, u32) {
        for (index, (start, len)) in (0..).zip(vectors) {
            self.put(VECTORS + index * 8, &start.to_le_bytes());
            self.put(VECTORS + index * 8 + 4, &len.to_le_bytes());
        }
        (VECTORS, vectors.len() as u32)
    }

    pub(crate) fn open_at(
        &mut self,
        dir: u32,
        path: &str,
        oflags: u32,
        rights: u64,
        fdflags: u32,
    ) -> Got<u32> {
        let (at, len) = self.path(path);
        self.call(|p, m| {
            preview1::path_open(p, m, dir, 1, at, len, oflags, rights, rights, fdflags, RESULT)
        })?;
        Ok(self.u32(RESULT))
    }

    pub(crate) fn open(&mut self, path: &str, oflags: u32, rights: u64) -> Got<u32> {
        self.open_at(ROOT, path, oflags, rights, 0)
    }

    /// Makes a file with content.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        let fd = self.open(path, CREAT | TRUNC, WRITE).unwrap();
        assert_eq!(self.write(fd, content), Ok(content.len() as u32));
        self.close(fd).unwrap();
    }

    pub(crate) fn content(&mut self, path: &str) -> Vec<u8> {
        let fd = self.open(path, 0, READ).unwrap();
        let content = self.read(fd, 0x8000).unwrap();
        self.close(fd).unwrap();
        content
    }

    pub(crate) fn close(&mut self, fd: u32) -> Got<()> {
        self.call(|p, m| preview1::fd_close(p, m, fd))
    }

    pub(crate) fn write(&mut self, fd: u32, bytes: &[u8]) -> Got<u32> {
        self.put(BUFFER, bytes);
        let (at, count) = self.vectors(&[(BUFFER, bytes.len() as u32)]);
        self.call(|p, m| preview1::fd_write(p, m, fd, at, count, RESULT))?;
        Ok(self.u32(RESULT))
    }

    pub(crate) fn pwrite(&mut self, fd: u32, bytes: &[u8], offset: u64) -> Got<u32> {
        self.put(BUFFER, bytes);
        let (at, count) = self.vectors(&[(BUFFER, bytes.len() as u32)]);
        self.call(|p, m| preview1::fd_pwrite(p, m, fd, at, count, offset, RESULT))?;
        Ok(self.u32(RESULT))
    }

    pub(crate) fn read(&mut self, fd: u32, len: u32) -> Got<Vec<u8>> {
        let (at, count) = self.vectors(&[(BUFFER, len)]);
        self.call(|p, m| preview1::fd_read(p, m, fd, at, count, RESULT))?;
        Ok(self.get(BUFFER, self.u32(RESULT)))
    }

    pub(crate) fn pread(&mut self, fd: u32, len: u32, offset: u64) -> Got<Vec<u8>> {
        let (at, count) = self.vectors(&[(BUFFER, len)]);
        self.call(|p, m| preview1::fd_pread(p, m, fd, at, count, offset, RESULT))?;
        Ok(self.get(BUFFER, self.u32(RESULT)))
    }

    pub(crate) fn seek(&mut self, fd: u32, offset: i64, whence: u32) -> Got<u64> {
        self.call(|p, m| preview1::fd_seek(p, m, fd, offset, whence, RESULT))?;
        Ok(self.u64(RESULT))
    }

    pub(crate) fn tell(&mut self, fd: u32) -> Got<u64> {
        self.call(|p, m| preview1::fd_tell(p, m, fd, RESULT))?;
        Ok(self.u64(RESULT))
    }

    pub(crate) fn mkdir(&mut self, path: &str) -> Got<()> {
        let (at, len) = self.path(path);
        self.call(|p, m| preview1::path_create_directory(p, m, ROOT, at, len))
    }

    pub(crate) fn rmdir(&mut self, path: &str) -> Got<()> {
        let (at, len) = self.path(path);
        self.call(|p, m| preview1::path_remove_directory(p, m, ROOT, at, len))
    }

    pub(crate) fn unlink(&mut self, path: &str) -> Got<()> {
        let (at, len) = self.path(path);
        self.call(|p, m| preview1::path_unlink_file(p, m, ROOT, at, len))
    }

    pub(crate) fn symlink(&mut self, target: &str, path: &str) -> Got<()> {
        let (target, target_len) = self.other_path(target);
        let (at, len) = self.path(path);
        self.call(|p, m| preview1::path_symlink(p, m, target, target_len, ROOT, at, len))
    }

    /// The 64 bytes of a filestat.
    pub(crate) fn stat(&mut self, path: impl AsRef<[u8]>, follow: u32) -> Got<Vec<u8>> {
        let (at, len) = self.path(path);
        self.call(|p, m| preview1::path_filestat_get(p, m, ROOT, follow, at, len, BUFFER))?;
        Ok(self.get(BUFFER, 64))
    }

    /// Type, flags, rights, inheriting rights.
    pub(crate) fn fdstat(&mut self, fd: u32) -> Got<(u8, u16, u64, u64)> {
        self.call(|p, m| preview1::fd_fdstat_get(p, m, fd, BUFFER))?;
        Ok((self.u8(BUFFER), self.u16(BUFFER + 2), self.u64(BUFFER + 8), self.u64(BUFFER + 16)))
    }
}

/// How a call that ends the guest ended it.
pub(crate) fn exit_of(outcome: Outcome) -> Exit {
    match outcome.expect_err("the guest goes on") {
        Leave::Ends(exit) => exit,
        Leave::Executes => panic!("it executes another program"),
    }
}
