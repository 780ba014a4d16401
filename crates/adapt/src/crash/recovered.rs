//! What survived.

use std::collections::HashMap;
use std::sync::Arc;

use vnode_core::fs::{Access, At, Filesystem, Inode, NewInode, NewKind, SetXattr};
use vnode_core::io::Source;
use vnode_core::{Attr, Cx, Errno, FileType, Name, Result, SetAttr, SetTime};

use super::image::{Body, Key, Names, Pieces, Xattrs};
use super::journal::Journal;

#[derive(PartialEq)]
struct Survivor {
    key: Key,
    attr: Attr,
    body: Body,
    xattrs: Xattrs,
}

/// What a loss of power left, to be put into a filesystem.
///
/// Names, content, extended attributes, modes, owners, access and modification times. The order of a directory's
/// listing and the numbers of inodes are the new filesystem's own.
///
/// Two are equal if the same inodes survived with the same names, content and attributes.
#[derive(PartialEq)]
pub struct Recovered {
    /// The root first.
    inodes: Vec<Survivor>,
}

impl core::fmt::Debug for Recovered {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Recovered").field("inodes", &self.inodes.len()).finish()
    }
}

impl Recovered {
    pub(super) fn of<I: Inode + ?Sized>(journal: &Journal<I>) -> Self {
        let survivor = |key: Key| {
            let record = journal.record(key)?;
            let (attr, body, xattrs) = (record.attr, record.body.clone(), record.xattrs.clone());
            Some(Survivor { key, attr, body, xattrs })
        };
        Recovered { inodes: journal.reached().into_iter().filter_map(survivor).collect() }
    }

    /// How many inodes survived, the root among them.
    pub fn inodes(&self) -> usize {
        self.inodes.len()
    }

    /// Makes all of it in `fs`, which must be empty.
    ///
    /// # Errors
    /// Those of the calls; `fs` holds a part then.
    pub fn write_into<F: Filesystem>(&self, cx: &Cx<'_>, fs: &F) -> Result<()> {
        let by_key: HashMap<Key, &Survivor> = self.inodes.iter().map(|inode| (inode.key, inode)).collect();
        let mut made: HashMap<Key, Arc<F::Inode>> = HashMap::new();
        let Some(root) = self.inodes.first() else { return Ok(()) };
        made.insert(root.key, fs.root());
        // Each directory stands before what is in it.
        for survivor in &self.inodes {
            let (Body::Directory(names), Some(dir)) = (&survivor.body, made.get(&survivor.key).cloned())
            else {
                continue;
            };
            fill(cx, fs, &dir, names, &by_key, &mut made)?;
        }
        // Last, for filling a directory changes its times.
        for survivor in self.inodes.iter().rev() {
            if let Some(inode) = made.get(&survivor.key) {
                dress(cx, fs, inode, survivor)?;
            }
        }
        Ok(())
    }
}

/// Makes the names of a directory.
fn fill<F: Filesystem>(
    cx: &Cx<'_>,
    fs: &F,
    dir: &Arc<F::Inode>,
    names: &Names,
    by_key: &HashMap<Key, &Survivor>,
    made: &mut HashMap<Key, Arc<F::Inode>>,
) -> Result<()> {
    for (name, key) in names {
        let at = At { dir, name: Name::new(name)? };
        if let Some(inode) = made.get(key) {
            fs.link(cx, at, inode)?;
        } else if let Some(survivor) = by_key.get(key) {
            made.insert(*key, make(cx, fs, at, survivor)?);
        }
    }
    Ok(())
}

fn make<F: Filesystem>(
    cx: &Cx<'_>,
    fs: &F,
    at: At<'_, F::Inode>,
    survivor: &Survivor,
) -> Result<Arc<F::Inode>> {
    let attr = &survivor.attr;
    let kind = match (&survivor.body, attr.kind) {
        (Body::File(_), _) => NewKind::Regular,
        (Body::Directory(_), _) => NewKind::Directory,
        (Body::Symlink(target), _) => NewKind::Symlink(target),
        (Body::Special, FileType::Fifo) => NewKind::Fifo,
        (Body::Special, FileType::Socket) => NewKind::Socket,
        (Body::Special, FileType::CharDevice) => NewKind::CharDevice(attr.rdev),
        (Body::Special, _) => NewKind::BlockDevice(attr.rdev),
    };
    let new = NewInode { kind, mode: attr.mode, uid: attr.uid, gid: attr.gid };
    let inode = fs.create(cx, at, new)?;
    if let Body::File(pieces) = &survivor.body {
        write(cx, fs, &inode, pieces, attr.size)?;
    }
    Ok(inode)
}

fn write<F: Filesystem>(
    cx: &Cx<'_>,
    fs: &F,
    inode: &Arc<F::Inode>,
    pieces: &Pieces,
    size: u64,
) -> Result<()> {
    let file = fs.open(cx, inode, Access::WRITE)?;
    for (offset, bytes) in pieces {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match file.write_at(cx, offset + done as u64, &mut Source::from_slice(rest))? {
                0 => return Err(Errno::IO),
                more => done += more,
            }
        }
    }
    file.set_len(cx, size)
}

/// Gives an inode its attributes.
fn dress<F: Filesystem>(cx: &Cx<'_>, fs: &F, inode: &Arc<F::Inode>, survivor: &Survivor) -> Result<()> {
    for (name, value) in &survivor.xattrs {
        fs.set_xattr(cx, inode, name, value, SetXattr::Any)?;
    }
    let attr = &survivor.attr;
    let mode = if attr.kind.is_symlink() { None } else { Some(attr.mode) };
    let set = SetAttr {
        mode,
        uid: Some(attr.uid),
        gid: Some(attr.gid),
        atime: Some(SetTime::To(attr.atime)),
        mtime: Some(SetTime::To(attr.mtime)),
        size: None,
    };
    fs.setattr(cx, inode, &set)
}
