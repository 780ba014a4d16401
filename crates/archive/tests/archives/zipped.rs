//! Zip archives.

use std::io::{Cursor, Write as _};

use vnode_archive::{Archive, ArchiveError, PathProblem};
use vnode_core::fs::InPlace;
use vnode_core::{Errno, FileType};
use zip::write::{ExtendedFileOptions, FileOptions, SimpleFileOptions};
use zip::{CompressionMethod, ZipWriter};

use crate::tree::Mounted;

fn options(method: CompressionMethod, mode: u32) -> SimpleFileOptions {
    let time = zip::DateTime::from_date_and_time(2001, 9, 9, 1, 46, 40).unwrap();
    SimpleFileOptions::default().compression_method(method).unix_permissions(mode).last_modified_time(time)
}

fn stored() -> SimpleFileOptions {
    options(CompressionMethod::Stored, 0o640)
}

fn deflated() -> SimpleFileOptions {
    options(CompressionMethod::Deflated, 0o755)
}

fn packed(fill: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    fill(&mut zip);
    zip.finish().unwrap().into_inner()
}

fn put(zip: &mut ZipWriter<Cursor<Vec<u8>>>, name: &str, options: SimpleFileOptions, content: &[u8]) {
    zip.start_file(name, options).unwrap();
    zip.write_all(content).unwrap();
}

/// Content that doesn't vanish when it is deflated.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn stored_and_deflated_members_are_read() {
    let large = noise(3 << 20);
    let bytes = packed(|zip| {
        put(zip, "implied/stored", stored(), b"in place");
        put(zip, "deflated", deflated(), &large);
        put(zip, "small", deflated(), b"a small one");
        put(zip, "empty", deflated(), b"");
        zip.add_directory("dir", options(CompressionMethod::Stored, 0o711)).unwrap();
        zip.add_symlink("link", "implied/stored", stored()).unwrap();
    });
    let archive = Archive::builder().bytes(bytes).unwrap();
    let usage = archive.usage();
    assert_eq!((usage.inodes, usage.bytes, usage.unpacked), (8, 8 + large.len() as u64 + 11, 0));
    let mounted = Mounted::new(archive);
    assert_eq!(
        mounted.paths(),
        [".", "./deflated", "./dir", "./empty", "./implied", "./implied/stored", "./link", "./small"]
    );
    assert_eq!(mounted.read("link").unwrap(), b"in place");
    assert_eq!(mounted.read("small").unwrap(), b"a small one");
    assert_eq!(mounted.read("empty").unwrap(), b"");
    assert!(mounted.read("deflated").unwrap() == large);
    let attr = |path| {
        let attr = mounted.attr(path).unwrap();
        (attr.st_mode(), attr.uid, attr.size, attr.mtime.sec)
    };
    assert_eq!(attr("deflated"), (0o100755, 0, large.len() as u64, 1_000_000_000));
    assert_eq!(attr("implied/stored"), (0o100640, 0, 8, 1_000_000_000));
    // As Linux's tmpfs counts the size of a directory.
    assert_eq!(attr("dir"), (0o40711, 0, 40, 1_000_000_000));
    assert_eq!(mounted.attr("link").unwrap().kind, FileType::Symlink);
    // Both lie in memory by now.
    for path in ["implied/stored", "small", "deflated"] {
        let file = mounted.open(path).unwrap();
        let lent = mounted.with(|caller| file.in_place(caller.cx, 0, 5).unwrap());
        assert!(matches!(lent, InPlace::Bytes(bytes) if bytes.len() == 5), "{path}");
    }
}

/// A number for extra fields that the writer lets through.
const UNKNOWN: u16 = 0xfeed;

/// An archive of one file with such a field in the list of members, which is then one of Info-ZIP's.
fn with_field(kind: [u8; 2], data: &[u8]) -> Vec<u8> {
    let mut bytes = packed(|zip| {
        let mut options = FileOptions::<ExtendedFileOptions>::default();
        options.add_extra_field(UNKNOWN, data, true).unwrap();
        zip.start_file("file", options.compression_method(CompressionMethod::Stored)).unwrap();
    });
    let at = bytes.windows(2).position(|window| window == UNKNOWN.to_le_bytes()).unwrap();
    bytes[at..at + 2].copy_from_slice(&kind);
    bytes
}

