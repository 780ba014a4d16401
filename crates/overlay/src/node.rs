//! The inode of an overlay.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use vnode_core::fs::{Inode, InodeId};
use vnode_core::{Errno, FileType, Result, Timespec};

use crate::layers::{Piece, Real, UPPER};
use crate::listing::Index;
use crate::table::{ShownCtime, Table};
use crate::unmarked;

/// Where an inode was found: a directory is there, a lower file without a copy too.
pub(crate) struct Place {
    /// Nothing above the root.
    pub(crate) parent: Option<Arc<Node>>,
    pub(crate) name: Box<[u8]>,
}

/// What is known of a directory's names, locked while they are looked at or changed.
pub(crate) struct Names {
    /// Whether the directory itself was removed.
    pub(crate) removed: bool,
    /// How many directories are in it, once they were counted.
    pub(crate) subdirs: Option<u32>,
    /// The names in order, for those who list them.
    pub(crate) index: Weak<Index>,
    /// The directory's own number, and where it is known what its names stand for.
    pub(crate) dir: u64,
    pub(crate) table: Arc<Table>,
}

impl Names {
    fn new(dir: u64, table: &Arc<Table>) -> Self {
        Names { removed: false, subdirs: None, index: Weak::new(), dir, table: Arc::clone(table) }
    }
}

/// What a directory has besides.
pub(crate) struct Directory {
    pub(crate) names: RwLock<Names>,
    /// Where what is below it stands, if not under its name.
    pub(crate) redirect: Mutex<Option<Arc<[u8]>>>,
    /// See [`Shared::path_in_base`](crate::overlay::Shared::path_in_base).
    pub(crate) in_base: OnceLock<Box<[u8]>>,
}

/// What changes of an inode and is not a layer's to know.
#[derive(Default)]
pub(crate) struct State {
    /// When a lower inode without a copy lost its name.
    pub(crate) gone: Option<Timespec>,
    /// How many names it has more than the upper counts, of an inode that has several in a lower.
    pub(crate) more_names: Option<i64>,
    /// The `ctime` to show, as long as nothing but the overlay's own work changed it.
    pub(crate) ctime: Option<ShownCtime>,
    /// By what its origin is found, if the upper can't keep that.
    pub(crate) unmarked: Option<unmarked::Key>,
    /// Holders for long.
    pins: usize,
}

/// An inode of an [`Overlay`](crate::Overlay).
pub struct Node {
    id: u64,
    ino: u64,
    kind: FileType,
    /// Its name in the index of Linux's overlayfs.
    pub(crate) linux_name: OnceLock<Arc<[u8]>>,
    /// When its origin was made, if it has one and that is known.
    pub(crate) btime: Option<Option<Timespec>>,
    /// What is in the upper: once it is there it stays the same.
    upper: OnceLock<Real>,
    /// What is below: of a directory everything that shows through, of others at most what was or is to be copied up.
    pub(crate) lowers: Box<[Piece]>,
    /// Held while it is copied up.
    pub(crate) copying: Mutex<()>,
    pub(crate) state: Mutex<State>,
    pub(crate) place: RwLock<Place>,
    directory: Option<Box<Directory>>,
    table: Arc<Table>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ino, kind) = (self.ino, self.kind);
        f.debug_struct("Node").field("ino", &ino).field("kind", &kind).finish_non_exhaustive()
    }
}

impl Inode for Node {
    fn id(&self) -> InodeId {
        InodeId(self.id, 0)
    }

    fn kind(&self) -> FileType {
        self.kind
    }

    fn pin(&self, held: bool) {
        let mut state = self.state.lock();
        state.pins = if held { state.pins.saturating_add(1) } else { state.pins.saturating_sub(1) };
        if let Some(upper) = self.upper.get() {
            upper.pin(held);
        }
        self.lowers.iter().for_each(|piece| piece.inode.pin(held));
    }
}

/// What a new node is made of.
pub(crate) struct NewNode {
    pub(crate) ino: u64,
    pub(crate) kind: FileType,
    pub(crate) upper: Option<Real>,
    pub(crate) lowers: Vec<Piece>,
    pub(crate) place: Place,
    pub(crate) redirect: Option<Arc<[u8]>>,
    pub(crate) more_names: Option<i64>,
    pub(crate) linux_name: Option<Arc<[u8]>>,
    pub(crate) btime: Option<Option<Timespec>>,
}

