//! Symbolic links kept for a filesystem: what outlives the emulation, what a kill leaves, and many threads at once.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use support::On;
use vnode_adapt::{Fault, FaultControl, Faults, Keep, Op, OpSet, ReadOnly, SymlinkEmulation};
use vnode_core::fs::{
    Access, At, Caps, Filesystem, Inode, LinkTarget, NewInode, NewKind, Remove, Rename, SetXattr,
};
use vnode_core::io::{Sink, Source};
use vnode_core::{Attr, Errno, FileType, FilesystemRef, Mode, Name, Result, SetAttr, SetTime, Timespec};
use vnode_memory::Memory;

type Node = Arc<dyn Inode>;
type User = On<SymlinkEmulation>;

const FILE: &str = ".vnode-symlinks";
const WORK: &str = ".vnode-symlinks-work";

/// A process on links kept for `fs`.
fn over(fs: &FilesystemRef, keep: Keep) -> User {
    let within = On::<FilesystemRef>::new(fs.clone());
    On::new(SymlinkEmulation::new(&within.cx(), fs.clone(), keep).unwrap())
}

fn memory() -> FilesystemRef {
    FilesystemRef::new::<Memory>(Memory::new())
}

fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

/// What paths of one or two names stand for, and what is done there.
trait Paths {
    fn dir_of<'p>(&self, path: &'p str) -> (Node, &'p str);
    fn at(&self, path: &str) -> Result<Node>;
    fn symlink(&self, target: &str, path: &str) -> Result<Node>;
    fn mkdir(&self, path: &str) -> Result<Node>;
    fn file(&self, path: &str) -> Result<Node>;
    fn moves(&self, from: &str, to: &str, how: Rename) -> Result<()>;
    fn linked(&self, path: &str, new: &str) -> Result<()>;
    fn remove(&self, path: &str, what: Remove) -> Result<()>;
    fn reads(&self, path: &str) -> Result<String>;
    fn attr(&self, path: &str) -> Attr;
    fn names(&self, dir: &str) -> BTreeMap<String, FileType>;
    fn content(&self, path: &str) -> Vec<u8>;
    fn overwrite(&self, path: &str, bytes: &[u8]);
}

