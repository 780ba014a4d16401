//! Telling how far the reading of an archive came.

use core::ops::ControlFlow;

use crate::error::ArchiveError;

/// How far the reading of an archive came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Members read so far.
    pub entries: u64,
    /// Bytes of the file that were read or passed over. They start again from 0 when what was compressed is unpacked and
    /// is read itself.
    pub bytes: u64,
    /// Bytes that there are.
    pub total: u64,
}

/// Who is told; [`ControlFlow::Break`] ends the reading.
pub(crate) type Listener<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Tells somebody, if anybody wants to know.
pub(crate) struct Told<'a> {
    listener: Option<Box<Listener<'a>>>,
    entries: u64,
    pub(crate) total: u64,
}

impl<'a> Told<'a> {
    pub(crate) fn new(listener: Option<Box<Listener<'a>>>) -> Self {
        Told { listener, entries: 0, total: 0 }
    }

    /// One more member was read, which is at `bytes`.
    ///
    /// # Errors
    /// [`ArchiveError::Interrupted`].
    pub(crate) fn member(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.entries += 1;
        self.bytes(bytes)
    }

    /// So many bytes were read.
    ///
    /// # Errors
    /// [`ArchiveError::Interrupted`].
    pub(crate) fn bytes(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        let Some(listener) = &mut self.listener else { return Ok(()) };
        let (entries, total) = (self.entries, self.total);
        match listener(Progress { entries, bytes, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ArchiveError::Interrupted),
        }
    }
}
