//! Classes 1 and 2, resolution and symbolic links: a path never leads where it may not, and never takes long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vnode_core::{
    Caller, Clock, Credentials, Cx, FilesystemRef, Follow, MountFlags, Namespace, Timespec, VPath,
};
use vnode_memory::Memory;
use vnode_wasmtime::{Guest, Policy};

use crate::puppet::*;

/// A tree with a directory `box` to be confined to, and what is outside of it.
fn outside_and_box() -> (FilesystemRef, Puppet) {
    let fs = FilesystemRef::new(Memory::new());
    let mut root = Puppet::on(&fs);
    for dir in ["box", "box/d", "secret", "secret/sub"] {
        root.mkdir(ROOT, dir).unwrap();
    }
    root.file(ROOT, "secret/file", b"secret");
    root.file(ROOT, "box/f", b"mine");
    for (target, path) in [
        ("..", "box/up"),
        ("../", "box/up-slash"),
        ("../..", "box/d/up"),
        ("../secret/", "box/slash"),
        ("../secret/.", "box/dot"),
        ("../secret/sub/..", "box/dot-dot"),
        ("d/../../secret", "box/around"),
        ("up/secret", "box/chain"),
        ("chain/", "box/longer-chain"),
        ("/secret", "box/absolute"),
        ("/secret/", "box/absolute-slash"),
        ("//secret//", "box/absolute-slashes"),
        ("/", "box/root"),
        ("../secret/new", "box/dangling"),
        ("../secret/new/", "box/dangling-slash"),
        ("/secret/new", "box/dangling-absolute"),
        ("../box", "box/out-and-back"),
    ] {
        root.symlink(target, ROOT, path).unwrap();
    }
    (fs, root)
}

/// Ways to a directory outside of `box`, or to what is reached from there only.
const WAYS_OUT: &[&str] = &[
    "..",
    "../",
    "../secret",
    "d/../../secret",
    "./../secret",
    ".//..//secret",
    "d/./.././../secret",
    "d/../d/../../secret",
    "../../../../secret",
    "/",
    "/secret",
    "//secret",
    "/secret/sub/..",
    "../box",
    "up",
    "up/secret",
    "up-slash/secret",
    "up/up/secret",
    "d/up/secret",
    "slash",
    "dot",
    "dot-dot",
    "around",
    "chain",
    "longer-chain",
    "absolute",
    "absolute-slash",
    "absolute-slashes",
    "root",
    "root/secret",
    "out-and-back/d",
    "out-and-back/slash",
];

/// All that can be seen of what is outside.
fn outside(root: &mut Puppet) -> Vec<String> {
    let mut seen = root.names(ROOT, "/./".trim_start_matches('/'));
    seen.extend(root.names(ROOT, "secret"));
    seen.extend(root.names(ROOT, "secret/sub"));
    for path in [".", "secret", "secret/file", "secret/sub"] {
        let Stat { ino, nlink, size, times, .. } = root.stat(ROOT, 0, path).unwrap();
        // Listing touches the access time.
        seen.push(format!("{path} {ino} {nlink} {size} {:?}", &times[1..]));
    }
    seen.push(String::from_utf8(root.content(ROOT, "secret/file").unwrap()).unwrap());
    seen
}

