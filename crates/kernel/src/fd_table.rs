//! The table of descriptors: lowest free number first, no open file without naming the rights it is for.

use std::sync::Arc;

use parking_lot::RwLock;
use vnode_core::{Errno, Result};

use crate::open_file::OpenFile;
use crate::rights::Rights;

/// The number of a descriptor.
pub type Fd = u32;

/// The most descriptors that a table can be allowed.
pub const FD_LIMIT_MAX: u32 = 1 << 20;

/// What a descriptor holds.
#[derive(Clone)]
pub struct FdEntry {
    file: Arc<OpenFile>,
    base: Rights,
    inheriting: Rights,
    preopen: Option<Arc<[u8]>>,
    close_on_exec: bool,
}

impl FdEntry {
    /// A descriptor of `file` with rights for itself and for what is opened through it.
    pub fn new(file: Arc<OpenFile>, base: Rights, inheriting: Rights) -> Self {
        FdEntry { file, base, inheriting, preopen: None, close_on_exec: false }
    }

    /// The same as a preopen with the name that the guest knows it by.
    pub fn with_preopen(mut self, name: &[u8]) -> Self {
        self.preopen = Some(name.into());
        self
    }

    /// The same, closed or not when another program is executed (`FD_CLOEXEC`).
    pub fn with_close_on_exec(mut self, close: bool) -> Self {
        self.close_on_exec = close;
        self
    }

    /// The rights for itself.
    pub fn base(&self) -> Rights {
        self.base
    }

    /// The rights for what is opened through it.
    pub fn inheriting(&self) -> Rights {
        self.inheriting
    }

    /// The name of a preopen.
    pub fn preopen(&self) -> Option<&Arc<[u8]>> {
        self.preopen.as_ref()
    }

    /// Whether another program's execution closes it.
    pub fn closes_on_exec(&self) -> bool {
        self.close_on_exec
    }

    /// The open file, for whoever has the rights `need`.
    ///
    /// # Errors
    /// * What POSIX has for a use that the type or the access mode never allows: `EBADF`, `ESPIPE`, `ENOTDIR`, ..
    /// * `lacking`: a right was taken away.
    pub(crate) fn file(&self, need: Rights, lacking: Errno) -> Result<&Arc<OpenFile>> {
        if self.base.contains(need) { Ok(&self.file) } else { Err(self.refusal(need, lacking)) }
    }

    #[cold]
    fn refusal(&self, need: Rights, lacking: Errno) -> Errno {
        self.file.why_never(need - self.base).unwrap_or(lacking)
    }
}

/// The descriptors of a process.
pub struct FdTable {
    slots: RwLock<Slots>,
    /// Numbers are below this.
    limit: u32,
    /// What a missing right is.
    lacking: Errno,
}

#[derive(Clone, Default)]
struct Slots {
    /// A bit for each number: open or reserved.
    used: Vec<u64>,
    /// Every word of `used` before this one is full.
    full: usize,
    entries: Vec<Option<FdEntry>>,
}

impl Slots {
    /// The lowest number from `from` on that is free.
    fn lowest_free(&self, from: Fd) -> Fd {
        let mut at = from as usize / 64;
        let mut skip = (1u64 << (from % 64)) - 1;
        if at < self.full {
            (at, skip) = (self.full, 0);
        }
        while let Some(word) = self.used.get(at) {
            let free = !(word | skip);
            if free != 0 {
                return (at * 64) as Fd + free.trailing_zeros();
            }
            skip = 0;
            at += 1;
        }
        from.max((at * 64) as Fd)
    }

    fn mark(&mut self, fd: Fd) {
        let word = fd as usize / 64;
        if self.used.len() <= word {
            self.used.resize(word + 1, 0);
        }
        if self.entries.len() <= fd as usize {
            self.entries.resize(fd as usize + 1, None);
        }
        self.used[word] |= 1 << (fd % 64);
        while self.used.get(self.full) == Some(&u64::MAX) {
            self.full += 1;
        }
    }

