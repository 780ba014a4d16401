//! A file that whoever has it locked is alone with (`flock(2)`), and in which that process tells its number.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};

/// How often a lock that another has is asked for again.
const TRIES: u32 = 5;

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// What came of asking for a lock.
#[derive(Debug)]
pub(crate) enum Asked {
    Taken(Lock),
    /// Another has it: which process, if it said so.
    Busy(Option<u32>),
}

impl Lock {
    /// Takes the lock of this name in a directory, if nobody has it; the file is made if it isn't there.
    pub(crate) fn ask(dir: &OwnedFd, name: &str) -> rustix::io::Result<Asked> {
        let file = Lock::open(dir, name)?;
        let mut left = TRIES;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Asked::Taken(Lock::told(file))),
                // That may be one who only looks.
                Err(rustix::io::Errno::WOULDBLOCK) if left > 0 => {
                    left -= 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Asked::Busy(told_by(file))),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether another has it, and which process, if it said so. Nothing is made.
    pub(crate) fn seen(dir: &OwnedFd, name: &str) -> rustix::io::Result<Option<Option<u32>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(dir, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            opened => File::from(opened?),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(told_by(file))),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock, however long another has it.
    pub(crate) fn wait(dir: &OwnedFd, name: &str) -> rustix::io::Result<Self> {
        let file = Lock::open(dir, name)?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                locked => return locked.map(|()| Lock::told(file)),
            }
        }
    }

    fn open(dir: &OwnedFd, name: &str) -> rustix::io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// For whoever finds it locked. If it can't be told, that is no failure.
    fn told(mut file: File) -> Self {
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Lock { _file: file }
    }
}

/// The process that has it.
fn told_by(file: File) -> Option<u32> {
    let mut text = String::new();
    let _ = file.take(32).read_to_string(&mut text);
    text.trim().parse().ok()
}
