//! Calls with a directory's descriptor and a path.

use std::sync::Arc;

use vnode_core::access::{self, May};
use vnode_core::fs::{Access, Rename};
use vnode_core::{
    Attr, Caller, Errno, FileType, Follow, Mode, OpenFlags, OpenHow, OpenNode, Opened, PATH_MAX, Place,
    Policy, Result, SetTime, VPath,
};

use crate::devices::{self, Device};
use crate::fd_table::{Fd, FdEntry};
use crate::open_file::{OpenFile, Origin, What};
use crate::process::{Process, directory_rights};
use crate::procfs::streams::{self, OpenStream};
use crate::rights::{FdFlags, Rights};

/// Stands for the beginning of a path that is too long to be shown.
const ELLIPSIS: &[u8] = b"...";

/// How a path is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest {
    /// Create, exclusive, truncate, directory, nofollow.
    pub flags: OpenFlags,
    /// The rights wanted: `FD_READ`, `FD_READDIR` and `FD_WRITE` choose the access mode. The others count for
    /// nothing: all that the directory hands on are given.
    pub rights: Rights,
    /// The status flags.
    pub status: FdFlags,
    /// Whether another program's execution closes it.
    pub close_on_exec: bool,
}

impl OpenRequest {
    fn access(&self) -> Access {
        let mut access = Access::empty();
        access.set(Access::READ, self.rights.intersects(Rights::FD_READ | Rights::FD_READDIR));
        access.set(Access::WRITE, self.rights.contains(Rights::FD_WRITE));
        access
    }

    /// The rights that opening needs of the directory.
    fn needs(&self) -> Rights {
        let mut needs = Rights::PATH_OPEN;
        needs.set(Rights::PATH_CREATE_FILE, self.flags.contains(OpenFlags::CREATE));
        needs.set(Rights::PATH_FILESTAT_SET_SIZE, self.flags.contains(OpenFlags::TRUNCATE));
        needs
    }
}

/// Every call fails as [`FdTable::get`](crate::FdTable::get) and [`Caller::resolve`] tell; that isn't listed again.
impl Process {
    /// A call with one path. An empty or overlong one is told before the descriptor is looked at (`getname` in Linux).
    #[inline(always)]
    fn at<T>(
        &self,
        fd: Fd,
        need: Rights,
        path: &[u8],
        work: impl FnOnce(&Caller<'_>, &Place, VPath<'_>) -> Result<T>,
    ) -> Result<T> {
        let path = VPath::new(path)?;
        let dir = self.fds.get(fd, need)?;
        self.call(|caller| work(caller, dir.base()?, path))
    }

    /// Opens a path (`openat(2)`).
    ///
    /// # Errors
    /// * As [`Caller::open`]. `EMFILE`, before anything is opened or made.
    /// * `ENOTCAPABLE`: reading or writing is wanted that the directory doesn't hand on.
    /// * `ENXIO`: a FIFO, socket or device that is none of [`Devices`](crate::devices::Devices).
    pub fn open(&self, dirfd: Fd, path: &[u8], request: &OpenRequest) -> Result<Fd> {
        let text = VPath::new(path)?;
        let (dir, inheriting) = self.fds.get_inheriting(dirfd, request.needs())?;
        let wanted = request.rights & (Rights::FD_READ | Rights::FD_WRITE);
        if !inheriting.contains(wanted) {
            return Err(Errno::NOTCAPABLE);
        }
        let reserved = self.fds.reserve()?;
        let shown = || shown_below(&dir, path);
        let entry = self.open_entry(dir.base()?, text, request, inheriting, shown)?;
        Ok(reserved.install(entry))
    }

    /// Opens a path from the working directory as a descriptor of this number, which is closed before that
    /// (`posix_spawn_file_actions_addopen(3)`).
    ///
    /// # Errors
    /// * As [`Process::open`]. `EBADF`: the number is past all.
    pub(crate) fn open_as(&self, fd: Fd, path: &[u8], request: &OpenRequest) -> Result<()> {
        let text = VPath::new(path)?;
        let _ = self.fds.close(fd);
        let context = self.context.load_full();
        let shown = || path.to_vec();
        let entry = self.open_entry(&context.cwd, text, request, Rights::INHERITABLE, shown)?;
        self.fds.install_at(fd, entry)
    }

