//! Every case on overlays: with the scene in the upper, and with the scene in a lower.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vnode_archive::Archive;
use vnode_conformance::differ::sequences;
use vnode_conformance::faulty;
use vnode_conformance::kernel::overlayfs::Mounts;
use vnode_conformance::kernel::{Kernel, Remote};
use vnode_conformance::layers::{self, Process};
use vnode_conformance::overlay::{self, Medium, Scene, Stack};
use vnode_conformance::packed;
use vnode_conformance::subject::{Needs, Subject};
use vnode_conformance::suite::{self, Report};
use vnode_conformance::vnode::Layout;
use vnode_core::FilesystemRef;

/// Cases that come out otherwise by intention, by their names, and why.
const DIFFERENCES: [(&str, &str); 4] = [
    ("io: nodes keep kind, mode and device: chr:0:0", WHITEOUT),
    ("permissions: device nodes are root's: chr:0:0", WHITEOUT),
    ("mounts: a full filesystem: inodes ENOSPC", COUNTS),
    ("mounts: an inode that is freed can be used", COUNTS),
];

const WHITEOUT: &str = "device 0:0 is a whiteout, and nobody else's to make";
const COUNTS: &str = "statfs tells what the upper has, the overlay's own directories included";

/// Those that come out otherwise where the scene is in a lower.
const OF_LOWERS: [(&str, &str); 2] = [
    ("times: relatime: the second read touches nothing", "a lower is never written to, as on Linux"),
    ("readdir: a name made again is newest", "a name that a lower has is listed in the lower's order"),
];

/// Those that come out otherwise where the scene is in an archive.
const OF_ARCHIVES: [(&str, &str); 4] = [
    ("times: relatime: the second read touches nothing", "as of other lowers"),
    ("times: utimensat without mtime keeps it", ONE_TIME),
    ("times: utimensat without atime keeps it", ONE_TIME),
    ("times: utimensat without both keeps it", ONE_TIME),
];
const ONE_TIME: &str = "an archive has one time of a member, that of its content";

/// Whether exactly those cases come out otherwise that are meant to.
fn settle(report: &Report, different: &[&str]) {
    println!("{report}");
    let named = |failure: &str, name: &str| failure.starts_with(&format!("FAILED {name}\n"));
    let known = |failure: &&String| different.iter().any(|name| named(failure, name));
    let unknown = report.failed.iter().filter(|failure| !known(failure)).count();
    assert_eq!(unknown, 0, "cases failed that are not known to come out otherwise");
    assert_eq!(report.failed.len(), different.len(), "a case that was to come out otherwise didn't");
}

