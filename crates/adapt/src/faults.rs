//! A filesystem that fails when it is told to.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;
use vnode_core::fs::{Filesystem, Inode};
use vnode_core::{Cx, Errno, Result};

use crate::call::{Call, Op, OpSet};
use crate::forward::forward;
use crate::hook::Hook;

/// What is to go wrong, and when: once at the next call of any operation, unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    what: What,
    on: OpSet,
    nth: u64,
    again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Fail(Errno),
    Short(usize),
}

impl Fault {
    /// A call fails with `errno`; the filesystem within doesn't hear of it.
    pub fn fail(errno: Errno) -> Self {
        Fault { what: What::Fail(errno), on: OpSet::ALL, nth: 1, again: false }
    }

    /// A read, a write or an append moves `bytes` at most, at least one, as a medium may that is interrupted.
    pub fn short(bytes: usize) -> Self {
        let on = OpSet::from(Op::Read) | Op::Write | Op::Append;
        Fault { what: What::Short(bytes.max(1)), on, nth: 1, again: false }
    }

    /// Only calls of these operations count and fail. Only those that move bytes can be short.
    pub fn on(mut self, ops: impl Into<OpSet>) -> Self {
        self.on = ops.into();
        self
    }

    /// At the `nth` call from now, counted from 1.
    pub fn nth(mut self, nth: u64) -> Self {
        self.nth = nth.max(1);
        self
    }

    /// From then on at every call, not only once.
    pub fn every_time(mut self) -> Self {
        self.again = true;
        self
    }
}

/// `F`, of which calls fail as a [`FaultControl`] says. Until it says so nothing does.
///
/// A call that is failed is not made at all, so that a caller's promise can be tested: an operation that fails leaves
/// everything as it was.
///
/// ```
/// use vnode_adapt::{Fault, Faults, Op};
/// use vnode_core::fs::{At, Filesystem, NewInode, NewKind};
/// use vnode_core::{Clock, Credentials, Cx, Errno, Mode, Name, Timespec};
/// use vnode_memory::Memory;
///
/// # struct Epoch;
/// # impl Clock for Epoch { fn now(&self) -> Timespec { Timespec::EPOCH } }
/// let fs = Faults::new(Memory::new());
/// let control = fs.control();
/// let (root, who) = (fs.root(), Credentials::root());
/// let cx = Cx::new(&who, &Epoch);
/// let new = NewInode { kind: NewKind::Regular, mode: Mode::RWXU, uid: 0, gid: 0 };
/// let make = |name: &[u8]| fs.create(&cx, At { dir: &root, name: Name::new(name)? }, new).map(drop);
///
/// control.arm(Fault::fail(Errno::NOSPC).on(Op::Create).nth(2));
/// assert_eq!(make(b"a"), Ok(()));
/// assert_eq!(make(b"b"), Err(Errno::NOSPC));
/// assert_eq!(make(b"b"), Ok(()));
/// assert_eq!((control.fired(), control.calls()), (1, 3));
/// # Ok::<(), Errno>(())
/// ```
#[derive(Debug)]
pub struct Faults<F> {
    fs: F,
    hook: FaultControl,
}

impl<F: Filesystem> Faults<F> {
    /// A filesystem with no fault armed.
    pub fn new(fs: F) -> Self {
        Faults::controlled_by(fs, &FaultControl::default())
    }

    /// A filesystem whose calls count with those of others under the same control, and suffer its faults.
    pub fn controlled_by(fs: F, control: &FaultControl) -> Self {
        Faults { fs, hook: control.clone() }
    }

    /// What arms faults and counts calls, for as long as one likes.
    pub fn control(&self) -> FaultControl {
        self.hook.clone()
    }

    /// The filesystem within.
    pub fn inner(&self) -> &F {
        &self.fs
    }
}

impl<F: Filesystem> Filesystem for Faults<F> {
    type Inode = F::Inode;

    forward!(caps root statfs names inodes opens);
}

/// Arms and counts the faults of a [`Faults`], also while it is used. Clones control the same.
#[derive(Clone, Default)]
pub struct FaultControl(Arc<State>);