    /// What a descriptor of a path holds.
    fn open_entry(
        &self,
        base: &Place,
        path: VPath<'_>,
        request: &OpenRequest,
        inheriting: Rights,
        shown: impl FnOnce() -> Vec<u8>,
    ) -> Result<FdEntry> {
        let mode = Mode::from_raw(0o666) - self.context.load().umask;
        let how = OpenHow { access: request.access(), flags: request.flags, mode };
        let file = self.call(|caller| {
            let opened = caller.open(base, path, &how)?;
            self.open_file(caller, opened, how.access, request.status)
        })?;
        let file = match self.observer() {
            Some(observer) if observer.wants_text() => file.shown_as(&shown()),
            _ => file,
        };
        let file = match self.notes_paths() {
            true => {
                let whole = inheriting.contains(Rights::INHERITABLE);
                file.found_by(Origin { base: base.clone().into(), path: path.as_bytes().into(), whole })
            }
            false => file,
        };
        let rights = match file.kind().is_dir() {
            true => directory_rights(self.policy) & file.rights(),
            false => file.rights(),
        };
        let handed_on = if file.kind().is_dir() { inheriting } else { Rights::empty() };
        let entry = FdEntry::new(Arc::new(file), rights & inheriting, handed_on);
        Ok(entry.with_close_on_exec(request.close_on_exec))
    }

    /// The open file of what the filesystem opened.
    fn open_file(
        &self,
        caller: &Caller<'_>,
        opened: Opened,
        access: Access,
        status: FdFlags,
    ) -> Result<OpenFile> {
        let Opened { place, node, .. } = opened;
        match node {
            OpenNode::File(file) => {
                Ok(OpenFile::new(What::Regular { place: place.into(), file }, access, status))
            }
            OpenNode::Directory => {
                // Who asked for no access to a directory may list it all the same, if its mode allows.
                let access = match access.is_empty()
                    && access::check(caller.cx, &place.attr(caller.cx)?, May::READ).is_ok()
                {
                    true => Access::READ,
                    false => access,
                };
                Ok(OpenFile::new(What::of_directory(place), access, status))
            }
            OpenNode::Special(_) => Ok(OpenFile::new(self.open_special(place, access)?, access, status)),
            OpenNode::Path => Err(Errno::NXIO),
        }
    }

    /// The device table: what is not in it is `ENXIO`.
    fn open_special(&self, place: Place, access: Access) -> Result<What> {
        if let Some(kind) = devices::device_at(&place) {
            let device = Device::open(kind, access, &self.random, self.terminal.as_ref())?;
            return Ok(What::Device { place: place.into(), device });
        }
        let OpenStream { stream, ino, access: granted, .. } =
            streams::stream_at(&place).ok_or(Errno::NXIO)?;
        match stream.kind() {
            FileType::Socket => Err(Errno::NXIO),
            _ if !granted.contains(access) => Err(Errno::ACCES),
            _ => Ok(What::Stream { stream: Arc::clone(stream), ino: *ino }),
        }
    }

    /// Makes a directory (`mkdirat(2)`).
    ///
    /// # Errors
    /// As [`Caller::mkdir`].
    pub fn mkdir_at(&self, fd: Fd, path: &[u8]) -> Result<()> {
        let mode = Mode::from_raw(0o777) - self.context.load().umask;
        self.at(fd, Rights::PATH_CREATE_DIRECTORY, path, |caller, base, path| caller.mkdir(base, path, mode))
    }

    /// The attributes of what a path leads to (`fstatat(2)`).
    ///
    /// # Errors
    /// As [`Caller::stat`].
    #[inline]
    pub fn stat_at(&self, fd: Fd, path: &[u8], follow: Follow) -> Result<Attr> {
        self.at(fd, Rights::PATH_FILESTAT_GET, path, |caller, base, path| caller.stat(base, path, follow))
    }

    /// Sets the times of what a path leads to (`utimensat(2)`).
    ///
    /// # Errors
    /// As [`Caller::set_times`].
    pub fn set_times_at(
        &self,
        fd: Fd,
        path: &[u8],
        follow: Follow,
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
    ) -> Result<()> {
        self.at(fd, Rights::PATH_FILESTAT_SET_TIMES, path, |caller, base, path| {
            caller.set_times(base, path, follow, atime, mtime)
        })
    }

