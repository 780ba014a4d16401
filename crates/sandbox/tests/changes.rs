//! What was changed in a view, told as a user of `git status` expects it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use support::as_root;
use support::guest::Guest;
use support::steps::{DIRS, FILES, carry_out, place, step};
use tempfile::TempDir;
use vnode_core::fs::{Access, At, Filesystem as _, Inode, LinkTarget, NewInode, NewKind, Remove, Rename};
use vnode_core::io::{Sink, Source};
use vnode_core::{Cx, Errno, FileType, FilesystemRef, Mode, Name, Result};
use vnode_memory::Memory;
use vnode_sandbox::{Change, ChangeKind, Touched, View};

/// Everything there is: type, mode, content or target.
fn all(guest: &Guest<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![(String::new(), guest.0.root())];
    while let Some((path, inode)) = left.pop() {
        if !path.is_empty() {
            found.insert(path.clone(), what(guest.0, &inode));
        }
        if inode.kind().is_dir() {
            as_root(|cx| {
                let mut names = Vec::new();
                let mut stream = guest.0.open_dir(cx, &inode).unwrap();
                let list = stream.list(cx, 0, &mut |entry| {
                    names.push(entry.name.to_vec());
                    std::ops::ControlFlow::Continue(())
                });
                list.unwrap();
                for name in names {
                    let below = guest.0.lookup(cx, At { dir: &inode, name: Name::new(&name).unwrap() });
                    left.push((format!("{path}/{}", String::from_utf8_lossy(&name)), below.unwrap()));
                }
            });
        }
    }
    found
}

fn what(fs: &FilesystemRef, inode: &Arc<dyn Inode>) -> String {
    as_root(|cx| {
        let attr = fs.getattr(cx, inode).unwrap();
        let content = match attr.kind {
            FileType::Regular => {
                let mut bytes = vec![0; 1000];
                let file = fs.open(cx, inode, Access::READ).unwrap();
                let read = file.read_at(cx, 0, &mut Sink::from_slice(&mut bytes)).unwrap();
                String::from_utf8_lossy(&bytes[..read]).into_owned()
            }
            FileType::Symlink => match fs.readlink(cx, inode).unwrap() {
                LinkTarget::Text(text) => String::from_utf8_lossy(&text).into_owned(),
                LinkTarget::Jump(_) => panic!("a link that leads by no text"),
            },
            _ => String::new(),
        };
        format!("{:?} {:o} {content}", attr.kind, attr.mode.raw())
    })
}

fn changes(view: &View) -> Vec<Change> {
    as_root(|cx| view.changes(cx)).unwrap()
}

/// A line for each, as `git status --short`.
fn told(view: &View) -> Vec<String> {
    let line = |change: &Change| {
        let path = String::from_utf8_lossy(&change.path);
        let from = change.from.as_ref().map(|from| format!("{} -> ", String::from_utf8_lossy(from)));
        format!("{} {}{path}", change.kind.letter(), from.unwrap_or_default())
    };
    changes(view).iter().map(line).collect()
}

fn open(place: &Path, upper: Option<&Path>) -> View {
    let view = View::of(place);
    match upper {
        Some(upper) => view.changes_in(upper).open().unwrap(),
        None => view.open().unwrap(),
    }
}

#[test]
fn each_kind_of_change_is_told() {
    let place = place();
    let view = open(place.path(), None);
    let guest = Guest(&view.filesystem);
    assert_eq!(told(&view), [""; 0]);
    guest.write("a", "other").unwrap();
    guest.write("new", "new").unwrap();
    guest.remove("b", Remove::File).unwrap();
    guest.chmod("d/g", 0o600).unwrap();
    guest.remove("l", Remove::File).unwrap();
    guest.make("l", NewKind::Symlink(b"elsewhere")).unwrap();
    guest.remove("empty", Remove::Directory).unwrap();
    guest.make("empty", NewKind::Symlink(b"/etc")).unwrap();
    guest.make("e/dir", NewKind::Directory).unwrap();
    // Written as it was, and its name made anew: nothing of that is to be seen.
    guest.write("d/f", "d/f").unwrap();
    guest.remove("e/j", Remove::File).unwrap();
    guest.write("e/j", "e/j").unwrap();
    assert_eq!(told(&view), ["M /a", "D /b", "m /d/g", "A /e/dir", "T /empty", "M /l", "A /new"]);
    // Who looks has both sides at hand.
    let all = changes(&view);
    let of = |path: &[u8]| all.iter().find(|change| change.path == path).unwrap();
    let text = |found: &Option<vnode_sandbox::Found>| {
        let mut bytes = [0; 20];
        let read = as_root(|cx| found.as_ref().unwrap().read_at(cx, 0, &mut bytes)).unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    };
    assert_eq!((text(&of(b"/a").old), text(&of(b"/a").new)), ("a".to_owned(), "other".to_owned()));
    let target = as_root(|cx| of(b"/empty").new.as_ref().unwrap().target(cx)).unwrap();
    assert_eq!((&*target, of(b"/empty").old.as_ref().unwrap().kind()), (&b"/etc"[..], FileType::Directory));
}

