//! The names of an archive with their whole paths, for whoever copies what it holds.

use std::io::{self, Read};
use std::sync::Arc;

use vnode_core::io::Sink;
use vnode_core::{Attr, Errno};

use crate::node::{Body, Node};
use crate::tree::Tree;

/// What an archive holds, in order; see [`Archive::members`](crate::Archive::members).
#[derive(Debug)]
pub struct Members<'a> {
    tree: &'a Tree,
    /// The root comes first.
    root: Option<&'a Arc<Node>>,
    /// Places of entries in the tree's list.
    entries: std::vec::IntoIter<u32>,
    /// The entry by which each node with several names came first.
    first: Box<[u32]>,
}

/// A name of an archive, and what it stands for.
#[derive(Clone, Debug)]
pub struct MemberPath<'a> {
    /// From the root, without a slash at the front; `.` for the root.
    pub path: Vec<u8>,
    /// The path by which what it stands for came before, if it did: this is a hard link.
    pub first: Option<Vec<u8>>,
    node: &'a Arc<Node>,
}

impl<'a> MemberPath<'a> {
    /// The attributes.
    pub fn attr(&self) -> Attr {
        self.node.attr()
    }

    /// Where it leads, of a symbolic link.
    pub fn target(&self) -> Option<&'a [u8]> {
        match &self.node.body {
            Body::Symlink(target) => Some(target),
            _ => None,
        }
    }

    /// The extended attributes: names and values.
    pub fn xattrs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.node.meta.xattrs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Bytes of a file's content without its holes.
    pub fn stored(&self) -> u64 {
        match &self.node.body {
            Body::File(content) => content.stored(),
            Body::Packed(packed) => packed.size(),
            _ => 0,
        }
    }

    /// Reads a file's content whole, its holes as zeros. Nothing, of what is no file. It is unpacked first, if need be.
    pub fn content(&self) -> impl Read + use<'a> {
        Reading { node: self.node, at: 0 }
    }
}

/// Reads the content of a node.
struct Reading<'a> {
    node: &'a Node,
    at: u64,
}

impl Read for Reading<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !matches!(self.node.body, Body::File(_) | Body::Packed(_)) {
            return Ok(0);
        }
        if let (0, Body::Packed(packed)) = (self.at, &self.node.body) {
            packed.unpack(&mut || Ok(())).map_err(told)?;
        }
        let content = self.node.content().map_err(told)?;
        let count = content.read(self.at, &mut Sink::from_slice(into)).map_err(told)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn told(errno: Errno) -> io::Error {
    io::Error::other(errno.text())
}

impl<'a> Members<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        let order = |at: &u32| tree.entries.get(*at as usize).map(|entry| entry.order);
        let mut entries: Vec<u32> = (0..).zip(&tree.entries).map(|(at, _)| at).collect();
        entries.sort_unstable_by_key(order);
        let root = tree.nodes.first().filter(|root| is_told(root));
        Members { tree, root, entries: entries.into_iter(), first: vec![NONE; tree.nodes.len()].into() }
    }
}

/// No entry's order.
const NONE: u32 = u32::MAX;

fn is_told(node: &Node) -> bool {
    !matches!(&node.body, Body::Directory(directory) if !directory.is_member)
}

impl<'a> Iterator for Members<'a> {
    type Item = MemberPath<'a>;

    fn next(&mut self) -> Option<MemberPath<'a>> {
        if let Some(node) = self.root.take() {
            return Some(MemberPath { path: b".".to_vec(), node, first: None });
        }
        loop {
            let at = self.entries.next()?;
            let entry = self.tree.entries.get(at as usize)?;
            let Some(node) = self.tree.nodes.get(entry.node as usize).filter(|node| is_told(node)) else {
                continue;
            };
            let mut first = None;
            if node.nlink > 1 && !matches!(node.body, Body::Directory(_)) {
                let place = self.first.get_mut(entry.node as usize)?;
                match self.tree.entries.get(*place as usize) {
                    Some(entry) => first = Some(self.tree.path(entry)),
                    None => *place = at,
                }
            }
            return Some(MemberPath { path: self.tree.path(entry), node, first });
        }
    }
}
