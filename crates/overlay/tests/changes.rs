//! What an upper has, told name by name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use support::{Tree, as_root};
use vnode_core::fs::{Filesystem, Inode as _, NewKind, Rename};
use vnode_core::{FileType, FilesystemRef, Mode, SetAttr};
use vnode_overlay::{Marks, Overlay, UpperName};

/// An overlay of memory filesystems, and a lower.
struct Layers {
    lower: Tree,
    upper: Tree,
    overlay: Arc<Overlay>,
    tree: Tree,
}

impl Layers {
    fn over(lower: Tree) -> Self {
        Layers::of(lower, Tree::memory(), Marks::Trusted)
    }

    fn of(lower: Tree, upper: Tree, marks: Marks) -> Self {
        let builder = Overlay::builder().lower(lower.0.clone()).marks(marks);
        let overlay = Arc::new(as_root(|cx| builder.build(cx, upper.0.clone())).unwrap());
        let tree = Tree(FilesystemRef::new::<Overlay>(Arc::clone(&overlay)));
        Layers { lower, upper, overlay, tree }
    }

    fn names(&self) -> Vec<UpperName> {
        as_root(|cx| self.overlay.upper_names(cx).collect::<Result<_, _>>()).unwrap()
    }

    /// A line for each name: what there is, what was there, where from.
    fn told(&self) -> Vec<String> {
        let line = |told: UpperName| {
            let kind = |kind| match kind {
                FileType::Directory => "dir",
                FileType::Symlink => "link",
                FileType::Regular => "file",
                _ => "other",
            };
            let is = told.node.as_ref().map_or("gone", |node| kind(node.kind()));
            let mut line = format!("{} {is}", String::from_utf8_lossy(&told.path));
            if let Some(was) = &told.was {
                line += &format!(", was {}", kind(was.inode.kind()));
            }
            if let Some(from) = &told.renamed_from {
                line += &format!(", from {}", String::from_utf8_lossy(from));
            }
            if let Some(from) = told.copied_from {
                let was = told.was.as_ref().map(|was| as_root(|cx| was.identity(cx)).unwrap());
                line += if was == Some(from) { ", a copy" } else { ", a copy of another" };
            }
            line + if told.is_merged { ", merged" } else { "" }
        };
        self.names().into_iter().map(line).collect()
    }
}

/// `d/f`, `d/g`, `d/sub/deep`, `f`, `h` and its other name `i`, a link `l`, an empty directory `e`.
fn lower() -> Tree {
    let tree = Tree::memory();
    for dir in ["d", "d/sub", "e"] {
        tree.mkdir(dir).unwrap();
    }
    for path in ["d/f", "d/g", "d/sub/deep", "f", "h"] {
        tree.write(path, path).unwrap();
    }
    tree.link("h", "i").unwrap();
    tree.make("l", NewKind::Symlink(b"f")).unwrap();
    tree
}

#[test]
fn nothing_is_told_of_what_was_only_looked_at() {
    let layers = Layers::over(lower());
    layers.tree.picture("");
    assert_eq!(layers.told(), [""; 0]);
    layers.tree.write("new", "x").unwrap();
    layers.tree.unlink("new").unwrap();
    assert_eq!(layers.told(), [""; 0]);
}

#[test]
fn each_change_is_told() {
    let layers = Layers::over(lower());
    let tree = &layers.tree;
    tree.write("d/f", "changed").unwrap();
    tree.write("d/new", "new").unwrap();
    tree.unlink("d/g").unwrap();
    tree.unlink("l").unwrap();
    tree.make("l", NewKind::Symlink(b"other")).unwrap();
    tree.rmdir("e").unwrap();
    tree.write("e", "a file now").unwrap();
    tree.write("i", "both").unwrap();
    assert_eq!(
        layers.told(),
        [
            "/d dir, was dir, merged",
            "/d/f file, was file, a copy",
            "/d/g gone, was file",
            "/d/new file",
            "/e file, was dir",
            "/i file, was file, a copy",
            "/l link, was link",
        ]
    );
    // The next run is told the same.
    let again = Layers::of(layers.lower.clone(), layers.upper.clone(), Marks::Trusted);
    assert_eq!(again.told(), layers.told());
}

#[test]
fn what_was_renamed_is_told_with_where_from() {
    for marks in [Marks::Trusted, Marks::User] {
        let layers = Layers::of(lower(), Tree::memory(), marks);
        let tree = &layers.tree;
        tree.rename("f", "moved", Rename::Replace).unwrap();
        tree.rename("d", "x", Rename::Replace).unwrap();
        tree.write("x/sub/deep", "changed").unwrap();
        tree.rename("x/g", "x/sub/g", Rename::Replace).unwrap();
        tree.mkdir("d").unwrap();
        tree.write("d/f", "another").unwrap();
        assert_eq!(
            layers.told(),
            [
                "/d dir, was dir",
                "/d/f file",
                "/f gone, was file",
                "/moved file, a copy of another",
                "/x dir, from /d, merged",
                "/x/g gone, was file",
                "/x/sub dir, was dir, merged",
                "/x/sub/deep file, was file, a copy",
                "/x/sub/g file, a copy of another",
            ],
            "{marks:?}"
        );
        // It is the file that was removed elsewhere.
        let names = layers.names();
        let of = |path: &[u8]| names.iter().find(|told| told.path == path).unwrap();
        let was = of(b"/f").was.as_ref().unwrap();
        assert_eq!(of(b"/moved").copied_from, Some(as_root(|cx| was.identity(cx)).unwrap()));
    }
}

