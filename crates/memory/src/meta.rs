//! An inode's changeable attributes, and the rules of its times.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicI64, Ordering};

use vnode_core::{Cx, Mode, Timespec};

use crate::rank::{META, RankedRwLock, ReadGuard, WriteGuard};
use crate::xattr::Xattrs;

/// Seconds after which a read updates the access time in any case (`relatime_need_update` in Linux).
const DAY: i64 = 24 * 60 * 60;

/// The attributes that change.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) mode: Mode,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    pub(crate) size: u64,
    /// Pages used.
    pub(crate) pages: u64,
    pub(crate) atime: Timespec,
    pub(crate) mtime: Timespec,
    pub(crate) ctime: Timespec,
    pub(crate) xattrs: Option<Box<Xattrs>>,
}

impl Meta {
    /// The content changed.
    pub(crate) fn modified(&mut self, now: Timespec) {
        self.mtime = now;
        self.ctime = now;
    }

    /// The second from which on a read updates the access time.
    fn atime_due(&self) -> i64 {
        if self.atime <= self.mtime || self.atime <= self.ctime {
            i64::MIN
        } else {
            self.atime.sec.saturating_add(DAY)
        }
    }
}

/// The attributes behind their lock.
pub(crate) struct MetaLock {
    meta: RankedRwLock<Meta, META>,
    /// [`Meta::atime_due`], to be looked at without the lock.
    atime_due: AtomicI64,
}

impl MetaLock {
    pub(crate) fn new(meta: Meta) -> Self {
        let atime_due = AtomicI64::new(meta.atime_due());
        MetaLock { meta: RankedRwLock::new(meta), atime_due }
    }

    pub(crate) fn read(&self) -> ReadGuard<'_, Meta, META> {
        self.meta.read()
    }

    pub(crate) fn write(&self) -> MetaGuard<'_> {
        MetaGuard { meta: self.meta.write(), atime_due: &self.atime_due }
    }

    pub(crate) fn get_mut(&mut self) -> &mut Meta {
        self.meta.get_mut()
    }

    /// Counts a read in the access time, if that is due (`touch_atime` in Linux, mounted `relatime`).
    pub(crate) fn accessed(&self, cx: &Cx<'_>) {
        if cx.keeps_atime() {
            return;
        }
        let now = cx.now();
        if now.sec < self.atime_due.load(Ordering::Relaxed) {
            return;
        }
        if self.read().atime == now {
            return;
        }
        let mut meta = self.write();
        if now.sec >= meta.atime_due() {
            meta.atime = now;
        }
    }
}

/// The attributes to be changed.
pub(crate) struct MetaGuard<'a> {
    meta: WriteGuard<'a, Meta, META>,
    atime_due: &'a AtomicI64,
}

impl Deref for MetaGuard<'_> {
    type Target = Meta;

    fn deref(&self) -> &Meta {
        &self.meta
    }
}

impl DerefMut for MetaGuard<'_> {
    fn deref_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }
}

impl Drop for MetaGuard<'_> {
    fn drop(&mut self) {
        self.atime_due.store(self.meta.atime_due(), Ordering::Relaxed);
    }
}
