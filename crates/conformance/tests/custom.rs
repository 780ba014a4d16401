//! The examples of filesystems that an embedder writes (`custom_filesystem` and `own_filesystem` of
//! `vnode-wasmtime`): they pass the whole suite, and do at random what the kernel does.

#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "helpers of tests")]

#[allow(dead_code, unreachable_pub, reason = "an example's file")]
#[path = "../../wasmtime/examples/custom_filesystem/stored.rs"]
mod stored;
#[allow(dead_code, unreachable_pub, reason = "an example's file")]
#[path = "../../wasmtime/examples/own_filesystem/table.rs"]
mod table;

use std::time::Duration;

use stored::Stored;
use table::Table;
use vnode_adapt::Quota;
use vnode_conformance::differ::{paths, sequences};
use vnode_conformance::kernel::Kernel;
use vnode_conformance::subject::{Needs, Subject};
use vnode_conformance::suite;
use vnode_conformance::vnode::{Layout, Vnode};
use vnode_core::FilesystemRef;
use vnode_core::fs::Filesystem;

/// What is compared at random takes so long.
const TIME: Duration = Duration::from_secs(1);

/// What the examples leave out, and say so by their `Caps` and errors.
const LACKS: Needs = Needs::XATTR.union(Needs::HOLES);

fn subject<F: Filesystem + Default>(layout: Layout) -> Vnode {
    let make = Box::new(|size, inodes| match (size, inodes) {
        (0, 0) => FilesystemRef::new(F::default()),
        // Limits are an adapter's, over any filesystem.
        _ => {
            let quota = Quota::<F>::builder().max_bytes(size).max_inodes(inodes);
            FilesystemRef::new(quota.build(F::default()).expect("an empty filesystem"))
        }
    });
    Vnode::new("an embedder's own", layout, make).expect("a subject").lacking(LACKS)
}

fn check<F: Filesystem + Default>(layout: Layout) {
    let mut cases = suite::cases().expect("case files");
    cases.extend(suite::own_cases().expect("case file"));
    let run = |kernel: &mut Kernel| {
        let mut subject = subject::<F>(layout);
        let report = suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases);
        if kernel.is_privileged() {
            let paths = paths::run(&mut subject, kernel, 1, TIME).expect("a run");
            assert_eq!(paths.difference, None);
            let sequences = sequences::run(&mut subject, kernel, 1, TIME).expect("a run");
            assert_eq!(sequences.difference, None);
            println!("{} lookups, {} sequences", paths.lookups, sequences.clean);
            assert!(paths.lookups >= 1000 && sequences.clean >= 5, "too little was compared");
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
    check::<Stored>(Layout::Root);
}

#[test]
fn at_a_sub_mount() {
    check::<Stored>(Layout::SubMount);
}

#[test]
fn one_of_ones_own_at_the_root() {
    check::<Table>(Layout::Root);
}

#[test]
fn one_of_ones_own_at_a_sub_mount() {
    check::<Table>(Layout::SubMount);
}

#[test]
fn it_is_short() {
    let lines = include_str!("../../wasmtime/examples/custom_filesystem/stored.rs").lines();
    let code = lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!(code < 150, "{code} lines of code");
}
