//! The host's descriptors as streams: standard input, output and error of the command.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use parking_lot::Mutex;
use rustix::event::PollFlags;
use rustix::fs::{FileType as HostType, OFlags};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};
use vnode_core::fs::Access;
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, FileType, Result, blocking};

use crate::attempt::{self, Kept};
use crate::stream::{Interest, Readiness, Stream, Terminal, TerminalMode, TerminalState};
use crate::wait::{Look, Wait, Watch, host_ready};

/// What a pipe that is ready takes without blocking (`PIPE_BUF`).
const PIECE: usize = 4096;
/// What is read or written at once where nothing blocks for long.
const LARGE_PIECE: usize = 64 * 1024;

/// A descriptor of the host. The guest sees a terminal or a pipe, whatever it is.
#[derive(Debug)]
pub struct HostStream {
    fd: OwnedFd,
    access: Access,
    terminal: bool,
    /// A pipe, a socket or a terminal: ready or not, and a write larger than its room blocks.
    may_block: bool,
    /// How the terminal was before it was changed here.
    original: Mutex<Option<Termios>>,
}

impl HostStream {
    /// The stream of a host descriptor.
    pub fn new(fd: impl Into<OwnedFd>, access: Access) -> Self {
        let fd = fd.into();
        let kind = rustix::fs::fstat(&fd).map(|stat| HostType::from_raw_mode(stat.st_mode));
        let terminal = isatty(&fd);
        let may_block = terminal || !matches!(kind, Ok(HostType::RegularFile | HostType::CharacterDevice));
        HostStream { fd, access, terminal, may_block, original: Mutex::default() }
    }

    /// The command's own standard input.
    ///
    /// # Errors
    /// `EBADF`: it is closed. `EMFILE`.
    pub fn stdin() -> Result<Self> {
        Self::duplicate(std::io::stdin().as_fd(), Access::READ)
    }

    /// The command's own standard output.
    ///
    /// # Errors
    /// As [`HostStream::stdin`].
    pub fn stdout() -> Result<Self> {
        Self::duplicate(std::io::stdout().as_fd(), Access::WRITE)
    }

    /// The command's own standard error.
    ///
    /// # Errors
    /// As [`HostStream::stdin`].
    pub fn stderr() -> Result<Self> {
        Self::duplicate(std::io::stderr().as_fd(), Access::WRITE)
    }

    /// The terminal of the command: the first of its standard streams that is one, for what that was opened for. A
    /// shell opens it for both.
    pub fn terminal() -> Option<Self> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let fd = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().find(|fd| isatty(fd))?;
        let access = match rustix::fs::fcntl_getfl(fd).ok()? & OFlags::RWMODE {
            OFlags::WRONLY => Access::WRITE,
            OFlags::RDWR => Access::all(),
            _ => Access::READ,
        };
        Self::duplicate(fd, access).ok()
    }

    /// Puts the terminal right if it was changed here, which dropping this does as well.
    pub fn restore(&self) {
        if let Some(original) = self.original.lock().take() {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(&self.fd, OptionalActions::Now, &original);
        }
    }

    fn duplicate(fd: BorrowedFd<'_>, access: Access) -> Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(errno)?;
        Ok(HostStream::new(fd, access))
    }

    fn wait_for(&self, wait: Wait<'_>, flags: PollFlags) -> Result<()> {
        let watch = match flags {
            PollFlags::IN => Watch::HostReadable(self.fd.as_fd()),
            _ => Watch::HostWritable(self.fd.as_fd()),
        };
        wait.until(&[watch], || {
            Ok(match host_ready(self.fd.as_fd(), flags) {
                Some(_) => Look::Found(()),
                None => Look::NotYet(None),
            })
        })
    }

    /// Reads once, when something is there.
    fn read_piece(&self, wait: Wait<'_>, piece: &mut [u8]) -> Result<usize> {
        loop {
            if self.may_block {
                self.wait_for(wait, PollFlags::IN)?;
            }
            match rustix::io::read(&self.fd, &mut *piece) {
                // Another process may have been quicker, or a signal came: wait again.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                result => return result.map_err(errno),
            }
        }
    }

    /// Writes once, when there is room.
    fn write_piece(&self, wait: Wait<'_>, piece: &[u8]) -> Result<usize> {
        loop {
            if self.may_block {
                self.wait_for(wait, PollFlags::OUT)?;
            }
            match rustix::io::write(&self.fd, piece) {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                result => return result.map_err(errno),
            }
        }
    }

    fn transfer(&self, wait: Wait<'_>, piece: &mut [u8], from: &mut Source<'_>) -> Result<usize> {
        let mut done = attempt::kept().written;
        from.advance(done);
        while from.remaining() > 0 {
            let taken = from.take(piece);
            let mut written = 0;
            while let Some(rest) = piece.get(written..taken).filter(|rest| !rest.is_empty()) {
                match self.write_piece(wait, rest) {
                    Ok(count) => written += count,
                    Err(error) if blocking::was_met() => {
                        attempt::keep(Kept { written: done + written, ..Kept::default() });
                        return Err(error);
                    }
                    Err(_) if done + written > 0 => return Ok(done + written),
                    Err(error) => return Err(error),
                }
            }
            done += written;
            if wait.is_over() {
                break;
            }
        }
        Ok(done)
    }
}

impl Drop for HostStream {
    fn drop(&mut self) {
        self.restore();
    }
}

impl Stream for HostStream {
    fn kind(&self) -> FileType {
        if self.terminal { FileType::CharDevice } else { FileType::Fifo }
    }

    fn access(&self) -> Access {
        self.access
    }

