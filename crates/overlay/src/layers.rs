//! The filesystems of an overlay, and how they are called.

use std::sync::Arc;

use vnode_core::fs::{At, Caps, Filesystem, Inode};
use vnode_core::{Attr, Clock, Credentials, Cx, FileType, FilesystemRef, Name, Result, Timespec};

use crate::frozen::{Frozen, Indexes};
use crate::linux::LinuxIndex;
use crate::marks::Marks;
use crate::meta::Meta;
use crate::numbers::Numbers;

/// An inode of a layer.
pub(crate) type Real = Arc<dyn Inode>;
/// A directory of a layer and a name in it.
pub(crate) type RealAt<'a> = At<'a, dyn Inode>;

/// Which layer: 0 is the upper, then the lowers from the topmost down.
pub(crate) type LayerNumber = u8;
/// The upper.
pub(crate) const UPPER: LayerNumber = 0;

/// An inode in one of the lowers.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) layer: LayerNumber,
    pub(crate) inode: Real,
    /// A directory in which regular files may be whiteouts.
    pub(crate) has_xattr_whiteouts: bool,
}

impl Piece {
    /// One in whose names are no whiteouts but devices.
    pub(crate) fn plain(layer: LayerNumber, inode: Real) -> Self {
        Piece { layer, inode, has_xattr_whiteouts: false }
    }
}

/// The upper filesystem, and the directories of the overlay's format in it.
pub(crate) struct Upper {
    pub(crate) fs: FilesystemRef,
    /// What the guest sees.
    pub(crate) root: Real,
    /// Where things are made before they are put in their place.
    pub(crate) work: Real,
    /// A name for each inode with several names in a lower that was copied up.
    pub(crate) index: Real,
    /// What the lowers had under the names that were touched.
    pub(crate) meta: Meta,
    /// The same of Linux's overlayfs, if it used the upper before.
    pub(crate) linux: LinuxIndex,
    /// Whether nobody will look at it after a loss of power.
    pub(crate) volatile: bool,
}

/// A filesystem that is only read, from one of its directories down.
#[derive(Clone)]
pub(crate) struct Lower {
    pub(crate) fs: FilesystemRef,
    pub(crate) root: Real,
    /// Of an upper of before: where its copies are found.
    pub(crate) frozen: Option<Arc<Frozen>>,
}

/// All the filesystems.
pub(crate) struct Layers {
    pub(crate) upper: Upper,
    /// Those that are uppers of before come first.
    pub(crate) lowers: Box<[Lower]>,
    /// How many of them are.
    pub(crate) frozen: LayerNumber,
    pub(crate) marks: Marks,
    pub(crate) numbers: Numbers,
}

impl Layers {
    /// The filesystem of a layer.
    pub(crate) fn fs(&self, layer: LayerNumber) -> &FilesystemRef {
        match usize::from(layer).checked_sub(1).and_then(|lower| self.lowers.get(lower)) {
            Some(lower) => &lower.fs,
            None => &self.upper.fs,
        }
    }

    /// Whether what a layer has was changed: it is the upper, or was one.
    pub(crate) fn is_change(&self, layer: LayerNumber) -> bool {
        layer <= self.frozen
    }

    /// A layer's number among the lowers that never were uppers; nothing: it is none of them.
    pub(crate) fn number_below(&self, layer: LayerNumber) -> Option<LayerNumber> {
        layer.checked_sub(self.frozen).filter(|number| *number > 0)
    }

    /// Where a layer's copies are found of what has several names further down.
    pub(crate) fn indexes(&self, layer: LayerNumber) -> Option<Indexes<'_>> {
        let Some(lower) = usize::from(layer).checked_sub(1) else {
            let Upper { fs, index, linux, .. } = &self.upper;
            return Some(Indexes { fs, ours: Some(index), linux });
        };
        let lower = self.lowers.get(lower)?;
        let Frozen { index, linux } = &**lower.frozen.as_ref()?;
        Some(Indexes { fs: &lower.fs, ours: index.as_ref(), linux })
    }

    /// Whether a call of a layer may block.
    pub(crate) fn may_block(&self) -> bool {
        let lowers = self.lowers.iter().map(|lower| &lower.fs);
        lowers.chain([&self.upper.fs]).any(|fs| fs.caps().contains(Caps::BLOCKING))
    }

    /// The lowers with their numbers, the topmost first.
    pub(crate) fn lowers(&self) -> impl Iterator<Item = (LayerNumber, &Lower)> {
        (1..=LayerNumber::MAX).zip(self.lowers.iter())
    }

    /// Whether an inode of a layer is a whiteout: the character device 0:0.
    pub(crate) fn is_device_whiteout(&self, cx: &Cx<'_>, layer: LayerNumber, inode: &Real) -> Result<bool> {
        if inode.kind() != FileType::CharDevice {
            return Ok(false);
        }
        Ok(self.fs(layer).getattr(cx, inode)?.rdev == 0)
    }

    /// The inode number that is shown for a layer's, on one of the devices that it spans. An upper that becomes a lower
    /// leaves those of the lowers as they are.
    pub(crate) fn shown_ino(&self, layer: LayerNumber, dev: u64, ino: u64) -> u64 {
        let count = self.lowers.len();
        let shown = match layer.checked_sub(1) {
            None => UPPER,
            Some(above) => self.number_below(layer).unwrap_or_else(|| {
                // All together are no more than there are numbers.
                LayerNumber::try_from(count.saturating_sub(above.into())).unwrap_or(layer)
            }),
        };
        self.numbers.shown(count, shown, dev, ino)
    }

    /// Has what is noted of the lowers on the medium, before a caller has there what it tells of.
    ///
    /// # Errors
    /// Those of the upper.
    pub(crate) fn meta_to_medium(&self, cx: &Cx<'_>) -> Result<()> {
        let Upper { fs, meta, volatile, .. } = &self.upper;
        if *volatile { Ok(()) } else { meta.to_medium(&Own::during(cx).cx(), fs) }
    }

    /// The attributes of an inode of the upper.
    pub(crate) fn upper_attr(&self, cx: &Cx<'_>, inode: &Real) -> Result<Attr> {
        self.upper.fs.getattr(cx, inode)
    }
}

/// A name in a directory of a layer.
pub(crate) fn at<'a>(dir: &'a Real, name: Name<'a>) -> RealAt<'a> {
    At { dir, name }
}

/// The caller of what the overlay does for itself: as whoever mounts one does with Linux's, it may do everything.
pub(crate) struct Own {
    who: Credentials,
    now: Fixed,
}

struct Fixed(Timespec);

impl Clock for Fixed {
    fn now(&self) -> Timespec {
        self.0
    }
}

impl Own {
    /// At the time of a call.
    pub(crate) fn during(cx: &Cx<'_>) -> Self {
        Own { who: Credentials::root(), now: Fixed(cx.now()) }
    }

    /// What its calls carry. They leave access times.
    pub(crate) fn cx(&self) -> Cx<'_> {
        Cx::new(&self.who, &self.now).keeping_atime()
    }
}