#[test]
fn owners_and_times_of_extra_fields_are_taken() {
    let opened = |kind, data: &[u8]| Archive::builder().bytes(with_field(kind, data));
    let attr = |kind, data: &[u8]| Mounted::new(opened(kind, data).unwrap()).attr("file").unwrap();
    let time = attr(*b"UT", &[&[1][..], &1_234_567_890_u32.to_le_bytes()].concat());
    assert_eq!((time.mtime.sec, time.mtime.nsec), (1_234_567_890, 0));
    let owners = |uid: u32| [&[1, 4][..], &uid.to_le_bytes(), &[4], &80_000_u32.to_le_bytes()].concat();
    let owned = attr(*b"ux", &owners(70_000));
    assert_eq!((owned.uid, owned.gid), (70_000, 80_000));
    let text = opened(*b"ux", &owners(u32::MAX)).unwrap_err().to_string();
    assert_eq!(text, "file: its uid 4294967295 is not from 0 to 4294967294");
}

#[test]
fn damaged_members_are_eio_and_the_others_are_read() {
    let content = noise(200_000);
    let whole = packed(|zip| {
        put(zip, "large", deflated(), &content);
        put(zip, "small", deflated(), &content[..500]);
        put(zip, "good", deflated(), b"good");
    });
    // The sums in the list of members, whose entries begin with "PK\1\2" and have them at 16.
    let mut damaged = whole.clone();
    let entries: Vec<_> = (0..whole.len() - 4).filter(|&at| whole[at..].starts_with(b"PK\x01\x02")).collect();
    assert_eq!(entries.len(), 3);
    for at in &entries[..2] {
        damaged[at + 16] ^= 1;
    }
    let archive = Archive::builder().bytes(damaged).unwrap();
    let mounted = Mounted::new(archive);
    for path in ["large", "small"] {
        assert_eq!(mounted.read(path).err(), Some(Errno::IO));
        assert_eq!(mounted.read(path).err(), Some(Errno::IO));
    }
    assert_eq!(mounted.read("good").unwrap(), b"good");
    // A size that is not the one that it unpacks to.
    for (by, path) in [(1_u8, "small"), (0x80, "small")] {
        let mut damaged = whole.clone();
        damaged[entries[1] + 24] ^= by;
        let mounted = Mounted::new(Archive::builder().bytes(damaged).unwrap());
        assert_eq!(mounted.read(path).err(), Some(Errno::IO));
    }
    // Bytes of what is packed.
    let mut damaged = whole.clone();
    damaged[1000..1100].fill(0xff);
    let mounted = Mounted::new(Archive::builder().bytes(damaged).unwrap());
    assert_eq!(mounted.read("large").err(), Some(Errno::IO));
}

#[test]
fn what_is_unpacked_is_bounded() {
    let content = noise(100_000);
    let bytes = packed(|zip| {
        for name in ["a", "b", "c"] {
            put(zip, name, deflated(), &content);
        }
        put(zip, "stored", stored(), &content);
    });
    let archive = Archive::builder().max_bytes(250_000).bytes(bytes).unwrap();
    let mounted = Mounted::new(archive);
    assert!(mounted.read("a").unwrap() == content && mounted.read("c").unwrap() == content);
    assert_eq!(mounted.read("b").err(), Some(Errno::IO));
    // What was unpacked stays, and what is stored takes no room.
    assert!(mounted.read("a").unwrap() == content && mounted.read("stored").unwrap() == content);
}

/// Many members of one and the same content ("A better zip bomb", D. Fifield).
#[test]
fn members_that_overlap_are_bounded() {
    const MEMBERS: usize = 200;
    let bytes = packed(|zip| {
        put(zip, "0", deflated(), &vec![0; 1 << 20]);
        for number in 1..MEMBERS {
            zip.shallow_copy_file("0", &number.to_string()).unwrap();
        }
    });
    assert!(bytes.len() < 64 << 10);
    let archive = Archive::builder().max_bytes(5 << 20).bytes(bytes).unwrap();
    assert_eq!(archive.usage().bytes, (MEMBERS << 20) as u64);
    let mounted = Mounted::new(archive);
    let read = (0..MEMBERS).filter(|number| mounted.read(&number.to_string()).is_ok()).count();
    assert_eq!(read, 5);
}

