//! Symbolic links for filesystems that have none: every case, and random paths and sequences, as on a filesystem with links.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::path::Path;
use std::time::Duration;

use vnode_adapt::{Keep, SymlinkEmulation};
use vnode_conformance::adapted::{self, Layer};
use vnode_conformance::differ::{paths, sequences};
use vnode_conformance::faulty;
use vnode_conformance::host::{self, Calls};
use vnode_conformance::kernel::Kernel;
use vnode_conformance::linkless::Linkless;
use vnode_conformance::subject::Subject;
use vnode_conformance::suite;
use vnode_conformance::vnode::Layout;
use vnode_core::fs::{At as FsAt, Filesystem, LinkTarget, NewInode, NewKind, Remove};
use vnode_core::{Clock, Credentials, Cx, FilesystemRef, Mode, Name, Timespec};
use vnode_host::Host;

/// What is compared at random takes so long, for each subject.
const TIME: Duration = Duration::from_millis(1500);

/// The whole suite, then paths and sequences.
fn check(layout: Layout, keep: Keep) {
    let mut cases = suite::cases().expect("case files");
    cases.extend(suite::own_cases().expect("case file"));
    let layers = &[Layer::Linkless, Layer::Links(keep), Layer::Quota];
    let report = Kernel::on_thread(|kernel| {
        let (mut subject, books) = adapted::subject(layout, layers).expect("a subject");
        let report = suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases);
        println!("{report}");
        if kernel.is_privileged() {
            let paths = paths::run(&mut subject, kernel, 1, TIME / 3).expect("a run");
            assert_eq!(paths.difference, None);
            let sequences = sequences::run(&mut subject, kernel, 1, TIME).expect("a run");
            println!("{} lookups, {} sequences", paths.lookups, sequences.clean);
            assert!(paths.lookups >= 1000 && sequences.clean >= 5, "too little was compared");
            assert_eq!(sequences.difference, None);
        }
        assert_eq!(books.unmade(), 0);
        report
    })
    .expect("an oracle");
    assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
    assert!(report.skipped.len() <= 1, "{} cases skipped", report.skipped.len());
}

#[test]
fn in_memory_at_the_root() {
    check(Layout::Root, Keep::InMemory);
}

#[test]
fn in_memory_at_a_sub_mount() {
    check(Layout::SubMount, Keep::InMemory);
}

#[test]
fn in_hidden_files_at_the_root() {
    check(Layout::Root, Keep::HiddenFiles);
}

#[test]
fn in_hidden_files_at_a_sub_mount() {
    check(Layout::SubMount, Keep::HiddenFiles);
}

/// Operations that leave something when a call fails, and why. All that they may leave is a directory's `ctime`.
const LEFT_BY_FAILURE: &[(&str, &str)] = &[
    ("rename longlink full/x", FIRST_LINK),
    ("rename e/only none/f", FIRST_LINK),
    ("rename e/only none/f exchange", FIRST_LINK),
    ("rename none/f e/only exchange", FIRST_LINK),
    ("rename e/only none exchange", FIRST_LINK),
    ("rename none e/only exchange", FIRST_LINK),
];

/// Why a link that takes a file's name, in a directory that has no link yet, leaves something when it can't.
const FIRST_LINK: &str = "the directory gets its hidden file before the file's name goes, and loses it again";

/// Every operation, with each call of the filesystem within failed once: what fails changes nothing.
fn check_faults(keep: Keep) {
    let layers = &[Layer::Faults, Layer::Linkless, Layer::Links(keep)];
    let (mut subject, books) = adapted::subject(Layout::Root, layers).expect("a subject");
    let report = faulty::run_tidying(&mut subject, &books, &faulty::cases().expect("case file"));
    let (operations, faults, unheard) = (report.operations, report.faults, report.unheard);
    println!("{keep:?}: {operations} operations, {faults} calls failed, {unheard} of them unheard");
    let mut excused: Vec<(&str, &str)> = Vec::new();
    let findings: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| {
            let known = LEFT_BY_FAILURE.iter().find(|(op, why)| {
                let head = finding.lines().next().unwrap_or_default();
                head.ends_with(&format!(": {op}")) && !why.is_empty()
            });
            let is_ctime = |line: &str| line.matches(';').count() <= 1 && line.contains(": mtime, ctime ");
            excused.extend(known);
            !(known.is_some() && finding.lines().skip(2).all(is_ctime))
        })
        .collect();
    assert!(
        findings.is_empty(),
        "{} findings, the first {}",
        findings.len(),
        findings.iter().map(|f| f.as_str()).collect::<Vec<_>>().join("\n")
    );
    if keep == Keep::HiddenFiles {
        assert_eq!(excused.len(), LEFT_BY_FAILURE.len(), "of what is listed only {excused:?} was met");
    }
}

#[test]
fn in_memory_a_failed_operation_leaves_the_tree_as_it_was() {
    check_faults(Keep::InMemory);
}

#[test]
fn in_hidden_files_a_failed_operation_leaves_the_tree_as_it_was() {
    check_faults(Keep::HiddenFiles);
}

/// Cases that say how many inodes a filesystem takes, where nothing counts as tmpfs does: with a quota over it the
/// emulation passes them too.
const COUNTED_OTHERWISE: &[(Keep, &str, &str)] =
    &[(Keep::InMemory, "mounts: a full filesystem: inodes ENOSPC", "links in memory take no inodes")];

