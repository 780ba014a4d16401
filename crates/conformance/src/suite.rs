//! Runs cases over a subject.
//!
//! Around each call that is expected to fail, a picture of the whole tree is taken: a failed operation changes
//! nothing. Where an oracle is given, the same case runs on it too, and both trees must agree at the end: that
//! is how a case's effects are checked without writing each down.

use vnode_core::Errno;

use crate::call::{self, Env};
use crate::script::{self, Case};
use crate::subject::{Needs, Subject};
use crate::text::BadText;
use crate::tree::{Times, Tree};
use crate::value::{Outcome, describe};

macro_rules! case_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../cases/", $name)))),*]
    };
}

const FILES: &[(&str, &str)] = case_files![
    "cwd.txt",
    "errors.txt",
    "io.txt",
    "links.txt",
    "mounts.txt",
    "names.txt",
    "paths_change.txt",
    "paths_look.txt",
    "paths_make.txt",
    "paths_open.txt",
    "paths_remove.txt",
    "paths_rename.txt",
    "permissions.txt",
    "readdir.txt",
    "rename.txt",
    "times.txt",
    "xattr.txt",
];

/// Every case of the suite.
///
/// # Errors
/// [`BadText`]: a case file is not well formed.
pub fn cases() -> Result<Vec<Case>, BadText> {
    let mut all = Vec::new();
    for (name, source) in FILES {
        all.extend(script::parse(name, source)?);
    }
    Ok(all)
}

/// What vnode promises beyond Linux: cases for its own filesystems only.
///
/// # Errors
/// [`BadText`]: the case file is not well formed.
pub fn own_cases() -> Result<Vec<Case>, BadText> {
    script::parse("cookies.txt", include_str!("../cases/cookies.txt"))
}

/// How a run of cases went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The subject.
    pub subject: String,
    /// Cases that passed.
    pub passed: usize,
    /// Cases that passed with credentials other than root's.
    pub passed_unprivileged: usize,
    /// Cases not run, and what the subject lacks for each.
    pub skipped: Vec<(String, Needs)>,
    /// What went wrong, a text for each case.
    pub failed: Vec<String>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (passed, unprivileged) = (self.passed, self.passed_unprivileged);
        write!(f, "{}: {passed} cases passed ({unprivileged} as other users than root)", self.subject)?;
        write!(f, ", {} failed, {} skipped", self.failed.len(), self.skipped.len())?;
        let mut lacks: Vec<(String, usize)> = Vec::new();
        for (_, needs) in &self.skipped {
            let word = needs.words().join("+");
            match lacks.iter_mut().find(|(known, _)| *known == word) {
                Some((_, count)) => *count += 1,
                None => lacks.push((word, 1)),
            }
        }
        for (word, count) in lacks {
            write!(f, "\n  skipped {count} for want of {word}")?;
        }
        for failure in &self.failed {
            write!(f, "\n{failure}")?;
        }
        Ok(())
    }
}

/// Runs `cases` over `subject`; those that it doesn't provide for are counted as skipped.
pub fn run(subject: &mut dyn Subject, mut oracle: Option<&mut dyn Subject>, cases: &[Case]) -> Report {
    let mut report = Report { subject: subject.name(), ..Report::default() };
    for case in cases {
        let lacks = case.needs - subject.provides();
        if !lacks.is_empty() {
            report.skipped.push((case.name.clone(), lacks));
            continue;
        }
        let result = match run_case(subject, case) {
            Ok(tree) => match &mut oracle {
                Some(oracle) if (case.needs - oracle.provides()).is_empty() => {
                    same_effect(&tree, *oracle, case)
                }
                _ => Ok(()),
            },
            Err(why) => Err(why),
        };
        match result {
            Ok(()) => {
                report.passed += 1;
                report.passed_unprivileged += usize::from(case.is_unprivileged());
            }
            Err(why) => report.failed.push(format!("FAILED {}\n  {why}", case.name)),
        }
    }
    report
}

/// Those of `cases` that the oracle itself passes: on another filesystem than tmpfs it gives other sizes, say.
pub fn passed_by(oracle: &mut dyn Subject, cases: Vec<Case>) -> Vec<Case> {
    cases.into_iter().filter(|case| run_case(oracle, case).is_ok()).collect()
}

