//! What was measured, and how it is shown.

use super::targets::{Kind, Over, THREADS_TARGET};
use anyhow::Result;
use std::fmt::Write;

/// The samples of one operation: for each runner one a round, in nanoseconds.
struct Row {
    operation: &'static str,
    kind: Kind,
    samples: Vec<Vec<f64>>,
}

/// All measurements; the first runner is what the others are compared with, the second is vnode.
pub(super) struct Report {
    runners: Vec<String>,
    rows: Vec<Row>,
    failures: Vec<String>,
    over: Over,
    /// How many times the operations of one thread two make, on a machine with two processors.
    pub(super) two_threads: Option<f64>,
}

/// The median and the quartiles of the ratios to the first runner, each with its sample of the same round.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio {
    median: f64,
    low: f64,
    high: f64,
}

impl Report {
    pub(super) fn new(runners: Vec<String>, operations: &[(&'static str, Kind)], over: Over) -> Self {
        let row = |&(operation, kind): &(&'static str, Kind)| Row {
            operation,
            kind,
            samples: vec![Vec::new(); runners.len()],
        };
        let rows = operations.iter().map(row).collect();
        Report { runners, rows, failures: Vec::new(), over, two_threads: None }
    }

    pub(super) fn add(&mut self, row: usize, column: usize, nanoseconds: f64) {
        self.rows[row].samples[column].push(nanoseconds);
    }

    /// A runner can't do an operation: its column stays empty there.
    pub(super) fn cannot(&mut self, row: usize, column: usize, error: &anyhow::Error) {
        let what = format!("{} cannot do {}", self.runners[column], self.rows[row].operation);
        if !self.failures.iter().any(|failure| failure.starts_with(&what)) {
            let why = format!("{error:#}");
            self.failures.push(format!("{what}: {}", why.lines().last().unwrap_or_default()));
        }
    }

    fn ratio(&self, row: &Row, column: usize) -> Option<Ratio> {
        let (native, own) = (&row.samples[0], &row.samples[column]);
        if own.is_empty() || own.len() != native.len() {
            return None;
        }
        let mut ratios: Vec<f64> = own.iter().zip(native).map(|(own, native)| own / native).collect();
        ratios.sort_by(f64::total_cmp);
        Some(Ratio {
            median: quantile(&ratios, 0.5),
            low: quantile(&ratios, 0.25),
            high: quantile(&ratios, 0.75),
        })
    }

    /// The geometric mean of a runner's ratios, if it has all of them.
    fn mean(&self, column: usize) -> Option<f64> {
        let logs: Option<Vec<f64>> =
            self.rows.iter().map(|row| self.ratio(row, column).map(|ratio| ratio.median.ln())).collect();
        let logs = logs.filter(|logs| !logs.is_empty())?;
        Some((logs.iter().sum::<f64>() / logs.len() as f64).exp())
    }

    /// What of vnode's is over its target.
    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for row in &self.rows {
            for column in 1..self.runners.len() {
                let target = self.over.target(column, row.operation, row.kind);
                let ratio = self.ratio(row, column).zip(target);
                if let Some((ratio, target)) = ratio.filter(|(ratio, target)| ratio.median >= *target) {
                    let name = if self.over == Over::Layers { &*self.runners[column] } else { "" };
                    let words = [name, row.operation].join(" ");
                    missed.push(format!("{} {:.2} (target {target})", words.trim_start(), ratio.median));
                }
            }
        }
        let mean = self.mean(1).zip(self.over.mean_target());
        if let Some((mean, target)) = mean.filter(|(mean, target)| mean >= target) {
            missed.push(format!("geometric mean {mean:.2} (target {target})"));
        }
        if let Some(gain) = self.two_threads.filter(|&gain| gain < THREADS_TARGET) {
            missed.push(format!("two threads {gain:.2} (target {THREADS_TARGET})"));
        }
        missed
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{:<20} {:>10} {:>10}", "operation", "native ns", "vnode ns");
        for runner in &self.runners[1..] {
            let _ = write!(text, " {runner:>18}");
        }
        text.push('\n');
        for row in &self.rows {
            let _ = write!(
                text,
                "{:<20} {:>10.0} {:>10.0}",
                row.operation,
                median(&row.samples[0]),
                median(&row.samples[1])
            );
            for column in 1..self.runners.len() {
                let _ = match self.ratio(row, column) {
                    Some(Ratio { median, low, high }) => {
                        write!(text, " {:>18}", format!("{median:.2} ({low:.2}-{high:.2})"))
                    }
                    None => write!(text, " {:>18}", "-"),
                };
            }
            text.push('\n');
        }
        let _ = write!(text, "{:<42}", "geometric mean");
        for column in 1..self.runners.len() {
            let _ = match self.mean(column) {
                Some(mean) => write!(text, " {:>18}", format!("{mean:.3}")),
                None => write!(text, " {:>18}", "-"),
            };
        }
        text.push_str("\nratios to native: median (quartiles)\n");
        if let Some(gain) = self.two_threads {
            let _ = writeln!(text, "two threads in directories of their own: {gain:.2} times one");
        }
        for failure in &self.failures {
            let _ = writeln!(text, "{failure}");
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Result<String> {
        let rows = self.rows.iter().map(|row| {
            let runners = self.runners.iter().enumerate().map(|(column, runner)| {
                let ratio = self.ratio(row, column);
                let value = serde_json::json!({
                    "nanoseconds": row.samples[column],
                    "ratio": ratio.map(|ratio| ratio.median),
                    "quartiles": ratio.map(|ratio| [ratio.low, ratio.high]),
                });
                (runner.clone(), value)
            });
            serde_json::json!({
                "operation": row.operation,
                "target": self.over.target(1, row.operation, row.kind),
                "runners": runners.collect::<serde_json::Map<_, _>>(),
            })
        });
        let means = self
            .runners
            .iter()
            .enumerate()
            .map(|(column, runner)| (runner.clone(), self.mean(column).into()));
        Ok(serde_json::to_string_pretty(&serde_json::json!({
            "operations": rows.collect::<Vec<_>>(),
            "geometric_mean": means.collect::<serde_json::Map<_, _>>(),
            "mean_target": self.over.mean_target(),
            "two_threads": self.two_threads,
            "missed": self.missed(),
            "failures": self.failures,
        }))?)
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// A quantile of sorted values, between two of them where it falls there.
pub(super) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = part * last as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    below + (above - below) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(
            vec!["native".to_owned(), "vnode".to_owned(), "other".to_owned()],
            &[("fstat", Kind::Metadata), ("read-64m", Kind::Sequential)],
            Over::Memory,
        );
        for (native, own) in [(100.0, 20.0), (200.0, 60.0), (100.0, 40.0)] {
            report.add(0, 0, native);
            report.add(0, 1, own);
            report.add(1, 0, native);
            report.add(1, 1, own * 3.0);
        }
        report
    }

    #[test]
    fn ratios_are_medians_of_the_rounds() {
        let report = report();
        let ratio = report.ratio(&report.rows[0], 1).unwrap();
        assert!((ratio.median - 0.3).abs() < 1e-9 && (ratio.low - 0.25).abs() < 1e-9);
        assert!((ratio.high - 0.35).abs() < 1e-9);
        assert!((report.mean(1).unwrap() - (0.3f64 * 0.9).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn what_is_over_its_target_is_named() {
        let missed = report().missed();
        assert_eq!(missed, ["read-64m 0.90 (target 0.6)", "geometric mean 0.52 (target 0.35)"]);
    }

    #[test]
    fn a_runner_that_cannot_has_an_empty_column() {
        let mut report = report();
        report.cannot(0, 2, &anyhow::anyhow!("no such option"));
        assert!(report.mean(2).is_none());
        assert!(report.table().ends_with("other cannot do fstat: no such option\n"));
        assert!(report.json().unwrap().contains("\"geometric_mean\""));
    }
}
