//! The system under test, in Linux's terms.
//!
//! A [`Subject`] is one process with one root: it has a working directory, a umask, credentials and open
//! handles, and every operation is a system call's `*at` form. Errors are raw Linux numbers.

use bitflags::bitflags;
use vnode_core::{Attr, Errno, Result, SetTime, StatFs};

/// An open file or directory of a subject, as a file descriptor is one of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

impl Handle {
    /// A handle that is never open.
    pub const NONE: Handle = Handle(u32::MAX);
}

/// A path and where it starts: the `dirfd, path` pair of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<'a> {
    /// The directory that a relative path starts from; `None` is the working directory (`AT_FDCWD`).
    pub dir: Option<Handle>,
    /// The path, byte for byte as the caller spelled it.
    pub path: &'a [u8],
}

impl<'a> At<'a> {
    /// A path from the working directory.
    pub const fn cwd(path: &'a [u8]) -> Self {
        At { dir: None, path }
    }

    /// A path from an open directory.
    pub const fn dir(dir: Handle, path: &'a [u8]) -> Self {
        At { dir: Some(dir), path }
    }
}

/// An inode by path or by handle, for calls that have both forms (`setxattr` and `fsetxattr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// By path; the flag says whether a final symbolic link is followed.
    Path(At<'a>, Follow),
    /// By handle.
    Open(Handle),
}

/// Whether a symbolic link in the last place is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The link's target is meant.
    Yes,
    /// The link itself is meant (`AT_SYMLINK_NOFOLLOW`).
    No,
}

bitflags! {
    /// The flags of `open(2)`; the access mode is `READ`, `WRITE` or both.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// `O_RDONLY`, or with `WRITE` `O_RDWR`.
        const READ = 1 << 0;
        /// `O_WRONLY`, or with `READ` `O_RDWR`.
        const WRITE = 1 << 1;
        /// `O_CREAT`.
        const CREATE = 1 << 2;
        /// `O_EXCL`.
        const EXCLUSIVE = 1 << 3;
        /// `O_TRUNC`.
        const TRUNCATE = 1 << 4;
        /// `O_APPEND`.
        const APPEND = 1 << 5;
        /// `O_DIRECTORY`.
        const DIRECTORY = 1 << 6;
        /// `O_NOFOLLOW`.
        const NOFOLLOW = 1 << 7;
        /// `O_PATH`.
        const PATH = 1 << 8;
    }
}

bitflags! {
    /// What a case asks of a subject beyond files, directories and links.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Needs: u32 {
        /// Other credentials than root's can be taken.
        const USERS = 1 << 0;
        /// Filesystems can be mounted.
        const MOUNTS = 1 << 1;
        /// Absolute paths and `..` end at the test's own root.
        const ROOT = 1 << 2;
        /// Extended attributes.
        const XATTR = 1 << 3;
        /// Device nodes, FIFOs and sockets can be made.
        const NODES = 1 << 4;
        /// Permission bits and owners can be changed, and are checked.
        const MODES = 1 << 5;
        /// A working directory.
        const CWD = 1 << 6;
        /// `O_PATH` handles.
        const PATH_HANDLES = 1 << 7;
        /// Holes: allocation with modes, `SEEK_DATA`, `SEEK_HOLE`.
        const HOLES = 1 << 8;
        /// `renameat2` with flags.
        const RENAME_FLAGS = 1 << 9;
        /// Directories are listed newest first, with tmpfs's cookies.
        const NEWEST_FIRST = 1 << 10;
        /// `statfs`.
        const STATFS = 1 << 11;
        /// Calls that name inodes WASI's preview 1 can't (`truncate` by path, `access` ...).
        const BY_PATH = 1 << 12;
        /// Unmounting what is in use is `EBUSY`.
        const BUSY_MOUNTS = 1 << 13;
        /// The caller starts as uid 0 with every capability.
        const SUPERUSER = 1 << 14;
        /// Timestamps stay when the filesystem is frozen or sunk.
        const TIMES = 1 << 15;
    }
}

impl Needs {
    /// The names of the bits, for reports and case files.
    pub fn words(self) -> Vec<String> {
        self.iter_names().map(|(name, _)| name.to_lowercase()).collect()
    }
}