#[test]
fn attributes_that_were_changed_are_told_as_copies() {
    let layers = Layers::over(lower());
    for path in ["d/sub", "f"] {
        let node = layers.tree.node(path).unwrap();
        let set = SetAttr { mode: Some(Mode::from_raw(0o700)), ..SetAttr::default() };
        as_root(|cx| layers.tree.0.setattr(cx, &node, &set)).unwrap();
    }
    assert_eq!(
        layers.told(),
        ["/d dir, was dir, merged", "/d/sub dir, was dir, merged", "/f file, was file, a copy"]
    );
}

/// A step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, u8),
    Mkdir(usize),
    Symlink(usize),
    Unlink(usize),
    Rmdir(usize),
    Link(usize, usize),
    Rename(usize, usize),
    Exchange(usize, usize),
    Chmod(usize, u32),
    /// The overlay is opened anew.
    Reopen,
}

const PATHS: [&str; 14] =
    ["a", "b", "c", "a/a", "a/b", "a/c", "b/a", "b/b", "a/a/a", "a/a/b", "b/a/a", "a/b/a", "c/a", "c/a/a"];

fn step() -> impl Strategy<Value = Step> {
    let path = 0..PATHS.len();
    prop_oneof![
        3 => (path.clone(), any::<u8>()).prop_map(|(path, byte)| Step::Write(path, byte)),
        2 => path.clone().prop_map(Step::Mkdir),
        1 => path.clone().prop_map(Step::Symlink),
        2 => path.clone().prop_map(Step::Unlink),
        1 => path.clone().prop_map(Step::Rmdir),
        1 => (path.clone(), path.clone()).prop_map(|(from, to)| Step::Link(from, to)),
        4 => (path.clone(), path.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (path.clone(), path.clone()).prop_map(|(from, to)| Step::Exchange(from, to)),
        1 => (path, 0u32..0o1000).prop_map(|(path, mode)| Step::Chmod(path, mode)),
        1 => Just(Step::Reopen),
    ]
}

fn carry_out(tree: &Tree, step: &Step) {
    let path = |index: &usize| PATHS[*index];
    // Some can't be done.
    let _ = match step {
        Step::Write(at, byte) => tree.write(path(at), &format!("{byte}")),
        Step::Mkdir(at) => tree.mkdir(path(at)),
        Step::Symlink(at) => tree.make(path(at), NewKind::Symlink(b"target")).map(drop),
        Step::Unlink(at) => tree.unlink(path(at)),
        Step::Rmdir(at) => tree.rmdir(path(at)),
        Step::Link(from, to) => tree.link(path(from), path(to)),
        Step::Rename(from, to) => tree.rename(path(from), path(to), Rename::Replace),
        Step::Exchange(from, to) => tree.rename(path(from), path(to), Rename::Exchange),
        Step::Chmod(at, mode) => tree.node(path(at)).and_then(|node| {
            let set = SetAttr { mode: Some(Mode::from_raw(*mode)), ..SetAttr::default() };
            as_root(|cx| tree.0.setattr(cx, &node, &set))
        }),
        Step::Reopen => Ok(()),
    };
}

/// What is at a path: kind, mode, content or target.
fn what(tree: &Tree, path: &str) -> String {
    let attr = tree.attr(path).unwrap();
    let content = match attr.kind {
        FileType::Regular => tree.read(path).unwrap(),
        FileType::Symlink => tree.target(path).unwrap(),
        _ => String::new(),
    };
    format!("{:?} {:o} {content}", attr.kind, attr.mode.raw())
}

/// All paths of a tree, each with what it is.
fn all(tree: &Tree) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![String::new()];
    while let Some(dir) = left.pop() {
        for name in tree.list(&dir).unwrap() {
            let path = format!("{dir}/{name}");
            found.insert(path.clone(), what(tree, &path));
            if tree.attr(&path).unwrap().kind.is_dir() {
                left.push(path);
            }
        }
    }
    found
}

/// The tree that the names tell of, made from the one that was.
fn made_from(old: &BTreeMap<String, String>, now: &Tree, names: &[UpperName]) -> BTreeMap<String, String> {
    let mut made = old.clone();
    let is_below = |path: &str, dir: &str| {
        path == dir || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
    };
    for told in names {
        let path = String::from_utf8_lossy(&told.path).into_owned();
        if told.renamed_from.is_some() || !told.is_merged {
            made.retain(|known, _| !is_below(known, &path));
        }
        if let Some(from) = &told.renamed_from {
            let from = String::from_utf8_lossy(from).into_owned();
            let moved = old.iter().filter(|(known, _)| is_below(known, &from));
            made.extend(moved.map(|(known, what)| (format!("{path}{}", &known[from.len()..]), what.clone())));
        }
        if told.node.is_some() {
            made.insert(path.clone(), what(now, &path));
        }
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// What is told, done to what was, comes to what is.
    #[test]
    fn what_is_told_is_all_that_was_changed(
        before in prop::collection::vec(step(), 0..14),
        after in prop::collection::vec(step(), 0..14),
    ) {
        let lower = Tree::memory();
        for dir in ["a", "a/a", "b", "b/a"] {
            lower.mkdir(dir).unwrap();
        }
        for file in ["a/b", "a/a/a", "a/a/b", "b/a/a", "b/b"] {
            lower.write(file, file).unwrap();
        }
        // Of a file with several names in a lower the upper has those that were changed.
        before.iter().filter(|step| !matches!(step, Step::Link(..))).for_each(|step| carry_out(&lower, step));
        let old = all(&lower);
        let mut layers = Layers::over(lower.clone());
        for step in &after {
            carry_out(&layers.tree, step);
            if matches!(step, Step::Reopen) {
                layers = Layers::of(lower.clone(), layers.upper.clone(), Marks::Trusted);
            }
        }
        let now = all(&layers.tree);
        let told = layers.told();
        prop_assert_eq!(made_from(&old, &layers.tree, &layers.names()), now, "{:#?}", told);
    }
}
