//! Both readers over the same trees: what is loaded is compared with the host's own tree, entry by entry.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustix::fs::XattrFlags;
use tar::{Builder, EntryType, Header};
use vnode_core::io::Sink;
use vnode_core::{
    Caller, Clock, Credentials, Cx, FileType, FilesystemRef, Follow, Namespace, OpenFlags, OpenHow, OpenNode,
    Place, Policy, Timespec, VPath,
};
use vnode_memory::Memory;

use super::{Owner, load};

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

/// A line for each entry of a loaded filesystem: path, type and mode, owner, size, time, target or content, and
/// which earlier entry is the same file.
fn lines(memory: Memory) -> Vec<String> {
    let namespace = Namespace::new(FilesystemRef::new::<Memory>(Arc::new(memory)));
    let who = Credentials::root();
    let cx = Cx::new(&who, &Epoch).keeping_atime();
    let root = namespace.root();
    let caller = Caller { ns: &namespace, cx: &cx, root, policy: Policy::Posix };
    let mut lines = Vec::new();
    let mut seen = HashMap::new();
    describe(&caller, root, b".", ".".to_owned(), &mut seen, &mut lines);
    lines
}

fn describe(
    caller: &Caller<'_>,
    dir: &Place,
    name: &[u8],
    path: String,
    seen: &mut HashMap<u64, String>,
    lines: &mut Vec<String>,
) {
    let here = VPath::new(name).unwrap();
    let at = &caller.resolve(dir, here, Follow::No).unwrap();
    let attr = at.attr(caller.cx).unwrap();
    let what = match attr.kind {
        FileType::Directory => String::new(),
        _ if seen.contains_key(&attr.ino) => format!("same as {}", seen[&attr.ino]),
        FileType::Symlink => String::from_utf8_lossy(&caller.readlink(dir, here).unwrap()).into_owned(),
        FileType::Regular => content(caller, dir, here),
        _ => format!("{:x}", attr.rdev),
    };
    seen.entry(attr.ino).or_insert_with(|| path.clone());
    let mut xattrs = Vec::new();
    caller.list_xattr_place(at, &mut |name| xattrs.push(name.to_vec())).unwrap();
    let xattrs: String = xattrs
        .iter()
        .map(|name| {
            let value = caller.get_xattr_place(at, name).unwrap();
            format!(" {}={}", name.escape_ascii(), value.escape_ascii())
        })
        .collect();
    let size = if attr.kind.is_dir() { 0 } else { attr.size };
    let (mode, nlink) = (attr.st_mode(), if attr.kind.is_dir() { 0 } else { attr.nlink });
    let time = format!("{}.{:09}", attr.mtime.sec, attr.mtime.nsec);
    lines.push(line(&path, mode, attr.uid, attr.gid, nlink, size, &time, &what) + &xattrs);
    if attr.kind.is_dir() {
        let mut names = Vec::new();
        caller
            .list(at)
            .unwrap()
            .list(caller, 0, &mut |entry| {
                names.push(entry.name.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
        names.sort();
        for name in names.iter().filter(|name| !matches!(&name[..], b"." | b"..")) {
            let path = format!("{path}/{}", name.escape_ascii());
            describe(caller, at, name, path, seen, lines);
        }
    }
}

fn line(path: &str, mode: u32, uid: u32, gid: u32, nlink: u32, size: u64, time: &str, what: &str) -> String {
    format!("{path} {mode:o} {uid}:{gid} {nlink} {size} {time} {what}")
}

fn content(caller: &Caller<'_>, dir: &Place, path: VPath<'_>) -> String {
    let how = OpenHow {
        access: vnode_core::fs::Access::READ,
        flags: OpenFlags::empty(),
        mode: vnode_core::Mode::empty(),
    };
    let opened = caller.open(dir, path, &how).unwrap();
    let OpenNode::File(file) = opened.node else { panic!("no file") };
    let size = usize::try_from(opened.place.attr(caller.cx).unwrap().size).unwrap();
    let mut bytes = vec![1; size];
    assert_eq!(file.read_at(caller.cx, 0, &mut Sink::from_slice(&mut bytes)), Ok(size));
    sum(&bytes)
}

/// Short content as it is, long as a sum.
fn sum(bytes: &[u8]) -> String {
    if bytes.len() < 100 {
        return bytes.escape_ascii().to_string();
    }
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The same lines of the host's tree.
fn host_lines(at: &Path, path: String, seen: &mut HashMap<u64, String>, lines: &mut Vec<String>) {
    let metadata = fs::symlink_metadata(at).unwrap();
    let kind = metadata.file_type();
    let what = if kind.is_dir() {
        String::new()
    } else if let Some(first) = seen.get(&metadata.ino()) {
        format!("same as {first}")
    } else if kind.is_symlink() {
        fs::read_link(at).unwrap().display().to_string()
    } else if kind.is_file() {
        sum(&fs::read(at).unwrap())
    } else {
        format!("{:x}", metadata.rdev())
    };
    seen.entry(metadata.ino()).or_insert_with(|| path.clone());
    let (nlink, size) =
        if kind.is_dir() { (0, 0) } else { (u32::try_from(metadata.nlink()).unwrap(), metadata.size()) };
    let time = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
    lines.push(line(&path, metadata.mode(), metadata.uid(), metadata.gid(), nlink, size, &time, &what));
    if kind.is_dir() {
        let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let path = format!("{path}/{}", name.as_bytes().escape_ascii());
            host_lines(&at.join(&name), path, seen, lines);
        }
    }
}

fn of_host(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    host_lines(root, ".".to_owned(), &mut HashMap::new(), &mut lines);
    lines
}

fn loaded(source: &Path) -> Vec<String> {
    let memory = Memory::new();
    load(&memory, source, Owner::default(), true).unwrap();
    lines(memory)
}

fn failure(source: &Path) -> String {
    load(&Memory::new(), source, Owner::default(), true).unwrap_err()
}

/// A tree with all that both readers know.
fn tree() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("a/b/c")).unwrap();
    fs::write(root.join("a/file"), "hello").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("a/big"), (0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    fs::hard_link(root.join("a/file"), root.join("a/b/second")).unwrap();
    fs::hard_link(root.join("a/file"), root.join("third")).unwrap();
    symlink("a/file", root.join("link")).unwrap();
    symlink("/absolute/../x", root.join("a/dangling")).unwrap();
    symlink("..", root.join("a/up")).unwrap();
    symlink("x".repeat(300), root.join("long-target")).unwrap();
    fs::hard_link(root.join("link"), root.join("link2")).unwrap();
    let long = format!("{}/{}", "d".repeat(120), "e".repeat(200));
    fs::create_dir(root.join("d".repeat(120))).unwrap();
    fs::write(root.join(long), "deep").unwrap();
    fs::write(root.join("\u{e9} space \\"), "odd name").unwrap();
    let mut sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"middle", 1 << 20).unwrap();
    sparse.flush().unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), 0o640.into()).unwrap();
    fs::set_permissions(root.join("a/file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o1777)).unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    for name in ["a/file", "empty", "a/b/c", "a/b", "a"] {
        fs::File::open(root.join(name)).unwrap().set_modified(time).unwrap();
    }
    directory
}

