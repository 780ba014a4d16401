//! What layers that somebody forged, and callers who forge, come to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use support::{Tree, as_root};
use vnode_adapt::ReadOnly;
use vnode_core::fs::{NewKind, Rename};
use vnode_core::{Errno, FilesystemRef};
use vnode_overlay::{Marks, Overlay};

/// `d/f` and `secret/f`, in a directory of a filesystem that has more beside it.
fn confined() -> (Tree, Tree) {
    let whole = Tree::memory();
    for dir in ["outside", "in", "in/d", "in/secret"] {
        whole.mkdir(dir).unwrap();
    }
    for path in ["outside/f", "in/d/f", "in/secret/f"] {
        whole.write(path, path).unwrap();
    }
    let top = Tree::memory();
    top.mkdir("d").unwrap();
    (top, whole)
}

#[test]
fn a_forged_redirection_leads_nowhere_out_of_a_lower() {
    let (top, whole) = confined();
    let long = "/x".repeat(30_000);
    for (redirect, shows) in [
        ("/../outside", None),
        ("../outside", None),
        ("/secret/../../outside", None),
        ("..", None),
        ("/.", None),
        ("/", Some("in")),
        ("/secret", Some("in/secret/f")),
        ("secret/f", None),
        ("/d/f/x", None),
        (&long, None),
        ("d", Some("in/d/f")),
    ] {
        top.set_xattr("d", "trusted.overlay.redirect", redirect).unwrap();
        let builder = Overlay::builder().lower(top.0.clone());
        let builder = builder.lower_from(whole.0.clone(), whole.node("in").unwrap());
        let overlay = as_root(|cx| builder.marks(Marks::Trusted).build(cx, Tree::memory().0)).unwrap();
        let tree = Tree(FilesystemRef::new::<Overlay>(overlay));
        match shows {
            Some("in") => assert_eq!(tree.read("d/secret/f").unwrap(), "in/secret/f", "{redirect:.20}"),
            Some(content) => assert_eq!(tree.read("d/f").unwrap(), content, "{redirect:.20}"),
            // As on Linux a relative one that is no name is an error.
            None => match tree.list("d") {
                Ok(names) => assert_eq!(names, [""; 0], "{redirect:.20}"),
                Err(errno) => assert_eq!(errno, Errno::INVAL, "{redirect:.20}"),
            },
        }
        for path in ["d/outside", "outside", "d/../outside"] {
            assert!(tree.node(path).is_err(), "{redirect:.20}: {path}");
        }
    }
}

#[test]
fn redirections_in_a_circle_end() {
    let layers: Vec<Tree> = (0..255)
        .map(|number| {
            let layer = Tree::memory();
            for (dir, to) in [("a", "/b"), ("b", "/a"), ("self", "/self/self")] {
                layer.mkdir(dir).unwrap();
                layer.write(&format!("{dir}/{number}"), "x").unwrap();
                layer.set_xattr(dir, "trusted.overlay.redirect", to).unwrap();
            }
            layer
        })
        .collect();
    let tree = Tree::over(&layers.iter().collect::<Vec<_>>(), &Tree::memory());
    assert_eq!(tree.list("a").unwrap().len(), 255);
    assert_eq!(tree.list("self").unwrap(), ["0"]);
    tree.write("a/254", "changed").unwrap();
    assert_eq!(tree.read("a/254").unwrap(), "changed");
}

