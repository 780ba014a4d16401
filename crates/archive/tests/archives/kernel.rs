//! Random trees, packed by GNU tar in each of its formats: what is read here is what the same tar unpacks.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use tempfile::TempDir;
use vnode_archive::Archive;

use crate::tree::{Line, Mounted, PAGE, of_host};

/// Something to be made, in the directory that `place` chooses among those that are there.
#[derive(Clone, Debug)]
struct Made {
    place: usize,
    name: Vec<u8>,
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    xattr: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Kind {
    Directory,
    /// Pieces of content: how many pages of a hole, and how many bytes of data behind it.
    File(Vec<(u64, usize)>, u64),
    Symlink(Vec<u8>),
    /// To one of the files that are there.
    Link(usize),
    Fifo,
    Device(u32, u32),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(b'a'..=b'e', 1..3),
        1 => vec(1_u8..=255, 1..20),
        1 => vec(b'a'..=b'z', 90..200),
    ]
    .prop_filter("a name", |name| {
        !name.contains(&b'/') && !matches!(&name[..], b"." | b"..") && name[0] != b'.'
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Directory),
        5 => (vec((0_u64..6, 0_usize..9000), 0..5), 0_u64..3).prop_map(|(pieces, tail)| Kind::File(pieces, tail)),
        1 => (vec((0_u64..3, 1_usize..4000), 30..60), 0_u64..3).prop_map(|(pieces, tail)| Kind::File(pieces, tail)),
        2 => vec(1_u8..=255, 1..150).prop_map(Kind::Symlink),
        2 => any::<usize>().prop_map(Kind::Link),
        1 => Just(Kind::Fifo),
        1 => (0_u32..4096, 0_u32..0x1000).prop_map(|(major, minor)| Kind::Device(major, minor)),
    ]
}

fn made() -> impl Strategy<Value = Made> {
    let times = (prop_oneof![0_i64..2_000_000_000, Just(0), -5_i64..5], 0_i64..1_000_000_000);
    let owner = prop_oneof![Just((0, 0)), (0_u32..0x1f_ffff, 0_u32..0x1f_ffff)];
    (
        any::<usize>(),
        name(),
        kind(),
        0_u32..0o10000,
        owner,
        times,
        proptest::option::of(vec(any::<u8>(), 0..50)),
    )
        .prop_map(|(place, name, kind, mode, owner, mtime, xattr)| Made {
            place,
            name,
            kind,
            mode,
            owner,
            mtime,
            xattr,
        })
}

/// How GNU tar is to pack.
const FORMATS: &[&[&str]] = &[
    &["--format=ustar"],
    &["--format=gnu"],
    &["--format=gnu", "--sparse"],
    &["--format=pax", "--xattrs"],
    &["--format=pax", "--xattrs", "--sparse", "--sparse-version=0.0"],
    &["--format=pax", "--sparse", "--sparse-version=0.1"],
    &["--format=pax", "--sparse", "--sparse-version=1.0"],
];

/// A directory on tmpfs, which has holes of pages, extended attributes and nanoseconds.
fn directory() -> Option<TempDir> {
    const TMPFS_MAGIC: i128 = 0x0102_1994;
    let shm = Path::new("/dev/shm");
    let is_tmpfs = rustix::fs::statfs(shm).is_ok_and(|figures| i128::from(figures.f_type) == TMPFS_MAGIC);
    tempfile::tempdir_in(shm).ok().filter(|_| is_tmpfs)
}

fn make(root: &Path, list: &[Made]) {
    let is_root = rustix::process::geteuid().is_root();
    let (mut directories, mut files, mut all) = (vec![root.to_owned()], Vec::<PathBuf>::new(), Vec::new());
    for made in list {
        let path = directories[made.place % directories.len()].join(OsStr::from_bytes(&made.name));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match &made.kind {
            Kind::Directory => {
                fs::create_dir(&path).unwrap();
                directories.push(path.clone());
            }
            Kind::File(pieces, tail) => {
                write(&path, pieces, *tail);
                files.push(path.clone());
            }
            Kind::Symlink(target) => {
                symlink(OsStr::from_bytes(target), &path).unwrap();
                files.push(path.clone());
            }
            Kind::Link(_) if files.is_empty() => continue,
            Kind::Link(number) => {
                fs::hard_link(&files[number % files.len()], &path).unwrap();
                continue;
            }
            Kind::Fifo => rustix::fs::mkfifoat(CWD, &path, Mode::from(0o600)).unwrap(),
            Kind::Device(..) if !is_root => continue,
            Kind::Device(major, minor) => {
                let device = rustix::fs::makedev(*major, *minor);
                rustix::fs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::from(0o600), device)
                    .unwrap();
            }
        }
        all.push((path, made));
    }
    // From below, so that no directory's time changes any more.
    for (path, made) in all.iter().rev() {
        dress(path, made, is_root);
    }
}

