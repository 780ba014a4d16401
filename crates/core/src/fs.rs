//! The contract between the core and a filesystem.
//!
//! A filesystem is told a directory and one validated [`Name`]; it never sees a path. What a symbolic link
//! means, what a mount hides, who may do what: all of that is settled before a filesystem is called.
//!
//! Every operation is atomic: another thread sees it done or not begun, and a failed one changed nothing.

use core::any::Any;
use core::ops::ControlFlow;
use std::sync::Arc;

use crate::attr::{Attr, FileType, Mode, SetAttr, StatFs};
use crate::caller::Caller;
use crate::cx::Cx;
pub use crate::erase::Concrete;
use crate::errno::{Errno, Result};
pub use crate::file::{Allocate, File, SeekFor};
pub use crate::in_place::{InPlace, SharedBytes};
use crate::mount::Place;
use crate::path::{NAME_MAX, Name, NameBuf};
pub use crate::run::{Mark, Run, RunEnd, Want};

bitflags::bitflags! {
    /// What a filesystem can do beyond the least.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Caps: u32 {
        /// Has symbolic links.
        const SYMLINKS = 1 << 0;
        /// Has hard links.
        const HARDLINKS = 1 << 1;
        /// Renames with [`Rename::Exchange`].
        const EXCHANGE = 1 << 2;
        /// Has extended attributes.
        const XATTR = 1 << 3;
        /// May block on IO: an asynchronous embedder moves its calls to another thread.
        const BLOCKING = 1 << 4;
        /// Folds the case of names.
        const CASELESS = 1 << 5;
        /// Takes runs of names: [`Filesystem::resolve_run`] is worth calling.
        const RUNS = 1 << 6;
        /// Has nodes of types FIFO, socket and device.
        const SPECIAL = 1 << 7;
        /// Is never changed: the core answers `EROFS`, where Linux does for a filesystem mounted read-only as a
        /// whole, before it calls.
        const READ_ONLY = 1 << 8;
    }
}

/// The identity of an inode within its filesystem, for as long as somebody holds the inode.
///
/// Every table keyed by it holds the inode too. `st_ino` is [`Attr::ino`] and need not be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(pub u64, pub u64);

/// An inode of some filesystem, opaque to everybody else.
pub trait Inode: Any + Send + Sync {
    /// Its identity.
    fn id(&self) -> InodeId;
    /// Its type, which never changes.
    fn kind(&self) -> FileType;
    /// Counts a holder who needs it for long ([`Pinned`](crate::Pinned)), or one who no longer does: in between a
    /// filesystem that holds what is scarce for its inodes, a descriptor of the host's say, doesn't let go of it. An
    /// inode that stands for another one hands it on.
    fn pin(&self, held: bool) {
        let _ = held;
    }
    /// By what Linux finds it again on its filesystem (`name_to_handle_at(2)`), if that is one of Linux and has such.
    fn handle(&self) -> Option<FileHandle> {
        None
    }
    /// Of a directory, what Linux tells its filesystem from others by, if it does (`FS_IOC_GETFSUUID`).
    fn filesystem_uuid(&self) -> Option<[u8; 16]> {
        None
    }
}

/// What a filesystem of Linux knows an inode by (`struct file_handle`). No other inode of the filesystem ever has the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileHandle {
    /// What it is made of; each filesystem's own.
    pub kind: u8,
    /// Bytes that only the filesystem reads.
    pub id: Box<[u8]>,
}

/// A directory and a name in it.
pub struct At<'a, I: ?Sized> {
    /// The directory.
    pub dir: &'a Arc<I>,
    /// The name.
    pub name: Name<'a>,
}

impl<I: ?Sized> Clone for At<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I: ?Sized> Copy for At<'_, I> {}

/// What a symbolic link leads to.
#[derive(Clone)]
pub enum LinkTarget {
    /// Path text, as it was given when the link was made.
    Text(Arc<[u8]>),
    /// A place that no text names: the links of `/proc/self`, which only the runtime itself makes.
    Jump(Arc<dyn Jump>),
}

