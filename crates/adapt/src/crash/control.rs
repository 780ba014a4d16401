//! When the power goes.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::{Errno, Result};

use crate::call::{Op, OpSet};

/// Takes the power from a [`Crash`](super::Crash), at once or at a chosen call. Clones control the same.
#[derive(Clone, Debug, Default)]
pub struct CrashControl(Arc<Power>);

#[derive(Debug, Default)]
struct Power {
    calls: AtomicU64,
    off: AtomicBool,
    waiting: AtomicBool,
    /// Calls of these operations that are left, the one at which it goes included.
    countdown: Mutex<Option<(OpSet, u64)>>,
}

impl CrashControl {
    /// The power goes now.
    pub fn crash(&self) {
        self.0.off.store(true, Ordering::SeqCst);
    }

    /// The power goes at the `nth` call of these operations from now, counted from 1: that call is not made.
    pub fn crash_at(&self, ops: impl Into<OpSet>, nth: u64) {
        *self.0.countdown.lock() = Some((ops.into(), nth.max(1)));
        self.0.waiting.store(true, Ordering::SeqCst);
    }

    /// Whether the power is gone.
    pub fn crashed(&self) -> bool {
        self.0.off.load(Ordering::SeqCst)
    }

    /// Calls until now, those that came too late included.
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// Counts a call.
    ///
    /// # Errors
    /// `EIO`: the power is gone.
    pub(super) fn meet(&self, op: Op) -> Result<()> {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        if self.0.waiting.load(Ordering::SeqCst) {
            let mut countdown = self.0.countdown.lock();
            if let Some((ops, left)) = countdown.as_mut()
                && ops.contains(op)
            {
                *left -= 1;
                if *left == 0 {
                    *countdown = None;
                    self.0.waiting.store(false, Ordering::SeqCst);
                    self.crash();
                }
            }
        }
        self.check()
    }

    /// # Errors
    /// `EIO`: the power is gone.
    pub(super) fn check(&self) -> Result<()> {
        if self.crashed() { Err(Errno::IO) } else { Ok(()) }
    }
}
