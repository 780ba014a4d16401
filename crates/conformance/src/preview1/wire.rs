//! The ABI's numbers and records as a C library has them: written down here again, not taken from what serves them.

use vnode_core::{Attr, Errno, FileType, Result, SetTime};

use super::trampolines::Open;
use crate::subject::{Entry, Follow, OpenFlags, Whence};

const DATASYNC: u64 = 1 << 0;
const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 6;
const ALLOCATE: u64 = 1 << 8;
const READDIR: u64 = 1 << 14;
const SET_SIZE: u64 = 1 << 22;

/// The rights that are asked for, as wasi-libc's `openat` chooses them.
fn rights(flags: OpenFlags) -> u64 {
    let mut rights = !(DATASYNC | READ | WRITE | ALLOCATE | READDIR | SET_SIZE);
    if flags.contains(OpenFlags::READ) || !flags.contains(OpenFlags::WRITE) {
        rights |= READ | READDIR;
    }
    if flags.contains(OpenFlags::WRITE) {
        rights |= DATASYNC | WRITE | ALLOCATE | SET_SIZE;
    }
    rights
}

/// `path_open`'s numbers for the flags of `open(2)`.
pub(super) fn open(flags: OpenFlags) -> Open {
    let bit = |flag, number| if flags.contains(flag) { number } else { 0 };
    let oflags = bit(OpenFlags::CREATE, 1)
        | bit(OpenFlags::DIRECTORY, 2)
        | bit(OpenFlags::EXCLUSIVE, 4)
        | bit(OpenFlags::TRUNCATE, 8);
    let lookup = u32::from(!flags.contains(OpenFlags::NOFOLLOW));
    Open { lookup, oflags, rights: rights(flags), fdflags: bit(OpenFlags::APPEND, 1) }
}

/// Opening for nothing but being there, as for a working directory.
pub(super) const ENTER: Open = Open { lookup: 1, oflags: 2, rights: !(READ | WRITE | READDIR), fdflags: 0 };

/// `lookupflags`.
pub(super) fn lookup(follow: Follow) -> u32 {
    u32::from(follow == Follow::Yes)
}

/// Times with their `fstflags`; nothing for a time that has no number.
pub(super) fn times(atime: Option<SetTime>, mtime: Option<SetTime>) -> Option<(u64, u64, u32)> {
    let (atime, atime_flag) = time(atime)?;
    let (mtime, mtime_flag) = time(mtime)?;
    Some((atime, mtime, atime_flag | mtime_flag << 2))
}

fn time(time: Option<SetTime>) -> Option<(u64, u32)> {
    match time {
        None => Some((0, 0)),
        Some(SetTime::Now) => Some((0, 2)),
        Some(SetTime::To(time)) => {
            let nanos = u64::try_from(time.sec).ok()?.checked_mul(1_000_000_000)?;
            let nanos = nanos.checked_add(u64::from(time.nsec)).filter(|_| time.nsec < 1_000_000_000)?;
            Some((nanos, 1))
        }
    }
}

/// Which of the ABIs with these calls a guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// `wasi_snapshot_preview1`.
    Preview1,
    /// `wasi_unstable`, or snapshot 0: other numbers for `whence`, another filestat.
    Unstable,
    /// `wasix_32v1`.
    Wasix,
}

impl Abi {
    /// The number of `SEEK_SET`, `SEEK_CUR` or `SEEK_END`; nothing for what WASI hasn't.
    pub(super) fn whence(self, whence: Whence) -> Option<u32> {
        let (set, current, end) = match self {
            Abi::Preview1 | Abi::Wasix => (0, 1, 2),
            Abi::Unstable => (2, 0, 1),
        };
        match whence {
            Whence::Set => Some(set),
            Whence::Current => Some(current),
            Whence::End => Some(end),
            Whence::Data | Whence::Hole => None,
        }
    }

    /// Reads a filestat; snapshot 0's ends eight bytes earlier, and what follows is `untouched`.
    ///
    /// # Errors
    /// `EFAULT`: more was written than belongs to it.
    pub(super) fn filestat(self, bytes: &[u8; 64], untouched: u8) -> Result<Filestat> {
        let filetype = bytes[16];
        let (dev, ino) = (u64_at(bytes, 0), u64_at(bytes, 8));
        let (nlink, rest) = match self {
            Abi::Preview1 | Abi::Wasix => (u64_at(bytes, 24), 32),
            Abi::Unstable if bytes[56..] != [untouched; 8] => return Err(Errno::FAULT),
            Abi::Unstable => (u64_at(bytes, 16) >> 32, 24),
        };
        let times = [u64_at(bytes, rest + 8), u64_at(bytes, rest + 16), u64_at(bytes, rest + 24)];
        Ok(Filestat { dev, ino, filetype, nlink, size: u64_at(bytes, rest), times })
    }
}

