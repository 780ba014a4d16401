//! Changes of everything that changes can be, to be applied to copies of what they are of.

#![allow(dead_code, reason = "each test uses some of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use vnode_adapt::Crash;
use vnode_core::fs::{Access, Filesystem as _, NewKind, Remove, Rename, SeekFor};
use vnode_core::{Errno, FileType, FilesystemRef, Result};
use vnode_memory::Memory;
use vnode_sandbox::{Applied, ApplyError, ApplyOptions, Change, ChangeKind, Owner, View, recover_on};

use super::as_root;
use super::guest::Guest;
use super::host::Step;
use super::random::Random;
use super::tree::{Tree, paths, tree};

/// Where an apply prepares what it does.
pub(crate) const STAGING: &[u8] = b"/.vnode-apply";

/// By path: the time of the last change, and where the data of a file is.
type Details = BTreeMap<Vec<u8>, String>;

/// Changes, and what they are of.
pub(crate) struct Scene {
    pub(crate) bottom: FilesystemRef,
    pub(crate) view: View,
    pub(crate) changes: Vec<Change>,
    pub(crate) before: Tree,
    pub(crate) after: Tree,
    details_before: Details,
    details_after: Details,
    /// Directories that are renamed, from where to where.
    moved: Vec<(Vec<u8>, Vec<u8>)>,
    /// How often an owner was told that all is in its place.
    told: AtomicU64,
}

