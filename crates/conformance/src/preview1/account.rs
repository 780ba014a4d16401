//! What of a case goes through the ABI and what beside it, and whether what it tests is among the first.

use std::fmt;

use crate::script::{Case, Step};
use crate::value::Expect;

/// Why a call can't be made through preview 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// `mkdirat` and `openat` with another mode than 777 and 666.
    Mode,
    /// `chmod`, `chown`.
    Owners,
    /// `mknod`.
    Nodes,
    /// Extended attributes.
    Xattr,
    /// `access`.
    Access,
    /// `statfs`.
    Statfs,
    /// `renameat2` with flags.
    RenameFlags,
    /// `O_PATH`.
    PathHandles,
    /// `SEEK_DATA`, `SEEK_HOLE`, `fallocate` with a mode.
    Holes,
    /// `truncate` by path.
    Truncate,
    /// `umask`.
    Umask,
    /// `mount`, `umount`.
    Mounts,
    /// `chdir`, `fchdir`, `getcwd`.
    Cwd,
    /// A time before 1970 or with too many nanoseconds.
    Times,
    /// Changing the name of `/`, which has no relative spelling.
    Root,
    /// `..` standing where the path starts: the C library would start at a preopen above.
    Above,
    /// `readlink` into no bytes, which Linux alone refuses.
    NoBytes,
    /// Nothing of it is a call of the ABI.
    Nothing,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Mode => "a mode argument",
            Reason::Owners => "chmod, chown",
            Reason::Nodes => "mknod",
            Reason::Xattr => "extended attributes",
            Reason::Access => "access",
            Reason::Statfs => "statfs",
            Reason::RenameFlags => "rename with flags",
            Reason::PathHandles => "O_PATH",
            Reason::Holes => "holes",
            Reason::Truncate => "truncate by path",
            Reason::Umask => "umask",
            Reason::Mounts => "mounts",
            Reason::Cwd => "the working directory",
            Reason::Times => "times that have no number",
            Reason::Root => "the name of the root",
            Reason::Above => "`..` above the start",
            Reason::NoBytes => "readlink into no bytes",
            Reason::Nothing => "nothing to ask of the ABI",
        })
    }
}

/// The account of one case.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Which of its calls are under test; the rest set the scene and look at what came of it.
    tested: Vec<bool>,
    /// How many calls have begun.
    begun: usize,
    /// Calls under test that went through the ABI.
    through: usize,
    reason: Option<Reason>,
}

impl Account {
    pub(super) fn of(case: &Case) -> Self {
        Account { tested: tested(case), ..Account::default() }
    }

    pub(super) fn step(&mut self) {
        self.begun += 1;
    }

    fn is_tested(&self) -> bool {
        self.begun.checked_sub(1).and_then(|index| self.tested.get(index)) == Some(&true)
    }

    /// A call goes through the ABI.
    pub(super) fn goes_through(&mut self) {
        self.through += usize::from(self.is_tested());
    }

    /// A call goes beside the ABI.
    pub(super) fn goes_beside(&mut self, why: Reason) {
        if self.is_tested() {
            self.is_lost(why);
        }
    }

    /// The case can't be carried on, whatever is tested.
    pub(super) fn is_lost(&mut self, why: Reason) {
        self.reason.get_or_insert(why);
    }

    /// Why the case is none for the ABI, if it isn't. One that failed on the way to what it tests is.
    pub(super) fn verdict(&self, failed: bool) -> Option<Reason> {
        self.reason.or((self.through == 0 && !failed).then_some(Reason::Nothing))
    }
}

/// Verbs that only look at what others did.
const LOOKS: &[&str] = &[
    "stat", "lstat", "fstat", "same", "touched", "cat", "ls", "readdir", "readlink", "read", "pread", "tick",
    "close",
];

/// Which calls of a case are under test: those whose outcome is written down, and the last one that does something,
/// unless it was done for another user to meet.
fn tested(case: &Case) -> Vec<bool> {
    let mut tested: Vec<bool> = case.steps.iter().map(is_checked).collect();
    let verb =
        |step: &Step| String::from_utf8_lossy(step.words.first().map_or(b"", Vec::as_slice)).into_owned();
    let acts = |step: &Step| !LOOKS.contains(&verb(step).as_str());
    if let Some(last) = case.steps.iter().rposition(acts)
        && verb(&case.steps[last]) != "user"
    {
        tested[last] = true;
    }
    tested
}

/// Attributes that a filestat doesn't have.
const NOT_TOLD: &[&str] = &["mode", "uid", "gid", "blocks", "rdev"];

fn is_checked(step: &Step) -> bool {
    match &step.expect {
        None => false,
        Some(Expect::Fields(fields)) => fields.iter().any(|(key, _)| !NOT_TOLD.contains(&key.as_str())),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script;

    fn tested_in(source: &str) -> Vec<bool> {
        tested(&script::parse("t.txt", source).unwrap()[0])
    }

    #[test]
    fn what_is_under_test() {
        assert_eq!(
            tested_in("== t\nmkdir a\nchmod a 0\nuser 1 1\nls a => EACCES\n"),
            [false, false, false, true]
        );
        assert_eq!(tested_in("== t\nmkdir a\nchmod a 0\nstat a => {type=dir}\n"), [false, true, true]);
        assert_eq!(tested_in("== t\nfile a\nlink a b => ok\nstat a => {mode=644}\n"), [false, true, false]);
    }

    #[test]
    fn a_case_needs_a_tested_call_that_goes_through() {
        let case = &script::parse("t.txt", "== t\nmkdir a\nunlink a => EISDIR\n").unwrap()[0];
        let mut account = Account::of(case);
        account.step();
        account.goes_beside(Reason::Mode);
        account.goes_through();
        assert_eq!(account.verdict(false), Some(Reason::Nothing));
        assert_eq!(account.verdict(true), None);
        account.step();
        account.goes_through();
        assert_eq!(account.verdict(false), None);
        account.goes_beside(Reason::Holes);
        account.goes_beside(Reason::Mode);
        assert_eq!(account.verdict(false), Some(Reason::Holes));
    }
}