impl<F: Filesystem<Inode = dyn Inode>> Paths for On<F> {
    fn dir_of<'p>(&self, path: &'p str) -> (Node, &'p str) {
        match path.split_once('/') {
            Some((dir, name)) => (self.lookup(dir).unwrap(), name),
            None => (self.fs.root(), path),
        }
    }

    fn at(&self, path: &str) -> Result<Node> {
        let (dir, last) = self.dir_of(path);
        self.lookup_in(&dir, last)
    }

    fn symlink(&self, target: &str, path: &str) -> Result<Node> {
        let (dir, last) = self.dir_of(path);
        self.make_in(&dir, last, NewKind::Symlink(target.as_bytes()))
    }

    fn mkdir(&self, path: &str) -> Result<Node> {
        let (dir, last) = self.dir_of(path);
        self.make_in(&dir, last, NewKind::Directory)
    }

    fn file(&self, path: &str) -> Result<Node> {
        let (dir, last) = self.dir_of(path);
        self.make_in(&dir, last, NewKind::Regular)
    }

    fn moves(&self, from: &str, to: &str, how: Rename) -> Result<()> {
        let ((old, from), (new, to)) = (self.dir_of(from), self.dir_of(to));
        let from = At { dir: &old, name: name(from) };
        self.fs.rename(&self.cx(), from, At { dir: &new, name: name(to) }, how)
    }

    fn linked(&self, path: &str, new: &str) -> Result<()> {
        let (target, (dir, last)) = (self.at(path)?, self.dir_of(new));
        self.fs.link(&self.cx(), At { dir: &dir, name: name(last) }, &target)
    }

    fn remove(&self, path: &str, what: Remove) -> Result<()> {
        let (dir, last) = self.dir_of(path);
        self.fs.remove(&self.cx(), At { dir: &dir, name: name(last) }, what)
    }

    fn reads(&self, path: &str) -> Result<String> {
        match self.fs.readlink(&self.cx(), &self.at(path)?)? {
            LinkTarget::Text(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            LinkTarget::Jump(_) => unreachable!("no link of /proc"),
        }
    }

    fn attr(&self, path: &str) -> Attr {
        self.fs.getattr(&self.cx(), &self.at(path).unwrap()).unwrap()
    }

    fn names(&self, dir: &str) -> BTreeMap<String, FileType> {
        let dir = if dir.is_empty() { self.fs.root() } else { self.at(dir).unwrap() };
        let mut names = BTreeMap::new();
        let mut stream = self.fs.open_dir(&self.cx(), &dir).unwrap();
        stream
            .list(&self.cx(), 0, &mut |entry| {
                let name = String::from_utf8_lossy(entry.name).into_owned();
                assert_eq!(names.insert(name, entry.kind), None, "listed twice");
                ControlFlow::Continue(())
            })
            .unwrap();
        names
    }

    fn content(&self, path: &str) -> Vec<u8> {
        let node = self.at(path).unwrap();
        let size = self.fs.getattr(&self.cx(), &node).unwrap().size;
        let mut bytes = vec![0; size as usize];
        let file = self.fs.open(&self.cx(), &node, Access::READ).unwrap();
        assert_eq!(file.read_at(&self.cx(), 0, &mut Sink::from_slice(&mut bytes)).unwrap(), bytes.len());
        bytes
    }

    fn overwrite(&self, path: &str, bytes: &[u8]) {
        let node = self.at(path).unwrap();
        let file = self.fs.open(&self.cx(), &node, Access::READ | Access::WRITE).unwrap();
        file.set_len(&self.cx(), 0).unwrap();
        assert_eq!(file.write_at(&self.cx(), 0, &mut Source::from_slice(bytes)).unwrap(), bytes.len());
    }
}

#[test]
fn what_is_in_hidden_files_outlives_the_emulation() {
    let fs = memory();
    let first = over(&fs, Keep::HiddenFiles);
    first.mkdir("d").unwrap();
    first.mkdir("e").unwrap();
    let link = first.symlink("../x/./y//", "d/l").unwrap();
    first.linked("d/l", "d/again").unwrap();
    first.linked("d/l", "e/other").unwrap();
    first.symlink("/abs", "top").unwrap();
    let time = |sec| Some(SetTime::To(Timespec { sec, nsec: 7 }));
    let set = SetAttr { uid: Some(3), gid: Some(4), atime: time(-5), mtime: time(6), ..SetAttr::default() };
    first.fs.setattr(&first.cx(), &link, &set).unwrap();
    first.fs.set_xattr(&first.cx(), &link, b"trusted.x", b"value", SetXattr::Any).unwrap();
    first.rename("d", "moved", Rename::Replace).unwrap();
    let before: Vec<_> = ["moved/l", "moved/again", "e/other", "top"].iter().map(|p| first.attr(p)).collect();
    assert_eq!((before[0].nlink, before[0].uid, before[0].gid, before[3].nlink), (3, 3, 4, 1));
    let id = first.at("moved/l").unwrap().id();
    assert_eq!((first.at("e/other").unwrap().id(), first.at("moved/again").unwrap().id()), (id, id));
    drop((first, link));

    let second = over(&fs, Keep::HiddenFiles);
    // In another order than they were made, so that nothing but the files tells.
    assert_eq!(second.attr("e/other"), before[2]);
    let after: Vec<_> = ["moved/l", "moved/again", "e/other", "top"].iter().map(|p| second.attr(p)).collect();
    assert_eq!(after, before);
    assert_eq!(
        (second.reads("moved/l").unwrap().as_str(), second.reads("top").unwrap().as_str()),
        ("../x/./y//", "/abs")
    );
    let other = second.at("e/other").unwrap();
    assert_eq!(second.at("moved/again").unwrap().id(), other.id());
    let value = second.fs.get_xattr(&second.cx(), &other, b"trusted.x").unwrap();
    assert_eq!(&value[..], b"value");
    let links = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), FileType::Symlink)).collect();
    assert_eq!(second.names("moved"), links(&["again", "l"]));
    assert_eq!(second.names("e"), links(&["other"]));
    let root = second.fs.root();
    assert_eq!(second.fs.getattr(&second.cx(), &root).unwrap().nlink, 4, "the root and two directories");

    // A directory whose last link goes carries nothing, and can be removed by whom one likes.
    second.remove("moved/l", Remove::File).unwrap();
    second.remove("moved/again", Remove::File).unwrap();
    assert_eq!(second.attr("e/other").nlink, 1);
    drop((second, other));
    let raw = On::<FilesystemRef>::new(fs.clone());
    assert!(raw.names("moved").is_empty());
    raw.remove("moved", Remove::Directory).unwrap();
    assert_eq!(over(&fs, Keep::HiddenFiles).attr("e/other").nlink, 1);
}

