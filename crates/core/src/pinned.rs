//! Places that are held for long.

use core::ops::Deref;
use std::sync::Arc;

use crate::erase::Node;
use crate::mount::Place;

/// An inode that its filesystem was told to keep at hand.
pub(crate) struct PinnedNode(Node);

impl PinnedNode {
    pub(crate) fn new(node: Node) -> Self {
        node.pin(true);
        PinnedNode(node)
    }
}

impl Clone for PinnedNode {
    fn clone(&self) -> Self {
        PinnedNode::new(Arc::clone(&self.0))
    }
}

impl Drop for PinnedNode {
    fn drop(&mut self) {
        self.0.pin(false);
    }
}

impl Deref for PinnedNode {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.0
    }
}

/// A place that is held for long: a working directory, a root, what a descriptor stands for.
///
/// A filesystem that has to find its inodes again by name once in a while
/// ([`Inode::pin`](crate::fs::Inode::pin)) doesn't do so with it: it stays the same whatever it is called meanwhile.
pub struct Pinned(Place);

impl From<Place> for Pinned {
    fn from(place: Place) -> Self {
        place.node.pin(true);
        Pinned(place)
    }
}

impl Clone for Pinned {
    fn clone(&self) -> Self {
        self.0.clone().into()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.0.node.pin(false);
    }
}

impl Deref for Pinned {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.0
    }
}

impl core::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}
