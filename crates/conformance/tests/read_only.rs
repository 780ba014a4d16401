//! A read-only filesystem against the kernel's: tmpfs, remounted read-only as a whole.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::time::Duration;

use vnode_conformance::adapted::{self, Layer};
use vnode_conformance::differ::sequences;
use vnode_conformance::frozen::{self, Filling};
use vnode_conformance::kernel::Kernel;
use vnode_conformance::suite;
use vnode_conformance::vnode::Layout;

const TIME: Duration = Duration::from_secs(2);

fn check(layers: &[Layer], filling: Filling) {
    let cases = suite::cases().expect("case files");
    let run = |kernel: &mut Kernel| {
        let (mut subject, _) = adapted::subject(Layout::Root, layers).expect("a subject");
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
    assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
    assert!(report.skipped.len() <= 1, "{} cases skipped", report.skipped.len());
}

#[test]
fn before_what_each_case_is_about_is_done() {
    check(&[], Filling::Setup);
}

#[test]
fn after_it_is_done() {
    check(&[Layer::Quota], Filling::All);
}