#[test]
fn names_of_its_own_are_not_there_and_cannot_be_made() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    user.symlink("x", "l").unwrap();
    user.file("f").unwrap();
    for reserved in [FILE, WORK, ".VNODE-symlinks"] {
        assert_eq!(user.at(reserved).err(), Some(Errno::NOENT));
        assert_eq!(user.file(reserved).err(), Some(Errno::INVAL));
        assert_eq!(user.symlink("x", reserved).err(), Some(Errno::INVAL));
        assert_eq!(user.mkdir(reserved).err(), Some(Errno::INVAL));
        assert_eq!(user.open_new(reserved).err(), Some(Errno::INVAL));
        assert_eq!(user.linked("f", reserved), Err(Errno::INVAL));
        assert_eq!(user.linked("l", reserved), Err(Errno::INVAL));
        assert_eq!(user.remove(reserved, Remove::File), Err(Errno::NOENT));
        assert_eq!(user.remove(reserved, Remove::Directory), Err(Errno::NOENT));
        assert_eq!(user.rename(reserved, "g", Rename::Replace), Err(Errno::NOENT));
        assert_eq!(user.rename("f", reserved, Rename::Replace), Err(Errno::INVAL));
        assert_eq!(user.rename("l", reserved, Rename::Replace), Err(Errno::INVAL));
        assert_eq!(user.rename("l", reserved, Rename::Exchange), Err(Errno::NOENT));
    }
    assert_eq!(user.names("").into_keys().collect::<Vec<_>>(), ["f", "l"]);
    // Kept in memory, no name is special.
    let free = over(&memory(), Keep::InMemory);
    free.file(FILE).unwrap();
    assert_eq!(free.names("").into_keys().collect::<Vec<_>>(), [FILE]);
}

#[test]
fn only_what_says_that_it_has_no_links_is_given_some() {
    for (errno, needed) in [
        (Errno::PERM, Ok(true)),
        (Errno::OPNOTSUPP, Ok(true)),
        (Errno::NOSYS, Ok(true)),
        (Errno::ROFS, Ok(true)),
        (Errno::NOSPC, Err(Errno::NOSPC)),
        (Errno::ACCES, Err(Errno::ACCES)),
        (Errno::IO, Err(Errno::IO)),
    ] {
        let control = FaultControl::default();
        let fs = FilesystemRef::new::<Faults<_>>(Faults::controlled_by(memory(), &control));
        control.arm(Fault::fail(errno).on(Op::Create));
        let within = On::<FilesystemRef>::new(fs.clone());
        assert_eq!(SymlinkEmulation::needed(&within.cx(), &fs), needed, "{errno}");
        assert!(within.names("").is_empty());
    }
    // What has links stays what it is.
    let fs = memory();
    let within = On::<FilesystemRef>::new(fs.clone());
    assert!(SymlinkEmulation::over(&within.cx(), fs.clone(), Keep::InMemory).unwrap().is(&fs));
    assert!(within.names("").is_empty());
}

