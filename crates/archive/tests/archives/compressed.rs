//! Archives that are compressed as a whole.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use vnode_archive::{Archive, ArchiveError};

use crate::names::{Is, packed};
use crate::tree::Mounted;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

type Pack = fn(&[u8]) -> Vec<u8>;
const PACKS: [Pack; 2] = [gzip, zstd];

#[test]
fn they_are_read_as_if_they_were_not() {
    let large: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    let plain =
        packed(&[("a/file", Is::File(b"hello")), ("a/large", Is::File(&large)), ("l", Is::Link("a/file"))]);
    let expected = Mounted::new(Archive::builder().bytes(plain.clone()).unwrap()).lines();
    assert_eq!(expected.len(), 5);
    for pack in PACKS {
        // Whole, and in two pieces that follow one another.
        for bytes in [pack(&plain), [pack(&plain[..700_001]), pack(&plain[700_001..])].concat()] {
            let archive = Archive::builder().bytes(bytes.clone()).unwrap();
            assert_eq!(archive.usage().unpacked, plain.len() as u64);
            assert!(Mounted::new(archive).lines() == expected);
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bytes).unwrap();
            assert!(Mounted::new(Archive::open(file.path()).unwrap()).lines() == expected);
        }
        let small = packed(&[("a", Is::File(b"small"))]);
        let small = Archive::builder().bytes(pack(&small)).unwrap();
        assert_eq!(Mounted::new(small).read("a").unwrap(), b"small");
    }
}

#[test]
fn bombs_are_refused_before_they_are_unpacked() {
    // 64 MiB of zeros.
    let zeros = vec![0; 1 << 20];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..64 {
        gzip.write_all(&zeros).unwrap();
        zstd.write_all(&zeros).unwrap();
    }
    for bomb in [gzip.finish().unwrap(), zstd.finish().unwrap()] {
        assert!(bomb.len() < 1 << 20);
        let error = Archive::builder().max_bytes(1 << 20).bytes(bomb.clone()).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLarge { max_bytes: 1_048_576 }), "{error}");
        assert_eq!(error.to_string(), "it unpacks to more than 1048576 bytes");
        // With room for them they are an archive without members.
        assert_eq!(Archive::builder().max_bytes(0).bytes(bomb).unwrap().usage().inodes, 1);
    }
}

#[test]
fn what_is_damaged_or_cut_is_an_error() {
    let plain = packed(&[("a", Is::File(&[7; 5000]))]);
    for (pack, name) in PACKS.into_iter().zip(["gzip", "zstd"]) {
        let whole = pack(&plain);
        for len in [5, 20, whole.len() / 2, whole.len() - 1] {
            let error = Archive::builder().bytes(&whole[..len]).unwrap_err().to_string();
            assert!(error.contains(&format!("it can't be unpacked as {name} does")), "{len}: {error}");
        }
        let mut damaged = whole.clone();
        let at = whole.len() - if name == "gzip" { 5 } else { 20 };
        damaged[at] ^= 0x55;
        assert!(Archive::builder().bytes(damaged).is_err());
        let other = pack(b"this is no archive, however long it may be");
        assert!(matches!(Archive::builder().bytes(other), Err(ArchiveError::NoArchive)));
        // Only once.
        assert!(matches!(Archive::builder().bytes(pack(&whole)), Err(ArchiveError::NoArchive)));
    }
}

#[test]
fn zeros_may_follow_what_gzip_wrote() {
    let whole = gzip(&packed(&[("a", Is::File(b"x"))]));
    let followed = |by: &[u8]| Archive::builder().bytes([&whole[..], by].concat());
    for zeros in [1, 3, 500_000] {
        assert_eq!(Mounted::new(followed(&vec![0; zeros]).unwrap()).read("a").unwrap(), b"x");
    }
    for (garbage, says) in
        [(&b"\0\0x"[..], "something stands behind its end"), (b"x", "gzip"), (b"\x1f\x8b", "gzip")]
    {
        let error = followed(garbage).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn other_programs_are_named() {
    let says = |start: &[u8]| Archive::builder().bytes([start, &[0; 600]].concat()).unwrap_err().to_string();
    assert_eq!(says(b"\xfd7zXZ\0"), "it is compressed with xz; unpack it first (xz -d)");
    assert_eq!(says(b"BZh91AY&SY"), "it is compressed with bzip2; unpack it first (bzip2 -d)");
    assert_eq!(says(b"\x04\x22\x4d\x18"), "it is compressed with lz4; unpack it first (lz4 -d)");
    assert_eq!(says(b"hello"), "it is neither a tar archive nor a zip archive");
}

#[test]
fn reading_can_be_interrupted() {
    let plain = packed(&[("a", Is::File(b"x")), ("b", Is::File(b"y"))]);
    for bytes in [plain.clone(), gzip(&plain), zstd(&plain)] {
        let mut calls = 0;
        let interrupted = Archive::builder()
            .progress(|progress| {
                calls += 1;
                assert!(progress.bytes <= progress.total);
                if progress.entries == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .bytes(bytes.clone());
        assert!(matches!(interrupted, Err(ArchiveError::Interrupted)));
        let at_once = Archive::builder().progress(|_| ControlFlow::Break(())).bytes(bytes);
        assert!(matches!(at_once, Err(ArchiveError::Interrupted)));
        assert!(calls >= 2);
    }
}

/// What is unpacked to a file takes the room of what is no zeros.
#[test]
fn zeros_take_no_room_when_they_are_unpacked() {
    let directory = tempfile::tempdir().unwrap();
    let mut file = tempfile::NamedTempFile::new_in(directory.path()).unwrap();
    let plain = packed(&[("zeros", Is::File(&vec![0; 8 << 20])), ("end", Is::File(b"x"))]);
    file.write_all(&gzip(&plain)).unwrap();
    let before = open_files();
    let archive = Archive::open(file.path()).unwrap();
    // The archive itself, and what it was unpacked to, which has no name.
    let own: Vec<_> = open_files().into_iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(Mounted::new(archive).read("zeros").unwrap(), vec![0; 8 << 20]);
    let unpacked = own.iter().find(|(_, size, _)| *size == plain.len() as u64);
    // Only Linux tells of open files.
    assert!(unpacked.is_some() || before.is_empty(), "{own:?}");
    assert!(unpacked.is_none_or(|(_, _, blocks)| blocks * 512 < 1 << 20), "{own:?}");
}

/// Inode number, size and blocks of the files that this process has open.
fn open_files() -> Vec<(u64, u64, u64)> {
    let Ok(list) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let metadata = list.filter_map(|entry| std::fs::metadata(entry.ok()?.path()).ok());
    metadata.map(|metadata| (metadata.ino(), metadata.size(), metadata.blocks())).collect()
}
