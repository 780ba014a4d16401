//! A picture of a whole tree: what must not change when an operation fails, and what two subjects must agree on.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use vnode_core::{Attr, Errno, FileType, Result, Timespec};

use crate::call::{Env, list};
use crate::subject::{At, Follow, Handle, Needs, OpenFlags, Subject, Target, User};
use crate::text;
use crate::value::{kind_word, rdev_major, rdev_minor};

/// How much of a file's beginning and end is compared.
const SAMPLE: usize = 128 * 1024;

/// Every name below a subject's top directory, with what it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<Vec<u8>, Inode>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inode {
    kind: FileType,
    /// Type, mode, owners, size, device: one text, the same on every subject.
    attributes: String,
    /// How many links it has, where that is compared.
    links: Option<u32>,
    /// The first path that names the same inode.
    identity: Vec<u8>,
    content: Vec<u8>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    times: Option<(Timespec, Timespec)>,
    /// Size and blocks, with the times: each filesystem counts its own.
    room: Option<(u64, u64)>,
}

/// Whether a picture holds `mtime`, `ctime`, sizes of directories and blocks, which only one subject can agree on with
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// With them.
    Kept,
    /// Without.
    Left,
}

impl Tree {
    /// Takes the picture as root, and gives the subject back as it was. Access times may move.
    ///
    /// # Errors
    /// Those of the calls that look at the tree.
    pub fn of(subject: &mut dyn Subject, env: &Env, times: Times) -> Result<Tree> {
        let other_user = env.user != User::root();
        if other_user {
            subject.become_user(&User::root())?;
        }
        let mut walk = Walk { tree: Tree::default(), first: HashMap::new(), times };
        let top = subject.open_top()?;
        let attr = subject.fstat(top)?;
        walk.enter(b"/", &attr, Vec::new(), Vec::new());
        let result = walk.directory(subject, top, b"");
        subject.close(top)?;
        if other_user {
            subject.become_user(&env.user)?;
        }
        result.map(|()| walk.tree)
    }

    /// What differs from `other`, a line for each path; empty if nothing does.
    pub fn differences(&self, other: &Tree) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, inode) in &self.0 {
            let shown = text::spell(path);
            match other.0.get(path) {
                None => lines.push(format!("{shown}: {} here, missing there", inode.attributes)),
                Some(there) if there != inode => lines.push(format!("{shown}: {}", inode.against(there))),
                Some(_) => {}
            }
        }
        for (path, inode) in &other.0 {
            if !self.0.contains_key(path) {
                lines.push(format!("{}: missing here, {} there", text::spell(path), inode.attributes));
            }
        }
        lines
    }

    /// The paths that are in both pictures and whose `mtime` or `ctime` differ: `m`, `c` or both, and the path.
    pub fn changed_times(&self, after: &Tree) -> Vec<String> {
        let mut changed = Vec::new();
        for (path, inode) in &self.0 {
            let (Some(before), Some(after)) = (inode.times, after.0.get(path).and_then(|inode| inode.times))
            else {
                continue;
            };
            if before != after {
                let m = if before.0 != after.0 { "m" } else { "" };
                let c = if before.1 != after.1 { "c" } else { "" };
                changed.push(format!("{m}{c} {}", text::spell(path)));
            }
        }
        changed
    }

    /// The same without the numbers of links of what is of this kind, which aren't compared then.
    pub fn without_links(mut self, of: impl Fn(FileType) -> bool) -> Tree {
        self.0.values_mut().filter(|inode| of(inode.kind)).for_each(|inode| inode.links = None);
        self
    }

    /// What has another number of links than names, but for directories.
    pub fn miscounted(&self) -> Vec<String> {
        self.counted(|links, names| links != names)
    }

    /// What has more names than links, but for directories.
    pub fn undercounted(&self) -> Vec<String> {
        self.counted(|links, names| links < names)
    }

    fn counted(&self, wrong: impl Fn(u32, u32) -> bool) -> Vec<String> {
        let mut names: HashMap<&[u8], u32> = HashMap::new();
        let files = || self.0.values().filter(|inode| !inode.kind.is_dir());
        files().for_each(|inode| *names.entry(&inode.identity).or_default() += 1);
        let mut lines: Vec<_> = files()
            .filter_map(|inode| Some((inode, inode.links?, *names.get(inode.identity.as_slice())?)))
            .filter(|(_, links, names)| wrong(*links, *names))
            .map(|(inode, links, names)| {
                format!("{}: {names} names, {links} links", text::spell(&inode.identity))
            })
            .collect();
        lines.dedup();
        lines
    }

    /// The content of each regular file, with its path.
    pub fn contents(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let files = self.0.iter().filter(|(_, inode)| inode.kind == FileType::Regular);
        files.map(|(path, inode)| (path.as_slice(), inode.content.as_slice()))
    }

    /// How many names it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no name at all; even an empty root is one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Inode {
    fn against(&self, other: &Inode) -> String {
        let mut out = String::new();
        if self.attributes != other.attributes {
            let _ = write!(out, "{} <> {}; ", self.attributes, other.attributes);
        }
        if self.links != other.links {
            let count = |links: Option<u32>| links.map_or_else(|| "?".into(), |links| links.to_string());
            let _ = write!(out, "nlink {} <> {}; ", count(self.links), count(other.links));
        }
        if self.identity != other.identity {
            let _ = write!(out, "same inode as {} <> ", text::spell(&self.identity));
            let _ = write!(out, "{}; ", text::spell(&other.identity));
        }
        if self.content != other.content {
            let cut = |bytes: &[u8]| text::quote(bytes.get(..80).unwrap_or(bytes));
            let _ = write!(out, "content {} <> {}; ", cut(&self.content), cut(&other.content));
        }
        if self.xattrs != other.xattrs {
            let _ = write!(out, "xattrs {:?} <> {:?}; ", self.xattrs, other.xattrs);
        }
        if self.room != other.room {
            let _ = write!(out, "size, blocks {:?} <> {:?}; ", self.room, other.room);
        }
        if self.times != other.times {
            let _ = write!(out, "mtime, ctime {:?} <> {:?}; ", self.times, other.times);
        }
        out
    }
}

