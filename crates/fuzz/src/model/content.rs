//! What a file holds: its length, and the bytes that are not zero.

use std::collections::BTreeMap;
use std::ops::Range;

use vnode_core::fs::Allocate;
use vnode_core::{Errno, Result};

/// No file is longer.
pub const MAX_LEN: u64 = i64::MAX as u64;

/// The content of a file.
#[derive(Clone, Debug, Default)]
pub struct Content {
    len: u64,
    bytes: BTreeMap<u64, u8>,
}

impl Content {
    /// Its length.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The byte at an offset.
    pub fn at(&self, offset: u64) -> u8 {
        self.bytes.get(&offset).copied().unwrap_or(0)
    }

    /// Whether all bytes of a range are zero.
    pub fn is_zero(&self, range: Range<u64>) -> bool {
        range.is_empty() || self.bytes.range(range).next().is_none()
    }

    /// `pread`.
    pub fn read(&self, offset: u64, count: usize) -> Vec<u8> {
        let end = self.len.min(offset.saturating_add(count as u64));
        (offset..end).map(|offset| self.at(offset)).collect()
    }

    /// `pwrite`.
    ///
    /// # Errors
    /// `EFBIG`: nothing fits below the largest length.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<u64> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let count = (MAX_LEN - offset).min(bytes.len() as u64);
        if count == 0 {
            return Err(Errno::FBIG);
        }
        for (offset, &byte) in (offset..offset + count).zip(bytes) {
            self.set(offset, byte);
        }
        self.len = self.len.max(offset + count);
        Ok(count)
    }

    fn set(&mut self, offset: u64, byte: u8) {
        if byte == 0 {
            self.bytes.remove(&offset);
        } else {
            self.bytes.insert(offset, byte);
        }
    }

    fn clear(&mut self, range: Range<u64>) {
        self.bytes.retain(|offset, _| !range.contains(offset));
    }

    /// `ftruncate`.
    pub fn set_len(&mut self, len: u64) {
        self.clear(len..u64::MAX);
        self.len = len;
    }

    /// `fallocate`, with room for everything.
    pub fn allocate(&mut self, how: Allocate, offset: u64, len: u64) {
        let range = offset..offset + len;
        if matches!(how, Allocate::PunchHole | Allocate::ZeroRange) {
            self.clear(range.clone());
        }
        if matches!(how, Allocate::Extend | Allocate::ZeroRange) {
            self.len = self.len.max(range.end);
        }
    }
}
