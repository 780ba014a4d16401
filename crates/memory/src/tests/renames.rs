//! Renaming.

use std::sync::Arc;

use vnode_core::fs::{Filesystem, NewKind, Rename};
use vnode_core::{Errno, NameBuf, Result};

use super::Fixture;
use crate::Node;
use crate::entries::MAX_SUBDIRS;

const ALL: [Rename; 3] = [Rename::Replace, Rename::NoReplace, Rename::Exchange];

struct Tree {
    fx: Fixture,
    root: Arc<Node>,
    /// `a`, `a/b`, `a/b/c`, `x`.
    a: Arc<Node>,
    b: Arc<Node>,
    c: Arc<Node>,
    x: Arc<Node>,
}

fn tree() -> Tree {
    let fx = Fixture::default();
    let root = fx.root();
    let a = fx.dir(&root, "a");
    let b = fx.dir(&a, "b");
    let c = fx.dir(&b, "c");
    let x = fx.dir(&root, "x");
    fx.file(&root, "f");
    fx.file(&root, "g");
    Tree { fx, root, a, b, c, x }
}

impl Tree {
    fn rename(&self, from: (&Arc<Node>, &str), to: (&Arc<Node>, &str), how: Rename) -> Result<()> {
        let result = self.fx.rename(from, to, how);
        self.fx.check(&[&self.a, &self.b, &self.c, &self.x]);
        result
    }

    fn path(&self, dir: &Arc<Node>) -> String {
        let (mut at, mut path) = (dir.clone(), String::new());
        while at.ino() != 1 {
            let mut name = NameBuf::new();
            self.fx.memory.name_of(&self.fx.cx(), &at, &mut name).unwrap();
            path = format!("/{}{path}", String::from_utf8_lossy(name.as_bytes()));
            at = self.fx.memory.parent(&self.fx.cx(), &at).unwrap();
        }
        path
    }
}

#[test]
fn a_directory_never_gets_below_itself() {
    let t = tree();
    for how in ALL {
        assert_eq!(
            t.rename((&t.root, "a"), (&t.b, "c"), how).err(),
            Some(if how == Rename::NoReplace { Errno::EXIST } else { Errno::INVAL })
        );
        let missing = t.rename((&t.root, "a"), (&t.c, "n"), how);
        assert_eq!(missing, Err(if how == Rename::Exchange { Errno::NOENT } else { Errno::INVAL }));
        assert_eq!(t.rename((&t.a, "b"), (&t.b, "n"), Rename::Replace), Err(Errno::INVAL), "into itself");
    }
    assert_eq!(t.rename((&t.b, "c"), (&t.root, "a"), Rename::Replace), Err(Errno::NOTEMPTY));
    assert_eq!(t.rename((&t.a, "b"), (&t.root, "a"), Rename::Replace), Err(Errno::NOTEMPTY));
    assert_eq!(t.rename((&t.b, "c"), (&t.root, "a"), Rename::Exchange), Err(Errno::INVAL));
    t.fx.file(&t.c, "file");
    assert_eq!(t.rename((&t.c, "file"), (&t.root, "a"), Rename::Replace), Err(Errno::NOTEMPTY));
    assert_eq!(t.path(&t.c), "/a/b/c");
}

#[test]
fn types_must_fit() {
    let t = tree();
    assert_eq!(t.rename((&t.root, "f"), (&t.root, "x"), Rename::Replace), Err(Errno::ISDIR));
    assert_eq!(t.rename((&t.root, "x"), (&t.root, "f"), Rename::Replace), Err(Errno::NOTDIR));
    assert_eq!(t.rename((&t.root, "x"), (&t.root, "a"), Rename::Replace), Err(Errno::NOTEMPTY));
    assert_eq!(t.rename((&t.root, "n"), (&t.root, "f"), Rename::Replace), Err(Errno::NOENT));
    assert_eq!(t.rename((&t.root, "f"), (&t.root, "n"), Rename::Exchange), Err(Errno::NOENT));
    assert_eq!(t.rename((&t.root, "f"), (&t.root, "x"), Rename::NoReplace), Err(Errno::EXIST));
}

#[test]
fn two_names_of_one_inode_stay() {
    let t = tree();
    let f = t.fx.lookup(&t.root, "f").unwrap();
    t.fx.link(&t.x, "f2", &f).unwrap();
    for (from, to) in [((&t.root, "f"), (&t.x, "f2")), ((&t.root, "f"), (&t.root, "f"))] {
        assert_eq!(t.rename(from, to, Rename::Replace), Ok(()));
        assert_eq!(t.rename(from, to, Rename::Exchange), Ok(()));
        assert_eq!(t.rename(from, to, Rename::NoReplace), Err(Errno::EXIST));
    }
    assert_eq!(t.fx.attr(&f).nlink, 2);
    assert_eq!(t.rename((&t.root, "x"), (&t.root, "x"), Rename::Replace), Ok(()));
}

