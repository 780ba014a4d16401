//! Changes as archives: what is read back, over what there was, is what the view shows.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use support::as_root;
use support::guest::Guest;
use support::steps::{carry_out, place, step};
use vnode_archive::Archive;
use vnode_core::fs::{Access, Filesystem as _, NewKind, Remove, Rename, SetXattr};
use vnode_core::io::Source;
use vnode_core::{FilesystemRef, SetAttr, SetTime, Timespec};
use vnode_memory::Memory;
use vnode_sandbox::{Exclude, ExportError, ExportFormat, ExportOptions, ExportTimes, Exported, Found, View};

fn options(format: ExportFormat) -> ExportOptions {
    ExportOptions { format, ..ExportOptions::default() }
}

fn try_export(view: &View, options: &ExportOptions) -> Result<(Vec<u8>, Exported), ExportError> {
    as_root(|cx| {
        let mut bytes = Vec::new();
        let exported = view.export(cx, &view.changes(cx).unwrap(), options, &mut bytes)?;
        assert_eq!(exported.bytes, bytes.len() as u64);
        Ok((bytes, exported))
    })
}

fn export(view: &View, options: &ExportOptions) -> Vec<u8> {
    try_export(view, options).unwrap().0
}

/// An archive as a filesystem.
fn read(bytes: Vec<u8>, is_layer: bool) -> FilesystemRef {
    FilesystemRef::new::<Archive>(Archive::builder().layer(is_layer).bytes(bytes).unwrap())
}

/// All there is: type, permissions, owner, attributes, content, and which other names it has; times, if they count.
fn all(fs: &FilesystemRef, times: bool) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut names: BTreeMap<(u64, u64), BTreeSet<String>> = BTreeMap::new();
    as_root(|cx| {
        let root = fs.root();
        let attr = fs.getattr(cx, &root).unwrap();
        let mut left = vec![(String::new(), Found { filesystem: fs.clone(), inode: root, attr })];
        while let Some((path, here)) = left.pop() {
            if here.kind().is_dir() {
                for name in here.names(cx).unwrap() {
                    let path = format!("{path}/{}", name.escape_ascii());
                    left.push((path, here.child(cx, &name).unwrap().unwrap()));
                }
            }
            if path.is_empty() {
                continue;
            }
            let attr = here.attr;
            // Those of links are nobody's to change.
            let mode = if attr.kind.is_symlink() { 0o777 } else { attr.mode.raw() };
            let mut told = format!("{:?} {mode:o} {}:{}", attr.kind, attr.uid, attr.gid);
            if here.kind().is_symlink() {
                told += &format!(" -> {}", here.target(cx).unwrap().escape_ascii());
            } else if matches!(here.kind(), vnode_core::FileType::Regular) {
                let mut bytes = vec![0; 1000];
                let read = here.read_at(cx, 0, &mut bytes).unwrap();
                told += &format!(" {} {}", attr.size, bytes[..read].escape_ascii());
            }
            if !here.kind().is_symlink() {
                told += &format!(" {:?} {:?}", here.device(), here.xattrs(cx).unwrap_or_default());
            }
            if times {
                told += &format!(" {:?}", attr.mtime);
            }
            if !here.kind().is_dir() {
                names.entry((attr.dev, attr.ino)).or_default().insert(path.clone());
            }
            found.insert(path, told);
        }
    });
    for paths in names.into_values().filter(|paths| paths.len() > 1) {
        for path in &paths {
            *found.get_mut(path).unwrap() += &format!(" = {paths:?}");
        }
    }
    found
}

/// What a layer makes of what there was.
fn layered(layer: Vec<u8>, base: View) -> BTreeMap<String, String> {
    let layered = View::of_filesystem(read(layer, true)).over_filesystem(base.filesystem).open().unwrap();
    all(&layered.filesystem, false)
}