/// What the founding case comes to, on a filesystem that is mounted at `point`: nothing, or a path without a slash
/// behind.
///
/// # Errors
/// [`BadText`]: the case file is not well formed.
pub fn founding_cases(point: &str) -> Result<Vec<Case>, BadText> {
    script::parse("founding.txt", &include_str!("../cases/founding.txt").replace('@', point))
}

/// Runs a case and answers the tree it leaves.
///
/// # Errors
/// The text of the first thing that is wrong.
pub fn run_case(subject: &mut dyn Subject, case: &Case) -> Result<Tree, String> {
    let broken = |what: &str, errno: Errno| format!("{what}: {errno:?}");
    subject.reset().map_err(|errno| broken("reset", errno))?;
    let mut env = Env::default();
    let setup = case.steps.iter().take_while(|step| fills(step)).count();
    for (number, step) in case.steps.iter().enumerate() {
        if number == setup {
            subject.sink().map_err(|errno| broken("sinking", errno))?;
        }
        let at = |why: &str| format!("{}:{}: {}\n    {why}", case.file, step.line, step.text);
        let expects_error = step.expect.as_ref().is_some_and(|expect| expect.is_error());
        let picture = |subject: &mut dyn Subject, env: &Env| {
            if !expects_error {
                return Ok(None);
            }
            Tree::of(subject, env, times(step))
                .map(Some)
                .map_err(|errno| at(&broken("looking at the tree", errno)))
        };
        let before = picture(subject, &env)?;
        subject.step();
        let outcome = call::run(subject, &mut env, &step.words).map_err(|BadText(why)| at(&why))?;
        if !fits(step, &outcome) {
            return Err(at(&format!("got {}", describe(&outcome))));
        }
        if let (Some(before), Some(after)) = (before, picture(subject, &env)?)
            && before != after
        {
            let lines = before.differences(&after).join("\n    ");
            return Err(at(&format!("failed, but changed the tree (before <> after):\n    {lines}")));
        }
    }
    Tree::of(subject, &env, Times::Left).map_err(|errno| broken("looking at the tree at the end", errno))
}

/// Whether a step only fills the tree: nothing is expected of it, and it leaves nothing open.
pub(crate) fn fills(step: &script::Step) -> bool {
    const MAKE: [&[u8]; 12] = [
        b"chmod",
        b"chown",
        b"file",
        b"link",
        b"mkdir",
        b"mknod",
        b"rename",
        b"rmdir",
        b"setxattr",
        b"symlink",
        b"unlink",
        b"utimens",
    ];
    step.expect.is_none() && step.words.first().is_some_and(|verb| MAKE.contains(&verb.as_slice()))
}

/// Linux marks a file before it finds that there is no room for what is written to it.
fn times(step: &script::Step) -> Times {
    let writes = step.words.first().is_some_and(|verb| verb == b"write" || verb == b"pwrite");
    if writes { Times::Left } else { Times::Kept }
}

fn fits(step: &script::Step, outcome: &Outcome) -> bool {
    match &step.expect {
        Some(expect) => expect.fits(outcome),
        None => outcome.is_ok(),
    }
}

/// Whether the oracle's tree after `case` is `tree`.
/// Runs a case on the oracle; it must leave the same tree.
///
/// # Errors
/// What differs.
pub(crate) fn same_effect(tree: &Tree, oracle: &mut dyn Subject, case: &Case) -> Result<(), String> {
    let broken = |what: &str, errno: Errno| format!("the oracle's {what}: {errno:?}");
    oracle.reset().map_err(|errno| broken("reset", errno))?;
    let mut env = Env::default();
    for step in &case.steps {
        let _ = call::run(oracle, &mut env, &step.words).map_err(|BadText(why)| why)?;
    }
    let right = Tree::of(oracle, &env, Times::Left).map_err(|errno| broken("tree", errno))?;
    let differences = tree.differences(&right);
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!("another tree than the kernel's (here <> there):\n    {}", differences.join("\n    ")))
}
