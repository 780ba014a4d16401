//! A symbolic link that the emulation keeps.

use core::any::Any;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use vnode_core::fs::{Concrete, Inode, InodeId, SetXattr};
use vnode_core::{Attr, Errno, FileType, Mode, Result, Timespec};

use super::Node;
use super::table::Directory;

/// Numbers of links start here; what is above is left to filesystems that mark numbers by layer in the top byte.
pub(super) const FIRST_NUMBER: u64 = 1 << 55;
/// The highest number of a link.
pub(super) const LAST_NUMBER: u64 = (1 << 56) - 1;

/// What tells a link's identity from those of the filesystem within, besides its number.
const OF_LINKS: u64 = u64::from_be_bytes(*b"symlinks");

/// A target from this length on takes a page, as on Linux's tmpfs (`SHORT_SYMLINK_LEN`).
const LONG_TARGET: usize = 128;

/// What a link is counted as besides its target.
const OVERHEAD: u64 = 512;

/// The longest name of an extended attribute (`XATTR_NAME_MAX`).
pub(super) const XATTR_NAME_MAX: usize = 255;
/// The longest value of an extended attribute (`XATTR_SIZE_MAX`).
pub(super) const XATTR_VALUE_MAX: usize = 65536;
/// What an extended attribute is counted as besides its name and value.
const XATTR_OVERHEAD: usize = 64;

/// The namespaces of extended attributes, as on Linux's tmpfs.
const NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// Bytes of memory that links take, and how many they may.
#[derive(Debug)]
pub(super) struct Room {
    used: AtomicU64,
    limit: u64,
}

impl Room {
    pub(super) fn new(limit: u64) -> Self {
        Room { used: AtomicU64::new(0), limit }
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// # Errors
    /// `ENOSPC`.
    pub(super) fn take(&self, bytes: u64) -> Result<()> {
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(drop).map_err(|_| Errno::NOSPC)
    }

    pub(super) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What changes of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Its number is that of the link, and stays.
    pub(super) attr: Attr,
    pub(super) xattrs: BTreeMap<Box<[u8]>, Arc<[u8]>>,
}

impl State {
    /// Of a link whose attributes are these but for what every link has.
    pub(super) fn of(attr: Attr, target: &[u8]) -> Self {
        let blocks = if target.len() >= LONG_TARGET { 8 } else { 0 };
        let mode = Mode::from_raw(0o777);
        let attr = Attr { kind: FileType::Symlink, size: target.len() as u64, blocks, mode, ..attr };
        State { attr, xattrs: BTreeMap::new() }
    }

    fn cost(&self) -> u64 {
        self.xattrs.iter().map(|(name, value)| (name.len() + value.len() + XATTR_OVERHEAD) as u64).sum()
    }

    /// The same once a name more, or a name less, leads there.
    pub(super) fn with_names(&self, more: bool, now: Timespec) -> Self {
        let mut state = self.clone();
        let nlink = &mut state.attr.nlink;
        *nlink = if more { nlink.saturating_add(1) } else { nlink.saturating_sub(1) };
        state.attr.ctime = now;
        state
    }

    /// The same, changed now.
    pub(super) fn changed(&self, now: Timespec) -> Self {
        let mut state = self.clone();
        state.attr.ctime = now;
        state
    }

    /// An extended attribute's value (`getxattr(2)`).
    ///
    /// # Errors
    /// `ENODATA`; those of a name that can't be.
    pub(super) fn xattr(&self, name: &[u8]) -> Result<Arc<[u8]>> {
        check_xattr_name(name)?;
        self.xattrs.get(name).cloned().ok_or(Errno::NODATA)
    }

    /// The same with another value (`setxattr(2)`), or without one (`removexattr(2)`).
    ///
    /// # Errors
    /// As [`vnode_core::fs::Filesystem::set_xattr`] and [`vnode_core::fs::Filesystem::remove_xattr`].
    pub(super) fn with_xattr(
        &self,
        name: &[u8],
        value: Option<(&[u8], SetXattr)>,
        now: Timespec,
    ) -> Result<Self> {
        check_xattr_name(name)?;
        let mut state = self.changed(now);
        let there = self.xattrs.contains_key(name);
        match value {
            Some((value, _)) if value.len() > XATTR_VALUE_MAX => return Err(Errno::TOOBIG),
            Some((_, SetXattr::Create)) if there => return Err(Errno::EXIST),
            Some((_, SetXattr::Replace)) | None if !there => return Err(Errno::NODATA),
            Some((value, _)) => drop(state.xattrs.insert(name.into(), value.into())),
            None => drop(state.xattrs.remove(name)),
        }
        Ok(state)
    }
}

/// Checks a name (`xattr_resolve_name` in Linux).
pub(super) fn check_xattr_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > XATTR_NAME_MAX {
        return Err(Errno::RANGE);
    }
    match NAMESPACES.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
        Some(b"") => Err(Errno::INVAL),
        Some(_) => Ok(()),
        None => Err(Errno::OPNOTSUPP),
    }
}

