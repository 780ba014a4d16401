//! Zip archives: what their lists and headers say is settled when they are opened, what is packed when it is read.

use crate::archive::examine;

/// Feeds one input: an archive, a layer of an image if the first byte is odd.
pub fn run(bytes: &[u8]) {
    let Some((&layer, archive)) = bytes.split_first() else { return };
    examine(archive.to_vec(), layer % 2 == 1);
}
