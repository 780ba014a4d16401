//! The differential tester, for a short time each; `vnode-diff` runs it for as long as one likes.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::time::Duration;

use vnode_conformance::differ::{paths, sequences};
use vnode_conformance::kernel::Kernel;
use vnode_conformance::memory::{self, Runs};
use vnode_conformance::vnode::{Layout, Vnode};

const TIME: Duration = Duration::from_secs(20);
/// A busy machine does less in that time: so many times it is given, until the rarest errors were seen.
const ROUNDS: u64 = 6;

/// Runs `work` with vnode and the kernel; nothing where the kernel gives no root, mounts and users of its own.
fn beside_the_kernel<T: Send>(
    (layout, runs): (Layout, Runs),
    work: impl FnOnce(&mut Vnode, &mut Kernel) -> Result<T, String> + Send,
) -> Option<T> {
    let result = Kernel::on_thread(|kernel| {
        let mut subject = memory::subject(layout, runs).expect("a subject");
        kernel.is_privileged().then(|| work(&mut subject, kernel))
    });
    let result = result.expect("an oracle");
    if result.is_none() {
        println!("skipped: random paths need a root of their own, for which the tests must be root");
    }
    result.map(|result| result.expect("a run"))
}

#[test]
fn paths_lead_where_the_kernel_goes() {
    for place in [(Layout::Root, Runs::Taken), (Layout::SubMount, Runs::Left)] {
        let report = beside_the_kernel(place, |subject, kernel| paths::run(subject, kernel, 1, TIME / 2));
        let Some(report) = report else { return };
        println!("{report}");
        assert!(report.difference.is_none());
    }
}

#[test]
fn sequences_do_what_the_kernel_does() {
    let place = (Layout::Root, Runs::Taken);
    let report = beside_the_kernel(place, |subject, kernel| {
        let mut report = sequences::run(subject, kernel, 1, TIME)?;
        for seed in 2..=ROUNDS {
            if report.difference.is_some() || report.tally.gaps().is_empty() {
                break;
            }
            let more = sequences::run(subject, kernel, seed, TIME)?;
            report.clean += more.clean;
            report.timed += more.timed;
            report.tally.merge(&more.tally);
            report.difference = more.difference;
        }
        Ok(report)
    });
    let Some(report) = report else { return };
    println!("{report}");
    assert!(report.difference.is_none());
    let gaps = report.tally.gaps();
    assert!(gaps.is_empty(), "the run was not worth much:\n{}", gaps.join("\n"));
}

#[test]
fn kept_traces_stay_clean() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/traces");
    let mut replayed = 0;
    for entry in std::fs::read_dir(dir).expect("the traces") {
        let path = entry.expect("an entry").path();
        let source = std::fs::read_to_string(&path).expect("a trace");
        let (lines, stamps) = sequences::read_trace(&source).expect("well formed");
        for place in [(Layout::Root, Runs::Taken), (Layout::SubMount, Runs::Left)] {
            let difference = beside_the_kernel(place, |subject, kernel| {
                sequences::compare(subject, kernel, &lines, stamps)
            });
            assert_eq!(difference.flatten(), None, "{}", path.display());
        }
        replayed += 1;
    }
    println!("{replayed} traces replayed");
    assert!(replayed > 0);
}