struct Walk {
    tree: Tree,
    first: HashMap<(u64, u64), Vec<u8>>,
    times: Times,
}

impl Walk {
    fn enter(&mut self, path: &[u8], attr: &Attr, content: Vec<u8>, xattrs: Vec<(Vec<u8>, Vec<u8>)>) {
        let identity = self.first.entry((attr.dev, attr.ino)).or_insert_with(|| path.to_vec()).clone();
        let (kind, mode) = (kind_word(attr.kind), attr.mode.raw());
        let mut attributes = format!("{kind} {mode:o} {}:{}", attr.uid, attr.gid);
        match attr.kind {
            FileType::Directory => {}
            FileType::CharDevice | FileType::BlockDevice => {
                let _ = write!(attributes, " {}:{}", rdev_major(attr.rdev), rdev_minor(attr.rdev));
            }
            _ => {
                let _ = write!(attributes, " size={}", attr.size);
            }
        }
        let times = (self.times == Times::Kept).then_some((attr.mtime, attr.ctime));
        let room = (self.times == Times::Kept).then_some((attr.size, attr.blocks));
        let (kind, links) = (attr.kind, Some(attr.nlink));
        let inode = Inode { kind, attributes, links, identity, content, xattrs, times, room };
        self.tree.0.insert(path.to_vec(), inode);
    }

    fn directory(&mut self, subject: &mut dyn Subject, dir: Handle, prefix: &[u8]) -> Result<()> {
        // A directory that was removed but is still mounted somewhere can't be listed any more.
        let mut entries = match list(subject, dir) {
            Err(Errno::NOENT) => Vec::new(),
            listed => listed?,
        };
        entries.retain(|entry| entry.name != b"." && entry.name != b"..");
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            let path = [prefix, b"/", &entry.name].concat();
            let at = At::dir(dir, &entry.name);
            let attr = subject.fstatat(at, Follow::No)?;
            let (content, xattrs) = content(subject, at, &attr)?;
            self.enter(&path, &attr, content, xattrs);
            if attr.kind == FileType::Directory {
                let below = subject.openat(at, OpenFlags::READ | OpenFlags::DIRECTORY, 0)?;
                let result = self.directory(subject, below, &path);
                subject.close(below)?;
                result?;
            }
        }
        Ok(())
    }
}

type Content = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

fn content(subject: &mut dyn Subject, at: At<'_>, attr: &Attr) -> Result<Content> {
    match attr.kind {
        FileType::Symlink => Ok((subject.readlinkat(at, 4096)?, Vec::new())),
        FileType::Regular | FileType::Directory => {
            let handle = subject.openat(at, OpenFlags::READ, 0)?;
            let result = open_content(subject, handle, attr);
            subject.close(handle)?;
            result
        }
        _ => Ok(Content::default()),
    }
}

fn open_content(subject: &mut dyn Subject, handle: Handle, attr: &Attr) -> Result<Content> {
    let mut bytes = Vec::new();
    if attr.kind == FileType::Regular {
        bytes = subject.pread(handle, SAMPLE, 0)?;
        if attr.size > SAMPLE as u64 {
            let tail = attr.size.saturating_sub(4096).min(i64::MAX as u64) as i64;
            bytes.extend(subject.pread(handle, 4096, tail)?);
        }
    }
    let mut xattrs = Vec::new();
    if subject.provides().contains(Needs::XATTR) {
        for name in subject.listxattr(Target::Open(handle))? {
            let value = subject.getxattr(Target::Open(handle), &name, 65536)?;
            xattrs.push((name, value));
        }
        xattrs.sort();
    }
    Ok((bytes, xattrs))
}
