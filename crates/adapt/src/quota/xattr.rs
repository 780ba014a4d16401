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
        // An inode that was found again after its last name was gone has values that don't count.
        let old = old.unwrap_or(0).min(ledger.xattrs);
        let new = value.map_or(0, |(value, _)| xattr_cost(name, value));
        bytes.take(new.saturating_sub(old))?;
        change().inspect_err(|_| bytes.give(new.saturating_sub(old)))?;
        bytes.give(old.saturating_sub(new));
        ledger.xattrs = ledger.xattrs + new - old;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vnode_core::fs::{At, Filesystem, NewInode, NewKind, Remove, SetXattr};
    use vnode_core::{Credentials, Cx, Mode, Name};
    use vnode_memory::Memory;

    use crate::Quota;
    use crate::quota::builder::Epoch;

    #[test]
    fn values_of_what_is_found_again_are_not_given_back_twice() {
        let who = Credentials::root();
        let cx = &Cx::new(&who, &Epoch);
        let quota = Quota::<Memory>::builder().max_bytes(1 << 20).build(Memory::new()).unwrap();
        let (root, name) = (quota.root(), Name::new(b"f").unwrap());
        let before = quota.usage();
        let new = NewInode { kind: NewKind::Regular, mode: Mode::from_raw(0o644), uid: 0, gid: 0 };
        let file = quota.create(cx, At { dir: &root, name }, new).unwrap();
        let set = |file: &Arc<_>, name: &[u8], len: usize| {
            quota.set_xattr(cx, file, name, &vec![b'x'; len], SetXattr::Any).unwrap();
        };
        set(&file, b"user.a", 100);
        // Somebody who looked the name up before it went has the inode within, and nothing of what counted.
        let within = file.inode.clone();
        quota.remove(cx, At { dir: &root, name }, Remove::File).unwrap();
        drop(file);
        assert_eq!(quota.usage(), before);
        let again = quota.node(within);
        set(&again, b"user.a", 10);
        set(&again, b"user.b", 20);
        quota.remove_xattr(cx, &again, b"user.a").unwrap();
        quota.remove_xattr(cx, &again, b"user.b").unwrap();
        set(&again, b"user.c", 30);
        assert!(quota.usage().bytes > before.bytes);
        drop(again);
        assert_eq!(quota.usage(), before);
    }
}