#[test]
fn a_host_tree_is_loaded_as_it_is() {
    let tree = tree();
    fs::write(tree.path().join(OsStr::from_bytes(b"\xff\n")), "no text").unwrap();
    let expected = of_host(tree.path());
    assert!(expected.iter().any(|line| line.ends_with("same as ./a/b/second")), "{expected:#?}");
    assert_eq!(loaded(tree.path()), expected);
    // Through a link to it, and with owners of our own.
    let link = tempfile::tempdir().unwrap();
    symlink(tree.path(), link.path().join("l")).unwrap();
    assert_eq!(loaded(&link.path().join("l")), expected);
    let memory = Memory::new();
    load(&memory, tree.path(), Owner { uid: Some(77), gid: Some(88) }, true).unwrap();
    assert!(lines(memory).iter().all(|line| line.contains(" 77:88 ")));
}

/// Needs `tar(1)`, which every host of this project has.
fn tar(tree: &Path, options: &[&str]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let status =
        Command::new("tar").arg("-cf").arg(file.path()).args(options).arg("-C").arg(tree).arg(".").status();
    assert!(status.unwrap().success());
    file
}

#[test]
fn tar_archives_of_every_format_are_loaded_as_the_tree() {
    let tree = tree();
    let expected = of_host(tree.path());
    let pax = tar(tree.path(), &["--format=pax", "--sort=name"]);
    assert_eq!(loaded(pax.path()), expected);
    let sparse = tar(tree.path(), &["--format=gnu", "--sort=name", "--sparse"]);
    let without_nanos = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .map(|line| {
                match line.match_indices('.').rfind(|(at, _)| {
                    line[at + 1..].len() > 9
                        && line[at + 1..at + 10].bytes().all(|byte| byte.is_ascii_digit())
                }) {
                    Some((at, _)) => format!("{}{}", &line[..at], &line[at + 10..]),
                    None => line,
                }
            })
            .collect()
    };
    assert_eq!(without_nanos(loaded(sparse.path())), without_nanos(expected));
}

