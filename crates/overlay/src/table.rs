//! The inodes that somebody holds: one for each inode of a layer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use vnode_core::Timespec;
use vnode_core::fs::InodeId;

use crate::known::Known;
use crate::layers::LayerNumber;
use crate::node::Node;

type Key = (LayerNumber, InodeId);

/// Every node that is held, by what it is in the upper and by what it was found as. Its locks are leaves; no node is
/// dropped under them.
pub(crate) struct Table {
    nodes: Mutex<HashMap<Key, Weak<Node>>>,
    /// What [`State::ctime`](crate::node::State::ctime) was of inodes of the upper that nobody holds. An inode that is
    /// another one by now has another time in the upper.
    ctimes: Mutex<HashMap<InodeId, ShownCtime>>,
    /// What names were found to stand for.
    pub(crate) known: Known,
}

/// A `ctime` in the upper that only the overlay's own work gave, and the one to show for it.
pub(crate) type ShownCtime = (Timespec, Timespec);

impl Table {
    pub(crate) fn new(known: Known) -> Self {
        Table { nodes: Mutex::default(), ctimes: Mutex::default(), known }
    }

    /// Remembers the `ctime` of an inode of the upper whose node is dropped.
    pub(crate) fn keep_ctime(&self, id: InodeId, ctime: ShownCtime) {
        self.ctimes.lock().insert(id, ctime);
    }

    /// The `ctime` to show for an inode of the upper, for its node to remember.
    pub(crate) fn take_ctime(&self, id: InodeId) -> Option<ShownCtime> {
        self.ctimes.lock().remove(&id)
    }

    /// The node of a layer's inode, if it is held.
    pub(crate) fn get(&self, layer: LayerNumber, id: InodeId) -> Option<Arc<Node>> {
        self.nodes.lock().get(&(layer, id)).and_then(Weak::upgrade)
    }

    /// The node of a layer's inode: the one that is held, else the one given.
    pub(crate) fn get_or_add(&self, layer: LayerNumber, id: InodeId, node: Arc<Node>) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let slot = nodes.entry((layer, id)).or_default();
        let held = slot.upgrade();
        if held.is_none() {
            *slot = Arc::downgrade(&node);
        }
        drop(nodes);
        held.unwrap_or(node)
    }

    /// Has a node found by another inode too.
    pub(crate) fn add(&self, layer: LayerNumber, id: InodeId, node: &Arc<Node>) {
        self.nodes.lock().insert((layer, id), Arc::downgrade(node));
    }

    /// A node is being dropped; another one of the same inode may be there already.
    pub(crate) fn forget(&self, layer: LayerNumber, id: InodeId) {
        if let Entry::Occupied(slot) = self.nodes.lock().entry((layer, id))
            && slot.get().strong_count() == 0
        {
            slot.remove();
        }
    }
}
