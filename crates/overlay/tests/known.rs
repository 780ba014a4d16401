//! Names that an overlay knows: what they stand for is never what it was, and nothing is held that is gone.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use support::{Tree, as_root};
use vnode_adapt::{Faults, OpSet};
use vnode_core::fs::{Filesystem, NewKind, Rename};
use vnode_core::{Errno, FilesystemRef};
use vnode_memory::Memory;

/// More than are kept.
const MANY: usize = 20_000;

#[test]
fn a_name_that_is_known_asks_no_layer() {
    let faults = Faults::new(FilesystemRef::new::<Memory>(Memory::new()));
    let control = faults.control();
    let lower = Tree(FilesystemRef::new::<Faults<FilesystemRef>>(faults));
    lower.mkdir("d").unwrap();
    lower.write("d/f", "below").unwrap();
    let overlay = Tree::over(&[&lower], &Tree::memory());
    let look = || (overlay.node("d/f").map(drop), overlay.node("d/none").map(drop));
    let first = look();
    let before = control.calls_of(OpSet::ALL);
    assert_eq!(look(), first);
    assert_eq!(first, (Ok(()), Err(Errno::NOENT)));
    assert_eq!(control.calls_of(OpSet::ALL), before);
}

#[test]
fn a_name_is_known_for_what_it_is_now() {
    let lower = Tree::memory();
    for file in ["a", "b", "c"] {
        lower.write(file, file).unwrap();
    }
    lower.mkdir("d").unwrap();
    lower.write("d/inside", "inside").unwrap();
    let overlay = Tree::over(&[&lower], &Tree::memory());
    let read = |path: &str| overlay.read(path);
    for path in ["a", "b", "c", "new", "d/inside", "d/new", "e/inside"] {
        let _ = read(path);
    }
    overlay.rename("a", "b", Rename::Replace).unwrap();
    assert_eq!((read("a"), read("b")), (Err(Errno::NOENT), Ok("a".into())));
    overlay.rename("b", "c", Rename::Exchange).unwrap();
    assert_eq!((read("b"), read("c")), (Ok("c".into()), Ok("a".into())));
    overlay.rename("b", "new", Rename::NoReplace).unwrap();
    assert_eq!((read("b"), read("new")), (Err(Errno::NOENT), Ok("c".into())));
    overlay.link("new", "b").unwrap();
    assert_eq!(read("b"), Ok("c".into()));
    overlay.unlink("new").unwrap();
    assert_eq!((read("b"), read("new")), (Ok("c".into()), Err(Errno::NOENT)));
    overlay.rename("d", "e", Rename::Replace).unwrap();
    assert_eq!((read("d/inside"), read("e/inside")), (Err(Errno::NOENT), Ok("inside".into())));
    overlay.unlink("e/inside").unwrap();
    overlay.rmdir("e").unwrap();
    overlay.mkdir("e").unwrap();
    assert_eq!(read("e/inside"), Err(Errno::NOENT));
    overlay.write("e/inside", "again").unwrap();
    assert_eq!(read("e/inside"), Ok("again".into()));
}

#[test]
fn what_is_removed_is_let_go() {
    let upper = Tree(FilesystemRef::new::<Memory>(Memory::builder().max_bytes(1 << 30).build()));
    let lower = Tree::memory();
    lower.mkdir("d").unwrap();
    let overlay = Tree::over(&[&lower], &upper);
    let used = || as_root(|cx| upper.0.statfs(cx)).map(|stat| stat.blocks - stat.blocks_free).unwrap();
    let text = "x".repeat(50_000);
    let before = {
        overlay.write("d/first", "").unwrap();
        used()
    };
    overlay.write("d/f", &text).unwrap();
    overlay.write("d/g", &text).unwrap();
    assert_eq!(overlay.read("d/f").unwrap().len(), text.len());
    assert!(used() > before + 20);
    overlay.rename("d/f", "d/g", Rename::Replace).unwrap();
    overlay.unlink("d/g").unwrap();
    assert!(used() <= before + 1, "{} {before}", used());
}

#[test]
fn an_overlay_that_is_dropped_holds_no_layer() {
    let (lower, upper) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
    let tree = |memory: &Arc<Memory>| Tree(FilesystemRef::new::<Memory>(Arc::clone(memory)));
    tree(&lower).mkdir("d").unwrap();
    for number in 0..MANY {
        tree(&lower).make(&format!("d/{number}"), NewKind::Regular).unwrap();
    }
    let overlay = Tree::over(&[&tree(&lower)], &tree(&upper));
    for number in 0..MANY {
        assert!(overlay.node(&format!("d/{number}")).is_ok());
        assert!(overlay.node(&format!("d/none-{number}")).is_err());
    }
    overlay.write("d/7", "changed").unwrap();
    let open = overlay.open(&overlay.node("d/7").unwrap(), vnode_core::fs::Access::READ).unwrap();
    drop(overlay);
    assert!(Arc::strong_count(&lower) > 1);
    drop(open);
    assert_eq!((Arc::strong_count(&lower), Arc::strong_count(&upper)), (1, 1));
    // Nor any inode of one.
    let lower = tree(&lower);
    for number in 0..MANY {
        let path = format!("d/{number}");
        let inode = Arc::downgrade(&lower.node(&path).unwrap());
        lower.unlink(&path).unwrap();
        assert!(inode.upgrade().is_none(), "{path}");
    }
}
