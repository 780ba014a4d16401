//! A guest whose strings the test pulls: every import of preview1, called with any numbers.

use std::sync::OnceLock;

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::{Ended, Guest, GuestBuilder, Killer, add_to_linker_sync, attach};
use wasmtime::{Engine, Func, Instance, Linker, Module, Store, Trap, Val, ValType};

/// WASI's error numbers.
pub(crate) const SUCCESS: i32 = 0;
pub(crate) const EBADF: i32 = 8;
pub(crate) const EBUSY: i32 = 10;
pub(crate) const EEXIST: i32 = 20;
pub(crate) const EFAULT: i32 = 21;
pub(crate) const EFBIG: i32 = 22;
pub(crate) const EINVAL: i32 = 28;
pub(crate) const EISDIR: i32 = 31;
pub(crate) const ELOOP: i32 = 32;
pub(crate) const EMFILE: i32 = 33;
pub(crate) const ENAMETOOLONG: i32 = 37;
pub(crate) const ENOENT: i32 = 44;
pub(crate) const ENOSPC: i32 = 51;
pub(crate) const ENOTDIR: i32 = 54;
pub(crate) const EPERM: i32 = 63;
pub(crate) const EROFS: i32 = 69;
pub(crate) const EXDEV: i32 = 75;
pub(crate) const ENOTCAPABLE: i32 = 76;

pub(crate) const CREAT: i64 = 1;
pub(crate) const DIRECTORY: i64 = 2;
pub(crate) const EXCL: i64 = 4;
pub(crate) const TRUNC: i64 = 8;
pub(crate) const READ: i64 = 1 << 1;
pub(crate) const WRITE: i64 = 1 << 6;
pub(crate) const READDIR: i64 = 1 << 14;
const ALL_RIGHTS: i64 = (1 << 30) - 1;

/// The first preopen.
pub(crate) const ROOT: i64 = 3;
/// Where the puppet puts things in its memory: results, vectors, two paths, a buffer up to the end of the first two
/// pages.
pub(crate) const RESULT: i64 = 16;
pub(crate) const VECTORS: i64 = 0x100;
pub(crate) const PATH: i64 = 0x4000;
pub(crate) const OTHER: i64 = 0x8000;
pub(crate) const BUFFER: i64 = 0x10000;
pub(crate) const BUFFER_LEN: i64 = 0x10000;

struct Host {
    engine: Engine,
    linker: Linker<Guest>,
}

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let engine = Engine::new(&vnode_wasmtime::config()).unwrap();
        let mut linker = Linker::new(&engine);
        add_to_linker_sync(&mut linker, |guest| guest).unwrap();
        Host { engine, linker }
    })
}

/// A module that exports a function for each import, and `memory`, given as the text of its definition.
fn strings(memory: &str) -> Module {
    let Host { engine, linker } = host();
    let nobody = Module::new(engine, "(module)").unwrap();
    let guest = Guest::builder(&FilesystemRef::new(Memory::new())).build(&nobody).unwrap();
    let mut store = Store::new(engine, guest);
    let served: Vec<_> = linker
        .iter(&mut store)
        .filter(|(module, _, _)| *module == "wasi_snapshot_preview1")
        .map(|(module, name, item)| (module.to_owned(), name.to_owned(), item.into_func()))
        .collect();
    let (mut imports, mut exports) = (String::new(), String::new());
    for (module, name, function) in served {
        let ty = function.unwrap().ty(&store);
        let list = |types: Vec<String>| types.join(" ");
        let params = list(ty.params().map(|param| param.to_string()).collect());
        let results = list(ty.results().map(|result| result.to_string()).collect());
        let signature = format!("(param {params}) (result {results})");
        let arguments: String = (0..ty.params().len()).map(|at| format!("(local.get {at}) ")).collect();
        imports += &format!("(import \"{module}\" \"{name}\" (func ${name} {signature}))\n");
        exports += &format!("(func (export \"{name}\") {signature} (call ${name} {arguments}))\n");
    }
    Module::new(engine, format!("(module {imports} {memory} {exports})")).unwrap()
}

