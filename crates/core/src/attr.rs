//! What an inode is: its type, its mode, its attributes, and changes to them.

use core::time::Duration;

use crate::access;
use crate::cx::Cx;

/// The type of an inode (`S_IFMT`); it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO, or named pipe.
    Fifo,
    /// A socket's name in the filesystem.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileType {
    /// The bits of `st_mode` that tell the type (`S_IFREG` and so on, `inode(7)`).
    pub const fn mode_bits(self) -> u32 {
        match self {
            FileType::Fifo => 0o010000,
            FileType::CharDevice => 0o020000,
            FileType::Directory => 0o040000,
            FileType::BlockDevice => 0o060000,
            FileType::Regular => 0o100000,
            FileType::Symlink => 0o120000,
            FileType::Socket => 0o140000,
        }
    }

    /// The type that the type bits of `mode` tell; `None` for bits that no type has.
    pub const fn from_mode(mode: u32) -> Option<FileType> {
        Some(match mode & 0o170000 {
            0o010000 => FileType::Fifo,
            0o020000 => FileType::CharDevice,
            0o040000 => FileType::Directory,
            0o060000 => FileType::BlockDevice,
            0o100000 => FileType::Regular,
            0o120000 => FileType::Symlink,
            0o140000 => FileType::Socket,
            _ => return None,
        })
    }

    /// Whether this is a directory.
    pub const fn is_dir(self) -> bool {
        matches!(self, FileType::Directory)
    }

    /// Whether this is a symbolic link.
    pub const fn is_symlink(self) -> bool {
        matches!(self, FileType::Symlink)
    }
}

bitflags::bitflags! {
    /// The permission bits of a mode, with set-user-id, set-group-id and sticky: `07777`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Mode: u16 {
        /// Set-user-id.
        const SETUID = 0o4000;
        /// Set-group-id; on a directory, what is made in it takes its group.
        const SETGID = 0o2000;
        /// Sticky; in such a directory only owners remove and rename.
        const STICKY = 0o1000;
        /// All permissions of the owner.
        const RWXU = 0o700;
        /// Read by the owner.
        const RUSR = 0o400;
        /// Write by the owner.
        const WUSR = 0o200;
        /// Execute (search) by the owner.
        const XUSR = 0o100;
        /// All permissions of the group.
        const RWXG = 0o070;
        /// Execute (search) by the group.
        const XGRP = 0o010;
        /// All permissions of others.
        const RWXO = 0o007;
    }
}

impl Mode {
    /// The mode of the low 12 bits of `bits`; the others are dropped, as `chmod(2)` does.
    pub const fn from_raw(bits: u32) -> Mode {
        Mode::from_bits_truncate((bits & 0o7777) as u16)
    }

    /// The bits as a number.
    pub const fn raw(self) -> u32 {
        self.bits() as u32
    }
}

/// A point of time: seconds since 1970-01-01 00:00 UTC, negative before it, and nanoseconds 0 to 999,999,999
/// after that second (`timespec(3)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timespec {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, under 1,000,000,000.
    pub nsec: u32,
}

impl Timespec {
    /// 1970-01-01 00:00 UTC.
    pub const EPOCH: Timespec = Timespec { sec: 0, nsec: 0 };

    /// A time of nanoseconds since the epoch, as WASI counts.
    pub const fn from_nanos(nanos: u64) -> Timespec {
        Timespec { sec: (nanos / 1_000_000_000) as i64, nsec: (nanos % 1_000_000_000) as u32 }
    }

    /// Nanoseconds since the epoch: 0 for what is before it, `u64::MAX` for what is past the year 2554.
    pub const fn to_nanos(self) -> u64 {
        if self.sec < 0 {
            return 0;
        }
        match (self.sec as u64).checked_mul(1_000_000_000) {
            Some(nanos) => nanos.saturating_add(self.nsec as u64),
            None => u64::MAX,
        }
    }

    /// The time as a duration since the epoch; zero for what is before it.
    pub const fn since_epoch(self) -> Duration {
        if self.sec < 0 { Duration::ZERO } else { Duration::new(self.sec as u64, self.nsec) }
    }
}

impl From<Duration> for Timespec {
    fn from(since_epoch: Duration) -> Self {
        Timespec {
            sec: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
            nsec: since_epoch.subsec_nanos(),
        }
    }
}

