//! The descriptors that are held, and their number.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use vnode_core::{Errno, Result};

use crate::node::HostNode;
use crate::sys::{self, AsFd, BorrowedFd, OwnedFd};

/// Descriptors that are closed at once when there are too many: closing one by one would look for each anew.
const BATCH: usize = 16;

/// Descriptors of the host, no more than a limit. Those of inodes that can be found again are closed to make room.
pub(crate) struct Pool {
    open: AtomicUsize,
    /// Nothing: what the process may have, but for a quarter that is left to everything else.
    limit: Option<usize>,
    /// So many may be open without that being asked for, which is a system call.
    few: usize,
    closable: Mutex<Clock>,
}

/// Inodes whose descriptors can be closed, looked at in turn; one that was used since the last turn stays.
#[derive(Default)]
struct Clock {
    nodes: Vec<Weak<HostNode>>,
    hand: usize,
    /// From this length on, those that are gone are taken out.
    full: usize,
}

/// The pool that all filesystems of the process share, for the kernel's limit is the process's.
static SHARED: LazyLock<Arc<Pool>> = LazyLock::new(|| Arc::new(Pool::new(None)));

/// Of the descriptors that the process may have, all but a quarter.
fn most_of_the_process() -> usize {
    sys::descriptor_limit() / 4 * 3
}

impl Pool {
    fn new(limit: Option<usize>) -> Self {
        let few = limit.unwrap_or_else(most_of_the_process).min(64);
        Pool { open: AtomicUsize::new(0), limit, few, closable: Mutex::default() }
    }

    pub(crate) fn shared() -> Arc<Pool> {
        Arc::clone(&SHARED)
    }

    /// A pool with a limit of its own.
    pub(crate) fn of(limit: usize) -> Arc<Pool> {
        Arc::new(Pool::new(Some(limit)))
    }

    /// Descriptors that are open.
    pub(crate) fn open_count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or_else(most_of_the_process)
    }

    /// Opens a descriptor.
    ///
    /// # Errors
    /// `EMFILE`: there are as many as may be, and all in use. Those of `open`.
    pub(crate) fn open(self: &Arc<Self>, open: impl Fn() -> Result<OwnedFd>) -> Result<Descriptor> {
        let count = Count::up(self);
        let before = self.open.load(Ordering::Relaxed);
        if before > self.few && before > self.limit() && !self.close_some() {
            return Err(Errno::MFILE);
        }
        let opened = match open() {
            Err(Errno::MFILE | Errno::NFILE) if self.close_some() => open(),
            opened => opened,
        };
        Ok(Descriptor { fd: opened?, _count: count })
    }

    /// Makes room for a descriptor before something is done that can't be undone.
    ///
    /// # Errors
    /// `EMFILE`, as for [`Pool::open`].
    pub(crate) fn check_room(&self) -> Result<()> {
        let after = self.open.load(Ordering::Relaxed) + 1;
        if after > self.few && after > self.limit() && !self.close_some() {
            Err(Errno::MFILE)
        } else {
            Ok(())
        }
    }

    /// Counts in an inode whose descriptor can be closed.
    pub(crate) fn add(&self, node: &Arc<HostNode>) {
        let mut clock = self.closable.lock();
        if clock.nodes.len() >= clock.full {
            clock.nodes.retain(|node| node.strong_count() > 0);
            clock.full = 64.max(clock.nodes.len() * 2);
        }
        clock.nodes.push(Arc::downgrade(node));
    }

    /// Closes descriptors that weren't used lately; tells whether there were any.
    fn close_some(&self) -> bool {
        let mut closed = Vec::new();
        let mut clock = self.closable.lock();
        // Twice around: the first time may only find that all were used.
        for _ in 0..clock.nodes.len() * 2 {
            if closed.len() == BATCH {
                break;
            }
            clock.hand = if clock.hand + 1 < clock.nodes.len() { clock.hand + 1 } else { 0 };
            let node = clock.nodes.get(clock.hand).and_then(Weak::upgrade);
            closed.extend(node.and_then(|node| node.close()));
        }
        !closed.is_empty()
    }
}

/// One descriptor, counted.
struct Count(Arc<Pool>);

impl Count {
    fn up(pool: &Arc<Pool>) -> Self {
        pool.open.fetch_add(1, Ordering::Relaxed);
        Count(Arc::clone(pool))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open descriptor of a pool.
pub(crate) struct Descriptor {
    fd: OwnedFd,
    _count: Count,
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