/// Everything that can be tried with a way out. All of it must fail.
fn try_everything(puppet: &mut Puppet, way: &str) -> Vec<(&'static str, Got<()>)> {
    let slash = format!("{way}/");
    let file = format!("{way}/file");
    let new = format!("{way}/new");
    let at = |path: &'static str| (ROOT, path);
    vec![
        ("stat", puppet.stat(ROOT, 1, way).map(drop)),
        ("stat with a slash", puppet.stat(ROOT, 0, &slash).map(drop)),
        ("stat what is there", puppet.stat(ROOT, 0, &file).map(drop)),
        ("stat beyond", puppet.stat(ROOT, 0, format!("{way}/../secret")).map(drop)),
        ("open the directory", puppet.open_dir(ROOT, way).map(drop)),
        ("open with a slash", puppet.open_dir(ROOT, &slash).map(drop)),
        ("open for reading", puppet.open(ROOT, &file, 0, READ).map(drop)),
        ("open for writing", puppet.open(ROOT, &file, 0, WRITE).map(drop)),
        ("truncate", puppet.open(ROOT, &file, TRUNC, 0).map(drop)),
        ("create", puppet.open(ROOT, &new, CREAT, WRITE).map(drop)),
        ("create exclusively", puppet.open(ROOT, &new, CREAT | EXCL, WRITE).map(drop)),
        ("mkdir", puppet.mkdir(ROOT, &new)),
        ("mkdir with a slash", puppet.mkdir(ROOT, format!("{new}/"))),
        ("mkdir over it", puppet.mkdir(ROOT, &slash)),
        ("rmdir", puppet.rmdir(ROOT, format!("{way}/sub"))),
        ("rmdir with a slash", puppet.rmdir(ROOT, &slash)),
        ("unlink", puppet.unlink(ROOT, &file)),
        ("unlink with a slash", puppet.unlink(ROOT, &slash)),
        ("symlink", puppet.symlink("target", ROOT, &new)),
        ("readlink", puppet.readlink(ROOT, &file).map(drop)),
        ("set times", puppet.set_times(ROOT, 1, &file, 1)),
        ("set its times", puppet.set_times(ROOT, 1, way, 1)),
        ("rename from", puppet.rename((ROOT, &file), at("stolen"))),
        ("rename from with a slash", puppet.rename((ROOT, &slash), at("stolen"))),
        ("rename to", puppet.rename(at("f"), (ROOT, &new))),
        ("rename over", puppet.rename(at("f"), (ROOT, &file))),
        ("rename to with a slash", puppet.rename(at("d"), (ROOT, &slash))),
        ("link from", puppet.link(0, (ROOT, &file), at("stolen"))),
        ("link from, following", puppet.link(1, (ROOT, &file), at("stolen"))),
        ("link to", puppet.link(0, at("f"), (ROOT, &new))),
    ]
}

#[test]
fn no_spelling_of_a_path_leads_out_of_a_strict_preopen() {
    let (fs, mut root) = outside_and_box();
    let mut inside = Puppet::of(Guest::builder(&fs).preopen("/", "/box").policy(Policy::Strict));
    let before = outside(&mut root);
    let mine = root.names(ROOT, "box");
    for way in WAYS_OUT {
        for (what, result) in try_everything(&mut inside, way) {
            assert!(result.is_err(), "{what} {way}");
            assert_eq!(outside(&mut root), before, "{what} {way}");
        }
        for follow in [0, 1] {
            assert!(inside.link(follow, (ROOT, &format!("{way}/file")), (ROOT, "stolen")).is_err(), "{way}");
        }
    }
    assert_eq!(root.names(ROOT, "box"), mine);
}

/// GHSA-vqjp-4c8c-hfgg (cap-std GHSA-hp8f-xmx4-4qrg): the slash at the end of a link's own text.
#[test]
fn a_trailing_slash_in_a_link_target_leads_nowhere_else() {
    let (fs, _root) = outside_and_box();
    let mut inside = Puppet::of(Guest::builder(&fs).preopen("/", "/box").policy(Policy::Strict));
    for link in ["slash", "up-slash", "absolute-slash", "absolute-slashes", "longer-chain"] {
        for path in [link.to_owned(), format!("{link}/"), format!("{link}/.")] {
            assert_eq!(inside.open_dir(ROOT, &path), Err(EPERM), "{path}");
            assert_eq!(inside.stat(ROOT, 1, &path), Err(EPERM), "{path}");
        }
    }
    for link in ["dangling-slash", "dangling"] {
        assert_eq!(inside.open(ROOT, link, CREAT, WRITE), Err(EPERM), "{link}");
    }
    // What the slash means stays what it is: a directory.
    inside.symlink("f/", ROOT, "file-slash").unwrap();
    assert_eq!(inside.open(ROOT, "file-slash", 0, READ), Err(ENOTDIR));
    inside.symlink("d/", ROOT, "dir-slash").unwrap();
    assert!(inside.open_dir(ROOT, "dir-slash").is_ok());
}

