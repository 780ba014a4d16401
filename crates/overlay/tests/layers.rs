//! What shows through, what is hidden, and what stays the same when it is copied up.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use support::{Tree, as_root, content};
use vnode_core::fs::{Access, Filesystem, NewKind, Remove, Rename};
use vnode_core::io::Source;
use vnode_core::{Errno, FilesystemRef, SetAttr, Timespec};
use vnode_overlay::{Marks, Overlay};

/// A lower with a little of everything.
fn lower() -> Tree {
    let lower = Tree::memory();
    lower.mkdir("d").unwrap();
    lower.mkdir("d/sub").unwrap();
    lower.write("d/f", "lower").unwrap();
    lower.write("f", "file").unwrap();
    lower.link("f", "g").unwrap();
    lower.make("l", NewKind::Symlink(b"nowhere")).unwrap();
    lower.set_xattr("d/f", "user.tag", "value").unwrap();
    lower
}

#[test]
fn three_layers_show_as_one_and_the_lowers_stay() {
    let (bottom, middle, upper) = (lower(), Tree::memory(), Tree::memory());
    middle.mkdir("d").unwrap();
    middle.write("d/m", "middle").unwrap();
    middle.write("f", "over").unwrap();
    // The first look moves access times, those that follow don't.
    let _ = [bottom.picture(""), middle.picture("")];
    let before = [bottom.picture(""), middle.picture("")];
    let tree = Tree::over(&[&middle, &bottom], &upper);
    assert_eq!(tree.read("f").unwrap(), "over");
    assert_eq!(tree.read("g").unwrap(), "file");
    assert_eq!(tree.list("d").unwrap(), ["m", "f", "sub"]);
    assert_eq!(tree.attr("d").unwrap().nlink, 3);
    tree.write("d/f", "upper").unwrap();
    tree.write("d/m", "too").unwrap();
    tree.unlink("f").unwrap();
    assert_eq!(tree.read("f"), Err(Errno::NOENT));
    assert_eq!(tree.rmdir("d"), Err(Errno::NOTEMPTY));
    tree.unlink("d/f").unwrap();
    tree.unlink("d/m").unwrap();
    tree.rmdir("d/sub").unwrap();
    assert_eq!(tree.list("d").unwrap(), [""; 0]);
    tree.rmdir("d").unwrap();
    tree.mkdir("d").unwrap();
    assert_eq!((tree.list("d").unwrap().len(), tree.attr("d").unwrap().nlink), (0, 2));
    assert_eq!([bottom.picture(""), middle.picture("")], before);
    // What the upper holds says the same to another overlay.
    let again = Tree::over(&[&middle, &bottom], &upper);
    assert_eq!(again.picture(""), tree.picture(""));
}

#[test]
fn an_upper_is_a_lower_of_another_overlay() {
    let (bottom, first, second) = (lower(), Tree::memory(), Tree::memory());
    let tree = Tree::over(&[&bottom], &first);
    tree.unlink("l").unwrap();
    tree.rename("d", "e", Rename::Replace).unwrap();
    tree.mkdir("d").unwrap();
    tree.rename("e/sub", "d/sub", Rename::Replace).unwrap();
    tree.write("d/sub/new", "new").unwrap();
    let shown = tree.picture("");
    let builder = Overlay::builder().lower_from(first.0.clone(), first.node("upper").unwrap());
    let stacked = as_root(|cx| builder.lower(bottom.0.clone()).build(cx, second.0)).unwrap();
    let stacked = Tree(FilesystemRef::new::<Overlay>(stacked));
    let names = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line.split(" (Timespec").next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(stacked.picture("")), names(shown));
    stacked.write("e/f", "changed").unwrap();
    assert_eq!(stacked.read("e/f").unwrap(), "changed");
    assert_eq!(tree.read("e/f").unwrap(), "lower");
}

