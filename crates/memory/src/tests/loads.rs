//! Filling a filesystem from outside.

use std::borrow::Cow;
use std::io::{self, Read};

use vnode_core::fs::{Filesystem, Inode};
use vnode_core::{Errno, FileType, Mode, Timespec};

use super::Fixture;
use crate::{Data, Entry, EntryKind, LoadError, Memory, PathProblem};

fn entry<'a>(path: &'a str, kind: EntryKind<'a>) -> Entry<'a> {
    Entry {
        path: Cow::Borrowed(path.as_bytes()),
        kind,
        mode: Mode::from_raw(0o640),
        uid: 5,
        gid: 6,
        mtime: Timespec { sec: 77, nsec: 88 },
        xattrs: Vec::new(),
    }
}

fn file<'a>(path: &'a str, text: &'a str) -> Entry<'a> {
    entry(path, EntryKind::File(Data::Bytes(Cow::Borrowed(text.as_bytes()))))
}

fn link<'a>(path: &'a str, target: &'a str) -> Entry<'a> {
    entry(path, EntryKind::Symlink(Cow::Borrowed(target.as_bytes())))
}

fn hard<'a>(path: &'a str, target: &'a str) -> Entry<'a> {
    entry(path, EntryKind::HardLink(Cow::Borrowed(target.as_bytes())))
}

fn load<'a>(fx: &Fixture, entries: impl IntoIterator<Item = Entry<'a>>) -> Result<(), LoadError> {
    let result = fx.memory.load(entries.into_iter().map(Ok));
    fx.check(&[]);
    result
}

#[test]
fn entries_become_a_tree() {
    let fx = Fixture::default();
    let mut special = entry("a/dev", EntryKind::CharDevice(0x105));
    special.xattrs = vec![(b"security.x".to_vec(), b"y".to_vec())];
    load(
        &fx,
        [
            entry("./", EntryKind::Directory),
            file("a/b/file", "text"),
            hard("a/same", "./a/b/file"),
            link("a/link", "/nowhere/../x"),
            entry("a/fifo", EntryKind::Fifo),
            entry("a/socket", EntryKind::Socket),
            entry("a/disk", EntryKind::BlockDevice(9)),
            special,
            entry("./a//b/", EntryKind::Directory),
        ],
    )
    .unwrap();
    let root = fx.root();
    let a = fx.lookup(&root, "a").unwrap();
    let b = fx.lookup(&a, "b").unwrap();
    let made = fx.lookup(&b, "file").unwrap();
    assert_eq!(fx.read(&made, 0, 9), b"text");
    let attr = fx.attr(&made);
    assert_eq!((attr.mode.raw(), attr.uid, attr.gid, attr.nlink), (0o640, 5, 6, 2));
    assert_eq!((attr.mtime, attr.size), (Timespec { sec: 77, nsec: 88 }, 4));
    assert_eq!(fx.lookup(&a, "same").unwrap().ino(), made.ino());
    // A directory that was made on the way takes the attributes of its own entry, and its time stays.
    assert_eq!((fx.attr(&b).mode.raw(), fx.attr(&b).mtime.sec), (0o640, 77));
    assert_eq!((fx.attr(&root).mode.raw(), fx.attr(&root).mtime.sec), (0o640, 77));
    assert_eq!(
        (fx.attr(&a).mode.raw(), fx.attr(&a).uid),
        (0o755, 5),
        "made on the way, with the root's owner"
    );
    let dev = fx.lookup(&a, "dev").unwrap();
    assert_eq!((dev.kind(), fx.attr(&dev).rdev), (FileType::CharDevice, 0x105));
    assert_eq!(&*fx.memory.get_xattr(&fx.cx(), &dev, b"security.x").unwrap(), b"y");
    assert_eq!(fx.target(&fx.lookup(&a, "link").unwrap()), b"/nowhere/../x");
    assert_eq!(fx.attr(&a).nlink, 3);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let fx = Fixture::default();
    load(
        &fx,
        [
            file("f", "one"),
            hard("g", "f"),
            file("f", "two"),
            link("l", "f"),
            file("l", "no link any more"),
            entry("e", EntryKind::Directory),
            file("e", "no directory any more"),
            file("h", "file"),
            entry("h", EntryKind::Directory),
            file("h/in", "in"),
            hard("g", "g"),
        ],
    )
    .unwrap();
    let root = fx.root();
    let text = |name: &str| String::from_utf8(fx.read(&fx.lookup(&root, name).unwrap(), 0, 99)).unwrap();
    assert_eq!((text("f"), text("g"), text("l")), ("two".into(), "one".into(), "no link any more".into()));
    assert_eq!(text("e"), "no directory any more");
    assert_eq!(fx.attr(&fx.lookup(&root, "g").unwrap()).nlink, 1);
    assert_eq!(fx.attr(&root).nlink, 3);
    let full = load(&fx, [file("h", "x")]);
    assert!(matches!(full, Err(LoadError::Entry { errno: Errno::NOTEMPTY, .. })), "{full:?}");
}

