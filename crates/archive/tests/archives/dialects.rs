//! What other programs write, and tar archives that are seldom: each reads as GNU tar or Python reads it.

use std::ffi::OsStr;
use std::fs;

use rustix::fs::XattrFlags;
use vnode_archive::Archive;

use crate::hostile::{ended, header};
use crate::kernel::{has_gnu_tar, tar};
use crate::tree::{Line, Mounted};

fn lines(blocks: &[&[u8]]) -> Vec<Line> {
    Mounted::new(Archive::builder().bytes(ended(blocks)).unwrap()).lines()
}

fn text(blocks: &[&[u8]]) -> String {
    Archive::builder().bytes(ended(blocks)).unwrap_err().to_string()
}

#[test]
fn fields_that_are_empty_are_zero() {
    for empty in [&[0; 12], b"\0 x         ", &[b' '; 12], b"  \0\0        "] {
        let empty = |header: &mut tar::Header| {
            let old = header.as_old_mut();
            for field in [&mut old.mode[..], &mut old.uid, &mut old.gid, &mut old.mtime, &mut old.size] {
                field.copy_from_slice(&empty[..field.len()]);
            }
            let gnu = header.as_gnu_mut().unwrap();
            gnu.dev_major.copy_from_slice(&empty[..8]);
            gnu.dev_minor.copy_from_slice(&empty[..8]);
        };
        let lines = lines(&[&header("device", b'3', empty), &header("file", b'0', empty)]);
        let told: Vec<_> = lines.iter().map(|line| (line.mode, line.owner, line.mtime, line.rdev)).collect();
        assert_eq!(told[1..], [(0o20000, (0, 0), (0, 0), 0), (0o100000, (0, 0), (0, 0), 0)]);
    }
    let wrong = header("file", b'0', |header| header.as_old_mut().mode = *b"  x\0\0\0\0\0");
    assert!(text(&[&wrong]).contains("numeric field was not a number"));
}

#[test]
fn nothing_stands_behind_a_directory() {
    let sized = |header: &mut tar::Header| header.set_size(5);
    let lines = lines(&[&header("d/", b'5', sized), &header("z", b'0', |_| ())]);
    let paths: Vec<_> = lines.iter().map(|line| line.path.as_slice()).collect();
    assert_eq!(paths[1..], [b"./d", b"./z"]);
}

#[test]
fn a_label_is_passed_over() {
    if !has_gnu_tar() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("dir")).unwrap();
    fs::write(directory.path().join("dir/file"), "content").unwrap();
    let archive = directory.path().join("tar");
    for format in ["--format=gnu", "--format=pax"] {
        let (format, from, name) = (OsStr::new(format), directory.path().as_os_str(), OsStr::new("dir"));
        let label = ["-V", "LABEL", "-C"].map(OsStr::new);
        let arguments = [&[format, OsStr::new("-cf"), archive.as_os_str()], &label[..], &[from, name]];
        tar(&arguments.concat()).unwrap();
        let mounted = Mounted::new(Archive::open(&archive).unwrap());
        assert_eq!(mounted.paths(), [".", "./dir", "./dir/file"]);
        assert_eq!(mounted.read("dir/file").unwrap(), b"content");
    }
}

/// As programs did whose `char` has a sign.
#[test]
fn sums_of_signed_bytes_are_sums() {
    let mut named = header("n\u{e4}me", b'0', |_| ());
    let sum = |block: &[u8; 512]| {
        let signed = |bytes: &[u8]| bytes.iter().map(|&byte| i32::from(byte.cast_signed())).sum::<i32>();
        signed(&block[..148]) + 256 + signed(&block[156..])
    };
    let put = |block: &mut [u8; 512], sum: i32| {
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    };
    let signed = sum(&named);
    put(&mut named, signed);
    assert_eq!(lines(&[&named])[1].path, "./n\u{e4}me".as_bytes());
    // Behind another one, too.
    assert_eq!(lines(&[&header("first", b'0', |_| ()), &named]).len(), 3);
    put(&mut named, signed + 1);
    assert!(Archive::builder().bytes(ended(&[&named])).is_err());
}

/// A pax header of records, and its content.
fn records(kind: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let len = (rest..).find(|len| rest + len.to_string().len() == *len).unwrap();
        text.push_str(&format!("{len} {key}={value}\n"));
    }
    let size = text.len() as u64;
    let mut blocks = header("pax", kind, |header| header.set_size(size)).to_vec();
    blocks.extend_from_slice(text.as_bytes());
    blocks.resize(blocks.len().next_multiple_of(512), 0);
    blocks
}

fn xattrs(line: &Line) -> Vec<(&str, &str)> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    line.xattrs.iter().map(|(name, value)| (text(name), text(value))).collect()
}

