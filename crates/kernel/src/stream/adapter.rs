//! Any `Read` or `Write` as a stream.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use vnode_core::fs::Access;
use vnode_core::io::{Sink, Source};
use vnode_core::{Errno, FileType, Result, blocking};

use crate::stream::{Interest, Readiness, Stream};
use crate::wait::{Look, Wait, WaitQueue, Watch};

/// Bytes read ahead at most.
const AHEAD: usize = 64 * 1024;

/// A stream that reads from any `Read`.
///
/// A thread of its own does the reading, from the first time that somebody asks for bytes, so that a guest's
/// read can be ended though the reader's can't. The thread ends with the reader's end, or when the stream is
/// dropped and the reader comes back once more.
pub struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<Ahead>,
    room: Condvar,
    changed: WaitQueue,
}

struct Ahead {
    reader: Option<Box<dyn Read + Send>>,
    bytes: VecDeque<u8>,
    end: Option<Result<()>>,
    abandoned: bool,
}

impl Reader {
    /// A stream that reads from `reader`.
    pub fn new(reader: impl Read + Send + 'static) -> Self {
        let ahead =
            Ahead { reader: Some(Box::new(reader)), bytes: VecDeque::new(), end: None, abandoned: false };
        let shared = Shared { state: Mutex::new(ahead), room: Condvar::new(), changed: WaitQueue::new() };
        Reader { shared: Arc::new(shared) }
    }

    /// Sets the reading thread going, once.
    fn start(&self) -> Result<()> {
        let Some(reader) = self.shared.state.lock().reader.take() else { return Ok(()) };
        let shared = Arc::clone(&self.shared);
        let spawned =
            std::thread::Builder::new().name("vnode-reader".into()).spawn(move || shared.pump(reader));
        spawned.map(drop).map_err(|_| {
            self.shared.state.lock().end = Some(Err(Errno::IO));
            Errno::NOMEM
        })
    }
}

impl Shared {
    fn pump(&self, mut reader: Box<dyn Read + Send>) {
        let mut piece = [0; 8192];
        loop {
            let outcome = match reader.read(&mut piece) {
                Ok(0) => Err(Ok(())),
                Ok(count) => Ok(count.min(piece.len())),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(Err(errno(&error))),
            };
            let mut state = self.state.lock();
            match outcome {
                Ok(count) => state.bytes.extend(&piece[..count]),
                Err(end) => state.end = Some(end),
            }
            while state.bytes.len() >= AHEAD && !state.abandoned {
                self.room.wait(&mut state);
            }
            let over = state.end.is_some() || state.abandoned;
            drop(state);
            self.changed.wake_all();
            if over {
                return;
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.state.lock().abandoned = true;
        self.shared.room.notify_all();
    }
}

impl Stream for Reader {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn access(&self) -> Access {
        Access::READ
    }

    fn read(&self, wait: Wait<'_>, into: &mut Sink<'_>) -> Result<usize> {
        if into.remaining() == 0 {
            return Ok(0);
        }
        self.start()?;
        wait.until(&[Watch::Queue(&self.shared.changed)], || {
            let mut state = self.shared.state.lock();
            if state.bytes.is_empty() {
                return match state.end {
                    Some(end) => end.map(|()| Look::Found(0)),
                    None => Ok(Look::NotYet(None)),
                };
            }
            let (front, back) = state.bytes.as_slices();
            let count = into.put(front) + into.put(back);
            state.bytes.drain(..count);
            self.shared.room.notify_all();
            Ok(Look::Found(count))
        })
    }

    fn readiness(&self, interest: Interest) -> Option<Readiness> {
        // Whoever waits wants the bytes: without the thread none would ever come.
        if interest == Interest::Write || self.start().is_err() {
            return None;
        }
        let state = self.shared.state.lock();
        let ready = !state.bytes.is_empty() || state.end.is_some();
        ready.then(|| Readiness { bytes: state.bytes.len() as u64, hangup: state.end.is_some() })
    }

    fn watch(&self, _: Interest) -> Watch<'_> {
        Watch::Queue(&self.shared.changed)
    }
}

/// A stream that writes to any `Write`, in the guest's own thread: a writer that blocks can't be interrupted. On an
/// executor's thread it is never called; a thread that may block does it.
pub struct Writer {
    writer: Mutex<Box<dyn Write + Send>>,
}

impl Writer {
    /// A stream that writes to `writer`, and flushes it after each of the guest's writes.
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Writer { writer: Mutex::new(Box::new(writer)) }
    }
}

