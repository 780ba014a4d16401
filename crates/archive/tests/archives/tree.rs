//! What an archive or a directory of the host has, as lines to compare.

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::SeekFrom;
use vnode_archive::Archive;
use vnode_core::fs::{Access, File, SeekFor};
use vnode_core::io::Sink;
use vnode_core::{
    Caller, Clock, Credentials, Cx, FileType, FilesystemRef, Follow, Mode, Namespace, OpenFlags, OpenHow,
    OpenNode, Place, Policy, Timespec, VPath,
};

/// The unit in which a file of the host has data or holes.
pub(crate) const PAGE: u64 = 4096;

pub(crate) struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

/// An archive mounted at the root, and its user.
pub(crate) struct Mounted {
    namespace: Namespace,
    who: Credentials,
}

impl Mounted {
    pub(crate) fn new(archive: Archive) -> Self {
        Mounted::by(archive, Credentials::root())
    }

    pub(crate) fn by(archive: Archive, who: Credentials) -> Self {
        Mounted { namespace: Namespace::new(FilesystemRef::new::<Archive>(Arc::new(archive))), who }
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&Caller<'_>) -> T) -> T {
        let cx = Cx::new(&self.who, &Epoch);
        act(&Caller { ns: &self.namespace, cx: &cx, root: self.namespace.root(), policy: Policy::Posix })
    }

    pub(crate) fn open(&self, path: &str) -> vnode_core::Result<Arc<dyn File>> {
        self.with(|caller| open(caller, caller.root, VPath::new(path.as_bytes()).unwrap()))
    }

    pub(crate) fn read(&self, path: &str) -> vnode_core::Result<Vec<u8>> {
        let file = self.open(path)?;
        self.with(|caller| read(caller.cx, &*file))
    }

    /// Attributes, links not followed.
    pub(crate) fn attr(&self, path: &str) -> vnode_core::Result<vnode_core::Attr> {
        self.with(|caller| {
            let path = VPath::new(path.as_bytes()).unwrap();
            caller.resolve(caller.root, path, Follow::No)?.attr(caller.cx)
        })
    }

    /// All that it has.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.with(|caller| {
            let mut lines = Vec::new();
            describe(caller, caller.root, b".", b".".to_vec(), &mut HashMap::new(), &mut lines);
            lines
        })
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.lines().iter().map(|line| line.path.escape_ascii().to_string()).collect()
    }
}

fn open(caller: &Caller<'_>, dir: &Place, path: VPath<'_>) -> vnode_core::Result<Arc<dyn File>> {
    let how = OpenHow { access: Access::READ, flags: OpenFlags::empty(), mode: Mode::empty() };
    match caller.open(dir, path, &how)?.node {
        OpenNode::File(file) => Ok(file),
        _ => panic!("no file"),
    }
}

/// The content, read in pieces of an odd size.
pub(crate) fn read(cx: &Cx<'_>, file: &dyn File) -> vnode_core::Result<Vec<u8>> {
    let (mut whole, mut piece) = (Vec::new(), vec![1; 40_001]);
    loop {
        match file.read_at(cx, whole.len() as u64, &mut Sink::from_slice(&mut piece))? {
            0 => return Ok(whole),
            count => whole.extend_from_slice(&piece[..count]),
        }
    }
}

/// A name, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) path: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) nlink: u64,
    /// Of all but directories.
    pub(crate) size: u64,
    /// Of regular files.
    pub(crate) blocks: u64,
    pub(crate) mtime: (i64, u32),
    pub(crate) rdev: u64,
    /// Content, target, or the path that came before of the same inode.
    pub(crate) what: Vec<u8>,
    /// Starts and ends of data, to pages.
    pub(crate) data: Vec<(u64, u64)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