#[test]
fn a_moved_directory_knows_where_it_is() {
    let t = tree();
    t.rename((&t.a, "b"), (&t.x, "moved"), Rename::NoReplace).unwrap();
    assert_eq!(t.path(&t.c), "/x/moved/c");
    assert_eq!((t.fx.attr(&t.a).nlink, t.fx.attr(&t.x).nlink), (2, 3));
    assert_eq!((t.fx.attr(&t.a).size, t.fx.attr(&t.x).size), (40, 60));
    t.rename((&t.x, "moved"), (&t.x, "again"), Rename::Replace).unwrap();
    assert_eq!(t.path(&t.c), "/x/again/c");
    t.rename((&t.root, "a"), (&t.b, "c"), Rename::Exchange).unwrap();
    assert_eq!((t.path(&t.a), t.path(&t.c)), ("/x/again/c".to_owned(), "/a".to_owned()));
    t.rename((&t.root, "f"), (&t.x, "again"), Rename::Exchange).unwrap();
    assert_eq!(t.path(&t.a), "/f/c");
    assert_eq!((t.fx.attr(&t.root).nlink, t.fx.attr(&t.x).nlink), (5, 2));
}

#[test]
fn an_empty_directory_is_replaced_and_then_removed() {
    let t = tree();
    t.rename((&t.b, "c"), (&t.root, "x"), Rename::Replace).unwrap();
    assert_eq!(t.path(&t.c), "/x");
    assert_eq!(t.fx.attr(&t.x).nlink, 0);
    assert_eq!(t.fx.attr(&t.root).nlink, 4);
    assert_eq!(t.fx.try_make(&t.x, "n", NewKind::Regular).err(), Some(Errno::NOENT));
    assert_eq!(t.fx.memory.parent(&t.fx.cx(), &t.x).unwrap().ino(), 1);
    // Below what it replaces: the old parent is the directory that is replaced.
    let d = t.fx.dir(&t.c, "d");
    assert_eq!(t.rename((&t.c, "d"), (&t.root, "x"), Rename::Replace), Err(Errno::NOTEMPTY));
    assert_eq!(t.path(&d), "/x/d");
}

#[test]
fn a_replaced_file_goes_with_its_last_holder() {
    let t = tree();
    let (f, g) = (t.fx.lookup(&t.root, "f").unwrap(), t.fx.lookup(&t.root, "g").unwrap());
    t.fx.write(&g, 0, &[1; 5000]).unwrap();
    t.fx.rename((&t.root, "f"), (&t.root, "g"), Rename::Replace).unwrap();
    assert_eq!((t.fx.attr(&f).nlink, t.fx.attr(&g).nlink), (1, 0));
    t.fx.check(&[&g, &t.x]);
    assert_eq!(t.fx.memory.usage().bytes, 8192);
    drop(g);
    assert_eq!(t.fx.memory.usage().bytes, 0);
    t.fx.check(&[]);
}

#[test]
fn names_keep_their_numbers() {
    let fx = Fixture::default();
    let root = fx.root();
    for name in ["a", "b", "c", "d"] {
        fx.file(&root, name);
    }
    assert_eq!(fx.names(&root), ["d", "c", "b", "a"]);
    fx.rename((&root, "a"), (&root, "c"), Rename::Replace).unwrap();
    assert_eq!(fx.names(&root), ["d", "c", "b"]);
    fx.rename((&root, "b"), (&root, "e"), Rename::Replace).unwrap();
    assert_eq!(fx.names(&root), ["e", "d", "c"]);
    let before = fx.list(&root, 0, 9).unwrap();
    let (c, e) = (fx.lookup(&root, "c").unwrap(), fx.lookup(&root, "e").unwrap());
    fx.rename((&root, "c"), (&root, "e"), Rename::Exchange).unwrap();
    assert_eq!(fx.list(&root, 0, 9).unwrap(), before);
    assert_eq!(fx.lookup(&root, "c").unwrap().ino(), e.ino());
    assert_eq!(fx.lookup(&root, "e").unwrap().ino(), c.ino());
    fx.check(&[]);
}

#[test]
fn a_directory_full_of_directories_takes_anything_else() {
    let Tree { fx, root, a, b, c, x } = &tree();
    let count = |count| a.directory().unwrap().entries.write().pretend_subdirs(count);
    let real = count(MAX_SUBDIRS);
    assert_eq!(fx.try_make(a, "d", NewKind::Directory).err(), Some(Errno::MLINK));
    assert_eq!(fx.rename((root, "x"), (a, "x"), Rename::Replace), Err(Errno::MLINK));
    assert_eq!(fx.rename((root, "x"), (a, "x"), Rename::NoReplace), Err(Errno::MLINK));
    fx.rename((root, "f"), (a, "f"), Rename::NoReplace).unwrap();
    for (one, other) in [((root, "x"), (a, "f")), ((a, "f"), (root, "x"))] {
        assert_eq!(fx.rename(one, other, Rename::Exchange), Err(Errno::MLINK));
    }
    fx.rename((root, "g"), (a, "f"), Rename::Exchange).unwrap();
    fx.rename((root, "x"), (a, "b"), Rename::Exchange).unwrap();
    fx.rename((a, "b"), (a, "d"), Rename::NoReplace).unwrap();
    fx.rename((a, "d"), (a, "f"), Rename::Exchange).unwrap();
    fx.rename((b, "c"), (a, "f"), Rename::Replace).unwrap();
    assert_eq!(count(real), MAX_SUBDIRS);
    // The next change counts the links anew.
    fx.unlink(a, "d").unwrap();
    assert_eq!(fx.names(a), ["f"]);
    fx.check(&[b, c, x]);
}
