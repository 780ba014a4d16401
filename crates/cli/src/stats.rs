//! `--stats`: what a guest used, for people or as JSON.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use vnode_kernel::CallCount;
use vnode_memory::Memory;

use crate::failure::say;
use crate::mounts::Kind;
use crate::options::StatsFormat;

/// What is measured around a run.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) compile: Duration,
    pub(crate) cached: bool,
    pub(crate) load: Duration,
    pub(crate) run: Duration,
}

/// A filesystem of the guest, and where it is mounted.
pub(crate) struct Mounted {
    pub(crate) at: String,
    pub(crate) kind: Kind,
    /// Nothing for a host directory: what it holds is not the guest's alone.
    pub(crate) memory: Option<Arc<Memory>>,
}

#[derive(Serialize)]
struct Report<'a> {
    seconds: Seconds,
    cached: bool,
    calls: u64,
    errors: u64,
    by_call: Vec<ByCall<'a>>,
    filesystems: Vec<Filesystem<'a>>,
}

#[derive(Serialize)]
struct Seconds {
    compile: f64,
    load: f64,
    run: f64,
    in_calls: f64,
}

#[derive(Serialize)]
struct ByCall<'a> {
    call: &'a str,
    calls: u64,
    errors: u64,
    bytes: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct Filesystem<'a> {
    at: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Usage {
    bytes: u64,
    inodes: u64,
}

/// Writes the report to stderr.
pub(crate) fn report(
    format: StatsFormat,
    measured: &Measured,
    counts: &[(&'static str, CallCount)],
    mounted: &[Mounted],
) {
    let report = Report::new(measured, counts, mounted);
    match format {
        StatsFormat::Text => say(report.text()),
        StatsFormat::Json => {
            use std::io::Write as _;
            // The object alone on its line, for a program to read.
            let json = serde_json::to_string(&report).unwrap_or_default();
            let _ = writeln!(std::io::stderr().lock(), "{json}");
        }
    }
}

impl<'a> Report<'a> {
    fn new(measured: &Measured, counts: &[(&'static str, CallCount)], mounted: &'a [Mounted]) -> Report<'a> {
        let in_calls: Duration = counts.iter().map(|(_, count)| count.time).sum();
        Report {
            seconds: Seconds {
                compile: measured.compile.as_secs_f64(),
                load: measured.load.as_secs_f64(),
                run: measured.run.as_secs_f64(),
                in_calls: in_calls.as_secs_f64(),
            },
            cached: measured.cached,
            calls: counts.iter().map(|(_, count)| count.calls).sum(),
            errors: counts.iter().map(|(_, count)| count.errors).sum(),
            by_call: by_time(counts),
            filesystems: mounted
                .iter()
                .map(|mounted| {
                    let usage = mounted.memory.as_ref().map(|memory| memory.usage());
                    let usage = usage.map(|usage| Usage { bytes: usage.bytes, inodes: usage.inodes });
                    Filesystem { at: &mounted.at, kind: mounted.kind.name(), usage }
                })
                .collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "ran {:.3} s ({:.3} s in calls); calls: {}, failed: {}; module {} in {:.3} s",
            self.seconds.run,
            self.seconds.in_calls,
            self.calls,
            self.errors,
            if self.cached { "from the cache" } else { "compiled" },
            self.seconds.compile,
        );
        if self.seconds.load > 0.0 {
            let _ = write!(text, "; files copied in {:.3} s", self.seconds.load);
        }
        for fs in &self.filesystems {
            let _ = match &fs.usage {
                Some(usage) => {
                    write!(text, "\n  {}: {} bytes in {} inodes", fs.at, usage.bytes, usage.inodes)
                }
                None => write!(text, "\n  {}: a directory of the host", fs.at),
            };
        }
        if !self.by_call.is_empty() {
            let _ =
                write!(text, "\n  {:>9} {:>7} {:>12} {:>10}  call", "calls", "errors", "bytes", "seconds");
        }
        for row in &self.by_call {
            let ByCall { call, calls, errors, bytes, seconds } = row;
            let _ = write!(text, "\n  {calls:>9} {errors:>7} {bytes:>12} {seconds:>10.6}  {call}");
        }
        text
    }
}

/// The counts, most time first.
fn by_time(counts: &[(&'static str, CallCount)]) -> Vec<ByCall<'static>> {
    let mut rows: Vec<ByCall<'static>> = counts
        .iter()
        .map(|&(call, count)| ByCall {
            call,
            calls: count.calls,
            errors: count.errors,
            bytes: count.bytes,
            seconds: count.time.as_secs_f64(),
        })
        .collect();
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then(a.call.cmp(b.call)));
    rows
}
