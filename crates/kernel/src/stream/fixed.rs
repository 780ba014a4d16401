//! Streams that never wait: null, and bytes given beforehand.

use parking_lot::Mutex;
use vnode_core::fs::Access;
use vnode_core::io::{Sink, Source};
use vnode_core::{FileType, Result};

use crate::stream::{Interest, Readiness, Stream};
use crate::wait::{Wait, Watch};

/// Nothing to read, and what is written is gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl Stream for Null {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn access(&self) -> Access {
        Access::all()
    }

    fn read(&self, _: Wait<'_>, _: &mut Sink<'_>) -> Result<usize> {
        Ok(0)
    }

    fn write(&self, _: Wait<'_>, from: &mut Source<'_>) -> Result<usize> {
        let count = from.remaining();
        from.advance(count);
        Ok(count)
    }

    fn readiness(&self, _: Interest) -> Option<Readiness> {
        Some(Readiness::default())
    }

    fn watch(&self, _: Interest) -> Watch<'_> {
        Watch::Always
    }
}

/// Bytes to read, then the end.
#[derive(Debug)]
pub struct Bytes {
    bytes: Vec<u8>,
    read: Mutex<usize>,
}

impl Bytes {
    /// A stream of `bytes`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Bytes { bytes: bytes.into(), read: Mutex::new(0) }
    }
}

impl Stream for Bytes {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn access(&self) -> Access {
        Access::READ
    }

    fn read(&self, _: Wait<'_>, into: &mut Sink<'_>) -> Result<usize> {
        let mut read = self.read.lock();
        let count = into.put(self.bytes.get(*read..).unwrap_or_default());
        *read += count;
        Ok(count)
    }

    fn readiness(&self, interest: Interest) -> Option<Readiness> {
        let left = self.bytes.len().saturating_sub(*self.read.lock());
        (interest == Interest::Read).then_some(Readiness { bytes: left as u64, hangup: left == 0 })
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
    fn bytes_are_read_once() {
        let interruption = Interruption::new();
        let wait = Wait::blocking(&interruption);
        let stream = Bytes::new(*b"hello");
        let mut buffer = [0; 3];
        assert_eq!(stream.read(wait, &mut Sink::from_slice(&mut buffer)), Ok(3));
        assert_eq!(stream.readiness(Interest::Read), Some(Readiness { bytes: 2, hangup: false }));
        assert_eq!(stream.read(wait, &mut Sink::from_slice(&mut buffer)), Ok(2));
        assert_eq!(&buffer, b"lol");
        assert_eq!(stream.read(wait, &mut Sink::from_slice(&mut buffer)), Ok(0));
        assert_eq!(stream.readiness(Interest::Read), Some(Readiness { bytes: 0, hangup: true }));
    }

    #[test]
    fn null_takes_all() {
        let interruption = Interruption::new();
        let wait = Wait::blocking(&interruption);
        assert_eq!(Null.write(wait, &mut Source::from_slice(b"abc")), Ok(3));
        assert_eq!(Null.read(wait, &mut Sink::from_slice(&mut [0; 4])), Ok(0));
    }
}
