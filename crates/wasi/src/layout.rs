//! Structs on the wire: little-endian, at fixed offsets, every byte that is no field zero.

use vnode_core::fs::DirEntry;
use vnode_core::{Attr, FileType};
use vnode_kernel::stream::{Readiness, TerminalState};
use vnode_kernel::{FdFlags, Rights};

/// `filetype`.
pub(crate) fn filetype(kind: FileType) -> u8 {
    match kind {
        // WASI has no number for a FIFO.
        FileType::Fifo => 0,
        FileType::BlockDevice => 1,
        FileType::CharDevice => 2,
        FileType::Directory => 3,
        FileType::Regular => 4,
        FileType::Socket => 6,
        FileType::Symlink => 7,
    }
}

/// Puts a field at its offset.
fn put<const N: usize, const M: usize>(bytes: &mut [u8; N], at: usize, field: [u8; M]) {
    bytes[at..at + M].copy_from_slice(&field);
}

/// `filestat` of preview1.
pub(crate) fn filestat(attr: &Attr) -> [u8; 64] {
    let mut bytes = [0; 64];
    put(&mut bytes, 0, attr.dev.to_le_bytes());
    put(&mut bytes, 8, attr.ino.to_le_bytes());
    put(&mut bytes, 16, [filetype(attr.kind)]);
    put(&mut bytes, 24, u64::from(attr.nlink).to_le_bytes());
    put(&mut bytes, 32, attr.size.to_le_bytes());
    put(&mut bytes, 40, attr.atime.to_nanos().to_le_bytes());
    put(&mut bytes, 48, attr.mtime.to_nanos().to_le_bytes());
    put(&mut bytes, 56, attr.ctime.to_nanos().to_le_bytes());
    bytes
}

/// `filestat` of snapshot 0: 32 bits for the links.
pub(crate) fn filestat_unstable(attr: &Attr) -> [u8; 56] {
    let mut bytes = [0; 56];
    put(&mut bytes, 0, attr.dev.to_le_bytes());
    put(&mut bytes, 8, attr.ino.to_le_bytes());
    put(&mut bytes, 16, [filetype(attr.kind)]);
    put(&mut bytes, 20, attr.nlink.to_le_bytes());
    put(&mut bytes, 24, attr.size.to_le_bytes());
    put(&mut bytes, 32, attr.atime.to_nanos().to_le_bytes());
    put(&mut bytes, 40, attr.mtime.to_nanos().to_le_bytes());
    put(&mut bytes, 48, attr.ctime.to_nanos().to_le_bytes());
    bytes
}

/// `fdstat`.
pub(crate) fn fdstat(kind: FileType, flags: FdFlags, base: Rights, inheriting: Rights) -> [u8; 24] {
    let mut bytes = [0; 24];
    put(&mut bytes, 0, [filetype(kind)]);
    put(&mut bytes, 2, flags.bits().to_le_bytes());
    put(&mut bytes, 8, base.bits().to_le_bytes());
    put(&mut bytes, 16, inheriting.bits().to_le_bytes());
    bytes
}

/// `prestat` of a directory.
pub(crate) fn prestat(name_len: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    put(&mut bytes, 4, name_len.to_le_bytes());
    bytes
}

/// `dirent`, which the name follows.
pub(crate) fn dirent(entry: &DirEntry<'_>) -> [u8; 24] {
    let mut bytes = [0; 24];
    put(&mut bytes, 0, entry.next.to_le_bytes());
    put(&mut bytes, 8, entry.ino.to_le_bytes());
    put(&mut bytes, 16, (entry.name.len() as u32).to_le_bytes());
    put(&mut bytes, 20, [filetype(entry.kind)]);
    bytes
}

/// `tty`; which of the standard streams are terminals.
pub(crate) fn tty(state: &TerminalState, [stdin, stdout, stderr]: [bool; 3]) -> [u8; 24] {
    let mut bytes = [0; 24];
    put(&mut bytes, 0, state.columns.to_le_bytes());
    put(&mut bytes, 4, state.rows.to_le_bytes());
    put(&mut bytes, 8, state.width.to_le_bytes());
    put(&mut bytes, 12, state.height.to_le_bytes());
    put(&mut bytes, 16, [stdin, stdout, stderr, state.mode.echo, state.mode.line_buffered].map(u8::from));
    bytes
}

