//! Runs sequences of calls on vnode and on the kernel side by side.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use vnode_core::{Attr, Errno};

use super::generate::Generator;
use super::known::{Known, Theme};
use super::shrink::shrink;
use super::tally::Tally;
use crate::call::{self, Env};
use crate::overlay::Stack;
use crate::random::Random;
use crate::script::needs_of_call;
use crate::subject::{Needs, Subject};
use crate::text::{self, BadText};
use crate::tree::{Times, Tree};
use crate::value::{Outcome, Value, describe};

/// The words of one call.
pub type Line = Vec<Vec<u8>>;

/// How a run went.
#[derive(Clone, Debug, Default)]
pub struct SequenceReport {
    /// Sequences without a difference.
    pub clean: u64,
    /// Of these, those that compared which timestamps each call changed.
    pub timed: u64,
    /// What was tried.
    pub tally: Tally,
    /// The first difference, shrunk, as a trace.
    pub difference: Option<String>,
}

impl std::fmt::Display for SequenceReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.tally)?;
        let calls = self.tally.calls();
        write!(f, "{} sequences clean ({} of them with timestamps), {calls} calls", self.clean, self.timed)?;
        if let Some(difference) = &self.difference {
            write!(f, "\n{difference}")?;
        }
        Ok(())
    }
}

/// Whether a sequence also compares which files' `mtime` and `ctime` each call changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// After every call. Slow.
    Compared,
    /// Never.
    Ignored,
}

/// What a sequence's filesystem goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It may be changed to the end.
    Open,
    /// It is made read-only in the middle.
    Frozen,
    /// Now and then all that it holds is a lower from there on.
    Sunk,
    /// The same of both, as overlays.
    Overlaid(Stack),
}

impl Course {
    fn sinks(self) -> bool {
        matches!(self, Course::Sunk | Course::Overlaid(_))
    }

    /// Whether a call is left out, because what it leads to is meant to differ.
    fn leaves_out(self, line: &[Vec<u8>]) -> bool {
        let word = |at: usize| line.get(at).map(Vec::as_slice);
        match self {
            Course::Open | Course::Frozen | Course::Sunk => false,
            // Overlays of the kernel's fill holes when they copy a file up.
            Course::Overlaid(_) if word(0) == Some(b"lseek") => {
                matches!(word(2), Some(b"data" | b"hole"))
            }
            // In a lower that was an upper, hard links of what is below are no more one inode if one of them was copied
            // up, which some calls that fail do there and not here.
            Course::Overlaid(stack) => stack == Stack::Flat && word(0) == Some(b"link"),
        }
    }

    /// Whether the kernel gives up where vnode doesn't have to: it can't always copy up what was removed while it was open,
    /// and no directory.
    fn gives_up(self, line: &[Vec<u8>], right: &Outcome, got: &Outcome) -> bool {
        let on_handle = line.get(1).is_some_and(|word| word.starts_with(b"%") && !word.contains(&b':'));
        let gave_up = matches!(right, Err(Errno::NOTDIR | Errno::EXIST));
        self.is_overlaid() && on_handle && gave_up && got.is_ok()
    }

    fn is_overlaid(self) -> bool {
        matches!(self, Course::Overlaid(_))
    }
}

/// Compares random sequences for `time`, or until the first difference, which is shrunk.
///
/// # Errors
/// The text of what went wrong besides the calls.
pub fn run(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    seed: u64,
    time: Duration,
) -> Result<SequenceReport, String> {
    run_course(subject, kernel, seed, time, Course::Open)
}

/// The same, with the filesystem made read-only in the middle of each sequence ([`Subject::freeze`]).
///
/// # Errors
/// As [`run`].
pub fn run_frozen(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    seed: u64,
    time: Duration,
) -> Result<SequenceReport, String> {
    run_course(subject, kernel, seed, time, Course::Frozen)
}

/// The same, with all that the filesystem holds in a lower from some calls of each sequence on ([`Subject::sink`]).
///
/// # Errors
/// As [`run`].
pub fn run_sunk(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    seed: u64,
    time: Duration,
) -> Result<SequenceReport, String> {
    run_course(subject, kernel, seed, time, Course::Sunk)
}

/// The same beside overlays of the kernel's ([`Kernel::of_overlays`](crate::kernel::Kernel::of_overlays)).
///
/// # Errors
/// As [`run`].
pub fn run_overlaid(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    stack: Stack,
    seed: u64,
    time: Duration,
) -> Result<SequenceReport, String> {
    run_course(subject, kernel, seed, time, Course::Overlaid(stack))
}

