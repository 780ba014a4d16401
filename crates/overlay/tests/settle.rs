//! What was brought to the lower is dropped from the upper, and the rest stays what it was: also if that is interrupted at
//! any call, and done again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use support::{Tree, as_root, names};
use vnode_adapt::{Crash, Fault, Faults, OpSet};
use vnode_core::fs::Rename;
use vnode_core::{Errno, FileType, FilesystemRef, Result, Timespec};
use vnode_memory::Memory;
use vnode_overlay::{Brought, Overlay, Touched};

/// Calls that it may take.
const MANY: u64 = 1000;

fn bottom() -> Tree {
    let bottom = Tree::memory();
    for dir in ["d", "d/sub", "d/sub/deep", "e", "old"] {
        bottom.mkdir(dir).unwrap();
    }
    for file in ["a", "b", "d/f", "d/g", "d/sub/k", "e/h", "old/one", "old/two"] {
        bottom.write(file, file).unwrap();
    }
    bottom.link("b", "e/b").unwrap();
    bottom
}

/// What a guest does.
fn change(tree: &Tree) -> Result<()> {
    tree.rename("d", "x", Rename::Replace)?;
    tree.mkdir("n")?;
    tree.rename("e", "n/e", Rename::Replace)?;
    tree.write("n/new", "new")?;
    tree.write("n/mine", "mine")?;
    tree.write("a", "other a")?;
    tree.write("b", "other b")?;
    tree.write("x/f", "other f")?;
    tree.unlink("x/g")?;
    tree.mkdir("d")?;
    tree.write("d/f", "another f")?;
    tree.unlink("old/one")?;
    tree.unlink("old/two")?;
    tree.rmdir("old")?;
    tree.mkdir("old")?;
    tree.write("old/three", "three")
}

/// Some of it, done to the lower.
fn bring(bottom: &Tree) {
    bottom.rename("d", "x", Rename::Replace).unwrap();
    bottom.mkdir("n").unwrap();
    bottom.rename("e", "n/e", Rename::Replace).unwrap();
    bottom.write("n/new", "new").unwrap();
    bottom.write("b", "other b").unwrap();
    bottom.unlink("old/one").unwrap();
    bottom.write("old/three", "three").unwrap();
}

fn settle(bottom: &Tree, upper: &FilesystemRef) -> Result<()> {
    let overlay: Overlay = as_root(|cx| Overlay::builder().lower(bottom.0.clone()).build(cx, upper.clone()))?;
    let files = ["/n/new", "/b", "/n/e/b", "/old/three"].map(|path| path.as_bytes().to_vec());
    let time = Timespec { sec: 1, nsec: 2 };
    let (path, kind) = (b"/a".to_vec(), FileType::Regular);
    let touched = [Touched { layer: 1, path, kind, dev: 0, ino: 9, size: 1, mtime: time, ctime: time }];
    as_root(|cx| overlay.settle(cx, &Brought { files: &files, renamed: true, touched: &touched }))
}

/// The lower and the upper, before it is settled, and what is to be seen.
fn before() -> (Tree, FilesystemRef, Vec<String>) {
    let (bottom, upper) = (bottom(), FilesystemRef::new::<Memory>(Memory::new()));
    let tree = Tree::over(&[&bottom], &Tree(upper.clone()));
    change(&tree).unwrap();
    let seen = names(&tree, "");
    drop(tree);
    bring(&bottom);
    (bottom, upper, seen)
}

#[test]
fn what_was_brought_is_dropped_and_the_rest_stays() {
    let (bottom, upper, seen) = before();
    settle(&bottom, &upper).unwrap();
    let tree = Tree::over(&[&bottom], &Tree(upper.clone()));
    assert_eq!(names(&tree, ""), seen);
    let left = Tree(upper.clone());
    for gone in ["n/new", "b", "n/e/b", "old/three", "e"] {
        assert!(left.node(&format!("upper/{gone}")).is_err(), "{gone}");
    }
    for kept in ["a", "n/mine", "x/f", "x/g", "d/f", "old/two"] {
        assert!(left.node(&format!("upper/{kept}")).is_ok(), "{kept}");
    }
    for moved in ["x", "n/e"] {
        assert_eq!(left.xattr(&format!("upper/{moved}"), "trusted.overlay.redirect"), Err(Errno::NODATA));
    }
    let noted = as_root(|cx| vnode_overlay::touched(cx, &upper)).unwrap();
    assert_eq!((noted.len(), noted[0].path.as_slice()), (1, &b"/a"[..]));
    // What comes to the lower where the upper has nothing is seen.
    bottom.write("n/later", "later").unwrap();
    bottom.write("old/later", "later").unwrap();
    bottom.mkdir("e").unwrap();
    let tree = Tree::over(&[&bottom], &Tree(upper));
    for path in ["n/later", "old/later", "e"] {
        assert!(tree.node(path).is_ok(), "{path}");
    }
}

#[test]
fn it_may_be_interrupted_at_each_call() {
    for nth in 1..MANY {
        let (bottom, upper, seen) = before();
        let faults = Faults::new(upper.clone());
        let control = faults.control();
        control.arm(Fault::fail(Errno::IO).nth(nth).every_time());
        let done = settle(&bottom, &FilesystemRef::new::<Faults<FilesystemRef>>(faults));
        if done.is_err() {
            settle(&bottom, &upper).unwrap();
        }
        assert_eq!(names(&Tree::over(&[&bottom], &Tree(upper)), ""), seen, "call {nth}");
        if done.is_ok() {
            assert!(nth > 100, "{nth} calls");
            return;
        }
    }
    panic!("more than {MANY} calls");
}

#[test]
fn the_power_may_go_at_each_call() {
    for nth in 1..MANY {
        let (bottom, upper, seen) = before();
        let crash = Arc::new(as_root(|cx| Crash::new(cx, upper)).unwrap());
        crash.control().crash_at(OpSet::ALL, nth);
        let done = settle(&bottom, &FilesystemRef::new::<Crash<FilesystemRef>>(crash.clone()));
        let left = FilesystemRef::new::<Memory>(Memory::new());
        as_root(|cx| crash.recovered().write_into(cx, &left)).unwrap();
        if done.is_err() {
            settle(&bottom, &left).unwrap();
        }
        assert_eq!(names(&Tree::over(&[&bottom], &Tree(left)), ""), seen, "call {nth}");
        if done.is_ok() {
            return;
        }
    }
    panic!("more than {MANY} calls");
}
