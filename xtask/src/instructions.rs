//! `cargo xtask instructions`: what calls cost in instructions, which no busy machine changes.
//!
//! `vnode-calls` (`benches/`) makes each operation some number of times and then twice that, under callgrind; the
//! difference is the operation's own. `benches/instructions.txt` holds what it was when somebody last agreed to it.

use crate::{debian, process};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How much more than the agreed number passes: hash keys are random, and a probe more is no fault.
const TOLERANCE: f64 = 0.02;
/// Repetitions of the shorter run.
const REPETITIONS: u32 = 400;
/// The same of an operation that is a thousand entries.
const LONG_REPETITIONS: u32 = 20;

const USAGE: &str = "usage: cargo xtask instructions [--check] [--bless] [OPERATION...]";

/// `cargo xtask instructions`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (flags, wanted): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|word| word.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| !["--check", "--bless"].contains(&flag.as_str())) {
        bail!("{unknown:?} is no option\n{USAGE}");
    }
    let has = |flag: &str| flags.iter().any(|word| *word == flag);
    debian::ensure("what counts instructions", &["valgrind"], &[VALGRIND])?;
    let calls = process::built_calls()?;
    let known = operations(&calls)?;
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        bail!("there is no operation {unknown:?}; there are {}", known.join(", "));
    }
    let wanted: Vec<&String> =
        known.iter().filter(|name| wanted.is_empty() || wanted.contains(name)).collect();
    let mut counted = count_all(&calls, &wanted)?;
    let path = process::root().join("benches/instructions.txt");
    let agreed = read(&path)?;
    if has("--check") {
        count_again(&calls, &mut counted, &agreed)?;
    }
    print!("{}", table(&counted, &agreed));
    if has("--bless") {
        return bless(&path, agreed, &counted);
    }
    let over = over(&counted, &agreed);
    if has("--check") && !over.is_empty() {
        bail!(
            "more instructions than agreed: {}; mend it, or say why in the commit that runs \
             `cargo xtask instructions --bless`",
            over.join(", ")
        );
    }
    Ok(())
}

const VALGRIND: &str = "/usr/bin/valgrind";

/// Whether instructions can be counted here, if need be after an installation.
pub(crate) fn possible() -> bool {
    debian::has(&[VALGRIND]) || debian::can_install()
}

fn operations(calls: &Path) -> Result<Vec<String>> {
    let listed = process::output(Command::new(calls).arg("list"))?;
    Ok(String::from_utf8(listed)?.lines().map(str::to_owned).collect())
}

/// Counts on all processors.
fn count_all(calls: &Path, names: &[&String]) -> Result<Vec<(String, f64)>> {
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get());
    let share = names.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let count = |part: Vec<&String>| {
            part.into_iter().map(|name| Ok((name.clone(), count(calls, name)?))).collect::<Result<Vec<_>>>()
        };
        let running: Vec<_> = names
            .chunks(share)
            .map(|part| part.to_vec())
            .map(|part| scope.spawn(move || count(part)))
            .collect();
        let mut all = Vec::new();
        for part in running {
            all.extend(part.join().map_err(|_| anyhow::anyhow!("a counting thread panicked"))??);
        }
        Ok(all)
    })
}

/// The instructions of one operation: of three counts, each with other hash keys, the middle one.
fn count(calls: &Path, name: &str) -> Result<f64> {
    let repetitions = if name.ends_with("1000") { LONG_REPETITIONS } else { REPETITIONS };
    let once = || -> Result<f64> {
        let (short, long) = (collected(calls, name, repetitions)?, collected(calls, name, 2 * repetitions)?);
        Ok(long.saturating_sub(short) as f64 / f64::from(repetitions))
    };
    let mut counts = [once()?, once()?, once()?];
    counts.sort_by(f64::total_cmp);
    Ok(counts[1])
}

/// Counts what seems to have grown once more, and takes the lesser: hash keys are others in each run, and sometimes two of
/// three runs have unlucky ones.
fn count_again(calls: &Path, counted: &mut [(String, f64)], agreed: &BTreeMap<String, f64>) -> Result<()> {
    for (name, number) in counted {
        if agreed.get(name).is_some_and(|&before| change(*number, before) > TOLERANCE) {
            *number = number.min(count(calls, name)?);
        }
    }
    Ok(())
}

/// The instructions of a whole run.
fn collected(calls: &Path, name: &str, repetitions: u32) -> Result<u64> {
    let mut command = Command::new(VALGRIND);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(calls);
    let output = command.args(["count", name, &repetitions.to_string()]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{name} failed under valgrind: {}\n{said}", output.status);
    }
    let number =
        said.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, number)| number.trim());
    let number = number.and_then(|number| number.parse().ok());
    number.with_context(|| format!("callgrind did not say what it counted:\n{said}"))
}

/// The agreed numbers: a name and a number on each line.
fn read(path: &Path) -> Result<BTreeMap<String, f64>> {
    let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
    let mut agreed = BTreeMap::new();
    for line in text.lines() {
        let parts = line.split_once(' ').and_then(|(name, number)| Some((name, number.trim().parse().ok()?)));
        let (name, number) = parts.with_context(|| format!("{}: {line:?}", path.display()))?;
        agreed.insert(name.to_owned(), number);
    }
    Ok(agreed)
}

fn bless(path: &Path, mut agreed: BTreeMap<String, f64>, counted: &[(String, f64)]) -> Result<()> {
    agreed.extend(counted.iter().cloned());
    let mut text = String::new();
    for (name, number) in &agreed {
        let _ = writeln!(text, "{name} {number:.0}");
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn change(number: f64, agreed: f64) -> f64 {
    number / agreed - 1.0
}

/// What takes more than was agreed to.
fn over(counted: &[(String, f64)], agreed: &BTreeMap<String, f64>) -> Vec<String> {
    let mut over = Vec::new();
    for (name, number) in counted {
        match agreed.get(name) {
            None => over.push(format!("{name} (nothing agreed)")),
            Some(&before) if change(*number, before) > TOLERANCE => {
                over.push(format!("{name} {number:.0} (agreed {before:.0})"));
            }
            Some(_) => {}
        }
    }
    over
}

fn table(counted: &[(String, f64)], agreed: &BTreeMap<String, f64>) -> String {
    let mut text = format!("{:<22} {:>12} {:>12} {:>8}\n", "operation", "instructions", "agreed", "change");
    for (name, number) in counted {
        let _ = match agreed.get(name) {
            Some(&before) => {
                let percent = change(*number, before) * 100.0;
                writeln!(text, "{name:<22} {number:>12.0} {before:>12.0} {percent:>+7.1}%")
            }
            None => writeln!(text, "{name:<22} {number:>12.0} {:>12} {:>8}", "-", "-"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_grew_past_the_tolerance_is_over() {
        let agreed: BTreeMap<String, f64> =
            [("a", 100.0), ("b", 100.0), ("c", 100.0)].map(|(name, number)| (name.to_owned(), number)).into();
        let counted = [("a", 101.9), ("b", 102.1), ("c", 50.0), ("d", 1.0)];
        let counted = counted.map(|(name, number)| (name.to_owned(), number));
        assert_eq!(over(&counted, &agreed), ["b 102 (agreed 100)", "d (nothing agreed)"]);
    }
}
