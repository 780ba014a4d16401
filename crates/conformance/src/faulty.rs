//! Operations in which one call of the filesystem after the other is made to fail: an operation that fails leaves
//! everything as it was.

use std::collections::BTreeSet;

use vnode_adapt::{Fault, FaultControl, OpSet, QuotaUsage, Recovered};
use vnode_core::{Attr, Errno, Timespec};
use vnode_memory::Usage;

use crate::adapted::Books;
use crate::call::{self, Env};
use crate::script::{self, Case, Step};
use crate::subject::{Subject, Whence};
use crate::suite;
use crate::text::BadText;
use crate::tree::{Times, Tree};
use crate::value::{Outcome, describe};

/// Verbs that no case ends with, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("close", "calls no filesystem"),
    ("umask", "calls no filesystem"),
    ("user", "calls no filesystem"),
    ("tick", "calls no filesystem"),
    ("freeze", "makes another filesystem"),
    ("sink", "makes another filesystem"),
    ("file", "several operations: open, write, close"),
    ("cat", "several operations: open, read, close"),
    ("ls", "several operations: open, readdir, close"),
    ("same", "several operations: two of lstat"),
    ("touched", "lstat or fstat"),
];

/// The error that calls fail with: none that an operation gives by itself.
const FAULT: Errno = Errno::IO;

/// Calls of a filesystem that one operation may make.
const MANY: u64 = 200;

/// The cases, of which the last line is the operation.
///
/// # Errors
/// [`BadText`]: the case file is not well formed.
pub fn cases() -> Result<Vec<Case>, BadText> {
    script::parse("faults.txt", include_str!("../cases/faults.txt"))
}

/// How a run went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Operations that were tried.
    pub operations: usize,
    /// Calls that were made to fail.
    pub faults: u64,
    /// The verbs of the operations.
    pub verbs: BTreeSet<String>,
    /// What the filesystem was asked that failed.
    pub failed_on: OpSet,
    /// Calls whose failure an operation got over, of a subject that may do that.
    pub unheard: u64,
    /// What went wrong, a text for each case.
    pub findings: Vec<String>,
}

/// Everything that must be as before: the tree, what is open, where one is, and what it takes.
#[derive(PartialEq)]
struct Scene {
    tree: Tree,
    open: Vec<(Vec<u8>, Option<Attr>, Option<i64>)>,
    cwd: Result<Vec<u8>, Errno>,
    usages: Vec<(QuotaUsage, Usage)>,
    /// What a crash would leave.
    left: Option<Recovered>,
}

impl Scene {
    fn of(subject: &mut dyn Subject, env: &Env, books: &Books) -> Result<Scene, String> {
        let tree = Tree::of(subject, env, Times::Kept).map_err(broken("looking at the tree"))?;
        let mut open = Vec::new();
        for (name, handle) in env.handles() {
            let attr = subject.fstat(handle).ok().map(|attr| Attr { atime: Timespec::EPOCH, ..attr });
            open.push((name.to_vec(), attr, subject.lseek(handle, 0, Whence::Current).ok()));
        }
        let left = books.crash().map(|crash| crash.recovered());
        Ok(Scene { tree, open, cwd: subject.getcwd(), usages: books.usages(), left })
    }

    fn changes(&self, after: &Scene) -> Option<String> {
        if self == after {
            return None;
        }
        let mut lines = self.tree.differences(&after.tree);
        let changed = |what: &str, before: String, after: String| {
            (before != after).then(|| format!("{what}: {before} <> {after}"))
        };
        lines.extend(changed("open", format!("{:?}", self.open), format!("{:?}", after.open)));
        lines.extend(changed("cwd", format!("{:?}", self.cwd), format!("{:?}", after.cwd)));
        lines.extend(changed("usage", format!("{:?}", self.usages), format!("{:?}", after.usages)));
        if self.left != after.left {
            lines.push("a crash would leave something else".into());
        }
        Some(lines.join("\n    "))
    }
}

