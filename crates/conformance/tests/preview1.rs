//! Every case that preview 1 can say, made by a guest on the engine; the kernel runs beside it, and their trees must
//! agree after each case.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::path::Path;

use vnode_conformance::host::Calls;
use vnode_conformance::kernel::Kernel;
use vnode_conformance::preview1::{self, Abi, Preview1};
use vnode_conformance::suite;

fn check(subject: impl FnOnce() -> Result<Preview1, String> + Send) {
    let mut cases = suite::cases().expect("case files");
    cases.extend(suite::own_cases().expect("case file"));
    let run = |kernel: &mut Kernel| {
        let mut subject = subject().expect("a guest");
        preview1::run(&mut subject, kernel, &cases)
    };
    let report = Kernel::on_thread(run).expect("an oracle");
    println!("{report}");
    assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
    assert!(report.through() >= 400, "only {} cases went through", report.through());
}

/// A directory of the host can't be served by the oracle's thread, which has a root and descriptors of its own. No more
/// may that be the first to move a call to a worker: all guests on executors share them, and a thread has the root and the
/// descriptors of the one that it was made by.
fn check_beside(subject: impl FnOnce() -> Result<Preview1, String>) {
    let mut cases = suite::cases().expect("case files");
    cases.extend(suite::own_cases().expect("case file"));
    let report = Kernel::beside(|kernel| preview1::run(&mut subject().expect("a guest"), kernel, &cases));
    let report = report.expect("an oracle");
    println!("{report}");
    assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
    assert!(report.through() >= 400, "only {} cases went through", report.through());
}

#[test]
fn what_preview1_can_say_is_what_linux_does_is_what_linux_does() {
    check(|| Preview1::new(Abi::Preview1));
}

#[test]
fn what_snapshot_0_can_say_is_what_linux_does() {
    check(|| Preview1::new(Abi::Unstable));
}

#[test]
fn what_wasix_can_say_is_what_linux_does() {
    check(|| Preview1::new(Abi::Wasix));
}

#[test]
fn on_an_executor_it_is_the_same() {
    check_beside(|| Preview1::on_an_executor(Abi::Preview1));
}

#[test]
fn on_a_directory_of_the_host_it_is_the_same() {
    check_beside(|| Preview1::on_the_host(Abi::Preview1, Path::new("/dev/shm"), Calls::Runs));
}

#[test]
fn on_a_directory_of_the_host_wasix_is_the_same() {
    check_beside(|| Preview1::on_the_host(Abi::Wasix, Path::new("/dev/shm"), Calls::Runs));
}

#[test]
fn on_a_directory_of_the_host_and_an_executor_it_is_the_same() {
    let within = Path::new("/dev/shm");
    check_beside(|| Preview1::on_the_host_and_an_executor(Abi::Preview1, within, Calls::Single));
}