    /// Makes another name for a file (`linkat(2)`).
    ///
    /// # Errors
    /// * As [`Caller::link`].
    /// * `EPERM`: under [`Policy::Strict`], the new directory hands on rights that the old one doesn't.
    pub fn link_at(&self, old_fd: Fd, old: &[u8], follow: Follow, new_fd: Fd, new: &[u8]) -> Result<()> {
        let (old, new) = (VPath::new(old)?, VPath::new(new)?);
        let (old_dir, had) = self.fds.get_inheriting(old_fd, Rights::PATH_LINK_SOURCE)?;
        let (new_dir, given) = self.fds.get_inheriting(new_fd, Rights::PATH_LINK_TARGET)?;
        self.check_walls(had, given)?;
        self.call(|caller| caller.link(old_dir.base()?, old, follow, new_dir.base()?, new))
    }

    /// Renames, replacing what is there (`renameat(2)`).
    ///
    /// # Errors
    /// As [`Caller::rename`]; `EPERM` as [`Process::link_at`].
    pub fn rename_at(&self, old_fd: Fd, old: &[u8], new_fd: Fd, new: &[u8]) -> Result<()> {
        let (old, new) = (VPath::new(old)?, VPath::new(new)?);
        let (old_dir, had) = self.fds.get_inheriting(old_fd, Rights::PATH_RENAME_SOURCE)?;
        let (new_dir, given) = self.fds.get_inheriting(new_fd, Rights::PATH_RENAME_TARGET)?;
        self.check_walls(had, given)?;
        self.call(|caller| caller.rename(old_dir.base()?, old, new_dir.base()?, new, Rename::Replace))
    }

    /// Under the strict policy preopens are walls, each with the rights that it hands on: a name made behind another
    /// one must not give more than the name before.
    fn check_walls(&self, had: Rights, given: Rights) -> Result<()> {
        if self.policy == Policy::Strict && !had.contains(given) { Err(Errno::PERM) } else { Ok(()) }
    }

    /// Makes a symbolic link (`symlinkat(2)`).
    ///
    /// # Errors
    /// As [`Caller::symlink`].
    pub fn symlink_at(&self, target: &[u8], fd: Fd, path: &[u8]) -> Result<()> {
        self.at(fd, Rights::PATH_SYMLINK, path, |caller, base, path| caller.symlink(target, base, path))
    }

    /// The whole target of a symbolic link (`readlinkat(2)`).
    ///
    /// # Errors
    /// As [`Caller::readlink`].
    pub fn readlink_at(&self, fd: Fd, path: &[u8]) -> Result<Arc<[u8]>> {
        self.at(fd, Rights::PATH_READLINK, path, |caller, base, path| caller.readlink(base, path))
    }

    /// Removes a name of anything but a directory (`unlinkat(2)`).
    ///
    /// # Errors
    /// As [`Caller::unlink`].
    pub fn unlink_at(&self, fd: Fd, path: &[u8]) -> Result<()> {
        self.at(fd, Rights::PATH_UNLINK_FILE, path, |caller, base, path| caller.unlink(base, path))
    }

    /// Removes an empty directory (`unlinkat(2)` with `AT_REMOVEDIR`).
    ///
    /// # Errors
    /// As [`Caller::rmdir`].
    pub fn rmdir_at(&self, fd: Fd, path: &[u8]) -> Result<()> {
        self.at(fd, Rights::PATH_REMOVE_DIRECTORY, path, |caller, base, path| caller.rmdir(base, path))
    }
}

/// What the trace shows for a path below a directory: its last 4095 bytes, or each descriptor in a tree that a guest
/// makes ever deeper would hold ever more.
fn shown_below(dir: &OpenFile, path: &[u8]) -> Vec<u8> {
    let mut shown = match dir.shown() {
        Some(dir) if !path.starts_with(b"/") => {
            let separator: &[u8] = if dir.ends_with(b"/") { b"" } else { b"/" };
            [dir, separator, path].concat()
        }
        _ => path.to_vec(),
    };
    if let Some(excess) = shown.len().checked_sub(PATH_MAX).filter(|&excess| excess > 0) {
        shown.splice(..excess + ELLIPSIS.len(), ELLIPSIS.iter().copied());
    }
    shown
}
