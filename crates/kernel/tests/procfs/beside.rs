//! A tree with `/proc` and `/dev`, and the same files in a directory of the host.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};
use vnode_core::io::Sink;
use vnode_core::{
    Caller, Clock, Credentials, Cx, Errno, FilesystemRef, Follow, MountFlags, Namespace, OpenFlags, Place,
    Policy, Timespec, VPath,
};
use vnode_kernel::ProcessTable;
use vnode_kernel::devices::Devices;
use vnode_kernel::procfs::Procfs;
use vnode_kernel::{FdFlags, Files, OpenRequest, Process, ProcessBuilder, Rights};
use vnode_memory::Memory;

/// The descriptor of `/` in each process.
pub(crate) const ROOT: u32 = 3;
pub(crate) const BOTH: Rights = Rights::FD_READ.union(Rights::FD_WRITE);

pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_host(error.raw_os_error())
}

pub(crate) struct Tree {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) processes: Arc<ProcessTable>,
    pub(crate) files: Files,
}

pub(crate) fn tree() -> Tree {
    let namespace = Arc::new(Namespace::new(FilesystemRef::new::<Memory>(Memory::new())));
    namespace.mount_at(b"/dev", &FilesystemRef::new(Devices::new()), MountFlags::empty()).unwrap();
    let files = Files::of(&namespace);
    let tree = Tree { namespace, processes: Arc::new(ProcessTable::new()), files };
    tree.mount_proc("/proc");
    tree
}

impl Tree {
    pub(crate) fn mount_proc(&self, at: &str) {
        let procfs = FilesystemRef::new(Procfs::new(self.processes.clone()));
        self.namespace.mount_at(at.as_bytes(), &procfs, MountFlags::empty()).unwrap();
    }

    pub(crate) fn process(
        &self,
        pid: u32,
        change: impl FnOnce(ProcessBuilder) -> ProcessBuilder,
    ) -> Arc<Process> {
        let root = self.namespace.root().clone();
        let builder = Process::builder(Arc::clone(&self.namespace)).pid(pid).policy(Policy::Posix);
        let process = Arc::new(change(builder.preopen("/", root)).build().unwrap());
        self.processes.add(&process).unwrap();
        process
    }

    pub(crate) fn resolve(&self, path: &str) -> Place {
        struct Epoch;
        impl Clock for Epoch {
            fn now(&self) -> Timespec {
                Timespec::EPOCH
            }
        }
        let who = Credentials::root();
        let cx = Cx::new(&who, &Epoch);
        let root = self.namespace.root();
        let caller = Caller { ns: &self.namespace, cx: &cx, root, policy: Policy::Posix };
        caller.resolve(root, VPath::new(path.as_bytes()).unwrap(), Follow::Yes).unwrap()
    }
}

/// A way to open.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) host: OFlags,
    pub(crate) flags: OpenFlags,
    pub(crate) rights: Rights,
}

pub(crate) fn ways() -> Vec<Way> {
    let (read, write) = (Rights::FD_READ, Rights::FD_WRITE);
    let way = |name, host, flags, rights| Way { name, host, flags, rights };
    vec![
        way("reading", OFlags::RDONLY, OpenFlags::empty(), read),
        way("writing", OFlags::WRONLY, OpenFlags::empty(), write),
        way("both", OFlags::RDWR, OpenFlags::empty(), BOTH),
        way("directory", OFlags::RDONLY | OFlags::DIRECTORY, OpenFlags::DIRECTORY, read),
        way("nofollow", OFlags::RDONLY | OFlags::NOFOLLOW, OpenFlags::NOFOLLOW, read),
        way("create", OFlags::RDONLY | OFlags::CREATE, OpenFlags::CREATE, read),
        way(
            "exclusive",
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            OpenFlags::CREATE | OpenFlags::EXCLUSIVE,
            BOTH,
        ),
        way("truncate", OFlags::WRONLY | OFlags::TRUNC, OpenFlags::TRUNCATE, write),
    ]
}

/// A file that is open here and there.
pub(crate) struct Opened {
    ours: u32,
    theirs: OwnedFd,
}

/// The same files in a tree of ours and in a directory of the host.
pub(crate) struct Beside {
    process: Arc<Process>,
    tree: Tree,
    host: PathBuf,
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.host);
    }
}