#[test]
fn sparse_files_take_what_their_content_takes() {
    let directory = tempfile::tempdir().unwrap();
    let file = fs::File::create(directory.path().join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"end", 64 << 20).unwrap();
    let archives = [
        tar(directory.path(), &["--format=gnu", "--sparse"]),
        tar(directory.path(), &["--format=pax", "--sparse", "--sparse-version=0.0"]),
        tar(directory.path(), &["--format=pax", "--sparse", "--sparse-version=0.1"]),
        tar(directory.path(), &["--format=pax", "--sparse", "--sparse-version=1.0"]),
    ];
    for source in archives.iter().map(|archive| archive.path()).chain([directory.path()]) {
        let small = Memory::builder().max_bytes(1 << 20).build();
        load(&small, source, Owner::default(), true).unwrap();
        assert!(small.usage().bytes <= 64 << 10, "{:?}", small.usage());
        let contents = |lines: Vec<String>| {
            lines.iter().map(|line| line[line.rfind(' ').unwrap()..].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(contents(lines(small)), contents(of_host(directory.path())));
    }
}

#[test]
fn what_ustar_can_hold_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("{}/{}", "p".repeat(90), "n".repeat(90));
    fs::create_dir(directory.path().join("p".repeat(90))).unwrap();
    fs::write(directory.path().join(&name), "split between two fields").unwrap();
    let archive = tar(directory.path(), &["--format=ustar"]);
    let lines = loaded(archive.path());
    assert!(lines.iter().any(|line| line.contains(&name) && line.ends_with("split between two fields")));
}

#[test]
fn user_attributes_come_along_where_the_host_has_them() {
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let file = directory.path().join("f");
    fs::write(&file, "").unwrap();
    if rustix::fs::setxattr(&file, "user.colour", b"blue", XattrFlags::empty()).is_err() {
        eprintln!("skipped: no extended attributes here");
        return;
    }
    assert!(loaded(directory.path()).iter().any(|line| line.ends_with(" user.colour=blue")));
    let pax = tar(directory.path(), &["--format=pax", "--xattrs"]);
    assert!(loaded(pax.path()).iter().any(|line| line.ends_with(" user.colour=blue")));
}

/// An archive of one member, its name put into the header as it is.
fn archive_of(name: &[u8], kind: EntryType, link: &[u8]) -> tempfile::NamedTempFile {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o600);
    header.set_uid(5);
    header.set_gid(6);
    header.set_mtime(7);
    if matches!(kind, EntryType::Char | EntryType::Block) {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    }
    header.set_cksum();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut builder = Builder::new(file.as_file_mut());
    builder.append(&header, &[] as &[u8]).unwrap();
    builder.into_inner().unwrap();
    file
}