#[derive(Default)]
struct State {
    calls: [AtomicU64; Op::ALL.len()],
    fired: [AtomicU64; Op::ALL.len()],
    armed: AtomicBool,
    faults: Mutex<Vec<Fault>>,
}

impl FaultControl {
    /// Adds a fault to those that are armed. The first that a call meets is the one that it suffers; all count it.
    pub fn arm(&self, fault: Fault) {
        let mut faults = self.0.faults.lock();
        faults.push(fault);
        self.0.armed.store(true, Ordering::Release);
    }

    /// Takes away every fault.
    pub fn disarm(&self) {
        let mut faults = self.0.faults.lock();
        faults.clear();
        self.0.armed.store(false, Ordering::Release);
    }

    /// Calls until now, failed ones included.
    pub fn calls(&self) -> u64 {
        self.calls_of(OpSet::ALL)
    }

    /// Calls of these operations until now.
    pub fn calls_of(&self, ops: impl Into<OpSet>) -> u64 {
        ops.into().iter().map(|op| self.0.calls[op as usize].load(Ordering::Relaxed)).sum()
    }

    /// How many calls suffered a fault until now.
    pub fn fired(&self) -> u64 {
        self.fired_on(OpSet::ALL)
    }

    /// How many calls of these operations suffered a fault until now.
    pub fn fired_on(&self, ops: impl Into<OpSet>) -> u64 {
        ops.into().iter().map(|op| self.0.fired[op as usize].load(Ordering::Relaxed)).sum()
    }

    /// Counts a call; answers what it suffers.
    fn meet(&self, op: Op) -> Option<What> {
        self.0.calls[op as usize].fetch_add(1, Ordering::Relaxed);
        if !self.0.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut suffered = None;
        let mut faults = self.0.faults.lock();
        faults.retain_mut(|fault| {
            if !fault.on.contains(op) {
                return true;
            }
            fault.nth -= 1;
            if fault.nth > 0 {
                return true;
            }
            suffered = suffered.or(Some(fault.what));
            fault.nth = 1;
            fault.again
        });
        self.0.armed.store(!faults.is_empty(), Ordering::Release);
        drop(faults);
        if suffered.is_some() {
            self.0.fired[op as usize].fetch_add(1, Ordering::Relaxed);
        }
        suffered
    }
}

impl fmt::Debug for FaultControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.0.faults.lock().clone();
        f.debug_struct("FaultControl").field("calls", &self.calls()).field("armed", &faults).finish()
    }
}

impl Hook for FaultControl {
    fn around<T>(
        &self,
        cx: &Cx<'_>,
        call: &Call<'_>,
        forward: impl FnOnce(&Cx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.transfer(cx, call, 0, |cx, _| forward(cx))
    }

    fn transfer<T>(
        &self,
        cx: &Cx<'_>,
        call: &Call<'_>,
        asked: usize,
        forward: impl FnOnce(&Cx<'_>, usize) -> Result<T>,
    ) -> Result<T> {
        match self.meet(call.op) {
            Some(What::Fail(errno)) => Err(errno),
            Some(What::Short(bytes)) => forward(cx, asked.min(bytes)),
            None => forward(cx, asked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno(control: &FaultControl, op: Op) -> Option<Errno> {
        match control.meet(op)? {
            What::Fail(errno) => Some(errno),
            What::Short(_) => None,
        }
    }

    #[test]
    fn faults_come_when_they_are_told_to() {
        let control = FaultControl::default();
        control.arm(Fault::fail(Errno::IO).on(Op::Read).nth(2));
        control.arm(Fault::fail(Errno::NOSPC).nth(4).every_time());
        assert_eq!(errno(&control, Op::Read), None);
        assert_eq!(errno(&control, Op::Write), None);
        assert_eq!(errno(&control, Op::Read), Some(Errno::IO));
        assert_eq!(errno(&control, Op::Read), Some(Errno::NOSPC));
        assert_eq!(errno(&control, Op::Statfs), Some(Errno::NOSPC));
        control.disarm();
        assert_eq!(errno(&control, Op::Read), None);
        assert_eq!((control.calls(), control.calls_of(Op::Read), control.fired()), (6, 4, 3));
        assert_eq!(control.fired_on(Op::Read), 2);
    }
}