    fn clear(&mut self, fd: Fd) {
        let at = fd as usize / 64;
        if let Some(word) = self.used.get_mut(at) {
            *word &= !(1 << (fd % 64));
            self.full = self.full.min(at);
        }
    }

    fn entry(&self, fd: Fd) -> Result<&FdEntry> {
        self.entries.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    fn entry_mut(&mut self, fd: Fd) -> Result<&mut FdEntry> {
        self.entries.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// Takes an open descriptor out.
    fn take(&mut self, fd: Fd) -> Result<FdEntry> {
        let entry = self.entries.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BADF)?;
        self.clear(fd);
        Ok(entry)
    }

    /// Puts an entry at a number and answers what was there.
    fn put(&mut self, fd: Fd, entry: FdEntry) -> Option<FdEntry> {
        self.mark(fd);
        self.entries.get_mut(fd as usize).and_then(|slot| slot.replace(entry))
    }
}

/// A number set aside for something about to be opened; free again when dropped unused.
pub struct ReservedFd<'a> {
    table: &'a FdTable,
    fd: Fd,
    used: bool,
}

impl ReservedFd<'_> {
    /// Puts an entry at the number.
    pub fn install(mut self, entry: FdEntry) -> Fd {
        self.table.slots.write().put(self.fd, entry);
        self.used = true;
        self.fd
    }
}

impl Drop for ReservedFd<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.table.slots.write().clear(self.fd);
        }
    }
}

impl FdTable {
    /// An empty table whose numbers stay below `limit` (`RLIMIT_NOFILE`), and in which a missing right is `lacking`.
    pub fn new(limit: u32, lacking: Errno) -> Self {
        FdTable { slots: RwLock::default(), limit: limit.min(FD_LIMIT_MAX), lacking }
    }

    /// A table with the same descriptors, sharing their open files (`fork(2)`).
    pub fn fork(&self) -> FdTable {
        let mut slots = self.slots.read().clone();
        let open: Vec<Fd> =
            (0..).zip(&slots.entries).filter(|slot| slot.1.is_some()).map(|slot| slot.0).collect();
        // What another thread has only reserved is free in the copy.
        slots.used.fill(0);
        open.into_iter().for_each(|fd| slots.mark(fd));
        FdTable { slots: RwLock::new(slots), limit: self.limit, lacking: self.lacking }
    }

    /// The open file of a descriptor, for whoever needs the rights `need`.
    ///
    /// # Errors
    /// * `EBADF`: closed, or not open for reading or writing as `need` says.
    /// * `ESPIPE`, `ENOTDIR`, `EINVAL`, `ENOTSOCK`: what is open can never be used so; as on Linux.
    /// * `ENOTCAPABLE`, under the strict policy `EBADF`: a right is missing.
    #[inline]
    pub fn get(&self, fd: Fd, need: Rights) -> Result<Arc<OpenFile>> {
        let slots = self.slots.read();
        slots.entry(fd)?.file(need, self.lacking).cloned()
    }

    /// The same with all that the descriptor holds.
    ///
    /// # Errors
    /// As [`FdTable::get`].
    pub fn get_entry(&self, fd: Fd, need: Rights) -> Result<(Arc<OpenFile>, FdEntry)> {
        let slots = self.slots.read();
        let entry = slots.entry(fd)?;
        Ok((Arc::clone(entry.file(need, self.lacking)?), entry.clone()))
    }

    /// The same with the rights for what is opened through the descriptor.
    ///
    /// # Errors
    /// As [`FdTable::get`].
    pub fn get_inheriting(&self, fd: Fd, need: Rights) -> Result<(Arc<OpenFile>, Rights)> {
        let slots = self.slots.read();
        let entry = slots.entry(fd)?;
        Ok((Arc::clone(entry.file(need, self.lacking)?), entry.inheriting))
    }

