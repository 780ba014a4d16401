//! `fd_readdir`.

use std::collections::BTreeMap;

use vnode_core::Errno;
use vnode_wasi::preview1;

use crate::guest::*;

/// What one call put into the buffer.
fn fill(guest: &mut Guest, fd: u32, len: u32, cookie: u64) -> Got<Vec<u8>> {
    guest.put(BUFFER, &vec![0xee; len as usize + 1]);
    guest.call(|p, m| preview1::fd_readdir(p, m, fd, BUFFER, len, cookie, RESULT))?;
    let used = guest.u32(RESULT);
    assert!(used <= len);
    assert_eq!(guest.get(BUFFER + used, 1), [0xee], "nothing past what was used");
    Ok(guest.get(BUFFER, used))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    next: u64,
    ino: u64,
    kind: u8,
    name: Vec<u8>,
}

/// The whole entries of a buffer.
fn parse(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while bytes.len() >= 24 {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let len = number(16) as u32 as usize;
        assert_eq!(bytes[21..24], [0; 3]);
        if bytes.len() < 24 + len {
            break;
        }
        let name = bytes[24..24 + len].to_vec();
        entries.push(Entry { next: number(0), ino: number(8), kind: bytes[20], name });
        bytes = &bytes[24 + len..];
    }
    entries
}

/// As a C library reads a directory with a buffer of `len` bytes.
fn scan(guest: &mut Guest, fd: u32, len: u32) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut cookie = 0;
    loop {
        let bytes = fill(guest, fd, len, cookie).unwrap();
        let entries = parse(&bytes);
        let ended = bytes.len() < len as usize;
        assert!(ended || !entries.is_empty(), "no progress at {cookie}");
        cookie = entries.last().map_or(cookie, |entry| entry.next);
        all.extend(entries);
        if ended {
            return all;
        }
    }
}

fn populated(count: usize) -> (Guest, u32) {
    let mut guest = Guest::new();
    guest.mkdir("d").unwrap();
    for index in 0..count {
        guest.file(&format!("d/{}", "n".repeat(index % 7) + &index.to_string()), b"");
    }
    guest.symlink("x", "d/link").unwrap();
    let fd = guest.open("d", DIRECTORY, READ).unwrap();
    (guest, fd)
}

#[test]
fn any_buffer_size_gives_the_same_listing() {
    let (mut guest, fd) = populated(40);
    let all = scan(&mut guest, fd, 0x8000);
    assert_eq!(all.len(), 43);
    assert_eq!((&all[0].name[..], &all[1].name[..]), (&b"."[..], &b".."[..]));
    let names: BTreeMap<_, _> = all.iter().map(|entry| (entry.name.clone(), entry.kind)).collect();
    assert_eq!(names.len(), 43);
    assert_eq!(names[&b"link"[..]], 7);
    assert_eq!(names[&b"."[..]], 3);
    assert_eq!(names[&b"nn9"[..]], 4);
    for entry in &all[2..] {
        let stat = guest.stat([b"d/", &entry.name[..]].concat(), 0).unwrap();
        assert_eq!(stat[8..16], entry.ino.to_le_bytes());
    }
    for len in (33..120).chain([1000]) {
        assert_eq!(scan(&mut guest, fd, len), all, "{len}");
    }
}

#[test]
fn records_are_cut_off_where_the_buffer_ends() {
    let (mut guest, fd) = populated(10);
    let whole = fill(&mut guest, fd, 0x8000, 0).unwrap();
    for len in 0..whole.len() as u32 {
        assert_eq!(fill(&mut guest, fd, len, 0).unwrap(), whole[..len as usize], "{len}");
    }
    assert_eq!(fill(&mut guest, fd, whole.len() as u32, 0).unwrap(), whole);
    let last = parse(&whole).pop().unwrap();
    assert_eq!(fill(&mut guest, fd, 100, last.next).unwrap(), []);
}

#[test]
fn a_listing_goes_on_from_any_cookie() {
    let (mut guest, fd) = populated(20);
    let all = scan(&mut guest, fd, 0x8000);
    for (index, entry) in all.iter().enumerate().rev() {
        let rest = parse(&fill(&mut guest, fd, 0x8000, entry.next).unwrap());
        assert_eq!(rest, all[index + 1..]);
    }
    // Numbers that no entry has are no harm.
    for cookie in [u64::MAX, i64::MAX as u64, 1 << 63] {
        assert!(fill(&mut guest, fd, 200, cookie).is_ok());
    }
}

#[test]
fn removing_what_was_read_skips_nothing() {
    let (mut guest, fd) = populated(50);
    let mut cookie = 0;
    let mut removed = 0;
    loop {
        let bytes = fill(&mut guest, fd, 90, cookie).unwrap();
        for entry in parse(&bytes) {
            cookie = entry.next;
            if entry.name != b"." && entry.name != b".." {
                guest.unlink(&format!("d/{}", String::from_utf8(entry.name).unwrap())).unwrap();
                removed += 1;
            }
        }
        if bytes.len() < 90 {
            break;
        }
    }
    assert_eq!(removed, 51);
    assert_eq!(guest.rmdir("d"), Ok(()));
    assert_eq!(fill(&mut guest, fd, 90, 0), Err(Errno::NOENT));
}

#[test]
fn addresses_and_types_are_checked() {
    let (mut guest, fd) = populated(1);
    let list = |guest: &mut Guest, fd, buf, len, used| {
        guest.call(|p, m| preview1::fd_readdir(p, m, fd, buf, len, 0, used))
    };
    assert_eq!(list(&mut guest, fd, OUTSIDE, 100, RESULT), Err(Errno::FAULT));
    assert_eq!(list(&mut guest, fd, BUFFER, u32::MAX, RESULT), Err(Errno::FAULT));
    assert_eq!(list(&mut guest, fd, BUFFER, 100, OUTSIDE), Err(Errno::FAULT));
    assert_eq!(list(&mut guest, fd, u32::MAX, 0, RESULT), Ok(()));
    guest.file("a", b"");
    let file = guest.open("a", 0, READ).unwrap();
    assert_eq!(list(&mut guest, file, BUFFER, 100, RESULT), Err(Errno::NOTDIR));
    assert_eq!(list(&mut guest, 99, BUFFER, 100, RESULT), Err(Errno::BADF));
}
