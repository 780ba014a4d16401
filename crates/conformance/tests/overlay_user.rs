//! Overlays of directories of the host by a user who isn't root: marks are `user.overlay.*`, what is copied up is his own.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use vnode_conformance::kernel::on_thread_of;
use vnode_conformance::kernel::overlayfs::Mounts;
use vnode_conformance::layers::{self, Layers, Process};
use vnode_conformance::subject::User;
use vnode_conformance::tree::Tree;
use vnode_core::fs::{At, Filesystem};
use vnode_core::{Clock, Credentials, Cx, FileType, FilesystemRef, Name, Timespec};
use vnode_host::Host;
use vnode_overlay::Overlay;

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timespec {
        Timespec::EPOCH
    }
}

const NOBODY: u32 = 65_534;

fn nobody() -> User {
    User { uid: NOBODY, gid: NOBODY, groups: Vec::new() }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}

/// An overlay as it is made for a user.
fn overlay(layers: &Layers) -> FilesystemRef {
    overlay_of(layers, Host::builder)
}

fn overlay_of(layers: &Layers, host: fn() -> vnode_host::HostBuilder) -> FilesystemRef {
    let who = Credentials::root();
    let lower = FilesystemRef::new::<Host>(host().open(layers.lower()).expect("the lower"));
    let upper = host().devices(true).open(layers.path("top")).expect("the upper");
    let builder = Overlay::builder().lower(lower);
    let overlay = builder.build(&Cx::new(&who, &Epoch), FilesystemRef::new::<Host>(upper));
    FilesystemRef::new::<Overlay>(overlay.expect("an overlay"))
}

/// Makes a file or, without content, a directory, and gives it a mode and maybe away.
fn make(layers: &Layers, name: &str, content: Option<&str>, mode: u32, owner: u32) -> PathBuf {
    let path = layers.lower().join(name);
    match content {
        Some(content) => std::fs::write(&path, content),
        None => std::fs::create_dir(&path),
    }
    .expect("room");
    chown(&path, Some(owner), Some(owner)).expect("root may");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("root may");
    path
}

/// Layers of nobody's, within a directory.
fn layers_within(within: &Path) -> Layers {
    let layers = Layers::new(within).expect("directories");
    for path in [layers.lower().to_owned(), layers.path("top"), layers.path("top/work")] {
        chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    // It is made like the lower's.
    std::fs::remove_dir(layers.path("top/upper")).expect("it is empty");
    layers
}

/// What `ls` tells of everything that is left as it was.
fn picture(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let of = std::fs::symlink_metadata(&path).expect("its attributes");
        lines.push(format!(
            "{} {:o} {} {} {} {}",
            path.display(),
            of.mode(),
            of.uid(),
            of.nlink(),
            of.mtime(),
            of.ctime_nsec()
        ));
        if of.is_dir() {
            lines.extend(picture(&path));
        }
    }
    lines.sort();
    lines
}

/// What is left where things are made, but for what Linux looks for there.
fn left_in_work(layers: &Layers) -> Vec<String> {
    let entries = std::fs::read_dir(layers.path("top/work")).expect("it");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "index").collect()
}

fn shown(layers: &Layers) -> Tree {
    layers::tree(&overlay(layers)).expect("a tree")
}

fn by_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    on_thread_of(&nobody(), work).expect("another user")
}

/// Whether there are other users, and a printed line if not.
fn can_be_another() -> bool {
    let can = is_root();
    if !can {
        println!("skipped: only root becomes another user");
    }
    can
}