/// Where `lseek(2)` counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// `SEEK_SET`.
    Set,
    /// `SEEK_CUR`.
    Current,
    /// `SEEK_END`.
    End,
    /// `SEEK_DATA`.
    Data,
    /// `SEEK_HOLE`.
    Hole,
}

/// The flags of `renameat2(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameHow {
    /// No flag: an existing target is replaced.
    Replace,
    /// `RENAME_NOREPLACE`.
    NoReplace,
    /// `RENAME_EXCHANGE`.
    Exchange,
}

/// The modes of `fallocate(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    /// Mode 0.
    Extend,
    /// `FALLOC_FL_KEEP_SIZE`.
    KeepSize,
    /// `FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE`.
    PunchHole,
}

/// What `mknodat(2)` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// `S_IFREG`.
    Regular,
    /// `S_IFIFO`.
    Fifo,
    /// `S_IFSOCK`.
    Socket,
    /// `S_IFCHR` with major and minor.
    Char(u32, u32),
    /// `S_IFBLK` with major and minor.
    Block(u32, u32),
    /// `S_IFDIR`, which `mknod` refuses.
    Directory,
}

/// The flags of `setxattr(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrHow {
    /// Creates or replaces.
    Either,
    /// `XATTR_CREATE`.
    Create,
    /// `XATTR_REPLACE`.
    Replace,
}

bitflags! {
    /// The mode of `faccessat(2)`; empty is `F_OK`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u32 {
        /// `R_OK`.
        const READ = 4;
        /// `W_OK`.
        const WRITE = 2;
        /// `X_OK`.
        const EXECUTE = 1;
    }
}

/// A directory entry as `getdents64(2)` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Vec<u8>,
    /// `d_ino`.
    pub ino: u64,
    /// `d_type` (`DT_REG` and so on: the type bits of the mode, shifted by 12).
    pub kind: u8,
    /// `d_off`: the cookie that continues behind this entry.
    pub next: u64,
}

