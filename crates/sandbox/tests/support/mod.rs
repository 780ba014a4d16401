//! Calls on views.

pub(crate) mod exact;
pub(crate) mod guest;
pub(crate) mod host;
pub(crate) mod mounted;
pub(crate) mod places;
pub(crate) mod random;
pub(crate) mod scenes;
pub(crate) mod steps;
pub(crate) mod tree;
pub(crate) mod writeback;

use core::cell::Cell;

use vnode_core::{Clock, Credentials, Cx, Timespec};

/// Goes on with every call.
struct Ticking;

thread_local! {
    static TICKS: Cell<u32> = const { Cell::new(0) };
}

impl Clock for Ticking {
    fn now(&self) -> Timespec {
        let ticks = TICKS.get().wrapping_add(1);
        TICKS.set(ticks);
        Timespec { sec: 1_000_000_000 + i64::from(ticks), nsec: 0 }
    }
}

/// Makes a call as root.
pub(crate) fn as_root<T>(call: impl FnOnce(&Cx<'_>) -> T) -> T {
    let who = Credentials::root();
    call(&Cx::new(&who, &Ticking))
}
