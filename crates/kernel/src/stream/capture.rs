//! Output kept in memory.

use parking_lot::Mutex;
use vnode_core::fs::Access;
use vnode_core::io::Source;
use vnode_core::{FileType, Result};

use crate::stream::{Interest, Readiness, Stream};
use crate::wait::{Wait, Watch};

/// Keeps the first bytes written to it, up to a limit. The guest is not told of the limit: more is dropped, and
/// [`Capture::is_truncated`] says so.
#[derive(Debug)]
pub struct Capture {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Capture {
    /// Keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Capture { limit, kept: Mutex::default() }
    }

    /// What was written so far.
    pub fn contents(&self) -> Vec<u8> {
        self.kept.lock().bytes.clone()
    }

    /// What was written so far; it is forgotten here.
    pub fn take(&self) -> Vec<u8> {
        core::mem::take(&mut self.kept.lock().bytes)
    }

    /// Whether more was written than the limit let in.
    pub fn is_truncated(&self) -> bool {
        self.kept.lock().truncated
    }
}

impl Stream for Capture {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn access(&self) -> Access {
        Access::WRITE
    }

    fn write(&self, _: Wait<'_>, from: &mut Source<'_>) -> Result<usize> {
        let count = from.remaining();
        let mut kept = self.kept.lock();
        let room = self.limit.saturating_sub(kept.bytes.len());
        from.append_to(&mut kept.bytes, room.min(count));
        kept.truncated |= count > room;
        let rest = from.remaining();
        from.advance(rest);
        Ok(count)
    }

    fn readiness(&self, interest: Interest) -> Option<Readiness> {
        (interest == Interest::Write).then_some(Readiness::default())
    }

    fn watch(&self, _: Interest) -> Watch<'_> {
        Watch::Always
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Interruption;

    #[test]
    fn what_is_past_the_limit_is_dropped_and_told() {
        let interruption = Interruption::new();
        let wait = Wait::blocking(&interruption);
        let capture = Capture::new(5);
        assert_eq!(capture.write(wait, &mut Source::from_slice(b"abc")), Ok(3));
        assert!(!capture.is_truncated());
        assert_eq!(capture.write(wait, &mut Source::from_slice(b"defg")), Ok(4));
        assert_eq!(capture.contents(), b"abcde");
        assert!(capture.is_truncated());
    }
}