/// A symbolic link.
pub(super) struct Link {
    number: u64,
    pub(super) target: Arc<[u8]>,
    state: Mutex<State>,
    /// The directories that are known to have names of it, by where they are, and how many names that are.
    homes: Mutex<HashMap<usize, (Weak<Directory>, u32)>>,
    room: Arc<Room>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Inode for Link {
    fn id(&self) -> InodeId {
        InodeId(self.number, OF_LINKS)
    }

    fn kind(&self) -> FileType {
        FileType::Symlink
    }
}

impl Link {
    /// # Errors
    /// `ENOSPC`: links take all the memory that they may.
    pub(super) fn new(target: Arc<[u8]>, state: State, room: &Arc<Room>) -> Result<Arc<Self>> {
        room.take(OVERHEAD + target.len() as u64 + state.cost())?;
        Ok(Arc::new(Link {
            number: state.attr.ino,
            target,
            state: Mutex::new(state),
            homes: Mutex::default(),
            room: Arc::clone(room),
        }))
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What is so now.
    pub(super) fn state(&self) -> State {
        self.state.lock().clone()
    }

    pub(super) fn attr(&self) -> Attr {
        self.state.lock().attr
    }

    /// Has it be so. A read in the meantime stays.
    pub(super) fn set(&self, state: State) {
        let mut now = self.state.lock();
        let (old, new) = (now.cost(), state.cost());
        // What there is room for was asked before.
        self.room.used.fetch_add(new, Ordering::Relaxed);
        self.room.give(old);
        *now = state;
    }

    /// Makes sure of the room that it takes to be so.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub(super) fn check_room(&self, state: &State) -> Result<()> {
        let more = state.cost().saturating_sub(self.state.lock().cost());
        self.room.take(more)?;
        self.room.give(more);
        Ok(())
    }

    /// Looks at or changes its attributes where they are.
    pub(super) fn with_attr<T>(&self, work: impl FnOnce(&mut Attr) -> T) -> T {
        work(&mut self.state.lock().attr)
    }

    /// A directory has a name of it.
    pub(super) fn named_in(&self, home: &Arc<Directory>) {
        let mut homes = self.homes.lock();
        let (_, names) = homes.entry(Arc::as_ptr(home) as usize).or_insert_with(|| (Arc::downgrade(home), 0));
        *names += 1;
    }

    /// A directory has a name of it less, or is forgotten, name by name.
    pub(super) fn unnamed_in(&self, home: &Directory) {
        let mut homes = self.homes.lock();
        if let Entry::Occupied(mut entry) = homes.entry(core::ptr::from_ref(home) as usize) {
            entry.get_mut().1 -= 1;
            if entry.get().1 == 0 {
                drop(entry.remove());
            }
        }
    }

    /// How many names of it are known.
    pub(super) fn names(&self) -> u32 {
        self.homes.lock().values().map(|(_, names)| names).sum()
    }

    /// The directories that have names of it.
    pub(super) fn homes(&self) -> Vec<Arc<Directory>> {
        self.homes.lock().values().filter_map(|(home, _)| home.upgrade()).collect()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.room.give(OVERHEAD + self.target.len() as u64 + self.state.get_mut().cost());
    }
}

/// The link that an inode is, if it is one of the emulation's.
pub(super) fn of(node: &Node) -> Option<&Link> {
    (&**node as &dyn Any).downcast_ref()
}

/// The same, shared.
pub(super) fn shared(node: &Node) -> Option<Arc<Link>> {
    Link::view(node).ok().map(|link| Arc::clone(&link))
}

/// Numbers for links.
pub(super) struct Numbers {
    next: AtomicU64,
    /// Of links that outlive the process: nobody knows what numbers others have.
    random: Option<std::hash::RandomState>,
}

impl Numbers {
    pub(super) fn new(random: bool) -> Self {
        Numbers { next: AtomicU64::new(FIRST_NUMBER), random: random.then(std::hash::RandomState::new) }
    }

    pub(super) fn next(&self) -> u64 {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        match &self.random {
            Some(random) => FIRST_NUMBER | (random.hash_one(next) & (LAST_NUMBER - FIRST_NUMBER)),
            None => next,
        }
    }
}
