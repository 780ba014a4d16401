//! What a descriptor may be used for.

use vnode_core::FileType;
use vnode_core::fs::Access;

bitflags::bitflags! {
    /// The rights of a descriptor, with the bit numbers of WASI's `rights`.
    ///
    /// No call gets at an open file without naming the rights it needs: see
    /// [`FdTable::get`](crate::FdTable::get).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Rights: u64 {
        /// `fdatasync(2)`.
        const FD_DATASYNC = 1 << 0;
        /// `read(2)`; `pread(2)` with [`Rights::FD_SEEK`].
        const FD_READ = 1 << 1;
        /// `lseek(2)`; implies [`Rights::FD_TELL`].
        const FD_SEEK = 1 << 2;
        /// `fcntl(F_SETFL)`.
        const FD_FDSTAT_SET_FLAGS = 1 << 3;
        /// `fsync(2)`.
        const FD_SYNC = 1 << 4;
        /// `lseek(2)` that only asks.
        const FD_TELL = 1 << 5;
        /// `write(2)`; `pwrite(2)` with [`Rights::FD_SEEK`].
        const FD_WRITE = 1 << 6;
        /// `posix_fadvise(3)`.
        const FD_ADVISE = 1 << 7;
        /// `posix_fallocate(3)`.
        const FD_ALLOCATE = 1 << 8;
        /// `mkdirat(2)`.
        const PATH_CREATE_DIRECTORY = 1 << 9;
        /// `openat(2)` with `O_CREAT`.
        const PATH_CREATE_FILE = 1 << 10;
        /// `linkat(2)`, the directory of the old name.
        const PATH_LINK_SOURCE = 1 << 11;
        /// `linkat(2)`, the directory of the new name.
        const PATH_LINK_TARGET = 1 << 12;
        /// `openat(2)`.
        const PATH_OPEN = 1 << 13;
        /// `getdents(2)`.
        const FD_READDIR = 1 << 14;
        /// `readlinkat(2)`.
        const PATH_READLINK = 1 << 15;
        /// `renameat(2)`, the directory of the old name.
        const PATH_RENAME_SOURCE = 1 << 16;
        /// `renameat(2)`, the directory of the new name.
        const PATH_RENAME_TARGET = 1 << 17;
        /// `fstatat(2)`.
        const PATH_FILESTAT_GET = 1 << 18;
        /// `openat(2)` with `O_TRUNC`.
        const PATH_FILESTAT_SET_SIZE = 1 << 19;
        /// `utimensat(2)`.
        const PATH_FILESTAT_SET_TIMES = 1 << 20;
        /// `fstat(2)`.
        const FD_FILESTAT_GET = 1 << 21;
        /// `ftruncate(2)`.
        const FD_FILESTAT_SET_SIZE = 1 << 22;
        /// `futimens(3)`.
        const FD_FILESTAT_SET_TIMES = 1 << 23;
        /// `symlinkat(2)`.
        const PATH_SYMLINK = 1 << 24;
        /// `unlinkat(2)` with `AT_REMOVEDIR`.
        const PATH_REMOVE_DIRECTORY = 1 << 25;
        /// `unlinkat(2)`.
        const PATH_UNLINK_FILE = 1 << 26;
        /// `poll(2)`.
        const POLL_FD_READWRITE = 1 << 27;
        /// `shutdown(2)`.
        const SOCK_SHUTDOWN = 1 << 28;
        /// `accept(2)`.
        const SOCK_ACCEPT = 1 << 29;
    }
}

impl Rights {
    /// What a regular file can be used for.
    pub const REGULAR: Rights = Rights::FD_DATASYNC
        .union(Rights::FD_READ)
        .union(Rights::FD_SEEK)
        .union(Rights::FD_FDSTAT_SET_FLAGS)
        .union(Rights::FD_SYNC)
        .union(Rights::FD_TELL)
        .union(Rights::FD_WRITE)
        .union(Rights::FD_ADVISE)
        .union(Rights::FD_ALLOCATE)
        .union(Rights::FD_FILESTAT_GET)
        .union(Rights::FD_FILESTAT_SET_SIZE)
        .union(Rights::FD_FILESTAT_SET_TIMES)
        .union(Rights::POLL_FD_READWRITE);

