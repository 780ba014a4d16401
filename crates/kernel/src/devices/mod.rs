//! `/dev`: the devices that every process expects, as a small filesystem, and what opening them gives.
//!
//! [`Devices`] has names, types and numbers only. A device is opened by the kernel (`Process::open`), which knows the
//! inodes of this filesystem by their type: a device node of any other filesystem is `ENXIO`.

mod device;

pub(crate) use device::Device;

use core::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use vnode_core::fs::{
    Access, At, Caps, DirEntry, DirStream, FIRST_COOKIE, File, Filesystem, Inode, InodeId, LinkTarget,
    NewInode, Remove, Rename,
};
use vnode_core::{Attr, Cx, Errno, FileType, Mode, NameBuf, Place, Result, SetAttr, StatFs, Timespec};

/// Which device (`Documentation/admin-guide/devices.txt` in Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Zero,
    Full,
    Random,
    Urandom,
    Tty,
}

impl Kind {
    /// The device number (`makedev(3)`), whose minor part has under 8 bits here.
    const fn number(self) -> u32 {
        let (major, minor) = match self {
            Kind::Null => (1, 3),
            Kind::Zero => (1, 5),
            Kind::Full => (1, 7),
            Kind::Random => (1, 8),
            Kind::Urandom => (1, 9),
            Kind::Tty => (5, 0),
        };
        major << 8 | minor
    }
}

enum Entry {
    Device(Kind),
    Link(&'static [u8]),
}

/// The names, in the order of their listing.
const ENTRIES: [(&[u8], Entry); 10] = [
    (b"null", Entry::Device(Kind::Null)),
    (b"zero", Entry::Device(Kind::Zero)),
    (b"full", Entry::Device(Kind::Full)),
    (b"random", Entry::Device(Kind::Random)),
    (b"urandom", Entry::Device(Kind::Urandom)),
    (b"tty", Entry::Device(Kind::Tty)),
    (b"fd", Entry::Link(b"/proc/self/fd")),
    (b"stdin", Entry::Link(b"/proc/self/fd/0")),
    (b"stdout", Entry::Link(b"/proc/self/fd/1")),
    (b"stderr", Entry::Link(b"/proc/self/fd/2")),
];

/// The inode of the root; each entry's is its index after it.
const ROOT_INO: u64 = 1;

/// An inode of [`Devices`].
pub struct DeviceNode {
    /// Nothing for the root.
    entry: Option<usize>,
}

impl DeviceNode {
    fn entry(&self) -> Option<&'static Entry> {
        Some(&ENTRIES.get(self.entry?)?.1)
    }

    fn ino(&self) -> u64 {
        self.entry.map_or(ROOT_INO, |entry| ROOT_INO + 1 + entry as u64)
    }
}

impl Inode for DeviceNode {
    fn id(&self) -> InodeId {
        InodeId(self.ino(), 0)
    }

    fn kind(&self) -> FileType {
        match self.entry() {
            None => FileType::Directory,
            Some(Entry::Device(_)) => FileType::CharDevice,
            Some(Entry::Link(_)) => FileType::Symlink,
        }
    }
}

/// Which device a place is, if it is one of [`Devices`].
pub(crate) fn device_at(place: &Place) -> Option<Kind> {
    match place.inode_as::<DeviceNode>()?.entry()? {
        Entry::Device(kind) => Some(*kind),
        Entry::Link(_) => None,
    }
}

/// The filesystem to mount at `/dev`, read-only: `null`, `zero`, `full`, `random`, `urandom` and `tty` with Linux's
/// numbers, `fd`, `stdin`, `stdout` and `stderr` as links to `/proc/self/fd` ([`Procfs`](crate::procfs::Procfs)).
///
/// `tty` is the process's terminal ([`ProcessBuilder::terminal`](crate::ProcessBuilder::terminal)), and `ENXIO` for a
/// process that has none.
///
/// ```
/// use std::sync::Arc;
/// use vnode_core::io::{Sink, Source};
/// use vnode_core::{Errno, FilesystemRef, MountFlags, Namespace, OpenFlags};
/// use vnode_kernel::devices::Devices;
/// use vnode_kernel::{FdFlags, OpenRequest, Process, Rights};
/// use vnode_memory::Memory;
///
/// let namespace = Arc::new(Namespace::new(FilesystemRef::new(Memory::new())));
/// namespace.mount_at(b"/dev", &FilesystemRef::new(Devices::new()), MountFlags::empty())?;
/// let root = namespace.root().clone();
/// let process = Process::builder(namespace).preopen("/", root).build()?;
///
/// let (flags, status) = (OpenFlags::empty(), FdFlags::empty());
/// let rights = Rights::FD_READ | Rights::FD_WRITE;
/// let full = process.open(3, b"dev/full", &OpenRequest { flags, rights, status, close_on_exec: false })?;
/// assert_eq!(process.read(full, &mut Sink::from_slice(&mut [1; 10]))?, 10);
/// assert_eq!(process.write(full, &mut Source::from_slice(b"x")), Err(Errno::NOSPC));
/// # Ok::<(), Errno>(())
/// ```
pub struct Devices {
    root: Arc<DeviceNode>,
    /// When it was first looked at: the time of everything in it.
    made: OnceLock<Timespec>,
}

