//! Listing a directory.

use core::ops::ControlFlow;
use std::sync::Arc;

use vnode_core::fs::{DirEntry, DirStream, Inode};
use vnode_core::{Cx, Errno, FileType, Result};

use crate::node::Node;

/// How many entries are copied out of a directory at once.
const BATCH: usize = 64;

/// Bytes in a name, to begin with.
const TYPICAL_NAME: usize = 16;

/// An entry copied out of its directory; its name ends there in the buffer of names.
struct Copied {
    number: u64,
    ino: u64,
    kind: FileType,
    name_end: usize,
}

/// A directory's listing, with the buffers that it uses again and again.
pub(crate) struct Listing {
    dir: Arc<Node>,
    batch: Vec<Copied>,
    names: Vec<u8>,
}

impl Listing {
    pub(crate) fn new(dir: &Arc<Node>) -> Result<Self> {
        dir.directory()?;
        Ok(Listing { dir: dir.clone(), batch: Vec::new(), names: Vec::new() })
    }

    /// Copies out the entries that follow `cookie`.
    fn fill(&mut self, cookie: u64) -> Result<()> {
        self.batch.clear();
        self.names.clear();
        let entries = self.dir.directory()?.entries.read();
        if entries.is_removed() {
            return Err(Errno::NOENT);
        }
        let count = entries.len().min(BATCH);
        self.batch.reserve(count);
        self.names.reserve(count * TYPICAL_NAME);
        for (number, name, node) in entries.below(cookie).take(BATCH) {
            self.names.extend_from_slice(name);
            let name_end = self.names.len();
            self.batch.push(Copied { number, ino: node.ino(), kind: node.kind(), name_end });
        }
        Ok(())
    }
}

impl DirStream for Listing {
    fn list(
        &mut self,
        cx: &Cx<'_>,
        cookie: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut cookie = cookie;
        self.fill(cookie)?;
        self.dir.meta.accessed(cx);
        loop {
            let mut start = 0;
            for entry in &self.batch {
                let name = self.names.get(start..entry.name_end).unwrap_or_default();
                start = entry.name_end;
                cookie = entry.number;
                let entry = DirEntry { name, ino: entry.ino, kind: entry.kind, next: cookie };
                if emit(entry).is_break() {
                    return Ok(());
                }
            }
            // A number of 3 has nothing below it, and as a cookie it would say so.
            if self.batch.len() < BATCH {
                return Ok(());
            }
            self.fill(cookie)?;
        }
    }
}