#[test]
fn a_read_only_filesystem_has_the_links_that_it_holds() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    user.mkdir("d").unwrap();
    user.symlink("target", "d/l").unwrap();
    drop(user);
    let frozen = FilesystemRef::new::<ReadOnly<_>>(ReadOnly::new(fs));
    let within = On::<FilesystemRef>::new(frozen.clone());
    assert_eq!(SymlinkEmulation::needed(&within.cx(), &frozen), Ok(true));
    let user = over(&frozen, Keep::HiddenFiles);
    assert_eq!(user.reads("d/l").unwrap(), "target");
    assert_eq!(user.symlink("x", "d/m").err(), Some(Errno::ROFS));
    assert_eq!(user.symlink("x", "m").err(), Some(Errno::ROFS));
    assert_eq!(user.remove("d/l", Remove::File), Err(Errno::ROFS));
    assert_eq!(user.moves("d/l", "m", Rename::Replace), Err(Errno::ROFS));
    assert_eq!(user.names("d").len(), 1);
}

#[test]
fn a_damaged_file_is_an_error_of_its_directory_alone() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    for dir in ["d", "e"] {
        user.mkdir(dir).unwrap();
        user.symlink("one", &format!("{dir}/l")).unwrap();
        user.symlink("two", &format!("{dir}/m")).unwrap();
        user.file(&format!("{dir}/f")).unwrap();
    }
    drop(user);
    let raw = On::<FilesystemRef>::new(fs.clone());
    let whole = raw.content("d/.vnode-symlinks");
    // Bytes in the middle that are others.
    let mut damaged = whole.clone();
    damaged[40] ^= 1;
    for bytes in [&damaged[..], b"something else", b"\xff"] {
        raw.overwrite("d/.vnode-symlinks", bytes);
        let user = over(&fs, Keep::HiddenFiles);
        assert_eq!(user.at("d/l").err(), Some(Errno::IO));
        assert_eq!(user.symlink("x", "d/new").err(), Some(Errno::IO));
        assert!(user.at("d/f").is_ok(), "what is real is there");
        assert_eq!(user.reads("e/l").unwrap(), "one");
        assert_eq!(raw.content("d/.vnode-symlinks"), bytes, "and nothing was made worse");
    }
    // A directory in its place, and one that is too large.
    raw.remove("d/.vnode-symlinks", Remove::File).unwrap();
    raw.mkdir("d/.vnode-symlinks").unwrap();
    assert_eq!(over(&fs, Keep::HiddenFiles).at("d/l").err(), Some(Errno::IO));
    raw.remove("d/.vnode-symlinks", Remove::Directory).unwrap();
    let node = raw.file("d/.vnode-symlinks").unwrap();
    raw.fs.setattr(&raw.cx(), &node, &SetAttr { size: Some(1 << 40), ..SetAttr::default() }).unwrap();
    assert_eq!(over(&fs, Keep::HiddenFiles).at("d/l").err(), Some(Errno::IO));
    // What was cut off in the middle of its last record has the records before.
    for len in 0..whole.len() {
        raw.overwrite("d/.vnode-symlinks", &whole[..len]);
        let user = over(&fs, Keep::HiddenFiles);
        let links: Vec<_> = ["d/l", "d/m"].into_iter().map(|path| user.reads(path).is_ok()).collect();
        assert!(links == [true, false] || links == [false, false], "{len}: {links:?}");
        // And takes more.
        user.symlink("more", "d/n").unwrap();
        drop(user);
        assert_eq!(over(&fs, Keep::HiddenFiles).reads("d/n").unwrap(), "more", "{len}");
    }
}