#[test]
fn what_cant_be_read_is_said_at_once() {
    let error = |bytes: Vec<u8>| Archive::builder().bytes(bytes).unwrap_err();
    // The writer takes no such names; the list of members does.
    let renamed = |to: &str| {
        let bytes = packed(|zip| put(zip, &"x".repeat(to.len()), stored(), b""));
        let from = "x".repeat(to.len());
        let mut bytes = bytes;
        for at in 0..bytes.len() - to.len() {
            if bytes[at..].starts_with(from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        bytes
    };
    for (name, expected) in [
        ("../../etc/passwd", PathProblem::DotDot),
        ("/etc/passwd", PathProblem::Absolute),
        ("nul\0byte", PathProblem::Nul),
    ] {
        match error(renamed(name)) {
            ArchiveError::Path { path, problem } => {
                assert_eq!((path, problem), (name.as_bytes().to_vec(), expected));
            }
            other => panic!("{other}"),
        }
    }
    let mut method = packed(|zip| put(zip, "file", stored(), b"x"));
    let entry = method.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    for at in [8, entry + 10] {
        method[at] = 12;
    }
    let text = error(method).to_string();
    assert!(
        text.starts_with("file: it is compressed with ") && text.ends_with("vnode only knows deflate"),
        "{text}"
    );
    let mut encrypted = packed(|zip| put(zip, "file", stored(), b"x"));
    encrypted[6] |= 1;
    encrypted[entry + 8] |= 1;
    assert_eq!(error(encrypted).to_string(), "file: it is encrypted");
    let whole = packed(|zip| put(zip, "file", stored(), &noise(5000)));
    for len in [4, 2000, whole.len() - 30, whole.len() - 1] {
        let text = error(whole[..len].to_vec()).to_string();
        assert!(text.starts_with("it can't be read as a zip archive"), "{text}");
    }
    let target = packed(|zip| zip.add_symlink("link", "x".repeat(5000), stored()).unwrap());
    assert!(error(target).to_string().contains("link: the target of the link has"));
    assert!(matches!(
        Archive::builder().max_inodes(2).bytes(packed(|zip| put(zip, "a/b/c", stored(), b""))),
        Err(ArchiveError::TooMany { max_inodes: 2 })
    ));
    // Nothing in it is no error.
    assert_eq!(Archive::builder().bytes(packed(|_| ())).unwrap().usage().inodes, 1);
}

#[test]
fn an_end_that_tells_of_no_members_is_no_end_of_some() {
    let mut bytes = packed(|zip| put(zip, "file", stored(), b"x"));
    let end = bytes.len() - 22;
    bytes[end + 8..end + 12].fill(0);
    let text = Archive::builder().bytes(bytes).unwrap_err().to_string();
    assert_eq!(text, "its end tells of no members, and there is a list of them");
}

/// As Python's zipapp and what unpacks itself have it.
#[test]
fn a_program_may_stand_before_an_archive() {
    let large = noise(100_000);
    let bytes = packed(|zip| {
        put(zip, "__main__.py", stored(), b"print()");
        put(zip, "large", deflated(), &large);
        zip.add_symlink("link", "large", stored()).unwrap();
        zip.set_comment("a comment").unwrap();
    });
    for len in [1, 30, 600, 100_000] {
        let program = [b"#!/usr/bin/env python3\n".repeat(len / 23), vec![b'\n'; len % 23]].concat();
        let mounted = Mounted::new(Archive::builder().bytes([program, bytes.clone()].concat()).unwrap());
        assert_eq!(mounted.paths(), [".", "./__main__.py", "./large", "./link"]);
        assert_eq!(mounted.read("__main__.py").unwrap(), b"print()");
        assert!(mounted.read("link").unwrap() == large);
    }
    let without = Archive::builder().bytes(b"#!/usr/bin/env python3\nprint()".repeat(5000));
    assert!(matches!(without, Err(ArchiveError::NoArchive)));
}

/// A tar archive is one whatever it ends with.
#[test]
fn a_tar_archive_of_a_zip_archive_is_a_tar_archive() {
    let zip = packed(|zip| put(zip, "inner", stored(), b"x"));
    let tar = crate::names::packed(&[("outer.zip", crate::names::Is::File(&zip))]);
    assert_eq!(Mounted::new(Archive::builder().bytes(tar).unwrap()).paths(), [".", "./outer.zip"]);
}

/// As many entries as need the larger format.
#[test]
fn large_lists_are_read() {
    let bytes = packed(|zip| {
        for number in 0..70_000 {
            zip.start_file(format!("d{}/{number}", number % 100), stored()).unwrap();
        }
    });
    let archive = Archive::builder().bytes(bytes).unwrap();
    assert_eq!(archive.usage().inodes, 70_101);
    let mounted = Mounted::new(archive);
    assert_eq!(mounted.attr("d99/69999").unwrap().size, 0);
}