/// Has each call fail that the last line of each case makes, and checks that nothing changed.
pub fn run(subject: &mut dyn Subject, books: &Books, cases: &[Case]) -> Report {
    run_as(subject, books, cases, Heard::Always)
}

/// The same over a filesystem that gets over some failures: of calls that only tidy up.
pub fn run_tidying(subject: &mut dyn Subject, books: &Books, cases: &[Case]) -> Report {
    run_as(subject, books, cases, Heard::OrNot)
}

/// Whether every failure of a call is the operation's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Always,
    OrNot,
}

fn run_as(subject: &mut dyn Subject, books: &Books, cases: &[Case], heard: Heard) -> Report {
    let control = books.control();
    let mut report = Report::default();
    for case in cases {
        if let Err(why) = run_case(subject, books, &control, case, heard, &mut report) {
            report.findings.push(format!("FAILED {}\n    {why}", case.name));
        }
        control.disarm();
    }
    report
}

fn run_case(
    subject: &mut dyn Subject,
    books: &Books,
    control: &FaultControl,
    case: &Case,
    heard: Heard,
    report: &mut Report,
) -> Result<(), String> {
    let Some((last, setup)) = case.steps.split_last() else { return Err("no operation".into()) };
    let verb = last.words.first().map(|verb| String::from_utf8_lossy(verb).into_owned());
    report.verbs.extend(verb);
    report.operations += 1;
    for nth in 1..MANY {
        let mut env = set_up(subject, setup)?;
        let before = Scene::of(subject, &env, books)?;
        let fired = OpSet::ALL.iter().map(|op| (op, control.fired_on(op))).collect::<Vec<_>>();
        let unmade = books.unmade();
        control.arm(Fault::fail(FAULT).nth(nth));
        let outcome = carry_out(subject, &mut env, last)?;
        control.disarm();
        let hit = fired.into_iter().find(|(op, before)| control.fired_on(*op) > *before);
        let Some((op, _)) = hit else {
            return match outcome {
                Ok(_) => Ok(()),
                Err(errno) => Err(format!("fails with no fault: {errno:?}")),
            };
        };
        let at = |why: &str| format!("call {nth}, {op}: {why}");
        report.faults += 1;
        report.failed_on = report.failed_on | op;
        if books.unmade() > unmade {
            // It went wrong when a filesystem was made to be mounted: no operation failed.
            continue;
        }
        if outcome.is_ok() && heard == Heard::OrNot {
            report.unheard += 1;
            continue;
        }
        if outcome != Err(FAULT) {
            return Err(at(&format!("the fault went unheard: {}", describe(&outcome))));
        }
        let after = Scene::of(subject, &env, books)?;
        if let Some(changes) = before.changes(&after) {
            return Err(at(&format!("it failed, but changed (before <> after):\n    {changes}")));
        }
        if let Err(errno) = carry_out(subject, &mut env, last)? {
            return Err(at(&format!("it fails again without the fault: {errno:?}")));
        }
    }
    Err(format!("more than {MANY} calls"))
}

fn set_up(subject: &mut dyn Subject, setup: &[Step]) -> Result<Env, String> {
    subject.reset().map_err(broken("reset"))?;
    let mut env = Env::default();
    let filling = setup.iter().take_while(|step| suite::fills(step)).count();
    for (number, step) in setup.iter().enumerate() {
        if number == filling {
            subject.sink().map_err(broken("sinking"))?;
        }
        if let Err(errno) = carry_out(subject, &mut env, step)? {
            return Err(format!("{}: {errno:?}", step.text));
        }
    }
    if filling == setup.len() {
        subject.sink().map_err(broken("sinking"))?;
    }
    Ok(env)
}

fn carry_out(subject: &mut dyn Subject, env: &mut Env, step: &Step) -> Result<Outcome, String> {
    call::run(subject, env, &step.words).map_err(|BadText(why)| why)
}

fn broken(what: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("{what}: {errno:?}")
}