/// The attributes of an inode (`stat(2)`, `inode(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The device number (`st_dev`). A filesystem with one device leaves 0, and its mount's number is put here.
    pub dev: u64,
    /// The inode number (`st_ino`).
    pub ino: u64,
    /// The type.
    pub kind: FileType,
    /// Permission bits.
    pub mode: Mode,
    /// Names of the inode; for a directory 2 and one for each directory in it.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// For a device: which (`makedev(3)`; Linux's numbers have 12 bits of major and 20 of minor).
    pub rdev: u32,
    /// Bytes of content; for a symbolic link the length of its target.
    pub size: u64,
    /// Storage used, in units of 512 bytes.
    pub blocks: u64,
    /// The size of IO that the filesystem does best, in bytes.
    pub blksize: u32,
    /// Last read.
    pub atime: Timespec,
    /// Last change of the content.
    pub mtime: Timespec,
    /// Last change of the attributes or the content.
    pub ctime: Timespec,
    /// Creation, where the filesystem knows it.
    pub btime: Option<Timespec>,
}

// Up to 128 bytes are copied in place; more, as each layer would that hands them on, by a call of `memcpy`.
const _: () = assert!(size_of::<crate::Result<Attr>>() <= 128);

impl Attr {
    /// The attributes of an inode that no filesystem keeps: one name, no content, owned by root, as old as the
    /// epoch.
    pub const fn bare(ino: u64, kind: FileType, mode: Mode) -> Attr {
        Attr {
            dev: 0,
            ino,
            kind,
            mode,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            blocks: 0,
            blksize: 4096,
            atime: Timespec::EPOCH,
            mtime: Timespec::EPOCH,
            ctime: Timespec::EPOCH,
            btime: None,
        }
    }

    /// Counts a read in the access time, unless the call leaves it: if it is not newer than the last change, or a day
    /// old (`touch_atime` in Linux, mounted `relatime`).
    pub fn accessed(&mut self, cx: &Cx<'_>) {
        const DAY: i64 = 24 * 60 * 60;
        if cx.keeps_atime() {
            return;
        }
        let changed = self.mtime.max(self.ctime);
        if self.atime <= changed || cx.now().sec.saturating_sub(self.atime.sec) >= DAY {
            self.atime = cx.now();
        }
    }

    /// Counts a change of the content, or of a directory's entries, in the other times. A file's mode loses what a
    /// write takes ([`access::mode_after_write`]).
    pub fn changed(&mut self, cx: &Cx<'_>) {
        self.mtime = cx.now();
        self.ctime = cx.now();
        if !self.kind.is_dir() {
            self.mode = access::mode_after_write(cx, self).unwrap_or(self.mode);
        }
    }

    /// `st_mode`: type and permission bits.
    pub const fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | self.mode.raw()
    }
}

/// A new value for a timestamp (`utimensat(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The time of the call (`UTIME_NOW`).
    Now,
    /// This time.
    To(Timespec),
}

/// Changes to an inode's attributes, all made at once or none; `ctime` becomes the time of the call.
///
/// Whether the caller may is settled before; a filesystem carries it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// New permission bits.
    pub mode: Option<Mode>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New last read.
    pub atime: Option<SetTime>,
    /// New last change of the content.
    pub mtime: Option<SetTime>,
    /// New size of a regular file: content past it is dropped, a hole fills what is added.
    pub size: Option<u64>,
}

impl SetAttr {
    /// Makes the changes to attributes; the content of another size is the filesystem's to change.
    ///
    /// Given only the size that it has, a file without storage isn't changed (`shmem_setattr` in Linux).
    pub fn apply(&self, cx: &Cx<'_>, attr: &mut Attr) {
        let now = cx.now();
        let SetAttr { mode, uid, gid, atime, mtime, size } = *self;
        let time = |time| if let SetTime::To(time) = time { time } else { now };
        let resized = size.is_some_and(|size| size != attr.size || attr.blocks > 0);
        let only_size = size.is_some() && *self == SetAttr { size, ..SetAttr::default() };
        if resized || !only_size {
            attr.ctime = now;
        }
        if resized {
            attr.mtime = now;
        }
        attr.mode = mode.unwrap_or(attr.mode);
        attr.uid = uid.unwrap_or(attr.uid);
        attr.gid = gid.unwrap_or(attr.gid);
        attr.size = size.unwrap_or(attr.size);
        attr.atime = atime.map_or(attr.atime, time);
        attr.mtime = mtime.map_or(attr.mtime, time);
    }
}