/// A filesystem to mount.
#[derive(Clone, Copy, Debug)]
pub enum Mount<'a> {
    /// An empty memory filesystem; 0 is no limit.
    Memory {
        /// Bytes it may hold.
        size: u64,
        /// Inodes it may hold, its root included.
        inodes: u64,
    },
    /// The directory or file at a path, once more.
    Bind(&'a [u8]),
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id; 0 has every capability, others none.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl User {
    /// uid 0, gid 0, no other group.
    pub const fn root() -> Self {
        User { uid: 0, gid: 0, groups: Vec::new() }
    }
}

/// The system under test. Errors are those of the system call each method is named after, as Linux gives them.
#[allow(missing_docs, reason = "each method is the system call of its name")]
pub trait Subject {
    /// What the subject is, for reports.
    fn name(&self) -> String;
    /// What it can do; cases that need more are skipped, and counted.
    fn provides(&self) -> Needs;
    /// Back to an empty root directory (mode 755, root's), root's credentials, umask 022, cwd `/`, nothing open.
    fn reset(&mut self) -> Result<()>;
    /// Whether a path of 40 links or fewer may end in `ELOOP` once in a while. Linux walks without locks first; when
    /// it has to give that up, because something changes at the same time, it walks again and counts the links of
    /// both attempts (`total_link_count` is set to 0 once for the two).
    fn miscounts_links(&self) -> bool {
        false
    }
    /// Told before each call of a case, for a subject that keeps account of them.
    fn step(&mut self) {}
    /// Lets time pass until a new timestamp differs from every one given so far.
    fn tick(&mut self);
    /// Makes the root's filesystem read-only as a whole, whatever the mount, until the next [`Subject::reset`]. What
    /// is open is closed first; root's credentials, umask 022 and cwd `/` are taken again. Nothing may be mounted.
    fn freeze(&mut self) -> Result<()> {
        Err(Errno::OPNOTSUPP)
    }
    /// Told once what fills the tree is done, and nothing is open yet: a subject of layers has all of it in a lower from
    /// now on.
    fn sink(&mut self) -> Result<()> {
        Ok(())
    }
    /// Opens the test's top directory, whatever the cwd and the credentials are.
    fn open_top(&mut self) -> Result<Handle> {
        self.openat(At::cwd(b"/"), OpenFlags::READ | OpenFlags::DIRECTORY, 0)
    }

    fn openat(&mut self, at: At<'_>, flags: OpenFlags, mode: u32) -> Result<Handle>;
    fn close(&mut self, handle: Handle) -> Result<()>;
    fn read(&mut self, handle: Handle, count: usize) -> Result<Vec<u8>>;
    fn pread(&mut self, handle: Handle, count: usize, offset: i64) -> Result<Vec<u8>>;
    fn write(&mut self, handle: Handle, bytes: &[u8]) -> Result<usize>;
    fn pwrite(&mut self, handle: Handle, bytes: &[u8], offset: i64) -> Result<usize>;
    fn lseek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<i64>;
    fn fsync(&mut self, handle: Handle) -> Result<()>;
    fn ftruncate(&mut self, handle: Handle, len: i64) -> Result<()>;
    fn truncate(&mut self, path: &[u8], len: i64) -> Result<()>;
    fn fallocate(&mut self, handle: Handle, how: Allocate, offset: i64, len: i64) -> Result<()>;

    fn mkdirat(&mut self, at: At<'_>, mode: u32) -> Result<()>;
    fn mknodat(&mut self, at: At<'_>, node: Node, mode: u32) -> Result<()>;
    fn symlinkat(&mut self, target: &[u8], at: At<'_>) -> Result<()>;
    fn linkat(&mut self, old: At<'_>, new: At<'_>, follow: Follow) -> Result<()>;
    fn unlinkat(&mut self, at: At<'_>) -> Result<()>;
    fn rmdirat(&mut self, at: At<'_>) -> Result<()>;
    fn renameat2(&mut self, from: At<'_>, to: At<'_>, how: RenameHow) -> Result<()>;
    fn readlinkat(&mut self, at: At<'_>, size: usize) -> Result<Vec<u8>>;

    fn fstatat(&mut self, at: At<'_>, follow: Follow) -> Result<Attr>;
    fn fstat(&mut self, handle: Handle) -> Result<Attr>;
    fn utimensat(&mut self, on: Target<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()>;
    fn fchmodat(&mut self, at: At<'_>, mode: u32) -> Result<()>;
    fn fchmod(&mut self, handle: Handle, mode: u32) -> Result<()>;
    /// Owner or group `None` stays (`-1`).
    fn fchownat(&mut self, on: Target<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()>;
    fn faccessat(&mut self, at: At<'_>, access: Access, follow: Follow) -> Result<()>;
    fn statfs(&mut self, path: &[u8]) -> Result<StatFs>;

    fn chdir(&mut self, path: &[u8]) -> Result<()>;
    fn fchdir(&mut self, handle: Handle) -> Result<()>;
    fn getcwd(&mut self) -> Result<Vec<u8>>;
    /// At most `max` entries of a directory, from `cookie` on; 0 is the beginning.
    fn readdir(&mut self, handle: Handle, cookie: u64, max: usize) -> Result<Vec<Entry>>;

    fn setxattr(&mut self, on: Target<'_>, name: &[u8], value: &[u8], how: XattrHow) -> Result<()>;
    /// `size` 0 asks for the length alone, which is then the length of the answer's zeros.
    fn getxattr(&mut self, on: Target<'_>, name: &[u8], size: usize) -> Result<Vec<u8>>;
    fn listxattr(&mut self, on: Target<'_>) -> Result<Vec<Vec<u8>>>;
    fn removexattr(&mut self, on: Target<'_>, name: &[u8]) -> Result<()>;

    /// Sets the umask; answers the old one.
    fn umask(&mut self, mask: u32) -> u32;
    /// Takes the credentials of `user`, from whichever it has.
    fn become_user(&mut self, user: &User) -> Result<()>;
    fn mount(&mut self, what: Mount<'_>, path: &[u8], read_only: bool) -> Result<()>;
    fn umount(&mut self, path: &[u8]) -> Result<()>;
}