/// What `filestat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filestat {
    dev: u64,
    ino: u64,
    filetype: u8,
    nlink: u64,
    size: u64,
    times: [u64; 3],
}

impl Filestat {
    /// What it must tell of an inode with these attributes.
    pub(super) fn expected(attr: &Attr) -> Self {
        Filestat {
            dev: attr.dev,
            ino: attr.ino,
            filetype: match attr.kind {
                FileType::Fifo => 0,
                FileType::BlockDevice => 1,
                FileType::CharDevice => 2,
                FileType::Directory => 3,
                FileType::Regular => 4,
                FileType::Socket => 6,
                FileType::Symlink => 7,
            },
            nlink: u64::from(attr.nlink),
            size: attr.size,
            times: [attr.atime, attr.mtime, attr.ctime].map(|time| time.to_nanos()),
        }
    }
}

/// Reads directory entries; what is cut off at the end is left.
pub(super) fn entries(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<24>() {
        let len = u64_at(head, 16) as u32 as usize;
        let Some((name, behind)) = rest.split_at_checked(len) else { break };
        let kind = match head[20] {
            1 => 6,
            2 => 2,
            3 => 4,
            4 => 8,
            6 => 12,
            7 => 10,
            _ => 0,
        };
        entries.push(Entry { name: name.to_vec(), ino: u64_at(head, 8), kind, next: u64_at(head, 0) });
        bytes = behind;
    }
    entries
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    for (to, from) in number.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnode_core::Timespec;

    #[test]
    fn access_modes_are_rights() {
        assert_eq!(rights(OpenFlags::READ) & (READ | WRITE | READDIR), READ | READDIR);
        assert_eq!(rights(OpenFlags::WRITE) & (READ | WRITE | READDIR), WRITE);
        assert_eq!(rights(OpenFlags::READ | OpenFlags::WRITE), u64::MAX);
        let flags = open(OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::APPEND | OpenFlags::NOFOLLOW);
        assert_eq!((flags.oflags, flags.fdflags, flags.lookup), (9, 1, 0));
    }

    #[test]
    fn times_without_a_number_are_told() {
        let to = |sec, nsec| Some(SetTime::To(Timespec { sec, nsec }));
        assert_eq!(times(to(1, 2), Some(SetTime::Now)), Some((1_000_000_002, 0, 9)));
        assert_eq!(times(None, to(0, 0)), Some((0, 0, 4)));
        assert_eq!(times(None, to(-1, 0)), None);
        assert_eq!(times(to(1, 1_000_000_000), None), None);
        assert_eq!(times(to(18_446_744_074, 0), None), None);
    }

    #[test]
    fn the_two_filestats() {
        let mut bytes = [0; 64];
        for (at, number) in (0u64..).zip(bytes.chunks_exact_mut(8)) {
            number.copy_from_slice(&(at + 1).to_le_bytes());
        }
        let stat = Abi::Preview1.filestat(&bytes, 0).unwrap();
        assert_eq!((stat.dev, stat.ino, stat.filetype, stat.nlink, stat.size), (1, 2, 3, 4, 5));
        assert_eq!(stat.times, [6, 7, 8]);
        assert_eq!(Abi::Unstable.filestat(&bytes, 0), Err(Errno::FAULT));
        bytes[56..].fill(9);
        bytes[20] = 77;
        let stat = Abi::Unstable.filestat(&bytes, 9).unwrap();
        assert_eq!((stat.filetype, stat.nlink, stat.size, stat.times), (3, 77, 4, [5, 6, 7]));
    }

    #[test]
    fn entries_end_where_they_are_cut_off() {
        let mut bytes = Vec::new();
        for (name, next) in [(&b"ab"[..], 7u64), (b"c", 8)] {
            bytes.extend(next.to_le_bytes());
            bytes.extend(5u64.to_le_bytes());
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend(4u32.to_le_bytes());
            bytes.extend(name);
        }
        let names = |bytes: &[u8]| entries(bytes).into_iter().map(|entry| entry.name).collect::<Vec<_>>();
        assert_eq!(names(&bytes), [b"ab".to_vec(), b"c".to_vec()]);
        assert_eq!(entries(&bytes)[1], Entry { name: b"c".to_vec(), ino: 5, kind: 8, next: 8 });
        for cut in 26..bytes.len() {
            assert_eq!(names(&bytes[..cut]), [b"ab".to_vec()]);
        }
    }
}