/// A puppet: a guest in a store of its own.
pub(crate) struct Puppet {
    store: Store<Guest>,
    instance: Instance,
}

/// The attributes that `filestat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) kind: u8,
    pub(crate) nlink: u64,
    pub(crate) size: u64,
    pub(crate) times: [u64; 3],
}

pub(crate) type Got<T> = Result<T, i32>;

/// The cookie behind an entry of a directory, and its name.
pub(crate) type Entry = (u64, Vec<u8>);

fn got(errno: i32) -> Got<()> {
    if errno == SUCCESS { Ok(()) } else { Err(errno) }
}

impl Puppet {
    /// A puppet with the root of a filesystem as `/`, and two pages of memory.
    pub(crate) fn on(fs: &FilesystemRef) -> Puppet {
        Puppet::of(Guest::builder(fs).preopen("/", "/"))
    }

    /// A puppet as a builder says.
    pub(crate) fn of(builder: GuestBuilder) -> Puppet {
        static MODULE: OnceLock<Module> = OnceLock::new();
        let module = MODULE.get_or_init(|| strings("(memory (export \"memory\") 2)"));
        Puppet::start(builder, module)
    }

    /// A puppet with so many pages of memory.
    pub(crate) fn with_pages(builder: GuestBuilder, pages: u32) -> Puppet {
        Puppet::start(builder, &strings(&format!("(memory (export \"memory\") {pages})")))
    }

    fn start(builder: GuestBuilder, module: &Module) -> Puppet {
        let Host { engine, linker } = host();
        let mut store = Store::new(engine, builder.build(module).unwrap());
        attach(&mut store, |guest| guest);
        let instance = linker.instantiate(&mut store, module).unwrap();
        Puppet { store, instance }
    }

    pub(crate) fn killer(&self) -> Killer {
        self.store.data().killer()
    }

    pub(crate) fn open_descriptors(&self) -> usize {
        self.store.data().process().fds().len()
    }

    /// Calls an import: its error number, or nothing if that ended the guest.
    pub(crate) fn try_call(&mut self, name: &str, arguments: &[i64]) -> Option<i32> {
        let function = self.function(name);
        let mut values = [const { Val::I32(0) }; 16];
        let types = function.ty(&self.store);
        assert_eq!(types.params().len(), arguments.len(), "{name}");
        for ((value, ty), &argument) in values.iter_mut().zip(types.params()).zip(arguments) {
            *value = if matches!(ty, ValType::I32) { Val::I32(argument as i32) } else { Val::I64(argument) };
        }
        let mut results = [Val::I32(0)];
        let count = types.results().len();
        match function.call(&mut self.store, &values[..arguments.len()], &mut results[..count]) {
            Ok(()) => Some(results[0].unwrap_i32()),
            Err(error) if error.is::<Ended>() => None,
            // Killed in its own code, between two calls.
            Err(error) if error.downcast_ref() == Some(&Trap::Interrupt) => None,
            Err(error) => panic!("{name}{arguments:?}: {error:?}"),
        }
    }

    fn function(&mut self, name: &str) -> Func {
        self.instance.get_func(&mut self.store, name).unwrap_or_else(|| panic!("{name}?"))
    }

    pub(crate) fn call(&mut self, name: &str, arguments: &[i64]) -> i32 {
        self.try_call(name, arguments).unwrap_or_else(|| panic!("{name}{arguments:?} ended the guest"))
    }

    pub(crate) fn put(&mut self, at: i64, bytes: &[u8]) {
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        memory.write(&mut self.store, at as usize, bytes).unwrap();
    }

    pub(crate) fn get<const N: usize>(&mut self, at: i64) -> [u8; N] {
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        let mut bytes = [0; N];
        memory.read(&self.store, at as usize, &mut bytes).unwrap();
        bytes
    }

    pub(crate) fn bytes(&mut self, at: i64, len: usize) -> Vec<u8> {
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        memory.data(&self.store)[at as usize..][..len].to_vec()
    }

    pub(crate) fn u32(&mut self, at: i64) -> u32 {
        u32::from_le_bytes(self.get(at))
    }

    pub(crate) fn u64(&mut self, at: i64) -> u64 {
        u64::from_le_bytes(self.get(at))
    }