/// Where a link leads that has no text (`nd_jump_link` in Linux).
///
/// The walker alone follows it, as [`Policy`](crate::Policy) allows.
pub trait Jump: Send + Sync {
    /// Where it leads for this caller. A place that the caller could not reach is none.
    ///
    /// # Errors
    /// `ENOENT`: what it led to is gone. `EACCES`: it is not for this caller.
    fn place(&self, caller: &Caller<'_>) -> Result<Place>;

    /// What `readlink(2)` tells of it: as a rule the path of the place from the caller's root.
    ///
    /// # Errors
    /// As [`Jump::place`].
    fn text(&self, caller: &Caller<'_>) -> Result<Arc<[u8]>>;
}

/// The type of a new inode, with all that belongs to it from the start.
#[derive(Clone, Copy, Debug)]
pub enum NewKind<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link with its target: 1 to 4095 bytes, no NUL.
    Symlink(&'a [u8]),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character device (`makedev(3)`; Linux's numbers have 12 bits of major and 20 of minor).
    CharDevice(u32),
    /// A block device.
    BlockDevice(u32),
}

impl NewKind<'_> {
    /// The type without what belongs to it.
    pub const fn file_type(&self) -> FileType {
        match self {
            NewKind::Regular => FileType::Regular,
            NewKind::Directory => FileType::Directory,
            NewKind::Symlink(_) => FileType::Symlink,
            NewKind::Fifo => FileType::Fifo,
            NewKind::Socket => FileType::Socket,
            NewKind::CharDevice(_) => FileType::CharDevice,
            NewKind::BlockDevice(_) => FileType::BlockDevice,
        }
    }
}

/// An inode to be made: whole, so that no half-made one is ever seen.
#[derive(Clone, Copy, Debug)]
pub struct NewInode<'a> {
    /// Type.
    pub kind: NewKind<'a>,
    /// Permission bits, the umask already taken off. A symbolic link's are always `0777`.
    pub mode: Mode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl NewInode<'_> {
    /// Its first attributes: no entries, one name or, of a directory, two, and the time of the call for all times.
    pub fn attr(&self, cx: &Cx<'_>, ino: u64) -> Attr {
        let kind = self.kind.file_type();
        let now = cx.now();
        Attr {
            nlink: if kind.is_dir() { 2 } else { 1 },
            uid: self.uid,
            gid: self.gid,
            rdev: if let NewKind::CharDevice(rdev) | NewKind::BlockDevice(rdev) = self.kind {
                rdev
            } else {
                0
            },
            size: if let NewKind::Symlink(target) = self.kind { target.len() as u64 } else { 0 },
            atime: now,
            mtime: now,
            ctime: now,
            btime: Some(now),
            ..Attr::bare(ino, kind, self.mode)
        }
    }
}

/// What a removal expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remove {
    /// Anything but a directory (`unlink(2)`).
    File,
    /// An empty directory (`rmdir(2)`).
    Directory,
}

/// What a rename does with a name that is there (`renameat2(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// Replaces it atomically.
    Replace,
    /// Fails with `EEXIST` (`RENAME_NOREPLACE`).
    NoReplace,
    /// Exchanges both (`RENAME_EXCHANGE`).
    Exchange,
}

bitflags::bitflags! {
    /// How a file is used.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Access: u8 {
        /// For reading.
        const READ = 1;
        /// For writing.
        const WRITE = 2;
    }
}

/// How an extended attribute is set (`setxattr(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetXattr {
    /// Makes or replaces it.
    Any,
    /// Only makes it (`XATTR_CREATE`).
    Create,
    /// Only replaces it (`XATTR_REPLACE`).
    Replace,
}

/// A file just made, and its content opened.
pub type OpenedNew<I> = (Arc<I>, Arc<dyn File>);

/// An entry of a directory listing.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// Name; the core adds `.` and `..`.
    pub name: &'a [u8],
    /// Inode number (`d_ino`).
    pub ino: u64,
    /// Type (`d_type`).
    pub kind: FileType,
    /// The cookie that goes on behind this entry.
    pub next: u64,
}

/// The first cookie that a filesystem may give: those below are the core's, for `.` and `..`.
pub const FIRST_COOKIE: u64 = 3;
/// The last cookie that a filesystem may give.
pub const LAST_COOKIE: u64 = i64::MAX as u64;

/// An open directory's listing.
///
/// Adding or removing entries never makes another entry be skipped or listed twice, and a scan that adds an
/// entry for each that it reads ends.
pub trait DirStream: Send {
    /// Lists from `cookie` on, without `.` and `..`: from the start if it is below [`FIRST_COOKIE`]. Ends when
    /// `emit` breaks or nothing is left. `emit` is called with no lock held that another call of this
    /// filesystem's needs.
    ///
    /// # Errors
    /// `EIO`; `ENOENT`: the directory was removed and the filesystem can't list it any more.
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()>;
}