/// What a filesystem has and has left (`statvfs(3)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatFs {
    /// A number that tells the kind of filesystem (`f_type`).
    pub kind: u64,
    /// Size of a block in bytes; the unit of the block counts.
    pub block_size: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks free.
    pub blocks_free: u64,
    /// Blocks free for unprivileged callers.
    pub blocks_available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Inodes free.
    pub files_free: u64,
    /// Longest name in bytes.
    pub name_max: u32,
    /// Whether the mount is read-only; set by the mount, not by the filesystem.
    pub read_only: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_convert_without_overflow() {
        assert_eq!(Timespec::from_nanos(u64::MAX).to_nanos(), u64::MAX);
        assert_eq!(Timespec { sec: -1, nsec: 5 }.to_nanos(), 0);
        assert_eq!(Timespec { sec: i64::MAX, nsec: 999_999_999 }.to_nanos(), u64::MAX);
        assert_eq!(Timespec { sec: i64::MIN, nsec: 0 }.since_epoch(), Duration::ZERO);
        assert_eq!(Timespec::from_nanos(1_500_000_000), Timespec { sec: 1, nsec: 500_000_000 });
    }

    struct At(i64);

    impl crate::cx::Clock for At {
        fn now(&self) -> Timespec {
            Timespec { sec: self.0, nsec: 0 }
        }
    }

    /// What `change` makes of a file of one byte, last read at second 2 and changed at 3.
    fn after(second: i64, change: impl FnOnce(&Cx<'_>, &mut Attr)) -> Attr {
        let at = |sec| Timespec { sec, nsec: 0 };
        let bare = Attr::bare(1, FileType::Regular, Mode::from_raw(0o644));
        let mut attr = Attr { size: 1, atime: at(2), mtime: at(3), ctime: at(3), ..bare };
        let (who, clock) = (crate::cx::Credentials::root(), At(second));
        change(&Cx::new(&who, &clock), &mut attr);
        attr
    }

    fn seconds(attr: &Attr) -> [i64; 3] {
        [attr.atime.sec, attr.mtime.sec, attr.ctime.sec]
    }

    #[test]
    fn a_read_counts_once_for_each_change_or_day() {
        assert_eq!(seconds(&after(9, |cx, attr| attr.accessed(cx))), [9, 3, 3]);
        assert_eq!(seconds(&after(9, |cx, attr| attr.accessed(&cx.keeping_atime()))), [2, 3, 3]);
        for (atime, second, expected) in [(4, 9, 4), (4, 86_403, 4), (4, 86_404, 86_404)] {
            let read = |cx: &Cx<'_>, attr: &mut Attr| {
                attr.atime.sec = atime;
                attr.accessed(cx);
            };
            assert_eq!(seconds(&after(second, read)), [expected, 3, 3]);
        }
    }

    #[test]
    fn changes_are_made_with_their_times() {
        let set = |set: SetAttr| after(9, move |cx, attr| set.apply(cx, attr));
        let none = SetAttr::default();
        assert_eq!(seconds(&set(none)), [2, 3, 9]);
        assert_eq!(seconds(&set(SetAttr { size: Some(1), ..none })), [2, 3, 3]);
        assert_eq!(seconds(&set(SetAttr { size: Some(1), uid: Some(5), ..none })), [2, 3, 9]);
        let cut = set(SetAttr { size: Some(0), ..none });
        assert_eq!((cut.size, seconds(&cut)), (0, [2, 9, 9]));
        let (now, past) = (Some(SetTime::Now), Some(SetTime::To(Timespec { sec: 1, nsec: 7 })));
        let times = set(SetAttr { atime: past, mtime: now, mode: Some(Mode::RWXU), ..none });
        assert_eq!((times.mode, seconds(&times)), (Mode::RWXU, [1, 9, 9]));
        let stored = after(9, |cx, attr| {
            attr.blocks = 8;
            SetAttr { size: Some(1), ..none }.apply(cx, attr);
        });
        assert_eq!(seconds(&stored), [2, 9, 9]);
        assert_eq!(seconds(&after(9, |cx, attr| attr.changed(cx))), [2, 9, 9]);
    }

    #[test]
    fn type_bits_are_both_ways() {
        for mode in 0..=0o17u32 {
            if let Some(kind) = FileType::from_mode(mode << 12) {
                assert_eq!(kind.mode_bits(), mode << 12);
            }
        }
        assert_eq!(FileType::from_mode(0), None);
    }
}
