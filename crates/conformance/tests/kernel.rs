//! Every case on the real kernel first: one that fails there is wrong.

use vnode_conformance::kernel::Kernel;
use vnode_conformance::suite;

#[test]
fn every_case_is_what_linux_does() {
    let cases = suite::cases().expect("case files");
    let (report, privileged) =
        Kernel::on_thread(|kernel| (suite::run(kernel, None, &cases), kernel.is_privileged()))
            .expect("an oracle");
    println!("{report}");
    assert!(report.failed.is_empty(), "{} cases are wrong", report.failed.len());
    if privileged {
        assert!(report.skipped.is_empty(), "nothing may be skipped where the kernel gives everything");
    }
}