/// GHSA-m9f7-9w4p-gv38: `rename("link/", ..)` acted on what the link led to.
#[test]
fn a_rename_of_a_link_with_a_trailing_slash_moves_nothing() {
    let (fs, mut root) = outside_and_box();
    for policy in [Policy::Strict, Policy::Beneath, Policy::Posix] {
        let mut inside = Puppet::of(Guest::builder(&fs).preopen("/", "/box").policy(policy));
        let (before, mine) = (outside(&mut root), root.names(ROOT, "box"));
        for link in ["slash/", "absolute/", "chain//", "dangling/"] {
            assert_eq!(inside.rename((ROOT, link), (ROOT, "moved")), Err(ENOTDIR), "{link}");
            assert_eq!(inside.rename((ROOT, "d"), (ROOT, link)), Err(ENOTDIR), "{link}");
        }
        assert_eq!((outside(&mut root), root.names(ROOT, "box")), (before, mine));
    }
}

/// CVE-2024-38358: creating through a link that leads out.
#[test]
fn a_dangling_link_out_of_the_preopen_creates_nothing() {
    let (fs, mut root) = outside_and_box();
    let mut inside = Puppet::of(Guest::builder(&fs).preopen("/", "/box").policy(Policy::Strict));
    for link in ["dangling", "dangling-slash", "dangling-absolute"] {
        assert_eq!(inside.open(ROOT, link, CREAT, WRITE), Err(EPERM), "{link}");
        assert_eq!(inside.open(ROOT, link, CREAT | EXCL, WRITE), Err(EEXIST), "{link}");
        assert_eq!(inside.open(ROOT, link, CREAT | TRUNC, WRITE), Err(EPERM), "{link}");
        assert_eq!(inside.mkdir(ROOT, link), Err(EEXIST), "{link}");
    }
    assert_eq!(root.names(ROOT, "secret"), ["file", "sub"]);
}

#[test]
fn links_stop_at_the_root_of_the_process() {
    let (fs, mut root) = outside_and_box();
    let top = root.stat(ROOT, 0, ".").unwrap();
    let mut inside = Puppet::of(Guest::builder(&fs).preopen("/", "/box"));
    let up = "../".repeat(1000);
    inside.symlink(&up, ROOT, "far-up").unwrap();
    inside.symlink("/../../..", ROOT, "absolute-up").unwrap();
    for path in ["far-up", "far-up/", "absolute-up", "up/up/..", "far-up/absolute-up", "root/../.."] {
        match inside.stat(ROOT, 1, path) {
            Ok(stat) => assert_eq!(stat.ino, top.ino, "{path}"),
            Err(errno) => assert_eq!(errno, ENOENT, "{path}"),
        }
    }
    // The guest's own text stays below the preopen.
    for path in ["..", "/", "/secret", "d/../..", &up] {
        assert_eq!(inside.stat(ROOT, 1, path), Err(ENOTCAPABLE), "{path}");
    }
}

#[test]
fn loops_and_long_chains_of_links_end() {
    let fs = FilesystemRef::new(Memory::new());
    let mut guest = Puppet::on(&fs);
    guest.file(ROOT, "0", b"end");
    for number in 1..=41 {
        guest.symlink((number - 1).to_string(), ROOT, number.to_string()).unwrap();
    }
    assert_eq!(guest.content(ROOT, "39").unwrap(), b"end");
    assert_eq!(guest.content(ROOT, "40").unwrap(), b"end");
    assert_eq!(guest.content(ROOT, "41"), Err(ELOOP));
    guest.mkdir(ROOT, "d").unwrap();
    for (target, path) in
        [("self", "self"), ("b", "a"), ("a/", "b"), ("../d/loop", "d/loop"), ("d/in/x", "d/in")]
    {
        guest.symlink(target, ROOT, path).unwrap();
        if path == "a" {
            continue;
        }
        for path in [path.to_owned(), format!("{path}/"), format!("{path}/x")] {
            let errno = guest.stat(ROOT, 1, &path).unwrap_err();
            assert!(matches!(errno, ELOOP | ENOENT), "{path}: {errno}");
            assert!(guest.open(ROOT, &path, CREAT, WRITE).is_err(), "{path}");
        }
    }
    assert_eq!(guest.stat(ROOT, 1, "self"), Err(ELOOP));
    assert_eq!(guest.stat(ROOT, 1, "a"), Err(ELOOP));
}

