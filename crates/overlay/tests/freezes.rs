//! An upper becomes a lower, and another one takes the changes from then on: nobody sees that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use support::{Tree, as_root};
use vnode_core::fs::{Filesystem, NewKind, Rename};
use vnode_core::{Errno, FileType, FilesystemRef, Mode, SetAttr};
use vnode_overlay::{Marks, Overlay, UpperName};

/// An overlay over some uppers of before and a lower, all in memory.
struct Chain {
    lower: Tree,
    /// The topmost first.
    frozen: Vec<Tree>,
    upper: Tree,
    marks: Marks,
    overlay: Arc<Overlay>,
    tree: Tree,
}

impl Chain {
    fn over(lower: &Tree, marks: Marks) -> Self {
        Chain::open(lower, Vec::new(), Tree::memory(), marks).unwrap()
    }

    fn open(lower: &Tree, frozen: Vec<Tree>, upper: Tree, marks: Marks) -> Result<Self, Errno> {
        let builder =
            frozen.iter().fold(Overlay::builder(), |builder, frozen| builder.frozen(frozen.0.clone()));
        let builder = builder.lower(lower.0.clone()).marks(marks);
        let overlay = Arc::new(as_root(|cx| builder.build(cx, upper.0.clone()))?);
        let tree = Tree(FilesystemRef::new::<Overlay>(Arc::clone(&overlay)));
        Ok(Chain { lower: lower.clone(), frozen, upper, marks, overlay, tree })
    }

    fn reopen(&mut self) {
        *self = Chain::open(&self.lower, self.frozen.clone(), self.upper.clone(), self.marks).unwrap();
    }

    fn freeze(&mut self) {
        let mut frozen = vec![self.upper.clone()];
        frozen.append(&mut self.frozen);
        *self = Chain::open(&self.lower, frozen, Tree::memory(), self.marks).unwrap();
    }

    fn names(&self) -> Vec<UpperName> {
        as_root(|cx| self.overlay.upper_names(cx).collect::<Result<_, _>>()).unwrap()
    }

    /// What is told of each name: what there is, what was there, where from.
    fn told(&self) -> BTreeMap<String, Told> {
        let line = |told: UpperName| {
            let path = String::from_utf8_lossy(&told.path).into_owned();
            let is = told.node.as_ref().map(|_| what(&self.tree, &path));
            let was = told.was.as_ref().map(|was| as_root(|cx| was.identity(cx)).unwrap());
            let from = told.renamed_from.as_ref().map(|from| String::from_utf8_lossy(from).into_owned());
            let leads_there = told.is_merged && from.is_none();
            let is_another_name = was.is_some() && (was == told.copied_from || leads_there);
            let what = format!("{is:?} {was:?} {from:?} {:?} {}", told.copied_from, told.is_merged);
            (path, Told { what, is_another_name })
        };
        self.names().into_iter().map(line).collect()
    }
}

#[derive(Debug, PartialEq)]
struct Told {
    what: String,
    /// It is what was there, or a copy of that, or leads to one.
    is_another_name: bool,
}

/// What is at a path: kind, mode, content or target, number of names, attributes; of what is from the lower its number.
fn what(tree: &Tree, path: &str) -> String {
    let attr = tree.attr(path).unwrap();
    let content = match attr.kind {
        FileType::Regular => tree.read(path).unwrap(),
        FileType::Symlink => tree.target(path).unwrap(),
        _ => String::new(),
    };
    let attributes: Vec<_> =
        tree.xattrs(path).unwrap().into_iter().map(|name| (tree.xattr(path, &name).unwrap(), name)).collect();
    let of_lower = (attr.ino >> 56 == 1).then_some((attr.ino, attr.btime));
    format!("{:?} {:o} {content} {} {attributes:?} {of_lower:?}", attr.kind, attr.mode.raw(), attr.nlink)
}

/// Each path with what it is, and what is one inode by its first name.
fn all(tree: &Tree) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut first: BTreeMap<u64, String> = BTreeMap::new();
    let mut left = vec![String::new()];
    while let Some(dir) = left.pop() {
        let mut names = tree.list(&dir).unwrap();
        names.sort_unstable();
        for name in names {
            let path = format!("{dir}/{name}");
            let attr = tree.attr(&path).unwrap();
            let one = first.entry(attr.ino).or_insert_with(|| path.clone());
            found.insert(path.clone(), format!("{} one with {one}", what(tree, &path)));
            if attr.kind.is_dir() {
                left.push(path);
            }
        }
    }
    found
}

/// `d/sub/f`, `f`, `h` and its other name `i`.
fn lower() -> Tree {
    let lower = Tree::memory();
    lower.mkdir("d").unwrap();
    lower.mkdir("d/sub").unwrap();
    for file in ["d/sub/f", "f", "h"] {
        lower.write(file, file).unwrap();
    }
    lower.link("h", "i").unwrap();
    lower
}

