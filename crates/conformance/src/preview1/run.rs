//! Running cases through preview 1.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Preview1;
use super::account::{Account, Reason};
use super::differences::{DIFFERENCES, Difference};
use crate::script::Case;
use crate::subject::Subject;
use crate::suite;

/// How a run of cases went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The ABI.
    pub subject: String,
    /// Cases that passed.
    pub passed: usize,
    /// Cases that passed with credentials other than root's.
    pub passed_unprivileged: usize,
    /// Cases that came out as preview 1 has it, not as Linux.
    pub different: usize,
    /// Cases that the ABI can't say, counted by reason.
    pub not_expressible: BTreeMap<Reason, usize>,
    /// What went wrong, a text for each case.
    pub failed: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (through, beside) = (self.through(), self.not_expressible.values().sum::<usize>());
        write!(f, "{through} cases through {}, {beside} not expressible", self.subject)?;
        write!(f, "; {} passed ({} as other users than root)", self.passed, self.passed_unprivileged)?;
        write!(f, ", {} differ by WASI's rules, {} failed", self.different, self.failed.len())?;
        for (reason, count) in &self.not_expressible {
            write!(f, "\n  {count} not expressible: {reason}")?;
        }
        for failure in &self.failed {
            write!(f, "\n{failure}")?;
        }
        Ok(())
    }
}

impl Report {
    /// Cases whose tested calls all went through the ABI.
    pub fn through(&self) -> usize {
        self.passed + self.different + self.failed.len()
    }
}

/// Runs cases; the tree that each leaves must be the oracle's.
pub fn run(subject: &mut Preview1, oracle: &mut dyn Subject, cases: &[Case]) -> Report {
    let mut report = Report { subject: subject.name(), ..Report::default() };
    let mut met = BTreeSet::new();
    for case in cases {
        subject.account = Account::of(case);
        let ran = suite::run(subject, Some(&mut *oracle), std::slice::from_ref(case));
        let wrong = subject.take_wrong().map(|why| format!("FAILED {}\n  {why}", case.name));
        let is_wrong = wrong.is_some();
        let failure = wrong.or(ran.failed.into_iter().next());
        // What can't be said doesn't count, however it came out; a call of the guest that breaks always does.
        if !is_wrong && let Some(reason) = subject.account.verdict(failure.is_some()) {
            *report.not_expressible.entry(reason).or_default() += 1;
            continue;
        }
        let Some(why) = failure else {
            report.passed += ran.passed;
            report.passed_unprivileged += ran.passed_unprivileged;
            continue;
        };
        match DIFFERENCES.iter().position(|difference| difference.explains(&case.name, &why)) {
            Some(known) => {
                report.different += 1;
                met.insert(known);
            }
            None => report.failed.push(why),
        }
    }
    let unmet = DIFFERENCES.iter().enumerate().filter(|(index, _)| !met.contains(index));
    for (_, Difference { case, call, why, .. }) in unmet {
        report.failed.push(format!("FAILED {case}\n  {call}\n    no difference any more: {why}"));
    }
    report
}

impl Preview1 {
    /// What was wrong in the last case, whatever it expects.
    fn take_wrong(&mut self) -> Option<String> {
        let broken = self.guest.as_mut().and_then(|guest| guest.trampolines.broken.take());
        self.wrong.take().or(broken)
    }
}
