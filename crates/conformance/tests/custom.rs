//! The example of a filesystem that an embedder writes (`crates/wasmtime/examples/custom_filesystem`): it is
//! short, passes the whole suite, and resolves random paths as the kernel does.

#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "helpers of tests")]

#[allow(dead_code, unreachable_pub, reason = "an example's file")]
#[path = "../../wasmtime/examples/custom_filesystem/stored.rs"]
mod stored;

use std::time::Duration;

use stored::Stored;
use vnode_adapt::Quota;
use vnode_conformance::differ::paths;
use vnode_conformance::kernel::Kernel;
use vnode_conformance::subject::{Needs, Subject};
use vnode_conformance::suite;
use vnode_conformance::vnode::{Layout, Vnode};
use vnode_core::FilesystemRef;

/// What is compared at random takes so long.
const TIME: Duration = Duration::from_secs(1);

/// What the example leaves out, and says so by its `Caps` and errors.
const LACKS: Needs = Needs::XATTR.union(Needs::HOLES);

fn subject(layout: Layout) -> Vnode {
    let make = Box::new(|size, inodes| match (size, inodes) {
        (0, 0) => FilesystemRef::new(Stored::default()),
        // Limits are an adapter's, over any filesystem.
        _ => {
            let quota = Quota::<Stored>::builder().max_bytes(size).max_inodes(inodes);
            FilesystemRef::new(quota.build(Stored::default()).expect("an empty filesystem"))
        }
    });
    Vnode::new("an embedder's own", layout, make).expect("a subject").lacking(LACKS)
}

fn check(layout: Layout) {
    let mut cases = suite::cases().expect("case files");
    cases.extend(suite::own_cases().expect("case file"));
    let run = |kernel: &mut Kernel| {
        let mut subject = subject(layout);
        let report = suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases);
        if kernel.is_privileged() {
            let paths = paths::run(&mut subject, kernel, 1, TIME).expect("a run");
            assert_eq!(paths.difference, None);
            println!("{} lookups", paths.lookups);
        }
        report
    };
    let report = Kernel::on_thread(run).expect("an oracle");
    println!("{report}");
    assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
    assert!(report.skipped.iter().all(|(_, lacks)| (LACKS | Needs::BUSY_MOUNTS).contains(*lacks)));
}

#[test]
fn at_the_root() {
    check(Layout::Root);
}

#[test]
fn at_a_sub_mount() {
    check(Layout::SubMount);
}

#[test]
fn it_is_short() {
    let lines = include_str!("../../wasmtime/examples/custom_filesystem/stored.rs").lines();
    let code = lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!(code < 150, "{code} lines of code");
}
