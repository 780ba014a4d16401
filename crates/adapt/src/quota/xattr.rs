//! Extended attributes under a quota.

use vnode_core::fs::{Filesystem, SetXattr};
use vnode_core::{Cx, Errno, Result};

use super::node::QuotaNode;
use super::survey::xattr_cost;

impl<F: Filesystem> QuotaNode<F> {
    /// Gives an attribute another value, or none, by `change`.
    ///
    /// # Errors
    /// Full. Those of `change`, which nothing was counted for, and which go first.
    pub(super) fn change_xattr(
        &self,
        cx: &Cx<'_>,
        name: &[u8],
        value: Option<(&[u8], SetXattr)>,
        change: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let bytes = &self.shared.counts.bytes;
        let mut state = self.state.lock();
        let old = match self.shared.fs.get_xattr(cx, &self.inode, name) {
            Ok(value) => Some(xattr_cost(name, &value)),
            Err(Errno::NODATA) => None,
            // A name that can't be: the change says so itself.
            Err(Errno::OPNOTSUPP | Errno::RANGE | Errno::INVAL) => return change(),
            Err(errno) => return Err(errno),
        };
        match (value, old) {
            (Some((_, SetXattr::Create)), Some(_)) | (Some((_, SetXattr::Replace)), None) => return change(),
            _ => {}
        }
        let ledger = self.ledger(cx, &mut state)?;
        let (old, new) = (old.unwrap_or(0), value.map_or(0, |(value, _)| xattr_cost(name, value)));
        bytes.take(new.saturating_sub(old))?;
        change().inspect_err(|_| bytes.give(new.saturating_sub(old)))?;
        bytes.give(old.saturating_sub(new));
        ledger.xattrs = ledger.xattrs + new - old;
        Ok(())
    }
}
