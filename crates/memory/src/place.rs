//! Where a directory is.

use std::sync::{Arc, Weak};

use crate::entries::EntryName;
use crate::node::Node;

/// What is above a directory.
pub(crate) enum Above {
    /// Nothing: it is the root.
    Root,
    /// The directory that it is in.
    Linked(Weak<Node>),
    /// The directory that it was in when it was removed.
    Removed(Arc<Node>),
}

/// A directory's place: the directory above it and its name there.
pub(crate) struct Place {
    pub(crate) above: Above,
    pub(crate) name: EntryName,
}

impl Place {
    /// The root's.
    pub(crate) fn root() -> Self {
        Place { above: Above::Root, name: EntryName::new() }
    }

    /// In `parent`, as `name`.
    pub(crate) fn linked(parent: &Arc<Node>, name: &[u8]) -> Self {
        Place { above: Above::Linked(Arc::downgrade(parent)), name: EntryName::from_slice(name) }
    }
}
