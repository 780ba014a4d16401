//! [`Subject`] by the system calls themselves.

#![allow(unsafe_code, reason = "raw system calls")]

use std::ffi::c_void;
use std::time::{Duration, SystemTime};

use vnode_core::{Attr, Errno, FileType, Mode, Result, SetTime, StatFs, Timespec};

use super::system::{self, c_text, check, dir_fd, fd, handle};
use super::{Kernel, everything, without_privilege};
use crate::subject::{
    Access, Allocate, At, Entry, Follow, Handle, Mount, Needs, Node, OpenFlags, RenameHow, Subject, Target,
    User, Whence, XattrHow,
};

/// Waits until the kernel gives a timestamp that it hasn't given yet.
pub(crate) fn tick() {
    let start = SystemTime::now();
    let mut coarse = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        // SAFETY: the pointer is to a timespec.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut coarse) };
        let since = Duration::new(coarse.tv_sec as u64, coarse.tv_nsec as u32);
        if SystemTime::UNIX_EPOCH + since > start {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

impl Subject for Kernel {
    fn name(&self) -> String {
        if self.is_privileged() { "the kernel".into() } else { "the kernel, unprivileged".into() }
    }

    fn miscounts_links(&self) -> bool {
        true
    }

    fn provides(&self) -> Needs {
        if self.is_privileged() { everything() } else { without_privilege() }
    }

    fn reset(&mut self) -> Result<()> {
        self.fresh_root()
    }

    fn freeze(&mut self) -> Result<()> {
        self.read_only_root()
    }

    fn sink(&mut self) -> Result<()> {
        self.cover_root()
    }

    fn tick(&mut self) {
        tick();
    }

    fn open_top(&mut self) -> Result<Handle> {
        let flags = OpenFlags::READ | OpenFlags::DIRECTORY;
        match &self.place {
            super::Place::Chroot { .. } => self.openat(At::cwd(b"/"), flags, 0),
            super::Place::Directory(path) => {
                let path = path.as_os_str().as_encoded_bytes().to_vec();
                self.openat(At::cwd(&path), flags, 0)
            }
        }
    }

    fn openat(&mut self, at: At<'_>, flags: OpenFlags, mode: u32) -> Result<Handle> {
        let path = c_text(at.path)?;
        // SAFETY: the path ends with NUL.
        let opened = check(unsafe { libc::openat(dir_fd(&at), path.as_ptr(), open_bits(flags), mode) })?;
        self.open.push(handle(opened));
        Ok(handle(opened))
    }

    fn close(&mut self, handle: Handle) -> Result<()> {
        self.open.retain(|open| *open != handle);
        system::close(handle)
    }

    fn read(&mut self, handle: Handle, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        // SAFETY: the buffer is as long as said.
        let n = check(unsafe { libc::read(fd(handle), bytes.as_mut_ptr().cast(), count) } as i64)?;
        bytes.truncate(n as usize);
        Ok(bytes)
    }

    fn pread(&mut self, handle: Handle, count: usize, offset: i64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        // SAFETY: the buffer is as long as said.
        let n = check(unsafe { libc::pread(fd(handle), bytes.as_mut_ptr().cast(), count, offset) } as i64)?;
        bytes.truncate(n as usize);
        Ok(bytes)
    }

    fn write(&mut self, handle: Handle, bytes: &[u8]) -> Result<usize> {
        // SAFETY: the buffer is as long as said.
        check(unsafe { libc::write(fd(handle), bytes.as_ptr().cast(), bytes.len()) } as i64)
            .map(|n| n as usize)
    }

    fn pwrite(&mut self, handle: Handle, bytes: &[u8], offset: i64) -> Result<usize> {
        // SAFETY: the buffer is as long as said.
        let written = unsafe { libc::pwrite(fd(handle), bytes.as_ptr().cast(), bytes.len(), offset) };
        check(written as i64).map(|n| n as usize)
    }

    fn lseek(&mut self, handle: Handle, offset: i64, whence: Whence) -> Result<i64> {
        let whence = match whence {
            Whence::Set => libc::SEEK_SET,
            Whence::Current => libc::SEEK_CUR,
            Whence::End => libc::SEEK_END,
            Whence::Data => libc::SEEK_DATA,
            Whence::Hole => libc::SEEK_HOLE,
        };
        // SAFETY: no pointers.
        check(unsafe { libc::lseek(fd(handle), offset, whence) })
    }

    fn fsync(&mut self, handle: Handle) -> Result<()> {
        // SAFETY: no pointers.
        done(unsafe { libc::fsync(fd(handle)) })
    }

    fn ftruncate(&mut self, handle: Handle, len: i64) -> Result<()> {
        // SAFETY: no pointers.
        done(unsafe { libc::ftruncate(fd(handle), len) })
    }

    fn truncate(&mut self, path: &[u8], len: i64) -> Result<()> {
        let path = c_text(path)?;
        // SAFETY: the path ends with NUL.
        done(unsafe { libc::truncate(path.as_ptr(), len) })
    }

    fn fallocate(&mut self, handle: Handle, how: Allocate, offset: i64, len: i64) -> Result<()> {
        let mode = match how {
            Allocate::Extend => 0,
            Allocate::KeepSize => libc::FALLOC_FL_KEEP_SIZE,
            Allocate::PunchHole => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
        };
        // SAFETY: no pointers.
        done(unsafe { libc::fallocate(fd(handle), mode, offset, len) })
    }

    fn mkdirat(&mut self, at: At<'_>, mode: u32) -> Result<()> {
        let path = c_text(at.path)?;
        // SAFETY: the path ends with NUL.
        done(unsafe { libc::mkdirat(dir_fd(&at), path.as_ptr(), mode) })
    }

    fn mknodat(&mut self, at: At<'_>, node: Node, mode: u32) -> Result<()> {
        let path = c_text(at.path)?;
        let (kind, device) = match node {
            Node::Regular => (libc::S_IFREG, 0),
            Node::Fifo => (libc::S_IFIFO, 0),
            Node::Socket => (libc::S_IFSOCK, 0),
            Node::Char(major, minor) => (libc::S_IFCHR, libc::makedev(major, minor)),
            Node::Block(major, minor) => (libc::S_IFBLK, libc::makedev(major, minor)),
            Node::Directory => (libc::S_IFDIR, 0),
        };
        // SAFETY: the path ends with NUL.
        done(unsafe { libc::mknodat(dir_fd(&at), path.as_ptr(), kind | mode, device) })
    }

    fn symlinkat(&mut self, target: &[u8], at: At<'_>) -> Result<()> {
        let (target, path) = (c_text(target)?, c_text(at.path)?);
        // SAFETY: both strings end with NUL.
        done(unsafe { libc::symlinkat(target.as_ptr(), dir_fd(&at), path.as_ptr()) })
    }

    fn linkat(&mut self, old: At<'_>, new: At<'_>, follow: Follow) -> Result<()> {
        let (from, to) = (c_text(old.path)?, c_text(new.path)?);
        let flags = if follow == Follow::Yes { libc::AT_SYMLINK_FOLLOW } else { 0 };
        // SAFETY: both paths end with NUL.
        done(unsafe { libc::linkat(dir_fd(&old), from.as_ptr(), dir_fd(&new), to.as_ptr(), flags) })
    }

    fn unlinkat(&mut self, at: At<'_>) -> Result<()> {
        let path = c_text(at.path)?;
        // SAFETY: the path ends with NUL.
        done(unsafe { libc::unlinkat(dir_fd(&at), path.as_ptr(), 0) })
    }

    fn rmdirat(&mut self, at: At<'_>) -> Result<()> {
        let path = c_text(at.path)?;
        // SAFETY: the path ends with NUL.
        done(unsafe { libc::unlinkat(dir_fd(&at), path.as_ptr(), libc::AT_REMOVEDIR) })
    }

    fn renameat2(&mut self, from: At<'_>, to: At<'_>, how: RenameHow) -> Result<()> {
        let (old, new) = (c_text(from.path)?, c_text(to.path)?);
        let flags = match how {
            RenameHow::Replace => 0,
            RenameHow::NoReplace => libc::RENAME_NOREPLACE,
            RenameHow::Exchange => libc::RENAME_EXCHANGE,
        };
        let (old_dir, new_dir) = (dir_fd(&from), dir_fd(&to));
        // SAFETY: both paths end with NUL.
        check(unsafe {
            libc::syscall(libc::SYS_renameat2, old_dir, old.as_ptr(), new_dir, new.as_ptr(), flags)
        })?;
        Ok(())
    }

    fn readlinkat(&mut self, at: At<'_>, size: usize) -> Result<Vec<u8>> {
        let path = c_text(at.path)?;
        let mut text = vec![0u8; size];
        let into = text.as_mut_ptr().cast();
        // SAFETY: the path ends with NUL; the buffer is as long as said.
        let n = check(unsafe { libc::readlinkat(dir_fd(&at), path.as_ptr(), into, size) } as i64)?;
        text.truncate(n as usize);
        Ok(text)
    }

    fn fstatat(&mut self, at: At<'_>, follow: Follow) -> Result<Attr> {
        let path = c_text(at.path)?;
        // SAFETY: all zeros is a valid stat.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the path ends with NUL; the pointer is to a stat.
        done(unsafe { libc::fstatat(dir_fd(&at), path.as_ptr(), &raw mut stat, nofollow(follow)) })?;
        attributes(&stat)
    }

    fn fstat(&mut self, handle: Handle) -> Result<Attr> {
        // SAFETY: all zeros is a valid stat.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a stat.
        done(unsafe { libc::fstat(fd(handle), &raw mut stat) })?;
        attributes(&stat)
    }

    fn utimensat(&mut self, on: Target<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
        let times = [timespec(atime), timespec(mtime)];
        match on {
            Target::Path(at, follow) => {
                let path = c_text(at.path)?;
                // SAFETY: the path ends with NUL; the pointer is to two timespecs.
                done(unsafe { libc::utimensat(dir_fd(&at), path.as_ptr(), times.as_ptr(), nofollow(follow)) })
            }
            Target::Open(handle) => {
                // The C library's futimens refuses negative descriptors itself.
                let none = std::ptr::null::<libc::c_char>();
                // SAFETY: a null path means the descriptor; the pointer is to two timespecs.
                check(unsafe { libc::syscall(libc::SYS_utimensat, fd(handle), none, times.as_ptr(), 0) })?;
                Ok(())
            }
        }
    }

    fn fchmodat(&mut self, at: At<'_>, mode: u32) -> Result<()> {
        let path = c_text(at.path)?;
        // SAFETY: the path ends with NUL.
        done(unsafe { libc::fchmodat(dir_fd(&at), path.as_ptr(), mode, 0) })
    }

    fn fchmod(&mut self, handle: Handle, mode: u32) -> Result<()> {
        // SAFETY: no pointers.
        done(unsafe { libc::fchmod(fd(handle), mode) })
    }

    fn fchownat(&mut self, on: Target<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let (uid, gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
        match on {
            Target::Path(at, follow) => {
                let path = c_text(at.path)?;
                // SAFETY: the path ends with NUL.
                done(unsafe { libc::fchownat(dir_fd(&at), path.as_ptr(), uid, gid, nofollow(follow)) })
            }
            // SAFETY: no pointers.
            Target::Open(handle) => done(unsafe { libc::fchown(fd(handle), uid, gid) }),
        }
    }

    fn faccessat(&mut self, at: At<'_>, access: Access, follow: Follow) -> Result<()> {
        let path = c_text(at.path)?;
        let (dir, flags) = (dir_fd(&at), nofollow(follow) | libc::AT_EACCESS);
        let mode = access.bits();
        // SAFETY: the path ends with NUL.
        check(unsafe { libc::syscall(libc::SYS_faccessat2, dir, path.as_ptr(), mode, flags) })?;
        Ok(())
    }

    fn statfs(&mut self, path: &[u8]) -> Result<StatFs> {
        let path = c_text(path)?;
        // SAFETY: all zeros is a valid statfs.
        let mut buffer: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: the path ends with NUL; the pointer is to a statfs.
        done(unsafe { libc::statfs(path.as_ptr(), &raw mut buffer) })?;
        // SAFETY: all zeros is a valid statvfs.
        let mut flags: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the path ends with NUL; the pointer is to a statvfs.
        done(unsafe { libc::statvfs(path.as_ptr(), &raw mut flags) })?;
        Ok(StatFs {
            kind: buffer.f_type as u64,
            block_size: buffer.f_bsize as u32,
            blocks: buffer.f_blocks,
            blocks_free: buffer.f_bfree,
            blocks_available: buffer.f_bavail,
            files: buffer.f_files,
            files_free: buffer.f_ffree,
            name_max: buffer.f_namelen as u32,
            read_only: flags.f_flag & libc::ST_RDONLY != 0,
        })
    }

    fn chdir(&mut self, path: &[u8]) -> Result<()> {
        let path = c_text(path)?;
        // SAFETY: the path ends with NUL.
        done(unsafe { libc::chdir(path.as_ptr()) })
    }

    fn fchdir(&mut self, handle: Handle) -> Result<()> {
        // SAFETY: no pointers.
        done(unsafe { libc::fchdir(fd(handle)) })
    }

    fn getcwd(&mut self) -> Result<Vec<u8>> {
        let mut text = vec![0u8; 8192];
        // SAFETY: the buffer is as long as said.
        let n = check(unsafe { libc::syscall(libc::SYS_getcwd, text.as_mut_ptr(), text.len()) })?;
        text.truncate((n as usize).saturating_sub(1));
        // The kernel says "(unreachable)..." where the C library says ENOENT.
        if text.first() == Some(&b'/') { Ok(text) } else { Err(Errno::NOENT) }
    }

    fn readdir(&mut self, handle: Handle, cookie: u64, max: usize) -> Result<Vec<Entry>> {
        // As pread does: the position stays.
        let position = self.lseek(handle, 0, Whence::Current)?;
        self.lseek(handle, cookie as i64, Whence::Set)?;
        let mut buffer = vec![0u8; 32 * 1024];
        let into = buffer.as_mut_ptr();
        // SAFETY: the buffer is as long as said.
        let n = check(unsafe { libc::syscall(libc::SYS_getdents64, fd(handle), into, buffer.len()) });
        self.lseek(handle, position, Whence::Set)?;
        buffer.truncate(n? as usize);
        entries(&buffer, max).ok_or(Errno::IO)
    }

    fn setxattr(&mut self, on: Target<'_>, name: &[u8], value: &[u8], how: XattrHow) -> Result<()> {
        let flags = match how {
            XattrHow::Either => 0,
            XattrHow::Create => libc::XATTR_CREATE,
            XattrHow::Replace => libc::XATTR_REPLACE,
        };
        let name = c_text(name)?;
        let (name, from, len) = (name.as_ptr(), value.as_ptr().cast::<c_void>(), value.len());
        done(match on {
            Target::Path(at, follow) => {
                let path = xattr_path(&at)?;
                match follow {
                    // SAFETY: the strings end with NUL; the value is as long as said.
                    Follow::Yes => unsafe { libc::setxattr(path.as_ptr(), name, from, len, flags) },
                    // SAFETY: as above.
                    Follow::No => unsafe { libc::lsetxattr(path.as_ptr(), name, from, len, flags) },
                }
            }
            // SAFETY: the name ends with NUL; the value is as long as said.
            Target::Open(handle) => unsafe { libc::fsetxattr(fd(handle), name, from, len, flags) },
        })
    }

    fn getxattr(&mut self, on: Target<'_>, name: &[u8], size: usize) -> Result<Vec<u8>> {
        let name = c_text(name)?;
        let name = name.as_ptr();
        let mut value = vec![0u8; size];
        let into = if size == 0 { std::ptr::null_mut() } else { value.as_mut_ptr().cast::<c_void>() };
        let n = match on {
            Target::Path(at, follow) => {
                let path = xattr_path(&at)?;
                match follow {
                    // SAFETY: the strings end with NUL; the buffer is as long as said.
                    Follow::Yes => unsafe { libc::getxattr(path.as_ptr(), name, into, size) },
                    // SAFETY: as above.
                    Follow::No => unsafe { libc::lgetxattr(path.as_ptr(), name, into, size) },
                }
            }
            // SAFETY: the name ends with NUL; the buffer is as long as said.
            Target::Open(handle) => unsafe { libc::fgetxattr(fd(handle), name, into, size) },
        };
        let n = check(n as i64)?;
        value.resize(n as usize, 0);
        Ok(value)
    }

    fn listxattr(&mut self, on: Target<'_>) -> Result<Vec<Vec<u8>>> {
        let mut names = vec![0u8; 64 * 1024];
        let (into, size) = (names.as_mut_ptr().cast(), names.len());
        let n = match on {
            Target::Path(at, follow) => {
                let path = xattr_path(&at)?;
                match follow {
                    // SAFETY: the path ends with NUL; the buffer is as long as said.
                    Follow::Yes => unsafe { libc::listxattr(path.as_ptr(), into, size) },
                    // SAFETY: as above.
                    Follow::No => unsafe { libc::llistxattr(path.as_ptr(), into, size) },
                }
            }
            // SAFETY: the buffer is as long as said.
            Target::Open(handle) => unsafe { libc::flistxattr(fd(handle), into, size) },
        };
        names.truncate(check(n as i64)? as usize);
        Ok(names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }

    fn removexattr(&mut self, on: Target<'_>, name: &[u8]) -> Result<()> {
        let name = c_text(name)?;
        let name = name.as_ptr();
        done(match on {
            Target::Path(at, follow) => {
                let path = xattr_path(&at)?;
                match follow {
                    // SAFETY: both strings end with NUL.
                    Follow::Yes => unsafe { libc::removexattr(path.as_ptr(), name) },
                    // SAFETY: as above.
                    Follow::No => unsafe { libc::lremovexattr(path.as_ptr(), name) },
                }
            }
            // SAFETY: the name ends with NUL.
            Target::Open(handle) => unsafe { libc::fremovexattr(fd(handle), name) },
        })
    }

    fn umask(&mut self, mask: u32) -> u32 {
        system::set_umask(mask)
    }

    fn become_user(&mut self, user: &User) -> Result<()> {
        if *user == User::root() { system::set_root_user() } else { system::set_user(user) }
    }

    fn mount(&mut self, what: Mount<'_>, path: &[u8], read_only: bool) -> Result<()> {
        let point = c_text(path)?;
        match what {
            Mount::Memory { size, inodes } => {
                let options = c_text(format!("mode=755,size={size},nr_inodes={inodes}").as_bytes())?;
                let flags = if read_only { libc::MS_RDONLY } else { 0 };
                system::mount(c"tmpfs", &point, Some(c"tmpfs"), flags, Some(&options))
            }
            Mount::Bind(source) => {
                system::mount(&c_text(source)?, &point, None, libc::MS_BIND, None)?;
                if read_only {
                    let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
                    system::mount(c"none", &point, None, flags, None)?;
                }
                Ok(())
            }
        }
    }

    fn umount(&mut self, path: &[u8]) -> Result<()> {
        let path = c_text(path)?;
        // SAFETY: the path ends with NUL.
        done(unsafe { libc::umount2(path.as_ptr(), 0) })
    }
}

fn done(result: i32) -> Result<()> {
    check(result).map(|_| ())
}

fn open_bits(flags: OpenFlags) -> i32 {
    let access = if flags.contains(OpenFlags::READ | OpenFlags::WRITE) {
        libc::O_RDWR
    } else if flags.contains(OpenFlags::WRITE) {
        libc::O_WRONLY
    } else {
        libc::O_RDONLY
    };
    // A FIFO without a peer must not block the oracle.
    let mut bits = access | libc::O_CLOEXEC | libc::O_NONBLOCK;
    for (flag, bit) in [
        (OpenFlags::CREATE, libc::O_CREAT),
        (OpenFlags::EXCLUSIVE, libc::O_EXCL),
        (OpenFlags::TRUNCATE, libc::O_TRUNC),
        (OpenFlags::APPEND, libc::O_APPEND),
        (OpenFlags::DIRECTORY, libc::O_DIRECTORY),
        (OpenFlags::NOFOLLOW, libc::O_NOFOLLOW),
        (OpenFlags::PATH, libc::O_PATH),
    ] {
        if flags.contains(flag) {
            bits |= bit;
        }
    }
    bits
}

fn nofollow(follow: Follow) -> i32 {
    match follow {
        Follow::Yes => 0,
        Follow::No => libc::AT_SYMLINK_NOFOLLOW,
    }
}

/// The calls on extended attributes by path start at the working directory only.
fn xattr_path(at: &At<'_>) -> Result<std::ffi::CString> {
    if at.dir.is_some() { Err(Errno::NOSYS) } else { c_text(at.path) }
}

fn timespec(time: Option<SetTime>) -> libc::timespec {
    match time {
        None => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        Some(SetTime::Now) => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW },
        Some(SetTime::To(time)) => libc::timespec { tv_sec: time.sec, tv_nsec: i64::from(time.nsec) },
    }
}

fn attributes(stat: &libc::stat) -> Result<Attr> {
    let time = |sec: i64, nsec: i64| Timespec { sec, nsec: u32::try_from(nsec).unwrap_or(0) };
    Ok(Attr {
        dev: stat.st_dev,
        ino: stat.st_ino,
        kind: FileType::from_mode(stat.st_mode).ok_or(Errno::IO)?,
        mode: Mode::from_raw(stat.st_mode),
        nlink: stat.st_nlink as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev as u32,
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        blksize: stat.st_blksize as u32,
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        btime: None,
    })
}

/// Reads `struct linux_dirent64` records.
fn entries(mut records: &[u8], max: usize) -> Option<Vec<Entry>> {
    let mut out = Vec::new();
    while !records.is_empty() && out.len() < max {
        let len = usize::from(u16::from_ne_bytes(records.get(16..18)?.try_into().ok()?));
        let name = records.get(19..len)?;
        out.push(Entry {
            name: name.split(|byte| *byte == 0).next()?.to_vec(),
            ino: u64::from_ne_bytes(records.get(..8)?.try_into().ok()?),
            kind: *records.get(18)?,
            next: u64::from_ne_bytes(records.get(8..16)?.try_into().ok()?),
        });
        records = records.get(len..)?;
    }
    Some(out)
}
