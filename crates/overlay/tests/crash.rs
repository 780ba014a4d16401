//! The power goes at each call of the upper: what is left, opened again, is from before the operation or from after it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use support::{Tree, as_root, lower, names};
use vnode_adapt::{Crash, OpSet};
use vnode_core::fs::{Filesystem, Rename};
use vnode_core::{FilesystemRef, Result};
use vnode_memory::Memory;

/// Calls that one operation may make.
const MANY: u64 = 400;

/// Brings directories to the medium, and with them what was done to their names.
fn sync(tree: &Tree, paths: &[&str]) -> Result<()> {
    for path in paths {
        let node = tree.node(path)?;
        as_root(|cx| tree.0.sync(cx, &node, false))?;
    }
    Ok(())
}

/// Tries an operation, after which the directories are synced; answers how many moments the power went at.
fn check(operation: &dyn Fn(&Tree) -> Result<()>, dirs: &[&str]) -> u64 {
    let bottom = lower();
    let plain = Tree::over(&[&bottom], &Tree::memory());
    let before = names(&plain, "");
    operation(&plain).unwrap();
    let after = names(&plain, "");
    for nth in 1..MANY {
        let memory = FilesystemRef::new::<Memory>(Memory::new());
        // The upper is an overlay's already, and on the medium.
        drop(Tree::over(&[&bottom], &Tree(memory.clone())));
        let crash = Arc::new(as_root(|cx| Crash::new(cx, memory)).unwrap());
        let upper = Tree(FilesystemRef::new::<Crash<FilesystemRef>>(crash.clone()));
        let tree = Tree::over(&[&bottom], &upper);
        crash.control().crash_at(OpSet::ALL, nth);
        let done = operation(&tree).and_then(|()| sync(&tree, dirs));
        let survived = !crash.control().crashed();
        let left = Tree::memory();
        as_root(|cx| crash.recovered().write_into(cx, &left.0)).unwrap();
        let left = names(&Tree::over(&[&bottom], &left), "");
        let known = left == before || left == after;
        assert!(known, "call {nth}: {left:?}\nbefore: {before:?}\nafter: {after:?}");
        if survived {
            assert_eq!((done, &left), (Ok(()), &after));
            return nth;
        }
        assert!(done.is_err(), "call {nth}");
    }
    panic!("more than {MANY} calls");
}

#[test]
fn a_copy_is_whole() {
    let dirs = ["", "d"];
    let chmod = |path: &'static str| {
        move |tree: &Tree| {
            let node = tree.node(path)?;
            let set = vnode_core::SetAttr { uid: Some(5), ..Default::default() };
            as_root(|cx| tree.0.setattr(cx, &node, &set))
        }
    };
    assert!(check(&chmod("d/f"), &dirs) > 15);
    assert!(check(&chmod("d/sub/deep"), &["", "d", "d/sub"]) > 15);
    assert!(check(&chmod("h"), &dirs) > 10);
}

#[test]
fn names_are_whole() {
    let moments = [
        check(&|tree| tree.unlink("d/f"), &["", "d"]),
        check(&|tree| tree.rename("d/f", "d/new", Rename::Replace), &["", "d"]),
        check(&|tree| tree.rename("d/f", "e/g", Rename::Replace), &["", "d", "e"]),
        check(&|tree| tree.rename("d/sub", "new", Rename::Replace), &["", "d"]),
        check(&|tree| tree.rename("d", "e", Rename::Exchange), &[""]),
        check(&|tree| tree.link("d/f", "e/new"), &["", "d", "e"]),
    ];
    assert!(moments.iter().all(|moments| *moments > 5), "{moments:?}");
}

#[test]
fn meta_is_on_the_medium_before_the_copy_is() {
    let bottom = lower();
    let owner = vnode_core::SetAttr { uid: Some(5), ..Default::default() };
    for synced in [&["", "d", "d/f"][..], &["d/f", "d", ""]] {
        let whole = (1..MANY).find(|&nth| {
            let memory = FilesystemRef::new::<Memory>(Memory::new());
            drop(Tree::over(&[&bottom], &Tree(memory.clone())));
            let crash = Arc::new(as_root(|cx| Crash::new(cx, memory)).unwrap());
            let tree =
                Tree::over(&[&bottom], &Tree(FilesystemRef::new::<Crash<FilesystemRef>>(crash.clone())));
            crash.control().crash_at(OpSet::ALL, nth);
            let node = tree.node("d/f");
            let done = node.and_then(|node| as_root(|cx| tree.0.setattr(cx, &node, &owner)));
            let done = done.and_then(|()| sync(&tree, synced));
            let survived = !crash.control().crashed();
            let left = Tree::memory();
            as_root(|cx| crash.recovered().write_into(cx, &left.0)).unwrap();
            let noted = as_root(|cx| vnode_overlay::touched(cx, &left.0)).unwrap();
            for path in ["d", "d/f"] {
                let there = left.node(&format!("upper/{path}")).is_ok();
                let known = noted.iter().any(|noted| noted.path == format!("/{path}").into_bytes());
                assert!(known || !there, "{path} of {synced:?}, call {nth}: {noted:?}");
                assert!(there || !survived, "{path} of {synced:?} is lost");
            }
            assert_eq!(done.is_ok(), survived);
            survived
        });
        assert!(whole.is_some(), "more than {MANY} calls");
    }
}
