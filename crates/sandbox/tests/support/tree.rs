//! What is in a filesystem, and copies of it.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vnode_core::fs::{At, Filesystem as _, Inode, InodeId};
use vnode_core::{FileType, FilesystemRef, Name};
use vnode_memory::Memory;

use super::as_root;
use super::guest::Guest;

/// By path: attributes, content, and the first path of the same inode.
pub(crate) type Tree = BTreeMap<Vec<u8>, Entry>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) content: String,
    pub(crate) attributes: String,
    pub(crate) first: Option<String>,
}

/// An inode and its copy.
type Pair = (Arc<dyn Inode>, Arc<dyn Inode>);

/// All that is in a filesystem.
pub(crate) fn tree(fs: &FilesystemRef) -> Tree {
    let guest = Guest(fs);
    let mut found = Tree::new();
    let mut first: HashMap<InodeId, String> = HashMap::new();
    let mut held = Vec::new();
    for path in paths(fs) {
        let (inode, attr) = as_root(|cx| {
            let inode = guest.node(cx, &path).unwrap();
            let attr = fs.getattr(cx, &inode).unwrap();
            (inode, attr)
        });
        let content = match attr.kind {
            FileType::Regular => {
                let bytes = guest.read(&path).unwrap();
                let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
                format!("{start}+{}", bytes[start..].escape_ascii())
            }
            FileType::Symlink => guest.target(&path).unwrap().escape_ascii().to_string(),
            kind => format!("{kind:?}"),
        };
        let xattr = as_root(|cx| fs.get_xattr(cx, &inode, b"user.told")).ok();
        let attributes = format!("{:o} {}:{} {xattr:?}", attr.mode.raw(), attr.uid, attr.gid);
        let is_linked = attr.nlink > 1 && !attr.kind.is_dir();
        let first = is_linked
            .then(|| first.entry(inode.id()).or_insert_with(|| path.escape_ascii().to_string()).clone());
        held.push(inode);
        found.insert(path, Entry { content, attributes, first });
    }
    found
}

/// All paths, a directory before what is in it.
pub(crate) fn paths(fs: &FilesystemRef) -> Vec<Vec<u8>> {
    let guest = Guest(fs);
    let mut found = Vec::new();
    let mut left = vec![Vec::new()];
    while let Some(dir) = left.pop() {
        for name in guest.names(&dir).unwrap() {
            let path = [&dir[..], b"/", &name].concat();
            if as_root(|cx| guest.node(cx, &path)).unwrap().kind().is_dir() {
                left.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A copy in memory.
pub(crate) fn copy(fs: &FilesystemRef) -> FilesystemRef {
    let made = FilesystemRef::new::<Memory>(Memory::new());
    let guest = Guest(fs);
    let mut copies: HashMap<InodeId, Pair> = HashMap::new();
    as_root(|cx| {
        for path in paths(fs) {
            let inode = guest.node(cx, &path).unwrap();
            let slash = path.iter().rposition(|&byte| byte == b'/').unwrap();
            let dir = Guest(&made).node(cx, &path[..slash]).unwrap();
            let at = At { dir: &dir, name: Name::new(&path[slash + 1..]).unwrap() };
            if let Some((_, copy)) = copies.get(&inode.id()) {
                made.link(cx, at, copy).unwrap();
                continue;
            }
            let attr = fs.getattr(cx, &inode).unwrap();
            let copy = vnode_overlay::make_like(cx, (fs, &inode), &attr, (&made, at)).unwrap();
            if !attr.kind.is_dir() {
                copies.insert(inode.id(), (inode.clone(), copy.clone()));
            }
            vnode_overlay::fill(cx, cx, (fs, &inode), &attr, (&made, &copy), attr.size).unwrap();
        }
    });
    made
}