/// 41 texts of up to 4095 bytes, the caller's and 40 links': at most 83,968 components.
#[test]
fn the_longest_walk_is_short() {
    let fs = FilesystemRef::new(Memory::new());
    let mut root = Puppet::on(&fs);
    root.mkdir(ROOT, "a").unwrap();
    let pieces = ["a/../", "./", "/", "a/./../", "a//..//"];
    for (kind, piece) in pieces.into_iter().enumerate() {
        let text = |last: &str| {
            let mut text = if piece == "/" { ".".to_owned() } else { String::new() };
            text += &piece.repeat((4094 - last.len()) / piece.len());
            text + last
        };
        for link in 0..40 {
            let next = if link == 39 { "a".to_owned() } else { format!("{kind}-{}", link + 1) };
            root.symlink(text(&next), ROOT, format!("{kind}-{link}")).unwrap();
        }
        for policy in [Policy::Beneath, Policy::Posix, Policy::Strict] {
            let mut guest = Puppet::of(Guest::builder(&fs).preopen("/", "/").policy(policy));
            let path = text(&format!("{kind}-0"));
            let start = Instant::now();
            let stat = guest.stat(ROOT, 1, &path);
            let took = start.elapsed();
            println!("{piece:?} under {policy:?}: {took:?}");
            assert_eq!(stat.map(|stat| stat.kind), Ok(3), "{piece} {policy:?}");
            assert!(took < Duration::from_secs(1), "{piece} {policy:?}: {took:?}");
        }
    }
}

/// In a bind mount each `..` asks whether the directory is still below the mount's root, however deep it is. That
/// must not last when the guest is to end.
#[test]
fn a_walk_up_a_deep_bind_mount_ends_with_the_guest() {
    const DEPTH: usize = 100_000;
    let fs = FilesystemRef::new(Memory::new());
    let namespace = Arc::new(Namespace::new(fs));
    let mut maker = Puppet::of(Guest::in_namespace(Arc::clone(&namespace)).preopen("/", "/"));
    maker.mkdir(ROOT, "top").unwrap();
    namespace.bind_at(b"/bound", &place(&namespace, b"top"), MountFlags::empty()).unwrap();
    let mut guest = Puppet::of(Guest::in_namespace(namespace).preopen("/", "/bound"));
    let mut dir = ROOT;
    for _ in 0..DEPTH {
        guest.mkdir(dir, "d").unwrap();
        let next = guest.open_dir(dir, "d").unwrap();
        if dir != ROOT {
            guest.close(dir).unwrap();
        }
        dir = next;
    }
    for link in 0..40 {
        let next = if link == 39 { String::new() } else { format!("l{}", link + 1) };
        let back = format!("{}{next}", "d/../".repeat(818));
        guest.mkdir(dir, "d").or_else(|errno| if errno == EEXIST { Ok(()) } else { Err(errno) }).unwrap();
        guest.symlink(back, dir, format!("l{link}")).unwrap();
    }
    let killer = guest.killer();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        let killed = Instant::now();
        killer.kill();
        killed
    });
    let len = guest.path("l0");
    let ended = guest.try_call("path_filestat_get", &[dir, 1, PATH, len, RESULT]);
    let took = thread.join().unwrap().elapsed();
    println!("ended {took:?} after it was killed");
    assert_eq!(ended, None, "the walk was over before the guest was killed: make it longer");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

fn place(namespace: &Namespace, path: &[u8]) -> vnode_core::Place {
    struct Now;
    impl Clock for Now {
        fn now(&self) -> Timespec {
            Timespec::EPOCH
        }
    }
    let root = Credentials::root();
    let cx = Cx::new(&root, &Now);
    let caller = Caller { ns: namespace, cx: &cx, root: namespace.root(), policy: Policy::Posix };
    caller.resolve(namespace.root(), VPath::new(path).unwrap(), Follow::Yes).unwrap()
}
