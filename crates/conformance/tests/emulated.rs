//! Symbolic links for filesystems that have none: every case, and random paths and sequences, as on a filesystem with links.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::time::Duration;

use vnode_adapt::Keep;
use vnode_conformance::adapted::{self, Layer};
use vnode_conformance::differ::{paths, sequences};
use vnode_conformance::kernel::Kernel;
use vnode_conformance::subject::Subject;
use vnode_conformance::suite;
use vnode_conformance::vnode::Layout;

/// What is compared at random takes so long, for each subject.
const TIME: Duration = Duration::from_secs(2);

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
fn in_hidden_files_at_a_bind_mount() {
    check(Layout::Bind, Keep::HiddenFiles);
}
