//! Every case, and random paths and sequences, on decorated filesystems: what a decorator doesn't change, it must not
//! change.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use vnode_conformance::adapted::{self, Layer};
use vnode_conformance::differ::{paths, sequences};
use vnode_conformance::kernel::Kernel;
use vnode_conformance::subject::Subject;
use vnode_conformance::suite;
use vnode_conformance::vnode::Layout;

/// What is compared at random takes so long, for each stack.
const TIME: Duration = Duration::from_secs(2);

/// Counts the events of filesystems. An event without an operation's name counts as none.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicU64>);

impl Subscriber for Counted {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "vnode::fs"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Named(bool);
        impl Visit for Named {
            fn record_str(&mut self, field: &Field, value: &str) {
                self.0 |= field.name() == "op" && !value.is_empty();
            }
            fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
        }
        let mut named = Named(false);
        event.record(&mut named);
        self.0.fetch_add(u64::from(named.0), Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The whole suite, then paths and sequences, over one stack; the innermost layer comes first.
fn check(layout: Layout, layers: &[Layer]) {
    let mut cases = suite::cases().expect("case files");
    cases.extend(suite::own_cases().expect("case file"));
    let counted = Counted::default();
    let run = |kernel: &mut Kernel| {
        tracing::subscriber::with_default(counted.clone(), || {
            let (mut subject, books) = adapted::subject(layout, layers).expect("a subject");
            let report = suite::run(&mut subject, Some(kernel as &mut dyn Subject), &cases);
            if kernel.is_privileged() {
                let paths = paths::run(&mut subject, kernel, 1, TIME / 3).expect("a run");
                assert_eq!(paths.difference, None);
                let sequences = sequences::run(&mut subject, kernel, 1, TIME).expect("a run");
                println!("{} lookups, {} sequences", paths.lookups, sequences.clean);
                assert!(paths.lookups >= 1000 && sequences.clean >= 5, "too little was compared");
                assert_eq!(sequences.difference, None);
            }
            (report, books)
        })
    };
    let (report, books) = Kernel::on_thread(run).expect("an oracle");
    println!("{report}");
    assert!(report.failed.is_empty(), "{} cases failed", report.failed.len());
    assert!(report.skipped.len() <= 1, "{} cases skipped", report.skipped.len());
    let findings = books.findings();
    assert!(findings.is_empty(), "{} findings, the first: {:?}", findings.len(), findings.first());
    assert_eq!(books.unmade(), 0);
    let events = counted.0.load(Ordering::Relaxed);
    if layers.ends_with(&[Layer::Faults, Layer::Events]) {
        let calls = books.control().calls();
        assert_eq!(events, calls, "one event for each call");
    }
    assert_eq!(events > 0, layers.contains(&Layer::Events));
}

#[test]
fn a_quota_without_limits() {
    check(Layout::SubMount, &[Layer::Quota]);
}

#[test]
fn faults_that_are_not_armed_and_an_event_for_each_call() {
    check(Layout::Bind, &[Layer::Faults, Layer::Events]);
}

#[test]
fn a_medium_that_has_power() {
    check(Layout::Bind, &[Layer::Crash]);
}

#[test]
fn events_over_a_quota_over_faults() {
    check(Layout::Root, &[Layer::Faults, Layer::Quota, Layer::Events]);
}
