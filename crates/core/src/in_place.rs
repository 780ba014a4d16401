//! Content that lies in memory and never changes, handed out without being copied.

use core::fmt;
use core::ops::{Deref, Range};
use std::sync::Arc;

/// What a file has at some offset, as [`File::in_place`](crate::fs::File::in_place) answers.
#[derive(Clone, Debug)]
pub enum InPlace {
    /// These bytes, at least one.
    Bytes(SharedBytes),
    /// A hole of so many bytes; of none at the end.
    Hole(u64),
}

/// Bytes that somebody has in memory and that are held without being copied. They never change.
///
/// ```
/// use std::sync::Arc;
/// use vnode_core::fs::SharedBytes;
///
/// let all = SharedBytes::new(Arc::new(*b"tar archive"));
/// let part = all.part(4..11).ok_or("past the end")?;
/// assert_eq!(&part[..], b"archive");
/// assert!(part.part(0..8).is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone)]
pub struct SharedBytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl SharedBytes {
    /// All that `owner` has, which must always be the same.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let range = 0..(*owner).as_ref().len();
        SharedBytes { owner, range }
    }

    /// A part; nothing if it reaches past the end.
    pub fn part(&self, range: Range<usize>) -> Option<Self> {
        self.get(range.clone())?;
        let range = self.range.start + range.start..self.range.start + range.end;
        Some(SharedBytes { owner: Arc::clone(&self.owner), range })
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        (*self.owner).as_ref().get(self.range.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedBytes").field(&self.range).finish()
    }
}