fn run_course(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    seed: u64,
    time: Duration,
    course: Course,
) -> Result<SequenceReport, String> {
    let mut seeds = Random::new(seed);
    let mut report = SequenceReport::default();
    let start = Instant::now();
    while start.elapsed() < time {
        let sequence_seed = seeds.bits();
        let timed = subject.provides().contains(Needs::TIMES) && !course.is_overlaid();
        let stamps = if seeds.percent(1) && timed { Stamps::Compared } else { Stamps::Ignored };
        match sequence(subject, kernel, sequence_seed, (course, stamps), &mut report.tally)? {
            None => {
                report.clean += 1;
                report.timed += u64::from(stamps == Stamps::Compared);
            }
            Some(lines) => {
                let mut broken = None;
                let small =
                    shrink(&lines, |part| match compare_as(subject, kernel, part, (stamps, course)) {
                        Ok(difference) => difference.is_some(),
                        Err(why) => {
                            broken = Some(why);
                            false
                        }
                    });
                report.difference = Some(trace(subject, kernel, &small, (stamps, course), seed)?);
                return broken.map_or(Ok(report), Err);
            }
        }
    }
    Ok(report)
}

/// Makes and compares one sequence; answers its lines if there was a difference.
fn sequence(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    seed: u64,
    (course, stamps): (Course, Stamps),
    tally: &mut Tally,
) -> Result<Option<Vec<Line>>, String> {
    let mut random = Random::new(seed);
    let theme = match course {
        Course::Open => random.of([Theme::Plain, Theme::Plain, Theme::Users, Theme::Mounts]),
        // What is mounted can be neither.
        Course::Frozen | Course::Sunk | Course::Overlaid(_) => random.of([Theme::Plain, Theme::Users]),
    };
    let calls = 8 + random.below(32);
    let freeze_at = if course == Course::Frozen { Some(random.below(calls / 2)) } else { None };
    let mut pair = Pair::new(subject, kernel, stamps)?.of(course);
    let mut lines = Vec::new();
    for line in theme.prelude() {
        let line = text::words(line).map_err(|BadText(why)| why)?;
        if pair.lacks_for(&line) {
            continue;
        }
        lines.push(line.clone());
        if pair.step(&line)?.difference.is_some() {
            return Ok(Some(lines));
        }
    }
    let mut sinks = Random::new(!seed);
    let mut generator = Generator::new(&mut random, theme);
    let mut known = pair.known()?;
    for call in 0..calls {
        let line = if Some(call) == freeze_at {
            vec![b"freeze".to_vec()]
        } else if course.sinks() && (call == 0 || sinks.percent(8)) {
            vec![b"sink".to_vec()]
        } else {
            generator.next(&known)
        };
        if pair.lacks_for(&line) || course.leaves_out(&line) {
            continue;
        }
        lines.push(line.clone());
        let step = pair.step(&line)?;
        if step.given_up {
            // They are not alike from here on.
            lines.pop();
            break;
        }
        let verb = line.first().map(|verb| String::from_utf8_lossy(verb).into_owned()).unwrap_or_default();
        tally.count(&verb, &step.right);
        if step.difference.is_some() {
            return Ok(Some(lines));
        }
        generator.learn(&line, step.right.is_ok());
        if step.right.is_ok() && changes_names(&verb) {
            known = pair.known()?;
        }
    }
    Ok(if pair.trees()?.is_some() { Some(lines) } else { None })
}

/// The one difference that is meant: in a sticky directory that others may write, Linux refuses `O_CREAT` of
/// what is there and is neither the caller's nor the directory owner's (`may_create_in_sticky`), for FIFOs and
/// regular files only if `fs.protected_*` say so, but for links, sockets and devices always. vnode goes on to the
/// error that the type itself gives.
fn is_hardening(line: &[Vec<u8>], right: &Outcome, got: &Outcome) -> bool {
    let verb = line.first().map(Vec::as_slice);
    let creates = verb == Some(b"file")
        || verb == Some(b"open")
            && line.get(2).is_some_and(|flags| flags.windows(5).any(|part| part == b"creat"));
    creates && *right == Err(Errno::ACCES) && matches!(got, Err(Errno::LOOP | Errno::NXIO))
}

fn changes_names(verb: &str) -> bool {
    matches!(verb, "mkdir" | "mknod" | "symlink" | "link" | "unlink" | "rmdir" | "rename" | "open" | "file")
}

/// Runs a sequence on both; answers the first difference.
///
/// # Errors
/// The text of what went wrong besides the calls.
pub fn compare(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    lines: &[Line],
    stamps: Stamps,
) -> Result<Option<String>, String> {
    compare_as(subject, kernel, lines, (stamps, Course::Open))
}

fn compare_as(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    lines: &[Line],
    (stamps, course): (Stamps, Course),
) -> Result<Option<String>, String> {
    let mut pair = Pair::new(subject, kernel, stamps)?.of(course);
    for line in lines {
        if let Some(difference) = pair.step(line)?.difference {
            return Ok(Some(difference));
        }
    }
    pair.trees()
}

/// A kept trace: the calls, each with what the kernel answers, and the difference as a comment.
fn trace(
    subject: &mut dyn Subject,
    kernel: &mut dyn Subject,
    lines: &[Line],
    (stamps, course): (Stamps, Course),
    seed: u64,
) -> Result<String, String> {
    let mut out =
        format!("# seed {seed}, {}\n", if stamps == Stamps::Compared { "timestamps" } else { "no times" });
    let mut pair = Pair::new(subject, kernel, stamps)?.of(course);
    for line in lines {
        let step = pair.step(line)?;
        let words: Vec<String> = line.iter().map(|word| text::spell(word)).collect();
        let _ = writeln!(out, "{}  # {}", words.join(" "), describe(&step.right));
        if let Some(difference) = step.difference {
            let _ = writeln!(out, "# {}", difference.replace('\n', "\n# "));
            return Ok(out);
        }
    }
    if let Some(difference) = pair.trees()? {
        let _ = writeln!(out, "# {}", difference.replace('\n', "\n# "));
    }
    Ok(out)
}

