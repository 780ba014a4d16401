//! Listings.
//!
//! macOS gives no position behind each entry that could be gone back to, so a listing counts its entries: to go on where
//! it stands costs nothing, to go back a little neither, and further back it is read from the start.

use core::ops::ControlFlow;
use std::collections::VecDeque;

use rustix::fs::{Dir, DirEntry as HostEntry, Mode, OFlags};
use vnode_core::fs::{DirEntry, FIRST_COOKIE, LAST_COOKIE};
use vnode_core::{Cx, Errno, Result};

use super::super::names::kind_of_entry;
use super::super::{errno, uninterrupted};
use super::darwin::leaving_atime;
use super::held::{BorrowedFd, OwnedFd};
use super::opened;

/// Entries that are kept to be listed again: more than callers take at once and then don't want yet.
const KEPT: usize = 1024;

/// Opens a directory for listing it.
pub(crate) fn open_directory(dir: BorrowedFd<'_>, keeps_atime: bool) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = opened(&dir)?;
    leaving_atime(flags, keeps_atime, |flags| rustix::fs::openat(dir, c".", flags, Mode::empty()))
}

/// A listing on its way.
#[derive(Default)]
pub(crate) struct Listing {
    stream: Option<Dir>,
    /// Entries that the stream gave.
    given: u64,
    /// The last of them.
    kept: VecDeque<HostEntry>,
}

impl Listing {
    /// Lists a directory from a cookie on: one of an entry, or one below [`FIRST_COOKIE`] for the start.
    pub(crate) fn list(
        &mut self,
        dir: BorrowedFd<'_>,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if cookie >= LAST_COOKIE {
            return Ok(());
        }
        let mut at = self.go_to(dir, cx, cookie)?;
        loop {
            let Some(entry) = self.entry(at)? else { return Ok(()) };
            at += 1;
            let name = entry.file_name().to_bytes();
            let kind = match kind_of_entry(dir, name, entry.file_type()) {
                // It was removed since.
                Err(Errno::NOENT) => continue,
                kind => kind?,
            };
            let entry = DirEntry { name, ino: entry.ino(), kind, next: FIRST_COOKIE.saturating_add(at) };
            if emit(entry).is_break() {
                return Ok(());
            }
            if at.is_multiple_of(KEPT as u64) {
                cx.check_canceled()?;
            }
        }
    }

    /// Has the entry of a cookie be among those kept, or the next that the stream gives; tells its number.
    fn go_to(&mut self, dir: BorrowedFd<'_>, cx: &Cx<'_>, cookie: u64) -> Result<u64> {
        let at = cookie.saturating_sub(FIRST_COOKIE);
        let first_kept = self.given - self.kept.len() as u64;
        if cookie >= FIRST_COOKIE && (first_kept..=self.given).contains(&at) && self.stream.is_some() {
            return Ok(at);
        }
        (self.given, self.kept) = (0, VecDeque::new());
        match &mut self.stream {
            Some(stream) => stream.rewind(),
            None => {
                let dir = opened(&dir)?;
                self.stream = Some(uninterrupted(|| Dir::read_from(dir)).map_err(errno)?);
            }
        }
        while self.given < at && self.read()? {
            if self.given.is_multiple_of(KEPT as u64) {
                cx.check_canceled()?;
            }
        }
        Ok(at)
    }

    /// The entry of a number, which is one of those kept or the next.
    fn entry(&mut self, number: u64) -> Result<Option<&HostEntry>> {
        if number >= self.given && !self.read()? {
            return Ok(None);
        }
        let behind = self.given.checked_sub(number).and_then(|behind| usize::try_from(behind).ok());
        let index = behind.and_then(|behind| self.kept.len().checked_sub(behind));
        Ok(index.and_then(|index| self.kept.get(index)))
    }

    /// Has the stream give an entry but `.` and `..`, if there is one.
    fn read(&mut self) -> Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(false) };
        let entry = loop {
            match stream.read() {
                None => return Ok(false),
                Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Some(entry) => break entry.map_err(errno)?,
            }
        };
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(entry);
        self.given += 1;
        Ok(true)
    }
}