#[test]
fn members_that_lead_out_are_named() {
    let says =
        |name: &str, kind, link: &str| failure(archive_of(name.as_bytes(), kind, link.as_bytes()).path());
    let regular = EntryType::Regular;
    assert!(says("a/../../etc/passwd", regular, "").contains("a/../../etc/passwd: the path has a `..`"));
    assert!(says("/etc/passwd", regular, "").contains("/etc/passwd: the path is absolute"));
    assert!(
        says("hard", EntryType::Link, "../x").contains("hard: the target of the hard link, ../x, has a `..`")
    );
    assert!(
        says("hard", EntryType::Link, "/x").contains("hard: the target of the hard link, /x, is absolute")
    );
    assert!(
        says("hard", EntryType::Link, "nowhere")
            .contains("hard: it is a hard link to a path that no earlier")
    );
    assert!(says("soft", EntryType::Symlink, "").contains("soft"));
    assert!(says("odd", EntryType::new(b'M'), "").contains("odd: vnode doesn't know members of type 'M'"));
}

#[test]
fn links_and_devices_of_archives_are_nodes_and_lead_nowhere_else() {
    let lines =
        |name: &str, kind, link: &str| loaded(archive_of(name.as_bytes(), kind, link.as_bytes()).path());
    let soft = lines("soft", EntryType::Symlink, "/etc/../passwd");
    assert!(soft[1].ends_with("/etc/../passwd"), "{soft:?}");
    let null = lines("null", EntryType::Char, "");
    assert_eq!(null[1], "./null 20600 5:6 1 0 7.000000000 103");
    let old = lines("directory/", EntryType::Regular, "");
    assert!(old[1].starts_with("./directory 40600 5:6"), "{old:?}");
}

#[test]
fn a_member_may_not_be_below_a_link() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut builder = Builder::new(file.as_file_mut());
    let mut header = Header::new_gnu();
    header.set_metadata(&fs::symlink_metadata("/").unwrap());
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "link", "/etc").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_size(1);
    builder.append_data(&mut header, "link/passwd", &b"x"[..]).unwrap();
    builder.into_inner().unwrap();
    assert!(
        failure(file.path()).contains("link/passwd: the path leads through something that is no directory")
    );
}

/// An archive of one member with pax headers.
fn pax(keys: &[(&str, &[u8])], size: u64) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut builder = Builder::new(file.as_file_mut());
    builder.append_pax_extensions(keys.iter().copied()).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("member").unwrap();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    builder.append(&header, &[] as &[u8]).unwrap();
    builder.into_inner().unwrap();
    file
}

#[test]
fn what_pax_headers_say_wrong_is_named() {
    let says = |key, value: &[u8]| failure(pax(&[(key, value)], 0).path());
    assert!(says("uid", b"-1").contains("member: its uid is no number from 0: -1"));
    assert!(says("gid", b"4294967295").contains("member: its gid 4294967295 is not from 0 to 4294967294"));
    assert!(says("mtime", b"x").contains("member: its mtime is no time"));
    assert!(says("GNU.sparse.major", b"2").contains("member: the sparse file can't be read: the size"));
}

#[test]
fn targets_of_links_are_as_long_as_paths() {
    let with_target = |len: usize| {
        let mut link = Header::new_gnu();
        link.set_metadata(&fs::symlink_metadata("/").unwrap());
        link.set_entry_type(EntryType::Symlink);
        link.set_size(0);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = Builder::new(file.as_file_mut());
        builder.append_link(&mut link, "member", "x".repeat(len)).unwrap();
        builder.into_inner().unwrap();
        file
    };
    assert_eq!(loaded(with_target(4095).path()).len(), 2);
    let text = failure(with_target(4096).path());
    assert!(text.contains("member: the target of the link has 4096 bytes: file name too long"), "{text}");
}