#[test]
fn a_number_stays_when_an_inode_is_copied_up_and_in_the_next_run() {
    for marks in [Marks::Trusted, Marks::User] {
        let (bottom, upper) = (lower(), Tree::memory());
        let tree = Tree::marked(&[&bottom], &upper, marks);
        let paths = ["d", "d/f", "d/sub", "f", "l"];
        let before = paths.map(|path| tree.attr(path).unwrap());
        let set = SetAttr { uid: Some(7), ..SetAttr::default() };
        for path in paths {
            let node = tree.node(path).unwrap();
            as_root(|cx| tree.0.setattr(cx, &node, &set)).unwrap();
        }
        let after = paths.map(|path| tree.attr(path).unwrap());
        let again = Tree::marked(&[&bottom], &upper, marks);
        for (number, path) in paths.into_iter().enumerate() {
            let (before, after) = (before[number], after[number]);
            assert_eq!((before.ino, before.dev, 7), (after.ino, after.dev, after.uid), "{path}");
            assert_eq!((before.mtime, before.btime), (after.mtime, after.btime), "{path}");
            assert!(before.ctime < after.ctime, "{path}");
            // No user's attribute can be on a symbolic link: on Linux its number is lost just so.
            if path != "l" || marks == Marks::Trusted {
                assert_eq!(again.attr(path).unwrap().ino, before.ino, "{path}");
            }
        }
        assert_eq!(tree.xattr("d/f", "user.tag").unwrap(), "value");
        assert_eq!(tree.xattrs("d/f").unwrap(), ["user.tag"]);
    }
}

#[test]
fn what_is_above_a_copy_shows_no_change() {
    let tree = Tree::over(&[&lower()], &Tree::memory());
    let before = ["", "d", "d/sub"].map(|path| tree.attr(path).unwrap());
    tree.write("d/f", "changed").unwrap();
    let after = ["", "d", "d/sub"].map(|path| tree.attr(path).unwrap());
    assert_eq!(after, before);
}

#[test]
fn the_last_change_is_the_copying_s_in_the_next_run() {
    let (bottom, upper) = (lower(), Tree::memory());
    let tree = Tree::over(&[&bottom], &upper);
    let node = tree.node("d/f").unwrap();
    let file = tree.open(&node, Access::READ | Access::WRITE).unwrap();
    let before = ["d", "d/f"].map(|path| tree.attr(path).unwrap());
    // Allocating what is there changes nothing but `ctime`; a failed change after the copying doesn't even that.
    assert_eq!(tree.set_xattr("d/f", "no.such", "namespace"), Err(Errno::OPNOTSUPP));
    as_root(|cx| file.append(cx, &mut Source::from_slice(b"!"))).unwrap();
    let dir = tree.attr("d").unwrap();
    assert_eq!(dir, before[0]);
    let again = Tree::over(&[&bottom], &upper);
    let after = again.attr("d").unwrap();
    // The upper's own: it is told nowhere that only the overlay changed it.
    assert!(after.ctime > before[0].ctime, "{after:?}");
    assert_eq!((after.mtime, after.ino), (before[0].mtime, before[0].ino));
}

#[test]
fn an_open_file_shows_what_is_written_after() {
    let tree = Tree::over(&[&lower()], &Tree::memory());
    let node = tree.node("d/f").unwrap();
    let reader = tree.open(&node, Access::READ).unwrap();
    assert_eq!(content(&*reader).unwrap(), "lower");
    tree.write("d/f", "later").unwrap();
    assert_eq!(content(&*reader).unwrap(), "later");
}

#[test]
fn opening_copies_nothing_and_truncation_no_byte() {
    let upper = Tree::memory();
    let tree = Tree::over(&[&lower()], &upper);
    let node = tree.node("d/f").unwrap();
    let file = tree.open(&node, Access::READ | Access::WRITE).unwrap();
    assert_eq!(upper.list("upper").unwrap(), [""; 0]);
    as_root(|cx| file.set_len(cx, 2)).unwrap();
    assert_eq!(upper.read("upper/d/f").unwrap(), "lo");
    as_root(|cx| file.append(cx, &mut Source::from_slice(b"st"))).unwrap();
    assert_eq!(tree.read("d/f").unwrap(), "lost");
    assert_eq!(upper.list("work").unwrap(), [""; 0]);
}

#[test]
fn an_open_file_without_names_is_still_written() {
    let upper = Tree::memory();
    let tree = Tree::over(&[&lower()], &upper);
    let node = tree.node("d/f").unwrap();
    let file = tree.open(&node, Access::READ | Access::WRITE).unwrap();
    tree.unlink("d/f").unwrap();
    assert_eq!(tree.attr_of(&node).unwrap().nlink, 0);
    as_root(|cx| file.write_at(cx, 0, &mut Source::from_slice(b"L"))).unwrap();
    assert_eq!(content(&*file).unwrap(), "Lower");
    assert_eq!((tree.attr_of(&node).unwrap().nlink, tree.read("d/f")), (0, Err(Errno::NOENT)));
    assert_eq!(upper.list("work").unwrap(), [""; 0]);
}

