//! Redirections that the upper has no room for.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use support::{Tree, lower, names};
use vnode_adapt::{Fault, FaultControl, Faults, Op};
use vnode_core::fs::Rename;
use vnode_core::{Errno, FilesystemRef};
use vnode_host::Host;

/// Makes directories in one another, the last with a file; answers its path.
fn make_deep(tree: &Tree, depth: usize) -> String {
    let mut path = String::from("d");
    for level in 0..depth {
        path.push_str(&format!("/directory{level:03}"));
        tree.mkdir(&path).unwrap();
    }
    tree.write(&format!("{path}/f"), "deep").unwrap();
    path
}

/// An upper in memory whose calls fail when they are told to.
fn failing() -> (Tree, FaultControl) {
    let faults = Faults::new(Tree::memory().0);
    let control = faults.control();
    (Tree(FilesystemRef::new::<Faults<FilesystemRef>>(faults)), control)
}

#[test]
fn a_directory_whose_redirection_is_too_long_is_to_be_copied() {
    let bottom = lower();
    let deep = make_deep(&bottom, 100);
    let cases = [
        (deep.as_str(), Errno::NOSPC, Errno::XDEV),
        ("d/sub", Errno::TOOBIG, Errno::XDEV),
        ("d/sub", Errno::RANGE, Errno::XDEV),
        // The upper is full.
        ("d/sub", Errno::NOSPC, Errno::NOSPC),
        (&deep, Errno::DQUOT, Errno::DQUOT),
        (&deep, Errno::IO, Errno::IO),
    ];
    for (path, fails, errno) in cases {
        let (upper, control) = failing();
        let tree = Tree::over(&[&bottom], &upper);
        let before = names(&tree, "");
        control.arm(Fault::fail(fails).on(Op::SetXattr).every_time());
        let renamed = tree.rename(path, "e/new", Rename::Replace);
        assert_eq!(renamed, Err(errno), "{fails:?} of {} bytes", path.len());
        assert_eq!(tree.rename(path, "e", Rename::Exchange), Err(errno), "{fails:?} of {} bytes", path.len());
        control.disarm();
        assert_eq!(names(&tree, ""), before);
        assert_eq!(tree.rename(path, "e/new", Rename::Replace), Ok(()));
    }
}

#[test]
fn on_the_host_it_works_or_is_to_be_copied() {
    let place = std::env::temp_dir().join(format!("vnode-redirection-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    let bottom = lower();
    let deep = make_deep(&bottom, 400);
    let host = Host::builder().devices(true).open(&place).unwrap();
    let upper = Tree(FilesystemRef::new::<Host>(host));
    let tree = Tree::marked(&[&bottom], &upper, vnode_overlay::Marks::User);
    let renamed = tree.rename(&deep, "e/new", Rename::Replace);
    let file = if renamed.is_ok() { "e/new/f".into() } else { format!("{deep}/f") };
    let read = tree.read(&file);
    drop((tree, upper));
    std::fs::remove_dir_all(&place).unwrap();
    assert!(matches!(renamed, Ok(()) | Err(Errno::XDEV)), "{renamed:?}");
    assert_eq!(read.as_deref(), Ok("deep"));
}