fn changes_are_kept(within: &Path) {
    let layers = layers_within(within);
    make(&layers, "own", Some("own"), 0o644, NOBODY);
    make(&layers, "locked", Some("locked"), 0o444, NOBODY);
    make(&layers, "given", Some("given"), 0o644, 0);
    make(&layers, "program", Some("#!"), 0o6755, 0);
    make(&layers, "hers", None, 0o755, 0);
    make(&layers, "hers/x", Some("x"), 0o664, 0);
    make(&layers, "dir", None, 0o755, NOBODY);
    make(&layers, "dir/sub", None, 0o755, NOBODY);
    make(&layers, "dir/f", Some("f"), 0o444, NOBODY);
    make(&layers, "dir/sub/deep", Some("deep"), 0o644, NOBODY);
    make(&layers, "away", None, 0o755, NOBODY);
    make(&layers, "away/in", Some("in"), 0o644, NOBODY);
    let linked = make(&layers, "linked", Some("linked"), 0o644, NOBODY);
    std::fs::hard_link(linked, layers.lower().join("too")).expect("a link");
    symlink("own", layers.lower().join("link")).expect("a link");
    for name in ["dir/sub", "dir"] {
        std::fs::set_permissions(layers.lower().join(name), PermissionsExt::from_mode(0o555))
            .expect("root may");
    }
    let before = picture(layers.lower());

    let first = by_nobody(|| {
        let fs = overlay(&layers);
        Process::on(&fs).all_do(&[
            ("file own changed", "ok"),
            ("rename own mine", "ok"),
            ("unlink given", "ok"),
            ("mkdir given", "ok"),
            // As the host has it: who may not write must let himself first.
            ("file locked changed", "EACCES"),
            ("chmod locked 644", "ok"),
            ("file locked changed", "ok"),
            // It becomes his own, whatever it was, and doesn't run as him.
            ("stat hers/x", "{type=file mode=664 nlink=1 uid=0 gid=0 size=1}"),
            ("file hers/x longer", "ok"),
            ("stat hers/x", "{type=file mode=664 nlink=1 uid=65534 gid=65534 size=6}"),
            ("stat hers", "{type=dir mode=755 nlink=2 uid=65534 gid=65534}"),
            ("utimens program 1 2", "ok"),
            ("stat program", "{type=file mode=755 nlink=1 uid=65534 gid=65534 size=2}"),
            // What forbids to be changed can be copied, and forbids it then.
            ("chmod dir/f 440", "ok"),
            ("utimens dir/sub/deep 1 2", "ok"),
            ("stat dir", "{type=dir mode=555 nlink=3 uid=65534 gid=65534}"),
            ("stat dir/sub", "{type=dir mode=555 nlink=2 uid=65534 gid=65534}"),
            ("stat dir/f", "{type=file mode=440 nlink=1 uid=65534 gid=65534 size=1}"),
            ("mkdir dir/new", "EACCES"),
            ("unlink dir/f", "EACCES"),
            ("unlink away/in", "ok"),
            ("rmdir away", "ok"),
            ("mkdir away", "ok"),
            ("ls away", "[]"),
            ("unlink link", "ok"),
            ("symlink locked link", "ok"),
            ("chown mine 0 0", "EPERM"),
            ("mknod null chr:1:3", "EPERM"),
            // Whiteouts and marks are nobody's to make.
            ("mknod whiteout chr:0:0", "EPERM"),
            ("setxattr mine user.overlay.opaque y", "EOPNOTSUPP"),
            ("setxattr mine trusted.overlay.opaque y", "EOPNOTSUPP"),
            ("getxattr mine user.overlay.origin", "EOPNOTSUPP"),
            ("listxattr mine", "[]"),
        ]);
        let first = layers::tree(&fs).expect("a tree");
        drop(fs);
        assert_eq!(shown(&layers).differences(&first), Vec::<String>::new(), "opened again");
        first
    });
    let mode = |name: &str| std::fs::metadata(layers.path(name)).expect("it is there").mode() & 0o7777;
    assert_eq!(
        ["dir", "dir/sub", "program"].map(|name| mode(&format!("top/upper/{name}"))),
        [0o555, 0o555, 0o755]
    );
    let tried = Mounts::on_thread(|mounts| {
        let point = layers.point();
        mounts.overlay(&point, &layers.options("userxattr")).expect("an overlay of the kernel's");
        let kernel = layers::tree(&layers::host(&point).expect("it")).expect("a tree");
        let [here, there] = [&first, &kernel].map(|tree| tree.clone().without_links(FileType::is_dir));
        assert_eq!(here.differences(&there), Vec::<String>::new(), "vnode <> the kernel");
        mounts.unmount(&point).expect("it is mounted");
    });
    if tried.is_none() {
        println!("skipped in part: nothing can be mounted here");
    }

    by_nobody(|| {
        let fs = overlay(&layers);
        let mut process = Process::on(&fs);
        process.all_do(&[
            ("file linked both", "ok"),
            ("cat too", "\"both\""),
            ("same linked too", "1"),
            ("rename hers his", "ok"),
            ("rename his/x dir/x", "EACCES"),
            ("cat his/x", "\"longer\""),
            ("ls hers", "ENOENT"),
            // With nothing but what is hidden in it, and not to be written to.
            ("chmod his 755", "ok"),
            ("unlink his/x", "ok"),
            ("chmod his 500", "ok"),
            ("rmdir his", "ok"),
        ]);
        let second = layers::tree(&fs).expect("a tree");
        drop((process, fs));
        assert_eq!(shown(&layers).differences(&second), Vec::<String>::new(), "opened again");
        assert_eq!(left_in_work(&layers), ["index"; 0]);
    });
    assert_eq!(picture(layers.lower()), before, "the lower was changed");
}