#[test]
fn renames_are_told_with_where_from() {
    let place = place();
    let view = open(place.path(), None);
    let guest = Guest(&view.filesystem);
    guest.rename("a", "e/moved", Rename::Replace).unwrap();
    guest.rename("d", "x", Rename::Replace).unwrap();
    assert_eq!(told(&view), ["R /a -> /e/moved", "R /d -> /x"]);
    guest.write("x/f", "changed").unwrap();
    guest.remove("x/g", Remove::File).unwrap();
    guest.write("x/new", "new").unwrap();
    guest.rename("x/sub/deep", "deep", Rename::Replace).unwrap();
    guest.write("e/moved", "and changed").unwrap();
    assert_eq!(
        told(&view),
        ["D /d/g", "R /d/sub/deep -> /deep", "R /a -> /e/moved", "R /d -> /x", "M /d/f -> /x/f", "A /x/new",]
    );
    // Something new takes the place of what was renamed.
    guest.make("d", NewKind::Directory).unwrap();
    guest.write("d/f", "another").unwrap();
    let said = told(&view);
    assert!(said.contains(&"M /d/f".to_owned()) || said.contains(&"A /d/f".to_owned()), "{said:#?}");
}

#[test]
fn what_was_removed_is_told_whole() {
    let place = place();
    let view = open(place.path(), None);
    let guest = Guest(&view.filesystem);
    guest.rename("d/sub/h", "h", Rename::Replace).unwrap();
    for (path, what) in [
        ("d/sub/deep/i", Remove::File),
        ("d/sub/deep", Remove::Directory),
        ("d/sub", Remove::Directory),
        ("d/f", Remove::File),
        ("d/g", Remove::File),
        ("d", Remove::Directory),
    ] {
        guest.remove(path, what).unwrap();
    }
    assert_eq!(
        told(&view),
        ["D /d", "D /d/f", "D /d/g", "D /d/sub", "D /d/sub/deep", "D /d/sub/deep/i", "R /d/sub/h -> /h"]
    );
    guest.write("d", "a file now").unwrap();
    assert_eq!(told(&view)[0], "T /d");
    assert_eq!(told(&view).len(), 7);
}

#[test]
fn what_was_kept_is_told_by_the_next_run() {
    let (place, upper) = (place(), tempfile::tempdir().unwrap());
    let upper = upper.path().join("changes");
    let first = open(place.path(), Some(&upper));
    let guest = Guest(&first.filesystem);
    guest.write("a", "other").unwrap();
    guest.rename("d", "x", Rename::Replace).unwrap();
    guest.remove("x/sub/h", Remove::File).unwrap();
    let said = told(&first);
    assert_eq!(said, ["M /a", "D /d/sub/h", "R /d -> /x"]);
    drop(first);
    assert_eq!(told(&open(place.path(), Some(&upper))), said);
}