#[test]
fn headers_are_bounded() {
    let link = Header::new_gnu();
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader, EntryType::XGlobalHeader]
    {
        let mut header = link.clone();
        header.set_path("long").unwrap();
        header.set_entry_type(kind);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(1 << 32);
        header.set_cksum();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(header.as_bytes()).unwrap();
        file.as_file().set_len(512 + (1 << 32) + 1024).unwrap();
        let text = failure(file.path());
        assert!(text.contains("the headers of a member take more than 4 MiB"), "{text}");
    }
}

#[test]
fn sizes_that_cant_be_are_refused_at_once() {
    let file = pax(&[("size", b"1000000000000")], 0);
    file.as_file().set_len(1 << 40).unwrap();
    let small = Memory::builder().max_bytes(1 << 20).build();
    let text = load(&small, file.path(), Owner::default(), true).unwrap_err();
    assert!(text.contains("member: its 1000000000000 bytes are more than the filesystem may hold"), "{text}");
    assert!(text.contains("--max-fs-bytes"), "{text}");
}

#[test]
fn holes_that_would_be_read_for_years_are_refused_at_once() {
    let size = (65_u64 << 30).to_string();
    let text = failure(pax(&[("GNU.sparse.size", size.as_bytes())], 0).path());
    assert!(text.contains("member: with its holes, the archive's have more than 64 GiB"), "{text}");
    let small = Memory::builder().max_bytes(1 << 20).build();
    let member = pax(&[("GNU.sparse.size", b"2147483648")], 0);
    let text = load(&small, member.path(), Owner::default(), true).unwrap_err();
    assert!(text.contains("more than 1 GiB"), "{text}");

    let mut header = Header::new_gnu();
    header.set_path("member").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_metadata_in_mode(&fs::metadata("/").unwrap(), tar::HeaderMode::Deterministic);
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    // An exabyte, in the binary form of the fields.
    let exabyte = [&[0x80, 0, 0, 0][..], &(1_u64 << 60).to_be_bytes()].concat();
    gnu.realsize.copy_from_slice(&exabyte);
    gnu.sparse[0].offset.copy_from_slice(&exabyte);
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    header.set_cksum();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.write_all(&[0; 1024]).unwrap();
    let text = failure(file.path());
    assert!(text.contains("member: with its holes, the archive's have more than 64 GiB"), "{text}");
}

#[test]
fn archives_that_end_too_early_are_errors() {
    let tree = tree();
    let whole = fs::read(tar(tree.path(), &["--format=gnu", "--sort=name"]).path()).unwrap();
    let big = whole.windows(5).position(|window| window == b"a/big").unwrap();
    for cut in [big + 3000, big + 512 + 700_000] {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &whole[..cut]).unwrap();
        let text = failure(file.path());
        assert!(text.contains("a/big") && text.contains("ends in the middle"), "{text}");
    }
}

#[test]
fn what_cant_be_read_is_named() {
    // Root reads everything.
    if !rustix::process::geteuid().is_root() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("secret"), "").unwrap();
        fs::set_permissions(directory.path().join("secret"), fs::Permissions::from_mode(0o000)).unwrap();
        assert!(failure(directory.path()).contains("secret: Permission denied"));
    }
    assert!(failure(Path::new("/no/such")).contains("can't copy /no/such: No such file"));
    let full = Memory::builder().max_bytes(4096).build();
    let tree = tree();
    let text = load(&full, tree.path(), Owner::default(), true).unwrap_err();
    assert!(text.contains("a/big: can't keep the content: no space left"), "{text}");
    assert!(text.contains("--max-fs-bytes"), "{text}");
}
