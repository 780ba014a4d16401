//! An inode of the host.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use vnode_core::fs::{Access, FileHandle, Inode, InodeId};
use vnode_core::{Errno, FileType, Result, Timespec};

use crate::pool::{Descriptor, Pool};
use crate::sys::{self, AsFd, BorrowedFd, OwnedFd, Stat};

/// How an inode was found: names with slashes between them, none of them a link but maybe the last.
pub(crate) struct Way {
    pub(crate) from: Arc<HostNode>,
    pub(crate) names: Box<[u8]>,
}

impl Way {
    /// The name in the last directory.
    pub(crate) fn last_name(&self) -> &[u8] {
        self.names.rsplit(|&byte| byte == b'/').next().unwrap_or(&self.names)
    }

    /// Finds the directory that the last name is in.
    pub(crate) fn find_last_directory(&self) -> Result<OwnedFd> {
        let above = self.names.len() - self.last_name().len();
        match self.names.get(..above).unwrap_or_default() {
            b"" => sys::find(self.from.fd()?.as_fd(), b"."),
            names => find_along(self.from.fd()?.as_fd(), names),
        }
    }

    /// How many names there are.
    fn len(&self) -> u32 {
        let names = self.names.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).count();
        u32::try_from(names).unwrap_or(u32::MAX)
    }

    /// Whether it is one name.
    pub(crate) fn is_one(&self) -> bool {
        !self.names.contains(&b'/')
    }
}

/// The longest chain of inodes that were found one from the other and may have to be found again. One more is held by
/// its descriptor instead, and what is above it forgotten: else a guest that goes down a deep tree step by step would
/// have all of it held in memory for each descriptor of its own, and found again in one call.
const LONGEST_WAY: u32 = 64;

/// A descriptor of an inode.
pub(crate) struct Handle {
    pub(crate) descriptor: Arc<Descriptor>,
    /// What it was opened for, if for content.
    pub(crate) access: Option<Access>,
}

/// An inode of the host, held by a descriptor or, where there are too many of those, by the way to it.
pub struct HostNode {
    kind: FileType,
    id: OnceLock<InodeId>,
    handle: RwLock<Option<Handle>>,
    way: Option<Way>,
    /// How many ways are above it.
    depth: u32,
    /// How far below the root it was found.
    levels: u32,
    /// When it was made: numbers of inodes are given again.
    born: Option<Timespec>,
    pool: Arc<Pool>,
    /// Holders who can't have its descriptor closed.
    pins: AtomicU32,
    /// Whether it was used since somebody last looked for a descriptor to close.
    used: AtomicBool,
}

/// A descriptor in use: it isn't closed meanwhile.
pub(crate) struct Held<'a>(MappedRwLockReadGuard<'a, Handle>);

impl AsFd for Held<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.descriptor.as_fd()
    }
}

impl Held<'_> {
    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }
}

impl HostNode {
    fn of(
        pool: &Arc<Pool>,
        kind: FileType,
        handle: Handle,
        way: Option<Way>,
        levels: u32,
        id: OnceLock<InodeId>,
    ) -> Self {
        HostNode {
            kind,
            id,
            handle: RwLock::new(Some(handle)),
            depth: way.as_ref().map_or(0, |way| way.from.depth + 1),
            levels,
            born: None,
            way,
            pool: Arc::clone(pool),
            pins: AtomicU32::new(0),
            used: AtomicBool::new(true),
        }
    }

    /// A directory that can't be found again, so far below the root: its descriptor stays open as long as it is held.
    pub(crate) fn fixed(pool: &Arc<Pool>, levels: u32, id: InodeId, descriptor: Descriptor) -> Arc<Self> {
        let handle = Handle { descriptor: Arc::new(descriptor), access: None };
        Arc::new(Self::of(pool, FileType::Directory, handle, None, levels, OnceLock::from(id)))
    }

    /// An inode that is found again by the way to it.
    pub(crate) fn found(pool: &Arc<Pool>, stat: Stat, descriptor: Descriptor, way: Way) -> Arc<Self> {
        let levels = way.from.levels.saturating_add(way.len());
        // Where it is the last of a chain, it is held by its descriptor alone.
        let way = Some(way).filter(|way| way.from.depth < LONGEST_WAY || !stat.attr.kind.is_dir());
        let is_closable = way.is_some();
        let handle = Handle { descriptor: Arc::new(descriptor), access: None };
        let mut node = Self::of(pool, stat.attr.kind, handle, way, levels, OnceLock::from(stat.id));
        node.born = stat.attr.btime;
        let node = Arc::new(node);
        if is_closable {
            pool.add(&node);
        }
        node
    }

