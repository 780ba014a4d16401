//! The differential tester, for a short time each; `vnode-diff` runs it for as long as one likes.

use std::time::Duration;

use vnode_conformance::differ::paths;
use vnode_conformance::differ::sequences;
use vnode_conformance::kernel::Kernel;
use vnode_conformance::memory::{self, Runs};
use vnode_conformance::vnode::Layout;

const TIME: Duration = Duration::from_secs(20);

#[test]
fn paths_lead_where_the_kernel_goes() {
    for (layout, runs) in [(Layout::Root, Runs::Taken), (Layout::SubMount, Runs::Left)] {
        let report = Kernel::on_thread(|kernel| {
            let mut subject = memory::subject(layout, runs).expect("a subject");
            paths::run(&mut subject, kernel, 1, TIME / 2)
        });
        let report = report.expect("an oracle").expect("a run");
        println!("{report}");
        assert!(report.difference.is_none());
    }
}

#[test]
fn sequences_do_what_the_kernel_does() {
    let report = Kernel::on_thread(|kernel| {
        let mut subject = memory::subject(Layout::Root, Runs::Taken).expect("a subject");
        sequences::run(&mut subject, kernel, 1, TIME)
    });
    let report = report.expect("an oracle").expect("a run");
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
        for (layout, runs) in [(Layout::Root, Runs::Taken), (Layout::SubMount, Runs::Left)] {
            let difference = Kernel::on_thread(|kernel| {
                if !kernel.is_privileged() {
                    println!("skipped {}: the kernel gives no root of its own", path.display());
                    return Ok(None);
                }
                let mut subject = memory::subject(layout, runs).expect("a subject");
                sequences::compare(&mut subject, kernel, &lines, stamps)
            });
            let difference = difference.expect("an oracle").expect("a replay");
            assert_eq!(difference, None, "{}", path.display());
        }
        replayed += 1;
    }
    println!("{replayed} traces replayed");
    assert!(replayed > 0);
}