    pub(crate) fn path(&mut self, path: impl AsRef<[u8]>) -> i64 {
        self.put(PATH, path.as_ref());
        path.as_ref().len() as i64
    }

    pub(crate) fn other(&mut self, path: impl AsRef<[u8]>) -> i64 {
        self.put(OTHER, path.as_ref());
        path.as_ref().len() as i64
    }

    pub(crate) fn vectors(&mut self, vectors: &[(u32, u32)]) -> i64 {
        let bytes: Vec<u8> =
            vectors.iter().flat_map(|&(at, len)| [at, len]).flat_map(u32::to_le_bytes).collect();
        self.put(VECTORS, &bytes);
        vectors.len() as i64
    }

    /// Opens, following links.
    pub(crate) fn open(&mut self, dir: i64, path: impl AsRef<[u8]>, oflags: i64, rights: i64) -> Got<i64> {
        let len = self.path(path);
        got(self.call("path_open", &[dir, 1, PATH, len, oflags, rights, ALL_RIGHTS, 0, RESULT]))?;
        Ok(i64::from(self.u32(RESULT)))
    }

    pub(crate) fn open_dir(&mut self, dir: i64, path: impl AsRef<[u8]>) -> Got<i64> {
        self.open(dir, path, DIRECTORY, READDIR)
    }

    pub(crate) fn close(&mut self, fd: i64) -> Got<()> {
        got(self.call("fd_close", &[fd]))
    }

    pub(crate) fn mkdir(&mut self, dir: i64, path: impl AsRef<[u8]>) -> Got<()> {
        let len = self.path(path);
        got(self.call("path_create_directory", &[dir, PATH, len]))
    }

    pub(crate) fn rmdir(&mut self, dir: i64, path: impl AsRef<[u8]>) -> Got<()> {
        let len = self.path(path);
        got(self.call("path_remove_directory", &[dir, PATH, len]))
    }

    pub(crate) fn unlink(&mut self, dir: i64, path: impl AsRef<[u8]>) -> Got<()> {
        let len = self.path(path);
        got(self.call("path_unlink_file", &[dir, PATH, len]))
    }

    pub(crate) fn symlink(&mut self, target: impl AsRef<[u8]>, dir: i64, path: impl AsRef<[u8]>) -> Got<()> {
        let (target, len) = (self.other(target), self.path(path));
        got(self.call("path_symlink", &[OTHER, target, dir, PATH, len]))
    }

    pub(crate) fn readlink(&mut self, dir: i64, path: impl AsRef<[u8]>) -> Got<Vec<u8>> {
        let len = self.path(path);
        got(self.call("path_readlink", &[dir, PATH, len, BUFFER, 4096, RESULT]))?;
        let used = self.u32(RESULT);
        Ok(self.bytes(BUFFER, used as usize))
    }

    pub(crate) fn rename(&mut self, old: (i64, &str), new: (i64, &str)) -> Got<()> {
        let (old_len, new_len) = (self.path(old.1), self.other(new.1));
        got(self.call("path_rename", &[old.0, PATH, old_len, new.0, OTHER, new_len]))
    }

    /// Links; `follow` is 0 or 1.
    pub(crate) fn link(&mut self, follow: i64, old: (i64, &str), new: (i64, &str)) -> Got<()> {
        let (old_len, new_len) = (self.path(old.1), self.other(new.1));
        got(self.call("path_link", &[old.0, follow, PATH, old_len, new.0, OTHER, new_len]))
    }

    pub(crate) fn set_times(&mut self, dir: i64, follow: i64, path: impl AsRef<[u8]>, time: u64) -> Got<()> {
        let len = self.path(path);
        let time = time as i64;
        got(self.call("path_filestat_set_times", &[dir, follow, PATH, len, time, time, 1 | 4]))
    }

    pub(crate) fn stat(&mut self, dir: i64, follow: i64, path: impl AsRef<[u8]>) -> Got<Stat> {
        let len = self.path(path);
        got(self.call("path_filestat_get", &[dir, follow, PATH, len, RESULT]))?;
        Ok(self.filestat())
    }

