//! The cases on a filesystem that was made read-only: what every call answers then is what the kernel's answers, on its
//! tmpfs remounted read-only.
//!
//! A case runs twice on both, first to fill the tree - up to the first expectation, or as a whole - and, once it is
//! read-only, from the first line to the last. Expectations are not looked at: the kernel says what is right.

use vnode_core::Errno;

use crate::call::{self, Env};
use crate::script::{Case, Step};
use crate::subject::Subject;
use crate::suite::Report;
use crate::text::BadText;
use crate::tree::{Times, Tree};
use crate::value::describe;

/// How much of a case fills the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// What comes before the first call with an expectation: what the case is about is still to be done.
    Setup,
    /// All of it: what the case is about is done.
    All,
}

/// Runs `cases` on both, and answers where they differ.
pub fn run(subject: &mut dyn Subject, kernel: &mut dyn Subject, cases: &[Case], filling: Filling) -> Report {
    let mut report = Report { subject: format!("{}, read-only", subject.name()), ..Report::default() };
    for case in cases {
        let lacks = (case.needs - subject.provides()) | (case.needs - kernel.provides());
        if !lacks.is_empty() {
            report.skipped.push((case.name.clone(), lacks));
            continue;
        }
        match run_case(subject, kernel, case, filling) {
            Ok(()) => {
                report.passed += 1;
                report.passed_unprivileged += usize::from(case.is_unprivileged());
            }
            Err(why) => report.failed.push(format!("FAILED {} ({filling:?})\n  {why}", case.name)),
        }
    }
    report
}

fn run_case(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    case: &Case,
    filling: Filling,
) -> Result<(), String> {
    fill(subject, case, filling)?;
    fill(kernel, case, filling)?;
    let before = Tree::of(subject, &Env::default(), Times::Kept).map_err(broken("looking at the tree"))?;
    let (mut here, mut there) = (Env::default(), Env::default());
    for step in &case.steps {
        let right = describe(&carry_out(kernel, &mut there, step)?);
        let got = describe(&carry_out(subject, &mut here, step)?);
        if right != got {
            return Err(format!(
                "{}:{}: {}\n    the kernel: {right}, vnode: {got}",
                case.file, step.line, step.text
            ));
        }
    }
    if case.steps.iter().any(mounts) {
        // What was mounted is in the picture now, and could be changed.
        return Ok(());
    }
    let after = Tree::of(subject, &here, Times::Kept).map_err(broken("looking at the tree at the end"))?;
    let right = Tree::of(kernel, &there, Times::Left).map_err(broken("the kernel's tree"))?;
    let changed = before.differences(&after);
    if !changed.is_empty() {
        return Err(format!("changed (before <> after):\n    {}", changed.join("\n    ")));
    }
    let here = Tree::of(subject, &here, Times::Left).map_err(broken("looking at the tree at the end"))?;
    let differences = here.differences(&right);
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!("another tree than the kernel's (here <> there):\n    {}", differences.join("\n    ")))
}

/// Fills the tree and makes it read-only.
fn fill(subject: &mut dyn Subject, case: &Case, filling: Filling) -> Result<(), String> {
    subject.reset().map_err(broken("reset"))?;
    let mut env = Env::default();
    let setup = case.steps.iter().take_while(|step| filling == Filling::All || step.expect.is_none());
    for step in setup.filter(|step| !mounts(step)) {
        // Some fail, for want of the mounts: on both.
        let _ = carry_out(subject, &mut env, step)?;
    }
    subject.freeze().map_err(broken("making it read-only"))
}

fn mounts(step: &Step) -> bool {
    step.words.first().is_some_and(|verb| verb == b"mount" || verb == b"umount")
}

fn carry_out(subject: &mut dyn Subject, env: &mut Env, step: &Step) -> Result<crate::value::Outcome, String> {
    call::run(subject, env, &step.words).map_err(|BadText(why)| why)
}

fn broken(what: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("{what}: {errno:?}")
}