    /// What a missing right is here.
    pub fn lacking(&self) -> Errno {
        self.lacking
    }

    /// Sets the lowest free number aside.
    ///
    /// # Errors
    /// `EMFILE`: none is left.
    pub fn reserve(&self) -> Result<ReservedFd<'_>> {
        self.reserve_from(0)
    }

    /// Sets the lowest free number from `min` on aside (`F_DUPFD`).
    ///
    /// # Errors
    /// `EINVAL`: `min` is past all numbers. `EMFILE`: none is left.
    pub fn reserve_from(&self, min: Fd) -> Result<ReservedFd<'_>> {
        if min >= self.limit && min > 0 {
            return Err(Errno::INVAL);
        }
        let mut slots = self.slots.write();
        let fd = slots.lowest_free(min);
        if fd >= self.limit {
            return Err(Errno::MFILE);
        }
        slots.mark(fd);
        Ok(ReservedFd { table: self, fd, used: false })
    }

    /// Opens the lowest free number.
    ///
    /// # Errors
    /// `EMFILE`: none is left.
    pub fn insert(&self, entry: FdEntry) -> Result<Fd> {
        Ok(self.reserve()?.install(entry))
    }

    /// Closes a descriptor (`close(2)`).
    ///
    /// # Errors
    /// `EBADF`: not open.
    pub fn close(&self, fd: Fd) -> Result<()> {
        let closed = self.slots.write().take(fd)?;
        // What is behind it may end here: not under the lock.
        drop(closed);
        Ok(())
    }

    /// Moves `from` to `to`, closing what `to` was, in one step. The same number twice: nothing happens.
    ///
    /// # Errors
    /// `EBADF`: one of them is not open.
    pub fn renumber(&self, from: Fd, to: Fd) -> Result<()> {
        let replaced = {
            let mut slots = self.slots.write();
            slots.entry(to)?;
            slots.entry(from)?;
            if from == to {
                return Ok(());
            }
            let entry = slots.take(from)?;
            slots.put(to, entry)
        };
        drop(replaced);
        Ok(())
    }

    /// Makes the lowest free number from `min` on another descriptor of the same open file (`F_DUPFD`).
    ///
    /// # Errors
    /// `EBADF`: not open. `EINVAL`: `min` is past all numbers. `EMFILE`.
    pub fn duplicate(&self, fd: Fd, min: Fd, close_on_exec: bool) -> Result<Fd> {
        self.slots.read().entry(fd)?;
        let reserved = self.reserve_from(min)?;
        let mut copy = self.slots.read().entry(fd)?.clone();
        copy.preopen = None;
        Ok(reserved.install(copy.with_close_on_exec(close_on_exec)))
    }

    /// Makes `to` another descriptor of the same open file, closing what it was (`dup2(2)`).
    ///
    /// # Errors
    /// * `EBADF`: `from` is not open, or `to` is past all numbers.
    /// * `EBUSY`: another thread is about to open `to`.
    pub fn duplicate_to(&self, from: Fd, to: Fd) -> Result<()> {
        let replaced = {
            let mut slots = self.slots.write();
            let mut copy = slots.entry(from)?.clone();
            if to >= self.limit {
                return Err(Errno::BADF);
            }
            if from == to {
                return Ok(());
            }
            let reserved = slots.used.get(to as usize / 64).is_some_and(|word| word & (1 << (to % 64)) != 0);
            if reserved && slots.entry(to).is_err() {
                return Err(Errno::BUSY);
            }
            copy.preopen = None;
            copy.close_on_exec = false;
            slots.put(to, copy)
        };
        drop(replaced);
        Ok(())
    }

    /// Makes a descriptor of this number, closing what it was.
    ///
    /// # Errors
    /// `EBADF`: it is past all numbers.
    pub(crate) fn install_at(&self, fd: Fd, entry: FdEntry) -> Result<()> {
        if fd >= self.limit {
            return Err(Errno::BADF);
        }
        let replaced = self.slots.write().put(fd, entry);
        drop(replaced);
        Ok(())
    }

    /// Makes a descriptor of this number, if it is free.
    pub(crate) fn install_if_free(&self, fd: Fd, entry: &FdEntry) {
        let mut slots = self.slots.write();
        if fd < self.limit && slots.lowest_free(fd) == fd {
            slots.put(fd, entry.clone());
        }
    }

    /// Takes rights away; none can be added.
    ///
    /// # Errors
    /// `EBADF`: not open. `ENOTCAPABLE`: one that the descriptor doesn't have is asked for.
    pub fn shrink(&self, fd: Fd, base: Rights, inheriting: Rights) -> Result<()> {
        let mut slots = self.slots.write();
        let entry = slots.entry_mut(fd)?;
        if !entry.base.contains(base) || !entry.inheriting.contains(inheriting) {
            return Err(Errno::NOTCAPABLE);
        }
        entry.base = base;
        entry.inheriting = inheriting;
        Ok(())
    }

    /// Says whether another program's execution closes a descriptor (`F_SETFD`).
    ///
    /// # Errors
    /// `EBADF`: not open.
    pub fn set_close_on_exec(&self, fd: Fd, close: bool) -> Result<()> {
        self.slots.write().entry_mut(fd)?.close_on_exec = close;
        Ok(())
    }

    /// Closes what another program's execution closes.
    pub fn close_for_exec(&self) {
        let closed: Vec<FdEntry> = {
            let mut slots = self.slots.write();
            let numbers: Vec<Fd> = (0..)
                .zip(&slots.entries)
                .filter(|(_, slot)| slot.as_ref().is_some_and(|entry| entry.close_on_exec))
                .map(|(fd, _)| fd)
                .collect();
            numbers.into_iter().filter_map(|fd| slots.take(fd).ok()).collect()
        };
        drop(closed);
    }

    /// Closes all.
    pub fn close_all(&self) {
        let closed = core::mem::take(&mut *self.slots.write());
        drop(closed);
    }

    /// The lowest descriptor that is open, from this number on.
    pub fn next_open(&self, from: Fd) -> Option<Fd> {
        let slots = self.slots.read();
        let open = slots.entries.get(from as usize..)?.iter().position(Option::is_some)?;
        from.checked_add(open as Fd)
    }

    /// How many have room in the table as it is (`FDSize`).
    pub fn capacity(&self) -> usize {
        self.slots.read().used.len() * 64
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.slots.read().entries.iter().flatten().count()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Bytes, Null};

    fn entry() -> FdEntry {
        let rights = Rights::STREAM;
        FdEntry::new(Arc::new(OpenFile::stream(Arc::new(Null), 1)), rights, Rights::empty())
    }

    fn table(limit: u32, open: u32) -> FdTable {
        let table = FdTable::new(limit, Errno::NOTCAPABLE);
        (0..open).for_each(|fd| assert_eq!(table.insert(entry()), Ok(fd)));
        table
    }

    #[test]
    fn the_lowest_free_number_is_taken() {
        let table = table(1000, 200);
        for fd in [130, 64, 63, 199] {
            assert_eq!(table.close(fd), Ok(()));
            assert_eq!(table.close(fd), Err(Errno::BADF));
        }
        for fd in [63, 64, 130, 199, 200] {
            assert_eq!(table.insert(entry()), Ok(fd));
        }
        assert_eq!(table.len(), 201);
    }

    #[test]
    fn full_words_are_passed_over_and_come_back() {
        let table = table(1000, 640);
        assert_eq!(table.slots.read().full, 10);
        assert_eq!(table.close(70), Ok(()));
        assert_eq!(table.slots.read().full, 1);
        assert_eq!(table.insert(entry()), Ok(70));
        assert_eq!(table.insert(entry()), Ok(640));
        assert_eq!(table.slots.read().full, 10);
    }

    #[test]
    fn the_limit_is_emfile_and_reservations_are_given_back() {
        let table = table(3, 2);
        let reserved = table.reserve().unwrap();
        assert_eq!(table.insert(entry()), Err(Errno::MFILE));
        assert_eq!(table.get(2, Rights::empty()).err(), Some(Errno::BADF));
        assert_eq!(table.renumber(0, 2), Err(Errno::BADF));
        assert_eq!(table.duplicate_to(0, 2), Err(Errno::BUSY));
        drop(reserved);
        assert_eq!(table.insert(entry()), Ok(2));
        assert_eq!(FdTable::new(0, Errno::BADF).insert(entry()), Err(Errno::MFILE));
    }

    #[test]
    fn renumber_moves() {
        let table = table(100, 4);
        let file = table.get(3, Rights::empty()).unwrap();
        assert_eq!(table.renumber(3, 1), Ok(()));
        assert!(Arc::ptr_eq(&file, &table.get(1, Rights::empty()).unwrap()));
        assert_eq!(table.get(3, Rights::empty()).err(), Some(Errno::BADF));
        assert_eq!(table.renumber(2, 2), Ok(()));
        for (from, to) in [(3, 1), (1, 3), (3, 3), (1, u32::MAX), (u32::MAX, 1)] {
            assert_eq!(table.renumber(from, to), Err(Errno::BADF), "{from} {to}");
        }
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn duplicates_share_the_file() {
        let table = table(100, 3);
        assert_eq!(table.duplicate(0, 70, true), Ok(70));
        assert_eq!(table.duplicate(0, 0, false), Ok(3));
        assert_eq!(table.duplicate(0, 100, false), Err(Errno::INVAL));
        assert_eq!(table.duplicate(50, 0, false), Err(Errno::BADF));
        assert_eq!(table.duplicate_to(0, 99), Ok(()));
        assert_eq!(table.duplicate_to(0, 100), Err(Errno::BADF));
        assert_eq!(table.duplicate_to(70, 70), Ok(()));
        let file = table.get(0, Rights::empty()).unwrap();
        for fd in [70, 3, 99] {
            assert!(Arc::ptr_eq(&file, &table.get(fd, Rights::empty()).unwrap()));
        }
        let copy = table.fork();
        copy.close_for_exec();
        assert_eq!(copy.len(), 5);
        assert_eq!(table.len(), 6);
    }

    #[test]
    fn a_missing_right_is_told_from_what_can_never_be() {
        let table = table(9, 1);
        let bytes = Arc::new(OpenFile::stream(Arc::new(Bytes::new(*b"x")), 2));
        table.insert(FdEntry::new(bytes, Rights::STREAM - Rights::FD_WRITE, Rights::empty())).unwrap();
        let why = |fd, need| table.get(fd, need).err();
        assert_eq!(why(0, Rights::FD_READ | Rights::FD_SEEK), Some(Errno::SPIPE));
        assert_eq!(why(0, Rights::PATH_OPEN), Some(Errno::NOTDIR));
        assert_eq!(why(0, Rights::FD_SYNC), Some(Errno::INVAL));
        assert_eq!(why(0, Rights::SOCK_SHUTDOWN), Some(Errno::NOTSOCK));
        assert_eq!(why(1, Rights::FD_WRITE), Some(Errno::BADF));
        assert_eq!(why(1, Rights::FD_READ), None);
        assert_eq!(table.shrink(1, Rights::FD_FILESTAT_GET, Rights::empty()), Ok(()));
        assert_eq!(why(1, Rights::FD_READ), Some(Errno::NOTCAPABLE));
        assert_eq!(table.shrink(1, Rights::FD_READ, Rights::empty()), Err(Errno::NOTCAPABLE));
        assert_eq!(table.shrink(1, Rights::empty(), Rights::PATH_OPEN), Err(Errno::NOTCAPABLE));
    }
}
