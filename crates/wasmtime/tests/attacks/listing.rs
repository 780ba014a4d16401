//! Class 11, listings of a directory that changes: each entry that stays is seen once, and every listing ends.

use std::collections::BTreeSet;

use vnode_core::FilesystemRef;
use vnode_memory::Memory;

use crate::puppet::*;

fn full(guest: &mut Puppet, count: usize) -> i64 {
    guest.mkdir(ROOT, "dir").unwrap();
    let dir = guest.open_dir(ROOT, "dir").unwrap();
    for number in 0..count {
        guest.symlink("t", dir, format!("name{number:05}")).unwrap();
    }
    dir
}

/// `rm -r`: what was listed is removed before the next is asked for, whatever the buffer takes.
#[test]
fn removing_each_entry_as_it_is_listed_removes_all() {
    let fs = FilesystemRef::new(Memory::new());
    for buffer in [33, 64, 100, 4096] {
        let mut guest = Puppet::on(&fs);
        let dir = full(&mut guest, 2000);
        let mut cookie = 0;
        loop {
            let (entries, _) = guest.readdir(dir, buffer, cookie).unwrap();
            let Some(&(last, _)) = entries.last() else { break };
            cookie = last;
            for (_, name) in entries {
                if name.starts_with(b"name") {
                    assert_eq!(guest.unlink(dir, &name), Ok(()));
                }
            }
        }
        assert_eq!(guest.rmdir(ROOT, "dir"), Ok(()), "{buffer}");
        assert_eq!(guest.readdir(dir, buffer, 0), Err(ENOENT));
        assert_eq!(guest.readdir(dir, buffer, cookie), Err(ENOENT));
    }
}

#[test]
fn creating_an_entry_for_each_that_is_listed_ends() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    let dir = full(&mut guest, 100);
    let (mut cookie, mut seen) = (0, 0);
    loop {
        let (entries, _) = guest.readdir(dir, 40, cookie).unwrap();
        let Some((next, _)) = entries.first().cloned() else { break };
        cookie = next;
        seen += 1;
        assert!(seen <= 104, "the listing never ends");
        guest.symlink("t", dir, format!("new{seen}")).unwrap();
        // A name that is moved while it is listed gets no second place before the end either.
        guest.rename((dir, &format!("new{seen}")), (dir, &format!("renamed{seen}"))).unwrap();
    }
    // `.`, `..`, the two made for them, before any entry was listed, and the hundred.
    assert_eq!(seen, 104);
    assert_eq!(guest.names(ROOT, "dir").len(), 204);
}

#[test]
fn what_stays_is_seen_once_whatever_comes_and_goes() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    let dir = full(&mut guest, 500);
    // Two listings at once on one descriptor, and one on another.
    let second = guest.open_dir(ROOT, "dir").unwrap();
    let mut cursors = [(dir, 0, Vec::new()), (dir, 0, Vec::new()), (second, 0, Vec::new())];
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut going = true;
    while going {
        going = false;
        for (number, (fd, cookie, seen)) in cursors.iter_mut().enumerate() {
            let (entries, _) = guest.readdir(*fd, [40, 200, 1000][number], *cookie).unwrap();
            if let Some(&(last, _)) = entries.last() {
                *cookie = last;
                going = true;
            }
            seen.extend(entries.into_iter().map(|(_, name)| String::from_utf8(name).unwrap()));
            // Every fifth name stays; others come and go.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let name = format!("name{:05}", random % 500);
            if !(random % 500).is_multiple_of(5) && guest.unlink(dir, &name).is_err() {
                guest.symlink("t", dir, &name).unwrap();
            }
        }
    }
    let stays: BTreeSet<String> = (0..500).step_by(5).map(|number| format!("name{number:05}")).collect();
    for (_, _, seen) in &cursors {
        let kept: Vec<_> = seen.iter().filter(|name| stays.contains(*name)).cloned().collect();
        assert_eq!(kept.len(), stays.len(), "one is missed or seen twice");
        assert_eq!(kept.into_iter().collect::<BTreeSet<_>>(), stays);
    }
}

#[test]
fn an_entry_that_vanishes_between_listing_and_use_is_missed_and_nothing_else() {
    let fs = FilesystemRef::new(Memory::new());
    let (mut guest, mut other) = (Puppet::on(&fs), Puppet::on(&fs));
    let dir = full(&mut guest, 10);
    let (entries, _) = guest.readdir(dir, 4096, 0).unwrap();
    for (number, (_, name)) in entries.iter().skip(2).enumerate() {
        let path = format!("dir/{}", String::from_utf8_lossy(name));
        match number % 3 {
            0 => other.unlink(ROOT, &path).unwrap(),
            1 => other.rename((ROOT, &path), (ROOT, &format!("elsewhere{number}"))).unwrap(),
            _ => {
                other.unlink(ROOT, &path).unwrap();
                other.mkdir(ROOT, &path).unwrap();
            }
        }
        let stat = guest.stat(dir, 0, name);
        if number % 3 == 2 {
            assert_eq!(stat.unwrap().kind, 3);
        } else {
            assert_eq!(stat, Err(ENOENT));
            assert_eq!(guest.unlink(dir, name), Err(ENOENT));
        }
    }
    // A cookie of a name that is gone goes on where it was.
    let (rest, _) = guest.readdir(dir, 4096, entries[5].0).unwrap();
    assert!(rest.iter().all(|(cookie, _)| *cookie < entries[5].0));
}
