//! What is in a command's file: bytes, or a file of the host.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FileType as HostType, Mode, OFlags, Stat};
use vnode_core::fs::File;
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Cx, Errno, Result, Timespec, blocking};

/// Bytes read of a file of the host at once.
const PIECE: usize = 64 << 10;

/// What a command's file is made of.
#[derive(Clone, Debug)]
pub enum CommandContent {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// A regular file of the host with this path, which is opened when it is first used, and then stays open. Its size
    /// and its time are the command's.
    HostFile(Vec<u8>),
}

/// The content of one command.
pub(super) enum Content {
    Bytes(Arc<[u8]>),
    Host { path: Vec<u8>, fd: OnceLock<Arc<OwnedFd>> },
}

impl Content {
    pub(super) fn new(content: CommandContent) -> Self {
        match content {
            CommandContent::Bytes(bytes) => Content::Bytes(bytes),
            CommandContent::HostFile(path) => Content::Host { path, fd: OnceLock::new() },
        }
    }

    pub(super) fn is_of_host(&self) -> bool {
        matches!(self, Content::Host { .. })
    }

    /// Its size and times put into attributes.
    ///
    /// # Errors
    /// `EIO`: the host's file is gone, or can't be looked at.
    pub(super) fn describe(&self, attr: Attr) -> Result<Attr> {
        match self {
            Content::Bytes(bytes) => Ok(sized(attr, bytes.len() as u64)),
            Content::Host { path, fd } => {
                blocking::check()?;
                let stat = match fd.get() {
                    Some(fd) => rustix::fs::fstat(fd),
                    None => rustix::fs::stat(&path[..]),
                };
                Ok(described(attr, &stat.map_err(gone)?))
            }
        }
    }

    /// # Errors
    /// `EIO`: the host's file is gone, can't be read, or is a regular one no more. `EMFILE`, `ENFILE`.
    pub(super) fn open(&self) -> Result<Arc<dyn File>> {
        match self {
            Content::Bytes(bytes) => Ok(Arc::new(Bytes(Arc::clone(bytes)))),
            Content::Host { path, fd } => {
                blocking::check()?;
                if fd.get().is_none() {
                    // Who is slower takes the other's.
                    let _ = fd.set(Arc::new(open(path)?));
                }
                let fd = fd.get().ok_or(Errno::IO)?;
                Ok(Arc::new(HostFile(Arc::clone(fd))))
            }
        }
    }
}

fn sized(attr: Attr, size: u64) -> Attr {
    Attr { size, blocks: size.div_ceil(512), ..attr }
}

fn described(attr: Attr, stat: &Stat) -> Attr {
    let time = |sec: i64, nsec: u64| Timespec { sec, nsec: u32::try_from(nsec).unwrap_or(0) };
    let mtime = time(stat.st_mtime as _, stat.st_mtime_nsec as _);
    let attr = sized(attr, u64::try_from(stat.st_size).unwrap_or(0));
    Attr { atime: mtime, mtime, ctime: mtime, btime: None, ..attr }
}

/// What a guest is told of the host's error: not which file of the host there is.
fn gone(error: rustix::io::Errno) -> Errno {
    match error {
        rustix::io::Errno::MFILE => Errno::MFILE,
        rustix::io::Errno::NFILE => Errno::NFILE,
        _ => Errno::IO,
    }
}

fn open(path: &[u8]) -> Result<OwnedFd> {
    // Should it be a FIFO by now, nobody waits for its other end.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(gone)?;
    let kind = HostType::from_raw_mode(rustix::fs::fstat(&fd).map_err(gone)?.st_mode);
    if kind == HostType::RegularFile { Ok(fd) } else { Err(Errno::IO) }
}

/// What nobody can change.
fn read_only<T>() -> Result<T> {
    Err(Errno::BADF)
}

struct Bytes(Arc<[u8]>);

impl File for Bytes {
    fn read_at(&self, _: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..));
        Ok(into.put(rest.unwrap_or_default()))
    }

    fn write_at(&self, _: &Cx<'_>, _: u64, _: &mut Source<'_>) -> Result<usize> {
        read_only()
    }

    /// Appending nothing tells where the end is.
    fn append(&self, _: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        if from.remaining() == 0 { Ok((0, self.0.len() as u64)) } else { read_only() }
    }

    fn set_len(&self, _: &Cx<'_>, _: u64) -> Result<()> {
        read_only()
    }
}

struct HostFile(Arc<OwnedFd>);

impl File for HostFile {
    fn read_at(&self, cx: &Cx<'_>, offset: u64, into: &mut Sink<'_>) -> Result<usize> {
        blocking::check()?;
        let mut piece = vec![0; into.remaining().min(PIECE)];
        let mut done = 0;
        while into.remaining() > 0 {
            let wanted = into.remaining().min(piece.len());
            let read = cx.check_canceled().and_then(|()| {
                let at = offset.checked_add(done as u64).ok_or(Errno::INVAL)?;
                let room = piece.get_mut(..wanted).unwrap_or_default();
                rustix::io::retry_on_intr(|| rustix::io::pread(self.0.as_fd(), &mut *room, at)).map_err(gone)
            });
            match read {
                Ok(0) => break,
                Ok(count) => done += into.put(piece.get(..count).unwrap_or_default()),
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn write_at(&self, _: &Cx<'_>, _: u64, _: &mut Source<'_>) -> Result<usize> {
        read_only()
    }

    /// Appending nothing tells where the end is.
    fn append(&self, _: &Cx<'_>, from: &mut Source<'_>) -> Result<(usize, u64)> {
        blocking::check()?;
        let stat = rustix::fs::fstat(&self.0).map_err(gone)?;
        let end = u64::try_from(stat.st_size).unwrap_or(0);
        if from.remaining() == 0 { Ok((0, end)) } else { read_only() }
    }

    fn set_len(&self, _: &Cx<'_>, _: u64) -> Result<()> {
        read_only()
    }
}