fn describe(
    caller: &Caller<'_>,
    dir: &Place,
    name: &[u8],
    path: Vec<u8>,
    seen: &mut HashMap<u64, Vec<u8>>,
    lines: &mut Vec<Line>,
) {
    let here = VPath::new(name).unwrap();
    let at = &caller.resolve(dir, here, Follow::No).unwrap();
    let attr = at.attr(caller.cx).unwrap();
    let (mut what, mut data) = (Vec::new(), Vec::new());
    match attr.kind {
        FileType::Directory => {}
        _ if seen.contains_key(&attr.ino) => what = [b"is ", &seen[&attr.ino][..]].concat(),
        FileType::Symlink => what = caller.readlink(dir, here).unwrap().to_vec(),
        FileType::Regular => {
            let file = open(caller, dir, here).unwrap();
            what = read(caller.cx, &*file).unwrap();
            data = ranges(attr.size, |from, what| file.seek_data_or_hole(caller.cx, what, from).ok());
        }
        _ => {}
    }
    seen.entry(attr.ino).or_insert_with(|| path.clone());
    let mut xattrs = Vec::new();
    caller.list_xattr_place(at, &mut |name| xattrs.push((name.to_vec(), Vec::new()))).unwrap();
    for (name, value) in &mut xattrs {
        *value = caller.get_xattr_place(at, name).unwrap().to_vec();
    }
    xattrs.sort();
    lines.push(Line {
        path: path.clone(),
        mode: attr.st_mode(),
        owner: (attr.uid, attr.gid),
        nlink: attr.nlink.into(),
        size: if attr.kind.is_dir() { 0 } else { attr.size },
        blocks: if attr.kind == FileType::Regular { attr.blocks } else { 0 },
        mtime: (attr.mtime.sec, attr.mtime.nsec),
        rdev: attr.rdev.into(),
        what,
        data,
        xattrs,
    });
    if attr.kind.is_dir() {
        let mut names = Vec::new();
        let list = &mut |entry: vnode_core::fs::DirEntry<'_>| {
            names.push(entry.name.to_vec());
            ControlFlow::Continue(())
        };
        caller.list(at).unwrap().list(caller, 0, list).unwrap();
        let own = names.iter().filter(|name| !matches!(&name[..], b"." | b".."));
        assert!(own.clone().is_sorted(), "{names:?}");
        for name in own {
            let path = [&path[..], b"/", name].concat();
            describe(caller, at, name, path, seen, lines);
        }
    }
}

/// Where a file has data, to pages: each start and end, with what lies next to each other as one.
fn ranges(size: u64, seek: impl Fn(u64, SeekFor) -> Option<u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while let Some(start) = seek(at, SeekFor::Data) {
        let end = seek(start, SeekFor::Hole).unwrap();
        assert!(start >= at && end > start && end <= size);
        let (from, to) = (start / PAGE * PAGE, end.next_multiple_of(PAGE));
        match ranges.last_mut() {
            Some((_, last)) if *last >= from => *last = to,
            _ => ranges.push((from, to)),
        }
        at = end;
    }
    ranges
}

/// The same lines of a directory of the host.
pub(crate) fn of_host(root: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    describe_host(root, b".".to_vec(), &mut HashMap::new(), &mut lines);
    lines
}

fn describe_host(at: &Path, path: Vec<u8>, seen: &mut HashMap<u64, Vec<u8>>, lines: &mut Vec<Line>) {
    let metadata = fs::symlink_metadata(at).unwrap();
    let kind = metadata.file_type();
    let (mut what, mut data) = (Vec::new(), Vec::new());
    if kind.is_dir() {
    } else if let Some(first) = seen.get(&metadata.ino()) {
        what = [b"is ", &first[..]].concat();
    } else if kind.is_symlink() {
        what = fs::read_link(at).unwrap().as_os_str().as_bytes().to_vec();
    } else if kind.is_file() {
        what = fs::read(at).unwrap();
        let file = fs::File::open(at).unwrap();
        data = ranges(metadata.size(), |from, what| {
            let to = match what {
                SeekFor::Data => SeekFrom::Data(from),
                SeekFor::Hole => SeekFrom::Hole(from),
            };
            rustix::fs::seek(&file, to).ok()
        });
    } else {
        assert!(kind.is_fifo() || kind.is_char_device() || kind.is_block_device());
    }
    seen.entry(metadata.ino()).or_insert_with(|| path.clone());
    lines.push(Line {
        path: path.clone(),
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        nlink: metadata.nlink(),
        size: if kind.is_dir() { 0 } else { metadata.size() },
        blocks: if kind.is_file() { metadata.blocks() } else { 0 },
        mtime: (metadata.mtime(), u32::try_from(metadata.mtime_nsec()).unwrap()),
        rdev: metadata.rdev(),
        what,
        data,
        xattrs: xattrs(at),
    });
    if kind.is_dir() {
        let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let path = [&path[..], b"/", name.as_bytes()].concat();
            describe_host(&at.join(&name), path, seen, lines);
        }
    }
}

fn xattrs(at: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::llistxattr(at, &mut names[..]).unwrap_or(0);
    names.truncate(len);
    let user = names.split(|&byte| byte == 0).filter(|name| name.starts_with(b"user."));
    let mut xattrs: Vec<_> = user
        .map(|name| {
            let mut value = vec![0; 4096];
            let len = rustix::fs::lgetxattr(at, name, &mut value[..]).unwrap();
            value.truncate(len);
            (name.to_vec(), value)
        })
        .collect();
    xattrs.sort();
    xattrs
}
