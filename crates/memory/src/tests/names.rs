//! Names: making, finding, listing, removing.

use vnode_core::Errno;
use vnode_core::fs::{NewKind, Rename};

use super::Fixture;

#[test]
fn names_are_made_found_and_removed() {
    let fx = Fixture::default();
    let root = fx.root();
    let dir = fx.dir(&root, "d");
    let file = fx.file(&dir, "f");
    assert_eq!(fx.lookup(&dir, "f").unwrap().ino(), file.ino());
    assert_eq!(fx.try_make(&dir, "f", NewKind::Fifo).err(), Some(Errno::EXIST));
    assert_eq!(fx.lookup(&dir, "g").err(), Some(Errno::NOENT));
    assert_eq!(fx.lookup(&file, "g").err(), Some(Errno::NOTDIR));
    assert_eq!(fx.rmdir(&root, "d"), Err(Errno::NOTEMPTY));
    assert_eq!(fx.unlink(&root, "d"), Err(Errno::ISDIR));
    assert_eq!(fx.rmdir(&dir, "f"), Err(Errno::NOTDIR));
    assert_eq!(fx.unlink(&dir, "f"), Ok(()));
    assert_eq!(fx.unlink(&dir, "f"), Err(Errno::NOENT));
    assert_eq!(fx.rmdir(&root, "d"), Ok(()));
    assert_eq!(fx.try_make(&dir, "x", NewKind::Regular).err(), Some(Errno::NOENT));
    assert_eq!(fx.list(&dir, 0, 9).err(), Some(Errno::NOENT));
    fx.check(&[&dir, &file]);
    drop((dir, file));
    fx.check(&[]);
}

#[test]
fn listing_is_newest_first_and_replaced_names_keep_their_place() {
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
    let (c, e) = (fx.lookup(&root, "c").unwrap(), fx.lookup(&root, "e").unwrap());
    fx.rename((&root, "c"), (&root, "e"), Rename::Exchange).unwrap();
    assert_eq!(fx.names(&root), ["e", "d", "c"]);
    assert_eq!(fx.lookup(&root, "c").unwrap().ino(), e.ino());
    assert_eq!(fx.lookup(&root, "e").unwrap().ino(), c.ino());
    fx.check(&[]);
}