#[test]
fn a_file_does_not_grow_with_what_is_no_longer_so() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    user.mkdir("d").unwrap();
    let link = user.symlink("target", "d/l").unwrap();
    for number in 0..2000 {
        user.fs.setattr(&user.cx(), &link, &SetAttr { uid: Some(number), ..SetAttr::default() }).unwrap();
    }
    for number in 0..1000 {
        user.symlink("other", &format!("d/{number}")).unwrap();
        user.remove(&format!("d/{number}"), Remove::File).unwrap();
    }
    let raw = On::<FilesystemRef>::new(fs.clone());
    let size = raw.attr("d/.vnode-symlinks").size;
    assert!(size < 20_000, "{size} bytes");
    assert!(raw.names(WORK).is_empty(), "nothing is left of what was written");
    drop((user, link));
    assert_eq!(over(&fs, Keep::HiddenFiles).attr("d/l").uid, 1999);
}

#[test]
fn more_directories_than_are_kept_in_mind() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    let held = user.symlink("held", "top").unwrap();
    for number in 0..3000 {
        let dir = user.mkdir(&format!("d{number}")).unwrap();
        user.make_in(&dir, "l", NewKind::Symlink(format!("target {number}").as_bytes())).unwrap();
        if number % 100 == 0 {
            user.fs.link(&user.cx(), At { dir: &dir, name: name("held") }, &held).unwrap();
        }
    }
    for number in 0..3000 {
        assert_eq!(user.reads(&format!("d{number}/l")).unwrap(), format!("target {number}"));
        if number % 100 == 0 {
            assert_eq!(user.at(&format!("d{number}/held")).unwrap().id(), held.id());
        }
    }
    assert_eq!(user.attr("top").nlink, 31);
}

#[test]
fn links_with_names_in_many_directories_are_forgotten_and_known_again() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    user.symlink("shared", "top").unwrap();
    for number in 0..1500 {
        user.mkdir(&format!("d{number}")).unwrap();
        user.symlink("own", &format!("d{number}/own")).unwrap();
    }
    for number in 0..40 {
        user.linked("top", &format!("d{number}/shared")).unwrap();
    }
    // So many others were looked at since that these are forgotten.
    for number in 100..1500 {
        assert_eq!(user.reads(&format!("d{number}/own")).unwrap(), "own");
    }
    let top = user.at("top").unwrap().id();
    for number in 0..40 {
        assert_eq!(user.at(&format!("d{number}/shared")).unwrap().id(), top);
    }
    assert_eq!(user.attr("top").nlink, 41);
    user.remove("top", Remove::File).unwrap();
    assert_eq!(user.attr("d7/shared").nlink, 40);
}

#[test]
fn links_that_leave_for_many_directories_before_anything_is_synced() {
    let fs = memory();
    let user = over(&fs, Keep::HiddenFiles);
    let from = user.mkdir("from").unwrap();
    for number in 0..200 {
        user.mkdir(&format!("d{number}")).unwrap();
        user.symlink("target", &format!("from/l{number}")).unwrap();
        user.moves(&format!("from/l{number}"), &format!("d{number}/l"), Rename::Replace).unwrap();
        user.moves(&format!("d{number}/l"), "from/back", Rename::Replace).unwrap();
        user.moves("from/back", &format!("d{number}/l"), Rename::NoReplace).unwrap();
    }
    user.symlink("x", "from/left").unwrap();
    for number in 0..200 {
        user.moves("from/left", &format!("d{number}/left"), Rename::Replace).unwrap();
        user.symlink("x", "from/left").unwrap();
    }
    user.fs.sync(&user.cx(), &from, false).unwrap();
    drop(user);
    let user = over(&fs, Keep::HiddenFiles);
    assert_eq!(user.names("from").len(), 1);
    assert_eq!(user.reads("d123/l").unwrap(), "target");
    assert_eq!(user.reads("d0/left").unwrap(), "x");
}