fn write(path: &Path, pieces: &[(u64, usize)], tail: u64) {
    let file = fs::File::create(path).unwrap();
    let mut at = 0;
    for &(hole, data) in pieces {
        at += hole * PAGE;
        let bytes: Vec<u8> = (0..data).map(|index| (at as usize + index) as u8 | 1).collect();
        file.write_all_at(&bytes, at).unwrap();
        at = (at + data as u64).next_multiple_of(if hole == 0 { 1 } else { PAGE });
    }
    file.set_len(at + tail * PAGE).unwrap();
}

fn dress(path: &Path, made: &Made, is_root: bool) {
    let is_link = matches!(made.kind, Kind::Symlink(_));
    if is_root {
        std::os::unix::fs::lchown(path, Some(made.owner.0), Some(made.owner.1)).unwrap();
    }
    if !is_link {
        if let Some(value) = &made.xattr {
            // Not every filesystem has them, nor every type of file.
            let _ = rustix::fs::setxattr(path, "user.test", value, XattrFlags::empty());
        }
        let readable = if is_root { 0 } else { 0o700 };
        fs::set_permissions(path, fs::Permissions::from_mode(made.mode | readable)).unwrap();
    }
    let time = Timespec { tv_sec: made.mtime.0, tv_nsec: made.mtime.1 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Whether `tar(1)` is GNU's.
pub(crate) fn has_gnu_tar() -> bool {
    let version = Command::new("tar").arg("--version").output();
    let is_gnu = version.is_ok_and(|output| output.stdout.starts_with(b"tar (GNU tar)"));
    if !is_gnu {
        eprintln!("skipped: no GNU tar here");
    }
    is_gnu
}

/// Runs `tar(1)`, and answers what it complains of if it fails.
pub(crate) fn tar(arguments: &[&OsStr]) -> Result<(), String> {
    let output = Command::new("tar").args(arguments).env("LC_ALL", "C").output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn compare(list: &[Made], format: &[&str]) {
    let (Some(packed), Some(unpacked)) = (directory(), directory()) else {
        eprintln!("skipped: no tmpfs at /dev/shm");
        return;
    };
    let tree = packed.path().join("tree");
    fs::create_dir(&tree).unwrap();
    make(&tree, list);
    let archive = packed.path().join("tar");
    let mut pack: Vec<&OsStr> = ["--numeric-owner", "-C"].map(OsStr::new).to_vec();
    pack.extend([tree.as_os_str(), OsStr::new("-cf"), archive.as_os_str(), OsStr::new(".")]);
    // Before the names.
    pack.splice(0..0, format.iter().map(OsStr::new));
    // What doesn't fit into the oldest format is left out.
    let whole = tar(&pack);
    assert!(whole.is_ok() || format == FORMATS[0], "{whole:?}");
    let unpack = ["--numeric-owner", "--xattrs", "-xpf"].map(OsStr::new);
    let into = [OsStr::new("-C"), unpacked.path().as_os_str()];
    let unpacks = tar(&[&unpack[..], &[archive.as_os_str()], &into].concat());
    // A link may be to what was left out.
    assert!(unpacks.is_ok() || whole.is_err(), "{unpacks:?}");
    let opened = Archive::open(&archive);
    if unpacks.is_err() {
        assert!(opened.is_err(), "{unpacks:?}");
        return;
    }
    let expected = of_host(unpacked.path());
    let mounted = Mounted::new(opened.unwrap());
    let found = mounted.lines();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(short(found), short(expected), "{format:?}");
        assert!(found == expected);
    }
    assert_eq!(mounted.with(|caller| caller.statfs_place(caller.root).unwrap().files), inodes(&expected));
}

fn inodes(lines: &[Line]) -> u64 {
    lines.iter().filter(|line| !line.what.starts_with(b"is ")).count() as u64
}

/// Content by its length, so that what is different can be read.
fn short(line: &Line) -> Line {
    let what =
        if line.what.len() > 300 { line.what.len().to_string().into_bytes() } else { line.what.clone() };
    Line { what, ..line.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 5, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_archive_reads_as_it_unpacks(list in vec(made(), 0..25), format in 0..FORMATS.len()) {
        if has_gnu_tar() {
            compare(&list, FORMATS[format]);
        }
    }
}

/// All formats of one tree that has everything.
#[test]
fn every_format_is_read() {
    if !has_gnu_tar() {
        return;
    }
    let with = |name: &str, kind| Made {
        place: 1,
        name: name.into(),
        kind,
        mode: 0o4751,
        owner: (1000, 0x1f_0000),
        mtime: (1_000_000_000, 123_456_789),
        xattr: Some(b"blue".to_vec()),
    };
    let list = [
        with("dir", Kind::Directory),
        with("sparse", Kind::File((0..40).map(|_| (2, 5000)).collect(), 3)),
        with("empty", Kind::File(vec![], 0)),
        with("only-hole", Kind::File(vec![], 3)),
        with("second", Kind::Link(0)),
        with("link", Kind::Symlink(b"../x/./y//".to_vec())),
        with("link2", Kind::Link(3)),
        with("fifo", Kind::Fifo),
        with("null", Kind::Device(1, 3)),
    ];
    for format in FORMATS {
        compare(&list, format);
    }
}