    pub(crate) fn fstat(&mut self, fd: i64) -> Got<Stat> {
        got(self.call("fd_filestat_get", &[fd, RESULT]))?;
        Ok(self.filestat())
    }

    fn filestat(&mut self) -> Stat {
        Stat {
            dev: self.u64(RESULT),
            ino: self.u64(RESULT + 8),
            kind: self.get::<1>(RESULT + 16)[0],
            nlink: self.u64(RESULT + 24),
            size: self.u64(RESULT + 32),
            times: [self.u64(RESULT + 40), self.u64(RESULT + 48), self.u64(RESULT + 56)],
        }
    }

    pub(crate) fn set_size(&mut self, fd: i64, size: u64) -> Got<()> {
        got(self.call("fd_filestat_set_size", &[fd, size as i64]))
    }

    pub(crate) fn write(&mut self, fd: i64, bytes: &[u8]) -> Got<u32> {
        self.put(BUFFER, bytes);
        self.vectors(&[(BUFFER as u32, bytes.len() as u32)]);
        got(self.call("fd_write", &[fd, VECTORS, 1, RESULT]))?;
        Ok(self.u32(RESULT))
    }

    pub(crate) fn pwrite(&mut self, fd: i64, bytes: &[u8], offset: u64) -> Got<u32> {
        self.put(BUFFER, bytes);
        self.vectors(&[(BUFFER as u32, bytes.len() as u32)]);
        got(self.call("fd_pwrite", &[fd, VECTORS, 1, offset as i64, RESULT]))?;
        Ok(self.u32(RESULT))
    }

    pub(crate) fn pread(&mut self, fd: i64, len: u32, offset: u64) -> Got<Vec<u8>> {
        self.vectors(&[(BUFFER as u32, len)]);
        got(self.call("fd_pread", &[fd, VECTORS, 1, offset as i64, RESULT]))?;
        let count = self.u32(RESULT);
        Ok(self.bytes(BUFFER, count as usize))
    }

    /// Makes a file with a content.
    pub(crate) fn file(&mut self, dir: i64, path: &str, content: &[u8]) {
        let fd = self.open(dir, path, CREAT | TRUNC, WRITE).unwrap();
        assert_eq!(self.write(fd, content), Ok(content.len() as u32));
        self.close(fd).unwrap();
    }

    pub(crate) fn content(&mut self, dir: i64, path: &str) -> Got<Vec<u8>> {
        let fd = self.open(dir, path, 0, READ)?;
        let content = self.pread(fd, 0x8000, 0);
        self.close(fd).unwrap();
        content
    }

    /// One call of `fd_readdir`: the entries that came whole, as cookie and name, and how many bytes came.
    pub(crate) fn readdir(&mut self, fd: i64, len: i64, cookie: u64) -> Got<(Vec<Entry>, u32)> {
        got(self.call("fd_readdir", &[fd, BUFFER, len, cookie as i64, RESULT]))?;
        let used = self.u32(RESULT);
        let bytes = self.bytes(BUFFER, used as usize);
        let mut rest = &bytes[..];
        let mut entries = Vec::new();
        while rest.len() >= 24 {
            let next = u64::from_le_bytes(rest[..8].try_into().unwrap());
            let name_len = u32::from_le_bytes(rest[16..20].try_into().unwrap()) as usize;
            let Some(name) = rest.get(24..24 + name_len) else { break };
            entries.push((next, name.to_vec()));
            rest = &rest[24 + name_len..];
        }
        Ok((entries, used))
    }

    /// All names of a directory but `.` and `..`, sorted.
    pub(crate) fn names(&mut self, dir: i64, path: &str) -> Vec<String> {
        let fd = self.open_dir(dir, path).unwrap();
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let (entries, used) = self.readdir(fd, BUFFER_LEN, cookie).unwrap();
            let Some((last, _)) = entries.last() else { break };
            cookie = *last;
            names.extend(entries.iter().map(|(_, name)| String::from_utf8_lossy(name).into_owned()));
            if i64::from(used) < BUFFER_LEN {
                break;
            }
        }
        self.close(fd).unwrap();
        names.retain(|name| name != "." && name != "..");
        names.sort();
        names
    }
}
