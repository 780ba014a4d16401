//! Listings of directories.

use core::ops::ControlFlow;

use vnode_core::fs::{DirEntry, DirStream};
use vnode_core::{Cx, Result};

use crate::pool::Descriptor;
use crate::sys::{AsFd, Listing};

/// A directory of the host, opened for listing.
pub(crate) struct HostListing {
    descriptor: Descriptor,
    listing: Listing,
}

impl HostListing {
    pub(crate) fn new(descriptor: Descriptor) -> Self {
        HostListing { descriptor, listing: Listing::default() }
    }
}

impl DirStream for HostListing {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.listing.list(self.descriptor.as_fd(), cx, cookie, emit)
    }
}
