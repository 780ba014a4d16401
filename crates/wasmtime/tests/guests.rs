//! The guests of `guests/built` from one list, run every way that there is: on a thread of their own, on an executor
//! over a filesystem that never blocks, and on another executor over one that may. All must say the same.
//!
//! That what they say is what the kernel says is tested with the command (`crates/cli/tests/guests.rs`).

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail")]

#[path = "support/slow.rs"]
mod slow;

use std::sync::Arc;

use slow::Slow;
use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::stream::Capture;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Outcome, Program};

/// A guest, its arguments and its input.
type Start = (&'static str, &'static [&'static str], &'static [u8]);

const WORK: &[&str] = &["/work"];

const GUESTS: &[Start] = &[
    ("clocks", WORK, b""),
    ("directories", WORK, b""),
    ("fdtable", WORK, b""),
    ("hardlinks", WORK, b""),
    ("iovec", WORK, b""),
    ("links", WORK, b""),
    ("openflags", WORK, b""),
    ("orphan", WORK, b""),
    ("paths", WORK, b""),
    ("polling", WORK, b""),
    ("readdir", WORK, b""),
    ("rename", WORK, b""),
    ("sparse", WORK, b""),
    ("times", WORK, b""),
    ("truncate", WORK, b""),
    ("calls", WORK, b""),
    ("dirents", WORK, b""),
    ("exhaustion", WORK, b""),
    ("pointers", WORK, b""),
    ("rights", WORK, b""),
    ("unstable", WORK, b""),
    ("tour", &[], b""),
    ("stdio", &["/work", "one", "two words", ""], b"first\nsecond\n\nlast without an end"),
    ("exitcode", &["7"], b""),
    ("exitcode", &["3", "at once"], b""),
    ("trap", &["divide"], b""),
    ("recursion", &["10000"], b""),
];

/// What a run gave.
#[derive(Debug, PartialEq)]
struct Ran {
    said: String,
    ended: String,
}

struct Run {
    guest: Guest,
    output: Arc<Capture>,
}

/// A guest over `files`, with its input from a thread, and its output to one that may block if `writer` is set.
fn prepare(program: &Program, (name, arguments, input): Start, files: &FilesystemRef, writer: bool) -> Run {
    let output = Arc::new(Capture::new(1 << 20));
    let mut builder = Guest::builder(files)
        .preopen("/", "/")
        .arg(format!("{name}.wasm"))
        .args(arguments.iter().copied())
        .stdin_reader(input)
        .stderr(output.clone());
    builder = match writer {
        true => builder.stdout_writer(Into(output.clone())),
        false => builder.stdout(output.clone()),
    };
    Run { guest: builder.build(program.module()).unwrap(), output }
}

/// A writer that stands for one that blocks: only a worker may call it.
struct Into(Arc<Capture>);

impl std::io::Write for Into {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        use vnode_kernel::stream::Stream;
        on_a_worker();
        let interruption = vnode_kernel::Interruption::new();
        let wait = vnode_kernel::Wait::blocking(&interruption);
        self.0.write(wait, &mut vnode_core::io::Source::from_slice(bytes)).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn on_a_worker() {
    assert_eq!(std::thread::current().name(), Some("vnode-worker"), "an executor's thread never blocks");
}

fn ended(outcome: Outcome, output: &Capture) -> Ran {
    let ended = match outcome {
        Outcome::Trapped(trap) => trap.message,
        other => format!("{other:?}"),
    };
    Ran { said: String::from_utf8_lossy(&output.contents()).into_owned(), ended }
}

fn memory() -> FilesystemRef {
    FilesystemRef::new(Memory::new())
}

/// Every guest's run by `way`, compared with its run on a thread.
fn every_guest(way: impl Fn(&Program, Start) -> Ran) {
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    for start in GUESTS {
        let path = format!("{}/../../guests/built/{}.wasm", env!("CARGO_MANIFEST_DIR"), start.0);
        let program = engine.compile(&std::fs::read(path).unwrap()).unwrap();
        let Run { guest, output } = prepare(&program, *start, &memory(), false);
        let on_a_thread = ended(program.run(guest).unwrap(), &output);
        assert!(!on_a_thread.said.is_empty() || start.0 == "exitcode", "{start:?}");
        let ran = way(&program, *start);
        assert_eq!(ran, on_a_thread, "{start:?}");
    }
}

#[test]
fn on_a_small_executor() {
    every_guest(|program, start| {
        let Run { guest, output } = prepare(program, start, &memory(), false);
        ended(pollster::block_on(program.run_async(guest)).unwrap(), &output)
    });
}

#[test]
fn on_tokio_over_a_filesystem_that_may_block() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    every_guest(|program, start| {
        let files = Slow::over(&memory(), |_| {
            // Setting up is done by the embedder's own thread, before the guest runs.
            let thread = std::thread::current();
            assert_ne!(thread.name(), Some("tokio-runtime-worker"), "an executor's thread never blocks");
        });
        let Run { guest, output } = prepare(program, start, &files, true);
        let program = program.clone();
        let outcome = runtime.block_on(runtime.spawn(async move { program.run_async(guest).await }));
        ended(outcome.unwrap().unwrap(), &output)
    });
}
