//! Extended attributes (`xattr(7)`).

use std::collections::BTreeMap;
use std::sync::Arc;

use vnode_core::fs::SetXattr;
use vnode_core::{Cx, Errno, Result};

use crate::node::Node;

/// The longest name (`XATTR_NAME_MAX`).
const NAME_MAX: usize = 255;
/// The longest value (`XATTR_SIZE_MAX`).
const VALUE_MAX: usize = 65536;
/// What an attribute is counted as besides its name and value.
const OVERHEAD: usize = 64;

/// The namespaces that there are, as on Linux's tmpfs.
const NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];

/// An inode's extended attributes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Xattrs {
    values: BTreeMap<Box<[u8]>, Arc<[u8]>>,
}

impl Xattrs {
    /// Bytes that all of them count as.
    pub(crate) fn cost(&self) -> u64 {
        self.values.iter().map(|(name, value)| cost(name, value)).sum()
    }
}

fn cost(name: &[u8], value: &[u8]) -> u64 {
    (name.len() + value.len() + OVERHEAD) as u64
}

/// Checks a name (`xattr_resolve_name` in Linux).
fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(Errno::RANGE);
    }
    match NAMESPACES.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
        Some(b"") => Err(Errno::INVAL),
        Some(_) => Ok(()),
        None => Err(Errno::OPNOTSUPP),
    }
}

impl Node {
    /// `getxattr(2)`.
    pub(crate) fn get_xattr(&self, name: &[u8]) -> Result<Arc<[u8]>> {
        check_name(name)?;
        let meta = self.meta.read();
        meta.xattrs.as_ref().and_then(|xattrs| xattrs.values.get(name)).cloned().ok_or(Errno::NODATA)
    }

    /// `setxattr(2)`.
    pub(crate) fn set_xattr(&self, cx: &Cx<'_>, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
        check_name(name)?;
        if value.len() > VALUE_MAX {
            return Err(Errno::TOOBIG);
        }
        let bytes = &self.shared.quota.bytes;
        let mut meta = self.meta.write();
        let old = meta.xattrs.as_ref().and_then(|xattrs| xattrs.values.get(name)).map(|old| cost(name, old));
        match (how, old) {
            (SetXattr::Create, Some(_)) => return Err(Errno::EXIST),
            (SetXattr::Replace, None) => return Err(Errno::NODATA),
            _ => {}
        }
        let (new, old) = (cost(name, value), old.unwrap_or(0));
        bytes.take(new.saturating_sub(old))?;
        meta.xattrs.get_or_insert_default().values.insert(name.into(), value.into());
        bytes.give(old.saturating_sub(new));
        meta.ctime = cx.now();
        Ok(())
    }

    /// The names in the order in which Linux's tmpfs lists them.
    pub(crate) fn xattr_names(&self) -> Vec<Box<[u8]>> {
        let meta = self.meta.read();
        meta.xattrs.as_ref().map_or_else(Vec::new, |xattrs| xattrs.values.keys().rev().cloned().collect())
    }

    /// `removexattr(2)`.
    pub(crate) fn remove_xattr(&self, cx: &Cx<'_>, name: &[u8]) -> Result<()> {
        check_name(name)?;
        let mut meta = self.meta.write();
        let xattrs = meta.xattrs.as_mut().ok_or(Errno::NODATA)?;
        let value = xattrs.values.remove(name).ok_or(Errno::NODATA)?;
        meta.xattrs.take_if(|xattrs| xattrs.values.is_empty());
        self.shared.quota.bytes.give(cost(name, &value));
        meta.ctime = cx.now();
        Ok(())
    }
}