/// A filesystem.
///
/// Two examples of `vnode-wasmtime` implement it: `custom_filesystem`, in under 150 lines, keeps the content of files
/// in a store of its own over names of a memory filesystem; `own_filesystem` has nothing but this trait.
///
/// Before any of these is called the core has checked: permissions, the sticky bit, read-only mounts, mount
/// points, that a name is one. The filesystem checks what only it can know atomically: that a name is there or
/// isn't, that a directory is empty, that a rename makes no cycle.
pub trait Filesystem: Send + Sync + Sized + 'static {
    /// Its inodes: a type of its own, or `dyn Inode` for a filesystem of a type that is not known
    /// ([`FilesystemRef`](crate::FilesystemRef)).
    type Inode: Concrete + ?Sized;

    /// What it can do; never changes.
    fn caps(&self) -> Caps;

    /// Its root directory.
    fn root(&self) -> Arc<Self::Inode>;

    /// What it has and has left. Nothing is known of that unless it says (`simple_statfs` in Linux).
    ///
    /// # Errors
    /// `EIO`.
    fn statfs(&self, cx: &Cx<'_>) -> Result<StatFs> {
        let _ = cx;
        Ok(StatFs { block_size: 4096, name_max: NAME_MAX as u32, ..StatFs::default() })
    }

    /// The inode that a name stands for; links are not followed (`inode_operations.lookup`).
    ///
    /// # Errors
    /// `ENOENT`: no such name, or the directory was removed. `EIO`.
    fn lookup(&self, cx: &Cx<'_>, at: At<'_, Self::Inode>) -> Result<Arc<Self::Inode>>;

    /// The directory above `dir`; the root's is the root. A removed directory has the one it had last.
    ///
    /// # Errors
    /// `EIO`; `ENOENT`: not to be found any more.
    fn parent(&self, cx: &Cx<'_>, dir: &Arc<Self::Inode>) -> Result<Arc<Self::Inode>>;

    /// The name of `dir` in the directory above it; nothing for the root.
    ///
    /// # Errors
    /// `ENOENT`: `dir` was removed.
    fn name_of(&self, cx: &Cx<'_>, dir: &Arc<Self::Inode>, out: &mut NameBuf) -> Result<()>;

    /// Makes a name with a new inode.
    ///
    /// # Errors
    /// * `EEXIST`: the name is there.
    /// * `ENOENT`: the directory was removed.
    /// * `EMLINK`: the directory holds all the directories it can.
    /// * `ENOSPC`, `EDQUOT`: no room.
    /// * `EPERM`: this filesystem has no such type (see [`Caps`]).
    fn create(&self, cx: &Cx<'_>, at: At<'_, Self::Inode>, new: NewInode<'_>) -> Result<Arc<Self::Inode>>;

    /// Makes a regular file and opens it, whatever its mode, in one step.
    ///
    /// # Errors
    /// As [`Filesystem::create`].
    fn create_open(
        &self,
        cx: &Cx<'_>,
        at: At<'_, Self::Inode>,
        new: NewInode<'_>,
        access: Access,
    ) -> Result<OpenedNew<Self::Inode>> {
        let inode = self.create(cx, at, new)?;
        let file = self.open(cx, &inode, access)?;
        Ok((inode, file))
    }

    /// Makes another name for `target`, which is no directory (`link(2)`).
    ///
    /// # Errors
    /// * `EEXIST`: the name is there.
    /// * `ENOENT`: the directory was removed, or `target` has no name left.
    /// * `EMLINK`: `target` has all the names it can.
    /// * `EPERM`: no hard links here. `ENOSPC`, `EDQUOT`.
    fn link(&self, cx: &Cx<'_>, at: At<'_, Self::Inode>, target: &Arc<Self::Inode>) -> Result<()>;

    /// Removes a name. What is open stays usable until it is closed.
    ///
    /// # Errors
    /// * `ENOENT`: no such name.
    /// * `EISDIR`: [`Remove::File`] of a directory. `ENOTDIR`: [`Remove::Directory`] of something else.
    /// * `ENOTEMPTY`: the directory has entries.
    fn remove(&self, cx: &Cx<'_>, at: At<'_, Self::Inode>, what: Remove) -> Result<()>;

    /// Renames, replaces or exchanges atomically. Two names of one inode: nothing happens, except
    /// that [`Rename::NoReplace`] fails.
    ///
    /// # Errors
    /// * `ENOENT`: no such old name; for [`Rename::Exchange`] no such new name; a directory was removed.
    /// * `EEXIST`: [`Rename::NoReplace`] and the new name is there.
    /// * `EINVAL`: a directory would come to be below itself.
    /// * `ENOTEMPTY`: the new name is a directory with entries, or above the old one.
    /// * `EISDIR`: the new name is a directory and the old one isn't. `ENOTDIR`: the other way round.
    /// * `EMLINK`, `ENOSPC`, `EDQUOT`. `EINVAL`: [`Rename::Exchange`] without [`Caps::EXCHANGE`].
    fn rename(
        &self,
        cx: &Cx<'_>,
        from: At<'_, Self::Inode>,
        to: At<'_, Self::Inode>,
        how: Rename,
    ) -> Result<()>;

    /// Where a symbolic link leads; counts as a read of it for its access time.
    ///
    /// # Errors
    /// `EINVAL`: not a symbolic link. `EIO`.
    fn readlink(&self, cx: &Cx<'_>, link: &Arc<Self::Inode>) -> Result<LinkTarget>;

    /// The attributes.
    ///
    /// # Errors
    /// `EIO`.
    fn getattr(&self, cx: &Cx<'_>, inode: &Arc<Self::Inode>) -> Result<Attr>;

    /// Changes attributes, all or none. A size is only ever given for a regular file.
    ///
    /// # Errors
    /// `EFBIG`, `ENOSPC`: the size can't be. `EPERM`, `EOPNOTSUPP`: this filesystem can't keep the change. `EIO`.
    fn setattr(&self, cx: &Cx<'_>, inode: &Arc<Self::Inode>, set: &SetAttr) -> Result<()>;

    /// Opens a regular file's content.
    ///
    /// # Errors
    /// `EIO`; `ENXIO`: not a regular file.
    fn open(&self, cx: &Cx<'_>, inode: &Arc<Self::Inode>, access: Access) -> Result<Arc<dyn File>>;

    /// Opens a directory's listing.
    ///
    /// # Errors
    /// `ENOTDIR`: not a directory. `EIO`.
    fn open_dir(&self, cx: &Cx<'_>, dir: &Arc<Self::Inode>) -> Result<Box<dyn DirStream>>;

    /// Writes an inode (a directory, say) to the medium (`fsync(2)`). Without a medium there is nothing to do; a
    /// filesystem that has one must do it here.
    ///
    /// # Errors
    /// `EIO`.
    fn sync(&self, cx: &Cx<'_>, inode: &Arc<Self::Inode>, data_only: bool) -> Result<()> {
        let _ = (cx, inode, data_only);
        Ok(())
    }

    /// Takes as many of the names of `run` as it can at once; see [`Run`] for the rules. An optimisation,
    /// never semantics.
    ///
    /// # Errors
    /// As [`Filesystem::lookup`], [`Filesystem::getattr`] and [`Filesystem::open`]; `EACCES`: a directory
    /// that may not be searched.
    fn resolve_run(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Self::Inode>,
        run: &mut Run<'_>,
        want: Want,
    ) -> Result<RunEnd<Self::Inode>> {
        let _ = (cx, dir, run, want);
        Ok(RunEnd::Untaken)
    }

    /// As [`Filesystem::resolve_run`] of the inode, and opens the last name's content at once with [`Run::opened`] if it
    /// is a regular file. Whether the caller may is checked after that, so opening must have no effect of its own.
    ///
    /// Unless it says how, a filesystem opens nothing here. A decorator of files leaves it so: what it doesn't put
    /// itself before is not to be handed out.
    ///
    /// # Errors
    /// As [`Filesystem::resolve_run`].
    fn open_run(
        &self,
        cx: &Cx<'_>,
        dir: &Arc<Self::Inode>,
        run: &mut Run<'_>,
        access: Access,
    ) -> Result<RunEnd<Self::Inode>> {
        let _ = access;
        self.resolve_run(cx, dir, run, Want::Inode)
    }

    /// Reads an extended attribute (`getxattr(2)`); `name` has its namespace (`user.x`).
    ///
    /// # Errors
    /// `ENODATA`: no such attribute. `EOPNOTSUPP`: none here, or not this namespace.
    fn get_xattr(&self, cx: &Cx<'_>, inode: &Arc<Self::Inode>, name: &[u8]) -> Result<Arc<[u8]>> {
        let _ = (cx, inode, name);
        Err(Errno::OPNOTSUPP)
    }

    /// Sets an extended attribute (`setxattr(2)`).
    ///
    /// # Errors
    /// `EEXIST`, `ENODATA`: as `how` says. `ENOSPC`, `E2BIG`. `EOPNOTSUPP`.
    fn set_xattr(
        &self,
        cx: &Cx<'_>,
        inode: &Arc<Self::Inode>,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<()> {
        let _ = (cx, inode, name, value, how);
        Err(Errno::OPNOTSUPP)
    }

    /// Lists the names of the extended attributes (`listxattr(2)`).
    ///
    /// # Errors
    /// `EOPNOTSUPP`.
    fn list_xattr(&self, cx: &Cx<'_>, inode: &Arc<Self::Inode>, emit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let _ = (cx, inode, emit);
        Err(Errno::OPNOTSUPP)
    }

    /// Removes an extended attribute (`removexattr(2)`).
    ///
    /// # Errors
    /// `ENODATA`: no such attribute. `EOPNOTSUPP`.
    fn remove_xattr(&self, cx: &Cx<'_>, inode: &Arc<Self::Inode>, name: &[u8]) -> Result<()> {
        let _ = (cx, inode, name);
        Err(Errno::OPNOTSUPP)
    }
}