#[test]
fn links_of_a_lower_stay_one_inode() {
    let (bottom, upper) = (lower(), Tree::memory());
    let tree = Tree::over(&[&bottom], &upper);
    assert_eq!(tree.attr("f").unwrap().nlink, 2);
    tree.write("f", "both").unwrap();
    assert_eq!(tree.read("g").unwrap(), "both");
    assert_eq!(tree.attr("f").unwrap(), tree.attr("g").unwrap());
    assert_eq!(
        (upper.list("upper").unwrap(), upper.read("upper/f").unwrap().as_str()),
        (vec!["f".to_owned()], "both")
    );
    tree.rename("g", "d/h", Rename::Replace).unwrap();
    tree.link("f", "i").unwrap();
    let again = Tree::over(&[&bottom], &upper);
    for tree in [&tree, &again] {
        for path in ["f", "d/h", "i"] {
            assert_eq!(
                (tree.read(path).unwrap().as_str(), tree.attr(path).unwrap().nlink),
                ("both", 3),
                "{path}"
            );
        }
        assert_eq!(tree.attr("i").unwrap().ino, tree.attr("f").unwrap().ino);
    }
    let node = again.node("i").unwrap();
    for (path, left) in [("f", 2), ("i", 1), ("d/h", 0)] {
        again.unlink(path).unwrap();
        assert_eq!(again.attr_of(&node).unwrap().nlink, left, "{path}");
    }
    assert_eq!(upper.list("index").unwrap(), [""; 0]);
    assert_eq!(bottom.read("g").unwrap(), "file");
}

#[test]
fn a_directory_of_a_lower_is_renamed_with_all_below() {
    let (bottom, upper) = (lower(), Tree::memory());
    bottom.write("d/sub/deep", "deep").unwrap();
    let tree = Tree::over(&[&bottom], &upper);
    let ino = tree.attr("d/sub").unwrap().ino;
    tree.rename("d/sub", "s", Rename::NoReplace).unwrap();
    tree.rename("d", "s/d", Rename::Replace).unwrap();
    tree.mkdir("d").unwrap();
    let again = Tree::over(&[&bottom], &upper);
    for tree in [&tree, &again] {
        assert_eq!(tree.read("s/deep").unwrap(), "deep");
        assert_eq!(tree.read("s/d/f").unwrap(), "lower");
        assert_eq!(tree.list("s/d").unwrap(), ["f"]);
        assert_eq!(tree.list("d").unwrap(), [""; 0]);
        assert_eq!((tree.attr("s").unwrap().ino, tree.attr("s").unwrap().nlink), (ino, 3));
        assert_eq!(tree.rename("s", "s/d/x", Rename::Replace), Err(Errno::INVAL));
    }
}

#[test]
fn a_redirection_leads_through_those_of_lowers() {
    let (bottom, first, second) = (Tree::memory(), Tree::memory(), Tree::memory());
    for dir in ["a", "a/b", "a/b/c", "d", "e"] {
        bottom.mkdir(dir).unwrap();
    }
    bottom.write("a/b/c/f", "deep").unwrap();
    let tree = Tree::over(&[&bottom], &first);
    // What is below is at another place than the path says that the next overlay has for it.
    tree.rename("a", "d/a", Rename::Replace).unwrap();
    tree.mkdir("a").unwrap();
    drop(tree);
    let stack = || {
        let builder = Overlay::builder().lower_from(first.0.clone(), first.node("upper").unwrap());
        let overlay = as_root(|cx| builder.lower(bottom.0.clone()).build(cx, second.0.clone())).unwrap();
        Tree(FilesystemRef::new::<Overlay>(overlay))
    };
    let tree = stack();
    tree.rename("d/a/b/c", "e/c", Rename::Replace).unwrap();
    for tree in [tree, stack()] {
        assert_eq!(tree.read("e/c/f").unwrap(), "deep");
        assert_eq!((tree.list("d/a/b").unwrap(), tree.list("a").unwrap()), (vec![], vec![]));
    }
}