#[test]
fn names_of_attributes_are_decoded() {
    let encoded = [
        ("SCHILY.xattr.user.a%3Db%253D", "1"),
        ("SCHILY.xattr.user.%3d%2", "2"),
        ("SCHILY.xattr.user.%%3D%", "3"),
    ];
    let lines = lines(&[&records(b'x', &encoded), &header("file", b'0', |_| ())]);
    assert_eq!(xattrs(&lines[1]), [("user.%3d%2", "2"), ("user.%=%", "3"), ("user.a=b%3D", "1")]);
}

#[test]
fn names_of_attributes_are_as_gnu_tar_means_them() {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let names = ["user.a=b", "user.50%", "user.%3D", "user.=%25=", "user.plain"];
    for name in names {
        if let Err(error) = rustix::fs::setxattr(&file, name, name.as_bytes(), XattrFlags::empty()) {
            eprintln!("skipped: no attributes at {}: {error}", directory.path().display());
            return;
        }
    }
    if !has_gnu_tar() {
        return;
    }
    let archive = directory.path().join("tar");
    let how = ["--format=pax", "--xattrs", "-C"].map(OsStr::new);
    let what = [directory.path().as_os_str(), OsStr::new("-cf"), archive.as_os_str(), OsStr::new("file")];
    tar(&[&how[..], &what].concat()).unwrap();
    let lines = Mounted::new(Archive::open(&archive).unwrap()).lines();
    let mut expected = names.map(|name| (name, name));
    expected.sort_unstable();
    assert_eq!(xattrs(&lines[1]), expected);
}

#[test]
fn global_headers_hold_for_the_members_that_follow() {
    let file = |name| header(name, b'0', |header| header.set_uid(1));
    let first = [("uid", "5"), ("mtime", "10.5"), ("comment", "x"), ("SCHILY.xattr.user.a", "1")];
    let lines = lines(&[
        &file("a"),
        &records(b'g', &first),
        &file("b"),
        // Single keys are replaced.
        &records(b'g', &[("uid", "6"), ("gid", "7"), ("GNU.sparse.name", "not-here")]),
        &file("c"),
        // A member's own go over them, and an empty one is as if there were none.
        &records(b'x', &[("uid", ""), ("gid", "8"), ("SCHILY.xattr.user.a", "2"), ("mtime", "")]),
        &file("d"),
        &file("e"),
        &records(b'g', &[("uid", ""), ("SCHILY.xattr.user.a", "")]),
        &file("f"),
    ]);
    let told = |line: &Line| (line.owner, line.mtime, line.xattrs.first().map(|(_, value)| value.clone()));
    let one = |value: &[u8]| Some(value.to_vec());
    let half = (10, 500_000_000);
    let expected = [
        ((1, 0), (0, 0), None),
        ((5, 0), half, one(b"1")),
        ((6, 7), half, one(b"1")),
        ((1, 8), (0, 0), one(b"2")),
        ((6, 7), half, one(b"1")),
        ((1, 7), half, None),
    ];
    assert_eq!(lines[1..].iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(lines[6].path, b"./f");
}

#[test]
fn global_headers_name_and_measure_members() {
    let mut content = [0; 1024];
    content[..600].fill(b'x');
    let named = records(b'g', &[("path", "named"), ("size", "600"), ("linkpath", "to")]);
    let none = records(b'g', &[("path", ""), ("size", "")]);
    let lines = lines(&[
        &named,
        &header("file", b'0', |_| ()),
        &content,
        &none,
        &header("other", b'0', |_| ()),
        &header("link", b'2', |_| ()),
    ]);
    let told: Vec<_> = lines[1..].iter().map(|line| (&line.path[..], &line.what[..])).collect();
    assert_eq!(told, [(&b"./link"[..], &b"to"[..]), (b"./named", &[b'x'; 600]), (b"./other", b"")]);
}

#[test]
fn global_headers_are_bounded_and_read_right() {
    let file = header("file", b'0', |_| ());
    // In all, and not only each.
    let part = |name: &str| records(b'g', &[(name, &"v".repeat(40_000))]);
    let (one, two) = (part("SCHILY.xattr.user.one"), part("SCHILY.xattr.user.two"));
    assert_eq!(lines(&[&one, &one, &file])[1].xattrs.len(), 1);
    assert_eq!(text(&[&one, &two, &file]), "pax: the global headers take more than 64 KiB");
    // What says nothing of members is not kept.
    assert_eq!(lines(&[&records(b'g', &[("comment", &"c".repeat(100_000))]), &file]).len(), 2);
    let mut broken = records(b'g', &[("uid", "5")]);
    broken[512] = b'x';
    assert_eq!(text(&[&broken, &file]), "pax: its pax header can't be read");
}
