//! Every operation, with each call of the filesystem that it makes failed once: what fails changes nothing.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use vnode_adapt::{Fault, Op, OpSet};
use vnode_conformance::adapted::{self, Layer};
use vnode_conformance::call::{self, Env, run_text};
use vnode_conformance::faulty::{self, LEFT_OUT, Report};
use vnode_conformance::value::describe;
use vnode_conformance::vnode::Layout;

/// What no operation of a guest's calls, but an overlay for itself: its tests have it fail (`sharing`).
fn between_files() -> OpSet {
    OpSet::from(Op::CopyRange) | Op::Lend
}

fn check(layers: &[Layer]) -> Report {
    let (mut subject, books) = adapted::subject(Layout::Root, layers).expect("a subject");
    let report = faulty::run(&mut subject, &books, &faulty::cases().expect("case file"));
    println!("{layers:?}: {} operations, {} calls failed", report.operations, report.faults);
    assert!(report.findings.is_empty(), "{}", report.findings.join("\n"));
    let findings = books.findings();
    assert!(findings.is_empty(), "{findings:?}");
    report
}

#[test]
fn a_failed_operation_leaves_the_tree_as_it_was() {
    let report = check(&[Layer::Quota, Layer::Faults]);
    for verb in call::verbs() {
        let left_out = LEFT_OUT.iter().any(|(known, reason)| *known == verb && !reason.is_empty());
        assert!(left_out != report.verbs.contains(verb), "{verb} has no case, or two places");
    }
    let known = report.failed_on | between_files();
    let never: Vec<_> = OpSet::ALL.iter().filter(|op| !known.contains(*op)).collect();
    assert!(never.is_empty(), "no case has these fail: {never:?}");
}

#[test]
fn a_quota_is_exact_though_the_filesystem_below_fails() {
    let report = check(&[Layer::Faults, Layer::Quota]);
    for op in OpSet::changes().iter().filter(|op| !between_files().contains(*op)) {
        assert!(report.failed_on.contains(op), "{op} never failed below the quota");
    }
}

#[test]
fn a_medium_holds_what_it_held_though_the_filesystem_below_fails() {
    let report = check(&[Layer::Faults, Layer::Crash]);
    let wanted = OpSet::changes() | Op::Sync | Op::Fsync;
    for op in wanted.iter().filter(|op| !between_files().contains(*op)) {
        assert!(report.failed_on.contains(op), "{op} never failed below the medium");
    }
}

#[test]
fn reads_and_writes_are_short_when_told_so() {
    let (mut subject, books) =
        adapted::subject(Layout::Root, &[Layer::Quota, Layer::Faults]).expect("a subject");
    let control = books.control();
    let mut env = Env::default();
    let mut does = |line: &str| describe(&run_text(&mut subject, &mut env, line).expect("a line"));
    assert_eq!(does("open f rw,creat as h"), "ok");
    control.arm(Fault::short(3).every_time());
    assert_eq!(does("write %h 0123456789"), "3");
    assert_eq!(does("pwrite %h 3 abcdef"), "3");
    assert_eq!(does("open f w,append as a"), "ok");
    assert_eq!(does("write %a xyz0"), "3");
    assert_eq!(does("pread %h 1 100"), "\"12a\"");
    control.disarm();
    assert_eq!(does("pread %h 0 100"), "\"012abcxyz\"");
    control.arm(Fault::short(1).on(Op::Read).nth(2));
    let reads: Vec<_> = (0..3).map(|_| does("pread %h 0 2")).collect();
    assert_eq!(reads, ["\"01\"", "\"0\"", "\"01\""]);
}
