//! How an overlay is made.

use core::any::Any;
use core::fmt;
use std::sync::Arc;

use vnode_core::fs::{Caps, Filesystem, Inode, NewInode, NewKind, Remove, Rename};
use vnode_core::{Attr, Cx, Errno, FileType, FilesystemRef, Mode, Name, Result, SetAttr};

use crate::duplicate::{create_for, fill};
use crate::guards::strip;
use crate::known::Known;
use crate::layers::{LayerNumber, Layers, Lower, Own, Piece, Real, UPPER, Upper, at};
use crate::linux::LinuxIndex;
use crate::marks::{Marks, Opaque, Whose};
use crate::meta::{self, Meta};
use crate::node::{NewNode, Node, Place};
use crate::numbers::Numbers;
use crate::overlay::{Overlay, Shared};
use crate::table::Table;

/// What an upper must be able to do.
const NEEDED: Caps =
    Caps::SYMLINKS.union(Caps::HARDLINKS).union(Caps::EXCHANGE).union(Caps::XATTR).union(Caps::SPECIAL);

/// The most lowers.
const MOST_LOWERS: usize = LayerNumber::MAX as usize;

/// The choices for a new [`Overlay`].
#[derive(Clone, Default)]
pub struct Builder {
    /// Uppers of before.
    frozen: Vec<FilesystemRef>,
    lowers: Vec<Lower>,
    marks: Option<Marks>,
    volatile: bool,
    held: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (frozen, lowers) = (self.frozen.len(), self.lowers.len());
        let mut f = f.debug_struct("Builder");
        f.field("frozen", &frozen).field("lowers", &lowers).field("marks", &self.marks).finish()
    }
}

impl Builder {
    /// Adds a lower under those that were added before. It is never changed.
    pub fn lower(self, lower: FilesystemRef) -> Self {
        let root = lower.root();
        self.lower_from(lower, root)
    }

    /// Adds a directory of a filesystem and all below it as a lower: what another overlay keeps in `upper/`, say.
    pub fn lower_from(mut self, lower: FilesystemRef, root: Arc<dyn Inode>) -> Self {
        self.lowers.push(Lower { fs: lower, root, frozen: None });
        self
    }

    /// Adds what another overlay had as its upper, with all that it keeps there, over the lowers and under what was added
    /// this way before: what the guest sees of it is the same as before, and it counts as changed. It is never changed from
    /// now on. It must have been made over the same lowers, and over those of its kind that are below it here.
    pub fn frozen(mut self, upper: FilesystemRef) -> Self {
        self.frozen.push(upper);
        self
    }

    /// Chooses the namespace of the extended attributes in which the overlay keeps what it must know. Without this they are
    /// those that the upper has from before, else `trusted.*` where the upper can carry them, else `user.*`.
    pub fn marks(mut self, marks: Marks) -> Self {
        self.marks = Some(marks);
        self
    }

    /// Keeps something for as long as anything of the overlay is left: the lock of the upper's directory, say.
    pub fn holding(mut self, held: impl Any + Send + Sync) -> Self {
        self.held = Some(Arc::new(held));
        self
    }

    /// Leaves out what makes the upper survive a loss of power, as Linux's mount option `volatile` does: a copy is not
    /// written to the medium before it gets its name.
    pub fn volatile(mut self, volatile: bool) -> Self {
        self.volatile = volatile;
        self
    }

    /// Makes the overlay: what `upper` has of an overlay is gone on with, what it hasn't is made in it.
    ///
    /// # Errors
    /// * `EINVAL`: no lower, or more than 255 with the uppers of before; `meta` of the upper or one of those is of another
    ///   version or of other marks; Linux's overlayfs says that one of them may not have survived a crash (its mount option
    ///   `volatile`).
    /// * `ENOENT`: an upper of before never was one.
    /// * `EOPNOTSUPP`: the upper lacks what an overlay needs: links, exchanging, extended attributes of either kind,
    ///   devices.
    /// * `EPERM`: the upper's marks are `trusted.*`, which this process can't see.
    /// * `EEXIST`, `ENOTDIR`: the upper, or one of before, has something else than an overlay's directories in their places.
    /// * Those of the filesystems.
    pub fn build(self, cx: &Cx<'_>, upper: FilesystemRef) -> Result<Overlay> {
        if self.lowers.is_empty() || self.frozen.len() + self.lowers.len() > MOST_LOWERS {
            return Err(Errno::INVAL);
        }
        if !upper.caps().contains(NEEDED) {
            return Err(Errno::OPNOTSUPP);
        }
        let own = Own::during(cx);
        let own = own.cx();
        // Before anything is made: it may be somebody else's.
        let mut made_with = meta::marks(&own, &upper)?;
        let frozen = LayerNumber::try_from(self.frozen.len()).map_err(|_| Errno::INVAL)?;
        let lowers = self.frozen.into_iter().map(|fs| Lower::frozen(&own, fs)).collect::<Result<Vec<_>>>()?;
        for lower in &lowers {
            let marks = lower.marks(&own)?;
            if marks.is_some() && made_with.is_some() && marks != made_with {
                return Err(Errno::INVAL);
            }
            made_with = made_with.or(marks);
        }
        let lowers: Box<[Lower]> = lowers.into_iter().chain(self.lowers).collect();
        let work = directory(&own, &upper, b"work")?;
        let index = directory(&own, &upper, b"index")?;
        for dir in [&work, &index] {
            strip(&own, &upper, dir)?;
        }
        let top = lowers.first().ok_or(Errno::INVAL)?.clone();
        let (root, ctime) = match upper.lookup(&own, at(&upper.root(), Name::new(b"upper")?)) {
            Ok(root) if root.kind().is_dir() => (root, None),
            Ok(_) => return Err(Errno::NOTDIR),
            Err(Errno::NOENT) => {
                let root = first_root(&own, &upper, &work, &top)?;
                let times = (upper.getattr(&own, &root)?.ctime, top.fs.getattr(&own, &top.root)?.ctime);
                (root, Some(times))
            }
            Err(errno) => return Err(errno),
        };
        let marks = Marks::choose(&own, &upper, &root, &work, self.marks.or(made_with))?;
        if made_with.is_some_and(|made_with| made_with != marks) {
            return Err(Errno::INVAL);
        }
        let meta = Meta::open(&own, &upper, marks)?;
        let linux = LinuxIndex::open(&own, &upper, &work)?;
        let layers = Layers {
            upper: Upper { fs: upper, root, work, index, meta, linux, volatile: self.volatile },
            lowers,
            frozen,
            marks,
            numbers: Numbers::default(),
        };
        layers.clear_work(&own)?;
        layers.check_whiteouts(&own)?;
        let table = Arc::new(Table::new(Known::new(layers.may_block())));
        let root = root_node(&own, &layers, &table)?;
        root.state.lock().ctime = ctime;
        Ok(Overlay::new(Shared::new(layers, table, self.held), root))
    }
}