impl Devices {
    /// The devices.
    pub fn new() -> Self {
        Devices { root: Arc::new(DeviceNode { entry: None }), made: OnceLock::new() }
    }
}

impl Default for Devices {
    fn default() -> Self {
        Devices::new()
    }
}

impl Filesystem for Devices {
    type Inode = DeviceNode;

    fn caps(&self) -> Caps {
        Caps::SYMLINKS | Caps::SPECIAL | Caps::READ_ONLY
    }

    fn root(&self) -> Arc<DeviceNode> {
        Arc::clone(&self.root)
    }

    fn statfs(&self, _: &Cx<'_>) -> Result<StatFs> {
        let files = 1 + ENTRIES.len() as u64;
        Ok(StatFs { kind: TMPFS_MAGIC, block_size: 4096, name_max: 255, files, ..StatFs::default() })
    }

    fn lookup(&self, _: &Cx<'_>, at: At<'_, DeviceNode>) -> Result<Arc<DeviceNode>> {
        let found = ENTRIES.iter().position(|(name, _)| *name == at.name.as_bytes());
        found.map(|entry| Arc::new(DeviceNode { entry: Some(entry) })).ok_or(Errno::NOENT)
    }

    fn parent(&self, _: &Cx<'_>, _: &Arc<DeviceNode>) -> Result<Arc<DeviceNode>> {
        Ok(Arc::clone(&self.root))
    }

    fn name_of(&self, _: &Cx<'_>, _: &Arc<DeviceNode>, _: &mut NameBuf) -> Result<()> {
        Ok(())
    }

    fn create(&self, _: &Cx<'_>, _: At<'_, DeviceNode>, _: NewInode<'_>) -> Result<Arc<DeviceNode>> {
        Err(Errno::ROFS)
    }

    fn link(&self, _: &Cx<'_>, _: At<'_, DeviceNode>, _: &Arc<DeviceNode>) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn remove(&self, _: &Cx<'_>, _: At<'_, DeviceNode>, _: Remove) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn rename(&self, _: &Cx<'_>, _: At<'_, DeviceNode>, _: At<'_, DeviceNode>, _: Rename) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn readlink(&self, _: &Cx<'_>, link: &Arc<DeviceNode>) -> Result<LinkTarget> {
        match link.entry() {
            Some(Entry::Link(target)) => Ok(LinkTarget::Text(Arc::from(*target))),
            _ => Err(Errno::INVAL),
        }
    }

    fn getattr(&self, cx: &Cx<'_>, inode: &Arc<DeviceNode>) -> Result<Attr> {
        let made = *self.made.get_or_init(|| cx.now());
        let attr = Attr::bare(inode.ino(), inode.kind(), Mode::from_raw(0o755));
        let attr = Attr { atime: made, mtime: made, ctime: made, btime: Some(made), ..attr };
        Ok(match inode.entry() {
            None => Attr { nlink: 2, ..attr },
            Some(Entry::Device(kind)) => Attr { rdev: kind.number(), mode: Mode::from_raw(0o666), ..attr },
            Some(Entry::Link(to)) => Attr { size: to.len() as u64, mode: Mode::from_raw(0o777), ..attr },
        })
    }

    fn setattr(&self, _: &Cx<'_>, _: &Arc<DeviceNode>, _: &SetAttr) -> Result<()> {
        Err(Errno::ROFS)
    }

    fn open(&self, _: &Cx<'_>, _: &Arc<DeviceNode>, _: Access) -> Result<Arc<dyn File>> {
        Err(Errno::NXIO)
    }

    fn open_dir(&self, _: &Cx<'_>, dir: &Arc<DeviceNode>) -> Result<Box<dyn DirStream>> {
        if dir.entry.is_some() { Err(Errno::NOTDIR) } else { Ok(Box::new(Names)) }
    }
}

/// `f_type` of devtmpfs, which is a tmpfs (`statfs(2)`).
const TMPFS_MAGIC: u64 = 0x0102_1994;

struct Names;

impl DirStream for Names {
    fn list(
        &mut self,
        _: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let from = usize::try_from(cookie.saturating_sub(FIRST_COOKIE)).unwrap_or(usize::MAX);
        for (entry, (name, _)) in ENTRIES.iter().enumerate().skip(from) {
            let node = DeviceNode { entry: Some(entry) };
            let next = FIRST_COOKIE + entry as u64 + 1;
            if emit(DirEntry { name, ino: node.ino(), kind: node.kind(), next }).is_break() {
                break;
            }
        }
        Ok(())
    }
}
