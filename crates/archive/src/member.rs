//! What an archive's formats are read into: its members, one after the other.

use std::io;

use vnode_core::{Errno, Mode, PATH_MAX, Timespec};

use crate::content::Content;
use crate::packed::Packed;

/// A member of an archive.
#[derive(Debug)]
pub(crate) struct Member {
    /// As the archive has it.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timespec,
    /// Names with their namespaces, and values.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a member is.
#[derive(Debug)]
pub(crate) enum Kind {
    Directory,
    File(Content),
    Packed(Packed),
    /// With its target.
    Symlink(Vec<u8>),
    /// With the path of an earlier member.
    HardLink(Vec<u8>),
    Fifo,
    CharDevice(u32),
    BlockDevice(u32),
}

/// An owner: the highest number means none to every call that takes one.
pub(crate) fn id(what: &str, number: u64) -> io::Result<u32> {
    let id = u32::try_from(number).ok().filter(|&id| id != u32::MAX);
    id.ok_or_else(|| io::Error::other(format!("its {what} {number} is not from 0 to 4294967294")))
}

/// A link's target, if it is no longer than one may be.
pub(crate) fn symlink_target(target: Vec<u8>) -> io::Result<Vec<u8>> {
    if target.len() <= PATH_MAX {
        return Ok(target);
    }
    let (len, why) = (target.len(), Errno::NAMETOOLONG.text());
    Err(io::Error::other(format!("the target of the link has {len} bytes: {why}")))
}