impl Scene {
    pub(crate) fn of(bottom: FilesystemRef, change: impl FnOnce(&Guest<'_>)) -> Self {
        let view = View::of_filesystem(bottom.clone()).open().unwrap();
        change(&Guest(&view.filesystem));
        let changes = as_root(|cx| view.changes(cx)).unwrap();
        let (before, after) = (tree(&bottom), tree(&view.filesystem));
        let renamed = changes.iter().filter(|change| {
            let is_dir = change.new.as_ref().is_some_and(|new| new.kind().is_dir());
            change.kind == ChangeKind::Renamed && is_dir
        });
        let moved = renamed.filter_map(|change| Some((change.from.clone()?, change.path.clone()))).collect();
        let details_before = details(&bottom);
        let details_after = Details::new();
        let told = AtomicU64::new(0);
        let mut scene =
            Scene { bottom, view, changes, before, after, details_before, details_after, moved, told };
        let target = scene.target();
        scene.apply(&target).unwrap();
        assert_eq!(tree(&target), scene.after);
        scene.details_after = details(&target);
        scene
    }

    /// What the changes are of, once more, times and holes too.
    pub(crate) fn target(&self) -> FilesystemRef {
        as_root(|cx| {
            let copy = FilesystemRef::new::<Memory>(Memory::new());
            Crash::new(cx, self.bottom.clone()).unwrap().recovered().write_into(cx, &copy).unwrap();
            copy
        })
    }

    fn with_owner<T>(&self, call: impl FnOnce(&ApplyOptions<'_>) -> T) -> T {
        let settled = |applied: &Applied| {
            assert_eq!(applied.owner.as_ref().map(|owner| owner.generation), Some(7));
            self.told.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let owner = Owner { directory: "/".into(), id: "scene".to_owned(), generation: 7 };
        call(&ApplyOptions { owner: Some(owner), settled: Some(&settled), ..ApplyOptions::default() })
    }

    pub(crate) fn apply(&self, target: &FilesystemRef) -> std::result::Result<Applied, ApplyError> {
        self.with_owner(|options| as_root(|cx| self.view.apply_to(cx, target, &self.changes, options)))
    }

    pub(crate) fn recover(&self, target: &FilesystemRef) -> std::result::Result<Option<Applied>, ApplyError> {
        self.with_owner(|options| as_root(|cx| recover_on(cx, target, options)))
    }

    /// How often an owner was told since the last time.
    pub(crate) fn told(&self) -> u64 {
        self.told.swap(0, Ordering::Relaxed)
    }

    /// All is as it was, and nothing is left over.
    pub(crate) fn assert_nothing_changed(&self, left: &FilesystemRef, context: &str) {
        assert_eq!(tree(left), self.before, "{context}");
        assert_eq!(details(left), self.details_before, "{context}");
    }

    /// All is as if nothing had gone wrong.
    pub(crate) fn assert_done(&self, left: &FilesystemRef, context: &str) {
        assert_eq!(tree(left), self.after, "{context}");
        assert_eq!(details(left), self.details_after, "{context}");
    }

    /// What was left is completed, by `recover` or by applying again.
    pub(crate) fn complete(&self, left: &FilesystemRef, again: bool, context: &str) {
        let mut outside = tree(left);
        outside.retain(|path, _| !path.starts_with(STAGING));
        let journal = [STAGING, b"/journal"].concat();
        let is_all_done = outside == self.after && !tree(left).contains_key(&journal);
        let mut begun = !again || is_all_done;
        if begun {
            begun = self.recover(left).unwrap_or_else(|error| panic!("{context}: {error}")).is_some();
        }
        if !begun && !is_all_done {
            if !again {
                self.assert_nothing_changed(left, context);
            }
            self.apply(left).unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        self.assert_done(left, context);
        assert!(self.told() > 0, "{context}: the owner was not told");
    }

    /// Every name has the old or the new, nothing else, and nothing is lost.
    pub(crate) fn check_moment(&self, left: &FilesystemRef, context: &str) {
        let now = tree(left);
        let content = |tree: &Tree, path: &[u8]| tree.get(path).map(|entry| entry.content.clone());
        for (path, entry) in now.iter().filter(|(path, _)| !path.starts_with(STAGING)) {
            let known = [
                content(&self.before, path),
                content(&self.after, path),
                content(&self.before, &self.origin(path)),
            ];
            assert!(
                known.contains(&Some(entry.content.clone())),
                "{context}: {} is {entry:?}, not {known:?}",
                path.escape_ascii()
            );
        }
        for path in self.before.keys().filter(|path| self.stays(path)) {
            assert!(now.contains_key(path), "{context}: {} is missing", path.escape_ascii());
        }
        let contents =
            |tree: &Tree| tree.values().map(|entry| entry.content.clone()).collect::<BTreeSet<_>>();
        let kept = contents(&now);
        for content in contents(&self.before).intersection(&contents(&self.after)) {
            assert!(kept.contains(content), "{context}: {content} is lost");
        }
        let journal = [STAGING, b"/journal"].concat();
        if now.contains_key(STAGING) && !now.contains_key(&journal) && !now.contains_key(&marked()) {
            let mut outside = now;
            outside.retain(|path, _| !path.starts_with(STAGING));
            let is_old = outside == self.before;
            assert!(is_old || outside == self.after, "{context}: changed, and nothing written down");
        }
    }

    /// Where what is at a path of the end was.
    fn origin(&self, path: &[u8]) -> Vec<u8> {
        let above = self.moved.iter().filter(|(_, to)| path == to || path.starts_with(&with_slash(to)));
        match above.max_by_key(|(_, to)| to.len()) {
            Some((from, to)) => [from, &path[to.len()..]].concat(),
            None => path.to_vec(),
        }
    }

    /// Whether a name stands for something at every moment.
    fn stays(&self, path: &[u8]) -> bool {
        let (Some(before), Some(after)) = (self.before.get(path), self.after.get(path)) else { return false };
        let is_dir = |tree: &Tree, path: &[u8]| tree.get(path).is_some_and(|it| it.content == "Directory");
        if (before.content == "Directory") != (after.content == "Directory") {
            return false;
        }
        !self.changes.iter().any(|change| {
            let mut names = [Some(&change.path), change.from.as_ref()].into_iter().flatten();
            let concerns = names.any(|name| path == name || path.starts_with(&with_slash(name)));
            let moves = match change.kind {
                ChangeKind::Renamed | ChangeKind::Removed => true,
                ChangeKind::TypeChanged | ChangeKind::Modified => {
                    is_dir(&self.before, &change.path) || is_dir(&self.after, &change.path)
                }
                _ => false,
            };
            concerns && moves
        })
    }
}

/// A mark that is removed after the journal.
fn marked() -> Vec<u8> {
    [STAGING, b"/placed"].concat()
}

fn with_slash(path: &[u8]) -> Vec<u8> {
    [path, b"/"].concat()
}

/// What else is to be the same in the end, but of what staging is in.
fn details(fs: &FilesystemRef) -> Details {
    let guest = Guest(fs);
    let of = |path: &[u8]| {
        as_root(|cx| {
            let inode = guest.node(cx, path)?;
            let attr = fs.getattr(cx, &inode)?;
            let mut data = Vec::new();
            if attr.kind == FileType::Regular {
                let file = fs.open(cx, &inode, Access::READ)?;
                let mut at = 0;
                while let Ok(start) = file.seek_data_or_hole(cx, SeekFor::Data, at) {
                    at = file.seek_data_or_hole(cx, SeekFor::Hole, start)?;
                    data.push((start, at));
                }
            }
            let nlink = attr.nlink;
            Ok::<_, Errno>(format!("{}.{} {nlink} {data:?}", attr.mtime.sec, attr.mtime.nsec))
        })
        .unwrap()
    };
    paths(fs).into_iter().map(|path| (path.clone(), of(&path))).collect()
}

fn base() -> FilesystemRef {
    let fs = FilesystemRef::new::<Memory>(Memory::new());
    let guest = Guest(&fs);
    let make = || -> Result<()> {
        for dir in ["d", "d/sub", "d/sub/deep", "e", "g", "g/h", "gone", "gone/sub", "empty", "one", "two"] {
            guest.make(dir, NewKind::Directory)?;
        }
        for file in [
            "a",
            "b",
            "d/f",
            "d/g",
            "d/sub/h",
            "d/sub/deep/i",
            "e/j",
            "g/h/k",
            "gone/l",
            "gone/sub/m",
            "one/1",
            "two/2",
            "stays",
        ] {
            guest.write(file, format!("old {file}"))?;
        }
        guest.make("three", NewKind::Directory)?;
        guest.write_at("three/3", 300_000, "old three")?;
        guest.write("linked", "old linked")?;
        guest.link("linked", "e/linked")?;
        guest.link("linked", "d/linked")?;
        guest.write("pair", "old pair")?;
        guest.link("pair", "e/pair")?;
        guest.set_xattr("d/g", b"user.told", b"before")?;
        guest.chmod("e/j", 0o400)?;
        guest.make("loop", NewKind::Symlink(b"loop"))?;
        guest.make("nowhere", NewKind::Symlink(b"none/at/all"))?;
        guest.make("link", NewKind::Symlink(b"/etc/passwd"))
    };
    make().unwrap();
    fs
}

/// A little of everything.
pub(crate) fn everything() -> Scene {
    Scene::of(base(), |guest| {
        let change = || -> Result<()> {
            guest.rename("d", "e", Rename::Exchange)?;
            guest.make("new", NewKind::Directory)?;
            guest.make("new/in", NewKind::Directory)?;
            guest.write("new/in/file", "new file")?;
            guest.rename("e/sub/deep", "new/in/deep", Rename::Replace)?;
            guest.write("new/in/deep/i", "other i")?;
            guest.rename("b", "new/b", Rename::Replace)?;
            guest.write("new/b", "other b")?;
            guest.write("a", "other a")?;
            guest.link("a", "new/a")?;
            guest.link("new/in/file", "e/file")?;
            guest.write("linked", "other linked")?;
            guest.chmod("pair", 0o640)?;
            guest.link("pair", "new/pair")?;
            guest.remove_all("gone")?;
            guest.write("gone", "a file now")?;
            guest.remove("link", Remove::File)?;
            guest.make("link", NewKind::Directory)?;
            guest.make("link/there", NewKind::Symlink(b"../../etc"))?;
            guest.remove("loop", Remove::File)?;
            guest.write("loop", "no link any more")?;
            guest.rename("nowhere", "link/nowhere", Rename::Replace)?;
            guest.rename("g/h", "h", Rename::Replace)?;
            guest.rename("g", "h/g", Rename::Replace)?;
            guest.chmod("h", 0o700)?;
            guest.chmod("e/f", 0o600)?;
            guest.set_xattr("e/g", b"user.told", b"something")?;
            guest.remove("empty", Remove::Directory)?;
            guest.make("empty", NewKind::Fifo)?;
            guest.write_at("sparse", 100_000, "end")?;
            // Three directories in a circle, and what is in them modified, holes and all.
            guest.rename("one", "two", Rename::Exchange)?;
            guest.rename("two", "three", Rename::Exchange)?;
            guest.write_at("two/3", 200_000, "new three")?;
            guest.make("hollow", NewKind::Directory)?;
            guest.make("hollow/er", NewKind::Directory)
        };
        change().unwrap();
    })
}

/// A random history.
pub(crate) fn random(seed: u64) -> Scene {
    let mut random = Random::new(seed);
    let bottom = base();
    let steps = |random: &mut Random, guest: &Guest<'_>, first: usize, count: usize| {
        for number in first..first + count {
            let step = Step::random(random, &paths(guest.0), number);
            step.by_guest(guest);
        }
    };
    steps(&mut random, &Guest(&bottom), 1, 10);
    Scene::of(bottom, |guest| steps(&mut random, guest, 1000, 15))
}