/// Reads a kept trace.
///
/// # Errors
/// [`BadText`]: a line that is not one of the language.
pub fn read_trace(source: &str) -> Result<(Vec<Line>, Stamps), BadText> {
    let stamps = match source.lines().next() {
        Some(first) if first.contains("timestamps") => Stamps::Compared,
        _ => Stamps::Ignored,
    };
    let lines: Result<Vec<Line>, BadText> = source.lines().map(text::words).collect();
    Ok((lines?.into_iter().filter(|line| !line.is_empty()).collect(), stamps))
}

/// Both subjects in the same state, as far as is known.
struct Pair<'a> {
    subject: &'a mut dyn Subject,
    kernel: &'a mut dyn Subject,
    here: Env,
    there: Env,
    stamps: Stamps,
    course: Course,
}

struct Step {
    right: Outcome,
    difference: Option<String>,
    given_up: bool,
}

impl<'a> Pair<'a> {
    fn new(
        subject: &'a mut dyn Subject,
        kernel: &'a mut dyn Subject,
        stamps: Stamps,
    ) -> Result<Self, String> {
        super::check_oracle(kernel)?;
        let fault = |errno: Errno| format!("reset: {errno:?}");
        subject.reset().map_err(fault)?;
        kernel.reset().map_err(fault)?;
        Ok(Pair {
            subject,
            kernel,
            here: Env::default(),
            there: Env::default(),
            stamps,
            course: Course::Open,
        })
    }

    fn of(self, course: Course) -> Self {
        Pair { course, ..self }
    }

    /// An outcome without what isn't compared.
    fn text(&self, outcome: &Outcome) -> String {
        match outcome {
            // In overlays of the kernel's a directory has one link, and a file that had two may keep them.
            Ok(Value::Attr(attr)) if self.course.is_overlaid() => {
                describe(&Ok(Value::Attr(Box::new(Attr { nlink: 1, ..**attr }))))
            }
            outcome => describe(outcome),
        }
    }

    /// Whether a call needs what the subject lacks: it is left out.
    fn lacks_for(&self, line: &[Vec<u8>]) -> bool {
        !(needs_of_call(line) - self.subject.provides()).is_empty()
    }

    fn known(&mut self) -> Result<Known, String> {
        Known::of(self.kernel, &self.there)
            .map_err(|errno| format!("looking at the kernel's tree: {errno:?}"))
    }

    fn step(&mut self, line: &[Vec<u8>]) -> Result<Step, String> {
        let before = self.pictures()?;
        if before.is_some() {
            self.subject.tick();
            self.kernel.tick();
        }
        let bad = |BadText(why): BadText| why;
        let right = call::run(self.kernel, &mut self.there, line).map_err(bad)?;
        let got = call::run(self.subject, &mut self.here, line).map_err(bad)?;
        let (right_text, got_text) = (self.text(&right), self.text(&got));
        let given_up = self.course.gives_up(line, &right, &got);
        let differs = right_text != got_text && !given_up && !is_hardening(line, &right, &got);
        let mut difference = differs.then(|| format!("the kernel: {right_text}, vnode: {got_text}"));
        if let (None, Some(before), Some(after)) = (&difference, before, self.pictures()?) {
            let here = before.0.changed_times(&after.0);
            let there = before.1.changed_times(&after.1);
            if here != there {
                difference = Some(format!("changed times: the kernel: {there:?}, vnode: {here:?}"));
            }
        }
        Ok(Step { right, difference, given_up })
    }

    fn pictures(&mut self) -> Result<Option<(Tree, Tree)>, String> {
        if self.stamps == Stamps::Ignored {
            return Ok(None);
        }
        self.both(Times::Kept).map(Some)
    }

    fn both(&mut self, times: Times) -> Result<(Tree, Tree), String> {
        let fault = |errno: Errno| format!("looking at the tree: {errno:?}");
        let here = Tree::of(self.subject, &self.here, times).map_err(fault)?;
        let there = Tree::of(self.kernel, &self.there, times).map_err(fault)?;
        Ok((here, there))
    }

    /// How the trees differ.
    fn trees(&mut self) -> Result<Option<String>, String> {
        let (mut here, mut there) = self.both(Times::Left)?;
        if self.course.is_overlaid() {
            let wrong = here.miscounted();
            if !wrong.is_empty() {
                return Ok(Some(wrong.join("\n")));
            }
            (here, there) = (here.without_links(|_| true), there.without_links(|_| true));
        }
        let differences = here.differences(&there);
        if differences.is_empty() {
            return Ok(None);
        }
        Ok(Some(format!("trees differ (vnode <> the kernel):\n{}", differences.join("\n"))))
    }
}