#[test]
fn paths_that_can_not_be_are_told() {
    let long = "x".repeat(256);
    for (path, expected) in [
        ("", PathProblem::Empty),
        ("/etc/passwd", PathProblem::Absolute),
        ("a/../b", PathProblem::DotDot),
        ("..", PathProblem::DotDot),
        ("a\0b", PathProblem::Nul),
        (long.as_str(), PathProblem::TooLong),
        (".", PathProblem::Root),
        ("link/x", PathProblem::NotDirectory),
        ("file/x", PathProblem::NotDirectory),
    ] {
        let fx = Fixture::default();
        load(&fx, [link("link", "/"), file("file", "")]).unwrap();
        match load(&fx, [file(path, "x")]) {
            Err(LoadError::Path { path: told, problem }) => {
                assert_eq!((told, problem), (path.as_bytes().to_vec(), expected));
            }
            other => panic!("{path:?}: {other:?}"),
        }
        assert_eq!(fx.names(&fx.root()), ["file", "link"]);
    }
    let error = load(&Fixture::default(), [file("a/../b", "x")]).unwrap_err();
    assert_eq!(error.to_string(), "a/../b: the path has a `..`");
}

#[test]
fn links_need_something_to_link() {
    let problem = |entries: Vec<Entry<'_>>| load(&Fixture::default(), entries).unwrap_err().to_string();
    let missing = "h: it is a hard link to a path that no earlier entry made";
    assert_eq!(problem(vec![hard("h", "x")]), missing);
    assert_eq!(problem(vec![link("l", "f"), file("f", ""), hard("h", "l/x")]), missing);
    assert_eq!(problem(vec![hard("h", "../x")]), "h: the path has a `..`");
    let directory = vec![entry("d", EntryKind::Directory), hard("h", "d")];
    assert_eq!(problem(directory), "h: can't link to a directory: operation not permitted (EPERM)");
    assert_eq!(problem(vec![link("l", "")]), "l: can't link to such a target: invalid argument (EINVAL)");
}

/// Gives the bytes of a reader a few at a time, with interruptions, and then fails or ends.
struct Slow {
    left: usize,
    fails: bool,
    interrupt: bool,
}

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.left == 0 && self.fails {
            return Err(io::Error::other("the disk is gone"));
        }
        let count = buffer.len().min(1000).min(self.left);
        buffer[..count].fill(3);
        self.left -= count;
        Ok(count)
    }
}

#[test]
fn content_is_read_to_its_end() {
    let slow = |left, fails| EntryKind::File(Data::Reader(Box::new(Slow { left, fails, interrupt: false })));
    let fx = Fixture::default();
    load(&fx, [entry("f", slow(300_000, false))]).unwrap();
    let made = fx.lookup(&fx.root(), "f").unwrap();
    assert_eq!(fx.read(&made, 0, 400_000), [3; 300_000]);
    assert_eq!(fx.attr(&made).mtime.sec, 77);
    let error = load(&fx, [entry("g", slow(10, true))]).unwrap_err();
    assert_eq!(error.to_string(), "g: can't read the content: the disk is gone");
    assert_eq!(fx.names(&fx.root()), ["f"], "nothing half done under the name");
    let small = Fixture::new(Memory::builder().max_bytes(65536));
    let error = load(&small, [entry("g", slow(300_000, false))]).unwrap_err();
    assert_eq!(error.to_string(), "g: can't keep the content: no space left on device (ENOSPC)");
    assert_eq!(small.memory.usage().bytes, 0);
    let source = fx.memory.load([Err(io::Error::other("bad archive"))]).unwrap_err();
    assert_eq!(source.to_string(), "can't read the entries: bad archive");
}

#[test]
fn zeros_become_holes() {
    let fx = Fixture::new(Memory::builder().max_bytes(4 * 4096));
    let mut bytes = vec![0; 300_000];
    bytes[4096 * 20 + 5] = 1;
    bytes[299_999] = 2;
    let reader = || Data::Reader(Box::new(io::Cursor::new(bytes.clone())));
    let entries = [
        entry("read", EntryKind::File(reader())),
        entry("given", EntryKind::File(Data::Bytes(Cow::Borrowed(&bytes)))),
        entry("zeros", EntryKind::File(Data::Reader(Box::new(io::repeat(0).take(99_999))))),
    ];
    load(&fx, entries).unwrap();
    for name in ["read", "given"] {
        let file = fx.lookup(&fx.root(), name).unwrap();
        assert_eq!(fx.attr(&file).blocks, 16);
        assert_eq!(fx.read(&file, 0, 400_000), bytes);
    }
    let zeros = fx.lookup(&fx.root(), "zeros").unwrap();
    assert_eq!((fx.attr(&zeros).size, fx.attr(&zeros).blocks), (99_999, 0));
}

#[test]
fn inodes_run_out_in_loading_too() {
    let fx = Fixture::new(Memory::builder().max_inodes(3));
    let error = load(&fx, [file("a/f", ""), hard("a/g", "a/f")]).unwrap_err();
    assert_eq!(error.to_string(), "a/g: can't link it: no space left on device (ENOSPC)");
    assert_eq!(fx.attr(&fx.lookup(&fx.lookup(&fx.root(), "a").unwrap(), "f").unwrap()).nlink, 1);
}