#[test]
fn what_a_user_changes_is_kept() {
    if !can_be_another() {
        return;
    }
    for within in [PathBuf::from("/dev/shm"), std::env::temp_dir()] {
        changes_are_kept(&within);
    }
}

#[test]
fn what_a_user_may_not_look_at_fails_alone() {
    if !can_be_another() {
        return;
    }
    let layers = layers_within(Path::new("/dev/shm"));
    make(&layers, "secret", None, 0o700, 0);
    make(&layers, "secret/x", Some("x"), 0o644, 0);
    make(&layers, "hidden", Some("hidden"), 0o600, 0);
    make(&layers, "own", Some("own"), 0o644, NOBODY);
    let before = picture(layers.lower());
    by_nobody(|| {
        Process::on(&overlay(&layers)).all_do(&[
            ("ls /", "[hidden own secret]"),
            ("stat secret", "{type=dir mode=700 nlink=2 uid=0 gid=0}"),
            ("ls secret", "EACCES"),
            ("cat secret/x", "EACCES"),
            ("cat hidden", "EACCES"),
            ("chmod hidden 644", "EACCES"),
            ("stat hidden", "{type=file mode=600 nlink=1 uid=0 gid=0 size=6}"),
            ("rmdir secret", "EACCES"),
            ("unlink hidden", "ok"),
            ("file hidden mine", "ok"),
            ("cat hidden", "\"mine\""),
        ]);
        assert_eq!(left_in_work(&layers), ["index"; 0]);
    });
    assert_eq!(picture(layers.lower()), before, "the lower was changed");
}

