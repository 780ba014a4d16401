//! A read-only filesystem against the kernel's: tmpfs, remounted read-only as a whole.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::time::Duration;

use vnode_adapt::ReadOnly;
use vnode_conformance::adapted::{self, Layer};
use vnode_conformance::differ::sequences;
use vnode_conformance::frozen::{self, Filling};
use vnode_conformance::kernel::Kernel;
use vnode_conformance::packed;
use vnode_conformance::subject::Needs;
use vnode_conformance::suite;
use vnode_conformance::vnode::{Layout, Vnode};
use vnode_core::FilesystemRef;

const TIME: Duration = Duration::from_secs(2);

/// Cases that come out otherwise on an archive.
const OF_ARCHIVES: [&str; 0] = [];

/// A memory filesystem that is packed when it is frozen.
fn archive() -> Vnode {
    let (subject, _) = adapted::subject(Layout::Root, &[]).expect("a subject");
    let pack = |fs: FilesystemRef| match packed::archived(&fs) {
        Ok(archive) => archive,
        // What no archive holds.
        Err(_) => FilesystemRef::new::<ReadOnly<FilesystemRef>>(ReadOnly::new(fs)),
    };
    subject.frozen_by(Box::new(pack)).lacking(Needs::NEWEST_FIRST | Needs::TIMES)
}

fn check(layers: &[Layer], filling: Filling) {
    check_subject(|| adapted::subject(Layout::Root, layers).expect("a subject").0, filling, &[], 1);
}

fn check_subject(
    subject: impl FnOnce() -> Vnode + Send,
    filling: Filling,
    different: &[&str],
    may_be_skipped: usize,
) {
    let cases = suite::cases().expect("case files");
    let run = |kernel: &mut Kernel| {
        let mut subject = subject();
        kernel.is_privileged().then(|| {
            let report = frozen::run(&mut subject, kernel, &cases, filling);
            let sequences = sequences::run_frozen(&mut subject, kernel, 1, TIME).expect("a run");
            println!("{} sequences", sequences.clean);
            assert!(sequences.clean >= 5, "too little was compared");
            assert_eq!(sequences.difference, None);
            report
        })
    };
    let Some(report) = Kernel::on_thread(run).expect("an oracle") else {
        println!("skipped: only root can remount a filesystem read-only");
        return;
    };
    println!("{report}");
    let is_known = |failure: &&String| different.iter().any(|name| failure.contains(name));
    let failed = report.failed.iter().filter(|failure| !is_known(failure)).count();
    assert_eq!(failed, 0, "cases failed");
    assert!(report.skipped.len() <= may_be_skipped, "{} cases skipped", report.skipped.len());
}

#[test]
fn before_what_each_case_is_about_is_done() {
    check(&[], Filling::Setup);
}

#[test]
fn after_it_is_done() {
    check(&[Layer::Quota], Filling::All);
}

#[test]
fn an_archive_before_what_each_case_is_about_is_done() {
    check_subject(archive, Filling::Setup, &OF_ARCHIVES, 25);
}

#[test]
fn an_archive_after_it_is_done() {
    check_subject(archive, Filling::All, &OF_ARCHIVES, 25);
}
