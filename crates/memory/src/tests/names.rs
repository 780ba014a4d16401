//! Names: making, finding, listing, removing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use vnode_core::fs::{Filesystem, Inode, NewKind, Rename};
use vnode_core::{Errno, FileType, NameBuf};

use super::{Fixture, at};

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
    fx.check(&[&dir, &file]);
    drop((dir, file));
    fx.check(&[]);
}

#[test]
fn every_type_is_kept() {
    let fx = Fixture::default();
    let root = fx.root();
    let kinds = [
        (NewKind::Fifo, FileType::Fifo, 0),
        (NewKind::Socket, FileType::Socket, 0),
        (NewKind::CharDevice(0x105), FileType::CharDevice, 0x105),
        (NewKind::BlockDevice(0x700), FileType::BlockDevice, 0x700),
        (NewKind::Symlink(b"a\xff/../b"), FileType::Symlink, 0),
    ];
    for (number, (new, kind, rdev)) in kinds.into_iter().enumerate() {
        let node = fx.try_make(&root, &number.to_string(), new).unwrap();
        let attr = fx.attr(&node);
        assert_eq!((node.kind(), attr.kind, attr.rdev, attr.nlink), (kind, kind, rdev, 1));
        assert_eq!(fx.memory.open(&fx.cx(), &node, vnode_core::fs::Access::READ).err(), Some(Errno::NXIO));
        assert_eq!(fx.memory.open_dir(&fx.cx(), &node).err(), Some(Errno::NOTDIR));
    }
    let link = fx.lookup(&root, "4").unwrap();
    assert_eq!(fx.target(&link), b"a\xff/../b");
    assert_eq!((fx.attr(&link).size, fx.attr(&link).mode.raw()), (7, 0o777));
    let fifo = fx.lookup(&root, "0").unwrap();
    assert_eq!(fx.memory.readlink(&fx.cx(), &fifo).err(), Some(Errno::INVAL));
    fx.check(&[]);
}

#[test]
fn hard_links_are_one_inode_until_the_last_is_gone() {
    let fx = Fixture::default();
    let root = fx.root();
    let dir = fx.dir(&root, "d");
    let file = fx.file(&root, "a");
    fx.write(&file, 0, b"text").unwrap();
    fx.link(&dir, "b", &file).unwrap();
    assert_eq!(fx.lookup(&dir, "b").unwrap().ino(), file.ino());
    assert_eq!(fx.attr(&file).nlink, 2);
    assert_eq!(fx.link(&dir, "b", &file), Err(Errno::EXIST));
    assert_eq!(fx.link(&root, "e", &dir), Err(Errno::PERM));
    fx.unlink(&root, "a").unwrap();
    assert_eq!(fx.attr(&file).nlink, 1);
    fx.unlink(&dir, "b").unwrap();
    assert_eq!(fx.attr(&file).nlink, 0);
    assert_eq!(fx.link(&root, "a", &file), Err(Errno::NOENT));
    assert_eq!(fx.read(&file, 0, 9), b"text", "what is open stays");
    fx.check(&[&file]);
    file.meta.write().nlink = u32::MAX;
    assert_eq!(fx.link(&root, "a", &file), Err(Errno::MLINK));
    file.meta.write().nlink = 0;
    drop(file);
    fx.check(&[]);
    assert_eq!(fx.memory.usage().bytes, 0);
}

#[test]
fn a_removed_directory_holds_nothing_but_its_parent() {
    let fx = Fixture::default();
    let root = fx.root();
    let above = fx.dir(&root, "above");
    let dir = fx.dir(&above, "dir");
    let file = fx.file(&root, "file");
    let mut name = NameBuf::new();
    fx.memory.name_of(&fx.cx(), &dir, &mut name).unwrap();
    assert_eq!(name.as_bytes(), b"dir");
    assert_eq!((fx.attr(&root).nlink, fx.attr(&above).nlink), (3, 3));
    fx.rmdir(&above, "dir").unwrap();
    fx.rmdir(&root, "above").unwrap();
    assert_eq!((fx.attr(&root).nlink, fx.attr(&above).nlink, fx.attr(&dir).nlink), (2, 0, 0));
    let ino = above.ino();
    drop(above);
    assert_eq!(fx.memory.parent(&fx.cx(), &dir).unwrap().ino(), ino);
    assert_eq!(fx.memory.name_of(&fx.cx(), &dir, &mut name), Err(Errno::NOENT));
    assert_eq!(fx.lookup(&dir, "x").err(), Some(Errno::NOENT));
    assert_eq!(fx.try_make(&dir, "x", NewKind::Regular).err(), Some(Errno::NOENT));
    assert_eq!(fx.link(&dir, "x", &file), Err(Errno::NOENT));
    assert_eq!(fx.unlink(&dir, "x"), Err(Errno::NOENT));
    assert_eq!(fx.rename((&root, "file"), (&dir, "x"), Rename::Replace), Err(Errno::NOENT));
    assert_eq!(fx.rename((&dir, "x"), (&root, "file"), Rename::Replace), Err(Errno::NOENT));
    assert_eq!(fx.list(&dir, 0, 9).err(), Some(Errno::NOENT));
    let parent = fx.memory.parent(&fx.cx(), &dir).unwrap();
    assert_eq!(fx.memory.parent(&fx.cx(), &parent).unwrap().ino(), root.ino());
    fx.check(&[&dir, &parent]);
    drop((dir, parent));
    fx.check(&[]);
}