    /// A regular file by the descriptor of its content. Its identity is asked for when somebody wants it.
    pub(crate) fn opened(
        pool: &Arc<Pool>,
        descriptor: Arc<Descriptor>,
        access: Access,
        id: Option<InodeId>,
    ) -> Arc<Self> {
        let handle = Handle { descriptor, access: Some(access) };
        Arc::new(Self::of(
            pool,
            FileType::Regular,
            handle,
            None,
            0,
            id.map(OnceLock::from).unwrap_or_default(),
        ))
    }

    /// When it was made, if that is known.
    pub(crate) fn born(&self) -> Option<Timespec> {
        self.born
    }

    /// How far below the root it was when it was found.
    pub(crate) fn levels(&self) -> u32 {
        self.levels
    }

    pub(crate) fn way(&self) -> Option<&Way> {
        self.way.as_ref()
    }

    fn held(&self) -> Option<Held<'_>> {
        // Recursive, for a call may use one directory twice, and somebody may wait to write in between.
        RwLockReadGuard::try_map(self.handle.read_recursive(), Option::as_ref).ok().map(Held)
    }

    /// The descriptor; opened again if it was closed.
    ///
    /// # Errors
    /// `ESTALE`: the way to it leads to something else now. `EMFILE`.
    pub(crate) fn fd(&self) -> Result<Held<'_>> {
        /// Times that it is opened again, though others close it at once.
        const TRIES: u32 = 16;
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        for _ in 0..TRIES {
            if let Some(held) = self.held() {
                return Ok(held);
            }
            self.open_again()?;
        }
        Err(Errno::MFILE)
    }

    /// Opens all of the way that is closed, from the top.
    fn open_again(&self) -> Result<()> {
        let mut closed = vec![self];
        while let Some(way) = closed.last().and_then(|node| node.way()) {
            if way.from.held().is_some() {
                break;
            }
            closed.push(&way.from);
        }
        while let Some(node) = closed.pop() {
            node.used.store(true, Ordering::Relaxed);
            let way = node.way().ok_or(Errno::STALE)?;
            // Closed again already: another try begins anew.
            let Some(from) = way.from.held() else { return Ok(()) };
            let descriptor = match node.pool.open(|| find_along(from.as_fd(), &way.names)) {
                Err(Errno::NOENT | Errno::NOTDIR) => return Err(Errno::STALE),
                found => found?,
            };
            let stat = sys::stat(descriptor.as_fd())?;
            if node.id.get() != Some(&stat.id) || node.born != stat.attr.btime {
                return Err(Errno::STALE);
            }
            let handle = Handle { descriptor: Arc::new(descriptor), access: None };
            node.handle.write().get_or_insert(handle);
        }
        Ok(())
    }

    /// Closes the descriptor, if it can be opened again and nobody uses it.
    pub(crate) fn close(&self) -> Option<Handle> {
        if self.used.swap(false, Ordering::Relaxed) {
            return None;
        }
        let mut handle = self.handle.try_write()?;
        // Under the lock: whoever pins it then looks whether it is open.
        if self.pins.load(Ordering::Relaxed) > 0 { None } else { handle.take() }
    }
}

/// Finds an inode by names, one after the other where the kernel can't take them at once.
fn find_along(from: BorrowedFd<'_>, names: &[u8]) -> Result<OwnedFd> {
    let mut parts = names.split(|&byte| byte == b'/').filter(|part| !part.is_empty());
    let first = parts.next().ok_or(Errno::STALE)?;
    let mut found = sys::find(from, first)?;
    for part in parts {
        found = sys::find(found.as_fd(), part)?;
    }
    Ok(found)
}

impl Inode for HostNode {
    fn id(&self) -> InodeId {
        // Only a file whose descriptor is held has none yet, of which the kernel can always tell.
        *self.id.get_or_init(|| {
            let stat = self.held().and_then(|held| sys::stat(held.as_fd()).ok());
            stat.map_or(InodeId(u64::MAX, self as *const Self as u64), |stat| stat.id)
        })
    }

    fn kind(&self) -> FileType {
        self.kind
    }

    fn handle(&self) -> Option<FileHandle> {
        sys::handle(self.fd().ok()?.as_fd())
    }

    fn filesystem_uuid(&self) -> Option<[u8; 16]> {
        let open = || sys::open_directory(self.fd()?.as_fd(), true);
        let dir = self.pool.open(open).ok().filter(|_| self.kind.is_dir())?;
        sys::filesystem_uuid(dir.as_fd())
    }

    fn pin(&self, held: bool) {
        if held {
            self.pins.fetch_add(1, Ordering::Relaxed);
            // Should that fail, whoever uses it next is told.
            let _ = self.fd();
        } else {
            self.pins.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for HostNode {
    /// Drops the way up step by step.
    fn drop(&mut self) {
        let mut next = self.way.take();
        while let Some(way) = next {
            next = Arc::into_inner(way.from).and_then(|mut node| node.way.take());
        }
    }
}
