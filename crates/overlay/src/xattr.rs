//! Extended attributes; the overlay's own are nobody else's.

use std::sync::Arc;

use vnode_core::fs::{Filesystem, SetXattr};
use vnode_core::{Cx, Errno, Result};

use crate::marks::is_private;
use crate::node::Node;
use crate::overlay::Shared;

/// Refuses the overlay's own.
///
/// # Errors
/// `EOPNOTSUPP`.
fn check(name: &[u8]) -> Result<()> {
    if is_private(name) { Err(Errno::OPNOTSUPP) } else { Ok(()) }
}

impl Shared {
    pub(crate) fn get_xattr(&self, cx: &Cx<'_>, node: &Arc<Node>, name: &[u8]) -> Result<Arc<[u8]>> {
        check(name)?;
        let (layer, inode) = node.shown()?;
        self.layers.fs(layer).get_xattr(cx, inode, name)
    }

    pub(crate) fn set_xattr(
        &self,
        cx: &Cx<'_>,
        node: &Arc<Node>,
        name: &[u8],
        value: &[u8],
        how: SetXattr,
    ) -> Result<()> {
        check(name)?;
        if node.upper().is_none() {
            // What fails copies nothing.
            match (self.get_xattr(cx, node, name), how) {
                (Ok(_), SetXattr::Create) => return Err(Errno::EXIST),
                (Err(Errno::NODATA), SetXattr::Create | SetXattr::Any) | (Ok(_), _) => {}
                (Err(errno), _) => return Err(errno),
            }
        }
        let upper = self.copy_up(cx, node)?;
        self.layers.upper.fs.set_xattr(cx, upper, name, value, how)?;
        node.changed();
        Ok(())
    }

    pub(crate) fn list_xattr(
        &self,
        cx: &Cx<'_>,
        node: &Arc<Node>,
        emit: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let (layer, inode) = node.shown()?;
        self.layers.fs(layer).list_xattr(cx, inode, &mut |name| {
            if !is_private(name) {
                emit(name);
            }
        })
    }

    pub(crate) fn remove_xattr(&self, cx: &Cx<'_>, node: &Arc<Node>, name: &[u8]) -> Result<()> {
        self.get_xattr(cx, node, name)?;
        let upper = self.copy_up(cx, node)?;
        self.layers.upper.fs.remove_xattr(cx, upper, name)?;
        node.changed();
        Ok(())
    }
}