#[track_caller]
fn assert_round_trip(view: &View, base: View) {
    let shown = all(&view.filesystem, false);
    let layer = export(view, &options(ExportFormat::Layer));
    let names = names(&layer);
    assert_eq!(layered(layer, base), shown, "\n{names:#?}");
    let tree = export(view, &options(ExportFormat::Tree));
    assert_eq!(all(&read(tree, false), false), shown);
}

/// The names of an archive's members.
fn names(bytes: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap();
    entries.map(|entry| entry.unwrap().path_bytes().escape_ascii().to_string()).collect()
}

fn set_xattr(view: &View, path: &str, name: &[u8], value: &[u8]) {
    let guest = Guest(&view.filesystem);
    as_root(|cx| view.filesystem.set_xattr(cx, &guest.node(cx, path)?, name, value, SetXattr::Any)).unwrap();
}

fn set(view: &View, path: &str, set: &SetAttr) {
    as_root(|cx| view.filesystem.setattr(cx, &Guest(&view.filesystem).node(cx, path)?, set)).unwrap();
}

/// A view of a tree in memory, with changes of every kind; and the same without changes.
fn changed() -> (View, View) {
    let base = FilesystemRef::new::<Memory>(Memory::new());
    let guest = Guest(&base);
    for dir in ["d", "d/sub", "gone", "gone/in", "moved", "moved/in", "swap", "untouched", "empty"] {
        guest.make(dir, NewKind::Directory).unwrap();
    }
    for file in
        ["d/f", "d/sub/g", "gone/in/f", "moved/in/f", "moved/f", "swap/f", "untouched/f", "a", "b", "empty/x"]
    {
        guest.write(file, file).unwrap();
    }
    guest.link("a", "untouched/a too").unwrap();
    let view = View::of_filesystem(base.clone()).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.write("a", "other").unwrap();
    guest.remove("gone/in/f", Remove::File).unwrap();
    guest.remove("gone/in", Remove::Directory).unwrap();
    guest.remove("gone", Remove::Directory).unwrap();
    guest.rename("moved", "other", Rename::Replace).unwrap();
    guest.make("moved", NewKind::Directory).unwrap();
    guest.write("moved/new", "new").unwrap();
    guest.write("other/f", "changed").unwrap();
    guest.rename("b", "d/b", Rename::Replace).unwrap();
    guest.rename("swap", "d/sub", Rename::Exchange).unwrap();
    guest.remove("empty/x", Remove::File).unwrap();
    for (path, kind) in [
        ("dangling", NewKind::Symlink(b"\xff nowhere")),
        ("d/null", NewKind::CharDevice(0x103)),
        ("d/disk", NewKind::BlockDevice(0x12_3456)),
        ("d/pipe", NewKind::Fifo),
    ] {
        guest.make(path, kind).unwrap();
    }
    let long = "n".repeat(255);
    guest.make(&long, NewKind::Directory).unwrap();
    guest.write(format!("{long}/{long}"), "long").unwrap();
    guest.link(format!("{long}/{long}"), "link").unwrap();
    guest.make("link to long", NewKind::Symlink(long.as_bytes())).unwrap();
    guest.write("-new\nline", "").unwrap();
    guest.write("sticky", "").unwrap();
    set(&view, "sticky", &SetAttr { uid: Some(u32::MAX - 1), gid: Some(7), ..SetAttr::default() });
    guest.chmod("sticky", 0o7777).unwrap();
    set_xattr(&view, "sticky", b"user.a=%b", b"\0\xff=\n");
    set_xattr(&view, "other", b"user.d", b"");
    (view, View::of_filesystem(base).open().unwrap())
}

#[test]
fn a_layer_over_what_there_was_is_what_the_view_shows() {
    let (view, base) = changed();
    assert_round_trip(&view, base);
}