#[test]
fn what_an_overlay_keeps_is_nobody_else_s() {
    let tree = Tree::over(&[&lower()], &Tree::memory());
    tree.rename("d", "e", Rename::Replace).unwrap();
    assert_eq!(tree.xattrs("e").unwrap(), [""; 0]);
    for name in ["trusted.overlay.opaque", "user.overlay.redirect", "trusted.overlay.x"] {
        assert_eq!(tree.xattr("e", name), Err(Errno::OPNOTSUPP), "{name}");
        assert_eq!(tree.set_xattr("e", name, "y"), Err(Errno::OPNOTSUPP), "{name}");
    }
    let whiteout = tree.make("w", NewKind::CharDevice(0));
    assert_eq!(whiteout.map(drop), Err(Errno::PERM));
    tree.make("null", NewKind::CharDevice(0x103)).unwrap();
    tree.make("block", NewKind::BlockDevice(0)).unwrap();
}

#[test]
fn whiteouts_that_are_attributes_hide_in_lowers() {
    let (bottom, middle) = (lower(), Tree::memory());
    middle.mkdir("d").unwrap();
    middle.set_xattr("d", "trusted.overlay.opaque", "x").unwrap();
    middle.write("d/f", "").unwrap();
    middle.set_xattr("d/f", "trusted.overlay.whiteout", "").unwrap();
    middle.write("d/plain", "p").unwrap();
    let tree = Tree::over(&[&middle, &bottom], &Tree::memory());
    assert_eq!(tree.list("d").unwrap(), ["plain", "sub"]);
    assert_eq!(tree.read("d/f"), Err(Errno::NOENT));
    tree.write("d/f", "again").unwrap();
    assert_eq!(tree.read("d/f").unwrap(), "again");
}

#[test]
fn a_removed_directory_of_a_lower_is_one() {
    let tree = Tree::over(&[&lower()], &Tree::memory());
    let dir = tree.node("d/sub").unwrap();
    tree.rmdir("d/sub").unwrap();
    assert_eq!(tree.attr_of(&dir).unwrap().nlink, 0);
    let name = vnode_core::Name::new(b"x").unwrap();
    let at = vnode_core::fs::At { dir: &dir, name };
    assert_eq!(as_root(|cx| tree.0.lookup(cx, at)).map(drop), Err(Errno::NOENT));
    assert_eq!(as_root(|cx| tree.0.remove(cx, at, Remove::File)), Err(Errno::NOENT));
    let set = SetAttr { mtime: Some(vnode_core::SetTime::To(Timespec::EPOCH)), ..SetAttr::default() };
    as_root(|cx| tree.0.setattr(cx, &dir, &set)).unwrap();
    assert_eq!((tree.attr_of(&dir).unwrap().nlink, dir.kind().is_dir()), (0, true));
    assert_eq!(tree.node("d/sub").map(drop), Err(Errno::NOENT));
}

#[test]
fn what_is_left_in_the_work_directory_is_cleared_away() {
    let (bottom, upper) = (lower(), Tree::memory());
    drop(Tree::over(&[&bottom], &upper));
    upper.mkdir("work/#7").unwrap();
    upper.mkdir("work/#7/below").unwrap();
    upper.write("work/#8", "left").unwrap();
    drop(Tree::over(&[&bottom], &upper));
    assert_eq!(upper.list("work").unwrap(), [""; 0]);
}

#[test]
fn a_deep_chain_of_directories_is_copied_up_and_let_go() {
    const DEPTH: usize = 5000;
    let bottom = Tree::memory();
    let mut dir = bottom.0.root();
    let name = vnode_core::Name::new(b"d").unwrap();
    let new =
        vnode_core::fs::NewInode { kind: NewKind::Directory, mode: vnode_core::Mode::RWXU, uid: 0, gid: 0 };
    for _ in 0..DEPTH {
        dir = as_root(|cx| bottom.0.create(cx, vnode_core::fs::At { dir: &dir, name }, new)).unwrap();
    }
    let tree = Tree::over(&[&bottom], &Tree::memory());
    let mut node = tree.0.root();
    for _ in 0..DEPTH {
        node = as_root(|cx| tree.0.lookup(cx, vnode_core::fs::At { dir: &node, name })).unwrap();
    }
    let set = SetAttr { gid: Some(3), ..SetAttr::default() };
    as_root(|cx| tree.0.setattr(cx, &node, &set)).unwrap();
    assert_eq!(tree.attr_of(&node).unwrap().gid, 3);
}
