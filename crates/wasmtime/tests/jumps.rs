//! `setjmp` and `longjmp` of programs for WASIX: the host unwinds the guest's stack and rewinds it. That what a program
//! sees is what C says is tested with the command (`crates/cli/tests/guests.rs`).

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test may fail")]

use std::sync::Arc;

use vnode_core::FilesystemRef;
use vnode_memory::Memory;
use vnode_wasmtime::stream::Capture;
use vnode_wasmtime::{Engine, EngineOptions, Guest, Limits, Outcome, Program};

fn engine() -> Engine {
    Engine::new(&EngineOptions::default()).unwrap()
}

fn built(engine: &Engine, name: &str) -> Program {
    let path = format!("{}/../../guests/built/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    engine.compile(&std::fs::read(path).unwrap()).unwrap()
}

/// Runs a guest; how it ended, and what it said.
fn run(program: &Program, argument: &str, limits: Limits) -> (Outcome, String) {
    let output = Arc::new(Capture::new(1 << 16));
    let files = FilesystemRef::new(Memory::new());
    let guest = Guest::builder(&files).preopen("/", "/").args(["guest", argument]).stdout(output.clone());
    let outcome = program.run(guest.limits(limits).build(program.module()).unwrap()).unwrap();
    (outcome, String::from_utf8_lossy(&output.contents()).into_owned())
}

/// What a guest that trapped was told.
fn trapped(program: &Program, argument: &str) -> (String, String) {
    match run(program, argument, Limits::default()) {
        (Outcome::Trapped(trap), said) => (trap.message, said),
        other => panic!("{argument}: {other:?}"),
    }
}

#[test]
fn jumps_to_nowhere_end_the_guest() {
    let engine = engine();
    let stray = built(&engine, "strayjumps");
    for way in ["zero", "invented", "gone"] {
        let (message, said) = trapped(&stray, way);
        assert!(message.contains("is not there"), "{way}: {message}");
        assert_eq!(said, "", "{way}");
    }
    assert!(matches!(run(&stray, "", Limits::default()).0, Outcome::Exited(0)));
}

#[test]
fn the_newest_of_many_snapshots_are_kept() {
    let (message, said) = trapped(&built(&engine(), "strayjumps"), "many");
    assert_eq!(said, "jumped to the last, 100000 made\n");
    assert!(message.contains("is not there"), "the first: {message}");
}

#[test]
fn snapshots_count_as_memory() {
    let stray = built(&engine(), "strayjumps");
    let limits = Limits { memory: Some(4 << 20), ..Limits::default() };
    let (outcome, said) = run(&stray, "many", limits);
    assert!(matches!(outcome, Outcome::Trapped(_)), "{outcome:?}");
    assert_eq!(said, "jumped to the last, 100000 made\n", "fewer are kept");
}

#[test]
fn a_stack_too_deep_to_be_unwound_is_told() {
    let (message, said) = trapped(&built(&engine(), "strayjumps"), "deep");
    assert_eq!(said, "1 deep: 0\n10 deep: 0\n100 deep: 0\n1000 deep: 0\ndeep: 0\n");
    assert!(message.contains("deeper than there is room for"), "{message}");
}

#[test]
fn guests_at_once_have_nothing_in_common() {
    let engine = engine();
    let jumps = built(&engine, "jumps");
    let alone = run(&jumps, "/work", Limits::default());
    assert!(matches!(alone.0, Outcome::Exited(0)), "{alone:?}");
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let (outcome, said) = run(&jumps, "/work", Limits::default());
                        assert!(matches!(outcome, Outcome::Exited(0)), "{outcome:?}");
                        assert_eq!(said, alone.1);
                    }
                })
            })
            .collect();
        for other in others {
            other.join().unwrap();
        }
    });
}