#[test]
fn members_are_in_order_and_tell_what_is_gone() {
    let (view, _) = changed();
    let short = |names: Vec<String>| -> Vec<String> {
        names.into_iter().map(|name| name.replace(&"n".repeat(255), "nnn")).collect()
    };
    assert_eq!(
        short(names(&export(&view, &options(ExportFormat::Layer)))),
        [
            ".wh.b",
            ".wh.gone",
            "-new\\nline",
            "a",
            "d/",
            "d/b",
            "d/disk",
            "d/null",
            "d/pipe",
            "d/sub/",
            "d/sub/.wh..wh..opq",
            "d/sub/f",
            "dangling",
            "empty/",
            "empty/.wh.x",
            "link",
            "link to long",
            "moved/",
            "moved/.wh..wh..opq",
            "moved/new",
            "nnn/",
            "nnn/nnn",
            "other/",
            "other/f",
            "other/in/",
            "other/in/f",
            "sticky",
            "swap/",
            "swap/.wh..wh..opq",
            "swap/g",
            "untouched/",
            "untouched/a too",
        ]
    );
    let of_changes = short(names(&export(&view, &options(ExportFormat::Tar))));
    assert!(
        of_changes.contains(&"other/in/f".to_owned()) && of_changes.iter().all(|name| !name.contains(".wh."))
    );
}

#[test]
fn the_same_changes_are_the_same_bytes() {
    let ((one, _), (other, _)) = (changed(), changed());
    // As if at another time.
    for path in ["a", "d", "other/in/f", "sticky"] {
        let time = Some(SetTime::To(Timespec { sec: 1_700_000_000, nsec: 5 }));
        set(&other, path, &SetAttr { mtime: time, atime: time, ..SetAttr::default() });
    }
    for format in [ExportFormat::Layer, ExportFormat::Tar, ExportFormat::Tree] {
        assert_eq!(export(&one, &options(format)), export(&other, &options(format)), "{format:?}");
        let kept = ExportOptions { times: ExportTimes::Keep, ..options(format) };
        assert_ne!(export(&one, &kept), export(&other, &kept));
    }
    let then = ExportTimes::source_date_epoch(Some("1700000000")).unwrap();
    let dated = export(&one, &ExportOptions { times: then, ..ExportOptions::default() });
    let mut archive = tar::Archive::new(&dated[..]);
    assert!(
        archive.entries().unwrap().all(|entry| entry.unwrap().header().mtime().unwrap() == 1_700_000_000)
    );
    assert_eq!(ExportTimes::source_date_epoch(None), Some(ExportTimes::default()));
    for bad in ["", "-1", "x", "99999999999999999999"] {
        assert_eq!(ExportTimes::source_date_epoch(Some(bad)), None);
    }
}

#[test]
fn times_are_kept_to_the_nanosecond() {
    let (view, _) = changed();
    for (path, sec, nsec) in [
        ("a", -2, 750_000_000),
        ("d/b", 1, 1),
        ("sticky", 1 << 40, 0),
        ("other/in", 5, 999_999_999),
        ("dangling", 3, 4),
    ] {
        let time = Some(SetTime::To(Timespec { sec, nsec }));
        set(&view, path, &SetAttr { mtime: time, ..SetAttr::default() });
    }
    let kept = ExportOptions { times: ExportTimes::Keep, ..options(ExportFormat::Tree) };
    assert_eq!(all(&read(export(&view, &kept), false), true), all(&view.filesystem, true));
}

#[test]
fn what_matches_is_left_out() {
    let (view, _) = changed();
    let names = |patterns: &[&str], format| {
        let exclude = Exclude::new(patterns).unwrap();
        names(&export(&view, &ExportOptions { exclude, ..options(format) }))
    };
    let patterns =
        ["n*", "/d/", "f", "/other/in/", "sticky", "li*", "-*", "a", "a too", "dangling", "b", "moved/"];
    assert_eq!(
        names(&patterns, ExportFormat::Layer),
        [".wh.gone", "empty/", "empty/.wh.x", "other/", "swap/", "swap/.wh..wh..opq", "swap/g"]
    );
    assert_eq!(names(&patterns, ExportFormat::Tree), ["empty/", "other/", "swap/", "swap/g", "untouched/"]);
    assert_eq!(names(&["*"], ExportFormat::Layer), [""; 0]);
    let gone = names(&["go*", "x", "b"], ExportFormat::Layer);
    assert!(gone.iter().all(|name| !name.contains(".wh.") || name.ends_with("opq")), "{gone:?}");
}