    /// What the calls with a directory and a path need of the directory.
    pub const PATHS: Rights = Rights::PATH_CREATE_DIRECTORY
        .union(Rights::PATH_CREATE_FILE)
        .union(Rights::PATH_LINK_SOURCE)
        .union(Rights::PATH_LINK_TARGET)
        .union(Rights::PATH_OPEN)
        .union(Rights::PATH_READLINK)
        .union(Rights::PATH_RENAME_SOURCE)
        .union(Rights::PATH_RENAME_TARGET)
        .union(Rights::PATH_FILESTAT_GET)
        .union(Rights::PATH_FILESTAT_SET_SIZE)
        .union(Rights::PATH_FILESTAT_SET_TIMES)
        .union(Rights::PATH_SYMLINK)
        .union(Rights::PATH_REMOVE_DIRECTORY)
        .union(Rights::PATH_UNLINK_FILE);

    /// What a directory can be used for. [`Rights::FD_READ`] is among them: using it is `EISDIR`.
    pub const DIRECTORY: Rights = Rights::PATHS
        .union(Rights::FD_DATASYNC)
        .union(Rights::FD_READ)
        .union(Rights::FD_SEEK)
        .union(Rights::FD_TELL)
        .union(Rights::FD_FDSTAT_SET_FLAGS)
        .union(Rights::FD_SYNC)
        .union(Rights::FD_ADVISE)
        .union(Rights::FD_READDIR)
        .union(Rights::FD_FILESTAT_GET)
        .union(Rights::FD_FILESTAT_SET_TIMES)
        .union(Rights::POLL_FD_READWRITE);

    /// What a stream (pipe, terminal) can be used for. A terminal is told from other devices by its lack of
    /// [`Rights::FD_SEEK`] and [`Rights::FD_TELL`].
    pub const STREAM: Rights = Rights::FD_READ
        .union(Rights::FD_FDSTAT_SET_FLAGS)
        .union(Rights::FD_WRITE)
        .union(Rights::FD_FILESTAT_GET)
        .union(Rights::POLL_FD_READWRITE);

    /// What anything opened below a directory can be used for: the widest inheriting rights.
    pub const INHERITABLE: Rights = Rights::REGULAR.union(Rights::DIRECTORY).union(Rights::STREAM);

    /// What something of a type can be used for when it is opened with `access`.
    pub const fn of(kind: FileType, access: Access) -> Rights {
        let all = match kind {
            FileType::Regular => Rights::REGULAR,
            FileType::Directory => Rights::DIRECTORY,
            FileType::Symlink => Rights::FD_FILESTAT_GET,
            FileType::Socket => Rights::STREAM.union(Rights::SOCK_SHUTDOWN),
            FileType::Fifo | FileType::CharDevice | FileType::BlockDevice => Rights::STREAM,
        };
        let reading = Rights::FD_READ.union(Rights::FD_READDIR);
        let all = if access.contains(Access::READ) { all } else { all.difference(reading) };
        if access.contains(Access::WRITE) { all } else { all.difference(Rights::FD_WRITE) }
    }
}

bitflags::bitflags! {
    /// The status flags of an open file (`fcntl(F_GETFL)`), with the bit numbers of WASI's `fdflags`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FdFlags: u16 {
        /// Each write goes to the end (`O_APPEND`).
        const APPEND = 1 << 0;
        /// Each write is followed by `fdatasync(2)` (`O_DSYNC`).
        const DSYNC = 1 << 1;
        /// What would wait fails with `EAGAIN` (`O_NONBLOCK`).
        const NONBLOCK = 1 << 2;
        /// Each read is preceded by the pending writes' synchronization (`O_RSYNC`); on Linux the same as
        /// [`FdFlags::SYNC`].
        const RSYNC = 1 << 3;
        /// Each write is followed by `fsync(2)` (`O_SYNC`).
        const SYNC = 1 << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_wasi() {
        assert_eq!(Rights::FD_READDIR.bits(), 0x4000);
        assert_eq!(Rights::SOCK_ACCEPT.bits(), 1 << 29);
        assert_eq!(Rights::all().bits(), (1 << 30) - 1);
        assert_eq!(FdFlags::SYNC.bits(), 16);
    }

    #[test]
    fn access_takes_away_reading_and_writing_only() {
        let full = Rights::of(FileType::Regular, Access::all());
        assert_eq!(full, Rights::REGULAR);
        assert_eq!(full - Rights::of(FileType::Regular, Access::READ), Rights::FD_WRITE);
        assert_eq!(full - Rights::of(FileType::Regular, Access::WRITE), Rights::FD_READ);
    }

    #[test]
    fn a_stream_looks_like_a_terminal() {
        assert!(!Rights::STREAM.intersects(Rights::FD_SEEK | Rights::FD_TELL));
    }
}
