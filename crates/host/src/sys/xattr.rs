//! Extended attributes: what all systems share.

use rustix::fs::XattrFlags;
use rustix::io::{Errno as HostErrno, Result};
use vnode_core::fs::SetXattr;

use super::uninterrupted;

/// The longest value, and the longest list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const MOST: usize = 65_536;

/// What a call of the kind that fills a buffer gives, in a buffer of the size that it asks for.
pub(super) fn filled(call: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match uninterrupted(|| call(&mut buffer)) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            Err(HostErrno::RANGE) if buffer.len() < MOST => buffer.resize(MOST, 0),
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn flags_of(how: SetXattr) -> XattrFlags {
    match how {
        SetXattr::Any => XattrFlags::empty(),
        SetXattr::Create => XattrFlags::CREATE,
        SetXattr::Replace => XattrFlags::REPLACE,
    }
}