/// A directory is listed entry by entry, and changed after each: what stays is listed once, and the listing ends.
fn check_listing(keep: Keep) {
    let user = over(&memory(), keep);
    let dir = user.mkdir("d").unwrap();
    for number in 0..150 {
        user.file(&format!("d/file{number}")).unwrap();
        user.symlink("x", &format!("d/link{number}")).unwrap();
    }
    let mut stream = user.fs.open_dir(&user.cx(), &dir).unwrap();
    let (mut cookie, mut seen) = (0, BTreeMap::new());
    for step in 0.. {
        let mut entry = None;
        let one = &mut |it: vnode_core::fs::DirEntry<'_>| {
            entry = Some((String::from_utf8_lossy(it.name).into_owned(), it.kind, it.next));
            ControlFlow::Break(())
        };
        stream.list(&user.cx(), cookie, one).unwrap();
        let Some((listed, kind, next)) = entry else { break };
        assert!(step < 400, "it doesn't end");
        assert_eq!(
            user.at(&format!("d/{listed}")).unwrap().kind(),
            kind,
            "{listed} is what it is said to be"
        );
        assert_eq!(seen.insert(listed.clone(), kind), None, "{listed} is listed twice");
        cookie = next;
        // One of each kind is made, some of what was listed goes, and some that was not changes its kind.
        user.symlink("new", &format!("d/newlink{step}")).unwrap();
        user.file(&format!("d/newfile{step}")).unwrap();
        match step % 3 {
            0 => user.remove(&format!("d/{listed}"), Remove::File).unwrap(),
            1 => user.moves(&format!("d/{listed}"), &format!("d/moved{step}"), Rename::NoReplace).unwrap(),
            _ => {}
        }
        let (link, file) = (format!("d/link{}", step % 150), format!("d/file{}", 149 - step % 150));
        if step % 5 == 0 && user.at(&link).is_ok() && user.at(&file).is_ok() {
            user.moves(&link, &file, Rename::Exchange).unwrap();
        }
    }
    for number in 0..150 {
        assert!(seen.contains_key(&format!("file{number}")), "file{number} was skipped");
        assert!(seen.contains_key(&format!("link{number}")), "link{number} was skipped");
    }
    assert_eq!(seen.len(), 300, "nothing that is new was listed");
    // From the start, all that is there now: what stayed, what moved, what was made.
    assert_eq!(user.names("d").len(), 300 - 100 + 600);
}

#[test]
fn a_listing_under_way_skips_and_repeats_nothing() {
    check_listing(Keep::InMemory);
    check_listing(Keep::HiddenFiles);
}