/// What the changes make of what was.
fn made_from(old: &BTreeMap<String, String>, changes: &[Change]) -> BTreeMap<String, String> {
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let is_in = |path: &str, dir: &str| {
        path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let renames: Vec<_> = changes.iter().filter(|change| change.kind == ChangeKind::Renamed).collect();
    let mut made = old.clone();
    // What was renamed or removed is taken away; what was renamed comes back under its name.
    for change in changes {
        match (change.kind, &change.from) {
            (ChangeKind::Removed, _) => drop(made.remove(&text(&change.path))),
            (ChangeKind::Renamed, Some(from)) => {
                let from = text(from);
                made.retain(|path, _| !is_in(path, &from));
            }
            _ => {}
        }
    }
    for change in &renames {
        let (from, to) = (text(change.from.as_ref().unwrap()), text(&change.path));
        let removed = |path: &str| {
            changes.iter().any(|change| change.kind == ChangeKind::Removed && text(&change.path) == path)
        };
        let elsewhere = |path: &str| {
            renames.iter().any(|other| {
                let other = text(other.from.as_ref().unwrap());
                other.len() > from.len() && is_in(path, &other)
            })
        };
        for (path, what) in old.iter().filter(|(path, _)| is_in(path, &from)) {
            if !removed(path) && !elsewhere(path) {
                made.insert(format!("{to}{}", &path[from.len()..]), what.clone());
            }
        }
    }
    for change in changes {
        if let Some(new) = &change.new {
            made.insert(text(&change.path), what(&new.filesystem, &new.inode));
        }
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// What is told, done to what was, comes to what is, and says no more than that.
    #[test]
    fn changes_are_all_that_was_changed(steps in prop::collection::vec(step(), 0..20)) {
        let lower = FilesystemRef::new::<Memory>(Memory::new());
        let below = Guest(&lower);
        for dir in DIRS {
            below.make(dir, NewKind::Directory).unwrap();
        }
        for file in FILES {
            below.write(file, file).unwrap();
        }
        below.make("l", NewKind::Symlink(b"a")).unwrap();
        let view = View::of_filesystem(lower.clone()).open().unwrap();
        let guest = Guest(&view.filesystem);
        let old = all(&guest);
        steps.iter().for_each(|step| carry_out(&guest, step));
        let now = all(&guest);
        let changes = changes(&view);
        let said = told(&view);
        prop_assert_eq!(made_from(&old, &changes), now.clone(), "{:#?}", said);
        for change in &changes {
            let path = String::from_utf8_lossy(&change.path).into_owned();
            // Where directories were moved, what is there now is not what was there.
            let moved = changes.iter().filter(|other| other.kind == ChangeKind::Renamed).any(|other| {
                change.path.starts_with(&other.path) || change.path.starts_with(other.from.as_ref().unwrap())
            });
            let same = now.get(&path) == old.get(&path) && !moved;
            prop_assert!(!same, "{:?} is told and is as it was", path);
        }
        if now == old {
            prop_assert!(changes.is_empty(), "{:#?}", said);
        }
    }
}

#[test]
fn odd_names_are_told_as_they_are() {
    let place = place();
    let odd = std::ffi::OsStr::from_bytes(b"new\nline \xff");
    fs::write(place.path().join(odd), "x").unwrap();
    let view = open(place.path(), None);
    as_root(|cx| {
        let dir = view.filesystem.root();
        view.filesystem.remove(cx, At { dir: &dir, name: Name::new(odd.as_bytes())? }, Remove::File)
    })
    .unwrap();
    let all = changes(&view);
    assert_eq!((all.len(), all[0].path.as_slice()), (1, &b"/new\nline \xff"[..]));
}

#[test]
fn what_was_renamed_tells_what_else_was_done() {
    let place = place();
    let view = open(place.path(), None);
    let guest = Guest(&view.filesystem);
    guest.rename("a", "moved", Rename::Replace).unwrap();
    guest.rename("b", "written", Rename::Replace).unwrap();
    guest.write("written", "other").unwrap();
    guest.write("d/f", "other").unwrap();
    guest.chmod("d/f", 0o600).unwrap();
    guest.make("new", NewKind::Regular).unwrap();
    let told = as_root(|cx| {
        let told = |change: &Change| Ok((change.has_other_content(cx)?, change.has_other_attributes(cx)?));
        changes(&view).iter().map(told).collect::<Result<Vec<_>>>()
    });
    // d/f, moved, new, written
    assert_eq!(told.unwrap(), [(true, true), (false, false), (false, false), (true, false)]);
}

#[test]
fn holes_are_not_read() {
    const HUGE: u64 = 1 << 40;
    let place = place();
    for name in ["holes", "end"] {
        fs::File::create(place.path().join(name)).unwrap().set_len(HUGE).unwrap();
    }
    let view = open(place.path(), None);
    let write = |name: &str, at: u64, text: &[u8]| {
        let open =
            |cx: &Cx<'_>| view.filesystem.open(cx, &Guest(&view.filesystem).node(cx, name)?, Access::WRITE);
        as_root(|cx| open(cx)?.write_at(cx, at, &mut Source::from_slice(text))).unwrap();
    };
    // Copied, and as it was; and other in its last byte.
    write("holes", HUGE / 2, b"\0");
    write("end", HUGE - 1, b"x");
    let start = std::time::Instant::now();
    assert_eq!(told(&view), ["M /end"]);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// A view with the directories that keep its changes, the latest last; those before it are only read.
struct Chain<'a> {
    place: &'a Path,
    kept: TempDir,
    layers: usize,
    view: Option<View>,
}

impl<'a> Chain<'a> {
    fn over(place: &'a Path) -> Self {
        let mut chain = Chain { place, kept: tempfile::tempdir().unwrap(), layers: 0, view: None };
        chain.open(1);
        chain
    }

    fn open(&mut self, layers: usize) {
        self.view = None;
        self.layers = layers;
        let at = |layer: usize| self.kept.path().join(layer.to_string());
        let view = (1..layers).rev().fold(View::of(self.place), |view, layer| view.frozen(at(layer)));
        self.view = Some(view.changes_in(at(layers)).open().unwrap());
    }

    fn view(&self) -> &View {
        self.view.as_ref().unwrap()
    }

    /// Everything there is, and of each how many names it has, and the first.
    fn all(&self) -> BTreeMap<String, String> {
        let guest = Guest(&self.view().filesystem);
        let mut all = all(&guest);
        let mut first: BTreeMap<u64, String> = BTreeMap::new();
        for (path, what) in &mut all {
            let attr = as_root(|cx| guest.0.getattr(cx, &guest.node(cx, path)?)).unwrap();
            let first = first.entry(attr.ino).or_insert_with(|| path.clone());
            what.push_str(&format!(" {} {first}", attr.nlink));
        }
        all
    }

    /// What was there of each path that was touched.
    fn touched(&self) -> BTreeMap<Vec<u8>, Touched> {
        let touched = as_root(|cx| self.view().touched(cx)).unwrap();
        touched.into_iter().map(|touched| (touched.path.clone(), touched)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    /// Nothing: what was changed is only read from there on.
    #[test]
    fn what_is_only_read_from_some_moment_on_is_told_as_before(
        steps in prop::collection::vec(prop_oneof![5 => step().prop_map(Some), 1 => Just(None)], 0..30),
        has_links in any::<bool>(),
    ) {
        let place = place();
        if has_links {
            fs::hard_link(place.path().join("a"), place.path().join("e/sub")).unwrap();
            fs::hard_link(place.path().join("a"), place.path().join("d/sub/x")).unwrap();
        }
        let (mut plain, mut chain) = (Chain::over(place.path()), Chain::over(place.path()));
        for step in &steps {
            if let Some(step) = step {
                carry_out(&Guest(&plain.view().filesystem), step);
                carry_out(&Guest(&chain.view().filesystem), step);
            } else {
                plain.open(1);
                chain.open(chain.layers + 1);
            }
        }
        prop_assert_eq!(chain.all(), plain.all());
        if has_links {
            // Told under those names by which each layer has them.
            return Ok(());
        }
        prop_assert_eq!(told(chain.view()), told(plain.view()));
        prop_assert_eq!(chain.touched(), plain.touched());
    }
}

#[test]
fn directories_without_end_are_not_told() {
    let view = View::of_filesystem(FilesystemRef::new::<Memory>(Memory::new())).open().unwrap();
    let name = "n".repeat(255);
    as_root(|cx| {
        let mut dir = view.filesystem.root();
        // Paths of 256 MiB and more, together.
        for _ in 0..1500 {
            let new = NewInode { kind: NewKind::Directory, mode: Mode::RWXU, uid: 0, gid: 0 };
            dir = view.filesystem.create(cx, At { dir: &dir, name: Name::new(name.as_bytes())? }, new)?;
        }
        assert_eq!(view.changes(cx).map(|changes| changes.len()), Err(Errno::NAMETOOLONG));
        Ok::<_, Errno>(())
    })
    .unwrap();
}
