//! The inodes that somebody holds: one for each inode of a layer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use vnode_core::fs::InodeId;

use crate::layers::LayerNumber;
use crate::node::Node;

type Key = (LayerNumber, InodeId);

/// Every node that is held, by what it is in the upper and by what it was found as. Its lock is a leaf; no node is
/// dropped under it.
#[derive(Default)]
pub(crate) struct Table(Mutex<HashMap<Key, Weak<Node>>>);

impl Table {
    /// The node of a layer's inode, if it is held.
    pub(crate) fn get(&self, layer: LayerNumber, id: InodeId) -> Option<Arc<Node>> {
        self.0.lock().get(&(layer, id)).and_then(Weak::upgrade)
    }

    /// The node of a layer's inode: the one that is held, else the one given.
    pub(crate) fn get_or_add(&self, layer: LayerNumber, id: InodeId, node: Arc<Node>) -> Arc<Node> {
        let mut nodes = self.0.lock();
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
        self.0.lock().insert((layer, id), Arc::downgrade(node));
    }

    /// A node is being dropped; another one of the same inode may be there already.
    pub(crate) fn forget(&self, layer: LayerNumber, id: InodeId) {
        if let Entry::Occupied(slot) = self.0.lock().entry((layer, id))
            && slot.get().strong_count() == 0
        {
            slot.remove();
        }
    }
}