fn names(list: &[(&'static str, &str)]) -> Vec<&'static str> {
    list.iter().map(|(name, _)| *name).collect()
}

fn check(layout: Layout, scene: Scene) {
    let mut cases = suite::cases().expect("case files");
    cases.extend(suite::own_cases().expect("case file"));
    let run = |kernel: &mut Kernel| {
        let mut subject = overlay::subject(layout, scene).expect("a subject");
        if scene == Scene::Archive {
            // Its names are listed in their order.
            subject = subject.lacking(Needs::NEWEST_FIRST);
        }
        let beside = std::env::var_os("VNODE_TEST_ALONE").is_none();
        suite::run(&mut subject, beside.then_some(kernel as &mut dyn Subject), &cases)
    };
    let report = Kernel::on_thread(run).expect("an oracle");
    let mut different = names(&DIFFERENCES);
    match scene {
        Scene::Upper => {}
        Scene::Archive => different.extend(names(&OF_ARCHIVES)),
        _ => different.extend(names(&OF_LOWERS)),
    }
    settle(&report, &different);
    let may_be_skipped = if scene == Scene::Archive { 25 } else { 1 };
    assert!(report.skipped.len() <= may_be_skipped, "{} cases skipped", report.skipped.len());
}

#[test]
fn the_scene_in_the_upper() {
    check(Layout::Root, Scene::Upper);
}

#[test]
fn the_scene_in_the_lower() {
    check(Layout::Root, Scene::Lower);
}

#[test]
fn the_scene_in_the_lower_by_single_names() {
    check(Layout::Root, Scene::LowerByName);
}

#[test]
fn the_scene_in_a_lower_overlay() {
    check(Layout::Root, Scene::LowerOverlay);
}

#[test]
fn the_scene_in_an_archive() {
    check(Layout::Root, Scene::Archive);
}

#[test]
fn the_scene_in_an_archive_at_a_sub_mount() {
    check(Layout::SubMount, Scene::Archive);
}

/// What is copied up from an archive is the archive's, which is held as long as it is needed.
#[test]
fn a_copy_of_a_file_of_an_archive_shares_its_bytes() {
    let script = "file big <0123456789abcdef*20000>\nfile small <x*100>";
    let filled = overlay::memory(0, 0);
    layers::carry_out(&filled, script).expect("a tree");
    let bytes: Arc<[u8]> = packed::pack(&filled).expect("an archive").into();
    let held = Arc::downgrade(&bytes);
    let archive = Archive::builder().bytes(bytes).expect("an archive");
    let upper = overlay::memory(0, 0);
    let over =
        overlay::over(vec![FilesystemRef::new::<Archive>(archive)], upper.clone()).expect("an overlay");
    let mut process = Process::on(&over);
    process.all_do(&[("open big rw as h", "ok"), ("pwrite %h 100000 changed", "7"), ("close %h", "ok")]);
    drop((process, over));
    assert!(held.upgrade().is_some(), "all of it was copied");
    let mut process = Process::on(&upper);
    process.all_do(&[
        ("stat upper/big", "{type=file mode=644 nlink=1 uid=0 gid=0 size=320000}"),
        ("open upper/big rw as h", "ok"),
        ("pread %h 99998 9", "\"efchanged\""),
        ("pread %h 319996 4", "\"cdef\""),
    ]);
    // Each chunk that is written to is copied, and then nothing is left to share.
    for chunk in [0, 65536, 131_072, 196_608, 262_144] {
        assert!(held.upgrade().is_some(), "nothing was shared at {chunk}");
        process.all_do(&[(&format!("pwrite %h {chunk} X"), "1")]);
    }
    assert!(held.upgrade().is_none());
    process.all_do(&[("pread %h 131071 5", "\"fX123\""), ("pread %h 99998 9", "\"efchanged\"")]);
}

#[test]
fn at_a_sub_mount() {
    check(Layout::SubMount, Scene::Upper);
}

#[test]
fn at_a_bind_mount() {
    check(Layout::Bind, Scene::Upper);
}

/// What is compared at random takes so long.
const TIME: Duration = Duration::from_secs(4);

/// In the environment: seconds of random sequences in place of those.
const SECONDS: &str = "VNODE_OVERLAY_SECONDS";
/// In the environment: the seed of random sequences.
const SEED: &str = "VNODE_OVERLAY_SEED";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn sinking(scene: Scene) {
    let time = number(SECONDS).map_or(TIME, Duration::from_secs);
    let seed = number(SEED).unwrap_or(1);
    let run = |kernel: &mut Kernel| {
        if !kernel.is_privileged() {
            println!("skipped: the kernel gives no root of its own");
            return;
        }
        let mut subject = overlay::subject(Layout::Root, scene).expect("a subject");
        if scene == Scene::Archive {
            subject = subject.lacking(Needs::NEWEST_FIRST | Needs::TIMES);
        }
        let sequences = sequences::run_sunk(&mut subject, kernel, seed, time).expect("a run");
        println!("{} sequences", sequences.clean);
        if let Some(difference) = sequences.difference {
            panic!("{difference}");
        }
        assert!(sequences.clean >= 5, "too little was compared");
    };
    Kernel::on_thread(run).expect("an oracle");
}

#[test]
fn random_sequences_that_sink_into_lowers() {
    sinking(Scene::LowerOverlay);
}

#[test]
fn random_sequences_that_sink_into_archives() {
    sinking(Scene::Archive);
}

/// Random sequences on overlays of vnode and on overlays of the kernel.
fn beside_overlays_of_the_kernel(media: [Medium; 2], stack: Stack) {
    let time = number(SECONDS).map_or(TIME / 2, Duration::from_secs);
    let seed = number(SEED).unwrap_or(1);
    let run = |kernel: &mut Remote| {
        if !kernel.is_privileged() {
            println!("skipped: the kernel gives no root of its own");
            return;
        }
        let mut subject = overlay::stacked(Path::new("/dev/shm"), media, stack).expect("a subject");
        let sequences = sequences::run_overlaid(&mut subject, kernel, stack, seed, time).expect("a run");
        println!("{media:?}, {stack:?}: {} sequences", sequences.clean);
        if let Some(difference) = sequences.difference {
            panic!("{difference}");
        }
        assert!(sequences.clean >= 5, "too little was compared");
    };
    Kernel::of_overlays_beside(stack, run).expect("an oracle");
}

#[test]
fn random_sequences_beside_overlays_of_the_kernel() {
    beside_overlays_of_the_kernel([Medium::Memory, Medium::Memory], Stack::Nested);
    beside_overlays_of_the_kernel([Medium::Memory, Medium::Memory], Stack::Flat);
}

#[test]
fn random_sequences_of_archives_beside_overlays_of_the_kernel() {
    beside_overlays_of_the_kernel([Medium::Archive, Medium::Memory], Stack::Nested);
    beside_overlays_of_the_kernel([Medium::Archive, Medium::Host], Stack::Nested);
}

#[test]
fn random_sequences_of_directories_beside_overlays_of_the_kernel() {
    beside_overlays_of_the_kernel([Medium::Host, Medium::Host], Stack::Flat);
    beside_overlays_of_the_kernel([Medium::Memory, Medium::Host], Stack::Nested);
}

fn check_faults(medium: Medium) {
    let (mut subject, books) = overlay::suffering(Path::new("/dev/shm"), medium).expect("a subject");
    let report = faulty::run_tidying(&mut subject, &books, &faulty::cases().expect("case file"));
    let (operations, faults, unheard) = (report.operations, report.faults, report.unheard);
    println!("{operations} operations, {faults} calls failed, {unheard} of them unheard");
    assert!(report.findings.is_empty(), "{}", report.findings.join("\n"));
    assert!(faults > 1000, "too few calls failed");
}

#[test]
fn what_fails_in_a_layer_changes_nothing() {
    check_faults(Medium::Memory);
}

#[test]
fn what_fails_in_an_archive_changes_nothing() {
    check_faults(Medium::Archive);
}

#[test]
fn what_fails_in_a_directory_of_the_host_changes_nothing() {
    if Mounts::on_thread(|_| ()).is_none() {
        println!("skipped: nobody but root makes whiteouts and keeps owners");
        return;
    }
    check_faults(Medium::Host);
}

fn check_host(scene: Scene) {
    let cases = suite::cases().expect("case files");
    let run = |kernel: &mut Remote| {
        if !kernel.is_privileged() {
            println!("skipped: nobody but root makes whiteouts and keeps owners");
            return None;
        }
        let mut subject = overlay::of_host(Path::new("/dev/shm"), Layout::Root, scene).expect("a subject");
        Some(suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases))
    };
    let Some(report) = Kernel::beside(run).expect("an oracle") else { return };
    // Of directories of the host, only an overlay takes limits.
    let limited = scene == Scene::Upper;
    let mut different: Vec<_> =
        DIFFERENCES.into_iter().filter(|(_, why)| limited || *why != COUNTS).collect();
    if scene == Scene::Lower {
        different.push(OF_LOWERS[0]);
    }
    settle(&report, &names(&different));
}

#[test]
fn over_directories_of_the_host() {
    check_host(Scene::Upper);
}

#[test]
fn over_directories_of_the_host_with_the_scene_in_the_lower() {
    check_host(Scene::Lower);
}

/// The cases with the scene in one of three lowers.
fn check_between(media: [Medium; 2]) {
    let mut cases = suite::cases().expect("case files");
    cases.retain(|case| !is_above(case.file));
    let run = |kernel: &mut Remote| {
        if !kernel.is_privileged() {
            println!("skipped: nobody but root makes whiteouts and keeps owners");
            return None;
        }
        let mut subject = overlay::stacked(Path::new("/dev/shm"), media, Stack::Between).expect("a subject");
        Some(suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases))
    };
    let Some(report) = Kernel::beside(run).expect("an oracle") else { return };
    let mut different: Vec<_> = DIFFERENCES.into_iter().filter(|(_, why)| *why != COUNTS).collect();
    different.push(OF_LOWERS[0]);
    if media == [Medium::Host, Medium::Memory] {
        different.push(TWO_CLOCKS);
    }
    different.retain(|(name, _)| !is_above(&name.replacen(':', ".txt", 1)));
    settle(&report, &names(&different));
}

/// Whether cases of a file are about what is decided above all layers.
fn is_above(file: &str) -> bool {
    ["permissions.txt", "mounts.txt", "paths_"].iter().any(|above| file.starts_with(above))
}

/// A case that compares times of which one is the kernel's and one the tests'.
const TWO_CLOCKS: (&str, &str) = ("times: relatime: a read after a write touches again", "two clocks");

#[test]
fn memory_over_directories_in_three_lowers() {
    check_between([Medium::Host, Medium::Memory]);
}

#[test]
fn directories_over_memory_in_three_lowers() {
    check_between([Medium::Memory, Medium::Host]);
}
