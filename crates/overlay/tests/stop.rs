//! Nothing is done any more from one call of the layers on, as if the process were killed there: what is left, opened
//! again, is from before the operation or from after it, or what left a whiteout has both names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use support::{Tree, as_root, lower, names};
use vnode_adapt::{Fault, Faults};
use vnode_core::fs::{Filesystem, Rename};
use vnode_core::{Errno, FilesystemRef, Result, SetAttr};

/// Calls that one operation may make.
const MANY: u64 = 400;

/// An operation, or what goes before it.
type Operation<'a> = &'a dyn Fn(&Tree) -> Result<()>;

/// What is tried.
struct Case<'a> {
    before: Operation<'a>,
    operation: Operation<'a>,
    /// What comes to what may be left on the way.
    between: Option<Operation<'a>>,
}

/// What there is after some of these.
fn after(operations: &[Operation<'_>]) -> Vec<String> {
    let tree = Tree::over(&[&lower()], &Tree::memory());
    operations.iter().for_each(|operation| operation(&tree).unwrap());
    names(&tree, "")
}

/// Tries a case; answers how many calls there are.
fn check(case: &Case<'_>) -> u64 {
    let mut may_be = vec![after(&[case.before]), after(&[case.before, case.operation])];
    may_be.extend(case.between.map(|between| after(&[case.before, between])));
    for nth in 1..MANY {
        let (bottom, upper) = (lower(), Tree::memory());
        case.before.call_on(&bottom, &upper);
        let faults = Faults::new(upper.0.clone());
        let control = faults.control();
        let tree = Tree::over(&[&bottom], &Tree(FilesystemRef::new::<Faults<FilesystemRef>>(faults)));
        control.arm(Fault::fail(Errno::IO).nth(nth).every_time());
        let done = (case.operation)(&tree);
        let stopped = control.fired() > 0;
        drop(tree);
        control.disarm();
        let again = Tree::over(&[&bottom], &upper);
        let left = names(&again, "");
        assert!(may_be.contains(&left), "call {nth}: {left:?}\nnot one of {may_be:?}");
        assert_eq!(upper.list("work").unwrap(), [""; 0], "call {nth}");
        if !stopped {
            assert_eq!((done, &left), (Ok(()), &may_be[1]));
            return nth;
        }
        // What was left can be gone on with.
        if left == may_be[0] {
            (case.operation)(&again).unwrap();
            assert_eq!(names(&again, ""), may_be[1], "call {nth}");
        }
    }
    panic!("more than {MANY} calls");
}

trait CallOn {
    fn call_on(&self, bottom: &Tree, upper: &Tree);
}

impl CallOn for Operation<'_> {
    fn call_on(&self, bottom: &Tree, upper: &Tree) {
        self(&Tree::over(&[bottom], upper)).unwrap();
    }
}

fn nothing(_: &Tree) -> Result<()> {
    Ok(())
}

fn check_all(cases: &[Case<'_>]) {
    let calls: Vec<_> = cases.iter().map(check).collect();
    assert!(calls.iter().all(|calls| *calls > 5), "{calls:?}");
}

/// A case that leaves nothing between.
fn whole<'a>(before: Operation<'a>, operation: Operation<'a>) -> Case<'a> {
    Case { before, operation, between: None }
}

#[test]
fn what_is_copied_made_and_removed() {
    let own = |path: &'static str| {
        move |tree: &Tree| {
            let node = tree.node(path)?;
            let set = SetAttr { uid: Some(5), ..SetAttr::default() };
            as_root(|cx| tree.0.setattr(cx, &node, &set))
        }
    };
    let short = |path: &'static str| {
        move |tree: &Tree| {
            let node = tree.node(path)?;
            let set = SetAttr { size: Some(2), ..SetAttr::default() };
            as_root(|cx| tree.0.setattr(cx, &node, &set))
        }
    };
    check_all(&[
        whole(&nothing, &own("d/f")),
        whole(&nothing, &own("d/sub/deep")),
        whole(&nothing, &own("e/h")),
        whole(&nothing, &short("d/sub/deep")),
        whole(&nothing, &short("h")),
        whole(&nothing, &|tree| tree.unlink("d/f")),
        whole(&nothing, &|tree| tree.unlink("h")),
        whole(&own("h"), &|tree| tree.unlink("e/h")),
        whole(&|tree| tree.unlink("d/f"), &|tree| tree.link("d/sub/deep", "d/f")),
        whole(&|tree| tree.unlink("d/f"), &|tree| tree.mkdir("d/f")),
        whole(&|tree| tree.unlink("d/sub/deep"), &|tree| tree.rmdir("d/sub")),
        whole(&nothing, &|tree| tree.link("h", "d/sub/h")),
    ]);
}

#[test]
fn what_is_renamed() {
    let moves =
        |from: &'static str, to: &'static str, how: Rename| move |tree: &Tree| tree.rename(from, to, how);
    let over = |from: &'static str, to: &'static str| {
        move |tree: &Tree| {
            tree.unlink(to)?;
            tree.link(from, to)
        }
    };
    let emptied = |tree: &Tree| {
        tree.unlink("e/g")?;
        tree.unlink("e/h")?;
        tree.unlink("d/f")
    };
    let made = |tree: &Tree| {
        tree.mkdir("new")?;
        tree.unlink("d/f")
    };
    let used = |tree: &Tree| {
        tree.write("d/new", "new")?;
        tree.mkdir("new")?;
        tree.write("new/x", "x")?;
        tree.unlink("new/x")
    };
    check_all(&[
        whole(&nothing, &moves("d/f", "d/new", Rename::Replace)),
        whole(&nothing, &moves("h", "d/new", Rename::NoReplace)),
        whole(&nothing, &moves("d/sub", "new", Rename::Replace)),
        whole(&nothing, &moves("d", "e", Rename::Exchange)),
        whole(&nothing, &moves("d/f", "e/h", Rename::Exchange)),
        whole(&|tree| tree.unlink("d/f"), &moves("h", "d/f", Rename::Replace)),
        Case {
            before: &nothing,
            operation: &moves("d/f", "e/g", Rename::Replace),
            between: Some(&over("d/f", "e/g")),
        },
        Case {
            before: &|tree| tree.write("e/g", "changed"),
            operation: &moves("h", "e/g", Rename::Replace),
            between: Some(&over("h", "e/g")),
        },
        Case {
            before: &emptied,
            operation: &moves("d", "e", Rename::Replace),
            between: Some(&moves("d", "e", Rename::Exchange)),
        },
        Case {
            before: &made,
            operation: &moves("d", "new", Rename::Replace),
            between: Some(&moves("d", "new", Rename::Exchange)),
        },
        Case {
            before: &used,
            operation: &moves("d", "new", Rename::Replace),
            between: Some(&moves("d", "new", Rename::Exchange)),
        },
    ]);
}
