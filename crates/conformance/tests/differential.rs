//! The differential tester, for a short time each; `vnode-diff` runs it for as long as one likes.

use std::time::Duration;

use vnode_conformance::differ::sequences;
use vnode_conformance::differ::paths;
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