    fn read(&self, wait: Wait<'_>, into: &mut Sink<'_>) -> Result<usize> {
        if into.remaining() == 0 {
            return Ok(0);
        }
        let mut small = [0; PIECE];
        let mut large = Vec::new();
        let piece = match into.remaining() {
            wanted @ ..=PIECE => &mut small[..wanted],
            wanted => {
                large.resize(wanted.min(LARGE_PIECE), 0);
                &mut large[..]
            }
        };
        if !self.may_block {
            blocking::check()?;
        }
        let count = self.read_piece(wait, piece)?;
        Ok(into.put(&piece[..count]))
    }

    fn write(&self, wait: Wait<'_>, from: &mut Source<'_>) -> Result<usize> {
        if !self.may_block {
            // A file, which is always ready, and may be on a slow disk.
            blocking::check()?;
        }
        if self.may_block || from.remaining() <= PIECE {
            return self.transfer(wait, &mut [0; PIECE], from);
        }
        let mut large = vec![0; from.remaining().min(LARGE_PIECE)];
        self.transfer(wait, &mut large, from)
    }

    fn readiness(&self, interest: Interest) -> Option<Readiness> {
        let flags = match interest {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
        };
        let ready = host_ready(self.fd.as_fd(), flags)?;
        let bytes = match interest {
            Interest::Read => rustix::io::ioctl_fionread(&self.fd).unwrap_or(0),
            Interest::Write => 0,
        };
        Some(Readiness { bytes, hangup: ready.intersects(PollFlags::HUP | PollFlags::ERR) })
    }

    fn watch(&self, interest: Interest) -> Watch<'_> {
        match interest {
            Interest::Read => Watch::HostReadable(self.fd.as_fd()),
            Interest::Write => Watch::HostWritable(self.fd.as_fd()),
        }
    }

    fn as_terminal(&self) -> Option<&dyn Terminal> {
        self.terminal.then_some(self)
    }
}

impl Terminal for HostStream {
    fn state(&self) -> Result<TerminalState> {
        let termios = tcgetattr(&self.fd).map_err(errno)?;
        let size = tcgetwinsize(&self.fd).map_err(errno)?;
        Ok(TerminalState {
            columns: size.ws_col.into(),
            rows: size.ws_row.into(),
            width: size.ws_xpixel.into(),
            height: size.ws_ypixel.into(),
            mode: TerminalMode {
                echo: termios.local_modes.contains(LocalModes::ECHO),
                line_buffered: termios.local_modes.contains(LocalModes::ICANON),
            },
        })
    }

    fn set_mode(&self, mode: TerminalMode) -> Result<()> {
        let mut original = self.original.lock();
        let mut termios = tcgetattr(&self.fd).map_err(errno)?;
        original.get_or_insert_with(|| termios.clone());
        termios.local_modes.set(LocalModes::ECHO, mode.echo);
        termios.local_modes.set(LocalModes::ICANON, mode.line_buffered);
        if !mode.line_buffered {
            // A read is to give what is there, and to wait for one character: on some systems these two are kept where
            // the characters for the end of input are.
            termios.special_codes[SpecialCodeIndex::VMIN] = 1;
            termios.special_codes[SpecialCodeIndex::VTIME] = 0;
        }
        tcsetattr(&self.fd, OptionalActions::Now, &termios).map_err(errno)
    }
}

/// The host's error as the guest's.
fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_host(error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Interruption;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn pipe() -> (HostStream, HostStream) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        (HostStream::new(read, Access::READ), HostStream::new(write, Access::WRITE))
    }

    #[test]
    fn a_read_gives_what_is_there() {
        let interruption = Interruption::new();
        let wait = Wait::blocking(&interruption);
        let (read, write) = pipe();
        assert_eq!(read.readiness(Interest::Read), None);
        assert_eq!(write.readiness(Interest::Write), Some(Readiness::default()));
        assert_eq!(write.write(wait, &mut Source::from_slice(b"hello")), Ok(5));
        assert_eq!(read.readiness(Interest::Read), Some(Readiness { bytes: 5, hangup: false }));
        let mut buffer = vec![0; 100_000];
        assert_eq!(read.read(wait, &mut Sink::from_slice(&mut buffer)), Ok(5));
        assert_eq!(&buffer[..6], b"hello\0");
        drop(write);
        assert_eq!(read.read(wait, &mut Sink::from_slice(&mut buffer)), Ok(0));
        assert!(read.readiness(Interest::Read).unwrap().hangup);
    }

    #[test]
    fn a_kill_ends_a_blocked_read_and_a_blocked_write() {
        let interruption = Arc::new(Interruption::new());
        let killer = Arc::clone(&interruption);
        let (read, write) = pipe();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            killer.kill();
        });
        let start = Instant::now();
        let wait = Wait::blocking(&interruption);
        assert_eq!(read.read(wait, &mut Sink::from_slice(&mut [0; 4])), Err(Errno::INTR));
        thread.join().unwrap();
        // More than the pipe holds: what fits is written, then the wait ends.
        let much = vec![7; 1 << 20];
        let written = write.write(wait, &mut Source::from_slice(&much)).unwrap();
        assert!((PIECE..much.len()).contains(&written), "{written}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_closed_pipe_is_epipe() {
        let interruption = Interruption::new();
        let (read, write) = pipe();
        drop(read);
        let wait = Wait::blocking(&interruption);
        assert_eq!(write.write(wait, &mut Source::from_slice(b"x")), Err(Errno::PIPE));
        let nothing = Wait::nonblocking(&interruption);
        let (read, _write) = pipe();
        assert_eq!(read.read(nothing, &mut Sink::from_slice(&mut [0; 4])), Err(Errno::AGAIN));
    }
}