#[test]
fn whiteouts_are_nobody_elses() {
    let place = place();
    let view = View::of(place.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    for path in ["d/.wh.x", "new/.wh.y/in"] {
        guest.make("new", NewKind::Directory).unwrap();
        guest.make("new/.wh.y", NewKind::Directory).unwrap();
        guest.write(path, "").unwrap();
        match try_export(&view, &options(ExportFormat::Layer)) {
            Err(ExportError::Whiteout { path: told }) => assert!(path.as_bytes().starts_with(&told[1..])),
            other => panic!("{other:?}"),
        }
        let without = ExportOptions { exclude: Exclude::new([".wh.*"]).unwrap(), ..ExportOptions::default() };
        assert_eq!(names(&export(&view, &without)), ["new/"]);
        for format in [ExportFormat::Tar, ExportFormat::Tree] {
            let all = names(&export(&view, &options(format)));
            assert!(all.contains(&path.to_owned()), "{all:?}");
        }
        guest.remove(path, Remove::File).unwrap();
        guest.remove("new/.wh.y", Remove::Directory).unwrap();
        guest.remove("new", Remove::Directory).unwrap();
    }
}

#[test]
fn sockets_are_told_and_left_out() {
    let (view, _) = changed();
    Guest(&view.filesystem).make("other/socket", NewKind::Socket).unwrap();
    for format in [ExportFormat::Layer, ExportFormat::Tar, ExportFormat::Tree] {
        let (bytes, exported) = try_export(&view, &options(format)).unwrap();
        assert_eq!(exported.left_out, [b"/other/socket"]);
        assert_eq!(exported.entries, names(&bytes).len() as u64);
    }
}

/// Throws bytes away but for their number and those that aren't zero.
#[derive(Default)]
struct Sparse {
    len: u64,
    data: usize,
    fails_after: Option<u64>,
}

impl std::io::Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.fails_after.is_some_and(|most| self.len + bytes.len() as u64 > most) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.len += bytes.len() as u64;
        self.data += bytes.iter().filter(|&&byte| byte != 0).count();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn holes_are_zeros_that_nobody_reads() {
    const HUGE: u64 = 2 << 30;
    let view = View::of_filesystem(FilesystemRef::new::<Memory>(Memory::new())).open().unwrap();
    let guest = Guest(&view.filesystem);
    guest.write("f", "start").unwrap();
    as_root(|cx| {
        let file = view.filesystem.open(cx, &guest.node(cx, "f")?, Access::WRITE)?;
        file.write_at(cx, HUGE / 2 + 1, &mut Source::from_slice(b"middle"))?;
        file.set_len(cx, HUGE + 1)
    })
    .unwrap();
    let mut out = Sparse::default();
    let export = |out: &mut Sparse| {
        as_root(|cx| view.export(cx, &view.changes(cx).unwrap(), &ExportOptions::default(), out))
    };
    let exported = export(&mut out).unwrap();
    assert_eq!((exported.bytes, out.len), (512 + HUGE + 512 + 1024, exported.bytes));
    assert!(out.data > 11 && out.data < 11 + 512);
    let mut full = Sparse { fails_after: Some(1 << 20), ..Sparse::default() };
    assert!(
        matches!(export(&mut full), Err(ExportError::Write(error)) if error.kind() == std::io::ErrorKind::StorageFull)
    );
}

#[test]
fn files_past_eight_gigabytes_have_their_size_told_apart() {
    const HUGE: u64 = (8 << 30) + 1;
    let base = tempfile::tempdir().unwrap();
    fs::File::create(base.path().join("f")).unwrap().set_len(HUGE).unwrap();
    let view = View::of(base.path()).open().unwrap();
    // The header alone, and what is behind it.
    let mut start = Start::default();
    let failed = as_root(|cx| view.export(cx, &[], &options(ExportFormat::Tree), &mut start));
    assert!(matches!(failed, Err(ExportError::Write(_))));
    let mut archive = tar::Archive::new(&start.0[..]);
    let entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!((entry.size(), entry.path_bytes().to_vec()), (HUGE, b"f".to_vec()));
}

/// Takes the start of what is written and no more.
#[derive(Default)]
struct Start(Vec<u8>);

impl std::io::Write for Start {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() > 1 << 20 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A host's tree as `all` tells it, as far as GNU tar keeps it for whoever isn't root.
fn on_host(at: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![at.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_symlink() {
                fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else if meta.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            let told = format!(
                "{:o} {} {}",
                meta.mode(),
                content.escape_ascii(),
                if meta.is_dir() { 0 } else { meta.nlink() }
            );
            found.insert(
                path.strip_prefix(at).unwrap().as_os_str().as_bytes().escape_ascii().to_string(),
                told,
            );
            if meta.is_dir() {
                left.push(path);
            }
        }
    }
    found
}

#[test]
fn gnu_tar_unpacks_what_the_view_shows() {
    let told = Command::new("tar").arg("--version").output();
    if !told.is_ok_and(|told| told.stdout.starts_with(b"tar (GNU tar)")) {
        println!("skipped: there is no GNU tar");
        return;
    }
    let base = place();
    symlink("/etc", base.path().join("outside")).unwrap();
    fs::hard_link(base.path().join("a"), base.path().join("e/a too")).unwrap();
    let view = View::of(base.path()).open().unwrap();
    let guest = Guest(&view.filesystem);
    let long = "n".repeat(255);
    guest.write("a", "changed").unwrap();
    guest.rename("d", "moved", Rename::Replace).unwrap();
    guest.make("moved/fifo", NewKind::Fifo).unwrap();
    guest.write("moved/f", "changed").unwrap();
    guest.make(&long, NewKind::Directory).unwrap();
    guest.write(format!("{long}/{long}"), "long").unwrap();
    guest.link(format!("{long}/{long}"), "link").unwrap();
    guest.make("to long", NewKind::Symlink(long.as_bytes())).unwrap();
    guest.write("new\nline", "").unwrap();
    guest.chmod("b", 0o751).unwrap();
    let unpack = |bytes: &[u8], at: &Path| {
        let archive = tempfile::NamedTempFile::new().unwrap();
        fs::write(archive.path(), bytes).unwrap();
        let tar = Command::new("tar")
            .arg("-xpf")
            .arg(archive.path())
            .arg("-C")
            .arg(at)
            .stdin(Stdio::null())
            .output();
        let tar = tar.unwrap();
        assert!(tar.status.success() && tar.stderr.is_empty(), "{}", String::from_utf8_lossy(&tar.stderr));
    };
    let tree = tempfile::tempdir().unwrap();
    unpack(&export(&view, &options(ExportFormat::Tree)), tree.path());
    let shown: Vec<String> =
        all(&view.filesystem, false).into_keys().map(|path| path[1..].to_owned()).collect();
    let unpacked = on_host(tree.path());
    assert_eq!(unpacked.keys().cloned().collect::<Vec<_>>(), shown);
    // Over what there was, but for what was renamed or removed.
    unpack(&export(&view, &options(ExportFormat::Tar)), base.path());
    fs::remove_dir_all(base.path().join("d")).unwrap();
    assert_eq!(on_host(base.path()), unpacked);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changes_come_back(steps in prop::collection::vec(step(), 1..30)) {
        let place = place();
        fs::hard_link(place.path().join("a"), place.path().join("e/hard")).unwrap();
        let view = View::of(place.path()).open().unwrap();
        for step in &steps {
            carry_out(&Guest(&view.filesystem), step);
        }
        assert_round_trip(&view, View::of(place.path()).open().unwrap());
    }
}
