//! What `meta` tells of names that were touched.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use support::{Tree, as_root, content};
use vnode_core::Errno;
use vnode_core::fs::{Access, NewKind, Rename};
use vnode_core::io::Source;
use vnode_overlay::{Overlay, Touched, touched};

/// What was touched: the paths in order.
fn paths(upper: &Tree) -> Vec<String> {
    all(upper).into_iter().map(|touched| String::from_utf8(touched.path).unwrap()).collect()
}

fn all(upper: &Tree) -> Vec<Touched> {
    as_root(|cx| touched(cx, &upper.0)).unwrap()
}

/// Two lowers: the first has `d/f`, `d/sub/deep`, `f`, `h` and its other name `i`; the second `d/m`.
fn lowers() -> [Tree; 2] {
    let [first, second] = [Tree::memory(), Tree::memory()];
    for lower in [&first, &second] {
        lower.mkdir("d").unwrap();
    }
    first.mkdir("d/sub").unwrap();
    for path in ["d/f", "d/sub/deep", "f", "h"] {
        first.write(path, path).unwrap();
    }
    first.link("h", "i").unwrap();
    second.write("d/m", "middle").unwrap();
    [first, second]
}

#[test]
fn each_name_is_noted_once_and_as_it_was() {
    let [first, second] = lowers();
    let upper = Tree::memory();
    let tree = Tree::over(&[&first, &second], &upper);
    // Looking, opening and making what no lower has touch nothing.
    tree.picture("");
    tree.open(&tree.node("d/f").unwrap(), Access::READ | Access::WRITE).unwrap();
    tree.write("new", "new").unwrap();
    assert_eq!(paths(&upper), [""; 0]);

    let (before, dir) = (first.attr("d/f").unwrap(), first.attr("d").unwrap());
    tree.write("d/f", "changed").unwrap();
    tree.unlink("d/f").unwrap();
    tree.write("d/f", "again").unwrap();
    assert_eq!(paths(&upper), ["/d", "/d/f"]);
    let noted = &all(&upper)[1];
    assert_eq!((noted.layer, noted.dev, noted.kind), (1, 0, before.kind));
    assert_eq!(
        (noted.ino, noted.size, noted.mtime, noted.ctime),
        (before.ino, before.size, before.mtime, before.ctime)
    );
    assert_eq!((all(&upper)[0].ino, all(&upper)[0].ctime), (dir.ino, dir.ctime));

    tree.unlink("d/m").unwrap();
    tree.rename("new", "f", Rename::Replace).unwrap();
    tree.rename("f", "g", Rename::Replace).unwrap();
    assert_eq!(paths(&upper)[2..], ["/d/m", "/f"]);
    assert_eq!(all(&upper)[2].layer, 2);
}

#[test]
fn below_a_renamed_directory_the_lowers_path_is_noted() {
    let [first, second] = lowers();
    let upper = Tree::memory();
    let tree = Tree::over(&[&first, &second], &upper);
    tree.mkdir("x").unwrap();
    tree.rename("d", "x/y z", Rename::Replace).unwrap();
    tree.write("x/y z/sub/deep", "changed").unwrap();
    assert_eq!(paths(&upper), ["/d", "/d/sub", "/d/sub/deep"]);
    // The next run goes on.
    let tree = Tree::over(&[&first, &second], &upper);
    tree.unlink("x/y z/m").unwrap();
    assert_eq!(paths(&upper)[3..], ["/d/m"]);
}

#[test]
fn every_name_of_an_inode_that_is_touched_is_noted() {
    let [first, second] = lowers();
    let upper = Tree::memory();
    let tree = Tree::over(&[&first, &second], &upper);
    tree.write("i", "changed").unwrap();
    tree.unlink("h").unwrap();
    tree.make("h", NewKind::Directory).unwrap();
    let mut noted = paths(&upper);
    noted.dedup();
    assert_eq!(noted, ["/i", "/h"]);
}

#[test]
fn what_was_left_of_a_line_is_taken_away() {
    let [first, second] = lowers();
    let upper = Tree::memory();
    Tree::over(&[&first, &second], &upper).unlink("f").unwrap();
    let meta = upper.open(&upper.node("meta").unwrap(), Access::READ | Access::WRITE).unwrap();
    let whole = content(&*meta).unwrap();
    let holes = ["\0".to_owned(), "\0".repeat(200_000), format!("1 f 0\0\0{whole}"), format!("\0{whole}\0")];
    let lefts = ["1", "1 f 0 12 3 4.0 5.0 /d/", &"x".repeat(100_000)];
    for left in lefts.into_iter().chain(holes.iter().map(String::as_str)) {
        as_root(|cx| meta.append(cx, &mut Source::from_slice(left.as_bytes()))).unwrap();
        assert_eq!(paths(&upper), ["/f"]);
        Tree::over(&[&first, &second], &upper);
        assert_eq!(content(&*meta).unwrap(), whole);
    }
    Tree::over(&[&first, &second], &upper).unlink("d/f").unwrap();
    assert_eq!(paths(&upper), ["/f", "/d", "/d/f"]);
}

#[test]
fn a_meta_of_another_version_is_refused() {
    let [first, second] = lowers();
    for (content, opens) in [
        ("", true),
        ("vnode-over", true),
        ("\0", true),
        (&"\0".repeat(70_000), true),
        ("vnode-over\0\0\0\0", true),
        ("x\ny\n\0", false),
        ("vnode-overlay-meta 2 user\n", false),
        ("\n", false),
        ("x\ny\n", false),
    ] {
        let upper = Tree::memory();
        upper.write("meta", content).unwrap();
        let builder = Overlay::builder().lower(first.0.clone()).lower(second.0.clone());
        let built = as_root(|cx| builder.build(cx, upper.0.clone())).map(drop);
        assert_eq!(built, if opens { Ok(()) } else { Err(Errno::INVAL) }, "{content:?}");
        if opens {
            assert_eq!(paths(&upper), [""; 0], "{content:?}");
        }
    }
    // It is what was made, also without being told.
    let upper = Tree::memory();
    Tree::marked(&[&first], &upper, vnode_overlay::Marks::User).rename("d", "e", Rename::Replace).unwrap();
    let again = as_root(|cx| Overlay::builder().lower(first.0.clone()).build(cx, upper.0.clone())).unwrap();
    assert_eq!(Tree(vnode_core::FilesystemRef::new::<Overlay>(again)).read("e/f").unwrap(), "d/f");
    let trusted = Overlay::builder().lower(first.0.clone()).marks(vnode_overlay::Marks::Trusted);
    assert_eq!(as_root(|cx| trusted.build(cx, upper.0.clone())).map(drop), Err(Errno::INVAL));
}