#[test]
fn each_name_shows_the_copy_that_another_was_changed_by() {
    for marks in [Marks::Trusted, Marks::User] {
        let mut chain = Chain::over(&lower(), marks);
        let number = chain.tree.attr("h").unwrap().ino;
        chain.tree.write("h", "one").unwrap();
        chain.freeze();
        assert_eq!(chain.tree.read("i").unwrap(), "one");
        chain.tree.write("i", "two").unwrap();
        chain.freeze();
        chain.freeze();
        assert_eq!(chain.tree.read("h").unwrap(), "two");
        chain.tree.unlink("h").unwrap();
        let attr = chain.tree.attr("i").unwrap();
        assert_eq!((attr.nlink, attr.ino), (1, number), "{marks:?}");
        chain.tree.unlink("i").unwrap();
        chain.freeze();
        assert_eq!(chain.tree.list("").unwrap().len(), 2);
    }
}

#[test]
fn all_is_told_by_what_was_there_before_any_change() {
    let mut chain = Chain::over(&lower(), Marks::Trusted);
    chain.tree.rename("d", "x", Rename::Replace).unwrap();
    chain.freeze();
    chain.tree.rename("x/sub", "y", Rename::Replace).unwrap();
    chain.tree.rename("f", "x/g", Rename::Replace).unwrap();
    chain.tree.mkdir("x/new").unwrap();
    chain.freeze();
    chain.tree.write("y/f", "other").unwrap();
    chain.tree.rename("x/g", "g", Rename::Replace).unwrap();
    chain.tree.rename("x/new", "new", Rename::Replace).unwrap();
    let names = chain.names();
    let of = |path: &[u8]| names.iter().find(|told| told.path == path).unwrap();
    let from = |path: &[u8]| of(path).renamed_from.as_deref();
    assert_eq!((from(b"/x"), from(b"/y"), from(b"/new")), (Some(&b"/d"[..]), Some(&b"/d/sub"[..]), None));
    let was = |path: &[u8]| of(path).was.as_ref().map(|was| as_root(|cx| was.identity(cx)).unwrap());
    assert!(of(b"/f").node.is_none() && was(b"/f").is_some());
    assert_eq!((was(b"/g"), of(b"/g").copied_from), (None, was(b"/f")));
    assert_eq!(was(b"/y/f"), of(b"/y/f").copied_from);
    // What stood in a lower, and where: not what stood in an upper of before.
    let touched = as_root(|cx| chain.overlay.touched(cx)).unwrap();
    let touched: Vec<_> =
        touched.iter().map(|touched| (touched.layer, String::from_utf8_lossy(&touched.path))).collect();
    let expected = ["/d", "/d/sub", "/f", "/d/sub/f"].map(|path| (1, path.into()));
    assert_eq!(touched, expected);
}

#[test]
fn of_several_names_what_was_there_first_counts() {
    let lower = lower();
    let mut chain = Chain::over(&lower, Marks::Trusted);
    let before = lower.attr("h").unwrap();
    chain.tree.write("h", "one").unwrap();
    // Somebody changes it underneath.
    lower.write("h", "of the host").unwrap();
    chain.freeze();
    chain.tree.unlink("i").unwrap();
    let touched = as_root(|cx| chain.overlay.touched(cx)).unwrap();
    let of = |path: &[u8]| touched.iter().find(|touched| touched.path == path).unwrap();
    for path in [&b"/h"[..], b"/i"] {
        assert_eq!((of(path).size, of(path).ctime), (before.size, before.ctime));
    }
}

#[test]
fn what_never_was_an_upper_is_none() {
    let lower = lower();
    let opened = |frozen: Tree, marks| Chain::open(&lower, vec![frozen], Tree::memory(), marks).err();
    assert_eq!(opened(Tree::memory(), Marks::Trusted), Some(Errno::NOENT));
    let file = Tree::memory();
    file.write("upper", "").unwrap();
    assert_eq!(opened(file, Marks::Trusted), Some(Errno::NOTDIR));
    // Linux's overlayfs says that something may be lost.
    let lost = Chain::over(&lower, Marks::Trusted).upper;
    for dir in ["work/work", "work/work/incompat", "work/work/incompat/volatile"] {
        lost.mkdir(dir).unwrap();
    }
    assert_eq!(opened(lost, Marks::Trusted), Some(Errno::INVAL));
    // Marks of one kind only are read.
    let chain = Chain::over(&lower, Marks::User);
    chain.tree.rename("d", "x", Rename::Replace).unwrap();
    assert_eq!(opened(chain.upper.clone(), Marks::Trusted), Some(Errno::INVAL));
    assert_eq!(opened(chain.upper, Marks::User), None);
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, u8),
    Mkdir(usize),
    Symlink(usize),
    Fifo(usize),
    Unlink(usize),
    Rmdir(usize),
    Link(usize, usize),
    Rename(usize, usize),
    Exchange(usize, usize),
    Chmod(usize, u32),
    Attribute(usize, u8),
    /// The overlay is opened anew; in one of the two histories its upper becomes a lower.
    Freeze,
    Reopen,
}

const PATHS: [&str; 17] = [
    "a", "b", "c", "a/a", "a/b", "a/c", "b/a", "b/b", "a/a/a", "a/a/b", "b/a/a", "a/b/a", "c/a", "c/a/a",
    "x", "a/x", "b/a/x",
];

