//! Every case, and random paths and sequences, on directories of the host.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::path::Path;
use std::time::Duration;

use vnode_conformance::adapted::Layer;
use vnode_conformance::differ::{paths, sequences};
use vnode_conformance::faulty;
use vnode_conformance::frozen::{self, Filling};
use vnode_conformance::host::{self, Calls};
use vnode_conformance::kernel::{Kernel, Remote};
use vnode_conformance::subject::Subject;
use vnode_conformance::suite;
use vnode_conformance::vnode::{Layout, Vnode};

/// What is compared at random takes so long, for each place.
const TIME: Duration = Duration::from_secs(4);

/// In the environment: every so many cases are tried on another filesystem than tmpfs, where all take minutes.
const EVERY: &str = "VNODE_TEST_EVERY";

/// The same kind of filesystem as the oracle's.
fn tmpfs() -> &'static Path {
    Path::new("/dev/shm")
}

fn compare_paths(subject: &mut Vnode, kernel: &mut Remote) {
    let paths = paths::run(subject, kernel, 1, TIME / 3).expect("a run");
    println!("{} lookups", paths.lookups);
    assert_eq!(paths.difference, None);
    assert!(paths.lookups >= 1000, "too little was compared");
}

fn check(layout: Layout, calls: Calls) {
    let cases = suite::cases().expect("case files");
    let run = |kernel: &mut Remote| {
        let mut subject = host::subject(tmpfs(), layout, calls).expect("a subject");
        let report = suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases);
        println!("{report}");
        if kernel.is_privileged() {
            compare_paths(&mut subject, kernel);
            let sequences = sequences::run(&mut subject, kernel, 1, TIME).expect("a run");
            println!("{} sequences", sequences.clean);
            assert_eq!(sequences.difference, None);
            assert!(sequences.clean >= 5, "too little was compared");
        }
        report
    };
    let report = Kernel::beside(run).expect("an oracle");
    assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
}

#[test]
fn by_runs_at_the_root() {
    check(Layout::Root, Calls::Runs);
}

#[test]
fn by_single_names_at_a_sub_mount() {
    check(Layout::SubMount, Calls::Single);
}

#[test]
fn by_runs_at_a_bind_mount() {
    check(Layout::Bind, Calls::Runs);
}

/// The kernel's own tmpfs, remounted read-only, says what is right.
#[test]
fn made_read_only() {
    let cases = suite::cases().expect("case files");
    let run = |kernel: &mut Remote| {
        if !kernel.is_privileged() {
            println!("skipped: only root can remount a filesystem read-only");
            return;
        }
        let third: Vec<_> = cases.iter().step_by(3).cloned().collect();
        for (filling, calls, cases) in
            [(Filling::Setup, Calls::Runs, &cases), (Filling::All, Calls::Single, &third)]
        {
            let mut subject = host::subject(tmpfs(), Layout::Root, calls).expect("a subject");
            let report = frozen::run(&mut subject, kernel, cases, filling);
            println!("{report}");
            assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
            assert!(report.passed * 10 > cases.len() * 9, "too few cases were tried");
            let sequences = sequences::run_frozen(&mut subject, kernel, 1, TIME).expect("a run");
            println!("{} sequences", sequences.clean);
            assert_eq!(sequences.difference, None);
            assert!(sequences.clean >= 5, "too little was compared");
        }
    };
    Kernel::beside(run).expect("an oracle");
}

/// On the filesystem that programs are built on, whatever it is: not all that the cases say of tmpfs is so there.
#[test]
fn on_another_filesystem() {
    let within = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let all = suite::cases().expect("case files");
    let count = all.len();
    let every = std::env::var(EVERY).ok().and_then(|every| every.parse().ok()).unwrap_or(12);
    let run = |kernel: &mut Remote| {
        if !kernel.is_privileged() {
            println!("skipped: a root on another filesystem takes a privileged user");
            return;
        }
        let some = all.into_iter().step_by(every).collect();
        let cases = suite::passed_by(kernel, some);
        println!("the kernel passes {} of {} cases there", cases.len(), count.div_ceil(every));
        assert!(cases.len() * every * 10 > count * 9, "too few cases are left");
        for (layout, calls) in [(Layout::Root, Calls::Runs), (Layout::SubMount, Calls::Single)] {
            let mut subject = host::subject(within, layout, calls).expect("a subject");
            let report = suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases);
            println!("{report}");
            assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
            // Not sequences: where a directory can be sought to, say, is each filesystem's own affair.
            compare_paths(&mut subject, kernel);
        }
    };
    Kernel::beside_within(within, run).expect("an oracle");
}

/// What fails leaves the tree as it was: every operation, with each call of the filesystem that it makes failed once.
#[test]
fn a_failed_operation_changes_nothing() {
    let (mut subject, books) =
        host::subject_under(&[Layer::Faults], tmpfs(), Layout::Root, Calls::Runs).expect("a subject");
    let report = faulty::run(&mut subject, &books, &faulty::cases().expect("case file"));
    println!("{} operations, {} calls failed", report.operations, report.faults);
    assert!(report.findings.is_empty(), "{}", report.findings.join("\n"));
    assert!(report.faults > 300, "too few calls failed");
}

/// A decorator with inodes of its own hands on what a host directory needs.
#[test]
fn under_a_quota_at_a_sub_mount() {
    let cases = suite::cases().expect("case files");
    let run = |kernel: &mut Remote| {
        let layers = [Layer::Quota, Layer::Events];
        let (mut subject, _) =
            host::subject_under(&layers, tmpfs(), Layout::SubMount, Calls::Runs).expect("a subject");
        let report = suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases);
        println!("{report}");
        assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
    };
    Kernel::beside(run).expect("an oracle");
}