/// `event`; `errno` is WASI's.
pub(crate) fn event(userdata: u64, errno: u16, kind: u8, ready: Readiness) -> [u8; 32] {
    let mut bytes = [0; 32];
    put(&mut bytes, 0, userdata.to_le_bytes());
    put(&mut bytes, 8, errno.to_le_bytes());
    put(&mut bytes, 10, [kind]);
    put(&mut bytes, 16, ready.bytes.to_le_bytes());
    put(&mut bytes, 24, u16::from(ready.hangup).to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnode_core::{Mode, Timespec};
    use vnode_kernel::stream::TerminalMode;

    /// The ranges of the bytes that aren't zero.
    fn used(bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for at in (0..bytes.len()).filter(|&at| bytes[at] != 0) {
            match ranges.last_mut() {
                Some(last) if last.1 == at => last.1 = at + 1,
                _ => ranges.push((at, at + 1)),
            }
        }
        ranges
    }

    fn attr() -> Attr {
        let time = |sec| Timespec { sec, nsec: 0 };
        Attr {
            dev: u64::MAX,
            ino: u64::MAX - 1,
            kind: FileType::Symlink,
            mode: Mode::empty(),
            nlink: u32::MAX,
            uid: 1,
            gid: 1,
            rdev: 1,
            size: u64::MAX - 2,
            blocks: 1,
            blksize: 1,
            atime: time(i64::MAX),
            mtime: Timespec::from_nanos(0x0101_0101_0101_0101),
            ctime: time(i64::MIN),
            btime: None,
        }
    }

    #[test]
    fn filestat_has_its_fields_and_nothing_else() {
        let bytes = filestat(&attr());
        assert_eq!(used(&bytes), [(0, 17), (24, 28), (32, 56)]);
        assert_eq!(bytes[16], 7);
        assert_eq!(bytes[48..56], [1; 8]);
        let bytes = filestat_unstable(&attr());
        assert_eq!(used(&bytes), [(0, 17), (20, 48)]);
        assert_eq!(bytes[24..32], (u64::MAX - 2).to_le_bytes());
    }

    #[test]
    fn the_small_structs_have_no_garbage_between() {
        let bytes = fdstat(FileType::Regular, FdFlags::SYNC, Rights::FD_READ, Rights::FD_WRITE);
        assert_eq!(used(&bytes), [(0, 1), (2, 3), (8, 9), (16, 17)]);
        assert_eq!((bytes[0], bytes[2], bytes[8], bytes[16]), (4, 16, 2, 64));
        assert_eq!(prestat(0x01020304), [0, 0, 0, 0, 4, 3, 2, 1]);
        let entry = DirEntry { name: b"abc", ino: u64::MAX, kind: FileType::Directory, next: u64::MAX };
        assert_eq!(used(&dirent(&entry)), [(0, 17), (20, 21)]);
        assert_eq!(dirent(&entry)[16..], [3, 0, 0, 0, 3, 0, 0, 0]);
        let mode = TerminalMode { echo: true, line_buffered: true };
        let state = TerminalState { columns: 1, rows: 2, width: 3, height: u32::MAX, mode };
        let bytes = tty(&state, [true; 3]);
        assert_eq!(used(&bytes), [(0, 1), (4, 5), (8, 9), (12, 21)]);
        let mode = TerminalMode { echo: true, line_buffered: false };
        assert_eq!(
            tty(&TerminalState { mode, ..state }, [false, true, false])[16..],
            [0, 1, 0, 1, 0, 0, 0, 0]
        );
        let bytes = event(u64::MAX, 0x0101, 2, Readiness { bytes: u64::MAX, hangup: true });
        assert_eq!(used(&bytes), [(0, 11), (16, 25)]);
    }
}