fn step() -> impl Strategy<Value = Step> {
    let path = 0..PATHS.len();
    prop_oneof![
        3 => (path.clone(), any::<u8>()).prop_map(|(path, byte)| Step::Write(path, byte)),
        2 => path.clone().prop_map(Step::Mkdir),
        1 => path.clone().prop_map(Step::Symlink),
        1 => path.clone().prop_map(Step::Fifo),
        2 => path.clone().prop_map(Step::Unlink),
        1 => path.clone().prop_map(Step::Rmdir),
        2 => (path.clone(), path.clone()).prop_map(|(from, to)| Step::Link(from, to)),
        5 => (path.clone(), path.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (path.clone(), path.clone()).prop_map(|(from, to)| Step::Exchange(from, to)),
        1 => (path.clone(), 0u32..0o1000).prop_map(|(path, mode)| Step::Chmod(path, mode)),
        1 => (path, any::<u8>()).prop_map(|(path, byte)| Step::Attribute(path, byte)),
        4 => Just(Step::Freeze),
        1 => Just(Step::Reopen),
    ]
}

/// Some can't be done; whether it could is told.
fn carry_out(tree: &Tree, step: &Step) -> Result<(), Errno> {
    let path = |index: &usize| PATHS[*index];
    match step {
        Step::Write(at, byte) => tree.write(path(at), &format!("{byte}")),
        Step::Mkdir(at) => tree.mkdir(path(at)),
        Step::Symlink(at) => tree.make(path(at), NewKind::Symlink(b"target")).map(drop),
        Step::Fifo(at) => tree.make(path(at), NewKind::Fifo).map(drop),
        Step::Unlink(at) => tree.unlink(path(at)),
        Step::Rmdir(at) => tree.rmdir(path(at)),
        Step::Link(from, to) => tree.link(path(from), path(to)),
        Step::Rename(from, to) => tree.rename(path(from), path(to), Rename::Replace),
        Step::Exchange(from, to) => tree.rename(path(from), path(to), Rename::Exchange),
        // The kernel refuses it for links.
        Step::Chmod(at, mode) => tree.node(path(at)).and_then(|node| {
            if node.kind().is_symlink() {
                return Err(Errno::OPNOTSUPP);
            }
            let set = SetAttr { mode: Some(Mode::from_raw(*mode)), ..SetAttr::default() };
            as_root(|cx| tree.0.setattr(cx, &node, &set))
        }),
        Step::Attribute(at, byte) => tree.set_xattr(path(at), "user.a", &format!("{byte}")),
        Step::Freeze | Step::Reopen => Ok(()),
    }
}

/// A lower with what a history leaves.
fn lower_after(steps: &[Step]) -> Tree {
    let lower = Tree::memory();
    for dir in ["a", "a/a", "b", "b/a"] {
        lower.mkdir(dir).unwrap();
    }
    for file in ["a/b", "a/a/a", "a/a/b", "b/a/a", "b/b"] {
        lower.write(file, file).unwrap();
    }
    lower.link("a/b", "x").unwrap();
    lower.link("a/b", "b/a/x").unwrap();
    for step in steps {
        let _ = carry_out(&lower, step);
    }
    lower
}

fn same_with_and_without(before: &[Step], after: &[Step], marks: Marks) -> Result<(), TestCaseError> {
    let lower = lower_after(before);
    let (mut plain, mut chain) = (Chain::over(&lower, marks), Chain::over(&lower, marks));
    let mut left = Vec::new();
    for step in after {
        let done = (carry_out(&plain.tree, step), carry_out(&chain.tree, step));
        prop_assert_eq!(done.0, done.1, "{:?}", step);
        match step {
            Step::Freeze => {
                plain.reopen();
                // Looking at it is a read.
                chain.upper.picture("");
                left.insert(0, chain.upper.picture(""));
                chain.freeze();
            }
            Step::Reopen => {
                plain.reopen();
                chain.reopen();
            }
            _ => continue,
        }
        let [shown, expected] = [&chain, &plain].map(|chain| all(&chain.tree));
        prop_assert_eq!(shown, expected);
    }
    let [shown, expected] = [&chain, &plain].map(|chain| all(&chain.tree));
    prop_assert_eq!(shown, expected);
    let (mut told, expected) = (chain.told(), plain.told());
    // An inode with several names is told under those by which each upper had it changed.
    told.retain(|path, told| expected.contains_key(path) || !told.is_another_name);
    prop_assert_eq!(told, expected);
    // Nothing was changed there.
    let now: Vec<_> = chain.frozen.iter().map(|frozen| frozen.picture("")).collect();
    prop_assert_eq!(now, left);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn what_is_shown_is_the_same_with_and_without(
        before in prop::collection::vec(step(), 0..10),
        after in prop::collection::vec(step(), 0..30),
    ) {
        same_with_and_without(&before, &after, Marks::Trusted)?;
        same_with_and_without(&before, &after, Marks::User)?;
    }
}