#[test]
fn the_root_is_above_itself() {
    let fx = Fixture::default();
    let root = fx.root();
    assert_eq!(root.ino(), 1);
    assert_eq!(fx.memory.parent(&fx.cx(), &root).unwrap().ino(), 1);
    let mut name = NameBuf::from(at(&root, "x").name);
    fx.memory.name_of(&fx.cx(), &root, &mut name).unwrap();
    assert!(name.as_bytes().is_empty());
}

#[test]
fn sizes_are_those_of_tmpfs() {
    let fx = Fixture::default();
    let root = fx.root();
    let dir = fx.dir(&root, "d");
    assert_eq!((fx.attr(&dir).size, fx.attr(&dir).blocks), (40, 0));
    fx.file(&dir, "f");
    fx.dir(&dir, "e");
    assert_eq!((fx.attr(&dir).size, fx.attr(&dir).nlink), (80, 3));
    for (len, blocks) in [(127, 0), (128, 8), (4095, 8)] {
        let link = fx.try_make(&root, &len.to_string(), NewKind::Symlink(&vec![b'x'; len])).unwrap();
        assert_eq!((fx.attr(&link).size, fx.attr(&link).blocks), (len as u64, blocks));
    }
    fx.check(&[]);
}

#[test]
fn listing_goes_on_from_any_cookie() {
    let fx = Fixture::default();
    let root = fx.root();
    for number in 0..200 {
        fx.file(&root, &format!("{number:03}"));
    }
    let all = fx.list(&root, 0, usize::MAX).unwrap();
    assert_eq!(all.len(), 200);
    assert_eq!(all[0].0, "199");
    assert_eq!(all[199], ("000".to_owned(), 3), "numbers start at 3");
    assert!(all.windows(2).all(|pair| pair[0].1 > pair[1].1));
    for (place, (_, cookie)) in all.iter().enumerate().filter(|(_, (_, cookie))| *cookie > 3) {
        let next = fx.list(&root, *cookie, 2).unwrap();
        assert_eq!(next[..], all[place + 1..all.len().min(place + 3)]);
    }
    assert_eq!(fx.list(&root, 2, 1).unwrap(), all[..1]);
    assert_eq!(fx.list(&root, u64::MAX, 1).unwrap(), all[..1]);
}

#[test]
fn a_listing_ends_after_the_oldest_entry() {
    let fx = Fixture::default();
    let root = fx.root();
    fx.file(&root, "only");
    assert_eq!(fx.list(&root, 3, 9).unwrap(), []);
}

#[test]
fn a_scan_that_makes_and_removes_sees_every_other_name_once() {
    let fx = Fixture::default();
    let root = fx.root();
    for number in 0..300 {
        fx.file(&root, &format!("{number}"));
    }
    let mut seen = Vec::new();
    fx.memory
        .open_dir(&fx.cx(), &root)
        .unwrap()
        .list(&fx.cx(), 0, &mut |entry| {
            let name = String::from_utf8(entry.name.to_vec()).unwrap();
            // The directory is not locked here. What is behind goes, new names come in front.
            let number: u32 = name.parse().unwrap();
            fx.file(&root, &format!("new{number}"));
            if number.is_multiple_of(3) {
                fx.unlink(&root, &name).unwrap();
            }
            seen.push(number);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, (0..300).rev().collect::<Vec<_>>());
    assert_eq!(fx.names(&root).len(), 300 + 200);
    fx.check(&[]);
}

#[test]
fn names_come_and_go_in_any_order() {
    // Across the switch to an index, compactions, and back.
    let fx = Fixture::default();
    let root = fx.root();
    let mut there = BTreeSet::new();
    let mut state = 7u32;
    for step in 0..20_000u32 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let growing = step / 2000 % 2 == 0;
        let name = format!("name{}", state >> 20 & 0x3ff);
        if (state >> 8 & 7 < 5) == growing {
            assert_eq!(fx.try_make(&root, &name, NewKind::Regular).is_ok(), there.insert(name));
        } else {
            assert_eq!(fx.unlink(&root, &name).is_ok(), there.remove(&name));
        }
        if step % 500 == 0 {
            fx.check(&[]);
            assert_eq!(fx.names(&root).into_iter().collect::<BTreeSet<_>>(), there);
        }
    }
    for name in there {
        fx.unlink(&root, &name).unwrap();
    }
    assert_eq!(fx.names(&root), [""; 0]);
}