/// A link, by what it leads to, and the names under one of which it must be.
type Whereabouts = (&'static str, &'static [&'static str]);

/// Changes of links, and the names under one of which each is found whenever its process is killed.
const MOVES: &[(&str, &str, Rename, &[Whereabouts])] = &[
    ("d/one", "d/new", Rename::Replace, &[("one", &["d/one", "d/new"])]),
    ("d/one", "d/two", Rename::Replace, &[("one", &["d/one", "d/two"])]),
    ("d/one", "e/new", Rename::NoReplace, &[("one", &["d/one", "e/new"])]),
    ("d/one", "none/new", Rename::Replace, &[("one", &["d/one", "none/new"])]),
    ("e/only", "none/new", Rename::Replace, &[("only", &["e/only", "none/new"])]),
    ("e/only", "d/one", Rename::Replace, &[("only", &["e/only", "d/one"])]),
    ("d/one", "d/f", Rename::Replace, &[("one", &["d/one", "d/f"])]),
    ("d/one", "e/f", Rename::Replace, &[("one", &["d/one", "e/f"])]),
    ("e/only", "none/f", Rename::Replace, &[("only", &["e/only", "none/f"])]),
    ("d/one", "d/f", Rename::Exchange, &[("one", &["d/one", "d/f"])]),
    ("d/f", "e/only", Rename::Exchange, &[("only", &["e/only", "d/f"])]),
    ("e/only", "none/f", Rename::Exchange, &[("only", &["e/only", "none/f"])]),
    ("d/one", "d/two", Rename::Exchange, &[("one", &["d/one", "d/two"]), ("two", &["d/one", "d/two"])]),
    ("d/one", "e/only", Rename::Exchange, &[("one", &["d/one", "e/only"]), ("only", &["d/one", "e/only"])]),
    ("d/f", "d/one", Rename::Replace, &[("two", &["d/two"])]),
    ("d/f", "e/only", Rename::Replace, &[("two", &["d/two"])]),
];

#[test]
fn a_kill_loses_no_link_and_no_file() {
    for (from, to, how, links) in MOVES {
        let mut killed = 0;
        for nth in 1.. {
            let fs = memory();
            let control = FaultControl::default();
            let user = over(
                &FilesystemRef::new::<Faults<_>>(Faults::controlled_by(fs.clone(), &control)),
                Keep::HiddenFiles,
            );
            for dir in ["d", "e", "none"] {
                user.mkdir(dir).unwrap();
                user.file(&format!("{dir}/f")).unwrap();
            }
            for (target, path) in [("one", "d/one"), ("two", "d/two"), ("only", "e/only")] {
                user.symlink(target, path).unwrap();
            }
            // The paths are looked up before, so that the call itself is what comes to its end somewhere.
            let ((old, from_name), (new, to_name)) = (user.dir_of(from), user.dir_of(to));
            control.arm(Fault::fail(Errno::IO).nth(nth).every_time());
            let from_at = At { dir: &old, name: name(from_name) };
            let done = user.fs.rename(&user.cx(), from_at, At { dir: &new, name: name(to_name) }, *how);
            let fired = OpSet::ALL.iter().any(|op| control.fired_on(op) > 0);
            drop(user);
            control.disarm();

            let after = over(&fs, Keep::HiddenFiles);
            let raw = On::<FilesystemRef>::new(fs.clone());
            let what = format!("{from} to {to}, {how:?}, killed at call {nth}");
            for (target, paths) in *links {
                let mut paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
                paths.extend(
                    after
                        .names("e")
                        .into_keys()
                        .filter(|n| n.starts_with(".vnode-"))
                        .map(|n| format!("e/{n}")),
                );
                let found: Vec<_> = paths.iter().map(|path| after.reads(path)).collect();
                assert!(found.contains(&Ok((*target).to_owned())), "{what}: {target} is lost: {found:?}");
            }
            // A file is where it was or where it went; what is listed is there, and once.
            let files = |user: &User| {
                let all = ["d", "e", "none"]
                    .iter()
                    .flat_map(|dir| user.names(dir).into_values().collect::<Vec<_>>());
                all.filter(|kind| *kind == FileType::Regular).count()
            };
            let replaced = usize::from(*how == Rename::Replace && (to.ends_with("/f")));
            assert!((3 - replaced..=3).contains(&files(&after)), "{what}");
            for dir in ["d", "e", "none"] {
                for (entry, kind) in after.names(dir) {
                    assert_eq!(
                        after.at(&format!("{dir}/{entry}")).unwrap().kind(),
                        kind,
                        "{what}: {dir}/{entry}"
                    );
                }
            }
            assert!(raw.names(WORK).is_empty(), "{what}: swept when it is served again");
            // All can be removed again, directories too.
            for dir in ["d", "e", "none"] {
                for entry in after.names(dir).into_keys() {
                    after.remove(&format!("{dir}/{entry}"), Remove::File).unwrap();
                }
                after.remove(dir, Remove::Directory).unwrap();
            }
            if !fired {
                assert_eq!(done, Ok(()), "{what}");
                break;
            }
            killed += 1;
        }
        assert!(killed > 3, "{from} to {to}: killed {killed} times");
    }
}

/// A random number below `end`.
fn below(state: &mut u64, end: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % end as u64) as usize
}

/// Threads make, rename and remove links and files of the same few names in the same few directories.
fn check_threads(keep: Keep) {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let fs = memory();
    let user = over(&fs, keep);
    let dirs: Vec<_> = ["d", "e"].iter().map(|dir| user.mkdir(dir).unwrap()).collect();
    let ended = |errno: Errno| {
        matches!(
            errno,
            Errno::NOENT | Errno::EXIST | Errno::NOTDIR | Errno::ISDIR | Errno::NOTEMPTY | Errno::INVAL
        )
    };
    thread::scope(|scope| {
        for seed in 1..=4_u64 {
            let (user, dirs) = (&user, &dirs);
            scope.spawn(move || {
                let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                for _ in 0..1500 {
                    let mut any = || {
                        let (dir, last) = (below(&mut state, 2), below(&mut state, 3));
                        (&dirs[dir], name(NAMES[last]))
                    };
                    let ((dir, last), (to, other)) = (any(), any());
                    let (at, to) = (At { dir, name: last }, At { dir: to, name: other });
                    let made = |kind| NewInode { kind, mode: Mode::from_raw(0o755), uid: 0, gid: 0 };
                    let cx = user.cx();
                    let done = match below(&mut state, 10) {
                        0 => user.fs.create(&cx, at, made(NewKind::Regular)).map(drop),
                        1 => user.fs.create(&cx, at, made(NewKind::Directory)).map(drop),
                        2 | 3 => user.fs.create(&cx, at, made(NewKind::Symlink(b"target"))).map(drop),
                        4 => user.fs.remove(&cx, at, Remove::File),
                        5 => user.fs.remove(&cx, at, Remove::Directory),
                        6 | 7 => user.fs.rename(&cx, at, to, Rename::Replace),
                        8 => user.fs.rename(&cx, at, to, Rename::Exchange),
                        _ => user.fs.lookup(&cx, at).and_then(|node| match node.kind() {
                            FileType::Directory => Ok(()),
                            _ => user.fs.link(&cx, to, &node),
                        }),
                    };
                    if let Err(errno) = done {
                        assert!(ended(errno), "{errno}");
                    }
                    // What is listed is listed once.
                    let mut seen = BTreeSet::new();
                    let mut stream = user.fs.open_dir(&cx, dir).unwrap();
                    stream
                        .list(&cx, 0, &mut |entry| {
                            assert!(seen.insert(entry.name.to_vec()), "listed twice");
                            ControlFlow::Continue(())
                        })
                        .unwrap();
                }
            });
        }
    });
    check_whole(&user, &fs, keep);
}

/// Every link has as many names as it says, and what was kept in files is there again.
fn check_whole(user: &User, fs: &FilesystemRef, keep: Keep) {
    let picture = |user: &User| {
        let mut names: BTreeMap<String, (u64, u32, FileType)> = BTreeMap::new();
        for dir in ["d", "e"] {
            for (entry, kind) in user.names(dir) {
                let path = format!("{dir}/{entry}");
                let attr = user.attr(&path);
                assert_eq!(attr.kind, kind);
                names.insert(path, (attr.ino, attr.nlink, kind));
            }
        }
        names
    };
    let before = picture(user);
    println!("{before:?}");
    for (ino, nlink, kind) in before.values() {
        if *kind != FileType::Directory {
            let names = before.values().filter(|(other, ..)| other == ino).count();
            assert_eq!(names as u32, *nlink, "{before:?}");
        }
    }
    if keep == Keep::HiddenFiles {
        assert_eq!(picture(&over(fs, keep)), before);
    }
    for path in before.keys() {
        let what = if user.at(path).unwrap().kind().is_dir() { Remove::Directory } else { Remove::File };
        user.remove(path, what).unwrap();
    }
    for dir in ["d", "e"] {
        user.remove(dir, Remove::Directory).unwrap();
    }
}

#[test]
fn threads_change_the_same_names_in_memory() {
    check_threads(Keep::InMemory);
}

#[test]
fn threads_change_the_same_names_in_hidden_files() {
    check_threads(Keep::HiddenFiles);
}

#[test]
fn links_have_what_the_filesystem_within_has() {
    let user = over(&memory(), Keep::InMemory);
    assert!(user.fs.caps().contains(Caps::SYMLINKS | Caps::HARDLINKS | Caps::XATTR));
    let (file, link) = (user.file("f").unwrap(), user.symlink("f", "l").unwrap());
    assert_ne!(file.id(), link.id());
    assert!(user.attr("l").ino > 1 << 54, "apart from the numbers of the filesystem within");
    assert_eq!(user.attr("l").mode, Mode::from_raw(0o777));
}
