//! `cargo xtask fuzz`: the fuzzers of `fuzz/`, each for a while.
//!
//! They run on the stable toolchain: it has the runtime of the address sanitizer, and only wants to be told that
//! the flags for it are meant (`RUSTC_BOOTSTRAP`).

use crate::{process, tools};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "0.13.2";
const SECONDS: u32 = 60;
/// Bytes of the longest input: an archive is blocks of 512, the others say much with little.
const MAX_LEN: u32 = 8192;
/// What one input may take: seconds, on a machine that has other things to do; MiB in all; MiB at once.
const LIMITS: &[&str] = &["-timeout=60", "-rss_limit_mb=2048", "-malloc_limit_mb=256"];

/// `cargo xtask fuzz [--build] [--seconds N] [TARGET...]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    if !process::exists("c++") {
        bail!("libFuzzer needs a C++ compiler: install one (Debian: apt-get install g++)");
    }
    let program = tools::installed("cargo-fuzz", VERSION)?;
    process::check(cargo_fuzz(&program).args(["build", "--fuzz-dir", "."]))?;
    if options.build_only {
        return Ok(());
    }
    let mut lines = Vec::new();
    for target in &options.targets {
        let figures = fuzz(target, options.seconds)?;
        println!("{}", figures.line(target));
        lines.push(figures);
    }
    let executions: u64 = lines.iter().map(|figures| figures.executions).sum();
    println!("{executions} executions of {} targets, nothing found", lines.len());
    Ok(())
}

struct Options {
    build_only: bool,
    seconds: u32,
    targets: Vec<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Options> {
        let all = targets()?;
        let mut options = Options { build_only: false, seconds: SECONDS, targets: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--build" => options.build_only = true,
                "--seconds" => {
                    let seconds = arguments.next().and_then(|number| number.parse().ok());
                    options.seconds = seconds.context("--seconds wants a number")?;
                }
                target if all.iter().any(|name| name == target) => options.targets.push(target.to_owned()),
                other => bail!("there is no fuzzer {other:?}; there are {}", all.join(", ")),
            }
        }
        if options.targets.is_empty() {
            options.targets = all;
        }
        Ok(options)
    }
}

fn home() -> PathBuf {
    process::root().join("fuzz")
}

/// Where the fuzzers are built, and what they learn is kept: not in the workspace's own directories, which are
/// built without their checks.
fn work() -> PathBuf {
    process::target().join("fuzz")
}

/// The names of the fuzzers.
fn targets() -> Result<Vec<String>> {
    let dir = home().join("fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn cargo_fuzz(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home()).env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", work());
    command
}

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    executions: u64,
    coverage: u64,
    features: u64,
    corpus: String,
    /// What libFuzzer wrote last; shown if something was found.
    tail: Vec<String>,
}

/// Runs one fuzzer. The built program is run itself: `cargo fuzz run` would build again.
fn fuzz(target: &str, seconds: u32) -> Result<Figures> {
    let corpus = work().join("corpus").join(target);
    let found = work().join("found").join(target);
    for dir in [&corpus, &found] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let program = built(target)?;
    let mut command = Command::new(&program);
    command.current_dir(home()).args(LIMITS).args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_LEN}"),
        format!("-artifact_prefix={}/", found.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    command.arg(&corpus).arg(home().join("seeds").join(target));
    let regressions = home().join("regressions").join(target);
    if regressions.exists() {
        command.arg(regressions);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let figures =
        child.stderr.take().map(|pipe| Figures::read(target, BufReader::new(pipe))).unwrap_or_default();
    if child.wait()?.success() {
        return Ok(figures);
    }
    let artefact = figures.artefact().unwrap_or_else(|| found.display().to_string());
    bail!(
        "{}\n{target} found something: {artefact}\n\
         repeat it: {} {artefact}\n\
         smaller:   {} -minimize_crash=1 -runs=100000 -artifact_prefix={}/ {artefact}\n\
         when it is mended, keep it as a test that `cargo test -p vnode-fuzz` replays:\n\
         cp {artefact} fuzz/regressions/{target}/WHAT-IT-SHOWED",
        figures.tail.join("\n"),
        program.display(),
        program.display(),
        found.display()
    )
}

/// The program of a fuzzer: under the directory of the host's triple.
fn built(target: &str) -> Result<PathBuf> {
    let work = work();
    for entry in std::fs::read_dir(&work).with_context(|| format!("cannot read {}", work.display()))? {
        let path = entry?.path().join("release").join(target);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("{target} was not built below {}", work.display())
}

/// Lines of a failed run that are shown.
const SHOWN: usize = 120;

impl Figures {
    /// Follows what libFuzzer writes; shows where it is if somebody watches.
    fn read(target: &str, from: impl BufRead) -> Figures {
        let watched = std::io::stderr().is_terminal();
        let mut figures = Figures::default();
        for line in from.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            figures.take(&line);
            if watched {
                eprint!("\r\x1b[K{}", figures.line(target));
                let _ = std::io::stderr().flush();
            }
            if figures.tail.len() == SHOWN {
                figures.tail.remove(0);
            }
            figures.tail.push(line);
        }
        if watched {
            eprint!("\r\x1b[K");
        }
        figures
    }

    /// Reads a line such as `#2048 NEW cov: 300 ft: 900 corp: 30/2Kb lim: 8192 exec/s: 1024 rss: 60Mb ...`.
    fn take(&mut self, line: &str) {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = count.trim().parse().unwrap_or(self.executions);
        }
        let Some(rest) = line.strip_prefix('#') else { return };
        let mut words = rest.split_whitespace();
        let Some(executions) = words.next().and_then(|word| word.parse().ok()) else { return };
        self.executions = executions;
        while let Some(word) = words.next() {
            let value = match word {
                "cov:" | "ft:" | "corp:" => words.next().unwrap_or_default(),
                _ => continue,
            };
            match word {
                "cov:" => self.coverage = value.parse().unwrap_or(self.coverage),
                "ft:" => self.features = value.parse().unwrap_or(self.features),
                _ => self.corpus = value.to_owned(),
            }
        }
    }

    fn line(&self, target: &str) -> String {
        let Figures { executions, coverage, features, corpus, .. } = self;
        format!("{target}: {executions} executions, {coverage} edges, {features} features, corpus {corpus}")
    }

    /// The input that libFuzzer wrote down.
    fn artefact(&self) -> Option<String> {
        let line = self.tail.iter().rev().find(|line| line.contains("Test unit written to "))?;
        line.rsplit(' ').next().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_libfuzzer_writes() {
        let log = "INFO: seed corpus: files: 5\n\
            #6\tINITED cov: 300 ft: 900 corp: 5/1Kb exec/s: 0 rss: 60Mb\n\
            #2048\tpulse  cov: 310 ft: 950 corp: 30/2Kb lim: 8192 exec/s: 1024 rss: 61Mb\n\
            artifact_prefix='/t/'; Test unit written to /t/crash-1\n\
            stat::number_of_executed_units: 2050\n";
        let figures = Figures::read("paths", log.as_bytes());
        assert_eq!(figures.line("paths"), "paths: 2050 executions, 310 edges, 950 features, corpus 30/2Kb");
        assert_eq!(figures.artefact().as_deref(), Some("/t/crash-1"));
    }

    #[test]
    fn only_fuzzers_that_are_there_are_run() {
        let of =
            |words: &[&str]| Options::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["--seconds", "5", "tar"]).unwrap().targets, ["tar"]);
        assert_eq!(of(&[]).unwrap().targets.len(), 5);
        assert!(of(&["tarr"]).is_err() && of(&["--seconds"]).is_err());
    }
}