/// Files of cases of which all are tried over the host; of the others it is one in five.
const ALL_OF: [&str; 5] = ["links.txt", "readdir.txt", "rename.txt", "xattr.txt", "mounts.txt"];

/// The suite over a directory of the host without links, then sequences.
fn check_host(keep: Keep) {
    let mut cases = suite::cases().expect("case files");
    let mut number = 0;
    cases.retain(|case| {
        number += 1;
        ALL_OF.contains(&case.file) || number % 5 == 0
    });
    let layers = &[Layer::Linkless, Layer::Links(keep)];
    let report = Kernel::beside(|kernel| {
        let within = Path::new("/dev/shm");
        let (mut subject, books) =
            host::subject_under(layers, within, Layout::SubMount, Calls::Runs).expect("a subject");
        let report = suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases);
        println!("{report}");
        if kernel.is_privileged() {
            let sequences = sequences::run(&mut subject, kernel, 1, TIME).expect("a run");
            println!("{} sequences", sequences.clean);
            assert_eq!(sequences.difference, None);
        }
        assert_eq!(books.unmade(), 0);
        report
    })
    .expect("an oracle");
    let mut known: Vec<_> = COUNTED_OTHERWISE.iter().filter(|(of, ..)| *of == keep).collect();
    let failed = report.failed.iter().filter(|failure| {
        let line = failure.lines().next().unwrap_or_default();
        let at = known.iter().position(|(_, case, _)| line == format!("FAILED {case}"));
        at.map(|at| known.swap_remove(at)).is_none()
    });
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{} cases failed", failed.len());
    assert!(known.is_empty(), "these passed: {known:?}");
}

#[test]
fn in_hidden_files_of_the_host() {
    check_host(Keep::HiddenFiles);
}

#[test]
fn in_memory_over_the_host() {
    check_host(Keep::InMemory);
}

/// The clock of the calls of a test.
struct At(i64);

impl Clock for At {
    fn now(&self) -> Timespec {
        Timespec { sec: self.0, nsec: 5 }
    }
}

/// A directory of the host is served without links of its own, and given links; then everything is closed.
fn served<T>(path: &Path, second: i64, work: impl FnOnce(&SymlinkEmulation, &Cx<'_>) -> T) -> T {
    let host = Host::builder().open(path).expect("a directory");
    let fs = FilesystemRef::new::<Linkless<Host>>(Linkless(host));
    let (who, clock) = (Credentials::root(), At(second));
    let cx = Cx::new(&who, &clock);
    assert_eq!(SymlinkEmulation::needed(&cx, &fs), Ok(true));
    work(&SymlinkEmulation::new(&cx, fs, Keep::HiddenFiles).expect("links"), &cx)
}

#[test]
fn links_in_a_directory_of_the_host_are_there_when_it_is_served_again() {
    let path = Path::new("/dev/shm").join(format!("vnode-emulated-{}", std::process::id()));
    std::fs::create_dir(&path).expect("a directory");
    std::fs::create_dir(path.join("d")).expect("a directory");
    let name = |name: &'static str| Name::new(name.as_bytes()).expect("a name");
    let links = [("a", "/abs"), ("b", "../x/./y//"), ("c", "gone")];
    let made = served(&path, 100, |fs, cx| {
        let root = fs.root();
        let dir = fs.lookup(cx, FsAt { dir: &root, name: name("d") }).expect("d");
        let attrs: Vec<_> = links
            .iter()
            .map(|(link, target)| {
                let kind = NewKind::Symlink(target.as_bytes());
                let new = NewInode { kind, mode: Mode::from_raw(0o777), uid: 7, gid: 8 };
                let node = fs.create(cx, FsAt { dir: &dir, name: name(link) }, new).expect("a link");
                fs.getattr(cx, &node).expect("attributes")
            })
            .collect();
        fs.sync(cx, &dir, false).expect("synced");
        attrs
    });
    assert!(path.join("d/.vnode-symlinks").is_file() && !path.join("d/a").is_symlink());
    std::fs::rename(path.join("d"), path.join("moved")).expect("moved by somebody else");
    served(&path, 200, |fs, cx| {
        let root = fs.root();
        let dir = fs.lookup(cx, FsAt { dir: &root, name: name("moved") }).expect("moved");
        for ((link, target), attr) in links.iter().zip(&made) {
            let at = FsAt { dir: &dir, name: name(link) };
            let node = fs.lookup(cx, at).expect("a link");
            assert_eq!(fs.getattr(cx, &node).as_ref(), Ok(attr));
            assert_eq!((attr.uid, attr.gid, attr.mtime.sec), (7, 8, 100));
            let LinkTarget::Text(text) = fs.readlink(cx, &node).expect("a target") else {
                unreachable!("no link of /proc")
            };
            assert_eq!(&text[..], target.as_bytes());
            fs.remove(cx, at, Remove::File).expect("removed");
        }
        fs.remove(cx, FsAt { dir: &root, name: name("moved") }, Remove::Directory).expect("empty");
    });
    let left: Vec<_> =
        std::fs::read_dir(&path).expect("a listing").flatten().map(|it| it.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    std::fs::remove_dir_all(&path).expect("removed");
}