impl Node {
    pub(crate) fn new(new: NewNode, table: &Arc<Table>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let upper = OnceLock::new();
        if let Some(real) = new.upper {
            // Nothing is there yet.
            let _ = upper.set(real);
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = new.kind.is_dir().then(|| {
            let names = RwLock::new(Names::new(id, table));
            Box::new(Directory { names, redirect: Mutex::new(new.redirect), in_base: OnceLock::new() })
        });
        Node {
            id,
            ino: new.ino,
            kind: new.kind,
            btime: new.btime,
            linux_name: new.linux_name.map(OnceLock::from).unwrap_or_default(),
            upper,
            lowers: new.lowers.into(),
            copying: Mutex::new(()),
            state: Mutex::new(State { more_names: new.more_names, ..State::default() }),
            place: RwLock::new(new.place),
            directory,
            table: Arc::clone(table),
        }
    }

    /// The inode number that is shown.
    pub(crate) fn ino(&self) -> u64 {
        self.ino
    }

    /// What a directory has.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub(crate) fn directory(&self) -> Result<&Directory> {
        self.directory.as_deref().ok_or(Errno::NOTDIR)
    }

    /// What is in the upper.
    pub(crate) fn upper(&self) -> Option<&Real> {
        self.upper.get()
    }

    /// What it is copied from: the topmost of what is below.
    pub(crate) fn below(&self) -> Option<&Piece> {
        self.lowers.first()
    }

    /// The inode whose attributes and content are shown, with its layer.
    ///
    /// # Errors
    /// `EIO`: there is none, which no node is made with.
    pub(crate) fn shown(&self) -> Result<(u8, &Real)> {
        if let Some(upper) = self.upper() {
            return Ok((UPPER, upper));
        }
        self.below().map(|piece| (piece.layer, &piece.inode)).ok_or(Errno::IO)
    }

    /// Takes what was copied up, from now on.
    pub(crate) fn set_upper(self: &Arc<Self>, upper: Real) {
        let state = self.state.lock();
        (0..state.pins).for_each(|_| upper.pin(true));
        let id = upper.id();
        if self.upper.set(upper).is_ok() {
            self.table.add(UPPER, id, self);
        }
    }

    /// The directory that it is in, or was last, and its name there.
    ///
    /// # Errors
    /// `EIO`: it is the root.
    pub(crate) fn place(&self) -> Result<(Arc<Node>, Box<[u8]>)> {
        let place = self.place.read();
        Ok((place.parent.clone().ok_or(Errno::IO)?, place.name.clone()))
    }

    /// Whether an inode's names in a lower are several, so that its copy is kept in the index.
    pub(crate) fn is_indexed(&self) -> bool {
        self.state.lock().more_names.is_some()
    }

    /// Holds a copy that the upper doesn't tell the origin of, while a name of it is removed: whether that was its last
    /// one is asked then.
    pub(crate) fn hold_unmarked(&self) -> Option<Pinned<'_>> {
        let upper = self.upper.get().filter(|_| self.state.lock().unmarked.is_some())?;
        upper.pin(true);
        Some(Pinned(upper))
    }

    /// Its attributes were changed: the `ctime` is no more the overlay's own.
    pub(crate) fn changed(&self) {
        self.state.lock().ctime = None;
    }
}

/// An inode of the upper that is held.
pub(crate) struct Pinned<'a>(&'a Real);

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.0.pin(false);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(upper) = self.upper.get() {
            self.table.forget(UPPER, upper.id());
            if let Some(ctime) = self.state.get_mut().ctime {
                self.table.keep_ctime(upper.id(), ctime);
            }
        }
        if let Some(piece) = self.lowers.first() {
            self.table.forget(piece.layer, piece.inode.id());
        }
        // A chain of directories is let go one by one, however deep it is.
        let mut above = self.place.get_mut().parent.take();
        while let Some(node) = above {
            above = Arc::into_inner(node).and_then(|mut node| node.place.get_mut().parent.take());
        }
    }
}
