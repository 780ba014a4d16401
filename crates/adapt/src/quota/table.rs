//! The nodes that somebody holds: one for each inode.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use vnode_core::fs::{Filesystem, Inode, InodeId};

use super::Shared;
use super::node::QuotaNode;

struct Slot<F: Filesystem> {
    node: Weak<QuotaNode<F>>,
    /// Holds it, for what is known of it can't be found out again.
    kept: Option<Arc<QuotaNode<F>>>,
}

struct Slots<F: Filesystem> {
    by_id: HashMap<InodeId, Slot<F>>,
    closed: bool,
}

/// Every node that is held. Its lock is a leaf; no node is dropped under it.
pub(super) struct Table<F: Filesystem>(Mutex<Slots<F>>);

impl<F: Filesystem> Table<F> {
    pub(super) fn new() -> Self {
        Table(Mutex::new(Slots { by_id: HashMap::new(), closed: false }))
    }

    /// The node of an inode.
    pub(super) fn node(&self, inode: Arc<F::Inode>, shared: &Arc<Shared<F>>) -> Arc<QuotaNode<F>> {
        let mut slots = self.0.lock();
        let id = inode.id();
        if let Some(node) = slots.by_id.get(&id).and_then(|slot| slot.node.upgrade()) {
            return node;
        }
        let node = Arc::new(QuotaNode::new(inode, shared.clone()));
        slots.by_id.insert(id, Slot { node: Arc::downgrade(&node), kept: None });
        node
    }

    /// Holds a node until it is let go.
    pub(super) fn keep(&self, node: &Arc<QuotaNode<F>>) {
        let mut slots = self.0.lock();
        if slots.closed {
            return;
        }
        if let Some(slot) = slots.by_id.get_mut(&node.id()) {
            slot.kept.get_or_insert_with(|| node.clone());
        }
    }

    /// Lets a node go, for the caller to drop.
    pub(super) fn let_go(&self, node: &QuotaNode<F>) -> Option<Arc<QuotaNode<F>>> {
        self.0.lock().by_id.get_mut(&node.id())?.kept.take()
    }

    /// A node is being dropped; another one of the same inode may be there already.
    pub(super) fn forget(&self, id: InodeId) {
        if let Entry::Occupied(slot) = self.0.lock().by_id.entry(id)
            && slot.get().node.strong_count() == 0
        {
            slot.remove();
        }
    }

    /// Lets every node go; none is kept any more.
    pub(super) fn close(&self) {
        let mut slots = self.0.lock();
        slots.closed = true;
        let kept: Vec<_> = slots.by_id.values_mut().filter_map(|slot| slot.kept.take()).collect();
        drop(slots);
        drop(kept);
    }
}
