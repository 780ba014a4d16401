//! What another process on the same tree needs to know of this one, and to give to it.

use std::sync::Arc;

use vnode_core::fs::Access;
use vnode_core::{Attr, Credentials, Follow, Mode, Namespace, Place, Result, Timespec, VPath};
use vnode_kernel::{ClockId, Clocks};

use super::{Node, Open, Ticking, Vnode};
use crate::subject::Handle;

impl Vnode {
    /// The tree of mounts.
    pub(crate) fn namespace(&self) -> &Arc<Namespace> {
        &self.ns
    }

    /// Who it is.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Its umask.
    pub(crate) fn mask(&self) -> Mode {
        Mode::from_raw(self.umask)
    }

    /// Its clock, as a process has clocks.
    pub(crate) fn clocks(&self) -> Arc<dyn Clocks> {
        Arc::new(self.clock.clone())
    }

    /// Makes a place its working directory.
    pub(crate) fn enter(&mut self, place: Place) {
        self.cwd = place;
    }

    /// A handle for a place, as `O_PATH` gives one.
    pub(crate) fn hold(&mut self, place: Place) -> Handle {
        self.keep(Open { place, node: Node::Path, access: Access::empty(), append: false, offset: 0 })
    }

    /// The attributes of a place.
    pub(crate) fn attr_of(&self, place: &Place) -> Result<Attr> {
        self.call(|caller| place.attr(caller.cx))
    }

    /// The attributes of what a path from a place leads to.
    pub(crate) fn stat_from(&self, base: &Place, path: &[u8], follow: Follow) -> Result<Attr> {
        self.call(|caller| caller.stat(base, VPath::new(path)?, follow))
    }

    /// Whether a path from a place leads to that place.
    pub(crate) fn leads_back(&self, base: &Place, path: &[u8]) -> bool {
        path.is_empty()
            || self
                .call(|caller| caller.resolve(base, VPath::new(path)?, Follow::Yes))
                .is_ok_and(|place| place.is(base))
    }
}

impl Clocks for Ticking {
    fn time(&self, _clock: ClockId) -> Result<u64> {
        Ok(self.coarse().to_nanos())
    }

    fn resolution(&self, _clock: ClockId) -> Result<u64> {
        Ok(1)
    }

    fn coarse(&self) -> Timespec {
        vnode_core::Clock::now(self)
    }
}
