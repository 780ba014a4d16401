//! What an event says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::sync::{Arc, Mutex};

use support::On;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use vnode_adapt::{Events, Fault, Faults, Op};
use vnode_core::fs::{NewKind, Rename};
use vnode_core::{Errno, FilesystemRef};
use vnode_memory::Memory;

/// Keeps each event as a line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push_str(&format!(" {}={value}", field.name()));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == Events::<Memory>::TARGET
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        assert_eq!(*event.metadata().level(), Level::TRACE);
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0.trim().to_owned());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn each_call_is_told_once_with_inode_name_and_result() {
    let faults = Faults::new(Memory::new());
    let control = faults.control();
    let fs = Events::new(FilesystemRef::new::<Faults<Memory>>(faults));
    let on = On::<Events<FilesystemRef>>::new(fs);
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        on.make("d", NewKind::Directory).unwrap();
        assert_eq!(lines.take(), ["op=create inode=1 name=d"]);
        let file = on.open_new("f").unwrap();
        on.write(&file, 0, b"text").unwrap();
        assert_eq!(lines.take(), ["op=create_open inode=1 name=f", "op=write_at inode=3 bytes=4"]);
        on.rename("f", "g h\n", Rename::Replace).unwrap();
        assert_eq!(lines.take(), ["op=rename inode=1 name=f to=1 to_name=g h\\n"]);
        assert_eq!(on.unlink("f").unwrap_err(), Errno::NOENT);
        assert_eq!(lines.take(), ["op=remove inode=1 name=f errno=ENOENT"]);
        control.arm(Fault::fail(Errno::IO).on(Op::Read));
        assert_eq!(on.read(&file, 0, 10).unwrap_err(), Errno::IO);
        assert_eq!(lines.take(), ["op=read_at inode=3 bytes=10 errno=EIO"]);
    });
    on.unlink("d").unwrap_err();
    assert_eq!(lines.take(), Vec::<String>::new());
}