impl Beside {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let host = std::env::temp_dir().join(format!("vnode-procfs-{}-{number}", std::process::id()));
        std::fs::create_dir(&host).unwrap();
        let host = host.canonicalize().unwrap();
        let tree = tree();
        Beside { process: tree.process(7, |builder| builder), tree, host }
    }

    fn there(&self, path: &str) -> PathBuf {
        self.host.join(path)
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        std::fs::write(self.there(path), content).unwrap();
        self.tree.files.write(path, content).unwrap();
    }

    pub(crate) fn mkdir(&self, path: &str) {
        std::fs::create_dir(self.there(path)).unwrap();
        self.process.mkdir_at(ROOT, path.as_bytes()).unwrap();
    }

    pub(crate) fn rmdir(&self, path: &str) {
        std::fs::remove_dir(self.there(path)).unwrap();
        self.process.rmdir_at(ROOT, path.as_bytes()).unwrap();
    }

    pub(crate) fn unlink(&self, path: &str) {
        std::fs::remove_file(self.there(path)).unwrap();
        self.process.unlink_at(ROOT, path.as_bytes()).unwrap();
    }

    pub(crate) fn symlink(&self, target: &str, path: &str) {
        std::os::unix::fs::symlink(target, self.there(path)).unwrap();
        self.process.symlink_at(target.as_bytes(), ROOT, path.as_bytes()).unwrap();
    }

    pub(crate) fn link(&self, from: &str, to: &str) {
        std::fs::hard_link(self.there(from), self.there(to)).unwrap();
        self.process.link_at(ROOT, from.as_bytes(), Follow::No, ROOT, to.as_bytes()).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.there(from), self.there(to)).unwrap();
        self.process.rename_at(ROOT, from.as_bytes(), ROOT, to.as_bytes()).unwrap();
    }

    fn open_ours(&self, path: &str, flags: OpenFlags, rights: Rights) -> Result<u32, Errno> {
        let request = OpenRequest { flags, rights, status: FdFlags::empty(), close_on_exec: false };
        self.process.open(ROOT, path.as_bytes(), &request)
    }

    pub(crate) fn open(&self, path: &str, host: OFlags, flags: OpenFlags, rights: Rights) -> Opened {
        let theirs = rustix::fs::open(self.there(path), host, Mode::from_raw_mode(0o644)).unwrap();
        Opened { ours: self.open_ours(path, flags, rights).unwrap(), theirs }
    }

    /// The same with a path that is absolute on both sides.
    pub(crate) fn open_at(&self, path: &str, host: OFlags, flags: OpenFlags, rights: Rights) -> Opened {
        let theirs = rustix::fs::open(path, host, Mode::empty()).unwrap();
        Opened { ours: self.open_ours(path, flags, rights).unwrap(), theirs }
    }

    fn links(&self, fd: &Opened) -> (String, String) {
        (format!("proc/self/fd/{}", fd.ours), format!("/proc/self/fd/{}", fd.theirs.as_raw_fd()))
    }

    /// Both links' text, ours with the host's directory before it.
    pub(crate) fn same_link(&self, fd: &Opened, what: &str) {
        let (ours, theirs) = self.links(fd);
        let ours = self.process.readlink_at(ROOT, ours.as_bytes()).unwrap();
        let ours = format!("{}{}", self.host.display(), String::from_utf8_lossy(&ours));
        assert_eq!(ours, std::fs::read_link(theirs).unwrap().to_string_lossy(), "{what}");
        self.same_size_and_mode(fd);
    }

    pub(crate) fn same_absolute_link(&self, fd: &Opened, what: &str) {
        let (ours, theirs) = self.links(fd);
        let ours = self.process.readlink_at(ROOT, ours.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&ours),
            std::fs::read_link(theirs).unwrap().to_string_lossy(),
            "{what}"
        );
    }

    /// The links' own attributes.
    pub(crate) fn same_size_and_mode(&self, fd: &Opened) {
        let (ours, theirs) = self.links(fd);
        let ours = self.process.stat_at(ROOT, ours.as_bytes(), Follow::No).unwrap();
        let theirs = rustix::fs::lstat(theirs).unwrap();
        let theirs = (theirs.st_mode, theirs.st_size as u64, theirs.st_nlink as u32);
        assert_eq!((ours.st_mode(), ours.size, ours.nlink), theirs);
    }

    /// Opens the links; nothing if both refuse.
    pub(crate) fn open_again(&self, fd: &Opened, way: &Way) -> Option<Opened> {
        let (ours, theirs) = self.links(fd);
        let theirs = rustix::fs::open(theirs, way.host, Mode::from_raw_mode(0o644));
        let ours = self.open_ours(&ours, way.flags, way.rights);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => Some(Opened { ours, theirs }),
            (ours, theirs) => {
                assert_eq!(ours.map(drop), theirs.map(drop).map_err(errno), "{}", way.name);
                None
            }
        }
    }

    pub(crate) fn same_bytes(&self, fd: &Opened, len: usize) {
        let (mut ours, mut theirs) = (vec![0; len], vec![0; len]);
        let read = self.process.read(fd.ours, &mut Sink::from_slice(&mut ours));
        assert_eq!(read, rustix::io::read(&fd.theirs, &mut theirs).map_err(errno));
        assert_eq!(ours, theirs);
    }

    /// What is behind the links, and a path from there.
    pub(crate) fn same_stat(&self, fd: &Opened, tail: &str) {
        let (ours, theirs) = self.links(fd);
        let ours = self.process.stat_at(ROOT, format!("{ours}{tail}").as_bytes(), Follow::Yes);
        let theirs = rustix::fs::stat(format!("{theirs}{tail}")).map_err(errno);
        let ours = ours.map(|attr| (attr.kind, attr.nlink * u32::from(!attr.kind.is_dir())));
        let theirs = theirs.map(|stat| {
            let kind = vnode_core::FileType::from_mode(stat.st_mode).unwrap();
            (kind, stat.st_nlink as u32 * u32::from(!kind.is_dir()))
        });
        assert_eq!(ours, theirs, "{tail:?}");
    }
}