/// A directory in the root of the upper, made if it isn't there.
fn directory(own: &Cx<'_>, fs: &FilesystemRef, name: &[u8]) -> Result<Real> {
    let root = fs.root();
    let place = at(&root, Name::new(name)?);
    match fs.lookup(own, place) {
        Ok(dir) if dir.kind().is_dir() => Ok(dir),
        Ok(_) => Err(Errno::NOTDIR),
        Err(Errno::NOENT) => {
            let new = NewInode { kind: NewKind::Directory, mode: Mode::RWXU, uid: 0, gid: 0 };
            fs.create(own, place, new)
        }
        Err(errno) => Err(errno),
    }
}

/// Makes the root of what is seen, like the topmost lower's.
fn first_root(own: &Cx<'_>, fs: &FilesystemRef, work: &Real, lower: &Lower) -> Result<Real> {
    let Lower { fs: lower, root: from, .. } = lower;
    let attr = lower.getattr(own, from)?;
    let root = fs.root();
    let place = at(work, Name::new(b"upper")?);
    if fs.lookup(own, place).is_ok() {
        fs.remove(own, place, Remove::Directory)?;
    }
    // Whoever isn't root moves only what he may write to.
    let for_now = Attr { mode: attr.mode | Mode::RWXU, ..attr };
    let new = NewInode { kind: NewKind::Directory, mode: for_now.mode, uid: attr.uid, gid: attr.gid };
    let made = create_for(own, fs, place, new)?;
    fill(own, own, (lower, from), &for_now, (fs, &made), 0)?;
    fs.rename(own, place, at(&root, Name::new(b"upper")?), Rename::NoReplace)?;
    let made_with = fs.getattr(own, &made)?.mode;
    let mode = attr.mode & made_with;
    if mode != made_with {
        fs.setattr(own, &made, &SetAttr { mode: Some(mode), ..SetAttr::default() })?;
    }
    // Found where it is from now on: inodes of the host are found again by that.
    fs.lookup(own, at(&root, Name::new(b"upper")?))
}

fn root_node(own: &Cx<'_>, layers: &Layers, table: &Arc<Table>) -> Result<Arc<Node>> {
    let mut lowers = Vec::new();
    let opaque = layers.marks.opaque(own, Whose::Upper, &layers.upper.fs, &layers.upper.root)?;
    for (layer, lower) in layers.lowers().take_while(|_| opaque != Opaque::Yes) {
        let (fs, inode) = (&lower.fs, Arc::clone(&lower.root));
        let opaque = layers.marks.opaque(own, layers.whose(layer), fs, &inode)?;
        let has_xattr_whiteouts = opaque == Opaque::XattrWhiteouts;
        lowers.push(Piece { layer, inode, has_xattr_whiteouts });
        if opaque == Opaque::Yes {
            break;
        }
    }
    let upper = Arc::clone(&layers.upper.root);
    let (layer, attr) = match layers.piece_of_number(&lowers) {
        Some(piece) => (piece.layer, layers.fs(piece.layer).getattr(own, &piece.inode)?),
        None => (UPPER, layers.upper_attr(own, &upper)?),
    };
    let new = NewNode {
        ino: layers.shown_ino(layer, attr.dev, attr.ino),
        kind: FileType::Directory,
        upper: Some(upper),
        lowers,
        place: Place { parent: None, name: Box::default() },
        redirect: None,
        more_names: None,
        linux_name: None,
        btime: Some(attr.btime),
    };
    Ok(Arc::new(Node::new(new, table)))
}