/// Nobody lifts a permission in an upper that became a lower: others have it too.
#[test]
fn what_an_upper_of_before_hides_from_its_owner_is_not_mistaken() {
    if !can_be_another() {
        return;
    }
    let layers = layers_within(Path::new("/dev/shm"));
    make(&layers, "moved", None, 0o755, NOBODY);
    make(&layers, "moved/x", Some("x"), 0o644, NOBODY);
    make(&layers, "f", Some("f"), 0o644, NOBODY);
    let chain = layers.above(Path::new("/dev/shm")).expect("directories");
    for path in ["top", "top/upper", "top/work"] {
        chown(chain.path(path), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    by_nobody(|| {
        Process::on(&overlay(&layers)).all_do(&[
            ("rename moved locked", "ok"),
            ("chmod locked 0", "ok"),
            ("chmod f 0", "ok"),
            ("mkdir new", "ok"),
        ]);
    });
    let before = picture(&layers.path("top/upper"));
    by_nobody(|| {
        let host = |path: &Path| {
            FilesystemRef::new::<Host>(Host::builder().devices(true).open(path).expect("a directory"))
        };
        let builder = Overlay::builder().frozen(host(&layers.path("top"))).lower(host(layers.lower()));
        let overlay = builder.build(&Cx::new(&Credentials::root(), &Epoch), host(&chain.path("top")));
        Process::on(&FilesystemRef::new::<Overlay>(overlay.expect("an overlay"))).all_do(&[
            ("ls /", "[f locked new]"),
            ("stat f", "{type=file mode=0 nlink=1 uid=65534 gid=65534 size=1}"),
            ("cat f", "EACCES"),
            ("chmod f 644", "EACCES"),
            // What is below it can't be told: it would be lost if it got another mode.
            ("stat locked", "EACCES"),
            ("chmod locked 755", "EACCES"),
            ("file new/x x", "ok"),
            ("unlink f", "ok"),
            ("file f mine", "ok"),
        ]);
    });
    assert_eq!(picture(&layers.path("top/upper")), before, "the upper of before was changed");
}

#[test]
fn an_open_file_goes_on_whatever_its_mode_becomes() {
    if !can_be_another() {
        return;
    }
    for within in [PathBuf::from("/dev/shm"), std::env::temp_dir()] {
        let layers = layers_within(&within);
        for name in ["f", "g", "h"] {
            make(&layers, name, Some("hello"), 0o644, NOBODY);
        }
        by_nobody(|| {
            let fs = overlay(&layers);
            let mut process = Process::on(&fs);
            process.all_do(&[
                ("open f rw as f", "ok"),
                ("open f rw as other", "ok"),
                ("open g rw as g", "ok"),
                ("open h rw as h", "ok"),
                ("chmod f 444", "ok"),
                ("chmod g 0", "ok"),
                ("chmod h 0", "ok"),
            ]);
            let before = process.does("stat g");
            process.all_do(&[
                ("pread %g 0 5", "\"hello\""),
                ("write %f J", "1"),
                ("pread %other 0 5", "\"Jello\""),
                ("ftruncate %h 4", "ok"),
                ("pread %h 0 9", "\"hell\""),
                ("fsync %g", "ok"),
                ("stat f", "{type=file mode=444 nlink=1 uid=65534 gid=65534 size=5}"),
            ]);
            assert_eq!(process.does("stat g"), before);
        });
        let mode = |name: &str| std::fs::metadata(layers.path(name)).expect("a copy").mode() & 0o7777;
        assert_eq!(["f", "g", "h"].map(|name| mode(&format!("top/upper/{name}"))), [0o444, 0, 0]);
    }
}

/// `user.` attributes are not for symbolic links and special files: what is known of them holds no descriptors.
#[test]
fn any_number_of_links_keep_their_numbers_with_few_descriptors() {
    const LINKS: usize = 2000;
    if !can_be_another() {
        return;
    }
    for within in [PathBuf::from("/dev/shm"), std::env::temp_dir()] {
        let layers = layers_within(&within);
        let in_lower = |name: &str| layers.lower().join(name);
        for at in 0..LINKS {
            symlink("target", in_lower(&format!("l{at}"))).expect("room");
        }
        for name in ["x", "y", "gone"] {
            std::fs::hard_link(in_lower("l0"), in_lower(name)).expect("room");
        }
        by_nobody(|| {
            let fs = overlay_of(&layers, || Host::builder().max_descriptors(48));
            let mut process = Process::on(&fs);
            let number = |fs: &FilesystemRef, name: &str| {
                let who = Credentials::root();
                let cx = Cx::new(&who, &Epoch);
                let (root, name) = (fs.root(), Name::new(name.as_bytes()).expect("a name"));
                let node = fs.lookup(&cx, At { dir: &root, name }).expect("it is there");
                let attr = fs.getattr(&cx, &node).expect("attributes");
                (attr.ino, attr.btime, attr.nlink)
            };
            let before: Vec<_> = (0..LINKS).map(|at| number(&fs, &format!("l{at}"))).collect();
            for at in 0..LINKS {
                assert_eq!(process.does(&format!("rename l{at} m{at}")), "ok", "link {at}");
            }
            assert_eq!(process.does("unlink gone"), "ok");
            for (at, &(ino, btime, nlink)) in before.iter().enumerate() {
                let nlink = if at == 0 { nlink - 1 } else { nlink };
                assert_eq!(number(&fs, &format!("m{at}")), (ino, btime, nlink), "link {at}");
                assert_eq!(process.does(&format!("readlink m{at}")), "\"target\"");
            }
            for name in ["x", "y"] {
                assert_eq!(number(&fs, name).0, before[0].0);
            }
            // Numbers that are free again stand for what is new.
            for at in 1..LINKS {
                assert_eq!(process.does(&format!("unlink m{at}")), "ok");
            }
            let mut new = std::collections::HashSet::new();
            for at in 1..LINKS {
                assert_eq!(process.does(&format!("symlink new n{at}")), "ok");
                new.insert(number(&fs, &format!("n{at}")).0);
            }
            assert_eq!(new.len(), LINKS - 1);
            assert!(before.iter().all(|(ino, ..)| !new.contains(ino)), "a number of what is gone");
        });
    }
}

#[test]
fn what_may_not_be_written_to_is_not_copied() {
    if !can_be_another() {
        return;
    }
    let layers = layers_within(Path::new("/dev/shm"));
    make(&layers, "locked", Some("locked"), 0o444, NOBODY);
    by_nobody(|| {
        let fs = overlay(&layers);
        let mut process = Process::on(&fs);
        // The guest is root, but the host has it that its owner must let himself first.
        process.all_do(&[
            ("open locked rw as f", "ok"),
            ("write %f x", "EACCES"),
            ("ftruncate %f 2", "EACCES"),
            ("cat locked", "\"locked\""),
        ]);
    });
    assert_eq!(left_in_work(&layers), ["index"; 0]);
    assert!(!layers.path("top/upper/locked").exists(), "a failed write left a copy");
}

/// In the environment of the process in a namespace: the directories.
const NAMESPACE: &str = "VNODE_NAMESPACE_DIRECTORY";

/// As root of a user namespace that has no other user.
#[test]
fn the_root_of_a_namespace() {
    let Some(directory) = std::env::var_os(NAMESPACE).map(PathBuf::from) else { return };
    let overlay = || {
        let who = Credentials::root();
        let lower = FilesystemRef::new::<Host>(Host::new(directory.join("lower")).expect("the lower"));
        let upper =
            Host::builder().devices(true).owners(true).open(directory.join("top")).expect("the upper");
        let builder = Overlay::builder().lower(lower);
        let overlay = builder.build(&Cx::new(&who, &Epoch), FilesystemRef::new::<Host>(upper));
        FilesystemRef::new::<Overlay>(overlay.expect("an overlay"))
    };
    Process::on(&overlay()).all_do(&[
        ("stat dir/x", "{type=file mode=644 nlink=1 uid=65534 gid=65534 size=1}"),
        ("file dir/x changed", "ok"),
        ("stat dir/x", "{type=file mode=644 nlink=1 uid=0 gid=0 size=7}"),
        ("stat dir", "{type=dir mode=755 nlink=2 uid=0 gid=0}"),
        ("chmod program 711", "ok"),
        ("unlink gone", "ok"),
        ("rename dir moved", "ok"),
        ("mknod whiteout chr:0:0", "EPERM"),
        ("chown moved/x 12 12", "EINVAL"),
    ]);
    Process::on(&overlay()).all_do(&[
        ("ls /", "[moved program]"),
        ("cat moved/x", "\"changed\""),
        ("stat program", "{type=file mode=711 nlink=1 uid=0 gid=0 size=2}"),
    ]);
    println!("all was done");
}

#[test]
fn what_the_root_of_a_namespace_changes_is_kept() {
    if !can_be_another() {
        return;
    }
    let layers = layers_within(Path::new("/dev/shm"));
    make(&layers, "dir", None, 0o755, NOBODY);
    make(&layers, "dir/x", Some("x"), 0o644, NOBODY);
    make(&layers, "program", Some("#!"), 0o4755, NOBODY);
    make(&layers, "gone", Some("gone"), 0o644, NOBODY);
    for path in ["top", "top/work"] {
        chown(layers.path(path), Some(0), Some(0)).expect("root may");
    }
    let before = picture(layers.lower());
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "the_root_of_a_namespace", "--nocapture"])
        .env(NAMESPACE, layers.path(""))
        .output();
    let said = match output {
        Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        Err(error) => format!("unshare: {error}"),
    };
    if said.contains("unshare") {
        println!("skipped: no user namespace: {said}");
        return;
    }
    assert!(said.contains("all was done"), "{said}");
    assert_eq!(picture(layers.lower()), before, "the lower was changed");
}
