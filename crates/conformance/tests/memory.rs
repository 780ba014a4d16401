//! Every case on the memory filesystem: at the root of the namespace, at a sub-mount and at a bind mount, and
//! with the walk by single names. The kernel runs beside it, and their trees must agree after each case.
//!
//! With `VNODE_TEST_ALONE` in the environment it doesn't, which takes a tenth of the time: for mutation testing.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use vnode_conformance::kernel::Kernel;
use vnode_conformance::memory::{self, Runs};
use vnode_conformance::subject::Subject;
use vnode_conformance::suite;
use vnode_conformance::vnode::Layout;

fn check(layout: Layout, runs: Runs) {
    let mut cases = suite::cases().expect("case files");
    cases.extend(suite::own_cases().expect("case file"));
    let run = |kernel: &mut Kernel| {
        let mut subject = memory::subject(layout, runs).expect("a subject");
        let beside = std::env::var_os("VNODE_TEST_ALONE").is_none();
        suite::run(&mut subject, beside.then_some(kernel as &mut dyn Subject), &cases)
    };
    let report = Kernel::on_thread(run).expect("an oracle");
    println!("{report}");
    assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
    let skipped = report.skipped.len();
    assert!(
        skipped <= 1,
        "{skipped} cases skipped, and only unmounting what is in use is the embedder's own"
    );
}

#[test]
fn at_the_root() {
    check(Layout::Root, Runs::Taken);
}

#[test]
fn at_a_sub_mount() {
    check(Layout::SubMount, Runs::Taken);
}

#[test]
fn at_a_bind_mount() {
    check(Layout::Bind, Runs::Taken);
}

#[test]
fn by_single_names() {
    check(Layout::Root, Runs::Left);
}