#[test]
fn forged_marks_of_an_upper_are_no_harm() {
    let lower = Tree::memory();
    lower.write("f", "lower").unwrap();
    lower.link("f", "g").unwrap();
    let upper = Tree::memory();
    Tree::over(&[&lower], &upper).write("f", "upper").unwrap();
    // A layer that is not there, numbers that no inode has, names without end.
    let indexed = upper.list("index").unwrap().remove(0);
    let origin = upper.xattr("upper/f", "trusted.overlay.origin").unwrap();
    for (name, value) in [
        ("trusted.overlay.origin", "x".repeat(60_000)),
        ("trusted.overlay.origin", origin.replacen('\u{1}', "\u{7f}", 1)),
        ("trusted.overlay.nlink", "U+9223372036854775807".to_owned()),
        ("trusted.overlay.nlink", "U-9223372036854775808".to_owned()),
        ("trusted.overlay.opaque", "z".to_owned()),
        ("trusted.overlay.redirect", "/f".to_owned()),
        ("trusted.overlay.metacopy", String::new()),
    ] {
        upper.set_xattr("upper/f", name, &value).unwrap();
        let tree = Tree::over(&[&lower], &upper);
        for path in ["f", "g"] {
            if let Ok(attr) = tree.attr(path) {
                let _ = (tree.read(path), tree.list("/"), attr);
            }
        }
        let _ = (tree.write("g", "again"), tree.rename("g", "h", Rename::Replace), tree.unlink("h"));
    }
    assert_eq!(lower.read("f").unwrap(), "lower");
    // Something else where the index has a copy.
    upper.unlink(&format!("index/{indexed}")).ok();
    upper.mkdir(&format!("index/{indexed}")).unwrap();
    let tree = Tree::over(&[&lower], &upper);
    let _ = (tree.attr("g"), tree.write("g", "again"), tree.list(""), tree.unlink("g"));
    assert_eq!(lower.read("g").unwrap(), "lower");
}

#[test]
fn a_caller_forges_nothing() {
    let lower = Tree::memory();
    lower.mkdir("d").unwrap();
    lower.write("d/f", "lower").unwrap();
    let upper = Tree::memory();
    let tree = Tree::over(&[&lower], &upper);
    for prefix in ["trusted.overlay.", "user.overlay."] {
        for mark in ["opaque", "redirect", "origin", "nlink", "metacopy", "whiteout", "whiteouts", "x", ""] {
            for path in ["d", "d/f"] {
                let name = format!("{prefix}{mark}");
                assert_eq!(tree.set_xattr(path, &name, "y"), Err(Errno::OPNOTSUPP), "{name}");
                assert!(tree.xattr(path, &name).is_err(), "{name}");
            }
        }
    }
    assert_eq!(tree.make("d/w", NewKind::CharDevice(0)).map(drop), Err(Errno::PERM));
    // Names of the overlay's own are names like others to the caller.
    for name in ["work", "index", "upper", "meta", "lock"] {
        assert_eq!(tree.node(name).map(drop), Err(Errno::NOENT));
        tree.mkdir(name).unwrap();
    }
    assert_eq!(upper.list("work").unwrap(), [""; 0]);
    assert_eq!(tree.read("d/f").unwrap(), "lower");
}

#[test]
fn no_call_writes_to_a_lower() {
    let lower = Tree::memory();
    for dir in ["d", "d/sub", "e"] {
        lower.mkdir(dir).unwrap();
    }
    for path in ["d/f", "d/sub/deep", "f", "h"] {
        lower.write(path, path).unwrap();
    }
    lower.link("h", "i").unwrap();
    let _ = lower.picture("");
    let before = lower.picture("");
    // Whatever were tried would be an error.
    let guarded = Tree(FilesystemRef::new::<ReadOnly<FilesystemRef>>(ReadOnly::new(lower.0.clone())));
    let tree = Tree::over(&[&guarded], &Tree::memory());
    let _ = tree.picture("");
    tree.write("d/sub/deep", "changed").unwrap();
    tree.set_xattr("f", "user.tag", "x").unwrap();
    tree.rename("d", "moved", Rename::Replace).unwrap();
    tree.write("i", "changed").unwrap();
    tree.link("f", "e/f").unwrap();
    tree.unlink("h").unwrap();
    tree.rename("e", "moved", Rename::Exchange).unwrap();
    tree.rmdir("e/sub").unwrap_err();
    assert_eq!(lower.picture(""), before);
}
