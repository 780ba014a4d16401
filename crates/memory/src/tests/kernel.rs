//! The content of files against the kernel's tmpfs: size, blocks, bytes, data and holes after every step.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, Mode, OFlags, SeekFrom};
use vnode_core::fs::{Allocate, SeekFor};
use vnode_core::{Errno, Result, SetAttr};

use super::Fixture;
use crate::{Memory, Node};

/// Where a tmpfs is mounted.
const TMPFS: &str = "/dev/shm";

/// A nameless file on the kernel's tmpfs; nothing where there is none.
fn kernel_file() -> Option<OwnedFd> {
    let statfs = rustix::fs::statfs(TMPFS).ok()?;
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    (statfs.f_type == 0x0102_1994).then(|| rustix::fs::open(TMPFS, flags, Mode::RWXU).unwrap())
}

/// Random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn offset(&mut self) -> u64 {
        match self.below(3) {
            0 => self.below(40) * 4096 + self.below(3),
            1 => (self.below(40) + 1) * 4096 - self.below(3),
            _ => self.below(300_000),
        }
    }

    fn len(&mut self) -> u64 {
        match self.below(3) {
            0 => 1 + self.below(100),
            1 => 4096 * (1 + self.below(20)),
            _ => 1 + self.below(90_000),
        }
    }
}

/// The same file on both sides.
struct Pair {
    fx: Fixture,
    ours: Arc<Node>,
    theirs: OwnedFd,
}

impl Pair {
    fn write(&self, offset: u64, bytes: &[u8]) {
        assert_eq!(self.fx.write(&self.ours, offset, bytes), Ok(bytes.len()));
        assert_eq!(rustix::io::pwrite(&self.theirs, bytes, offset), Ok(bytes.len()));
    }

    fn truncate(&self, size: u64, by_path: bool) {
        if by_path {
            self.fx.set(&self.ours, SetAttr { size: Some(size), ..SetAttr::default() }).unwrap();
        } else {
            self.fx.truncate(&self.ours, size).unwrap();
        }
        rustix::fs::ftruncate(&self.theirs, size).unwrap();
    }

    fn allocate(&self, how: Allocate, offset: u64, len: u64) {
        let flags = match how {
            Allocate::KeepSize => FallocateFlags::KEEP_SIZE,
            Allocate::PunchHole => FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE,
            _ => FallocateFlags::empty(),
        };
        self.fx.allocate(&self.ours, how, offset, len).unwrap();
        rustix::fs::fallocate(&self.theirs, flags, offset, len).unwrap();
    }

    fn seek(&self, what: SeekFor, offset: u64) -> (Result<u64>, Result<u64>) {
        let ours = self.fx.open(&self.ours).seek_data_or_hole(&self.fx.cx(), what, offset);
        let from = match what {
            SeekFor::Data => SeekFrom::Data(offset),
            SeekFor::Hole => SeekFrom::Hole(offset),
        };
        let theirs = rustix::fs::seek(&self.theirs, from);
        (ours, theirs.map_err(|errno| Errno::from_raw(errno.raw_os_error() as u16).unwrap()))
    }

    fn compare(&self, random: &mut Random, steps: &[String]) {
        let stat = rustix::fs::fstat(&self.theirs).unwrap();
        let attr = self.fx.attr(&self.ours);
        assert_eq!((attr.size, attr.blocks), (stat.st_size as u64, stat.st_blocks as u64), "{steps:#?}");
        for _ in 0..4 {
            let offset = if random.below(2) == 0 { random.below(80) * 4096 } else { random.below(400_000) };
            for what in [SeekFor::Data, SeekFor::Hole] {
                let (ours, theirs) = self.seek(what, offset);
                assert_eq!(ours, theirs, "{what:?} from {offset} after {steps:#?}");
            }
        }
        let mut bytes = vec![0; attr.size as usize];
        assert_eq!(rustix::io::pread(&self.theirs, &mut bytes, 0), Ok(bytes.len()));
        assert!(self.fx.read(&self.ours, 0, bytes.len()) == bytes, "{steps:#?}");
    }
}

#[test]
fn content_is_as_on_tmpfs() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..200 {
        let Some(theirs) = kernel_file() else {
            eprintln!("skipped: no tmpfs at {TMPFS}");
            return;
        };
        let fx = if round % 2 == 0 { Fixture::default() } else { Fixture::crowded(Memory::builder()) };
        let ours = fx.file(&fx.root(), "f");
        let pair = Pair { fx, ours, theirs };
        let mut steps = Vec::new();
        for _ in 0..30 {
            let (offset, len) = (random.offset(), random.len());
            let step = random.below(7);
            match step {
                0 | 1 => pair.write(offset, &vec![1 + random.below(255) as u8; len as usize]),
                2 | 3 => pair.truncate(offset, step == 2),
                4 => pair.allocate(Allocate::Extend, offset, len),
                5 => pair.allocate(Allocate::KeepSize, offset, len),
                _ => pair.allocate(Allocate::PunchHole, offset, len),
            }
            let name =
                ["write", "write", "setattr", "ftruncate", "extend", "keep size", "punch"][step as usize];
            steps.push(format!("{name} {offset} {len}"));
            pair.compare(&mut random, &steps);
        }
        pair.fx.check(&[]);
    }
}