impl Stream for Writer {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn access(&self) -> Access {
        Access::WRITE
    }

    fn write(&self, wait: Wait<'_>, from: &mut Source<'_>) -> Result<usize> {
        blocking::check()?;
        let mut writer = self.writer.lock();
        let mut piece = [0; 8192];
        let mut done = 0;
        while from.remaining() > 0 {
            let count = from.take(&mut piece);
            match writer.write_all(&piece[..count]) {
                Ok(()) => done += count,
                Err(_) if done > 0 => break,
                Err(error) => return Err(errno(&error)),
            }
            if wait.is_over() {
                break;
            }
        }
        match writer.flush() {
            Err(error) if done == 0 => Err(errno(&error)),
            _ => Ok(done),
        }
    }

    fn readiness(&self, interest: Interest) -> Option<Readiness> {
        (interest == Interest::Write).then_some(Readiness::default())
    }

    fn watch(&self, _: Interest) -> Watch<'_> {
        Watch::Always
    }
}

/// The number of an IO error: the system's where it has one.
fn errno(error: &std::io::Error) -> Errno {
    if let Some(number) = error.raw_os_error() {
        return Errno::from_host(number);
    }
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::WriteZero => Errno::PIPE,
        ErrorKind::WouldBlock => Errno::AGAIN,
        ErrorKind::StorageFull => Errno::NOSPC,
        _ => Errno::IO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Interruption;

    /// Never comes back until it is told to.
    struct Stuck(std::sync::mpsc::Receiver<()>);
    impl Read for Stuck {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(0)
        }
    }

    #[test]
    fn a_reader_is_read_to_its_end() {
        let interruption = Interruption::new();
        let wait = Wait::blocking(&interruption);
        let content: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
        let stream = Reader::new(std::io::Cursor::new(content.clone()));
        let mut seen = Vec::new();
        let mut buffer = [0; 5000];
        loop {
            let count = stream.read(wait, &mut Sink::from_slice(&mut buffer)).unwrap();
            if count == 0 {
                break;
            }
            seen.extend_from_slice(&buffer[..count]);
        }
        assert!(seen == content);
        assert!(stream.readiness(Interest::Read).unwrap().hangup);
    }

    #[test]
    fn a_stuck_reader_does_not_hold_the_guest() {
        let interruption = Arc::new(Interruption::new());
        let (_keep, stuck) = std::sync::mpsc::channel();
        let stream = Reader::new(Stuck(stuck));
        assert_eq!(stream.readiness(Interest::Read), None);
        let killer = Arc::clone(&interruption);
        let thread = std::thread::spawn(move || killer.kill());
        let wait = Wait::blocking(&interruption);
        assert_eq!(stream.read(wait, &mut Sink::from_slice(&mut [0; 4])), Err(Errno::INTR));
        thread.join().unwrap();
    }

    #[test]
    fn a_writer_gets_all_and_its_errors_are_told() {
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let mut kept = self.0.lock();
                if kept.len() > 20_000 {
                    return Err(ErrorKind::BrokenPipe.into());
                }
                kept.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let interruption = Interruption::new();
        let wait = Wait::blocking(&interruption);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let stream = Writer::new(Shared(Arc::clone(&kept)));
        let much = vec![1; 50_000];
        assert_eq!(stream.write(wait, &mut Source::from_slice(&much)), Ok(24_576));
        assert_eq!(kept.lock().len(), 24_576);
        assert_eq!(stream.write(wait, &mut Source::from_slice(b"x")), Err(Errno::PIPE));
    }
}
